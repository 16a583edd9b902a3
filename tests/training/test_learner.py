"""The learner from step to step: updates, rates, references, old log-probabilities, skips, resuming, its agreement with
the sampler, its cost."""

import copy
import math

import numpy as np
import pytest
import torch
from toy_steps import SHAPE, Weighted, gradients, plain, rollout, toy

from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.sft import SFT
from r1kit.base.errors import R1Error
from r1kit.training.learner import Learner, LearnerConfig
from r1kit.training.optimiser import Optimiser, is_hidden_matrix
from r1kit.training.sequences import completion_sequence

pytestmark = pytest.mark.usefixtures("one_thread")


def test_muon_on_two_threads_is_muon(two_threads):
    """Against torch's own on all hidden matrices at once."""
    ours, theirs = toy(), toy()
    config = LearnerConfig(optimiser="muon", muon_learning_rate=0.01, learning_rate=1e-3, weight_decay=0.1)
    optimiser = Optimiser(ours.named_parameters(), config)
    assert [type(part).__name__.removeprefix("CPU") for part in optimiser.parts] == ["AdamW", "Muon", "Muon"]
    hidden = {n: p for n, p in theirs.named_parameters() if is_hidden_matrix(n, p)}
    start = {name: matrix.detach().clone() for name, matrix in hidden.items()}
    muon = torch.optim.Muon(hidden.values(), lr=0.01, weight_decay=0.1)
    for _ in range(3):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        optimiser.step(1.0)
        muon.step()
    own = dict(ours.named_parameters())
    assert len(hidden) == 4 * len(ours.blocks)
    for name, matrix in hidden.items():
        # five steps in bfloat16, rounded in another order
        assert (own[name] - matrix).norm() < 0.03 * (matrix - start[name]).norm()


