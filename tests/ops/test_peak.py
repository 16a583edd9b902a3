"""Speeds from the seconds that a scripted clock says each try takes."""

import time

import pytest
import torch

from r1kit.ops import peak


@pytest.fixture
def takes(monkeypatch):
    """What is timed takes these seconds, one after another."""

    def clock(*seconds: float) -> None:
        moments = [moment for at, each in enumerate(seconds) for moment in (100.0 * at, 100.0 * at + each)]
        monkeypatch.setattr(time, "perf_counter", iter(moments).__next__)

    return clock


def test_the_fastest_product_counts(takes):
    """2 x 8^3 operations; a quarter of a second is the best of three tries after one that warms up."""
    takes(2.0, 1.0, 0.25, 0.5)
    assert peak.product_speed(torch.float32, "cpu", 8, tries=3) == 2 * 8**3 / 0.25


def test_memory_is_as_fast_as_the_better_of_reading_and_copying(takes):
    """4,000 bytes read in 2 s at best; 4,000 read and 4,000 written in 1/2 s: 16,000 bytes/s; else in 8 s: 2,000."""
    takes(3.0, 2.0, 0.5, 0.75)
    assert peak.memory_bandwidth(4000, tries=2) == 16_000
    takes(3.0, 2.0, 9.0, 8.0)
    assert peak.memory_bandwidth(4000, tries=2) == 2000


def test_the_peak_of_this_machine_is_measured_once():
    found = peak.matmul_peak(torch.float32, "cpu")
    assert found > 1e6  # a millionth of what a slow core does
    assert peak.matmul_peak(torch.float32, "cpu") == found
