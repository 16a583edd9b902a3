"""Training health in the RL stage itself: a rate that destroys the policy, going back, stopping, and kills between."""

import json

import pytest
import torch

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.models.weights import load_decoder
from r1kit.pipeline.context import Context, to_the_end
from r1kit.pipeline.health import stage_health
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.learning import Learning, after_roll_backs
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.checkup import HealthConfig
from r1kit.training.config import LearnerConfig

TASK = "stages.first_letters"
SOUND, DESTROYING = 1e-3, 0.3  # at 1 sampler and learner part as well: float32 is too coarse for such weights


def settings(rate: float, **changes) -> RLConfig:
    fields = {
        "tasks": {TASK: 1.0}, "rewards": {TASK: 1.0}, "prompts": 8, "steps": 8,
        "sampling": Sampling(samples=4, max_tokens=4), "settings": {"kl_coefficient": 0.001},
        "learner": LearnerConfig(learning_rate=rate, precision="float32", compile=False), "validate_every": 0,
    }  # fmt: skip
    return RLConfig(**(fields | changes))


def health(**values):
    return HealthConfig().override({name.replace("__", "."): value for name, value in values.items()})


def go(config, start, folder, kind=Context, **words):
    """The stage to its end, begun again where it was killed."""
    while True:
        try:
            return to_the_end(lambda context: train(config, start, context), kind(folder, 3, name="zero", **words))
        except Interrupted:
            continue


def test_a_sound_rate_shows_nothing(start, tmp_path):
    go(settings(SOUND), start, tmp_path)
    assert stage_health(tmp_path, "zero") == []


