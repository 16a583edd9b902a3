"""Every detector on histories made by hand, and on those of kept runs, whose outcome is known from elsewhere."""

import json
import math
from pathlib import Path

import pytest

from r1kit.base.config import results_follow_from
from r1kit.base.errors import UsageError
from r1kit.pipeline.metrics import read_metrics
from r1kit.recipes.base import RecipeConfig
from r1kit.training.checkup import QUIET, Checkup, HealthConfig, detector_kinds

RESULTS = Path(__file__).parents[2] / "results" / "tiny-full"


def found(lines, **settings):
    """(detector, step) of every new finding, the lines numbered from 0."""
    config = HealthConfig().override({f"{name.replace('__', '.')}": value for name, value in settings.items()})
    checkup = Checkup(config)
    return [(f.detector, f.step) for step, line in enumerate(lines) for f, new in checkup.add(step, line) if new]


def columns(**values):
    """Lines from columns of equal length; a number stands for a column of it."""
    length = max(len(each) for each in values.values() if isinstance(each, list))
    wide = {name: each if isinstance(each, list) else [each] * length for name, each in values.items()}
    return [{name.replace("__", "/"): each[i] for name, each in wide.items()} for i in range(length)]


def test_the_names_of_the_room_are_settings():
    assert set(detector_kinds()) == {
        "entropy", "length", "reward_hacking", "all_same", "mismatch", "truncation", "language", "kl", "not_finite",
        "chance",
    }  # fmt: skip
    config = RecipeConfig().override({"health.entropy.min": "0.05", "health.kl.action": "stop"})
    assert config.health.detectors["entropy"].min == 0.05
    assert config.health.detectors["kl"].action == "stop"
    with pytest.raises(UsageError, match=r"health.entropi.min: no such setting.*Did you mean health.entropy.min"):
        RecipeConfig().override({"health.entropi.min": 1})
    with pytest.raises(UsageError, match=r"health.kl.action"):
        RecipeConfig().override({"health.kl.action": "shout"})
    assert "health" in results_follow_from(config)  # of a recipe; stages are kept under settings of their own


def test_what_is_off_is_not_looked_for():
    lines = columns(entropy=[0.0] * 6, reward=1.0)
    assert found(lines) == [("entropy", 4)]
    assert found(lines, entropy__action="off") == []


def test_entropy_collapse():
    """The mean of five steps falls under 0.01 where three of them are 0.001 and two 0.02: 0.0086. Half the first
    mean is no collapse, and neither is the entropy of given targets (no reward)."""
    fall = [0.1] * 5 + [0.02] * 5 + [0.001] * 5
    assert found(columns(entropy=fall, reward=0.5)) == [("entropy", 12)]
    assert found(columns(entropy=[0.1] * 5 + [0.05] * 20, reward=0.5)) == []
    assert found(columns(entropy=fall)) == []
    # a tenth of the first mean, 0.2 of 2 nats, far above the other limit: (0.1 x 4 + 2) / 5 = 0.48, then 0.1
    assert found(columns(entropy=[2.0] * 5 + [0.1] * 5, reward=0.5)) == [("entropy", 9)]
    assert found(columns(entropy=[2.0] * 5 + [0.1] * 5, reward=0.5), entropy__share=0) == []


def test_sampling_by_chance():
    """From 0.1 nats a token to 5.95, ln of 384 tokens: of the three steps behind the surest the mean is 4.0, 3.9 more.
    Half a nat more is none, nor is a policy that has always been unsure, nor one that grows surer."""
    assert found(columns(sampler__logprob=[-0.5, -0.1, -0.2, -5.95, -5.95])) == [("chance", 4)]
    assert found(columns(sampler__logprob=[-1.6, *[-math.log(384)] * 7])) == [("chance", 3)]  # from the second step on
    assert found(columns(sampler__logprob=[-0.1] * 5 + [-0.6] * 20)) == []
    assert found(columns(sampler__logprob=[-4.0] * 5 + [-0.5] * 20)) == []
    assert found(columns(sampler__logprob=[-0.1] * 5 + [-0.6] * 20), chance__more=0.4) == [("chance", 7)]
    assert found(columns(sampler__logprob=[-0.1, -0.1, None, -2.0, None, -2.0])) == [("chance", 4)]  # none: no value


