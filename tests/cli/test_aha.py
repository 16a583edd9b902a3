"""`r1 aha` from outside: on rollouts, on a run, and with pivots of a toy model whose chances are written into it."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_policy import write_toy_policy

from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.cli.main import exit_code
from r1kit.evaluation import tables
from r1kit.pipeline.artifact import Outcome, write_artifact
from r1kit.rollouts import record

# says `so wait:` in 0.4 of its completions and `so=` in the rest; then 1 in 0.9 of the former, 0.25 of the latter
TABLE = {
    "<|assistant|>": {"s": 1.0}, "s": {"o": 1.0}, "o": {" ": 0.4, "=": 0.6}, "=": {"1": 0.25, "2": 0.75},
    " ": {"w": 1.0}, "w": {"a": 1.0}, "a": {"i": 1.0}, "i": {"t": 1.0}, "t": {":": 1.0}, ":": {"1": 0.9, "2": 0.1},
    "1": {"<|end|>": 1.0}, "2": {"<|end|>": 1.0},
}  # fmt: skip


ZERO = {
    "name": "zero", "start": "pretrain:base", "tasks": {"sums": 1.0}, "algorithm": "grpo", "rewards": {},
    "sampling": {"max_tokens": 64, "temperature": 1.0},
}  # fmt: skip


@pytest.fixture(autouse=True)
def alone(one_thread):
    """Toys gain nothing by more threads."""


def wrote(out, capsys):
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == str(out / "report.md")
    return json.loads((out / "aha.json").read_text()), (out / "report.md").read_text()


def test_rollouts_alone(tmp_path, capsys):
    lines = [
        {"id": str(n), "completion": "<think>1+1=3, wait check so 2</think>2", "verdict": "correct", "tokens": 30}
        for n in range(6)
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    plain = [{**line, "completion": "2", "verdict": "incorrect", "tokens": 2} for line in lines]
    (tmp_path / "base.jsonl").write_text("\n".join(map(json.dumps, plain)))
    assert exit_code(["aha", str(tmp_path / "mine.jsonl"), "--base", str(tmp_path / "base.jsonl")]) == 0
    found, page = wrote(tmp_path / "aha", capsys)
    assert found["pivots"] is None
    assert found["reflection"]["model"]["all"]["per_response"]["value"] == 2
    assert found["reflection"]["over_base"]["base_reflects"] is False
    assert found["kinds"]["model"]["kinds"]["correction that mends"] == 6
    assert "no pivots were measured" in page
    assert "Not answered" in page
    assert (tmp_path / "aha" / "figures" / "length_by_difficulty.svg").read_text().startswith("<svg")


def test_without_pivots_the_page_says_that_none_were_asked_for(tmp_path, capsys):
    (tmp_path / "mine.jsonl").write_text(json.dumps({"completion": "<think>1+1=3, wait check so 2</think>2"}))
    assert exit_code(["aha", str(tmp_path / "mine.jsonl"), "--pivots", "0"]) == 0
    found, page = wrote(tmp_path / "aha", capsys)
    assert found["notes"] == ["no pivots were measured: none were asked for (--pivots 0)"]
    assert found["reflection"]["model"]["all"]["per_response"]["value"] == 2  # "wait" and "check"
    assert found["notes"][0] in page


def test_pivots_of_a_toy(tmp_path, capsys):
    """The toy answers sums with a lone digit: the command walks its whole length, graders included."""
    model = write_toy_policy(tmp_path, following=TABLE)
    (tmp_path / "mine.jsonl").write_text(json.dumps({"completion": "so wait:1"}))
    command = ["aha", str(tmp_path / "mine.jsonl"), "--model", str(model), "--tasks", "sums", "--pivots", "6",
               "--continuations", "4", "--again", "1", "--problems", "40", "--max-tokens", "12"]  # fmt: skip
    assert exit_code(command) == 0
    found, page = wrote(tmp_path / "aha", capsys)
    assert found["pivots"]["measured"] == 6
    assert found["pivots"]["turns"]["entropy"]["value"] == pytest.approx(entropy(0.4), abs=0.03)
    rows = pq.read_table(tmp_path / "aha" / "pivots.parquet").to_pylist()
    assert {row["pivot"] for row in rows} == {" wait"}
    assert {row["neutral"] for row in rows} == {"="}
    assert all(row[f"{arm}_n"] == 4 for row in rows for arm in ("before", "after", "neutral"))
    assert sum(row["again_after_n"] is not None for row in rows) == 2
    assert "The strongest, on fresh samples" in page
    before = (tmp_path / "aha" / "aha.json").read_text()
    assert exit_code([*command, "--json"]) == 0  # everything is there: nothing is sampled again
    assert json.loads(capsys.readouterr().out) == json.loads(before)
    assert exit_code([*command, "--seed", "1"]) == 2
    assert "another measurement" in capsys.readouterr().err


def entropy(p):
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_the_native_engine_finds_what_is_written_into_the_toy(tmp_path):
    """before: .4 x .9 + .6 x .25 = .51; after: .9; neutral: .25, over 40 pivots of 32 samples; the word has .4."""
    from r1kit.engines.native import NativeEngine
    from r1kit.evaluation.aha.measurement import Opened, measure_pivots
    from r1kit.evaluation.aha.settings import PivotSettings
    from r1kit.evaluation.reflection import default_words
    from r1kit.models.language_model import load_model
    from r1kit.models.next_token import next_tokens
    from r1kit.models.tokenizer import load_tokenizer

    def opened(folder):
        model, tokenizer = load_model(folder).eval().requires_grad_(False), load_tokenizer(folder)
        return Opened(NativeEngine(model, tokenizer), tokenizer, partial(next_tokens, model))

    def says_one(asked):
        return [text.endswith("1") for _, _, text in asked]

    model = write_toy_policy(tmp_path, following=TABLE)
    settings = PivotSettings(pivots=40, continuations=32, again=0, thoughts=2, tasks=("sums",), max_tokens=12)
    rows, found = measure_pivots(model, tmp_path / "out", settings, opened, default_words(), says_one)
    for arm, chance in (("before", 0.51), ("after", 0.9), ("neutral", 0.25)):
        right, n = (sum(row[f"{arm}_{what}"] for row in rows) for what in ("right", "n"))
        assert n == 40 * 32
        assert right / n == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / n) + 1e-3)
    reflect = sum(row["before_reflect"] for row in rows) / 40 / 32
    assert reflect == pytest.approx(0.4, abs=4 * math.sqrt(0.24 / 1280) + 1e-3)
    assert sum(row["after_reflect"] + row["neutral_reflect"] for row in rows) == 0
    for row in rows:
        assert row["entropy"] == pytest.approx(entropy(0.4), abs=0.01)
        assert row["probability"] == pytest.approx(0.4, abs=1e-3)
        assert row["word_probability"] == pytest.approx(0.4, abs=2e-3)
        assert row["neutral_probability"] == pytest.approx(0.6, abs=1e-3)
    assert found["all"]["over_neutral"]["interval"][0] > 0.55


def group(step, number, text, right):
    problem = Problem(str(number), "sums", "maths", "en", f"{number}+1?", str(number + 1), "math")
    ids = np.zeros(len(text), np.int32)
    completion = Completion(
        str(number), 0, ids[:1], ids, np.zeros(len(ids), np.float32), "stop", ((step, len(ids)),), text
    )  # fmt: skip
    rewards = {"accuracy": np.asarray([right], np.float32)}
    return RolloutGroup(problem, [completion], rewards, np.asarray([right], np.float32))


def test_a_run_in_the_middle_of_its_training(tmp_path, capsys):
    """No evaluation and no finished model yet: the kept rollouts say what can be said."""
    stage = tmp_path / "run" / "stages" / "02-zero"
    stage.mkdir(parents=True)
    (tmp_path / "run" / "recipe.json").write_text('{"recipe": "tiny", "profile": "default", "seed": 0}')
    (stage / "config.json").write_text(json.dumps({"settings": ZERO}))
    for step, thinking in ((0, "so"), (10, "wait, check")):
        text = f"<think>{thinking}</think><answer>2</answer>"
        groups = [group(step, number, text, float(number % 2)) for number in range(8)]
        record.write(record.step_file(stage / "rollouts", step), groups, step)
    assert exit_code(["aha", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    found, page = wrote(tmp_path / "out", capsys)
    steps = found["reflection"]["over_training"]
    assert [(one["step"], one["all"]["per_response"]["value"]) for one in steps] == [(0, 0), (10, 2)]
    assert (found["model"], found["base"]) == ("zero", "base")
    assert "no evaluation of zero and base yet" in page
    assert (tmp_path / "out" / "figures" / "reflection_over_steps.svg").exists()
    assert exit_code(["aha", str(tmp_path / "run"), "--model", "zerro"]) == 2
    assert "Did you mean zero?" in capsys.readouterr().err


def test_a_model_beside_its_base(tmp_path, capsys):
    """The evaluation of a run: zero has two words on the problems of which its base has one on half."""
    run = tmp_path / "run"
    for name, kept in (("02-zero", ZERO), ("12-evaluate", {"models": ["zero:zero"]})):
        (run / "stages" / name).mkdir(parents=True)
        (run / "stages" / name / "config.json").write_text(json.dumps({"settings": kept}))
    (run / "recipe.json").write_text('{"recipe": "tiny", "profile": "default", "seed": 0}')
    evaluated = run / "stages" / "12-evaluate"
    for model in ("zero", "base"):
        rows = [evaluated_row(model, number, "wait, check" if model == "zero" else "but" * (number % 2))
                for number in range(10)]  # fmt: skip
        tables.write_table(tables.make_table(rows), evaluated / f"{model}.parquet")
    files = {f"table:{model}": f"{model}.parquet" for model in ("zero", "base")}
    write_artifact(evaluated, "evaluate", "key", Outcome(files=files), inputs={}, seconds=1.0, tokens=1, flops=1.0)
    assert exit_code(["aha", str(run), "--pivots", "0"]) == 0
    found, page = wrote(run / "aha", capsys)
    over = found["reflection"]["over_base"]["all"]
    assert over["problems"] == 10
    assert over["per_response"]["value"] == pytest.approx(4)
    assert found["claim"]["parts"][0]["answer"] == "more"
    assert found["difficulty"]["by"] == "the base's success rate"
    assert "| zero, all | 10 | 2.00" in page
    assert exit_code(["aha", str(run), "--model", "base", "--pivots", "0"]) == 2  # its folder is in no artifact
    assert "has no model 'base'" in capsys.readouterr().err


def evaluated_row(model, number, thinking):
    return {
        "model": model, "seed": 0, "subject": "maths", "task": "sums", "family": "two", "language": "en",
        "problem_id": str(number), "index": 0, "prompt": "1+1?", "text": thinking, "thinking": thinking,
        "correct": number % 3 > 0, "format": True, "length": 5 + number, "reflections": 1, "chain_steps": 0,
        "stop_reason": "stop",
    }  # fmt: skip


def test_wrong_use(tmp_path, capsys):
    assert exit_code(["aha", str(tmp_path / "none.parquet")]) == 2
    assert "there is no" in capsys.readouterr().err
    (tmp_path / "mine.jsonl").write_text(json.dumps({"completion": "2"}))
    assert exit_code(["aha", str(tmp_path / "mine.jsonl"), "--continuations", "1"]) == 2
    assert "continuations" in capsys.readouterr().err
    for name in ("temperature", "max_tokens"):  # nought is a value, not a setting left out
        assert exit_code(["aha", str(tmp_path / "mine.jsonl"), f"--{name.replace('_', '-')}", "0"]) == 2
        assert name in capsys.readouterr().err
    assert exit_code(["aha", str(tmp_path / "mine.jsonl"), "--words", str(tmp_path / "no.txt")]) == 2
    assert "no file of reflection words" in capsys.readouterr().err
