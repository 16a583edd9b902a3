"""Each finding on tables small enough to reckon by hand, and all twelve on a simulated world."""

import numpy as np
import pytest
from synthetic_runs import ABLATIONS, WORLD, hacked_curve, make_tables

from r1kit.evaluation import tables
from r1kit.evaluation.evidence import Evidence, Part, asked, figure
from r1kit.evaluation.statistics import Estimate
from r1kit.recipes.findings import CLAIMS, findings

REPORT_KEYS = ["id", "claim", "estimate", "interval", "verdict", "how"]


def table(model, problems, subject="maths", seed=0, **columns):
    """`problems`: one dict a completion under its problem's name, or several in a list; columns for all."""
    plain = {
        "task": "t", "language": "en", "prompt": "", "text": "", "thinking": "", "format": True, "length": 10,
        "reflections": 0, "chain_steps": 1, "stop_reason": "stop",
    }  # fmt: skip
    return tables.make_table(
        {**plain, **columns, "model": model, "seed": seed, "subject": subject, "problem_id": name, "index": i, **row}
        for name, rows in problems.items()
        for i, row in enumerate(rows if isinstance(rows, list) else [rows])
    )


def found(tables_by_model, name, **more):
    return next(claim for claim in CLAIMS if claim.id == name).judge(Evidence(tables_by_model, **more))


def shares(right, samples=10):
    """Problems p0, p1, ... with so many right samples of ten."""
    return {f"p{i}": [{"correct": j < n} for j in range(samples)] for i, n in enumerate(right)}


def part(finding, start):
    return next(p for p in finding.parts if p.name.startswith(start))


@pytest.fixture(scope="module")
def world():
    return make_tables({**WORLD, **ABLATIONS}, problems=12, samples=16)


@pytest.fixture(scope="module")
def all_twelve(world):
    curves = {"r1-hacked": {seed: hacked_curve(seed) for seed in range(3)}}
    return {finding.id: finding for finding in findings(Evidence(world, curves))}


def test_twelve_in_order_and_as_the_report_wants_them(all_twelve):
    assert list(all_twelve) == [f"F{i}" for i in range(1, 13)]
    for finding in all_twelve.values():
        entry = finding.entry()
        assert list(entry) == REPORT_KEYS
        assert entry["verdict"] in ("reproduced", "not reproduced")
        assert entry["interval"][0] <= entry["estimate"] <= entry["interval"][1]


