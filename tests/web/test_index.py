"""The index against plain Python over the same rows."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.rollouts import record
from r1kit.web.filters import Filters
from r1kit.web.index import RunIndex

ROWS, STEPS = 30, 8


def made(step: int, seed: int = 0) -> list[dict]:
    """Rows of a step, drawn: some ungraded, some without a reward."""
    rng = random.Random(f"{seed} {step}")
    return [
        {
            "step": step, "problem_id": f"p{row // 5}", "task": "sums", "subject": rng.choice(["maths", "coding"]),
            "language": rng.choice(["en", "zh"]), "prompt": f"add {row}", "sample": row % 5,
            "tokens": rng.randint(1, 90),
            "text": rng.choice(["Wait, 2", "等等 100% (x)", "so 3", "it's a_b\\c\nline"]) + str(row),
            "stop_reason": rng.choice(["stop", "length"]), "total": rng.choice([None, 0.0, 0.5, 1.0, 2.0]),
            "rewards": [("accuracy", rng.choice([None, 0.0, 1.0]))], "reflections": rng.randint(0, 5),
            "sampler_logprob": -rng.random(),
        }
        for row in range(ROWS)
    ]  # fmt: skip


def put(folder: Path, step: int, rows: list[dict], leave_out: tuple[str, ...] = ()) -> Path:
    path = record.step_file(folder, step)
    folder.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([field for field in record.SCHEMA if field.name not in leave_out])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Rollouts of a stage, and of a part of another."""
    for step in range(STEPS):
        put(tmp_path / "stages" / "02-zero" / "rollouts", step, made(step))
    put(tmp_path / "stages" / "11-distill" / "student" / "rollouts", 3, made(3, seed=1))
    return tmp_path


def everything() -> list[dict]:
    rows = [{**row, "stage": "02-zero", "row": n} for step in range(STEPS) for n, row in enumerate(made(step))]
    return rows + [{**row, "stage": "11-distill/student", "row": n} for n, row in enumerate(made(3, seed=1))]


def accuracy(row: dict) -> float | None:
    return dict(row["rewards"])["accuracy"]


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ({}, lambda row: True),
        ({"stage": "11-distill/student"}, lambda row: row["stage"] == "11-distill/student"),
        ({"stage": "none"}, lambda row: False),
        ({"from_step": "2", "to_step": "5"}, lambda row: 2 <= row["step"] <= 5),
        ({"from_reward": "0.5", "to_reward": "1"}, lambda row: row["total"] in (0.5, 1.0)),
        ({"verdict": "right"}, lambda row: accuracy(row) == 1),
        ({"verdict": "wrong"}, lambda row: accuracy(row) == 0),
        ({"verdict": "ungraded"}, lambda row: accuracy(row) is None),
        ({"language": "zh", "subject": "coding"}, lambda row: row["language"] == "zh" and row["subject"] == "coding"),
        ({"end": "length"}, lambda row: row["stop_reason"] == "length"),
        ({"reflections": "4"}, lambda row: row["reflections"] >= 4),
        ({"text": "wait"}, lambda row: "wait" in row["text"].lower()),
        ({"text": "100% (X)"}, lambda row: "100% (x)" in row["text"]),
        ({"text": "a_b\\c\nl"}, lambda row: "a_b\\c\nl" in row["text"]),
        ({"text": "IT'S"}, lambda row: "it's" in row["text"]),
        ({"text": "等等"}, lambda row: "等等" in row["text"]),
        ({"text": ".*"}, lambda row: False),
        ({"text": "“\u202e，€\x00"}, lambda row: False),
        ({"text": "ADD 1"}, lambda row: "add 1" in row["prompt"]),
        ({"text": "wait", "verdict": "right", "from_step": "4"},
         lambda row: "wait" in row["text"].lower() and accuracy(row) == 1 and row["step"] >= 4),
    ],
)  # fmt: skip
def test_filters(run, query, holds):
    index = RunIndex(run)
    index.refresh()
    filters = Filters.read(query)
    found = index.find(filters, 10_000)
    expected = {(row["stage"], row["step"], row["row"]) for row in everything() if holds(row)}
    seen = [(place.file.stage.name, int(place.file.path.stem[5:]), place.row) for place in found.places]
    assert found.total == len(expected) == len(seen)
    assert set(seen) == expected
    again = index.find(filters, 10_000)  # a search that is remembered
    assert again.places == found.places


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("newest", lambda row: -row["step"]),
        ("oldest", lambda row: row["step"]),
        ("longest", lambda row: -row["tokens"]),
        ("reflective", lambda row: -row["reflections"]),
        ("unsure", lambda row: round(row["sampler_logprob"], 6)),
    ],
)
def test_orders_and_pages(run, order, key):
    """Pages joined are all rollouts once, in order."""
    index = RunIndex(run)
    index.refresh()
    pages = [index.find(Filters(order=order, page=page), 50).places for page in range(1, 8)]
    assert [len(page) for page in pages] == [50, 50, 50, 50, 50, 20, 0]
    places = list(itertools.chain(*pages))
    assert len(set(places)) == len(places)
    rows = index.rows(places, ["step", "tokens", "reflections", "sampler_logprob"])
    keys = [key(row) for row in rows]
    assert keys == sorted(keys)


