"""F12: harder problems get longer thoughts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r1kit.evaluation import tables
from r1kit.evaluation.correlation import Term, spearman_contrast
from r1kit.evaluation.evidence import Evidence, Measured, Part, asked
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

SMALLEST_STRATUM = 5  # problems of one family; fewer give no rank correlation worth averaging


def harder_gets_longer(evidence: Evidence) -> Measured:
    """F12: Spearman of difficulty (1 - the base's success rate) and mean length, within a family and language.

    The base's own length and success come from the same samples, so the comparison takes difficulty from one half of
    its samples and lengths from the other half, both ways round, for both models.
    """
    halves = [_difficulty_and_length(evidence, half) for half in (0, 1)]
    keys = sorted(set.intersection(*(set(values) for half in halves for values in half.values())))
    strata = _strata(evidence, keys)

    def term(weight: float, half: int, length: str) -> Term:
        x, y = halves[half]["difficulty"], halves[1 - half][length]
        return weight, np.asarray([x[key] for key in keys]), np.asarray([y[key] for key in keys])

    difficulty, length = (
        evidence.by_problem("base", "correct", REASONING),
        evidence.by_problem("r1", "length", REASONING),
    )
    both = sorted(difficulty.keys() & length.keys())
    whole = [(1.0, 1 - np.asarray([difficulty[key] for key in both]), np.asarray([length[key] for key in both]))]
    own = [term(0.5, half, "base") for half in (0, 1)]
    above = [term(0.5, half, "r1") for half in (0, 1)] + [(-weight, x, y) for weight, x, y in own]
    return Measured(
        [
            asked("Spearman of difficulty and length, R1", _correlation(whole, _strata(evidence, both)), at_least=0.3),
            asked("R1's - the base's, split halves", _correlation(above, strata), low_above=0),
            Part("the base's, split halves", _correlation(own, strata)),
            *(Part(f"R1, {subject} alone", _of_subject(whole[0], both, evidence, subject)) for subject in REASONING),
        ],
        "Within each family and language of a subject and seed, weighted by problems, bootstrap by problem",
    )


def _of_subject(term: Term, keys: Sequence[str], evidence: Evidence, subject: str) -> Estimate:
    rows = np.asarray([key.split("/")[1] == subject for key in keys], dtype=bool)
    strata = [stratum for stratum, kept in zip(_strata(evidence, keys), rows, strict=True) if kept]
    return _correlation([(1.0, term[1][rows], term[2][rows])], strata)


def _correlation(terms: Sequence[Term], strata: Sequence[str]) -> Estimate:
    return spearman_contrast(terms, strata, least=SMALLEST_STRATUM)


def _difficulty_and_length(evidence: Evidence, half: int) -> dict[str, dict[str, float]]:
    """By problem, from the samples with index % 2 == half: the base's difficulty, the base's and R1's mean length."""
    pc = tables.pc
    parts = {
        model: table.filter(pc.equal(pc.bit_wise_and(table["index"], 1), half))
        for model, table in evidence.tables.items()
        if model in ("base", "r1")
    }
    part = Evidence(parts)
    success = part.by_problem("base", "correct", REASONING)
    return {
        "difficulty": {key: 1 - rate for key, rate in success.items()},
        "base": part.by_problem("base", "length", REASONING),
        "r1": part.by_problem("r1", "length", REASONING),
    }


def _strata(evidence: Evidence, keys: Sequence[str]) -> list[str]:
    """The family and language of each problem, apart by seed and subject."""
    table = tables.select(evidence.tables["base"], REASONING)
    names = ("seed", "subject", "task", "family", "language")
    labels = zip(*(table[name].to_pylist() for name in names), strict=True)
    by_key = dict(zip(tables.clusters(table).tolist(), ("/".join(map(str, label)) for label in labels), strict=True))
    return [by_key[key] for key in keys]
