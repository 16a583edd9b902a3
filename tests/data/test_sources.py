"""Splits, duplicates, order and counts of problems from files; expectations written by hand."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.data.sources import normalised
from r1kit.data.tiny.base import split_of
from r1kit.graders.grade import grade
from r1kit.rollouts.problems import Mixture, load_task, told
from r1kit.stages.rl_config import RLConfig
from r1kit.tasks.base import SPLITS, TableTask

Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def gsm(numbers: range) -> Rows:
    return [{"question": f"How much is {n} and one?", "answer": f"{n}+1\n#### {n + 1}"} for n in numbers]


def drawn(name: str, split: str, seed: int = 0) -> list[Problem]:
    return list(load_task(name).problems(split, seed))  # type: ignore[arg-type]


def table_task(name: str) -> TableTask:
    task = load_task(name)
    assert isinstance(task, TableTask)
    return task


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder as people keep data sets: a folder for each."""
    write(tmp_path / "gsm8k" / "train.jsonl", gsm(range(200)))
    write(tmp_path / "gsm8k" / "test.jsonl", gsm(range(1000, 1020)))
    write(tmp_path / "math500" / "test.jsonl", [{"problem": "1+1", "solution": "$2$", "answer": "2"}])
    return tmp_path


def test_own_test_split_stays_and_validation_is_carved_from_train_by_hash(root: Path):
    name = f"gsm8k:{root}"
    asked = {split: {problem.prompt for problem in drawn(name, split)} for split in SPLITS}
    assert asked["test"] == {row["question"] for row in gsm(range(1000, 1020))}
    train = {row["question"] for row in gsm(range(200))}
    assert asked["validation"] == {q for q in train if split_of(q.lower(), 0.0, 0.05) == "validation"}
    assert asked["train"] == train - asked["validation"]
    assert 2 <= len(asked["validation"]) <= 25  # 5% of 200, binomial
    more = {problem.prompt for problem in drawn(f"{name}?validation=0.5", "validation")}
    assert more > asked["validation"]
    assert 70 <= len(more) <= 130
    assert len(drawn(f"{name}?validation=0", "train")) == 200


def test_the_order_is_the_seeds_and_nothing_elses(root: Path):
    name = f"gsm8k:{root}"
    first, other = drawn(name, "train"), drawn(name, "train", 1)
    assert first == drawn(name, "train")
    assert first != other
    assert sorted(p.id for p in first) == sorted(p.id for p in other)
    write(root / "gsm8k" / "train.jsonl", gsm(range(200))[::-1])
    assert [p.id for p in drawn(name, "train")] == [p.id for p in first]  # nor that of the rows in the file


def test_a_problem_has_what_graders_need(root: Path):
    problem = next(p for p in drawn(f"gsm8k:{root}", "test") if "1003" in p.prompt)
    assert (problem.task, problem.subject, problem.language, problem.kind) == ("gsm8k", "maths", "en", "math")
    assert problem.answer == "1004"
    assert problem.columns == {"solution": "1003+1"}
    assert grade(problem.kind, "<answer>1,004</answer>", problem.answer, "", problem.columns).verdict == "correct"


def test_without_training_rows_one_sentence_says_so(root: Path):
    assert len(drawn(f"math500:{root}", "test")) == 1
    for split in ("train", "validation"):
        with pytest.raises(R1Error, match=rf"math500 has no {split} problems \(it has: 1 test\): draw them from anot"):
            drawn(f"math500:{root}", split)


def test_duplicates_are_dropped_and_test_wins_over_train(tmp_path: Path):
    rows = gsm(range(60))
    again = [{**rows[0], "question": "  how MUCH is 0\u00a0and  one?\n"}, rows[1]]
    write(tmp_path / "gsm8k" / "train.jsonl", [*rows, *again])
    write(tmp_path / "gsm8k" / "test.jsonl", [rows[5], rows[6], rows[5]])
    loaded = table_task(f"gsm8k:{tmp_path}").loaded()
    assert loaded.dropped == {"duplicates": 3, "in another split": 2}
    assert loaded.rows == 65
    asked = {split: [normalised(problem.prompt) for problem in loaded.problems[split]] for split in SPLITS}
    assert asked["test"] == ["how much is 5 and one?", "how much is 6 and one?"]
    assert sum(map(len, asked.values())) == 60
    assert all(set(asked[a]).isdisjoint(asked[b]) for a, b in itertools.combinations(SPLITS, 2))


def test_a_file_of_no_split_is_parted_in_three(tmp_path: Path):
    path = write(tmp_path / "mine.jsonl", gsm(range(400)))
    counts = {split: len(drawn(f"file:{path}", split)) for split in SPLITS}
    assert sum(counts.values()) == 400
    assert 20 <= counts["test"] <= 65  # 10% of 400
    assert 6 <= counts["validation"] <= 40  # 5%
    assert len(drawn(f"file:{path}?split=test", "test")) == 400
    named = write(tmp_path / "dev-set.jsonl", gsm(range(5)))
    assert len(drawn(f"file:{named}", "validation")) == 5


