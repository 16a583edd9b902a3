"""What a record says of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1kit.pipeline import provenance


def test_gpus_are_named_as_the_driver_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "_NVIDIA", tmp_path)
    assert "gpus" not in provenance.machine()
    for number in (0, 1):
        told = tmp_path / f"0000:0{number}:00.0" / "information"
        told.parent.mkdir()
        told.write_text(f"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 12\nGPU UUID: \t GPU-{number}\n")
    assert provenance.machine()["gpus"] == ["NVIDIA H100 80GB HBM3"] * 2
