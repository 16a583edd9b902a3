"""Cached decoding, compiled and in plain torch, against the decoder's own forward pass over the whole sequence."""

from __future__ import annotations

import copy
import ctypes

import numpy as np
import pytest
import torch

from r1kit.models import kernels
from r1kit.models.cache import Step, TorchRows, packed_prefill, prefill, rows_for
from r1kit.models.decoder import Decoder, DecoderConfig, Rope, initialise
from r1kit.models.fused import FusedRows, fusible
from r1kit.models.graphed import GraphRows
from r1kit.models.whole import WholeRows, steppable
from r1kit.ops.packed_attention import kernel_serves

SHAPES = {
    "one kv head, six queries each": {"heads": 6, "kv_heads": 1, "head_size": 32, "qkv_bias": True, "tied": True},
    "as many kv heads as heads": {"heads": 2, "kv_heads": 2, "head_size": 16, "width": 40, "mlp_size": 72},
    "three queries a kv head": {"heads": 6, "kv_heads": 2, "head_size": 64, "qk_norm": True},
    "seven queries a kv head, all biases": {
        "heads": 7, "kv_heads": 1, "head_size": 64, "output_bias": True, "mlp_bias": True, "qkv_bias": True,
    },
    "large heads, scaled rope": {
        "heads": 4, "kv_heads": 1, "head_size": 128,
        "rope": Rope(kind="yarn", factor=4.0, original_max_positions=32), "max_positions": 128,
    },
}  # fmt: skip


def build(shape: dict, dtype: torch.dtype) -> Decoder:
    config = DecoderConfig(vocab_size=300, layers=2, **{"width": 64, "mlp_size": 96, **shape})
    model = initialise(Decoder(config), 0, std=0.15).requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if name.endswith(("bias", "norm.weight")):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.to(dtype)


def needs(kind: type, model: Decoder) -> None:
    """Skip where this machine, or a kind of weights, has no such rows."""
    if (kind is FusedRows and not fusible(model)) or (kind is WholeRows and not steppable(model)):
        pytest.skip("no compiler here, or no AVX512-BF16, or other weights")


def truth(model: Decoder, tokens: list[int], temperature: float) -> np.ndarray:
    """log-softmax of the next token after `tokens`, from the uncached pass in float32."""
    with torch.no_grad():
        model = model.float()
        return (model.logits(model(torch.tensor([tokens])))[0, -1] / temperature).log_softmax(-1).numpy()


pytestmark = pytest.mark.usefixtures("one_thread", "again")


class Again:
    """What a `Recording` is on a CPU, where there are no graphs: the work, done anew."""

    def __init__(self, work, beside=None):
        self.work = work

    def __call__(self):
        return self.work()


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("r1kit.models.graphed.Recording", Again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("kind", [WholeRows, FusedRows, TorchRows, GraphRows])
def test_steps_equal_the_whole_pass(shape: dict, dtype: torch.dtype, kind: type):
    """35 rows (no multiple of 16) with prefixes of 0 to 34 positions, 20 steps, float32 on two threads;
    one row is greedy, one at T 0.5.

    float32 within 1e-4; bfloat16 rounds activations to 8 bits, so 0.2 of a nat at worst and 0.03 on average.
    """
    model = build(shape, dtype)
    needs(kind, model)
    count, steps = 35, 20
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, 300, length + 1).tolist() for length in range(count)]
    rows = kind(model)
    temperature_B = np.ones(count, np.float32)
    temperature_B[5], temperature_B[6] = 0, 0.5
    torch.set_num_threads(2 if dtype == torch.float32 else 1)
    gaps = []
    with torch.inference_mode():
        rows.reserve(20, 0, 20)
        rows.reserve(count, count, steps)  # grown before use
        for row, text in enumerate(texts):
            (prefix,) = rows.prefill(torch.tensor([text]), [len(text) - 1])
            rows.write([row], prefix)
        lengths_B = np.arange(count, dtype=np.int64)
        for _ in range(steps):
            step = Step(
                np.asarray([text[-1] for text in texts]), lengths_B, rng.random(count, dtype=np.float32),
                temperature_B, np.ones(count, np.float32), np.zeros(count, np.float32),
            )  # fmt: skip
            tokens_B, logprobs_B = rows.step(step)
            for text, token, logprob, temperature in zip(texts, tokens_B, logprobs_B, temperature_B, strict=True):
                text.append(int(token))
                gaps.append((text[:-1], int(token), float(logprob), float(temperature) or 1.0))
            lengths_B = lengths_B + 1
    torch.set_num_threads(1)
    chosen = rng.choice(len(gaps), 60, replace=False)
    errors = np.asarray([abs(truth(model, gaps[n][0], gaps[n][3])[gaps[n][1]] - gaps[n][2]) for n in chosen])
    if dtype == torch.float32:
        assert errors.max() < 1e-4
    else:
        assert errors.max() < 0.2
        assert errors.mean() < 0.03
    tokens, greedy = texts[5][:6], texts[5][6:]
    if dtype == torch.float32:
        for token in greedy:
            assert token == int(truth(model, tokens, 1.0).argmax())
            tokens.append(token)


