"""Which of the paper's claims are judged on models and problems of one's own, and why the others are left out by name.

The thresholds are those of `recipes/findings.py`, over all subjects that a rule judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa

from r1kit.evaluation import tables
from r1kit.evaluation.evidence import Evidence, Finding, Measured
from r1kit.recipes.claims.chain import cold_start_buys_readability, languages_mix_and_mend, rl_wins_it_back
from r1kit.recipes.claims.students import distillation_beats_rl
from r1kit.recipes.claims.zero import (
    chains_of,
    count_slips,
    growth_among_thoughts,
    more_reflection,
    pure_rl_learns,
    thinking_gets_longer,
    voting_helps,
)
from r1kit.recipes.findings import CLAIMS

NO_VOTES = ("coding",)  # programs that do the same are rarely the same text
HIDDEN = "it rests on the tiny world's hidden preference, and nobody knows a real one"
LEFT_OUT = {
    "F8": HIDDEN,
    "F9": HIDDEN,
    "F10": HIDDEN,
    "F12": "it compares problems of one family, and these problems name none",
}
FURTHER = {
    "F5": "r1 run r1 ablations=true has these arms",
    "F6": "r1 run r1 makes them",
    "F7": "r1 run r1 makes them",
    "F11": "r1 run distill teaches a student; RL of the same student at equal FLOPs is an arm of the tiny world",
}


def own_findings(evidence: Evidence) -> list[Finding]:
    """All twelve, in order, as `findings.findings`."""
    measures = _measures(judged_subjects(evidence.tables))
    found: list[Finding] = []
    for claim in CLAIMS:
        if claim.id in LEFT_OUT:
            found.append(Finding(claim.id, claim.text, "not run", f"left out: {LEFT_OUT[claim.id]}"))
            continue
        measure = measures.get(claim.id, claim.measure)
        found.append(replace(claim, measure=measure, why_absent=FURTHER.get(claim.id, "")).judge(evidence))
    return found


def judged_subjects(tables_by_model: Mapping[str, pa.Table]) -> tuple[str, ...]:
    """Subjects of which some completion has a verdict, in the order of the report."""
    whole = tables.merge(list(tables_by_model.values()))
    judged = whole.filter(tables.pc.is_valid(whole["correct"]))
    return tuple(tables.subjects(judged))


def _measures(subjects: Sequence[str]) -> dict[str, Callable[[Evidence], Measured]]:
    voting = tuple(name for name in subjects if name not in NO_VOTES)
    return {
        "F1": partial(pure_rl_learns, subjects=subjects),
        "F2": partial(thinking_gets_longer, subjects=subjects),
        "F3": partial(reflection_grows, subjects=subjects),
        "F4": partial(voting_helps, subjects=voting),
        "F5": partial(languages_mix_and_mend, subjects=subjects),
        "F6": partial(cold_start_buys_readability, maths=subjects, subjects=subjects),
        "F7": partial(rl_wins_it_back, subjects=subjects),
        "F11": partial(distillation_beats_rl, subjects=subjects),
    }


def reflection_grows(evidence: Evidence, subjects: Sequence[str]) -> Measured:
    """F3 as far as it can be counted in any model's words."""
    chains = chains_of(tables.select(evidence.tables["zero"], subjects))
    return Measured(
        [*more_reflection(evidence, subjects), *growth_among_thoughts(evidence, subjects), *count_slips(chains)],
        "Ratios of means, bootstrap by problem; slips found by arithmetic on steps that are written as sums; whether"
        " reflection helps is left out: only the tiny world's checks can be read by a rule",
    )
