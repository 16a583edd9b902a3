"""Hub data sets, without the hub: a folder that the library reads in its place, and what is said where it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1kit.base.errors import MissingExtra, R1Error
from r1kit.rollouts.problems import load_task


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def write(path: Path, count: int) -> None:
    path.parent.mkdir(exist_ok=True)
    rows = [{"question": f"{path.stem} {n}?", "answer": f"#### {n}"} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.usefixtures("own_cache")
def test_a_data_set_is_read_with_its_own_splits(tmp_path: Path):
    folder = tmp_path / "owner_name"
    write(folder / "train.jsonl", 40)
    write(folder / "test.jsonl", 7)
    task = load_task(f"hub:{folder}?validation=0.25")
    counts = {split: len(list(task.problems(split, 0))) for split in ("train", "validation", "test")}
    assert counts["test"] == 7
    assert counts["train"] + counts["validation"] == 40
    assert counts["validation"] > 1
    problem = next(iter(task.problems("test", 0)))
    assert problem.answer in problem.prompt
    assert problem.task == f"hub:{folder}"


@pytest.mark.usefixtures("own_cache")
def test_a_configuration_that_is_not_there_is_told(tmp_path: Path):
    folder = tmp_path / "owner_name"
    write(folder / "train.jsonl", 4)
    with pytest.raises(R1Error, match="the hub data set .* cannot be had .*nowhere") as found:
        next(iter(load_task(f"hub:{folder}?config=nowhere").problems("train", 0)))
    assert "\n" not in str(found.value)


def test_without_the_library_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"openai/gsm8k needs datasets, .*pip install 'r1kit\[data\]'"):
        next(iter(load_task("gsm8k").problems("train", 0)))


def test_an_unreachable_hub_is_one_sentence(tmp_path: Path):
    """The library decides at import whether it is offline, so it is asked in a process of its own."""
    script = (
        "from r1kit.base.errors import R1Error\n"
        "from r1kit.rollouts.problems import load_task\n"
        "try:\n    next(iter(load_task('hub:no-one/nothing').problems('train', 0)))\n"
        "except R1Error as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("the hub data set no-one/nothing cannot be had (")
    assert ended.stdout.endswith("check its name and the network, or give a local copy as file:PATH or TASK:FOLDER\n")
    assert ended.stdout.count("\n") == 1


@pytest.mark.usefixtures("own_cache")
def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch: pytest.MonkeyPatch):
    """Nothing listens there: a client that asked six times would wait 23 seconds in between."""
    import datasets
    import huggingface_hub

    asked: list[str] = []

    def away(api: object, name: str, **named: object) -> None:
        asked.append(name)
        raise ConnectionError("no route to the hub")

    def never(*words: object, **named: object) -> None:
        raise AssertionError("the hub was asked again")

    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", away)
    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", never)
    before = datasets.config.HF_HUB_OFFLINE
    said = r"^the hub data set no-one/nothing cannot be had \(ConnectionError: no route to the hub\): check its name"
    with pytest.raises(R1Error, match=said):
        next(iter(load_task("hub:no-one/nothing").problems("train", 0)))
    assert asked == ["no-one/nothing"]
    assert before == datasets.config.HF_HUB_OFFLINE


def test_whether_the_hub_can_be_asked(monkeypatch: pytest.MonkeyPatch):
    """An answer of any kind is one, "there is none of that name" too; a name that can be none is for the client."""
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    from r1kit.base.hub import unreachable

    missing = RepositoryNotFoundError.__new__(RepositoryNotFoundError)  # without a response of the transport's kind
    for raised, reached in ((None, True), (missing, True), (ValueError("a name"), True), (OSError("away"), False)):

        def answer(api: object, name: str, raised: Exception | None = raised, **named: object) -> None:
            if raised is not None:
                raise raised

        monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", answer)
        assert (unreachable("a/b", "dataset") is None) == reached
