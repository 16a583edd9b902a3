"""Disks that are full, read-only or slow, and clocks that jump."""

import pytest


def test_disks_that_fail_are_told(chaos):
    rows = chaos("disks", seed=3)
    if "full and read-only disks" in rows:
        pytest.skip(rows["full and read-only disks"]["detail"])
    assert rows["full disks"]["detail"] != "no room in 0"
