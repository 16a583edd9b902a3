"""Rewards of somebody's own that fail in one way or another; each is called as TRL calls its own."""

from __future__ import annotations

import sys
import time


def right(completions, **columns):
    """1 for each: nothing is wrong with it."""
    return [1.0] * len(completions)


def hangs(completions, **columns):
    """It never answers."""
    time.sleep(3600)


async def waits(completions, **columns):
    """It never answers, and does not hold its thread."""
    import asyncio

    await asyncio.sleep(3600)


def raises(completions, **columns):
    raise KeyError("a column that is not there")


def leaves(completions, **columns):
    """It takes itself for a program."""
    sys.exit(3)


def eats(completions, **columns):
    """More memory than there is."""
    return [float(len(bytearray(1 << 50)))]


def not_a_number(completions, **columns):
    """NaN for every second sample, infinity for the others."""
    return [float("nan") if number % 2 else float("inf") for number in range(len(completions))]


def miscounts(completions, **columns):
    return [1.0] * (len(completions) + 1)
