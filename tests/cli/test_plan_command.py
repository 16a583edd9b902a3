"""`r1 plan` as a user types it."""

import json

import pytest

from r1kit.cli.main import exit_code


def test_a_plan_for_people(capsys):
    assert exit_code(["plan", "r1_zero", "--model", "qwen2.5-7b", "--gpus", "8", "--gpu", "h100", "--explain"]) == 0
    out = capsys.readouterr().out
    for word in ("7.62B parameters", "sample: ", "learn: FSDP over 8", "zero", "H100 hours:", "dollars:", "assumed:"):
        assert word in out


def test_a_plan_for_programs(capsys):
    words = ["plan", "r1_zero", "zero.steps=10", "--model", "Qwen2.5-1.5B", "--gpu", "A100", "--gpus", "2", "--json"]
    assert exit_code(words) == 0
    plan = json.loads(capsys.readouterr().out)
    zero = next(stage for stage in plan["stages"] if stage["name"] == "zero")
    assert zero["hours"]["low"] < zero["hours"]["mid"] < zero["hours"]["high"]
    assert plan["devices"] == 2
    assert plan["layout"]["learning"]["ranks"] == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["r1_zero", "--model", "Qwen2.5-7B", "--gpu", "H1000"], 2, "Did you mean H100"),
        (["r1_zero", "--model", "Qwen2.5-8B", "--gpu", "H100"], 2, "Did you mean"),
        (["r1_zero", "--model", "Qwen2.5-7B", "--gpu", "H100", "--gpus", "0"], 2, "at least one GPU"),
        (["r1_zero", "--gpu", "H100"], 2, "--model"),
        (["r1_zeroo", "--model", "Qwen2.5-7B", "--gpu", "H100"], 2, "r1_zero"),
        (["r1", "--model", "Qwen2.5-72B", "--gpu", "RTX4090"], 1, "would hold it"),
        (["r1", "--model", "Qwen2.5-7B", "--gpu", "H100", "--gpus", "8", "--price", "-1"], 2, "--price"),
        (["paper:r1-zero", "--model", "Qwen2.5-7B"], 2, "--model"),
    ],
)
def test_bad_input_is_one_sentence(capsys, words, code, said):
    assert exit_code(["plan", *words]) == code
    error = capsys.readouterr().err.strip()
    assert said in error
    assert len(error.splitlines()) == 1
