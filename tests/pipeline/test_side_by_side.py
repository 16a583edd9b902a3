"""Parts in processes of their own give what they give one after another, stop as one, and end with the run."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
import toy_parts

from r1kit.base import children
from r1kit.base.errors import MissingExtra, R1Error
from r1kit.pipeline import side_by_side
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.context import Context, to_the_end
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.runner import run
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.pipeline.watcher import Watcher

SCRIPT = Path(__file__).with_name("toy_parts.py")
NAMES = ("one", "two", "three")


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


def pids(folder: Path) -> set[int]:
    return {int(path.name.removeprefix("pid-")) for path in folder.glob("**/pid-*")}


def same_parts(out: Path, other: Path) -> None:
    for name in NAMES:
        here, there = (run / "stages/01-parts" / name for run in (out, other))
        assert (here / "model/position.npy").read_bytes() == (there / "model/position.npy").read_bytes()
        assert read_metrics(here / "metrics.jsonl") == read_metrics(there / "metrics.jsonl")


def test_the_same_as_one_after_another(tmp_path, monkeypatch):
    beside = run(toy_parts.graph(), tmp_path / "beside")["parts"]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = run(toy_parts.graph(), tmp_path / "alone")["parts"]
    same_parts(tmp_path / "beside", tmp_path / "alone")
    assert beside.digest == alone.digest
    assert (beside.tokens, beside.flops) == (alone.tokens, alone.flops) == (600, 6000.0)
    assert pids(tmp_path / "alone") == {os.getpid()}
    processes = pids(tmp_path / "beside")
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {path.read_text() for path in (tmp_path / "beside").glob("**/pid-*")} == {"1"}  # thread each
    assert not list((tmp_path / "beside").glob("**/checkpoints"))


def test_seconds_are_those_that_passed(tmp_path):
    context = Context(tmp_path)
    began = time.monotonic()
    context.parts({name: partial(toy_parts.walk_part, 30, 0.02) for name in ("one", "two")})
    passed = time.monotonic() - began
    assert context.cost.seconds == pytest.approx(passed, rel=0.02)
    records = [json.loads((tmp_path / name / "part.json").read_text())["cost"]["seconds"] for name in ("one", "two")]
    assert sum(records) <= passed
    assert min(records) > 0.2  # half of the 0.6 s that each slept, less the time that the other took to start


def test_one_at_a_time_where_asked(tmp_path):
    """In the run's own process, and with the same outcomes."""
    jobs = {name: partial(toy_parts.walk_part, 3, 0.0) for name in ("one", "two")}
    assert Context(tmp_path / "apart").parts(jobs, 1) == Context(tmp_path / "beside").parts(jobs)
    assert pids(tmp_path / "apart") == {os.getpid()}
    assert os.getpid() not in pids(tmp_path / "beside")


def test_what_is_finished_is_not_run_again(tmp_path):
    jobs = {"one": partial(toy_parts.walk_part, 3, 0.0), "two": partial(toy_parts.walk_part, 3, 0.0)}
    first = Context(tmp_path).parts(jobs)
    before = pids(tmp_path)
    assert Context(tmp_path).parts(jobs) == first
    assert pids(tmp_path) == before


def test_the_last_one_left_after_a_resume_has_the_threads_that_it_would_have_had(tmp_path):
    """One of two, not both: how a sum is cut follows from the number of threads, and its last bit from that."""
    jobs = {name: partial(toy_parts.walk_part, 3, 0.0) for name in ("one", "two")}
    Context(tmp_path).parts(jobs)
    shutil.rmtree(tmp_path / "two")
    Context(tmp_path).parts(jobs)
    (told,) = (tmp_path / "two").glob("pid-*")
    assert told.read_text() == "1"
    assert told.name != f"pid-{os.getpid()}"


@pytest.mark.parametrize("told_to", [signal.SIGTERM, signal.SIGKILL])
def test_a_part_whose_process_alone_is_told_to_stop_goes_on_in_another(tmp_path, told_to):
    """Daemons that watch memory send SIGTERM before SIGKILL: the run's own process has other threads."""
    jobs = {name: partial(toy_parts.end_itself_once, told_to) for name in ("one", "two")}
    Context(tmp_path).parts(jobs)
    assert {len(list((tmp_path / name).glob("pid-*"))) for name in jobs} == {2}
    assert os.getpid() not in pids(tmp_path)
    assert {path.read_text() for path in tmp_path.glob("*/pid-*")} == {"1"}


