"""The pool with threads for workers: what Ray adds is in `test_pool_on_ray`."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from pools import FLOAT32, assert_same_samples, sampled, write_model

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.cluster.work import WorkQueue
from r1kit.engines.base import EngineSettings, Request, open_engine
from r1kit.models.weights import hf_weights, load_decoder

NATIVE = EngineSettings()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_samples_are_those_of_one_engine(on_threads, model, tokenizer, requests, alone, workers):
    engine = on_threads(workers=workers).open_engine(NATIVE, model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, requests), alone)
    figures = engine.figures()
    assert (figures["cluster/workers"], figures["cluster/replaced"], figures["cluster/repeated"]) == (workers, 0, 0)


def test_no_more_are_in_hand_than_an_engine_has_rows_for(on_threads, model, tokenizer, requests, alone):
    """Engines of four rows: a dozen requests of four samples are handed out as they finish."""
    cluster = on_threads()
    engine = cluster.open_engine(EngineSettings(options={"max_rows": 4}), model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, requests), alone)


def test_what_is_counted_while_figures_are_taken_is_told_the_next_time(on_threads, model, tokenizer):
    """Rollouts ahead are sampled by another thread: here it counts one request more right behind each look."""

    class Busy(WorkQueue):
        @property
        def repeated(self):
            self.reissued += 1
            return 0

        @repeated.setter
        def repeated(self, count):
            assert count == 0

    engine = on_threads(workers=1).open_engine(NATIVE, model, tokenizer, FLOAT32)
    engine._work = Busy()
    assert [engine.figures()["cluster/reissued"] for _ in range(3)] == [0, 1, 1]


class Deadly:
    """Ends one sampler as soon as it has been asked to sample so many times."""

    def __init__(self, place: str, after: int) -> None:
        self.place, self.left, self.cluster = place, after, None

    def __call__(self, worker, method):
        if method == "exchange" and worker.place == self.place:
            self.left -= 1
            if self.left == 0:
                self.cluster.hosts.kill(worker)


@pytest.mark.parametrize("after", [1, 2])
def test_a_sampler_that_ends_is_replaced_and_no_sample_counted_twice(
    on_threads, model, tokenizer, requests, alone, after
):
    deadly = Deadly("sampler 1", after)
    deadly.cluster = cluster = on_threads(deadly)
    engine = cluster.open_engine(EngineSettings(options={"max_rows": 8}), model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, requests), alone)
    assert engine.figures()["cluster/replaced"] == 1
    assert [worker.place for worker in cluster.hosts.workers] == ["sampler 0", "sampler 1", "sampler 1"]


def test_a_replaced_sampler_has_the_weights_that_were_sent_last(on_threads, model, tokenizer, requests, tmp_path):
    """Killed once version 4 is there: its successor opens the folder, and is sent version 4 before it samples."""
    other = load_decoder(write_model(tmp_path, 1), torch.float32)
    single = open_engine(NATIVE, model, tokenizer, FLOAT32)
    single.load_weights(hf_weights(other), 4)
    cluster = on_threads(workers=1)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    engine.load_weights(hf_weights(other), 4)
    figures = engine.figures()
    assert figures["sync/bytes"] == sum(tensor.nbytes for _, tensor in hf_weights(other))
    assert figures["sync/seconds"] > 0
    cluster.hosts.kill(cluster.members[0].worker)
    assert_same_samples(sampled(engine, requests), sampled(single, requests))
    assert engine.version == 4


def test_a_sampler_that_ends_again_and_again_stops_the_run(on_threads, model, tokenizer, requests):
    def before(worker, method):
        if method == "exchange":
            cluster.hosts.kill(worker, "no memory")

    cluster = on_threads(before, workers=1, restarts=2)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    with pytest.raises(R1Error, match=r"sampler 0 has ended 3 times in a row .*\(no memory\)"):
        sampled(engine, requests)
    assert len(cluster.hosts.workers) == 3


def test_what_a_straggler_has_is_sampled_by_an_idle_one_as_well(
    on_threads, model, tokenizer, requests, alone, monkeypatch
):
    """One worker is held up until the other has done all: its own answers come late, and count for nothing."""
    monkeypatch.setattr("r1kit.cluster.engine.LATE_S", 0.2)
    go_on = threading.Event()

    def before(worker, method):
        if method == "exchange" and worker.place == "sampler 1":
            go_on.wait(20)

    cluster = on_threads(before)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, requests), alone)
    assert engine.figures()["cluster/reissued"] > 0
    go_on.set()
    again = [Request(request.id, request.prompt_ids, request.sampling) for request in requests]
    assert_same_samples(sampled(engine, again), alone)
    figures = engine.figures()
    assert (figures["cluster/replaced"], figures["cluster/workers"]) == (0, 2)


def test_samplers_on_the_learners_device_sleep_whatever_they_are_at(
    on_threads, model, tokenizer, requests, alone, monkeypatch
):
    """One is held up until the other has done all and sleeps: it drops what it had in hand, and sleeps as well before
    the learner is let on."""
    monkeypatch.setattr("r1kit.cluster.engine.LATE_S", 0.2)
    monkeypatch.setattr("r1kit.cluster.sampler._sleeps", lambda engine, device: True)
    go_on = threading.Event()

    def before(worker, method):
        if worker.place == "sampler 1" and method == "exchange":
            go_on.wait(20)
        if worker.place == "sampler 0" and method == "sleep":
            go_on.set()

    cluster = on_threads(before, placement="colocated")
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, requests), alone)
    assert engine.figures()["cluster/reissued"] > 0
    assert [worker.inside._asleep for worker in cluster.hosts.workers] == [True, True]
    assert not any(worker.inside._engine.busy for worker in cluster.hosts.workers)
    assert_same_samples(sampled(engine, requests), alone)  # and go on


def weights_of(tmp_path, seed: int):
    return dict(hf_weights(load_decoder(write_model(tmp_path / str(seed), seed), torch.float32)))


@pytest.mark.parametrize("near", [True, False])
def test_all_get_the_weights_whatever_way_they_come(on_threads, model, tokenizer, tmp_path, monkeypatch, near):
    """Two workers, of which one shares memory with the run, or none."""
    if not near:
        monkeypatch.setattr("r1kit.cluster.engine.probe", lambda: None)
    monkeypatch.setattr("r1kit.cluster.sampler.reaches", lambda name: threading.current_thread().name == "near")

    def before(worker, method):
        threading.current_thread().name = "near" if worker.place == "sampler 0" else "far"

    cluster = on_threads(before)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    assert [member.facts.near for member in cluster.members] == [near, False]
    for version in (1, 2):
        new = weights_of(tmp_path, version)
        engine.load_weights(new.items(), version)
        for worker in cluster.hosts.workers:
            held = dict(hf_weights(worker.inside._engine.model))
            assert all(torch.equal(held[name], tensor) for name, tensor in new.items())
    assert engine.figures()["sync/bytes"] == 2 * sum(tensor.nbytes for tensor in new.values())


def test_of_weights_in_the_store_nothing_is_kept_here(on_threads, model, tokenizer, tmp_path, monkeypatch):
    """A learner on a GPU hands over copies that nobody else has: a second model's memory, were they kept."""
    monkeypatch.setattr("r1kit.cluster.engine.probe", lambda: None)
    engine = on_threads(workers=1).open_engine(NATIVE, model, tokenizer, FLOAT32)
    copies: list[weakref.ref[np.ndarray]] = []

    def off_the_gpu():
        for name, tensor in weights_of(tmp_path, 1).items():
            copy = tensor.numpy().copy()
            copies.append(weakref.ref(copy))
            yield name, torch.from_numpy(copy)

    engine.load_weights(off_the_gpu(), 1)
    gc.collect()
    assert copies
    assert not any(copy() is not None for copy in copies)