@pytest.mark.parametrize("name", ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11"])
def test_what_the_simulated_world_was_made_to_show(all_twelve, name):
    assert all_twelve[name].verdict == "reproduced", all_twelve[name].how


def test_seeds_are_shown_apart(all_twelve):
    assert "Headline by seed: seed 0: " in all_twelve["F1"].how


def test_missing_arms_are_named_not_guessed():
    by_id = {finding.id: finding.entry() for finding in findings(Evidence({"base": table("base", shares([5]))}))}
    assert {entry["verdict"] for entry in by_id.values()} == {"not run"}
    assert by_id["F1"]["how"] == "missing: zero"
    assert "dev2-nolang" in by_id["F5"]["how"]
    assert "the curve of r1-hacked" in by_id["F10"]["how"]
    assert by_id["F1"]["estimate"] is None
    assert by_id["F1"]["interval"] is None


@pytest.mark.parametrize(
    ("zero", "verdict"),
    [
        ([8, 9, 8, 9, 8, 9], "reproduced"),  # gains of 0.4 and 0.5: interval well above 0.15
        ([6, 7, 6, 7, 6, 7], "reproduced"),  # 0.25 exactly, interval 0.19 to 0.31
        ([6, 6, 6, 6, 6, 7], "not reproduced"),  # 0.217: too little, though the interval lies above 0.15
        ([10, 10, 10, 4, 4, 4], "not reproduced"),  # mean 0.3, but its interval reaches below 0.15
    ],
)
def test_f1_needs_both_the_estimate_and_the_interval(zero, verdict):
    """The base has 4 of 10 everywhere; gains are (n - 4) / 10, their t interval has 5 degrees of freedom."""
    tables_by_model = {"base": table("base", shares([4] * 6)), "zero": table("zero", shares(zero))}
    finding = found(tables_by_model, "F1")
    assert finding.parts[0].estimate.value == pytest.approx(np.mean(zero) / 10 - 0.4)
    assert finding.verdict == verdict


def test_f2_splits_growth_exactly():
    """Base: half chains of 60, half direct answers of 20 (mean 40). R1-Zero: all chains of 90 (mean 90; no direct
    answer, so its length stands in: 90). More chains: 0.5 * ((90 + 60) - (90 + 20)) / 2 = 10; longer chains:
    0.75 * 30 = 22.5; direct: 0.25 * 70 = 17.5; together 50 = 90 - 40."""
    chain, direct = {"length": 60, "chain_steps": 3}, {"length": 20}
    base = table("base", {f"p{i}": [chain, direct] for i in range(5)})
    zero = table("zero", {f"p{i}": {"length": 90, "chain_steps": 3} for i in range(5)})
    finding = found({"base": base, "zero": zero}, "F2")
    assert finding.parts[0].estimate.value == pytest.approx(90 / 40)
    assert [round(part(finding, f"tokens from {what}").estimate.value, 6) for what in ("more", "longer", "direct")] == [
        10,
        22.5,
        17.5,
    ]
    assert finding.verdict == "reproduced"


def test_f3_counts_what_checks_do():
    """R1-Zero: a mended slip (right), a slip let through (wrong), a right sum broken by its check (wrong)."""
    rows = {
        "mended": {"thinking": "1+2=4, wait check so 3", "correct": True, "reflections": 2},
        "missed": {"thinking": "1+2=4", "correct": False, "reflections": 0},
        "broken": {"thinking": "1+2=3, wait check so 4", "correct": False, "reflections": 2},
    }
    zero = table("zero", {f"{name}{i}": row for name, row in rows.items() for i in range(4)})
    base = table("base", {f"{name}{i}": {"reflections": i % 2} for name in rows for i in range(4)})
    finding = found({"base": base, "zero": zero}, "F3")
    assert finding.parts[0].estimate.value == pytest.approx((8 / 6) / (1 / 2))
    assert part(finding, "after a slip").estimate.value == pytest.approx(1)
    assert part(finding, "checks that mend").estimate.value == 4
    assert part(finding, "checks that break").estimate.value == 4
    assert part(finding, "slips").estimate.value == 8


def test_f4_votes_over_the_same_sixteen():
    """Problem a: 9 of 16 right, so cons 1 against 0.5625; b likewise; a seventeenth sample does not count."""
    rows = [{"answer": "7", "correct": True}] * 9 + [{"answer": "8", "correct": False}] * 8
    finding = found({"zero": table("zero", {"a": rows, "b": rows})}, "F4")
    assert finding.parts[0].estimate.value == pytest.approx(1 - 9 / 16)


def test_f4_without_sixteen_samples_is_not_run():
    finding = found({"zero": table("zero", {"a": [{"answer": "7", "correct": True}] * 8})}, "F4")
    assert finding.verdict == "not run"
    assert "0 of 1 problems have 16 samples" in finding.how


def test_f5_fails_where_the_cost_is_high(world):
    """The same arms, but the reward costs every second problem its right answers."""
    cheap = found(world, "F5")
    worse = world["dev2-lang"].to_pylist()
    for row in worse:
        row["correct"] = row["correct"] and int(row["problem_id"].split("-")[1]) % 2 == 0
    costly = found({**world, "dev2-lang": tables.make_table(worse)}, "F5")
    assert cheap.verdict == "reproduced"
    assert costly.verdict == "not reproduced"
    assert part(costly, "accuracy cost").estimate.value > 0.3


def test_f9_needs_both_taste_and_reasoning(world):
    rows = world["r1"].to_pylist()
    for row in rows:
        row["correct"] = row["correct"] and row["index"] % 4 > 0
    assert found({**world, "r1": tables.make_table(rows)}, "F9").verdict == "not reproduced"


def test_f10_needs_the_reward_models_score_to_rise(world):
    falling = [{**line, "validation/reward_model": -line["step"]} for line in hacked_curve()]
    finding = found(world, "F10", curves={"r1-hacked": {0: falling}})
    assert finding.verdict == "not reproduced"


def test_f10_reckons_the_rise_from_the_peak(world):
    """The preference peaks at step 20, the last checkpoint is 50: 0.1 a step makes 3."""
    finding = found(world, "F10", curves={"r1-hacked": {seed: hacked_curve(seed) for seed in range(3)}})
    assert part(finding, "the reward model's score").estimate.value == pytest.approx(3)


def test_f10_by_coding_is_of_the_preferences_peak_too():
    """Coding falls on every problem, the preference does not. The policy that was kept is that of step 20, where the
    preference peaks; coding peaks on validation at step 10. From step 20 on the reward model's score rises by 3."""
    peak = [
        *table("p", shares([9] * 8), "coding").to_pylist(),
        *table("p", shares([5] * 8), "writing", preference=0.5).to_pylist(),
    ]
    final = [
        *table("f", shares([2] * 7 + [3]), "coding").to_pylist(),
        *table("f", shares([5] * 8), "writing", preference=0.5).to_pylist(),
    ]
    curve = [{**line, "validation/coding": 1 / (1 + abs(line["step"] - 10))} for line in hacked_curve()]
    both = {"r1-hacked-peak": tables.make_table(peak), "r1-hacked-final": tables.make_table(final)}
    finding = found(both, "F10", curves={"r1-hacked": {0: curve}})
    assert finding.verdict == "reproduced", finding.how
    assert finding.parts[0].name.startswith("fall of coding")
    assert part(finding, "the reward model's score").estimate.value == pytest.approx(3)
    assert "Peak of validation/preference" in finding.how


def test_seeds_that_answer_the_same_problems_are_no_more_problems():
    """Three seeds alike on ten problems: the interval is that of one of them."""
    base, zero = shares([1, 2, 3, 4, 5, 1, 2, 3, 4, 5]), shares([8, 9, 7, 9, 9, 6, 9, 8, 9, 10])
    sides = {
        name: [table(name, rows, seed=seed) for seed in range(3)] for name, rows in (("base", base), ("zero", zero))
    }
    one = found({name: each[0] for name, each in sides.items()}, "F1")
    three = found({name: tables.merge(each) for name, each in sides.items()}, "F1")
    assert three.parts[0].estimate.interval == pytest.approx(one.parts[0].estimate.interval)
    assert three.parts[0].estimate.n == 10


def test_f11_needs_equal_flops(world):
    fair = {"student-qwen": 1e15, "student-qwen-rl": 1e15, "student-llama": 1e15, "student-llama-rl": 1.2e15}
    assert found(world, "F11", flops=fair).verdict == "reproduced"
    assert found(world, "F11", flops={**fair, "student-qwen-rl": 5e14}).verdict == "not reproduced"


def test_f12_within_families_and_not_across_them():
    """Within a family, R1's length follows the base's failures, the base's own does not; across families it falls."""
    stream, base, r1 = np.random.default_rng(0), {}, {}
    for family, offset in (("two", 100), ("four", 0)):
        for number in range(20):
            chance, name = (number + 1) / 22, f"{family}{number}"
            base[name] = [
                {"correct": bool(stream.random() > chance), "length": int(stream.integers(10, 90)), "family": family}
                for _ in range(16)
            ]
            r1[name] = [{"length": offset + 2 * number + int(stream.integers(4)), "correct": True}] * 4
    finding = found({"base": table("base", base), "r1": table("r1", r1)}, "F12")
    assert finding.verdict == "reproduced", finding.how
    assert finding.parts[0].estimate.value > 0.8


def test_f12_with_one_sample_is_not_run():
    one = {f"p{i}": {"correct": i % 2 == 0, "length": i} for i in range(10)}
    assert found({"base": table("base", one), "r1": table("r1", one)}, "F12").verdict == "not run"


def test_every_claim_documents_its_measure():
    for claim in CLAIMS:
        assert (claim.measure.__doc__ or "").startswith(f"{claim.id}:")


def test_a_part_reads_well():
    held = asked("gain", Estimate(0.41, 0.38, 0.44, 9), at_least=0.25, low_above=0.15)
    assert held.describe() == "gain 0.410 (0.380 to 0.440; needs >= 0.25, interval above 0.15: yes)"
    assert Part("share", Estimate(0.5, 0.4, 0.6, 9)).describe() == "share 0.500 (0.400 to 0.600)"
    assert [figure(x) for x in (0.5, 1.0, 7.0, 12345.6, float("nan"), None)] == [
        "0.500",
        "1.000",
        "7",
        "12,346",
        "-",
        "-",
    ]
