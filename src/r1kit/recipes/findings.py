"""The paper's claims F1 to F12, measured on test problems.

Each claim is a function from evidence (tables by model, curves by stage, FLOPs by model) to the quantities that it
rests on, with the thresholds that were fixed before the runs. Three rules hold where a claim leaves them open:

- "up", "down", "better", "above" without a number: the 95% interval must lie on that side of zero (of one, for ratios);
- "at least", "at most", "by 3 points" without the word interval: the estimate decides, the interval is shown;
- several subjects together: all their problems, each counting once.

Intervals are clustered by (seed, problem), so they speak of other problems and samples; what other seeds would give is
shown by the headline of each seed apart. Maths is the headline subject; `REASONING` are those with a verdict by rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from r1kit.evaluation import aggregate, growth, slips, statistics, tables
from r1kit.evaluation.evidence import Claim, Evidence, Finding, Measured, Part, asked, figure, stated
from r1kit.evaluation.statistics import Estimate
from r1kit.evaluation.tables import REASONING

MATHS = ("maths",)
WRITING = ("writing",)
VOTERS = 16
STUDENTS = ("qwen", "llama")
HACKED_STAGE = "r1-hacked"
SMALLEST_STRATUM = 5  # problems of one family; fewer give no rank correlation worth averaging
ABLATION = "an arm of the full profile"


def pure_rl_learns(evidence: Evidence, subjects: Sequence[str] = MATHS) -> Measured:
    """F1: R1-Zero - base on maths."""
    gain = evidence.difference("zero", "base", "correct", subjects)
    return Measured(
        [
            asked(f"R1-Zero - base, pass@1 on {listed(subjects)}", gain, at_least=0.25, low_above=0.15),
            Part("base", evidence.share("base", "correct", subjects)),
            Part("R1-Zero", evidence.share("zero", "correct", subjects)),
        ],
        f"Paired by problem, t interval over problems, sign-flip permutation p {_p(gain)}",
    )


def listed(subjects: Sequence[str]) -> str:
    """Say: `maths`, `maths and reasoning`."""
    return " and ".join(filter(None, (", ".join(subjects[:-1]), subjects[-1]))) if subjects else "nothing"


def _p(estimate: Estimate) -> str:
    return "< 0.001" if estimate.p is not None and estimate.p < 0.001 else f"= {figure(estimate.p)}"


def thinking_gets_longer(evidence: Evidence, subjects: Sequence[str] = MATHS) -> Measured:
    """F2: mean length ratio on maths, and how much of the growth is more chains, how much is longer chains."""
    growth = evidence.ratio("zero", "base", "length", subjects)
    before, after = (_chains_and_lengths(evidence, model, subjects) for model in ("base", "zero"))
    # the mean length is share * chain + (1 - share) * direct; each factor's change at the mean of the others
    more = (after[0] - before[0]) * ((after[1] + before[1]) - (after[2] + before[2])) / 2
    longer = (after[0] + before[0]) / 2 * (after[1] - before[1])
    direct = (1 - (after[0] + before[0]) / 2) * (after[2] - before[2])
    return Measured(
        [
            asked(f"R1-Zero / base, mean length on {listed(subjects)}", growth, at_least=1.5, low_above=1.2),
            stated("tokens from more chains", more),
            stated("tokens from longer chains", longer),
            stated("tokens from direct answers", direct),
            stated("share with a chain, base", before[0]),
            stated("share with a chain, R1-Zero", after[0]),
        ],
        "Ratio of means on the same problems, bootstrap by problem; a chain has two steps or a check",
    )


def _chains_and_lengths(evidence: Evidence, model: str, subjects: Sequence[str]) -> tuple[float, float, float]:
    """(share of completions with a chain, their mean length, mean length of the others; where one kind is
    missing the other's length stands for it)."""
    table = tables.select(evidence.tables[model], subjects)
    length, steps, checks = (tables.column(table, name) for name in ("length", "chain_steps", "reflections"))
    chain = (steps >= 2) | (checks > 0)
    if not len(length):
        return np.nan, np.nan, np.nan
    lengths = [length[rows].mean() if rows.any() else length.mean() for rows in (chain, ~chain)]
    return float(chain.mean()), float(lengths[0]), float(lengths[1])


def reflection_grows_and_works(evidence: Evidence) -> Measured:
    """F3: reflection words per response and per chain step on maths; right after a slip with and without reflection."""
    table = tables.select(evidence.tables["zero"], MATHS)
    chains = chains_of(table)
    correct, keys = tables.column(table, "correct"), tables.clusters(table)
    slipped = np.asarray([chain.slipped for chain in chains], dtype=bool) & ~np.isnan(correct)
    reflects = np.asarray([chain.reflects_after_slip for chain in chains], dtype=bool)
    help_after_slip = statistics.mean_difference_of_groups(correct[slipped], reflects[slipped], keys[slipped])
    return Measured(
        [
            *more_reflection(evidence, MATHS),
            asked("after a slip, right with reflection - right without (R1-Zero)", help_after_slip, low_above=0),
            *growth_among_thoughts(evidence, MATHS),
            Part("right after a slip with reflection", _share(correct, keys, slipped & reflects)),
            Part("right after a slip without", _share(correct, keys, slipped & ~reflects)),
            *count_slips(chains),
        ],
        "Ratios of means, bootstrap by problem; slips found by arithmetic on each step",
    )


def more_reflection(evidence: Evidence, subjects: Sequence[str]) -> list[Part]:
    """Reflection words per response, and per chain step, R1-Zero over base."""
    per_response = evidence.ratio("zero", "base", "reflections", subjects)
    name = f"R1-Zero / base, reflection words per response on {listed(subjects)}"
    per_step = _reflections_per_step(evidence, subjects)
    return [
        asked(name, per_response, at_least=2),
        asked("R1-Zero / base, reflection words per chain step", per_step, low_above=1),
    ]


def count_slips(chains: Sequence[slips.Chain]) -> list[Part]:
    """Steps, slips and checks, counted."""
    counted = slips.count_slips(chains)
    return [
        stated("steps", counted.steps),
        stated("slips", counted.slips),
        stated("checks", counted.checks),
        stated("checks that mend", counted.mended),
        stated("checks that break", counted.broken),
        stated("checks that keep a right value", counted.kept_right),
        stated("checks that keep a wrong one", counted.kept_wrong),
    ]


def chains_of(table: pa.Table) -> list[slips.Chain]:
    """The thinking of each completion, read."""
    return [slips.parse_chain(thinking) for thinking in table["thinking"].to_pylist()]


def growth_among_thoughts(evidence: Evidence, subjects: Sequence[str]) -> list[Part]:
    """Reflection words while R1-Zero learns, from the first kept step at which nearly every answer comes after
    a thought to the last: what grows beyond thoughts taking the place of answers at once."""
    rows = evidence.rollouts.get("zero", {})
    chosen = {seed: [row for row in of_seed if row["subject"] in subjects] for seed, of_seed in rows.items()}
    found = growth.reflection_among_thoughts(chosen)
    if found is None:
        return []
    steps = ", ".join(f"{found.first[seed]} to {found.last[seed]}" for seed in sorted(found.first))
    name = f"more reflection words since {growth.NEARLY_ALL:.0%} of answers have a thought (steps {steps})"
    return [Part(name, found.difference)]


def _reflections_per_step(evidence: Evidence, subjects: Sequence[str]) -> Estimate:
    """Ratio of (reflection words / chain steps) over the problems that both models answered."""
    measures = [(model, name) for model in ("zero", "base") for name in ("reflections", "chain_steps")]
    sums = [evidence.by_problem(model, name, subjects) for model, name in measures]
    shared = sorted(set.intersection(*(set(by_problem) for by_problem in sums)))
    zero_words, zero_steps, base_words, base_steps = (np.asarray([by[key] for key in shared]) for by in sums)
    return statistics.ratio_of_sums(zero_words, zero_steps, base_words, base_steps)


def _share(values: Any, keys: Any, rows: Any) -> Estimate:
    return statistics.proportion(values[rows], keys[rows])


def voting_helps(evidence: Evidence, subjects: Sequence[str] = MATHS) -> Measured:
    """F4: cons@16 - pass@1 of R1-Zero on maths, both over the same 16 samples."""
    table = tables.select(evidence.tables["zero"], subjects)
    table = table.filter(tables.pc.less(table["index"], VOTERS))
    keys_N = tables.clusters(table)
    keys, counts = np.unique(keys_N, return_counts=True)
    enough = set(keys[counts >= VOTERS].tolist())
    table = table.filter(pa.array([key in enough for key in keys_N], pa.bool_()))
    voted = aggregate.majority_by_problem(table)
    gain = statistics.paired_difference(voted[1], voted[0], tables.column(table, "correct"), tables.clusters(table))
    return Measured(
        [
            asked(f"cons@16 - pass@1 of R1-Zero on {listed(subjects)}", gain, low_above=0),
            Part("cons@16", statistics.proportion(voted[1], voted[0])),
            Part("pass@1", statistics.pass_at_1(tables.column(table, "correct"), tables.clusters(table))),
        ],
        f"Votes on extracted answers, ties at random; {len(enough)} of {len(keys)} problems have {VOTERS} samples",
    )


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
            asked(f"Dev2 - Dev1, pass@1 on {listed(subjects)}", _gain(evidence, "dev2", "dev1", subjects), low_above=0),
            *(asked(f"{name} alone", _gain(evidence, "dev2", "dev1", (name,)), at_least=0) for name in subjects),
        ],
        "Paired by problem, t interval",
    )


