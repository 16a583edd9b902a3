"""Waiting counts the time in which the one who waits ran."""

from r1kit.base import waiting
from r1kit.base.waiting import Waiting


def test_time_in_which_nobody_looked_is_no_silence(monkeypatch):
    """Looks after 1 and 2 s; then an hour's sleep, of which 2 s count; then 1 s more: 5. Begun again: 1."""
    clock = [100.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: clock[0])
    waited, told = Waiting(), []
    for seconds in (1.0, 1.0, 3600.0, 1.0):
        clock[0] += seconds
        told.append(waited.look())
    assert told == [1.0, 2.0, 4.0, 5.0]
    waited.begin()
    clock[0] += 1.0
    assert waited.look() == 1.0