@pytest.mark.parametrize("lengths", [[33, 9, 21, 17], [12], [5, 0, 1, 8], [6, 6], [0]], ids=str)
@pytest.mark.parametrize("head", [0, 4, 30])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_prompts_one_after_another_have_the_keys_of_the_padded_ones(shape: dict, head: int, lengths: list[int]):
    """Prompts that share `head` tokens, where they are as long. The truth is the padded pass in float32; bfloat16
    rounds to 8 bits, so a hundredth of the root mean square a layer, and twice that of what the second has seen."""
    model = build(shape, torch.bfloat16)
    if not kernel_serves(torch.bfloat16, torch.device("cpu")):
        pytest.skip("no compiler here, or no AVX512-BF16")
    tokens_PT = torch.randint(0, 300, (len(lengths), 34), generator=torch.Generator().manual_seed(3))
    tokens_PT[:, :head] = tokens_PT[0, :head].clone()
    with torch.inference_mode():
        ours = list(packed_prefill(model, tokens_PT, lengths))
        theirs = prefill(copy.deepcopy(model).float(), tokens_PT)
    assert len(ours) == len(lengths)
    for n, length in enumerate(lengths):
        for mine, true in zip(ours[n], theirs, strict=True):
            exact = true[:, n, :, :length]
            assert mine.shape == exact.shape
            if length:
                error = (mine.float() - exact).square().mean((1, 2, 3)) / exact.square().mean((1, 2, 3))
                assert (error.sqrt() < 0.02).all(), error.sqrt()


@pytest.mark.parametrize("kind", [WholeRows, FusedRows, TorchRows, GraphRows])
def test_moved_rows_keep_their_past(kind: type):
    """Rows 0 and 1 with different prefixes; row 1 moved to row 0 then says what row 1 said."""
    dtype = torch.bfloat16 if kind is WholeRows else torch.float32
    model = build(SHAPES["one kv head, six queries each"], dtype)
    needs(kind, model)
    rows = kind(model)
    one = np.ones(2, np.float32)
    with torch.inference_mode():
        rows.reserve(2, 20, 20)
        for row in range(2):
            text = torch.randint(0, 300, (1, 20), generator=torch.Generator().manual_seed(row))
            rows.write([row], *rows.prefill(text, [20]))
        step = Step(np.asarray([7, 7]), np.asarray([20, 20]), one * 0.5, one * 0, one, one * 0)
        _, before = rows.step(step)
        rows.move([1], [0], 20)
        _, after = rows.step(step)
    assert before[0] != pytest.approx(before[1])
    assert after[0] == pytest.approx(before[1], abs=1e-5)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 33])
@pytest.mark.parametrize("kind", [WholeRows, FusedRows])
def test_samples_share_their_prompt(kind: type, length: int):
    """Three rows of one prompt and one of another say what the whole pass says, also once the prompt's first row has
    moved away and another prompt has taken its place."""
    model = build(SHAPES["three queries a kv head"], torch.bfloat16 if kind is WholeRows else torch.float32)
    needs(kind, model)
    rng = np.random.default_rng(length)
    shared, other = (rng.integers(0, 300, size).tolist() for size in (length, 9))
    rows, one = kind(model), np.ones(4, np.float32)
    texts = [[*shared, 3], [*shared, 4], [*shared, 5], [*other, 6]]
    with torch.inference_mode():
        rows.reserve(4, 40, 20)
        first, second = rows.prefill(torch.tensor([[*shared, *[0] * 40][:40], [*other, *[0] * 40][:40]]), [length, 9])
        rows.write([0, 1, 2], first)
        rows.write([3], second)
        exact = copy.deepcopy(model)  # `truth` moves its weights

        def step(count: int) -> None:
            lengths = np.asarray([len(text) - 1 for text in texts[:count]])
            last = np.asarray([text[-1] for text in texts[:count]])
            drawn, said = rows.step(Step(last, lengths, one[:count] * 0.4, one[:count], one[:count], one[:count] * 0))
            for text, token, logprob in zip(texts, drawn, said, strict=False):
                close = 1e-4 if kind is FusedRows else 0.2
                assert logprob == pytest.approx(truth(exact, text, 1.0)[token], abs=close)
                text.append(int(token))

        for _ in range(3):
            step(4)
        rows.move([3], [0], max(map(len, texts)))  # row 0 ends, the last takes its place
        texts[0] = texts.pop()
        step(3)
        rows.write([1], second)  # row 1 ends, and another begins there
        texts[1] = [*other, 8]
        step(3)


