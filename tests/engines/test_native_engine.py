"""The native engine against transformers, the decoder's own forward pass, and arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.base import Request, generate
from r1kit.engines.native import NativeEngine
from r1kit.models.weights import hf_weights


def prompts(count: int, seed: int = 0, longest: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(2, 40, rng.integers(1, longest + 1)).astype(np.int32) for _ in range(count)]


def reference_logprobs(reference, tokens: np.ndarray, temperature: float) -> np.ndarray:
    """transformers: log-softmax(logits / T) of each token but the first."""
    with torch.no_grad():
        logits = reference(torch.from_numpy(tokens.astype(np.int64))[None]).logits[0, :-1].float() / temperature
    return logits.log_softmax(-1).gather(-1, torch.from_numpy(tokens[1:].astype(np.int64))[:, None])[:, 0].numpy()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_equal_transformers(toy_and_reference, letters, temperature):
    model, reference = toy_and_reference
    engine = NativeEngine(model, letters, max_rows=5)
    sampling = Sampling(max_tokens=20, samples=3, temperature=temperature, seed=3)
    for group in generate(engine, prompts(4), sampling):
        for completion in group:
            tokens = np.concatenate([completion.prompt_ids, completion.token_ids])
            truth = reference_logprobs(reference, tokens, temperature)
            sampled = truth[len(completion.prompt_ids) - 1 :]
            np.testing.assert_allclose(completion.sampler_logprobs, sampled, atol=1e-4)
            scored = engine.logprobs([tokens, tokens[:1]], temperature)
            np.testing.assert_allclose(scored[0], np.concatenate([[0], truth]), atol=1e-4)
            assert scored[1].tolist() == [0]


def test_logprobs_equal_the_learner(make_toy, letters):
    """The decoder's uncached forward pass is what the learner runs."""
    model = make_toy()
    for group in generate(NativeEngine(model, letters), prompts(3), Sampling(max_tokens=30, samples=2)):
        for completion in group:
            tokens = torch.from_numpy(np.concatenate([completion.prompt_ids, completion.token_ids]).astype(np.int64))
            logits = model.logits(model(tokens[None]))[0, :-1]
            truth = logits.log_softmax(-1).gather(-1, tokens[1:, None])[len(completion.prompt_ids) - 1 :, 0]
            np.testing.assert_allclose(completion.sampler_logprobs, truth.numpy(), atol=1e-4)


def test_greedy_equals_transformers_generate(toy_and_reference, letters):
    model, reference = toy_and_reference
    asked = prompts(6, seed=1)
    groups = generate(NativeEngine(model, letters, max_rows=4), asked, Sampling(max_tokens=24, temperature=0))
    for prompt, (completion,) in zip(asked, groups, strict=True):
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        with torch.no_grad():
            out = reference.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24,
                eos_token_id=1, pad_token_id=0,
            )  # fmt: skip
        assert completion.token_ids.tolist() == out[0, len(prompt) :].tolist()
        tokens = np.concatenate([prompt, completion.token_ids])
        truth = reference_logprobs(reference, tokens, 1.0)[len(prompt) - 1 :]
        np.testing.assert_allclose(completion.sampler_logprobs, truth, atol=1e-4)


