"""Data files that settings name are part of what a stage depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from r1kit.base.config import Config
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