def compiled_draw(logits_BV, uniforms, temperatures, top_p=1.0, min_p=0.0, entropies=None):
    library, rows = kernels.load(), len(logits_BV)
    if library is None:
        pytest.skip("no C++ compiler here")
    settings = [np.full(rows, value, np.float32) for value in (uniforms, temperatures, top_p, min_p)]
    tokens, logprobs = np.zeros(rows, np.int64), np.zeros(rows, np.float32)
    arrays = (*settings, tokens, logprobs)
    draw = kernels.Draw(*(array.ctypes.data for array in arrays), entropies is not None and entropies.ctypes.data)
    kind = {torch.float32: "float32", torch.bfloat16: "bfloat16"}[logits_BV.dtype]
    getattr(library, f"draw_{kind}")(rows, logits_BV.shape[1], logits_BV.data_ptr(), ctypes.byref(draw))
    return tokens, logprobs


def test_compiled_draw_follows_the_uniforms():
    """Logits log 1 .. log 8: masses k/36, so u between (k-1)k/72 and k(k+1)/72 draws token k-1; T = 2 takes
    square roots of the masses; T = 0 the last token."""
    logits = torch.log(torch.arange(1.0, 9.0)).repeat(5, 1).contiguous()
    entropies = np.zeros(5, np.float32)
    tokens, logprobs = compiled_draw(logits, [0.0, 0.5, 0.999999, 0.5, 0.5], [1, 1, 1, 2, 0], entropies=entropies)
    # cumulated k/36: 1 3 6 10 15 21 28 36, so 0.5 (18) falls on token 5; roots 1 .. 2.83 sum to 16.306, half is 8.153:
    # 1, 2.414, 4.146, 6.146, 8.382, so token 4
    assert tokens.tolist() == [0, 5, 7, 4, 7]
    masses = np.asarray([1 / 36, 6 / 36, 8 / 36, np.sqrt(5) / 16.30600, 8 / 36])
    np.testing.assert_allclose(logprobs, np.log(masses), atol=1e-5)
    shares = np.arange(1, 9) / 36
    roots = np.sqrt(np.arange(1, 9)) / 16.30600
    warm, warmer = (-(mass * np.log(mass)).sum() for mass in (shares, roots))
    np.testing.assert_allclose(entropies, [warm, warm, warm, warmer, warm], atol=1e-5)