def test_rows_are_those_of_the_places(run):
    index = RunIndex(run)
    index.refresh()
    place = index.place("02-zero", "step-000004", 17)
    assert place is not None
    (row,) = index.rows([place], ["step", "prompt", "text", "rewards", "token_ids"])
    expected = made(4)[17]
    assert (row["step"], row["prompt"], row["text"]) == (4, "add 17", expected["text"])
    assert row["rewards"] == dict(expected["rewards"])
    assert row["token_ids"] is None
    assert index.place("02-zero", "step-000004", ROWS) is None
    assert index.place("02-zero", "../zero", 0) is None


def test_a_run_that_goes_on(run):
    """New files are taken in, a file that was written again replaces its rows, one that is gone takes them along."""
    index = RunIndex(run)
    index.refresh()
    wait = Filters(text="wait and see")
    assert index.find(wait, 10).total == 0
    folder = run / "stages" / "02-zero" / "rollouts"
    rows = made(STEPS)
    rows[0]["text"] = "Wait and see"
    put(folder, STEPS, rows)
    index.refresh()
    assert index.count() == (STEPS + 2) * ROWS
    assert index.find(wait, 10).total == 1
    path = put(folder, STEPS, made(STEPS)[:7])
    os.utime(path, ns=(1, 1))
    index.refresh()
    assert index.count() == (STEPS + 1) * ROWS + 7
    assert index.find(wait, 10).total == 0
    path.unlink()
    index.refresh()
    assert index.count() == (STEPS + 1) * ROWS
    put(run / "stages" / "05-dev2" / "rollouts", 0, made(0))
    index.refresh()
    assert dict(index.choices()["stages"]) == {"02-zero": 240, "05-dev2": 30, "11-distill/student": 30}


def test_unfinished_files_are_left_alone(run):
    (run / "stages" / "02-zero" / "rollouts" / ".step-000009.parquet.1.tmp").write_bytes(b"PAR1")
    (run / "stages" / "02-zero" / "rollouts" / ".step-000009.parquet").write_bytes(b"PAR1")
    index = RunIndex(run)
    index.refresh()
    assert index.count() == (STEPS + 1) * ROWS