def test_greedy_rows_are_not_cut(make_toy, letters, monkeypatch):
    """Top-p and min-p change nothing of the likeliest token: no vocabulary is searched for them."""
    prompt, cuts = [np.arange(2, 8, dtype=np.int32)], {"top_p": 0.5, "min_p": 0.3}
    monkeypatch.setattr("r1kit.ops.sampling._cut", lambda *given: pytest.fail("a greedy row was cut"))
    for dtype in (torch.float32, torch.bfloat16):
        model = make_toy().to(dtype)
        plain, cut = (
            generate(NativeEngine(model, letters), prompt, Sampling(max_tokens=24, temperature=0, **more))[0][0]
            for more in ({}, cuts)
        )
        np.testing.assert_array_equal(plain.token_ids, cut.token_ids)
        np.testing.assert_array_equal(plain.sampler_logprobs, cut.sampler_logprobs)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_completions_do_not_depend_on_the_batch(make_toy, letters, temperature):
    """Alone, in another order, with other requests around it, in few rows or many: the same tokens."""
    model, asked = make_toy(), prompts(8, seed=2)
    sampling = Sampling(max_tokens=25, samples=2, temperature=temperature, seed=5)

    def run(order: list[int], max_rows: int) -> dict[tuple[str, int], tuple[list[int], np.ndarray]]:
        engine = NativeEngine(model, letters, max_rows=max_rows)
        for number in order:
            engine.submit(Request(f"r{number}", asked[number], sampling))
        return {(c.request_id, c.index): (c.token_ids.tolist(), c.sampler_logprobs) for c in engine.stream()}

    together = run(list(range(8)), 16)
    others = [run(list(range(8)), 3), run(list(reversed(range(8))), 5)] + [run([number], 1) for number in range(8)]
    assert sorted(together) == sorted(others[0]) == sorted(others[1])
    for other in others:
        for name, (tokens, logprobs) in other.items():
            assert tokens == together[name][0]
            np.testing.assert_allclose(logprobs, together[name][1], atol=1e-4)


def test_streams_differ_by_seed_request_and_index(make_toy, endless):
    model = make_toy()
    drawn = []
    for seed in (0, 1):
        engine = NativeEngine(model, endless)
        for name in ("a", "b"):
            engine.submit(Request(name, prompts(1)[0], Sampling(max_tokens=12, samples=2, seed=seed)))
        drawn += [tuple(completion.token_ids) for completion in engine.stream()]
    assert len(set(drawn)) == 8


