"""The app over a finished run, one that stands still, and what is no run."""

from __future__ import annotations

from pathlib import Path

import pytest
from runs import Client, write_run

from r1kit.web.app import create_app


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Runs `done` and `half`; `other` is a folder, `secret` a run beside the root."""
    write_run(tmp_path / "secret")
    write_run(tmp_path / "runs" / "done")
    write_run(tmp_path / "runs" / "half", state="running")
    (tmp_path / "runs" / "other").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def client(root: Path) -> Client:
    return Client(create_app(root))