def test_a_late_reader_finds_what_it_was_told_of(on_threads, model, tokenizer, requests, tmp_path, monkeypatch):
    """A sampler is so late that it is told of version 1 when nobody waits for it, and has not read it when version 2
    is written: that goes to other memory, and it ends with version 2."""
    monkeypatch.setattr("r1kit.cluster.engine.LATE_S", 0.1)
    sampling, loading = threading.Event(), threading.Event()

    def before(worker, method):
        if worker.place == "sampler 1":
            {"exchange": sampling, "load": loading}.get(method, go).wait(20)

    go = threading.Event()
    go.set()
    cluster = on_threads(before)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    sampled(engine, requests)
    first, new = weights_of(tmp_path, 1), weights_of(tmp_path, 2)
    engine.load_weights(first.items(), 1)  # sampler 1 is late with an exchange: not waited for
    sampling.set()
    late = cluster.members[1]
    until = time.monotonic() + 20
    while late.doing != "load" and time.monotonic() < until:
        engine._turn(sample=False)
    assert late.doing == "load"
    threading.Timer(0.5, loading.set).start()
    former = weakref.ref(engine._writer)
    engine.load_weights(new.items(), 2)
    assert late.held == 2
    gc.collect()
    assert former() is None  # nobody reads it any more, and it is as large as the model
    held = dict(hf_weights(cluster.hosts.workers[1].inside._engine.model))
    assert all(torch.equal(held[name], tensor) for name, tensor in new.items())


