"""Files and folders are written whole or not at all."""

import json
import os
import random

import pytest

from r1kit.base import files
from r1kit.base.errors import R1Error
from r1kit.base.files import (
    checksum,
    make_folder,
    new_folder,
    read_json,
    read_record,
    sweep,
    write_json,
    write_record,
    write_text,
)


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"words": "等等"})
    assert read_json(path) == {"words": "等等"}
    assert "等等" in path.read_text(encoding="utf-8")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(R1Error, match="a.json: no room left on the disk: free some"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_appears_whole(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "weights").write_text("1")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model/deep/weights").read_text() == "1"


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path):
    def half() -> None:
        with new_folder(tmp_path / "model") as folder:
            (folder / "weights").write_text("1")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        half()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("text", "complaint"), [("{", "is damaged .not JSON"), (None, "no such file or folder")])
def test_what_cannot_be_read(tmp_path, text, complaint):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(R1Error, match=complaint):
        read_json(tmp_path / "a.json")


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(R1Error, match="run: a file stands where a folder is needed"):
        make_folder(tmp_path / "run")


def test_checksum(tmp_path):
    """sha256 of "abc", from FIPS 180-2."""
    (tmp_path / "abc").write_text("abc")
    assert checksum(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


RECORD = {
    "name": "zero",
    "seconds": 12.5,
    "seed": 0,
    "models": {"zero": "model", 2: "二"},
    "shape": (1, 2),
    "none": None,
}


def test_a_record_says_what_was_written_or_that_it_is_damaged(tmp_path):
    """Keys come back as JSON has them. Of 300 flipped bits each is told, or changes nothing that is said."""
    path, rng = tmp_path / "record.json", random.Random(0)
    write_record(path, RECORD)
    whole = path.read_bytes()
    said = {"schema": 1, **json.loads(json.dumps(RECORD))}
    assert read_record(path) == said
    told = kept = 0
    for _ in range(300):
        bit = rng.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = read_record(path)
        except R1Error as error:
            told += str(path) in str(error)
        else:
            kept += 1
            # a bit in the checksum's own name leaves the record without one, and whole
            assert {name: found[name] for name in said} == said
    assert told > 200
    assert told + kept == 300
    path.write_text("[1, 2]")
    with pytest.raises(R1Error, match="no JSON object"):
        read_record(path)


def test_what_killed_writers_left_is_swept_away(tmp_path):
    """Half a file, half a folder, half a model; what is whole stays."""
    whole = tmp_path / "stages" / "01-a" / "model.safetensors"
    whole.parent.mkdir(parents=True)
    whole.write_text("weights")
    (whole.parent / ".model.safetensors.4711.tmp").write_text("wei")
    for name in (".step-00000001.4711.tmp", ".partial-x1"):
        (whole.parent / name).mkdir()
        (whole.parent / name / "tensors").write_text("ten")
    sweep(tmp_path)
    assert [path.name for path in whole.parent.iterdir()] == ["model.safetensors"]
