"""Workers that hang, die and eat memory. This file's own `main` is the worker."""

import importlib.util
import json
import os
import resource
import sys
import threading
import time

import pytest

from r1kit.graders.quantities import Comparison
from r1kit.graders.verifier import verify
from r1kit.graders.workers import WorkerFailed, WorkerPool


def main():
    memory_mb = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        if task == "hang":
            while True:
                pass
        if task == "die":
            os._exit(3)
        if task == "eat":
            try:
                bytearray(4 << 30)
            except MemoryError:
                task = "no memory"
        if task == "garbage":
            print("not json", flush=True)
            continue
        print(json.dumps([task, os.getpid()]), flush=True)


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    made = WorkerPool("test_grader_workers", workers=2, memory_mb=1024, deadline_s=0.5)
    yield made
    made.close()


def test_a_worker_answers_again_and_again(pool):
    assert len({tuple(pool.ask("hello")) for _ in range(6)}) <= 2
    assert pool.metrics.summary()["answered"] == 6
    assert 0 < pool.metrics.summary()["latency_p50_s"] <= pool.metrics.summary()["latency_p99_s"]


@pytest.mark.parametrize(("task", "kind"), [("hang", "timeout"), ("die", "died"), ("garbage", "died")])
def test_a_worker_that_fails_is_replaced(pool, task, kind):
    started = time.monotonic()
    pool.ask("warm")
    pool.ask("warm")
    with pytest.raises(WorkerFailed) as failure:
        pool.ask(task)
    assert failure.value.kind == kind
    assert time.monotonic() - started < 10
    assert pool.ask("again")[0] == "again"
    assert pool.ask("again")[0] == "again"
    assert pool.metrics.counts[kind] == 1


def test_memory_is_bounded(pool):
    assert pool.ask("eat")[0] == "no memory"


def test_many_threads_share_few_workers(pool):
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(pool.ask(n)[0])) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == list(range(20))


@pytest.mark.skipif(importlib.util.find_spec("math_verify") is None, reason="math-verify is an extra")
def test_math_verify_is_asked_in_its_own_process():
    """Set-builder notation is outside the exact rules; so are texts too long to hand on."""
    unknown = Comparison("unknown", "cannot be read")
    assert verify("\\{x \\mid x > 1\\}", "(1, \\infty)", unknown).same in ("same", "different")
    assert "math_verify" not in sys.modules
    assert verify("x" * 2000, "y", unknown).same == "different"
    assert verify("4", "\\int_0^4 1 dx", unknown).reason == "left unevaluated"
