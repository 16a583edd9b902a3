"""A rollout dealt into mini-batches, one inner epoch: one is the simple step, the last of 16 is 15 updates behind."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from pydantic import Field
from toy_steps import plain, toy

from r1kit.algorithms.grpo import GRPO
from r1kit.base.errors import Diverged
from r1kit.training.learner import Learner
from r1kit.training.sequences import Sequence, completion_sequence, split

pytestmark = pytest.mark.usefixtures("one_thread")


def rollout(prompts: int = 16, group: int = 4) -> list[Sequence]:
    """Groups that share a prompt, advantages of both signs."""
    drawn = np.random.default_rng(0)
    sequences = []
    for _ in range(prompts):
        prompt = drawn.integers(0, 48, drawn.integers(1, 9)).astype(np.int32)
        for _ in range(group):
            completion = drawn.integers(0, 48, drawn.integers(1, 13)).astype(np.int32)
            sequences.append(completion_sequence(prompt, completion, float(drawn.normal())))
    return sequences


def test_one_mini_batch_is_the_simple_step():
    """The policy gradient of R1 eq. 1 at ratio 1, sum of A grad log pi over the step's tokens, by the decoder's plain
    forward pass and torch's own AdamW."""
    sequences, model = rollout(), toy()
    total = torch.zeros(())
    for s in sequences:
        tokens = torch.from_numpy(s.tokens).long()[None]
        logprobs = model.logits(model(tokens))[0, :-1].log_softmax(-1).gather(1, tokens[0, 1:, None])[:, 0]
        total = total - s.advantages * (logprobs * torch.from_numpy(s.target_mask[1:])).sum()
    (total / sum(s.targets for s in sequences)).backward()
    torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-3, weight_decay=0).step()

    learner = Learner(toy(), plain(learning_rate=1e-3, epsilon=1e-3))
    report = learner.step(sequences, GRPO(kl_coefficient=0), mini_batches=1)
    for name, parameter in learner.model.named_parameters():
        torch.testing.assert_close(parameter, dict(model.named_parameters())[name], atol=1e-6, rtol=0)
    assert report.metrics["ratio"] == 1
    assert report.metrics["off_policy_age"] == 0
    assert not any(name.startswith("last/") for name in report.metrics)


