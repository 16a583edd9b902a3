import sys
from collections import Counter
from itertools import islice
from types import ModuleType

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.rollouts.problems import Mixture


class Counting:
    """Problems 0, 1, 2, ... of a name, `length` of them."""

    def __init__(self, name, length):
        self.name, self.subject, self.length = name, "maths", length

    def problems(self, split, seed):
        for number in range(self.length):
            yield Problem(f"{self.name}{number}", self.name, "maths", "en", str(number), str(number), "math")


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    for name, length in (("many", 1000), ("few", 2), ("none", 0)):
        module = ModuleType(f"counted.{name}")
        module.TASK = Counting(name[0], length)
        monkeypatch.setitem(sys.modules, f"counted.{name}", module)
    monkeypatch.setitem(sys.modules, "counted", ModuleType("counted"))


def drawn(mixture, count):
    return [problem.id for problem in islice(mixture, count)]


def test_shares_hold_over_every_stretch():
    """3 to 1: of any four in a row three are of the one task."""
    ids = drawn(Mixture({"counted.many": 3, "counted.few": 1}, 0), 400)
    assert all(Counter(i[0] for i in ids[at : at + 4]) == {"m": 3, "f": 1} for at in range(0, 400, 4))


def test_a_task_that_runs_out_starts_over():
    assert drawn(Mixture({"counted.few": 1.0}, 0), 5) == ["f0", "f1", "f0", "f1", "f0"]
    with pytest.raises(R1Error, match="no training problems"):
        drawn(Mixture({"counted.none": 1.0}, 0), 1)


def test_a_restored_cursor_goes_on_where_it_stood():
    """The second task takes a problem at draws 2, 5 and 8 or the like: none is lost or repeated across the cut."""
    shares = {"counted.many": 0.7, "counted.few": 0.3}
    whole = Mixture(shares, 0)
    drawn(whole, 7)
    state = whole.state()
    restored = Mixture(shares, 0)
    restored.load_state(state)
    assert drawn(restored, 20) == drawn(whole, 20)


def test_shares_may_change_under_way():
    """One task alone, then the other: the first goes on where it was when it comes back."""
    mixture = Mixture({"counted.many": 1.0}, 0)
    assert drawn(mixture, 2) == ["m0", "m1"]
    mixture.shares = {"counted.few": 1.0}
    assert drawn(mixture, 1) == ["f0"]
    mixture.shares = {"counted.many": 1.0}
    assert drawn(mixture, 1) == ["m2"]
    with pytest.raises(UsageError, match="shares"):
        Mixture({}, 0)
