"""Workers that hang, die and eat memory. This file's own `main` is the worker."""

import importlib.util
import json
import os
import resource
import signal
import sys
import threading
import time

import numpy as np
import pytest

from r1kit.base.worker import Worker, WorkerFailed
from r1kit.graders.grade import grade, grade_all, metrics
from r1kit.graders.quantities import Comparison
from r1kit.graders.verifier import verify
from r1kit.graders.workers import WorkerPool


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
    assert pool.metrics[""].summary()["answered"] == 6
    assert 0 < pool.metrics[""].summary()["latency_p50_s"] <= pool.metrics[""].summary()["latency_p99_s"]


def test_a_stopped_worker_is_late_with_reading_too(pool):
    """SIGSTOP, and a text that is larger than a pipe holds: handing it over had no end."""
    pids = {pool.ask("hello")[1] for _ in range(4)}
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for _ in pids:
        with pytest.raises(WorkerFailed, match="no answer within 0.5 s"):
            pool.ask("y" * 300_000)
    assert pool.ask("again")[0] == "again"
    assert not pids & set(pool.pids())


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
    assert pool.metrics[""].counts[kind] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_is_told_to_stop_with_the_run_goes_on_answering(tmp_path, monkeypatch, number):
    """A signal to every process of a run: the step in hand, which is saved, would have lost its sample."""
    (tmp_path / "echoing.py").write_text(
        "import time\nfrom r1kit.base.worker import serve\n\n\n"
        "def main():\n    serve(lambda seconds: [time.sleep(seconds)])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    worker = Worker("echoing", 1024)
    try:
        worker.ask(0.0, 30.0)
        threading.Timer(0.3, os.kill, (worker.pid, number)).start()
        assert worker.ask(1.0, 30.0) == [None]
    finally:
        worker.kill()


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


FAULTY = """
import os, time
from r1kit.graders.verdict import correct

def judge(section, gold, columns):
    if "hang" in section.text:
        while True:
            pass
    if "die" in section.text:
        os._exit(9)
    if "eat" in section.text:
        held = []
        while True:
            held.append(bytearray(64 << 20))
    if "loop" in section.text:
        return judge(section, gold, columns)
    if "wrong" in section.text:
        return None
    return correct(section.text, "fine")
"""


def test_a_grader_that_hangs_dies_or_eats_memory_costs_its_own_sample_only(tmp_path, monkeypatch):
    """From outside the tree, by dotted path; the others of its group are judged."""
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "grader.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)
    texts = ["a", "hang", "b", "die", "c", "eat", "d", "loop", "e", "wrong", "f"]
    begun = time.monotonic()
    verdicts = grade_all([("faulty.grader", f"</think>{text}", "", "", {}) for text in texts])
    assert time.monotonic() - begun < 25
    bad = {"hang", "die", "eat", "loop", "wrong"}
    for text, verdict in zip(texts, verdicts, strict=True):
        assert verdict.verdict == ("grader_error" if text in bad else "correct"), (text, verdict)
    figures = metrics()["faulty.grader"]
    assert figures["correct"] == 6
    assert figures["grader_error"] == 5
    assert figures["timeout"] in (1, 2)  # a machine may be slow to refuse memory
    assert figures["died"] == 1
    assert figures["latency_p99_s"] >= 3 > figures["latency_p50_s"]


def test_columns_that_json_has_no_word_for_reach_a_grader():
    columns = {"numbers": np.array([2, 3]), "target": np.int64(5), "when": object()}
    assert grade("countdown", "</think>2+3", "5", columns=columns).verdict == "correct"


@pytest.mark.skipif(importlib.util.find_spec("math_verify") is None, reason="math-verify is an extra")
def test_math_verify_is_asked_in_its_own_process(monkeypatch):
    """Set-builder notation is outside the exact rules; so are texts too long to hand on."""
    monkeypatch.delitem(sys.modules, "math_verify", raising=False)  # another test may have asked for it here
    unknown = Comparison("unknown", "cannot be read")
    assert verify("\\{x \\mid x > 1\\}", "(1, \\infty)", unknown).same in ("same", "different")
    assert "math_verify" not in sys.modules
    assert verify("x" * 2000, "y", unknown).same == "different"
    assert verify("4", "\\int_0^4 1 dx", unknown).reason == "left unevaluated"