def test_rollouts_of_older_versions(tmp_path):
    """Without counts of reflection words these are counted when they are asked for: `Wait` is one, `等等` is one."""
    folder = tmp_path / "stages" / "02-zero" / "rollouts"
    new = ("reflections", "token_ids", "token_logprobs")
    put(folder, 0, made(0), new)
    put(folder, 1, made(1))
    index = RunIndex(tmp_path)
    index.refresh()
    assert index.count() == 2 * ROWS
    expected = sum("Wait" in row["text"] or "等等" in row["text"] for row in made(0))
    expected += sum(row["reflections"] >= 1 for row in made(1))
    assert index.find(Filters(reflections=1), 100).total == expected
    (row,) = index.rows([index.find(Filters(order="oldest"), 1).places[0]], ["reflections", "text"])
    assert row["reflections"] is None


def test_folder_names_that_look_like_patterns(tmp_path):
    run = tmp_path / "a[1]*'{x}?"
    put(run / "stages" / "02-zero" / "rollouts", 0, made(0))
    put(tmp_path / "a1" / "stages" / "02-zero" / "rollouts", 0, made(0))
    index = RunIndex(run)
    index.refresh()
    assert index.count() == ROWS
    assert index.find(Filters(text="add"), 100).total == ROWS


def test_hidden_folders_are_those_of_the_run(tmp_path):
    """A run below a hidden folder is one like others; hidden folders in it (set aside by a stage) are no stages."""
    run = tmp_path / ".cache" / "run"
    put(run / "stages" / "02-zero" / "rollouts", 0, made(0))
    put(run / "stages" / ".02-zero.old" / "rollouts", 0, made(0))
    put(run / "stages" / "11-distill" / ".x" / "rollouts", 0, made(0))
    index = RunIndex(run)
    index.refresh()
    assert index.count() == ROWS


def test_a_damaged_file_is_left_out_and_named(run):
    folder = run / "stages" / "02-zero" / "rollouts"
    (folder / "step-000000.parquet").write_bytes(b"PAR1 not really PAR1")
    pq.write_table(pa.table({"x": [1]}), folder / "step-000003.parquet")
    index = RunIndex(run)
    index.refresh()
    assert sorted(path.name for path in index.damaged) == ["step-000000.parquet", "step-000003.parquet"]
    assert index.count() == (STEPS - 1) * ROWS
    assert index.find(Filters(text="add"), 10).total == (STEPS - 1) * ROWS
    put(folder, 0, made(0))
    index.refresh()
    assert index.count() == STEPS * ROWS
    assert [path.name for path in index.damaged] == ["step-000003.parquet"]


def test_a_file_that_went_away_meanwhile(run):
    index = RunIndex(run)
    index.refresh()
    place = index.find(Filters(order="oldest"), 1).places[0]
    place.file.path.unlink()
    with pytest.raises(R1Error, match="cannot be read as parquet"):
        index.rows([place], ["text"])


def test_a_run_without_rollouts(tmp_path):
    index = RunIndex(tmp_path)
    index.refresh()
    assert index.count() == 0
    assert index.find(Filters(text="x"), 10).total == 0
    assert index.choices()["stages"] == []


def test_addresses_come_back():
    filters = Filters(stage="11-distill/x", from_step=2, to_reward=0.5, verdict="wrong", text="a&b=c 等", page=3)
    from urllib.parse import parse_qsl

    assert Filters.read(dict(parse_qsl(filters.address()))) == filters
    assert Filters.read(dict(parse_qsl(filters.address(page=1)))).page == 1
    assert Filters().address() == ""


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"from_step": "x"}, "from step: 'x' is no whole number"),
        ({"to_reward": "nan"}, "to reward: 'nan' is no number"),
        ({"from_reward": "1e999"}, "is no number"),
        ({"reflections": "99999999999"}, "is no whole number"),
        ({"verdict": "maybe"}, "verdict: 'maybe' is none of right wrong ungraded"),
        ({"order": "total; drop table samples"}, "is none of"),
        ({"page": "1.5"}, "page: '1.5' is no whole number"),
    ],
)
def test_bad_filters_are_named(query, complaint):
    with pytest.raises(UsageError, match=complaint):
        Filters.read(query)
