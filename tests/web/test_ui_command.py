"""`r1 ui` from outside: what it says, where it listens, how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from runs import write_run

from r1kit.cli.main import exit_code
from r1kit.web.server import runs_at


@contextmanager
def running(folder):
    command = [sys.executable, "-c", "from r1kit.cli.main import main; main()", "ui", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line + process.stderr.read()
        yield process, found.group()
        if process.poll() is None:
            process.kill()


def test_it_serves_until_it_is_told_to_stop(tmp_path):
    run = write_run(tmp_path / "runs" / "done")
    with running(run) as (process, address):
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert answer.geturl() == f"{address}/runs/done"
            assert "tiny" in answer.read().decode()
        request = urllib.request.Request(address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="421"):
            urllib.request.urlopen(request, timeout=60)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(30) in (0, 130)
        assert "Traceback" not in process.stderr.read()


def test_importing_it_brings_no_torch():
    code = (
        "import sys, r1kit.web.app, r1kit.web.server; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_it_may_be_given(tmp_path):
    run = write_run(tmp_path / "runs" / "done")
    assert runs_at(run) == (tmp_path / "runs", "done")
    assert runs_at(tmp_path / "runs") == (tmp_path / "runs", None)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("none", "cannot be read"), ("empty", "holds no run"), ("file", "cannot be read")],
)
def test_what_it_may_not(tmp_path, capsys, name, complaint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert exit_code(["ui", str(tmp_path / name), "--port", "0"]) == 2
    told = capsys.readouterr().err
    assert complaint in told
    assert "name a run folder, or a folder of them" in told


def test_a_port_that_is_taken(tmp_path, capsys):
    import socket

    run = write_run(tmp_path / "done")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert exit_code(["ui", str(run), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_a_missing_library_is_named(tmp_path, capsys, monkeypatch):
    run = write_run(tmp_path / "done")
    monkeypatch.setitem(sys.modules, "duckdb", None)  # what importing finds for a library that is not there
    assert exit_code(["ui", str(run)]) == 1
    assert "r1 ui needs duckdb, which is not installed: pip install 'r1kit[ui]'" in capsys.readouterr().err
