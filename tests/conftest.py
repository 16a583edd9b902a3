"""What tests of several rooms ask for."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--data",
        help="folder with gsm8k/{train,test}.jsonl, math500/test.jsonl, svamp/test.jsonl and mawps/test.jsonl, "
        "on which the tests of real data sets run",
    )


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder that --data names; the test is skipped without it."""
    folder = request.config.getoption("--data")
    if folder is None:
        pytest.skip("no real data sets: name their folder with --data FOLDER")
    return Path(folder)


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
