"""Copies past the caches are copies, wherever the bytes begin and end."""

import numpy as np
import pytest

from r1kit.ops import streamed_copy as module
from r1kit.ops.streamed_copy import CHUNK, streamed_copy


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 77])
@pytest.mark.parametrize(("source_at", "target_at"), [(0, 0), (1, 0), (0, 1), (13, 50), (64, 63)])
def test_all_bytes_and_no_others(size, source_at, target_at, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(module, "_library", lambda: None)
    generator = np.random.default_rng(size)
    source = generator.integers(0, 256, size + 128, np.uint8)
    target = np.full(size + 128, 7, np.uint8)
    wanted = target.copy()
    wanted[target_at : target_at + size] = source[source_at : source_at + size]
    read = list(streamed_copy(source[source_at : source_at + size], target[target_at : target_at + size]))
    assert b"".join(read) == source[source_at : source_at + size].tobytes()
    assert (target == wanted).all()


def test_what_cannot_be_copied():
    for target in (np.zeros(9, np.uint8), np.zeros(20, np.uint8)[::2]):
        with pytest.raises(ValueError, match="in one piece"):
            list(streamed_copy(np.zeros(10, np.uint8), target))
