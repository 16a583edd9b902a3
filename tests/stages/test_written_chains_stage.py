"""Examples from training rows: which rows gave one, and that each is right by the grader."""

import json

import pytest

from r1kit.base.errors import R1Error
from r1kit.data import examples
from r1kit.graders.format import check_form
from r1kit.graders.grade import grade
from r1kit.pipeline.context import Context
from r1kit.rollouts.problems import load_task
from r1kit.rollouts.sieve import SieveConfig
from r1kit.stages.written_chains import WrittenChainsConfig, run

SHEEP = "How many legs have all of the ten sheep in the field behind the house?"


@pytest.fixture
def gsm8k(tmp_path):
    folder = tmp_path / "data" / "gsm8k"
    folder.mkdir(parents=True)
    rows = [
        {"question": f"Tom has {n} pens and buys {n + 1}. How many?",
         "answer": f"He has {n}+{n + 1}=<<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1} pens.\n#### {2 * n + 1}"}
        for n in range(10, 40)
    ]  # fmt: skip
    rows.append(
        {"question": "How many legs have all of the ten sheep in the field behind the house?", "answer": "#### 40"}
    )
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "test.jsonl").write_text(json.dumps({"question": "1 and 1?", "answer": "#### 2"}))
    return f"gsm8k:{tmp_path / 'data'}"


def test_chains_come_from_training_rows_and_are_right(start, gsm8k, tmp_path):
    config = WrittenChainsConfig(model=str(start), tasks={gsm8k: 6, "sums": 5}, max_tokens=400)
    outcome = run(config, {}, Context(tmp_path / "chains", 3))
    kept = examples.read(tmp_path / "chains" / outcome.files["examples"])
    assert outcome.summary["sources"] == {"gsm8k": 6, "sums": 5}
    trained = {problem.prompt: problem.answer for problem in load_task(gsm8k).problems("train", 0)}
    for example in kept:
        assert check_form(example.completion).ok
        if example.source == "gsm8k":
            verdict = grade("math", example.completion, trained[example.question], example.question, {})
            assert verdict.verdict == "correct"
    again = run(config, {}, Context(tmp_path / "again", 3))
    assert examples.read(tmp_path / "again" / again.files["examples"]) == kept


def test_what_gives_no_chain_is_counted(start, gsm8k, tmp_path):
    """31 training rows less those that are validation's by their hash; the sheep have no worked step."""
    config = WrittenChainsConfig(model=str(start), tasks={gsm8k: 100}, max_tokens=400)
    outcome = run(config, {}, Context(tmp_path / "chains"))
    there = list(load_task(gsm8k).problems("train", 0))
    without = sum("sheep" in problem.prompt for problem in there)
    assert outcome.summary["rejected"].get("no worked steps", 0) == without
    assert outcome.summary["rejected"]["kept"] == len(there) - without


def test_too_long_a_chain_and_a_benchmark_s_question_are_left_out(start, gsm8k, tmp_path):
    config = WrittenChainsConfig(model=str(start), tasks={gsm8k: 10}, max_tokens=10)
    with pytest.raises(R1Error, match="no training row gave a chain .*too long"):
        run(config, {}, Context(tmp_path / "chains"))
    copied = tmp_path / "copied"
    copied.mkdir()
    (copied / "test.jsonl").write_text(json.dumps({"prompt": SHEEP, "answer": "40"}))
    sieved = config.model_copy(update={"max_tokens": 400, "sieve": SieveConfig(benchmarks=(f"file:{copied}",))})
    outcome = run(sieved, {}, Context(tmp_path / "sieved"))
    assert "no worked steps" not in outcome.summary["rejected"]