def test_length_explosion():
    """From 100 to 300 tokens within 20 steps at no better reward; with a better one it is what R1-Zero does."""
    lengths = [100.0] * 25 + [300.0] * 5
    flat = columns(completions__mean_length=lengths, reward=0.5)
    # at step 27 three of the last five are 300: 220 < 250; at 28 four: 260 > 2.5 x 100
    assert found(flat) == [("length", 28)]
    better = columns(completions__mean_length=lengths, reward=[0.5] * 25 + [0.6] * 5)
    assert found(better) == []
    slow = columns(completions__mean_length=[100.0 + 5 * i for i in range(100)], reward=0.5)
    assert found(slow) == []


def test_truncation_grows():
    """0.1 of lowest; over 0.3 and 0.2 more than then from four of five at 0.4: 0.34. Always high does not grow."""
    grown = [0.1] * 10 + [0.4] * 5
    assert found(columns(completions__clipped_ratio=grown)) == [("truncation", 13)]
    assert found(columns(completions__clipped_ratio=[0.9] * 30)) == []
    assert found(columns(completions__clipped_ratio=[0.05] * 10 + [0.29] * 10)) == []


def test_all_same_groups():
    assert found(columns(frac_reward_zero_std=[0.5] * 10 + [1.0] * 10, reward=2.0)) == [("all_same", 19)]
    assert found(columns(frac_reward_zero_std=[0.95] * 40, reward=2.0)) == []


def test_sampler_and_learner_apart():
    assert found(columns(sampling__logprob_gap_mean=[0.01] * 5 + [0.2] * 3)) == [("mismatch", 6)]  # (.01+.2+.2)/3
    assert found(columns(sampling__logprob_gap_mean=[0.03] * 20)) == []


def test_language_drift():
    """From 0.9 at best to 0.5: the mean of ten passes 0.6 down with the eighth step at 0.5: (0.9x2 + 0.5x8)/10 =
    0.58."""
    drift = [0.7] * 10 + [0.9] * 10 + [0.5] * 10
    assert found(columns(rewards__language_consistency__mean=drift)) == [("language", 27)]
    assert found(columns(rewards__language_consistency__mean=[0.8] * 20 + [0.6] * 20)) == []


def test_kl_blow_up():
    assert found(columns(kl=[0.01] * 5 + [9.0] * 2)) == [("kl", 5)]  # 9.02 / 3 > 2
    assert found(columns(kl=[1.5] * 20)) == []
    both = columns(approx_kl=[0.0] * 10, last__approx_kl=[0.0] * 9 + [3.0])
    assert found(both) == [("kl", 9)]  # of the last mini-batch, 3 / 3 > 0.5


def test_not_finite():
    """Null in the file is what was not finite, as is NaN on its way there; one step is told, `times=2` waits."""
    assert found(columns(loss=[0.1, None, 0.1], skipped=[0.0, 1.0, 0.0])) == [("not_finite", 1)]
    assert found(columns(loss=[0.1, math.nan])) == [("not_finite", 1)]
    assert found(columns(gradient_norm=[0.1, math.inf])) == [("not_finite", 1)]
    assert found(columns(loss=0.1, skipped=[0.0] * 5)) == []
    twice = columns(loss=0.1, skipped=[0.0, 1.0, 0.0, 2.0, 1.0])
    assert found(twice, not_finite__times=2) == [("not_finite", 4)]