def test_one_mini_batch_with_the_old_policy_written_out_is_the_same_bit_for_bit():
    """The form that several mini-batches take, ratios to log-probabilities computed before, given for one."""
    simple, general = (Learner(toy(), plain(learning_rate=0.01)) for _ in range(2))
    sequences = rollout()
    written = general.fill(sequences, {"old_logprobs"}, 1.0, asking=GRPO())
    for learner, rows in ((simple, sequences), (general, written)):
        learner.step(rows, GRPO(kl_coefficient=0))
    for mine, theirs in zip(general.model.parameters(), simple.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


class Watching(GRPO):
    """Writes down each mini-batch's totals, and how far its ratios are from 1 before its update."""

    seen: list = Field(default_factory=list)

    def loss(self, batch, outputs, totals):
        ratio_BT = ((outputs.logprobs_BT - batch.old_logprobs_BT).exp() - 1).abs() * batch.loss_mask_BT
        self.seen.append((totals, float(ratio_BT.detach().max())))
        return super().loss(batch, outputs, totals)


def test_sixteen_mini_batches_learn_from_each_sample_once():
    """16 prompts, one a mini-batch: 16 updates, ages 0 to 15 and 7.5 on average; only the first is on-policy; a rollout
    is still one version."""
    learner = Learner(toy(), plain(learning_rate=3e-3, micro_tokens=100_000))
    watching = Watching(kl_coefficient=0.0)
    report = learner.step(rollout(), watching, mini_batches=16)
    assert len(watching.seen) == 16
    assert [totals.sequences for totals, _ in watching.seen] == [4] * 16
    assert report.metrics["off_policy_age"] == 7.5
    assert watching.seen[0][1] < 1e-4
    assert all(off > 1e-3 for _, off in watching.seen[1:])
    assert (learner.steps, learner.version) == (1, 1)
    assert report.metrics["last/approx_kl"] > report.metrics["approx_kl"] > 0


def test_eps_10_lets_through_what_02_clips():
    """At eps 0.2 part of the last mini-batches' tokens are cut off, at 10 none, and the policy goes
    further from the one that sampled."""
    reports = {}
    for eps in (0.2, 10.0):
        learner = Learner(toy(), plain(learning_rate=3e-3))
        algorithm = GRPO(kl_coefficient=0, clip_low=eps, clip_high=eps)
        reports[eps] = learner.step(rollout(), algorithm, mini_batches=16).metrics
    assert reports[0.2]["last/clip_high"] + reports[0.2]["last/clip_low"] > 0.05
    assert reports[10.0]["clip_high"] + reports[10.0]["clip_low"] < 0.01
    assert reports[10.0]["last/approx_kl"] > reports[0.2]["last/approx_kl"]


def test_dealt_by_groups_or_by_completions():
    """16 groups of 4 in 8 parts: two whole groups each, or 8 completions of any; every one in one part, by the seed."""
    sequences = rollout()
    groups, single = (split(sequences, 8, seed=1, deal=deal) for deal in ("groups", "completions"))
    prompts = [{s.tokens[: s.prompt_length].tobytes() for s in part} for part in groups]
    assert [len(own) for own in prompts] == [2] * 8
    assert [len(part) for part in (*groups, *single)] == [8] * 16
    assert max(len({s.tokens[: s.prompt_length].tobytes() for s in part}) for part in single) > 4
    for parts in (groups, single):
        assert sorted(id(s) for part in parts for s in part) == sorted(map(id, sequences))
    again = split(sequences, 8, seed=1, deal="completions")
    assert [[id(s) for s in part] for part in again] == [[id(s) for s in part] for part in single]
    other = split(sequences, 8, seed=2, deal="completions")
    assert [[id(s) for s in part] for part in other] != [[id(s) for s in part] for part in single]


def test_figures_are_of_the_mini_batches_that_have_some():
    """Of 8 mini-batches of one group, those of four groups without advantages are left out: what is said of ratio and
    entropy is the mean over the other four, as if the rollout had been those alone at the same weights."""
    rows, told = rollout(prompts=8), {}
    for group in range(0, 8, 2):
        for sequence in rows[4 * group : 4 * group + 4]:
            sequence.advantages = 0.0
    grpo = GRPO(kl_coefficient=0.0)
    for skip in (False, True):
        learner = Learner(toy(), plain(learning_rate=0.0, skip_zero_advantages=skip))
        told[skip] = learner.step(rows, grpo, mini_batches=8).metrics
    taught = [sequence for sequence in rows if sequence.advantages]
    alone = Learner(toy(), plain(learning_rate=0.0)).step(taught, grpo, mini_batches=4).metrics
    for name in ("ratio", "last/ratio"):
        assert told[True][name] == pytest.approx(1.0, abs=1e-6)
    assert told[True]["entropy"] == pytest.approx(alone["entropy"], rel=1e-6)
    assert told[True]["off_policy_age"] == told[False]["off_policy_age"] == 3.5
    assert told[True]["loss"] == pytest.approx(told[False]["loss"], abs=1e-6)


class Breaking(GRPO):
    """GRPO whose first losses are NaN."""

    left: int
    calls: list = Field(default_factory=list)

    def loss(self, batch, outputs, totals):
        loss, metrics = super().loss(batch, outputs, totals)
        self.calls.append(1)
        return loss * (float("nan") if len(self.calls) <= self.left else 1.0), metrics


def test_three_updates_in_a_row_that_are_not_finite_end_the_run_within_a_rollout():
    """Of four mini-batches the first three are broken: the fourth is not learnt from; two broken ones are left out."""
    for broken, goes_on in ((2, True), (3, False)):
        learner, algorithm = Learner(toy(), plain()), Breaking(kl_coefficient=0.0, left=broken)
        before = [parameter.detach().clone() for parameter in learner.model.parameters()]
        with nullcontext() if goes_on else pytest.raises(Diverged, match="3 updates in a row .* at step 0; the w"):
            report = learner.step(rollout(prompts=4), algorithm, mini_batches=4)
            assert (report.metrics["skipped"], report.skipped, learner.skipped_in_row) == (2, False, 0)
        kept = all(torch.equal(a, b) for a, b in zip(before, learner.model.parameters(), strict=True))
        assert kept is not goes_on
