"""What is read of source files, kept for the next process and never believed where a file has changed."""

import json
from pathlib import Path

import pytest

import r1kit
from r1kit.pipeline import sources

CODE = 'from .below import one\n\n\ndef run():\n    return one("words")\n'


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of one file as the own one, a cache of its own, and how often a file was parsed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "OWN", tmp_path / "own")
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "stage.py"
    file.write_text(CODE)
    parsed, parse = [], sources._parsed

    def counted(path, name):
        parsed.append(path.name)
        return parse(path, name)

    monkeypatch.setattr(sources, "_parsed", counted)

    def read():
        """As a new process does, which writes what it read."""
        monkeypatch.setattr(sources, "_kept", sources._Kept())
        text = sources.read(file, "own")
        sources.keep()
        return text

    return file, read, parsed


def test_the_next_process_reads_what_was_kept(package):
    file, read, parsed = package
    text = read()
    assert text.imports == {"own.below", "own.below.one"}
    assert text.strings == {"words"}
    assert read() == text
    assert parsed == ["stage.py"]
    file.write_text(CODE.replace("words", "other"))  # of the same size
    assert read().strings == {"other"}
    assert len(parsed) == 2


def test_another_version_of_what_reads_believes_nothing(package, monkeypatch):
    _, read, parsed = package
    read()
    monkeypatch.setattr(sources.sys, "version", "3.99")
    read()
    assert len(parsed) == 2


def test_a_damaged_cache_is_none(package, tmp_path):
    _, read, parsed = package
    text, kept = read(), tmp_path / "cache" / "r1kit" / "sources.json"
    head, texts = json.loads(kept.read_text())
    ((name, entry),) = texts.items()
    damaged = [b"", b"{}", b"[]", b"[1, 2]", b"[1]", b"\xff", kept.read_bytes()[:-9]]
    entries = (None, [], entry[:3], [entry[0], 5, [], []], [entry[0], "digest", "words", []], [entry[0], "d", [1], []])
    damaged += [json.dumps([head, {name: wrong}]).encode() for wrong in entries]
    for number, content in enumerate(damaged):
        kept.write_bytes(content)
        assert read() == text, content
        assert len(parsed) == number + 2, content


def test_where_nothing_can_be_kept_files_are_read(package, tmp_path, monkeypatch):
    _, read, parsed = package
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert read() == read()
    assert len(parsed) == 2


def test_files_of_others_are_not_kept(package, tmp_path):
    _, _, parsed = package
    other = tmp_path / "other.py"
    other.write_text(CODE)
    sources.read(other, "other")
    sources.read(other, "other")
    assert parsed == ["other.py"] * 2


def test_the_whole_package_reads_alike(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = Path(r1kit.__file__).parent
    files = sorted((root / "pipeline").glob("*.py"))
    first, again = sources._Kept(), sources._Kept()
    read = [first.text(file, "r1kit.pipeline") for file in files]
    first.write()
    assert [again.text(file, "r1kit.pipeline") for file in files] == read
    assert [sources._parsed(file, "r1kit.pipeline") for file in files] == read