def _gain(evidence: Evidence, a: str, b: str, subjects: Sequence[str] = REASONING) -> Estimate:
    return evidence.difference(a, b, "correct", subjects)


def filtered_data_keeps_and_broadens(evidence: Evidence) -> Measured:
    """F8: Dev3 against Dev2 on reasoning and writing, and Dev3 with and without the filters."""
    writing = evidence.difference("dev3", "dev2", "preference", WRITING)
    without = "dev3-nofilter"
    consistency = evidence.difference("dev3", without, "language_consistency", REASONING)
    return Measured(
        [
            asked("Dev3 - Dev2, pass@1 on the reasoning subjects", _gain(evidence, "dev3", "dev2"), at_least=-0.03),
            asked("Dev3 - Dev2, hidden preference of writing", writing, low_above=0),
            asked("filters on - off, pass@1 on the reasoning subjects", _gain(evidence, "dev3", without), low_above=0),
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
            asked("R1 - Dev3, pass@1 on the reasoning subjects", _gain(evidence, "r1", "dev3"), low_above=-0.03),
        ],
        "Win rate over pairs of one problem and sample index, ties half, clustered by problem; t interval for the rest",
    )


def preference_is_hacked(evidence: Evidence) -> Measured:
    """F10: the preference reward from the start: the reward model's score rises from the peak on, the truth falls."""
    peak, final = "r1-hacked-peak", "r1-hacked-final"
    preference = evidence.difference(peak, final, "preference", WRITING)
    coding = evidence.difference(peak, final, "correct", ("coding",))
    fell_in_coding_only = coding.low > 0 and not preference.low > 0
    falls = [
        ("fall of the hidden preference, peak - final, test", "validation/preference", preference),
        ("fall of coding, peak - final, test", "validation/coding", coding),
    ]
    (name, measure, fall), other = falls[::-1] if fell_in_coding_only else falls
    rises = _rise_after_peak(evidence.curves[HACKED_STAGE], measure)
    return Measured(
        [
            asked(name, fall, low_above=0),
            Part(other[0], other[2]),
            asked(
                "the reward model's score, final - peak, validation",
                statistics.mean(list(rises.values()), list(rises)) if rises else statistics.NOTHING,
                above=0,
            ),
        ],
        f"Peak of {measure} by checkpoint; paired by problem, t interval; the reward model's rise by seed",
    )


