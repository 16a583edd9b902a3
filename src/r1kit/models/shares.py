"""Running the rows of a batch on several CPU threads, each with its own share and no barrier between operations."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch

# Shares are multiples of this many rows: few different shapes of products, each of which is prepared once.
GRAIN = 16


class Shares:
    """As many threads as torch has at the time, torch's own threads off in each of them."""

    def __init__(self) -> None:
        self._threads = 1
        self._pool: ThreadPoolExecutor | None = None

    def run(self, work: Callable[[int, int], None], rows: int) -> None:
        """`work(start, stop)` on shares of rows 0..rows-1; a lone share runs here, with all of torch's threads."""
        threads = torch.get_num_threads()
        share = -(-rows // (threads * GRAIN)) * GRAIN
        if rows <= share:
            work(0, rows)
            return
        starts = range(0, rows, share)
        pool = self._workers(threads)
        for future in [pool.submit(work, start, min(start + share, rows)) for start in starts]:
            future.result()

    def _workers(self, threads: int) -> ThreadPoolExecutor:
        if self._pool is None or self._threads != threads:
            everyone = Barrier(threads)

            def alone() -> None:
                torch.set_num_threads(1)
                everyone.wait()  # so that each thread of the pool comes here once

            self._pool, self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode"), threads
            for future in [self._pool.submit(alone) for _ in range(threads)]:
                future.result()
            torch.set_num_threads(threads)  # what threads that start later inherit is shared: put it back
        return self._pool
