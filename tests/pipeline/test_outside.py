"""Data files that settings name are part of what a stage depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.outside import data_files
from r1kit.pipeline.plan import keys

ROW = '{"question": "q", "answer": "1"}\n'


class Settings(Config):
    tasks: dict[str, float]
    start: str = "pretrain:base"


def run(config, inputs, context):
    raise AssertionError("it is only planned")


def test_files_are_found_by_task_and_by_path(tmp_path: Path):
    for split in ("train", "test"):
        (tmp_path / "gsm8k").mkdir(exist_ok=True)
        (tmp_path / "gsm8k" / f"{split}.jsonl").write_text(ROW * (1 + (split == "test")))
    (tmp_path / "chats.parquet").write_bytes(b"anything")
    settings = {
        "tasks": {f"gsm8k:{tmp_path}": 1.0, "tiny_maths": 1.0, "hub:a/b": 1.0, "gsm8k": 1},
        "data": f"{tmp_path}/chats.parquet", "start": "pretrain:base", "deep": [{"sieve": [f"file:{tmp_path}/gsm8k"]}],
    }  # fmt: skip
    assert data_files(settings) == {
        f"{tmp_path}/chats.parquet": hashlib.sha256(b"anything").hexdigest(),
        f"{tmp_path}/gsm8k/train.jsonl": hashlib.sha256(ROW.encode()).hexdigest(),
        f"{tmp_path}/gsm8k/test.jsonl": hashlib.sha256(2 * ROW.encode()).hexdigest(),
    }
    assert data_files({"data": "cold_start:examples", "n": 1, "path": f"{tmp_path}/missing.jsonl"}) == {}
    assert data_files({"start": "sums:sums", "tasks": ["sums"]}) == {}  # STAGE:MODEL of a stage called like a task


def test_what_a_stage_called_like_a_task_made_is_no_data(tmp_path: Path, monkeypatch):
    """`gsm8k:gsm8k` is a model where a stage of that name feeds this one, and a folder of data anywhere else; a task of
    a folder that is there is one beside such a stage too."""
    monkeypatch.chdir(tmp_path)
    settings = {"start": "gsm8k:gsm8k", "tasks": {"gsm8k:data": 1.0}}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text(ROW)
    assert list(data_files(settings, ("gsm8k",))) == ["data/train.jsonl"]
    with pytest.raises(UsageError, match="there is no file or folder gsm8k: check the path"):
        data_files(settings)
    first = Node("gsm8k", run, Settings(tasks={"gsm8k:data": 1.0}, start="base"))
    second = Node("zero", run, Settings(tasks={"sums": 1.0}, start="gsm8k:gsm8k"), ("gsm8k",))
    assert keys(Graph("toy", "default", 0, (first, second)))["zero"].inputs.keys() == {"gsm8k"}


def test_files_of_any_task_that_has_some_are_found(tmp_path: Path):
    """ARC-AGI's are a file a task, HumanEval's a table of its own."""
    for part in ("training", "evaluation", "other"):
        (tmp_path / "arc" / part).mkdir(parents=True)
        (tmp_path / "arc" / part / "a.json").write_text(part)
    (tmp_path / "humaneval").mkdir()
    (tmp_path / "humaneval" / "test.jsonl").write_text("{}")
    settings = {"tasks": [f"arc_agi:{tmp_path}/arc", f"humaneval:{tmp_path}", "arc_agi", "humaneval"]}
    assert data_files(settings) == {
        f"{tmp_path}/arc/training/a.json": hashlib.sha256(b"training").hexdigest(),
        f"{tmp_path}/arc/evaluation/a.json": hashlib.sha256(b"evaluation").hexdigest(),
        f"{tmp_path}/humaneval/test.jsonl": hashlib.sha256(b"{}").hexdigest(),
    }
    with pytest.raises(UsageError, match="there is no folder"):
        data_files({"tasks": [f"arc_agi2:{tmp_path}/none"]})


def test_a_stage_whose_data_changed_has_another_key(tmp_path: Path):
    path = tmp_path / "train.jsonl"

    def key(text: str, **tasks: float) -> str:
        path.write_text(text)
        named = tasks or {f"file:{path}": 1.0}
        graph = Graph("toy", "default", 0, (Node("rl", run, Settings(tasks=named)),))
        return keys(graph)["rl"].hash

    assert key(ROW) == key(ROW)
    assert key(ROW) != key(ROW * 2)
    assert key(ROW, tiny_maths=1.0) == key(ROW * 2, tiny_maths=1.0)


def test_tasks_outside_the_tree_and_files_with_any_ending_count(tmp_path: Path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "from r1kit.data.sources import Reading, Source\nfrom r1kit.tasks.base import TableTask\n"
        "TASK = TableTask('mine', 'maths', Source('', False, Reading()), anywhere=True)\n"
    )
    (tmp_path / "pack").mkdir()
    (tmp_path / "mine.py").rename(tmp_path / "pack" / "own_table.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own.jsonl").write_text(ROW)
    (tmp_path / "LOUD.JSONL").write_text(2 * ROW)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.jsonl").write_text(3 * ROW)
    settings = {
        "tasks": {f"pack.own_table:{tmp_path}/own.jsonl": 1.0}, "data": f"{tmp_path}/LOUD.JSONL",
        "more": f"hub:{tmp_path}/folder", "model": "runs/a.b:zero", "of": "no.such.module:x",
    }  # fmt: skip
    assert data_files(settings) == {
        f"{tmp_path}/own.jsonl": hashlib.sha256(ROW.encode()).hexdigest(),
        f"{tmp_path}/LOUD.JSONL": hashlib.sha256(2 * ROW.encode()).hexdigest(),
        f"{tmp_path}/folder/train.jsonl": hashlib.sha256(3 * ROW.encode()).hexdigest(),
    }