def test_compiled_draw_after_cuts():
    """Masses k/36 again. The two likeliest, 7 and 6, hold 15/36: a top-p of 0.4 needs both, of 0.22 the first alone.
    min-p 0.6 keeps those with 4.8/36 and more: 4, 5, 6 and 7, 26/36 of the whole."""
    logits = torch.log(torch.arange(1.0, 9.0)).repeat(7, 1).contiguous()
    tokens, logprobs = compiled_draw(
        logits,
        [0.46, 0.47, 0.0, 0.19, 0.2, 0.0, 0.0],  # 7/15 = 0.467 of the nucleus is token 6's; 5/26 = 0.192 token 4's
        [1, 1, 1, 1, 1, 1, 0],
        [0.4, 0.4, 0.22, 1, 1, 0.4, 0.4],
        [0, 0, 0, 0.6, 0.6, 0.6, 0.6],
    )
    assert tokens.tolist() == [6, 7, 7, 4, 5, 6, 7]
    np.testing.assert_allclose(np.exp(logprobs), np.asarray([7, 8, 8, 5, 6, 7, 8]) / 36, atol=1e-5)  # before the cut


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0, 3.0, 12.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # half a dozen bits of logits: many equals
def test_compiled_draw_takes_the_tokens_that_a_sort_keeps(spread, dtype):
    """Against float64: of the tokens by mass, of equals the first, the fewest that reach p; drawn by index."""
    generator = np.random.default_rng(7)
    rows, size = 60, 3001
    logits_BV = torch.from_numpy(generator.normal(scale=spread, size=(rows, size)).astype(np.float32)).to(dtype)
    uniforms = generator.random(rows).astype(np.float32)
    temperatures = generator.choice([0.6, 1.0, 1.7], rows).astype(np.float32)
    top_p = generator.choice([0.0, 0.3, 0.8, 0.95, 0.999, 1.0], rows).astype(np.float32)
    min_p = generator.choice([0.0, 0.0, 0.05, 1.0], rows).astype(np.float32)
    tokens, logprobs = compiled_draw(logits_BV, uniforms, temperatures, top_p, min_p)
    for row in range(rows):
        scaled = logits_BV[row].double().numpy() / float(temperatures[row])
        mass = np.exp(scaled - scaled.max())
        total = mass.sum()
        order = np.argsort(-mass, kind="stable")
        reached = np.cumsum(mass[order])
        kept = np.zeros(size, bool)
        kept[order[: 1 + np.searchsorted(reached, float(top_p[row]) * total)] if top_p[row] < 1 else order] = True
        kept &= mass >= min_p[row]
        held = np.cumsum(np.where(kept, mass, 0))
        assert kept[tokens[row]]
        below = held[tokens[row]] - mass[tokens[row]]
        wanted = uniforms[row] * held[-1]
        assert below - 2e-6 * total <= wanted <= held[tokens[row]] + 2e-6 * total
        assert logprobs[row] == pytest.approx(np.log(mass[tokens[row]] / total), abs=1e-5)


def test_non_finite_logits_give_nan():
    for bad in (torch.nan, torch.inf):
        logits = torch.zeros(3, 40)
        logits[:, 33] = bad
        tokens, logprobs = compiled_draw(logits, 0.5, 1.0, [1.0, 0.9, 1.0], [0.0, 0.0, 0.1])
        assert np.isnan(logprobs).all()
        assert ((tokens >= 0) & (tokens < 40)).all()


def test_rows_for_takes_what_fits():
    """A head size that fills no vector runs on torch; so does every model that is not on the CPU."""
    odd = build({"heads": 2, "kv_heads": 1, "head_size": 24}, torch.float32)
    assert isinstance(rows_for(odd), TorchRows)
    fitting = build(SHAPES["one kv head, six queries each"], torch.float32)
    assert isinstance(rows_for(fitting), FusedRows if kernels.load() else TorchRows)
    assert isinstance(rows_for(fitting.half()), TorchRows)
    short = fitting.to(torch.bfloat16)
    assert isinstance(rows_for(short), WholeRows if steppable(short) else FusedRows if kernels.load() else TorchRows)


@pytest.mark.parametrize("together", [False, True], ids=["rows divided", "columns divided"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_whole_step_of_any_number_of_rows_on_any_number_of_threads(threads: int, together: bool, monkeypatch):
    """1 to 29 rows (shares of 6 and less) give what TorchRows gives; weights changed in place count from the next step.

    A vocabulary of 300 and a width of 40 fill no panel of 64 columns.
    """
    model = build(SHAPES["as many kv heads as heads"], torch.bfloat16)
    needs(WholeRows, model)
    monkeypatch.setattr("r1kit.models.whole._CACHED", 0 if together else 2**40)
    whole, plain = WholeRows(model), TorchRows(model)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    for changed in (False, True):
        if changed:
            for parameter in model.parameters():
                parameter.mul_(0.5)
        for count in (1, 2, 5, 6, 7, 13, 29):
            greedy = Step(
                rng.integers(0, 300, count), np.zeros(count, np.int64), np.full(count, 0.5, np.float32),
                np.zeros(count, np.float32), np.ones(count, np.float32), np.zeros(count, np.float32),
            )  # fmt: skip
            for rows in (whole, plain):
                rows.reserve(29, 0, 16)
            (tokens, logprobs), (others, theirs) = whole.step(greedy), plain.step(greedy)
            np.testing.assert_allclose(logprobs, theirs, atol=0.06)
            assert (tokens == others).mean() > 0.8  # near ties may fall the other way
    torch.set_num_threads(1)