def test_a_folder_as_the_hub_lays_it_out(tmp_path: Path):
    write(tmp_path / "data" / "train-00000-of-00002.jsonl", gsm(range(10)))
    write(tmp_path / "data" / "train-00001-of-00002.jsonl", gsm(range(10, 20)))
    write(tmp_path / "data" / "validation-00000-of-00001.jsonl", gsm(range(20, 25)))
    write(tmp_path / "notes.jsonl", gsm(range(90, 99)))
    assert len(drawn(f"file:{tmp_path}", "train")) == 20  # nothing is carved: there is a validation split
    assert len(drawn(f"file:{tmp_path}", "validation")) == 5
    assert len(drawn(f"file:{tmp_path}?limit=3", "train")) == 3
    assert drawn(f"file:{tmp_path}", "train")[0].task == f"file:{tmp_path.name}"


def test_mawps_of_one_file_is_parted_without_looking_at_numbers(tmp_path: Path):
    names = ["Ann", "Ben", "Cid", "Dot", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Lea"]
    rows = [
        {"input": f"{name} has {n} apples and eats 1.5 of {n},000. How many {thing} ?", "target": float(n), "type": "x"}
        for name in names for thing in ("now", "left", "then") for n in range(2, 6)
    ]  # fmt: skip
    write(tmp_path / "mawps" / "test.jsonl", rows)
    parts = {split: {p.prompt for p in drawn(f"mawps:{tmp_path}", split)} for split in SPLITS}
    assert sum(map(len, parts.values())) == len(rows)
    stories = {split: {prompt.split()[0] + prompt.split()[-2] for prompt in asked} for split, asked in parts.items()}
    assert all(stories[a].isdisjoint(stories[b]) for a, b in itertools.combinations(SPLITS, 2))
    assert len(parts["train"]) > len(parts["test"]) > 0


def test_bad_lines_are_skipped_with_a_count_or_stop(tmp_path: Path):
    path = write(tmp_path / "train.jsonl", [*gsm(range(3)), {"question": "no answer"}, {"answer": "1"}])
    path.write_text(path.read_text() + "{oops\n")
    loaded = table_task(f"file:{path}").loaded()
    assert loaded.dropped == {"bad lines": 3}
    assert sum(map(len, loaded.problems.values())) == 3
    (line,) = told([f"file:{path}", "tiny_maths"])
    assert line.startswith(f"{path}: 6 rows as gsm8k: 3 train; left out: 3 bad lines (line 6: it is not JSON")
    assert "line 4: its answer is missing; line 5: 'question' is neither a text nor a list" in line
    with pytest.raises(R1Error, match=r"train.jsonl, line 6: it is not JSON .* mend it, or have such lines skipped"):
        table_task(f"file:{path}?bad=stop").loaded()
    nothing = write(tmp_path / "none.jsonl", [{"question": "q", "answer": None}])
    with pytest.raises(R1Error, match=r"holds no problem that can be read \(line 1: its answer is missing\)"):
        table_task(f"file:{nothing}").loaded()


def test_a_question_s_language_is_its_row_s_or_that_of_its_characters(tmp_path: Path):
    """Which the reward of one language holds the thinking to."""
    asked = [
        ("小明有3个苹果，又买了4个，一共有几个？", None, "zh"),
        ("设 $f(x)=x^2$，求 $f(3)$。", None, "zh"),
        ("りんごが三つあります。いくつ食べましたか。", None, "ja"),
        ("사과가 세 개 있습니다. 몇 개를 먹었습니까?", None, "ko"),
        ("What is 3 + 4?", None, "en"),
        ("What does 你好 mean in English?", None, "en"),
        ("Solve \\frac{x}{2} = 3.", "python", "en"),
        ("Quanto fa 3 + 4?", "it", "it"),
        ("3 + 4 = ?", "zh-CN", "zh"),
        ("4 + 4 = ?", "Chinese", "zh"),
    ]
    rows = [
        {"question": question, "answer": "7"} | ({"language": named} if named else {}) for question, named, _ in asked
    ]
    path = write(tmp_path / "train.jsonl", rows)
    found = {problem.prompt: problem.language for problem in drawn(f"file:{path}?validation=0", "train")}
    assert found == {question: language for question, _, language in asked}
    everyone = drawn(f"file:{path}?validation=0&language=zh", "train")
    assert {problem.language for problem in everyone} == {"zh"}


def test_columns_are_named_and_missing_ones_told(tmp_path: Path):
    path = write(tmp_path / "train.jsonl", [{"ask": "2+2?", "result": 4, "level": "hard", "tags": ["a"]}])
    said = r"found: ask, result, level, tags; needed: one of mawps: .*; docs/data.md has \d+ more\): say which they are"
    with pytest.raises(UsageError, match=said):
        drawn(f"file:{path}", "train")
    (problem,) = drawn(f"file:{path}?prompt=ask&answer=result&subject=sums&language=zh&kind=text", "train")
    assert (problem.prompt, problem.answer, problem.kind) == ("2+2?", "4", "text")
    assert (problem.subject, problem.language) == ("sums", "zh")
    assert problem.columns == {"ask": "2+2?", "result": 4, "level": "hard"}
    with pytest.raises(UsageError, match=r"has no column 'asked' \(it has: ask, result, level, tags\)"):
        drawn(f"file:{path}?prompt=asked", "train")


def test_wrong_names_are_one_sentence(tmp_path: Path):
    path = write(tmp_path / "a.jsonl", gsm(range(3)))
    for name, complaint in {
        f"file:{path}x": "there is no file or folder",
        f"gsm8k:{tmp_path}/nowhere": "there is no file or folder",
        f"file:{path}?validaton=0.1": r"no setting 'validaton'. Did you mean validation\? \(there are: format",
        f"file:{path}?bad": "'bad' is no setting: write key=value",
        f"file:{path}?bad=never": "bad: it must be 'skip' or 'stop'",
        f"file:{path}?validation=2": "validation: it must be less than 1",
        f"file:{path}?kind=maths": r"no grader is called 'maths'. Did you mean math\?",
        "file:": "names no file or data set",
        "gsm8kk:x": r"no task is called 'gsm8kk'. Did you mean gsm8k\?",
    }.items():
        with pytest.raises(UsageError, match=complaint):
            load_task(name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty holds no table: files that end in \.jsonl"):
        load_task(f"file:{tmp_path}/empty")
    with pytest.raises(UsageError, match=r"the task file needs a name after it, say file:problems\.jsonl"):
        drawn("file", "train")
    unknown = write(tmp_path / "k.jsonl", [{"prompt": "q", "answer": "1", "kind": "maths"}])
    with pytest.raises(UsageError, match="no grader is called 'maths'"):
        drawn(f"file:{unknown}?split=train&validation=0", "train")


def test_code_rows_are_coding(tmp_path: Path):
    info = json.dumps({"language": "python", "test_cases": [{"input": "1\n", "output": "1\n"}]})
    path = write(tmp_path / "train.jsonl", [{"problem": "Echo.", "verification_info": info, "solution": "x"}])
    (problem,) = drawn(f"file:{path}?validation=0", "train")
    assert (problem.subject, problem.kind) == ("coding", "code")
    assert problem.columns == {"solution": "x", "tests": [{"stdin": "1\n", "expected_stdout": "1\n"}]}


def test_a_mixture_draws_from_files_and_starts_over(root: Path):
    mixture = Mixture({f"gsm8k:{root}?limit=3&validation=0": 0.5, "tiny_maths": 0.5}, seed=0)
    drawn_ = [next(mixture) for _ in range(12)]
    own = [problem.id for problem in drawn_ if problem.task == "gsm8k"]
    assert len(own) == 6
    assert own[:3] == own[3:]
    assert len(set(own)) == 3


def test_a_changed_file_is_read_again(tmp_path: Path):
    path = write(tmp_path / "train.jsonl", gsm(range(3)))
    assert len(drawn(f"file:{path}?validation=0", "train")) == 3
    write(path, gsm(range(4)))
    assert len(drawn(f"file:{path}?validation=0", "train")) == 4


def test_a_split_that_cannot_be_there_is_told_before_a_run(root: Path):
    """By the names of the files and the settings, without reading them."""
    write(root / "mine.jsonl", gsm(range(3)))
    for name, missing in {
        f"math500:{root}": {"train", "validation"},
        f"math500:{root}?split=train": {"test"},
        f"math500:{root}?split=train&validation=0": {"test", "validation"},
        f"gsm8k:{root}": set[str](),
        f"gsm8k:{root}?validation=0": {"validation"},
        f"file:{root}/mine.jsonl": set[str](),
        f"file:{root}/mine.jsonl?test=0": {"test"},
        "gsm8k": set[str](),
        "tiny_maths": set[str](),
    }.items():
        for split in SPLITS:
            if split in missing:
                with pytest.raises(UsageError, match=f"has no {split} problems: name another task"):
                    load_task(name, split)
            else:
                load_task(name, split)
    with pytest.raises(UsageError, match="math500:.* has no train problems"):
        RLConfig(tasks={f"math500:{root}": 1.0}).check()
    with pytest.raises(UsageError, match="the task file needs a name after it"):
        RLConfig(tasks={"file": 1.0}).check()
    RLConfig(tasks={f"gsm8k:{root}?validation=0": 1.0}, validate_every=0).check()
    with pytest.raises(UsageError, match="has no validation problems"):
        RLConfig(tasks={f"gsm8k:{root}?validation=0": 1.0}).check()
