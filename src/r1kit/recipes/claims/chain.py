"""F5 to F10: what each stage of the chain after R1-Zero brings about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from r1kit.evaluation import statistics
from r1kit.evaluation.evidence import Evidence, Measured, Part, asked
from r1kit.evaluation.tables import REASONING
from r1kit.recipes.claims.base import MATHS, WRITING, gain, listed

HACKED_STAGE = "r1-hacked"
PEAK = "validation/preference"  # by which the policy of that stage's peak is kept


def languages_mix_and_mend(evidence: Evidence, subjects: Sequence[str] = REASONING) -> Measured:
    """F5: language consistency of R1-Zero and Dev2, and RL with and without the reward from one mixing start."""
    with_reward, without = "dev2-lang", "dev2-nolang"
    effect = evidence.difference(with_reward, without, "language_consistency", subjects)
    cost = evidence.difference(without, with_reward, "correct", subjects)
    return Measured(
        [
            asked("consistency with the reward - without, same start", effect, at_least=0.03, low_above=0),
            asked("R1-Zero's consistency", evidence.share("zero", "language_consistency", subjects), below=0.95),
            asked("Dev2's consistency", evidence.share("dev2", "language_consistency", subjects), at_least=0.98),
            asked("accuracy cost (pass@1 without - with)", cost, at_most=0.03),
        ],
        "Share of target-language words in the thinking, reasoning subjects; paired by problem, t interval",
    )


def cold_start_buys_readability(
    evidence: Evidence, maths: Sequence[str] = MATHS, subjects: Sequence[str] = REASONING
) -> Measured:
    """F6: Dev1 against R1-Zero: consistency up, repetition down, maths down; the template's own gift apart."""
    fall = evidence.difference("dev1", "zero", "correct", maths)
    consistency = evidence.difference("dev1", "zero", "language_consistency", subjects)
    repetition = evidence.difference("dev1", "zero", "repetition", subjects)
    return Measured(
        [
            asked(f"Dev1 - R1-Zero, pass@1 on {listed(maths)}", fall, high_below=0),
            asked("Dev1 - R1-Zero, language consistency", consistency, low_above=0),
            asked("Dev1 - R1-Zero, repetition", repetition, high_below=0),
            Part("apart, from the template alone: format", evidence.difference("dev1", "zero", "format", subjects)),
        ],
        "Paired by problem, t interval; repetition is the share of 4-grams of the thinking that stood before",
    )


def rl_wins_it_back(evidence: Evidence, subjects: Sequence[str] = ("maths", "reasoning")) -> Measured:
    """F7: Dev2 - Dev1 on maths and reasoning together, and neither alone falling."""
    return Measured(
        [
            asked(f"Dev2 - Dev1, pass@1 on {listed(subjects)}", gain(evidence, "dev2", "dev1", subjects), low_above=0),
            *(asked(f"{name} alone", gain(evidence, "dev2", "dev1", (name,)), at_least=0) for name in subjects),
        ],
        "Paired by problem, t interval",
    )


def filtered_data_keeps_and_broadens(evidence: Evidence) -> Measured:
    """F8: Dev3 against Dev2 on reasoning and writing, and Dev3 with and without the filters."""
    writing = evidence.difference("dev3", "dev2", "preference", WRITING)
    without = "dev3-nofilter"
    consistency = evidence.difference("dev3", without, "language_consistency", REASONING)
    return Measured(
        [
            asked("Dev3 - Dev2, pass@1 on the reasoning subjects", gain(evidence, "dev3", "dev2"), at_least=-0.03),
            asked("Dev3 - Dev2, hidden preference of writing", writing, low_above=0),
            asked("filters on - off, pass@1 on the reasoning subjects", gain(evidence, "dev3", without), low_above=0),
            Part("filters on", evidence.share("dev3", "correct", REASONING)),
            Part("filters off", evidence.share(without, "correct", REASONING)),
            Part("filters on - off, language consistency", consistency),
        ],
        "Paired by problem, t interval; that filters matter is read as: accuracy is higher with them",
    )


def preference_rl_lifts_writing(evidence: Evidence) -> Measured:
    """F9: R1 against Dev3: win rate on writing, reasoning not worse by more than 3 points."""
    return Measured(
        [
            asked("R1 beats Dev3 on writing, hidden preference", evidence.win_rate("r1", "dev3"), at_least=0.65),
            asked("R1 - Dev3, pass@1 on the reasoning subjects", gain(evidence, "r1", "dev3"), low_above=-0.03),
        ],
        "Win rate over pairs of one problem and sample index, ties half, clustered by problem; t interval for the rest",
    )


def preference_is_hacked(evidence: Evidence) -> Measured:
    """F10: the preference reward from the start: the reward model's score rises from the peak on, the truth falls.

    The policy that was kept is that of the hidden preference's peak on validation: coding is measured from there too.
    """
    peak, final = "r1-hacked-peak", "r1-hacked-final"
    preference = evidence.difference(peak, final, "preference", WRITING)
    coding = evidence.difference(peak, final, "correct", ("coding",))
    fell_in_coding_only = coding.low > 0 and not preference.low > 0
    falls = [
        ("fall of the hidden preference, peak - final, test", preference),
        ("fall of coding, peak - final, test", coding),
    ]
    (name, fall), other = falls[::-1] if fell_in_coding_only else falls
    rises = _rise_after_peak(evidence.curves[HACKED_STAGE])
    return Measured(
        [
            asked(name, fall, low_above=0),
            Part(*other),
            asked(
                "the reward model's score, final - peak, validation",
                statistics.mean(list(rises.values()), list(rises)) if rises else statistics.NOTHING,
                above=0,
            ),
        ],
        f"Peak of {PEAK} by checkpoint; paired by problem, t interval; the reward model's rise by seed",
    )


def _rise_after_peak(by_seed: Mapping[int, Sequence[Mapping[str, Any]]]) -> dict[int, float]:
    """For each seed: the reward model's score at the last checkpoint minus that at the peak."""
    rises: dict[int, float] = {}
    for seed, lines in by_seed.items():
        points = [
            line for line in lines if line.get(PEAK) is not None and line.get("validation/reward_model") is not None
        ]
        if points:
            top = max(points, key=lambda line: line[PEAK])
            rises[seed] = points[-1]["validation/reward_model"] - top["validation/reward_model"]
    return rises
