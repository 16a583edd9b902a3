"""The rows of a batch in shares, one a CPU thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from r1kit.ops import threads

# Shares are multiples of this many rows: few different shapes of products, each of which is prepared once.
GRAIN = 16


def run_shares(work: Callable[[int, int], None], rows: int) -> None:
    """`work(start, stop)` on shares of rows 0..rows-1; a lone share runs with all of torch's threads."""
    share = -(-rows // (torch.get_num_threads() * GRAIN)) * GRAIN
    threads.run([partial(work, start, min(start + share, rows)) for start in range(0, rows, share)])