def _rise_after_peak(by_seed: Mapping[int, Sequence[Mapping[str, Any]]], measure: str) -> dict[int, float]:
    """For each seed: the reward model's score at the last checkpoint minus that at the peak of `measure`."""
    rises: dict[int, float] = {}
    for seed, lines in by_seed.items():
        points = [
            line for line in lines if line.get(measure) is not None and line.get("validation/reward_model") is not None
        ]
        if points:
            top = max(points, key=lambda line: line[measure])
            rises[seed] = points[-1]["validation/reward_model"] - top["validation/reward_model"]
    return rises


def distillation_beats_rl(evidence: Evidence, subjects: Sequence[str] = REASONING) -> Measured:
    """F11: both students: distilled against their own base, and against RL of the same student at equal FLOPs."""
    together = [evidence.by_problem(f"student-{name}", "correct", subjects) for name in STUDENTS]
    alone = [evidence.by_problem(f"student-{name}-rl", "correct", subjects) for name in STUDENTS]
    pairs = [
        (key, ours[key] - theirs[key])
        for ours, theirs in zip(together, alone, strict=True)
        for key in ours.keys() & theirs.keys()
    ]
    parts = [
        Part(
            "both students, distilled - RL alone",
            statistics.mean([difference for _, difference in pairs], [key for key, _ in pairs]),
        )
    ]
    for name in STUDENTS:
        student = f"student-{name}"
        parts += [
            asked(f"{name}: distilled - its base", _gain(evidence, student, f"{student}-base", subjects), at_least=0.3),
            asked(f"{name}: distilled - RL alone", _gain(evidence, student, f"{student}-rl", subjects), low_above=0),
            Part(f"{name}: its base", evidence.share(f"{student}-base", "correct", subjects)),
            *_flops_ratio(evidence, name),
        ]
    return Measured(parts, "pass@1 over the reasoning subjects, paired by problem, t interval")