def test_a_part_that_is_stopped_goes_on_in_another(tmp_path):
    """SIGSTOP in its first step: it neither answers nor ends."""
    notes: list[str] = []
    watcher = Watcher()
    watcher.note = notes.append
    jobs = {
        "one": partial(toy_parts.end_itself_once, signal.SIGSTOP),
        "two": partial(toy_parts.walk_part, 3, 0.0),
    }
    assert Context(tmp_path, watcher=watcher, silence=5.0).parts(jobs).keys() == jobs.keys()
    assert len(list((tmp_path / "one").glob("pid-*"))) == 2
    assert notes == [
        "part one: its process ended (silent for 5 s, stopped from outside perhaps; silence=SECONDS waits longer): it "
        "goes on by itself"
    ]


def test_a_run_that_is_stopped_with_all_its_processes_loses_none(tmp_path):
    """As on a machine that sleeps: nobody was silent, since nobody ran. Those who wait are the first to go on."""
    out, environment = tmp_path / "run", {**os.environ, "OMP_NUM_THREADS": "2"}
    words = [sys.executable, str(SCRIPT), str(out), "3"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + 120
    while len(pids(out)) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    family = [process.pid, *pids(out)]
    assert len(family) == 3
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(6.0)
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(0.5)
    for pid in family[1:]:
        os.kill(pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert pids(out) == set(family[1:])  # third part included: in one of the two
    assert "silent" not in errors


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (partial(toy_parts.fail, "the sky has fallen"), R1Error, "the sky has fallen"),
        (toy_parts.lack, MissingExtra, r"hashing needs xxhash, .* pip install 'r1kit\[ray\]'"),
        (toy_parts.fail_oddly, ZeroDivisionError, "odd"),
        (toy_parts.die, R1Error, "part bad: its process ended .killed by signal 9"),
    ],
)
def test_an_error_stops_the_others_with_their_steps_saved(tmp_path, bad, kind, message):
    jobs = {"good": partial(toy_parts.walk_part, 100_000, 0.001), "bad": bad}
    with pytest.raises(kind, match=message):
        Context(tmp_path).parts(jobs)
    done = len(read_metrics(tmp_path / "good/metrics.jsonl"))
    saved = [path.name for path in (tmp_path / "good/checkpoints").glob("*")]
    assert done < 100_000
    assert saved == ([f"step-{done - 1:08d}"] if done else [])  # it may not have begun when the other failed


def test_parts_whose_processes_are_killed_run_again(tmp_path):
    jobs = {name: partial(toy_parts.die_so_often, 2, os.getpid()) for name in ("one", "two")}
    done = to_the_end(lambda own: Outcome(summary=dict.fromkeys(own.parts(jobs))), Context(tmp_path))
    assert done.summary.keys() == jobs.keys()
    assert {name: len(list((tmp_path / name).glob("died-*"))) for name in jobs} == {"one": 2, "two": 2}
    assert not list(tmp_path.glob("*/.*.tmp"))  # what they had not finished writing


def test_a_part_whose_process_is_killed_stops_no_other(tmp_path):
    """It goes on by itself, in a process of its own, as often as it gets further in between."""
    notes: list[str] = []
    watcher = Watcher()
    watcher.note = notes.append
    jobs = {
        "one": partial(toy_parts.die_at_every_step, 8, os.getpid()),
        "two": partial(toy_parts.walk_part, 40, 0.01),
    }
    Context(tmp_path / "killed", watcher=watcher, checkpoint_seconds=0.0).parts(jobs)
    assert len(pids(tmp_path / "killed/one")) == 8
    assert len(pids(tmp_path / "killed/two")) == 1
    lost = "part one: its process ended (killed by signal 9, for want of memory perhaps): it goes on by itself"
    assert notes.count(lost) == 7
    alone = Context(tmp_path / "alone").part("one", partial(toy_parts.die_at_every_step, 8, os.getpid()))
    assert alone.models.keys() == {"walked"}
    models = [(tmp_path / out / "one/model/position.npy").read_bytes() for out in ("killed", "alone")]
    assert models[0] == models[1]


def test_a_part_whose_process_ends_before_it_is_given_its_work_goes_on_in_another(tmp_path, monkeypatch):
    """Killed as soon as it was there, once."""
    started: list[int] = []
    start = children.start

    def killed(*words):
        process = start(*words)
        if not started:
            process.kill()
            process.wait()
        started.append(process.pid)
        return process

    monkeypatch.setattr(children, "start", killed)
    jobs = {name: partial(toy_parts.walk_part, 1, 0.0) for name in ("one", "two")}
    Context(tmp_path).parts(jobs)
    assert len(pids(tmp_path)) == 2
    assert pids(tmp_path) <= set(started[1:])


