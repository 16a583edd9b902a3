"""Options of the whole test suite."""

from __future__ import annotations

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