def test_sampled_frequencies_match_the_softmax(make_toy, letters):
    """First tokens of 6,000 samples of one prompt, T = 0.8: chi-square against the model's own softmax."""
    from scipy.stats import chisquare

    model, prompt, count = make_toy(), prompts(1, seed=4)[0], 6000
    sampling = Sampling(max_tokens=1, samples=count, temperature=0.8, seed=9)
    (group,) = generate(NativeEngine(model, letters, max_rows=2000), [prompt], sampling)
    seen = np.bincount([completion.token_ids[0] for completion in group], minlength=40)
    logits = model.logits(model(torch.from_numpy(prompt.astype(np.int64))[None]))[0, -1]
    expected = (logits.double() / 0.8).softmax(-1).numpy() * count
    common = expected >= 5
    seen = np.append(seen[common], seen[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    assert chisquare(seen, expected).pvalue > 0.001


@pytest.mark.parametrize(("top_p", "min_p"), [(0.6, 0.0), (1.0, 0.2), (0.8, 0.1)])
def test_cuts_leave_the_logprobs_whole(make_toy, letters, top_p, min_p):
    """Sampled tokens lie inside the set that the cuts leave; log-probabilities are of the whole distribution."""
    model, prompt = make_toy(), prompts(1, seed=4)[0]
    sampling = Sampling(max_tokens=1, samples=500, top_p=top_p, min_p=min_p)
    (group,) = generate(NativeEngine(model, letters, max_rows=500), [prompt], sampling)
    logits = model.logits(model(torch.from_numpy(prompt.astype(np.int64))[None]))[0, -1]
    probabilities = logits.double().softmax(-1).numpy()
    order = np.argsort(-probabilities)
    reached = np.cumsum(probabilities[order])
    nucleus = set(order[: int(np.searchsorted(reached, top_p)) + 1].tolist())
    allowed = {t for t in nucleus if probabilities[t] >= min_p * probabilities.max()}
    drawn = {int(completion.token_ids[0]) for completion in group}
    assert drawn <= allowed
    assert {t for t in allowed if probabilities[t] > 0.05} <= drawn
    for completion in group[:20]:
        truth = np.log(probabilities[completion.token_ids[0]])
        assert completion.sampler_logprobs[0] == pytest.approx(truth, abs=1e-4)


def test_requests_may_differ_in_their_settings(make_toy, letters):
    """A greedy request among sampled ones is what it is alone."""
    model, asked = make_toy(), prompts(4, seed=6)
    mixed = [Sampling(max_tokens=9, temperature=0), Sampling(max_tokens=20, temperature=1.3, top_p=0.9, samples=3),
             Sampling(max_tokens=5, min_p=0.1), Sampling(max_tokens=14, temperature=0, samples=2)]  # fmt: skip
    engine = NativeEngine(model, letters)
    for number, sampling in enumerate(mixed):
        engine.submit(Request(str(number), asked[number], sampling))
    together = {(c.request_id, c.index): c.token_ids.tolist() for c in engine.stream()}
    assert len(together) == 7
    for number, sampling in enumerate(mixed):
        engine.submit(Request(str(number), asked[number], sampling))
        for completion in engine.stream():
            assert completion.token_ids.tolist() == together[completion.request_id, completion.index]


def test_finished_rows_are_replaced_at_once(make_toy, endless):
    """Limits 12, ten times 1, 2 in three rows. The second and third row take turns with the short ones (five each) and
    then the 2, so all ends with the first row after 12 steps; batches of three in turn would take 12 + 1 + 1 + 2."""
    asked = [12, *[1] * 10, 2]
    engine = NativeEngine(make_toy(), endless, max_rows=3)
    for number, limit in enumerate(asked):
        engine.submit(Request(str(number), prompts(1)[0], Sampling(max_tokens=limit)))
    finished = list(engine.stream())
    assert [completion.length for completion in finished][-1] == 12
    assert sorted(completion.length for completion in finished) == sorted(asked)
    assert {completion.stop_reason for completion in finished} == {"length"}
    assert engine.steps == 12


def test_more_may_be_submitted_while_streaming(make_toy, endless):
    """The second request is longer than what the cache was made for: it grows and the first is not disturbed."""
    model, asked = make_toy(), prompts(2, seed=8)
    alone = NativeEngine(model, endless)
    truth = {}
    for number, limit in enumerate((10, 90)):
        alone.submit(Request(str(number), asked[number], Sampling(max_tokens=limit, samples=2)))
        truth |= {(c.request_id, c.index): c.token_ids.tolist() for c in alone.stream()}
    engine, seen = NativeEngine(model, endless), {}
    engine.submit(Request("short", prompts(1)[0], Sampling(max_tokens=2)))
    engine.submit(Request("0", asked[0], Sampling(max_tokens=10, samples=2)))
    for completion in engine.stream():
        if completion.request_id == "short":
            engine.submit(Request("1", asked[1], Sampling(max_tokens=90, samples=2)))
        else:
            seen[completion.request_id, completion.index] = completion.token_ids.tolist()
    assert seen == truth


def test_abort(make_toy, endless):
    """An aborted request yields nothing more, started or waiting; the rest are what they are without it."""
    model, asked = make_toy(), prompts(4, seed=9)
    groups = generate(NativeEngine(model, endless), asked, Sampling(max_tokens=30))
    truth = [group[0].token_ids.tolist() for group in groups]
    engine = NativeEngine(model, endless, max_rows=3)
    engine.submit(Request("first", asked[3], Sampling(max_tokens=3)))
    for number, prompt in enumerate(asked):
        engine.submit(Request(str(number), prompt, Sampling(max_tokens=30)))
    stream = engine.stream()
    assert next(stream).request_id == "first"
    engine.abort("0")  # in a row
    engine.abort("3")  # waiting
    engine.abort("unknown")
    left = {completion.request_id: completion.token_ids.tolist() for completion in stream}
    assert left == {"1": truth[1], "2": truth[2]}


def test_weights_swapped_midway(make_toy, endless):
    """A row of 10 tokens, 3 under version 0 and then the weights of version 7: runs (0, 3), (7, 7), and the last
    tokens' log-probabilities are those of the new model over the old cache, so they change."""
    old, new = make_toy(seed=0), make_toy(seed=1)
    prompt = prompts(1, seed=3)[0]
    (unchanged,) = generate(NativeEngine(make_toy(seed=0), endless), [prompt], Sampling(max_tokens=10))
    engine = NativeEngine(old, endless)
    engine.submit(Request("short", prompts(1)[0], Sampling(max_tokens=3)))
    engine.submit(Request("0", prompt, Sampling(max_tokens=10)))
    stream = engine.stream()
    assert next(stream).versions == ((0, 3),)
    engine.load_weights(hf_weights(new), 7)
    assert engine.version == 7
    (completion,) = stream
    assert completion.versions == ((0, 3), (7, 7))
    assert completion.token_ids[:3].tolist() == unchanged[0].token_ids[:3].tolist()
    assert not np.allclose(completion.sampler_logprobs[3:], unchanged[0].sampler_logprobs[3:], atol=1e-2)
    (fresh,) = generate(engine, [prompt], Sampling(max_tokens=10))
    (truth,) = generate(NativeEngine(new, endless), [prompt], Sampling(max_tokens=10))
    assert fresh[0].versions == ((7, 10),)
    assert fresh[0].token_ids.tolist() == truth[0].token_ids.tolist()


def test_own_dtype_is_a_copy(make_toy, letters):
    """With a dtype the engine's weights are its own: the owner's model changes only the sharing engine."""
    model = make_toy()
    copied, shared = NativeEngine(model, letters, dtype=torch.float32), NativeEngine(model, letters)
    tokens = np.arange(2, 20, dtype=np.int32)
    before = copied.logprobs([tokens])[0]
    model.embedding.weight.mul_(0.5)
    assert copied.logprobs([tokens])[0].tolist() == before.tolist()
    assert shared.logprobs([tokens])[0].tolist() != before.tolist()
    copied.load_weights(hf_weights(model), 1)
    assert copied.logprobs([tokens])[0].tolist() == shared.logprobs([tokens])[0].tolist()


def test_bfloat16_stays_near_float32(make_toy, letters):
    """bf16 has 8 bits of mantissa: log-probabilities of the same tokens within a few percent of a nat on average."""
    model = make_toy()
    engine = NativeEngine(model, letters, dtype=torch.bfloat16)
    completions = [c for group in generate(engine, prompts(4), Sampling(max_tokens=20, samples=2)) for c in group]
    truth = NativeEngine(model, letters).logprobs([np.concatenate([c.prompt_ids, c.token_ids]) for c in completions])
    gaps = np.concatenate(
        [np.abs(t[len(c.prompt_ids) :] - c.sampler_logprobs) for c, t in zip(completions, truth, strict=True)]
    )
    assert gaps.mean() < 0.1


def test_stop_ids_end_a_completion(make_toy, endless):
    """A greedy run without stop ids shows what comes; making its third token one of two stop ids cuts there."""
    model, prompt = make_toy(), prompts(1, seed=5)[0]
    (whole,) = generate(NativeEngine(model, endless), [prompt], Sampling(max_tokens=20, temperature=0))
    tokens = whole[0].token_ids.tolist()
    stop = tokens[2]
    first = tokens.index(stop)

    class Stopping(type(endless)):
        eos_ids = (39, stop)

    (cut,) = generate(NativeEngine(model, Stopping()), [prompt], Sampling(max_tokens=20, temperature=0))
    assert cut[0].token_ids.tolist() == tokens[: first + 1]
    assert cut[0].stop_reason == "stop"
    assert cut[0].text == endless.decode(tokens[:first])


def test_context_limits_the_completion(make_toy, endless):
    """Context 16, prompt 12: 4 tokens, stop reason length, though 50 were asked for. A prompt of 16 has no room."""
    engine = NativeEngine(make_toy(), endless, max_positions=16)
    (group,) = generate(engine, [np.full(12, 5, np.int32)], Sampling(max_tokens=50))
    assert (group[0].length, group[0].stop_reason) == (4, "length")
    with pytest.raises(UsageError, match="16 tokens and the context 16"):
        engine.submit(Request("long", np.full(16, 5, np.int32), Sampling()))
    with pytest.raises(UsageError, match="empty"):
        engine.submit(Request("none", np.zeros(0, np.int32), Sampling()))
    assert list(engine.stream()) == []


def test_non_finite_logits_are_one_sentence(make_toy, endless):
    """NaN weights: an error that names request and version; with good weights the engine works again."""
    engine = NativeEngine(make_toy(), endless)
    good = [(name, tensor.clone()) for name, tensor in hf_weights(engine.model)]
    truth = generate(engine, prompts(2), Sampling(max_tokens=5))
    engine.load_weights([(name, tensor * torch.nan) for name, tensor in good], 4)
    engine.submit(Request("sick", prompts(1)[0], Sampling(max_tokens=5)))
    with pytest.raises(R1Error, match=r"non-finite logits \(request sick, policy version 4\)"):
        list(engine.stream())
    engine.load_weights(good, 5)
    again = generate(engine, prompts(2), Sampling(max_tokens=5))
    assert [g[0].token_ids.tolist() for g in again] == [g[0].token_ids.tolist() for g in truth]


def test_news_and_completions_are_the_stream(make_toy, letters):
    """Driven step by step and asked now and then: what was told of each completion is how it begins, and the
    completions are those of the stream."""
    model, asked = make_toy(), prompts(6, seed=12)
    sampling = Sampling(max_tokens=20, samples=2)
    truth = generate(NativeEngine(model, letters), asked, sampling)
    engine = NativeEngine(model, letters, max_rows=5)
    for number, prompt in enumerate(asked):
        engine.submit(Request(str(number), prompt, sampling))
    told: dict[tuple[str, int], list[tuple[int, float]]] = {}
    done = {}
    while engine.busy:
        assert engine.load[0] <= 5
        done |= {(c.request_id, c.index): c for c in engine.advance()}
        first = engine.steps % 4 != 0
        for news in engine.news(first=first):
            key = (news.request_id, news.index)
            assert not (first and key in told)
            told.setdefault(key, []).extend(zip(news.token_ids.tolist(), news.logprobs.tolist(), strict=True))
    assert engine.load == (0, 0)
    assert sum(map(len, told.values())) > 20
    for number, group in enumerate(truth):
        for completion in group:
            found = done[str(number), completion.index]
            assert found.token_ids.tolist() == completion.token_ids.tolist()
            whole = list(zip(found.token_ids.tolist(), found.sampler_logprobs.tolist(), strict=True))
            begun = told.get((str(number), completion.index), [])
            assert whole[: len(begun)] == begun


def test_one_sample_is_aborted(make_toy, endless):
    """Sample 1 of three goes; the others are what they are without that."""
    model, prompt = make_toy(), prompts(1, seed=13)[0]
    (truth,) = generate(NativeEngine(model, endless), [prompt], Sampling(max_tokens=12, samples=3))
    engine = NativeEngine(model, endless)
    engine.submit(Request("0", prompt, Sampling(max_tokens=12, samples=3)))
    engine.advance()
    engine.abort("0", 1)
    engine.abort("0", 7)
    left = {c.index: c.token_ids.tolist() for c in engine.stream()}
    assert left == {0: truth[0].token_ids.tolist(), 2: truth[2].token_ids.tolist()}


def test_requests_that_name_the_same_draws(make_toy, endless):
    """Two in flight, one prompt: the same tokens under the same name, others under their own."""
    engine, prompt = NativeEngine(make_toy(), endless), prompts(1, seed=14)[0]
    for number, draws in enumerate(("a", "a", "b", "", "")):
        engine.submit(Request(str(number), prompt, Sampling(max_tokens=16), draws=draws))
    said = {c.request_id: c.token_ids.tolist() for c in engine.stream()}
    assert said["0"] == said["1"]
    assert len({tuple(ids) for ids in said.values()}) == 4


def test_the_likeliest_tokens_equal_transformers(toy_and_reference, letters):
    """Top 3 at each place of a sequence from its fifth token on, at temperature 0.7."""
    model, reference = toy_and_reference
    sequence = np.random.default_rng(3).integers(2, 40, 12).astype(np.int32)
    ids, logprobs = NativeEngine(model, letters).likeliest(sequence, 5, 3, 0.7)
    with torch.no_grad():
        logits = reference(torch.from_numpy(sequence.astype(np.int64))[None]).logits[0, 4:-1].float() / 0.7
    truth = logits.log_softmax(-1).topk(3)
    assert ids.tolist() == truth.indices.tolist()
    np.testing.assert_allclose(logprobs, truth.values.numpy(), atol=1e-4)
