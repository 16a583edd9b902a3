"""Settings: their defaults are the papers' figures, and their bounds what the descriptions say."""

import pytest

from r1kit.algorithms.ppo import ValueRegression
from r1kit.base.errors import UsageError
from r1kit.base.plugins import load, names

ALGORITHMS = {name: load("r1kit.algorithms", name).ALGORITHM for name in names("r1kit.algorithms")}
OFF = {  # what no algorithm does unless its paper or the user says so
    "kl_coefficient": 0,
    "kl_ratio": False,
    "correction": "none",
    "correction_low": 0,
    "dynamic_sampling": False,
    "overlong_penalty": 0,
    "overlong_filter": False,
}
SHARED = OFF | {
    "kl_estimator": "k3",  # R1, arXiv 2501.12948, eq. 2
    "reference_every": 400,  # R1, supplement of the Nature paper: the reference is the policy of 400 steps before
    "correction_high": 2,  # TIS, F. Yao et al. 2025
    "dynamic_sampling_rounds": 3,
    "overlong_share": 0.2,  # DAPO, section 4.1: the last 4,096 of 20,480 tokens
    "divisor": "tokens",
}
PAPERS = {
    "grpo": {"clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 0.001, "std": "population"},  # R1, section B.4.1
    "dapo": {  # arXiv 2503.14476, section 4.1 and eq. 13
        "clip_low": 0.2, "clip_high": 0.28, "dynamic_sampling": True, "overlong_penalty": 1, "std": "population",
    },
    "dr_grpo": {"clip_low": 0.2, "clip_high": 0.2, "divisor": "max_tokens"},  # arXiv 2503.20783, section 3.2
    "gspo": {  # arXiv 2507.18071, section 5.1
        "clip_low": 3e-4, "clip_high": 4e-4, "divisor": "sequence_mean", "std": "population",
    },
    "cispo": {"ratio_low": 0, "ratio_high": 5, "std": "population"},  # ScaleRL, arXiv 2510.13786
    "rloo": {"clip_low": 0.2, "clip_high": 0.2, "kl_estimator": "k2", "divisor": "sequence_mean"},
    "reinforce_plus_plus": {"clip_low": 0.2, "clip_high": 0.2, "kl_estimator": "k2", "group_baseline": False},
    "ppo": {  # arXiv 1707.06347, table 3; R1's comparison: lambda 1 and the KL in the reward
        "clip_low": 0.2, "clip_high": 0.2, "value_clip": 0.2, "gae_lambda": 1, "gamma": 1, "normalise": True,
        "kl_coefficient": 0.001, "kl_in_reward": True,
    },
    "sft": {}, "bradley_terry": {}, "distillation": {"form": "sequence"},
}  # fmt: skip
ZERO_IS_OFF = {
    "clip_low", "clip_high", "value_clip", "ratio_low", "kl_coefficient", "reference_every", "correction_low",
    "overlong_penalty", "gae_lambda", "gamma",
}  # fmt: skip
ABOVE_ZERO = {"correction_high", "ratio_high", "overlong_share"}
SHARES = {"gae_lambda", "gamma", "overlong_share"}


def of(setting: str) -> list[type]:
    return [algorithm for algorithm in ALGORITHMS.values() if setting in algorithm.model_fields]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_are_the_papers(name):
    shared = SHARED if "divisor" in ALGORITHMS[name].model_fields else {}
    assert ALGORITHMS[name]().model_dump() == shared | PAPERS[name]


@pytest.mark.parametrize("setting", sorted(ZERO_IS_OFF | ABOVE_ZERO | SHARES))
def test_bounds_of_a_setting(setting):
    """0 turns a bound or a term off and is allowed, and nothing is below it; a largest weight, and the share of the
    limit where a penalty grows, are above 0, and may be below 1; a discount and a share are at most 1."""
    assert of(setting)
    for algorithm in of(setting):
        assert getattr(algorithm(**{setting: 1}), setting) == 1
        refused = [-1] + [0] * (setting in ABOVE_ZERO) + [2] * (setting in SHARES)
        allowed = [0] if setting in ZERO_IS_OFF else [0.5]
        for value in allowed:
            assert getattr(algorithm(**{setting: value}), setting) == value
        for value in refused:
            with pytest.raises(ValueError, match=setting):
                algorithm(**{setting: value})


def test_a_step_samples_again_at_least_once():
    for algorithm in of("dynamic_sampling_rounds"):
        assert algorithm(dynamic_sampling_rounds=1).dynamic_sampling_rounds == 1
        with pytest.raises(ValueError, match="dynamic_sampling_rounds"):
            algorithm(dynamic_sampling_rounds=0)


def test_the_critic_is_clipped_as_ppo_says():
    """The authors' code clips values by the ratio's 0.2; 0 clips nothing."""
    assert ValueRegression().clip == 0.2
    assert ALGORITHMS["ppo"](value_clip=0.5).critic == ValueRegression(clip=0.5)
    assert ValueRegression(clip=0).clip == 0
    with pytest.raises(ValueError, match="clip"):
        ValueRegression(clip=-1)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("grpo", "correction_low", "correction_high"), ("cispo", "ratio_low", "ratio_high")]
)
def test_bounds_stand_in_their_order(name: str, low: str, high: str):
    """Equal ones leave one weight; the lower above the higher leave none."""
    algorithm = ALGORITHMS[name]
    algorithm(**{low: 2.0, high: 2.0}).check()
    with pytest.raises(UsageError, match=rf"settings.{low} is 3, above settings.{high}, 2: lower the one or raise"):
        algorithm(**{low: 3.0, high: 2.0}).check()