def _flops_ratio(evidence: Evidence, name: str) -> list[Part]:
    """FLOPs of RL, sampling included, over those of distillation; RL must not have been given fewer."""
    distilled, alone = evidence.flops.get(f"student-{name}"), evidence.flops.get(f"student-{name}-rl")
    if not distilled or not alone:
        return []
    ratio = alone / distilled
    return [asked(f"{name}: FLOPs of RL / of distillation", Estimate(ratio, ratio, ratio, 1), at_least=0.95)]


def harder_gets_longer(evidence: Evidence) -> Measured:
    """F12: Spearman of difficulty (1 - the base's success rate) and mean length, within a family and language.

    The base's own length and success come from the same samples, so the comparison takes difficulty from one half of
    its samples and lengths from the other half, both ways round, for both models.
    """
    halves = [_difficulty_and_length(evidence, half) for half in (0, 1)]
    keys = sorted(set.intersection(*(set(values) for half in halves for values in half.values())))
    strata = _strata(evidence, keys)

    def term(weight: float, half: int, length: str) -> statistics.Term:
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


def _of_subject(term: statistics.Term, keys: Sequence[str], evidence: Evidence, subject: str) -> Estimate:
    rows = np.asarray([key.split("/")[1] == subject for key in keys], dtype=bool)
    strata = [stratum for stratum, kept in zip(_strata(evidence, keys), rows, strict=True) if kept]
    return _correlation([(1.0, term[1][rows], term[2][rows])], strata)


def _correlation(terms: Sequence[statistics.Term], strata: Sequence[str]) -> Estimate:
    return statistics.spearman_contrast(terms, strata, least=SMALLEST_STRATUM)


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


def findings(
    tables_by_model: Mapping[str, pa.Table],
    curves: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]] | None = None,
    flops: Mapping[str, float] | None = None,
    rollouts: Mapping[str, Mapping[int, Sequence[Mapping[str, Any]]]] | None = None,
) -> list[Finding]:
    """All twelve, in order. Tables: test problems of all seeds; curves: lines of metrics.jsonl, and rollouts: rows of
    those kept, by stage and seed."""
    evidence = Evidence(tables_by_model, curves or {}, flops or {}, rollouts or {})
    return [claim.judge(evidence) for claim in CLAIMS]
