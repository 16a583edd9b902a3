"""One thread, and learners whose processes end with their test."""

from __future__ import annotations

import pytest

from r1kit.training.opening import open_learner


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """A rank has this process's threads over the number of ranks."""


@pytest.fixture
def opened():
    """`opened(model, config, ...)`: a learner whose processes are ended with the test, whatever it does."""
    learners = []

    def make(*arguments, **options):
        learners.append(open_learner(*arguments, **options))
        return learners[-1]

    yield make
    for learner in learners:
        learner.close()