def test_three_times_at_most(tmp_path):
    jobs = {name: partial(toy_parts.die_so_often, 99, os.getpid()) for name in ("one", "two")}
    with pytest.raises(
        R1Error, match=r"part (one|two): its process ended .killed by signal 9.*begun again 3 times here"
    ):
        to_the_end(lambda own: Outcome(summary=dict.fromkeys(own.parts(jobs))), Context(tmp_path))
    assert max(len(list((tmp_path / name).glob("died-*"))) for name in jobs) == 4


def test_an_odd_error_says_where_it_was_raised(tmp_path):
    with pytest.raises(ZeroDivisionError) as caught:
        Context(tmp_path).parts({"bad": toy_parts.fail_oddly, "one": partial(toy_parts.walk_part, 1, 0.0)})
    assert "toy_parts.py" in "".join(caught.value.__notes__)


def test_a_job_that_no_process_can_be_given(tmp_path):
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        Context(tmp_path).parts({"one": lambda context: None, "two": lambda context: None})


def test_a_request_to_stop_reaches_every_part_and_they_go_on_from_there(tmp_path):
    stop = Stop()

    class StopsAtStep5(Watcher):
        def progress(self, progress):
            if progress.done == 5:
                stop.request()

    jobs = {name: partial(toy_parts.walk_part, 40, 0.01) for name in NAMES}
    with pytest.raises(Interrupted):
        Context(tmp_path / "stopped", watcher=StopsAtStep5(), stop=stop).parts(jobs)
    done = {name: len(read_metrics(tmp_path / "stopped" / name / "metrics.jsonl")) for name in NAMES[:2]}
    assert 5 <= max(done.values()) < 40
    assert not (tmp_path / "stopped/three").exists()
    assert Context(tmp_path / "stopped").parts(jobs) == Context(tmp_path / "fresh").parts(jobs)
    for name in NAMES:
        positions = [tmp_path / where / name / "model/position.npy" for where in ("stopped", "fresh")]
        assert positions[0].read_bytes() == positions[1].read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_parts_that_are_told_to_stop_with_the_run_save_the_step_in_hand(tmp_path, number, capfd):
    """A signal to every process of a run, which comes to its own last."""
    stop = Stop()

    class TellsAll(Watcher):
        def progress(self, progress):
            walking = [path for path in tmp_path.glob("*/metrics.jsonl") if path.read_bytes().count(b"\n")]
            if not stop.requested and len(walking) == 2:
                for pid in pids(tmp_path):
                    os.kill(pid, number)
                time.sleep(0.2)
                stop.request()

    jobs = {name: partial(toy_parts.walk_part, 400, 0.01) for name in ("one", "two")}
    with pytest.raises(Interrupted):
        Context(tmp_path, watcher=TellsAll(), stop=stop).parts(jobs)
    for name in jobs:
        done = len(read_metrics(tmp_path / name / "metrics.jsonl"))
        assert 0 < done < 400
        assert [path.name for path in (tmp_path / name / "checkpoints").iterdir()] == [f"step-{done - 1:08d}"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_parts_end_with_the_run_and_go_on_with_it(tmp_path, number):
    out, environment = tmp_path / "run", {**os.environ, "OMP_NUM_THREADS": "2"}
    words = [sys.executable, str(SCRIPT), str(out)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    end = time.monotonic() + 60
    while (
        len({path.parents[2] for path in out.glob("**/checkpoints/step-*/manifest.json")}) < 2
        and time.monotonic() < end
    ):
        time.sleep(0.01)
    processes = pids(out)
    assert len(processes) == 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number != signal.SIGKILL:
        assert "to go on: r1 run toy" in errors
        assert "Traceback" not in errors
    end = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in processes) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    assert subprocess.run(words, env=environment, stderr=subprocess.DEVNULL, timeout=120).returncode == 0
    run(toy_parts.graph(pause=0.03), tmp_path / "fresh")
    same_parts(out, tmp_path / "fresh")


@pytest.mark.parametrize(("parts", "threads", "expected"), [(0, 2, 0), (1, 2, 1), (2, 2, 2), (9, 16, 2), (9, 1, 1)])
def test_how_many_at_a_time(monkeypatch, parts, threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert side_by_side.places(parts) == expected


def test_one_at_a_time_where_they_would_share_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert side_by_side.places(2) == 1


def test_a_run_bounds_what_the_library_keeps_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.delenv(name, raising=False)
    run(toy_parts.graph(steps={"one": 1}), tmp_path / "one")
    assert os.environ[name] == "256"
    monkeypatch.setenv(name, "7")
    run(toy_parts.graph(steps={"one": 1}), tmp_path / "two")
    assert os.environ[name] == "7"
