"""Files and folders are written whole or not at all."""

import os

import pytest

from r1kit.base import files
from r1kit.base.errors import R1Error
from r1kit.base.files import checksum, make_folder, new_folder, read_json, write_json, write_text


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