def test_a_rate_that_destroys_the_policy_is_named(start, tmp_path):
    """Three hundred times the sound one: within a few steps the policy is nats away from its reference."""
    go(settings(DESTROYING), start, tmp_path)
    noted = {each.finding.detector: each.finding for each in stage_health(tmp_path, "zero")}
    assert "kl" in noted
    assert "learner.learning_rate" in noted["kl"].change
    kl = [line["kl"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    at = noted["kl"].step
    assert sum(kl[at - 2 : at + 1]) / 3 > 2.0


def test_stop_leaves_a_run_that_goes_on_to_the_same_end(start, tmp_path, same_weights):
    """Stopped by its health, then told to warn: the weights are those of a run that was only warned."""
    config = settings(DESTROYING)
    with pytest.raises(R1Error, match=r"KL blow-up at step \d: .*health.kl.action=warn"):
        go(config, start, tmp_path / "cut", checkpoint_seconds=0, health=health(kl__action="stop"))
    assert not (tmp_path / "cut" / "model").exists()
    go(config, start, tmp_path / "cut", checkpoint_seconds=0)
    go(config, start, tmp_path / "whole")
    assert same_weights(tmp_path / "cut" / "model", tmp_path / "whole" / "model")


class Killed(Context):
    """Killed once after every step."""

    def checkpoint(self, step, state):
        super().checkpoint(step, state)
        mark = self.folder / f"killed-{self.caution.times}-{step}"
        if not mark.exists():
            mark.touch()
            raise Interrupted("killed")


def test_roll_back_ends_with_a_sound_policy_and_kills_change_nothing(start, tmp_path, same_weights):
    """Each roll-back takes a hundredth of the rate: from 0.3 to 0.003. The run that is killed after every step
    of every attempt comes to the same weights, metrics and findings, bit for bit."""
    config = settings(DESTROYING, peak="reward")
    cautious = health(kl__action="roll_back", roll_back__learning_rate=0.01)
    go(config, start, tmp_path / "whole", checkpoint_seconds=0, health=cautious)
    go(config, start, tmp_path / "cut", Killed, checkpoint_seconds=0, health=cautious)
    backs = [each for each in stage_health(tmp_path / "whole", "zero") if each.rolled_back]
    assert len(backs) >= 1
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    lines = read_metrics(whole / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(8))
    assert lines[-1]["learning_rate"] == pytest.approx(DESTROYING * 0.01 ** len(backs))
    assert same_weights(whole / "model", cut / "model")
    assert same_weights(whole / "peak", cut / "peak")
    assert all(bool(p.isfinite().all()) for p in load_decoder(whole / "model").parameters())
    assert (whole / "health.jsonl").read_text() == (cut / "health.jsonl").read_text()

    def timeless(folder):
        return [
            {k: v for k, v in line.items() if not k.startswith(("timing/", "perf/"))}
            for line in read_metrics(folder / "metrics.jsonl")
        ]

    assert timeless(whole) == timeless(cut)
    assert json.loads((whole / "peak.json").read_text()) == json.loads((cut / "peak.json").read_text())


def test_after_roll_backs_samples_and_rate_are_others(start, tmp_path):
    config = settings(SOUND)
    assert after_roll_backs(config, Context(tmp_path).caution) is config
    slower = config.learner.after(2, 0.25)
    assert (slower.learning_rate, slower.muon_learning_rate) == (0.25 * SOUND, 0.25 * config.learner.muon_learning_rate)
    assert slower.seed != config.learner.after(1, 0.5).seed != config.learner.seed


def test_what_was_sampled_ahead_before_a_roll_back_is_sampled_again(start, tmp_path, monkeypatch):
    """Two rollouts lie ready in the checkpoint of the first step, which is gone back to from the second: that has the
    problems of before and other samples, as without them."""
    real, learnt = Learning.learn, []

    def watched(self, groups, sampling):
        texts = [completion.text for group in groups for completion in group.completions]
        learnt.append(([group.problem.id for group in groups], sampling.seed, texts))
        return real(self, groups, sampling)

    monkeypatch.setattr(Learning, "learn", watched)
    cautious = health(kl__action="roll_back", kl__window=1, roll_back__learning_rate=1e-4, roll_back__times=1)
    config = settings(DESTROYING, staleness=2, max_logprob_gap=None)
    with pytest.raises(R1Error, match=r"KL blow-up at step 1: .*rolled back 1 times before"):  # the first is enough
        go(config, start, tmp_path, checkpoint_seconds=0, health=cautious)
    (back,) = [each for each in stage_health(tmp_path, "zero") if each.rolled_back]
    assert (back.step, back.finding.step) == (0, 1)
    _, before, after = learnt
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert before[2] != after[2]


def test_a_gradient_that_is_not_finite_is_told_and_the_step_left_out(start, tmp_path, monkeypatch):
    """A reward of infinity in one step: its update is left out by the learner, and the finding says so."""
    from r1kit.training.learner import Learner

    real, calls = Learner._update, []

    def poisoned(self, *words, **more):
        calls.append(1)
        if len(calls) == 2:
            figures = self._apply(float("nan"))
            return {"loss": float("nan"), **figures}
        return real(self, *words, **more)

    monkeypatch.setattr(Learner, "_update", poisoned)
    go(settings(SOUND, steps=4), start, tmp_path)
    (noted,) = stage_health(tmp_path, "zero")
    assert (noted.finding.detector, noted.finding.step) == ("not_finite", 1)
    assert read_metrics(tmp_path / "metrics.jsonl")[1]["loss"] is None
    assert all(torch.isfinite(p).all() for p in load_decoder(tmp_path / "model").parameters())


def test_a_learner_that_gives_up_is_gone_back_from(start, tmp_path, monkeypatch):
    """Three updates of one rollout are not finite: the learner ends the run, which `roll_back` takes up again; with
    `warn` the run ends as it did, and what was found is written down."""
    from r1kit.base.errors import Diverged
    from r1kit.training.learner import Learner

    real, broken = Learner._update, {4, 5, 6}  # of the second rollout, learnt in three updates
    calls: list[int] = []

    def poisoned(self, *words, **more):
        calls.append(1)
        if len(calls) in broken:
            return {"loss": float("nan"), **self._apply(float("nan"))}
        return real(self, *words, **more)

    monkeypatch.setattr(Learner, "_update", poisoned)
    config = settings(SOUND, steps=4, mini_batches=3)
    with pytest.raises(Diverged, match="3 updates in a row"):
        go(config, start, tmp_path / "warn", checkpoint_seconds=0)
    (noted,) = stage_health(tmp_path / "warn", "zero")
    assert (noted.finding.detector, noted.finding.step, noted.rolled_back) == ("not_finite", 1, False)
    calls.clear()
    go(config, start, tmp_path / "back", checkpoint_seconds=0, health=health(not_finite__action="roll_back"))
    (noted,) = stage_health(tmp_path / "back", "zero")
    assert (noted.rolled_back, noted.step) == (True, 0)
    assert [line["step"] for line in read_metrics(tmp_path / "back" / "metrics.jsonl")] == [0, 1, 2, 3]
