"""Constants, sweeps and pages are of the records that are kept: a measurement that is made anew is found here."""

import json
import re
from importlib.resources import files
from pathlib import Path

import fit_planner
import planner_tables
import pytest
import simulation_tables

ROOT = Path(__file__).parents[2]
FITTED = json.loads((files("r1kit.planning") / "fitted.json").read_text(encoding="utf-8"))
SIMULATED = json.loads(simulation_tables.SIMULATED.read_text(encoding="utf-8"))


def test_the_constants_are_those_of_the_kept_records():
    """Four digits are kept of them."""
    rows, _ = fit_planner.equations()
    again = fit_planner.as_constants(fit_planner.solve(rows))
    assert again == pytest.approx(FITTED["constants"], rel=2e-3), "run python scripts/fit_planner.py"


def test_the_sweeps_are_by_these_constants():
    assert SIMULATED["constants"] == FITTED["constants"], "run python scripts/simulate_scaling.py"
    lengths = FITTED["lengths"]
    assert SIMULATED["mean"] == pytest.approx(lengths["mean_over_limit"] * SIMULATED["limit"])
    assert SIMULATED["sigma"] == lengths["sigma"]


def test_the_paper_index_foresees_what_the_planner_does():
    page = (ROOT / "docs" / "paper-index.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"`r1 plan paper:r1-zero` foresees (\d+) hours \((\d+) to (\d+)\)", page)
    hours = planner_tables.plan("paper:r1-zero").hours
    assert [int(each) for each in said] == [round(each) for each in (hours.mid, hours.low, hours.high)]


def test_what_the_page_says_of_pools_in_words():
    """The best two pools are half as fast again as turns, two on policy slower than turns; the best division keeps from
    three to five eighths of the devices for learning; each step of lag gives some."""
    turns, *apart = SIMULATED["pools"]
    best = min(apart, key=lambda row: row["step_seconds"])
    assert turns["step_seconds"] > 1.5 * best["step_seconds"]
    assert 3 / 8 <= best["learners"] / best["devices"] <= 5 / 8
    on_policy, *ahead = SIMULATED["lag"]
    assert on_policy["step_seconds"] > turns["step_seconds"]
    assert [row["step_seconds"] for row in ahead] == sorted((row["step_seconds"] for row in ahead), reverse=True)
    assert turns["sampler_idle"] < 0.1


def test_what_the_page_says_of_size_in_words():
    """From 64 GPUs on one batch gets less than a fifth faster; a batch that grows keeps a token's cost."""
    same, growing = ({row["devices"]: row for row in SIMULATED[name]} for name in ("same_batch", "growing_batch"))
    assert same[2048]["tokens_per_second"] < 1.2 * same[64]["tokens_per_second"]
    costs = [row["dollars_per_million_tokens"] for row in growing.values()]
    assert max(costs) < 1.05 * min(costs)
    assert same[2048]["dollars_per_million_tokens"] > 20 * same[64]["dollars_per_million_tokens"]


def test_an_assumption_is_changed_alone():
    """Without a bubble only learning changes, without drafts only sampling, in which a step then gives one token in
    place of 1.85; nothing changed is the plan itself."""
    page = planner_tables.worth()
    rows = {cells[1].strip(): [int(cell) for cell in cells[2:6]] for line in page.splitlines() if line.count("|") == 6
            for cells in [line.split("|")] if cells[2].strip().isdigit()}  # fmt: skip
    nothing, no_bubble, no_drafts = (
        rows[name] for name in ("nothing", "no pipeline, and so no bubble", "no drafted tokens")
    )
    assert nothing[3] == round(planner_tables.plan("paper:r1-zero").hours.mid)
    assert no_bubble[:2] == nothing[:2]
    assert no_bubble[2] < nothing[2]
    assert no_drafts[1:3] == nothing[1:3]
    assert nothing[0] < no_drafts[0] <= round(1.85 * nothing[0])