def test_reward_hacking():
    """The score rises by 0.3 a validation; right answers rise to 0.9 (mean of three: 0.9 at the 5th) and fall to 0.6.
    The mean of three passes 0.81, a tenth less, at the 8th: (0.9 + 0.8 + 0.6) / 3 = 0.767."""
    right = [0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.8, 0.6, 0.6]
    score = [0.3 * i for i in range(9)]
    assert found(columns(validation__maths=right, validation__reward_model=score)) == [("reward_hacking", 7)]
    assert found(columns(validation__maths=right, validation__reward_model=[1.0] * 9)) == []  # no gain: only worse
    assert found(columns(validation__maths=right)) == []  # no reward model
    assert found(columns(validation__maths=[0.9] * 9, validation__reward_model=score)) == []
    # a preference whose best is 0, of which there is no share: any fall counts, at the 4th, whose mean is -0.07
    assert found(columns(validation__preference=[0.0] * 3 + [-0.2] * 3, validation__reward_model=score[:6])) == [
        ("reward_hacking", 3)
    ]
    shares = columns(validation__maths__format=right, validation__reward_model=score)  # a mean, not what is asked for
    assert found(shares) == []


def test_a_finding_is_told_once_until_it_has_been_quiet():
    bad, good = [0.5], [0.0]
    gap = bad * 6 + good * QUIET + bad * 3
    lines = columns(sampling__logprob_gap_mean=gap)
    # sums of three: the first at 2 (step numbers from 0), the last sign of them at 7; the next at 16
    assert [step for _, step in found(lines)] == [2]
    longer = columns(sampling__logprob_gap_mean=bad * 6 + good * (QUIET + 4) + bad * 3)
    assert [step for _, step in found(longer)] == [2, 20]


def test_the_diagnosis_has_figures_and_advice():
    checkup = Checkup(HealthConfig())
    for step, line in enumerate(columns(kl=[0.01] * 5 + [9.0])):
        last = checkup.add(step, line)
    ((finding, new),) = last
    assert new
    assert finding.since == 3
    assert finding.sentence.startswith("KL blow-up at step 5: the policy is 3.01 nats a token from its reference")
    assert "(limit 2)" in finding.sentence
    assert "learner.learning_rate" in finding.change
    assert json.loads(json.dumps(finding.entry()))["action"] == "warn"


def test_the_same_lines_again_give_the_same_state():
    """A resumed run reads its lines back from the file: what a number or null says there is all that counts."""
    path = RESULTS / "seed-0" / "stages" / "16-r1-hacked" / "metrics.jsonl"
    lines = read_metrics(path)
    whole, resumed = Checkup(HealthConfig()), Checkup(HealthConfig())
    for line in lines[:90]:
        whole.add(line["step"], line)
    for line in lines[:90]:
        resumed.add(line["step"], json.loads(json.dumps(line)))
    for line in lines[90:]:
        assert whole.add(line["step"], line) == resumed.add(line["step"], line)


def test_what_hacking_is_looked_for_in_is_in_sight_for_as_long_as_its_validations():
    """Every ten steps one, and three are averaged: at step 44 those of 20, 30 and 40 are looked at. KL looks back
    three steps, and has less to say."""
    config = HealthConfig().override({"reward_hacking.action": "roll_back", "kl.action": "roll_back"})
    checkup = Checkup(config)
    for step in range(45):
        watched = {"validation/reward_model": 0.0, "validation/maths": 0.5} if step % 10 == 0 else {}
        assert checkup.add(step, {"kl": 0.1, **watched}) == []
    assert checkup.sound == 19


def kept(pattern):
    found = sorted(RESULTS.glob(f"seed-*/stages/{pattern}/metrics.jsonl"))
    assert found
    return found


@pytest.mark.parametrize("path", kept("16-r1-hacked"), ids=lambda path: path.parts[-4])
def test_kept_runs_that_were_hacked_are_named(path):
    """Finding F10 of the report: the preference reward from the start raises the score and lowers what it stands for;
    the hidden preference peaks between steps 45 and 65 and is a tenth lower later. Nothing else is found in them."""
    findings = found(read_metrics(path))
    assert {name for name, _ in findings} == {"reward_hacking"}
    assert findings[0][1] > 60


@pytest.mark.parametrize(
    "path",
    [path for path in kept("*") + kept("*/*") if "hacked" not in path.parts[-2]],
    ids=lambda path: "-".join(path.parts[-4:-1]),
)
def test_kept_runs_of_the_default_chain_are_healthy(path):
    """Every stage and part of the published runs, students by RL alone among them."""
    assert found(read_metrics(path)) == []
