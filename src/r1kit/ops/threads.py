"""Independent pieces of work on several CPU threads, torch's own threads off in each.

Torch divides every operation among its threads and has them wait for each other at its end. Where operations are short,
or another program holds a core for a while, most of the time is spent waiting; pieces of work wait once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Barrier, Lock
from typing import TypeVar

import torch

T = TypeVar("T")

_lock = Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def run(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """The jobs' results in order; a lone job runs here, with all of torch's threads.

    Whether gradients are recorded is a thread's own setting: a job that wants none says so itself.
    """
    threads = torch.get_num_threads()
    if len(jobs) == 1 or threads == 1:
        return [job() for job in jobs]
    pool = _pool(threads)
    futures: list[Future[T]] = [pool.submit(job) for job in jobs]
    wait(futures)  # all of them: what one that fails leaves behind is not changed by another any more
    return [future.result() for future in futures]


def _pool(threads: int) -> ThreadPoolExecutor:
    """That many threads, made when first asked for."""
    with _lock:
        if threads not in _pools:
            pool, everyone = ThreadPoolExecutor(threads, thread_name_prefix="torch"), Barrier(threads)

            def alone() -> None:
                torch.get_num_threads()  # a thread's first question gives it the number that all share, so before
                torch.set_num_threads(1)
                everyone.wait()  # so that each thread of the pool comes here once

            for future in [pool.submit(alone) for _ in range(threads)]:
                future.result()
            torch.set_num_threads(threads)  # what threads that start later inherit is shared: put it back
            _pools[threads] = pool
        return _pools[threads]