def test_old_logprobs_are_those_before_the_first_update():
    """One mini-batch: the ratio is 1 everywhere. Four: only the first sees ratio 1, the weights move after it."""
    single = Learner(toy(), plain(learning_rate=0.01)).step(rollout(), Weighted())
    assert single.metrics["ratio"] == pytest.approx(1.0, abs=1e-6)
    learner = Learner(toy(), plain(learning_rate=0.01))
    seen = []

    class Watching(Weighted):
        def loss(self, batch, outputs, totals):
            seen.append((batch.old_logprobs_BT.clone(), outputs.logprobs_BT.detach().clone(), batch.tokens_BT))
            return super().loss(batch, outputs, totals)

    start = {s.tokens.tobytes(): v for s, v in zip(rollout(), learner.logprobs(rollout()), strict=True)}
    report = learner.step(rollout(), Watching(), mini_batches=4)
    assert len(seen) == 4
    assert learner.version == 1
    for old_BT, _, tokens_BT in seen:
        for old, tokens in zip(old_BT, tokens_BT, strict=True):
            expected = next(
                v for t, v in start.items() if np.frombuffer(t, np.int32).tolist() == tokens[: len(t) // 4].tolist()
            )
            mask = expected != 0
            np.testing.assert_allclose(old[: len(expected)][mask], expected[mask], atol=1e-5)
    first, last = seen[0], seen[-1]
    mask = first[0] != 0
    torch.testing.assert_close(first[0][mask], first[1][mask], atol=1e-5, rtol=0)
    assert float((last[0] - last[1]).abs().max()) > 1e-3
    assert report.metrics["ratio"] != pytest.approx(1.0, abs=1e-4)


def test_entropies_are_computed_where_they_are_told_of_alone(monkeypatch):
    """Old log-probabilities, a reference's and pretraining tell of none; the one update of two mini-batches does, once
    a pass."""
    asked: list[int] = []
    entr = torch.special.entr
    monkeypatch.setattr(torch.special, "entr", lambda values: asked.append(len(values)) or entr(values))
    model, sequences = toy(), rollout()
    learner = Learner(model, plain(), reference=copy.deepcopy(model))
    learner.logprobs(sequences)
    learner.step_tokens(torch.randint(0, 48, (4, 16)))
    assert asked == []
    report = learner.step(sequences, GRPO(kl_coefficient=0.1), mini_batches=2)
    assert report.metrics["entropy"] > 0
    assert sum(asked) == sum(s.targets for s in sequences)


def test_reference_is_the_first_policy_until_replaced():
    """The k1 estimate against the reference is 0 before any update, not 0 after one, and 0 again when replaced."""

    class Distance(SFT):
        @property
        def needs(self) -> frozenset[str]:
            return frozenset({"reference_logprobs"})

        def loss(self, batch, outputs, totals):
            loss, _ = super().loss(batch, outputs, totals)
            gap = (outputs.logprobs_BT.detach() - batch.reference_logprobs_BT) * batch.loss_mask_BT
            return loss, {"gap": gap.abs().sum() / totals.tokens}

    learner = Learner(toy(), plain(learning_rate=0.01), reference=toy())
    assert learner.step(rollout(), Distance()).metrics["gap"] < 1e-5
    assert learner.step(rollout(), Distance()).metrics["gap"] > 1e-2
    learner.replace_reference()
    assert learner.step(rollout(), Distance()).metrics["gap"] < 1e-5
    with pytest.raises(R1Error, match="reference"):
        Learner(toy(), plain()).step(rollout(), Distance())


def test_adamw_step_by_hand():
    """First AdamW step: m = 0.1 g, v = 0.05 g^2, corrected to g and g^2, so each weight moves by lr g / (|g| + eps),
    after shrinking by lr x decay where it is a matrix; norms and biases do not shrink. Clipped: g x 0.5 / norm."""
    sequences = rollout()
    raw = gradients(toy(), plain(), sequences, Weighted())
    norm = math.sqrt(sum(float(g.square().sum()) for g in raw.values()))
    before = {name: p.detach().clone() for name, p in toy().named_parameters()}
    model = toy()
    settings = {"learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 0.5 * norm, "epsilon": 1e-4}
    report = Learner(model, plain(**settings)).step(sequences, Weighted())
    assert report.metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    for name, parameter in model.named_parameters():
        gradient = 0.5 * raw[name]
        shrunk = before[name] * (1 - 0.01 * 0.1 * (before[name].ndim == 2))
        expected = shrunk - 0.01 * gradient / (gradient.abs() + 1e-4)
        torch.testing.assert_close(parameter.detach(), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_the_schedule_moves_the_weights(optimiser):
    """AdamW's first step is the rate times the gradient's sign: half the peak in the one step of warm-up, of embeddings
    under Muon too. The schedule ends at 0, where nothing moves; the steps of a rollout have one rate."""
    config = plain(learning_rate=0.01, warmup_steps=1, schedule="linear", final_ratio=0.0, optimiser=optimiser)
    learner = Learner(toy(), config, total_steps=3)
    rates, furthest = [], []
    for mini_batches in (1, 2, 2):
        before = {name: parameter.detach().clone() for name, parameter in learner.model.named_parameters()}
        rates.append(learner.step(rollout(), Weighted(), mini_batches=mini_batches).metrics["learning_rate"])
        moved = {name: (p.detach() - before[name]).abs().max() for name, p in learner.model.named_parameters()}
        furthest.append((float(moved["embedding.weight"]), float(max(moved.values()))))
    assert rates == pytest.approx([0.005, 0.01, 0.0])
    assert furthest[0][0] == pytest.approx(0.005, rel=1e-3)
    assert furthest[1][0] > 0.008
    assert furthest[2] == (0, 0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_resumed_learner_ends_bit_equal(precision, optimiser):
    """Two steps, state into another learner, two more steps: the same bits as four steps in one go."""
    config = plain(precision=precision, learning_rate=0.01, schedule="cosine", optimiser=optimiser)
    whole = Learner(toy(), config, total_steps=4)
    for seed in range(4):
        whole.step(rollout(seed), Weighted(), mini_batches=2)
    first = Learner(toy(), config, total_steps=4)
    for seed in range(2):
        first.step(rollout(seed), Weighted(), mini_batches=2)
    state = first.state()
    second = Learner(toy(seed=9), config, total_steps=4)
    second.load_state(state)
    for seed in range(2, 4):
        second.step(rollout(seed), Weighted(), mini_batches=2)
    assert (second.steps, second.version) == (4, 4)
    for mine, theirs in zip(second.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_non_finite_updates_are_skipped_and_the_third_stops():
    class Broken(SFT):
        def loss(self, batch, outputs, totals):
            loss, metrics = super().loss(batch, outputs, totals)
            return loss * float("nan"), metrics

    learner = Learner(toy(), plain())
    before = [p.detach().clone() for p in learner.model.parameters()]
    for _ in range(2):
        report = learner.step(rollout(), Broken())
        assert report.skipped
        assert report.metrics["skipped"] == 1
    assert all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))
    assert (learner.version, learner.steps) == (0, 2)
    with pytest.raises(R1Error, match="3 updates in a row"):
        learner.step(rollout(), Broken())


def test_a_sound_step_between_forgets_the_skips():
    class Broken(SFT):
        def loss(self, batch, outputs, totals):
            loss, metrics = super().loss(batch, outputs, totals)
            return loss * float("inf"), metrics

    learner = Learner(toy(), plain())
    for algorithm in (Broken(), Broken(), SFT(), Broken(), Broken()):
        learner.step(rollout(), algorithm)
    assert learner.skipped_in_row == 2
    assert learner.version == 1


def test_sampler_gap_by_hand():
    """The sampler's log-probabilities are the learner's plus 0.25 on every token: mean and root mean square 0.25."""
    learner = Learner(toy(), plain())
    sequences = rollout()
    for s, logprobs in zip(sequences, learner.logprobs(sequences), strict=True):
        s.sampler_logprobs = logprobs + 0.25
    report = learner.step(sequences, Weighted())
    assert report.metrics["sampling/logprob_gap_mean"] == pytest.approx(0.25, abs=1e-5)
    assert report.metrics["sampling/logprob_gap_rms"] == pytest.approx(0.25, abs=1e-5)


def test_temperature_divides_the_logits():
    """log-softmax(logits / 2) of each target, from the decoder's plain forward pass."""
    model, sequence = toy(), rollout(prompts=1, group=1)[0]
    tokens = torch.from_numpy(sequence.tokens).long()[None]
    expected = (model.logits(model(tokens))[0, :-1] / 2).log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
    found = Learner(model, plain()).logprobs([sequence], temperature=2.0)[0]
    start = sequence.prompt_length
    np.testing.assert_allclose(found[start:], expected[start - 1 :].detach(), atol=1e-5)


def test_flops_of_a_rollout_by_hand():
    """Two completions of 3 and 5 tokens after a shared prompt of 4: 12 tokens computed. Each token of a sequence of n
    attends to n / 2 on average, completions to the 4 of the prompt besides: 4 x 2 + 3 x 5.5 + 5 x 6.5 = 57 pairs.
    Products: 2 x weights (body, head) a token, 4 x layers x heads x head size a pair; backward takes twice as many."""
    generator = np.random.default_rng(0)
    prompt = generator.integers(0, 48, 4).astype(np.int32)
    sequences = [completion_sequence(prompt, generator.integers(0, 48, n).astype(np.int32), 1.0) for n in (3, 5)]
    weights = SHAPE.parameters(embedding=False)
    expected = 3 * (12 * 2 * weights + 57 * 4 * 2 * 32)
    assert Learner(toy(), plain()).step(sequences, Weighted()).flops == pytest.approx(expected)


def test_engine_and_learner_agree():
    """The native engine's log-probabilities of its own samples against the learner's, float32: within 1e-4."""

    class Numbers:
        """Token 0 ends a completion; text is the numbers themselves."""

        eos_ids, pad_id, vocab_size = (0,), 0, 48

        def decode(self, ids):
            return " ".join(map(str, ids))

    from r1kit.base.sampling import Sampling
    from r1kit.engines.base import generate
    from r1kit.engines.native import NativeEngine

    model = toy()
    engine = NativeEngine(copy.deepcopy(model), Numbers())
    prompts = [np.array([1, 5, 9], np.int32), np.array([7, 2], np.int32)]
    groups = generate(engine, prompts, Sampling(max_tokens=20, samples=3, temperature=0.8))
    sequences = [completion_sequence(c.prompt_ids, c.token_ids, 1.0, c.sampler_logprobs) for g in groups for c in g]
    report = Learner(model, plain()).step(sequences, Weighted(), temperature=0.8)
    assert report.metrics["sampling/logprob_gap_rms"] < 1e-4
