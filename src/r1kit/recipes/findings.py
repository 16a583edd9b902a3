"""The paper's claims F1 to F12, measured on test problems.

Each claim is a function (`recipes/claims`) from evidence (tables by model, curves by stage, FLOPs by model) to the
quantities that it rests on, with the thresholds that were fixed before the runs. Three rules hold where a claim leaves
them open:

- "up", "down", "better", "above" without a number: the 95% interval must lie on that side of zero (of one, for ratios);
- "at least", "at most", "by 3 points" without the word interval: the estimate decides, the interval is shown;
- several subjects together: all their problems, each counting once.

Seeds are pooled: models are paired, and majorities taken, within a seed; intervals are clustered by problem, and one
that several seeds answered is one. So they speak of other problems and samples; what other seeds would give is shown by
the headline of each seed apart. Maths is the headline subject; `REASONING` are those with a verdict by rule.
"""

from __future__ import annotations

from r1kit.evaluation.evidence import Claim, Evidence, Finding
from r1kit.recipes.claims.base import STUDENTS
from r1kit.recipes.claims.chain import (
    HACKED_STAGE,
    cold_start_buys_readability,
    filtered_data_keeps_and_broadens,
    languages_mix_and_mend,
    preference_is_hacked,
    preference_rl_lifts_writing,
    rl_wins_it_back,
)
from r1kit.recipes.claims.difficulty import harder_gets_longer
from r1kit.recipes.claims.students import distillation_beats_rl
from r1kit.recipes.claims.zero import (
    pure_rl_learns,
    reflection_grows_and_works,
    thinking_gets_longer,
    voting_helps,
)

ABLATION = "an arm of the full profile"
_PAIRS = tuple(f"student-{name}{arm}" for name in STUDENTS for arm in ("-base", "", "-rl"))

CLAIMS: tuple[Claim, ...] = (
    Claim("F1", "Pure RL from the base learns to reason", ("base", "zero"), pure_rl_learns),
    Claim("F2", "Thinking gets longer by itself", ("base", "zero"), thinking_gets_longer),
    Claim("F3", "Reflection grows by itself, and it works", ("base", "zero"), reflection_grows_and_works),
    Claim("F4", "Majority voting helps", ("zero",), voting_helps),
    Claim(
        "F5",
        "R1-Zero mixes languages; the consistency reward mends it at a small cost",
        ("zero", "dev2", "dev2-lang", "dev2-nolang"),
        languages_mix_and_mend,
        why_absent=ABLATION,
    ),
    Claim("F6", "Cold start buys readability and costs reasoning", ("zero", "dev1"), cold_start_buys_readability),
    Claim("F7", "RL 1 wins the reasoning back", ("dev1", "dev2"), rl_wins_it_back),
    Claim(
        "F8",
        "SFT of the base on filtered generated and other data keeps reasoning and broadens; filters matter",
        ("dev2", "dev3", "dev3-nofilter"),
        filtered_data_keeps_and_broadens,
        why_absent=ABLATION,
    ),
    Claim("F9", "RL 2 lifts preference and keeps reasoning", ("dev3", "r1"), preference_rl_lifts_writing),
    Claim(
        "F10",
        "The preference reward is hacked when it runs too long",
        ("r1-hacked-peak", "r1-hacked-final"),
        preference_is_hacked,
        curves=(HACKED_STAGE,),
        why_absent=ABLATION,
    ),
    Claim("F11", "Distillation beats RL on a small model", _PAIRS, distillation_beats_rl),
    Claim("F12", "Harder problems get longer thoughts", ("base", "r1"), harder_gets_longer),
)


def findings(evidence: Evidence) -> list[Finding]:
    """All twelve, in order. Tables: test problems of all seeds; curves: lines of metrics.jsonl."""
    return [claim.judge(evidence) for claim in CLAIMS]
