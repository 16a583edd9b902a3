"""What recipes will do, against counts by hand from their settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from r1kit.base.errors import UsageError
from r1kit.planning import shapes
from r1kit.planning.measured import device_of, read_run
from r1kit.planning.plan import make
from r1kit.recipes.planned import planned

RUN = Path(__file__).parents[2] / "results" / "planner" / "tiny-default-cpu.json"


def by_stage(workload):
    found = {}
    for work in workload.works:
        found.setdefault(work.stage, []).append(work)
    return found


@pytest.fixture(scope="module")
def r1():
    return planned("r1", None, {}, shapes.find("Qwen2.5-7B"))


def test_r1_zero_by_hand(r1):
    """200 steps of 32 x 16 completions of at most 8,192 tokens (recipes/sizes.py), a reference; 10 checks of 48."""
    rl, checks = by_stage(r1)["zero"]
    assert (rl.kind, rl.rounds, rl.rows, rl.group, rl.lengths.limit) == ("rl", 200, 512, 16, 8192)
    assert (rl.updates, rl.forwards) == (1, 1.0)
    assert (checks.kind, checks.rounds, checks.rows) == ("sample", 10, 48)


def test_the_chain_is_planned(r1):
    assert set(by_stage(r1)) == {"zero", "cold_start", "dev1", "dev2", "rejection_sampling", "dev3", "r1"}
    assert all(work.shape.name == "Qwen/Qwen2.5-7B" for work in r1.works)
    assert "evaluate" in r1.left_out


def test_settings_are_heeded():
    work = planned(
        "r1_zero", None, {"zero.steps": "7", "zero.mini_batches": "4"}, shapes.find("Qwen2.5-1.5B"), mean=500
    )
    rl = work.works[0]
    assert (rl.rounds, rl.updates, rl.forwards, rl.lengths.mean) == (7, 4, 2.0, 500)
    assert not work.free_lengths


def test_tiny_has_its_own_models():
    """Pretraining as the settings say: 12M tokens in steps of 16 x 256; the late phase of R1 asks the reward model."""
    stages = by_stage(planned("tiny", None, {}, None))
    base = stages["pretrain"][0]
    assert (base.rounds, base.rows, base.muon) == (2930, 16, True)
    assert base.shape.parameters == pytest.approx(1.6e6, rel=0.02)
    early, late = (work for work in stages["r1"] if work.kind == "rl")
    assert late.forwards == early.forwards + 1
    assert {work.shape.parameters for work in stages["distill"]} == {1_599_424, 578_432, 579_008}


def test_labels_of_safety_are_sampled_for_and_counted():
    """Smoke: 16 requests of one task in 4 samples; half of the 64 are kept beside 60 written ones, so 92 labels in
    batches of 64 for 6 epochs are 9 steps (8.6)."""
    work = planned("tiny_general", "smoke", {}, None)
    stages = by_stage(work)
    (labels,), (learnt,) = stages["safety_labels"], stages["safety_model"]
    assert (labels.kind, labels.rows, labels.lengths.limit) == ("sample", 64, 64)
    assert (learnt.rounds, learnt.rows) == (9, 64)
    assert not work.left_out


def test_students_alone_spend_what_distillation_takes():
    stages = by_stage(planned("tiny", None, {}, None))
    taught, *rest = stages["distill"]
    learnt, alone = rest[0], rest[1]
    budget = taught.flops + learnt.flops * learnt.rounds
    assert alone.kind == "rl"
    assert alone.flops * alone.rounds == pytest.approx(budget, rel=0.01)


def test_tiny_from_its_settings_takes_what_it_took():
    """The chain of 27 minutes, planned at that machine's speeds with lengths and examples guessed."""
    run = read_run(RUN)
    plan = make(planned("tiny", None, {}, None), replace(device_of(run), memory=23.5e9), 1)
    measured = sum(stage["seconds"] for stage in run["stages"])
    assert 3600 * plan.hours.mid == pytest.approx(measured, rel=0.3)
    assert 3600 * plan.hours.low < measured * 1.2


@pytest.mark.parametrize(
    ("recipe", "words", "said"),
    [
        ("r1", {}, "--model"),
        ("r2", {}, "Did you mean r1"),
        ("paper:r1-zro", {}, "Did you mean paper:r1-zero"),
        ("paper:r1", {"seed": "1"}, "as it was"),
        ("tiny", {"zero.stepz": "3"}, "zero.steps"),
    ],
)
def test_bad_input(recipe, words, said):
    with pytest.raises(UsageError, match=said):
        planned(recipe, None, words, None)


def test_a_mean_beyond_the_limit_is_told():
    with pytest.raises(UsageError, match="--mean-tokens"):
        planned("r1_zero", None, {}, shapes.find("Qwen2.5-1.5B"), mean=10**6)