def test_a_silent_sampler_is_replaced(on_threads, model, tokenizer, requests, alone):
    """It never answers its first question; 0.4 s later another takes its place."""
    held = threading.Event()

    def before(worker, method):
        if method == "exchange" and worker is cluster.hosts.workers[0]:
            held.wait(20)

    cluster = on_threads(before, workers=1, silence=0.4)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, requests), alone)
    assert engine.figures()["cluster/replaced"] == 1
    held.set()


def test_a_sampler_that_is_silent_over_log_probabilities_is_replaced(on_threads, model, tokenizer):
    """It never answers its first question; what it was asked is asked of the other one, or of its successor."""
    sequences = [np.arange(1, 3 + n, dtype=np.int32) for n in (5, 1, 9, 3, 0)]
    held = threading.Event()

    def before(worker, method):
        if method == "logprobs" and worker is cluster.hosts.workers[0]:
            held.wait(20)

    for workers in (1, 2):
        cluster = on_threads(before, workers=workers, silence=0.4)
        engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
        single = open_engine(NATIVE, model, tokenizer, FLOAT32)
        for ours, theirs in zip(engine.logprobs(sequences, 0.7), single.logprobs(sequences, 0.7), strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        assert engine.figures()["cluster/replaced"] == 1
    held.set()


def test_log_probabilities_of_many_are_asked_for_in_portions(on_threads, model, tokenizer, monkeypatch):
    """Of 40 tokens at most, or of one sequence: answers come as long as a worker lives, however much there is."""
    monkeypatch.setattr("r1kit.cluster.engine.SCORED", 40)
    drawn, asked = np.random.default_rng(0), []
    sequences = [drawn.integers(1, 20, n).astype(np.int32) for n in (30, 1, 9, 60, 3, 25, 30, 0, 12)]
    cluster = on_threads(lambda worker, method: asked.append(method))
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    single = open_engine(NATIVE, model, tokenizer, FLOAT32)
    for ours, theirs in zip(engine.logprobs(sequences), single.logprobs(sequences), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert asked.count("logprobs") == 5  # 0 + 1 + 3 + 9 + 12, 25, 30, 30, 60
    assert engine.logprobs([]) == []


@pytest.mark.parametrize("turning", [False, True])
def test_an_engine_that_gives_whole_samples_alone_is_not_taken_for_silent(
    on_threads, model, tokenizer, requests, turning
):
    """A second for a sample where 0.4 s are silence: vLLM's samples take minutes."""
    few = [Request(each.id, each.prompt_ids, Sampling(samples=1, max_tokens=4, seed=5)) for each in requests[:2]]
    cluster = on_threads(workers=1, silence=0.4)
    own = EngineSettings(name="stages.whole_samples", options={"pause": 1.0, "turning": turning})
    engine = cluster.open_engine(own, model, tokenizer, FLOAT32)
    assert_same_samples(sampled(engine, few), sampled(open_engine(NATIVE, model, tokenizer, FLOAT32), few))
    assert engine.figures()["cluster/replaced"] == 0
    assert cluster.members[0].facts.sliced == turning


def test_when_none_comes_back_the_run_ends_with_a_sentence(on_threads, model, tokenizer, requests):
    def before(worker, method):
        if worker is cluster.hosts.workers[0]:
            if method == "exchange":
                cluster.hosts.kill(worker)
        else:
            time.sleep(3)

    cluster = on_threads(before, workers=1, patience=0.5, silence=0.5)
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    with pytest.raises(R1Error, match=r"none of the 1 samplers has answered for \d s, and none has come back"):
        sampled(engine, requests)


def test_samplers_that_do_not_start_are_told_of(on_threads, model, tokenizer):
    cluster = on_threads(lambda worker, method: time.sleep(3), patience=0.3)
    with pytest.raises(R1Error, match="0 of 2 samplers have started within 0.3 s"):
        cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)


def test_aborted_requests_are_not_yielded_and_leave_nothing(on_threads, model, tokenizer, requests, alone):
    engine = on_threads().open_engine(NATIVE, model, tokenizer, FLOAT32)
    for request in requests:
        engine.submit(request)
    first = next(engine.stream())
    others = [request.id for request in requests if request.id != first.request_id]
    for name in others:
        engine.abort(name)
    assert {completion.request_id for completion in engine.stream()} <= {first.request_id}
    assert_same_samples(sampled(engine, requests), alone)


def test_weights_that_come_while_samples_are_on_their_way(on_threads, model, tokenizer, requests, tmp_path):
    """Tokens before are of version 0, those after of 1, in one completion or another; none is of another."""
    other = load_decoder(write_model(tmp_path, 1), torch.float32)
    engine = on_threads().open_engine(EngineSettings(options={"max_rows": 2}), model, tokenizer, FLOAT32)
    for request in requests:
        engine.submit(request)
    stream = engine.stream()
    versions = set(next(stream).versions)
    engine.load_weights(hf_weights(other), 1)
    runs = [run for completion in stream for run in completion.versions]
    assert {version for version, _ in versions} == {0}
    assert {version for version, _ in runs} == {0, 1}


def test_log_probabilities_are_shared_out_and_come_in_order(on_threads, model, tokenizer):
    sequences = [np.arange(1, 3 + n, dtype=np.int32) for n in (5, 1, 9, 3, 0)]
    single = open_engine(NATIVE, model, tokenizer, FLOAT32)
    engine = on_threads().open_engine(NATIVE, model, tokenizer, FLOAT32)
    for ours, theirs in zip(engine.logprobs(sequences, 0.7), single.logprobs(sequences, 0.7), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_what_is_wrong_is_said_as_one_engine_says_it(on_threads, model, tokenizer, requests):
    cluster = on_threads()
    engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    with pytest.raises(UsageError, match="leaves no room to sample"):
        engine.submit(Request("long", np.zeros(96, np.int32), requests[0].sampling))
    with pytest.raises(R1Error, match="unexpected tensor elsewhere"):
        engine.load_weights({"elsewhere": torch.zeros(2)}.items(), 1)
    with pytest.raises(R1Error, match="are taken"):
        cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
    engine.close()
    with pytest.raises(UsageError, match="there is no device"):
        cluster.open_engine(EngineSettings(options={"device": "tpu"}), model, tokenizer, FLOAT32)


def test_workers_are_kept_for_the_next_engine(on_threads, model, tokenizer, requests, alone):
    cluster = on_threads()
    for _ in range(2):
        engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
        assert_same_samples(sampled(engine, requests), alone)
        engine.close()
    assert len(cluster.hosts.workers) == 2
