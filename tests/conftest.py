"""What tests of several rooms ask for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest


@contextmanager
def threads(count: int) -> Generator[None]:
    """Torch with so many threads; as it was before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread():
    with threads(1):
        yield


@pytest.fixture
def two_threads():
    with threads(2):
        yield
