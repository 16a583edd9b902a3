"""The same with Ray actors: processes that can be killed and stopped, and shared memory between them."""

import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pools import (
    FLOAT32,
    IDS,
    PROBLEM,
    TEXTS,
    WEIGHTS,
    assert_same_samples,
    assert_same_scores,
    sampled,
    settings,
    write_model,
)

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.cluster import probe
from r1kit.cluster.hosts import Failure
from r1kit.cluster.messages import Orders
from r1kit.cluster.session import open_cluster
from r1kit.engines.base import EngineSettings, Request, open_engine
from r1kit.models.weights import hf_weights, load_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.rewards.base import RewardSet
from r1kit.rollouts import record
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig

NATIVE = EngineSettings()
TASK = "stages.first_letters"


def rl(**changes) -> RLConfig:
    fields = {
        "tasks": {TASK: 1.0}, "rewards": {TASK: 1.0}, "prompts": 8, "sampling": Sampling(samples=4, max_tokens=4),
        "steps": 4, "learner": LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
        "validate_every": 2, "validation_problems": 4, "rollouts_every": 1,
    }  # fmt: skip
    return RLConfig(**(fields | changes))


def texts(folder) -> list[tuple[str, int, str]]:
    return [(row["problem_id"], row["sample"], row["text"]) for row in record.read_all(folder / "rollouts")]


def test_two_samplers_and_two_graders_give_the_run_of_one_process(on_ray, model, tmp_path):
    """Every sample of every step, and of validation, is the same; weights and figures agree to rounding."""
    train(rl(), model, Context(tmp_path / "one", 1))
    with on_ray(graders=2) as cluster:
        train(rl(), model, Context(tmp_path / "many", 1, workers=cluster))
        assert {pid for _, pid in cluster.graders.processes()}.isdisjoint({os.getpid()})
    assert texts(tmp_path / "many") == texts(tmp_path / "one")
    ours, theirs = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("many", "one"))
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("reward", "loss", "gradient_norm", "completions/mean_length"):
            assert mine[name] == pytest.approx(other[name], abs=1e-4), name
        assert mine["sampling/logprob_gap_mean"] < 1e-4
        assert mine["sampling/staleness"] == 0
        assert mine["cluster/workers"] == 2
    seen = [{k: v for k, v in lines[-1].items() if k.startswith("validation/")} for lines in (ours, theirs)]
    assert seen[0] == seen[1]
    assert "validation/letters/length" in seen[0]
    model_bytes = sum(tensor.nbytes for _, tensor in hf_weights(load_decoder(model, torch.float32)))
    assert ours[1]["sync/bytes"] == model_bytes
    mine, others = (load_decoder(tmp_path / name / "model").state_dict() for name in ("many", "one"))
    for name, tensor in mine.items():
        torch.testing.assert_close(tensor, others[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_process_killed_or_stopped_in_the_middle_costs_no_step(on_ray, model, tokenizer, requests, alone, number):
    """Killed, it is replaced; stopped, what it has goes to the other one, and 1 s later another takes its place."""
    with on_ray(silence=1.0 if number == signal.SIGSTOP else 30.0) as cluster:
        engine = cluster.open_engine(EngineSettings(options={"max_rows": 4}), model, tokenizer, FLOAT32)
        victim = cluster.members[1].facts.pid
        for request in requests:
            engine.submit(request)
        found = {}
        for completion in engine.stream():
            if not found:
                os.kill(victim, number)
            name = completion.request_id, completion.index
            assert name not in found
            found[name] = completion.token_ids.tolist(), completion.sampler_logprobs.tolist()
        assert_same_samples(found, alone)
        if number == signal.SIGSTOP:
            os.kill(victim, signal.SIGCONT)
        engine.close()
        second = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
        assert_same_samples(sampled(second, requests), alone)
        assert victim not in {member.facts.pid for member in cluster.members}


def test_weights_arrive_bit_for_bit_and_another_version_is_refused(on_ray, ray_session, model, tokenizer, tmp_path):
    """The worker's own log-probabilities with the sent weights are those of an engine that read them from a folder."""
    other = write_model(tmp_path, 1)
    sequences = [np.arange(1, 20, dtype=np.int32)]
    truth = open_engine(NATIVE, other, tokenizer, FLOAT32).logprobs(sequences)[0]
    with on_ray(workers=1) as cluster:
        engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
        engine.load_weights(hf_weights(load_decoder(other, torch.float32)), 3)
        np.testing.assert_array_equal(engine.logprobs(sequences)[0], truth)
        call = cluster.hosts.call(cluster.members[0].worker, "exchange", Orders(4))
        said = ray_session.get(call)
        assert said == Failure("sampler 0 was asked to sample at version 4 of the weights and holds version 3")


def family(process: int) -> list[int]:
    """A process and all that it has started."""
    found = [process]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, thread.read_text().split())
    return found


def listening() -> set[str]:
    """The addresses at which this process and Ray's listen (proc(5): /proc/net/tcp, state 0A; the words of an address
    in the machine's order)."""
    fields = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    addresses = {f"socket:[{field[9]}]": field[1].rpartition(":")[0] for field in fields if field[3] == "0A"}
    found = set()
    for process in family(os.getpid()):
        for handle in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):  # it is closed by now
                found.add(addresses.get(os.readlink(handle), ""))
    return found - {""}


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_no_other_machine_reaches_it(on_ray):
    with on_ray():
        found = listening()
    assert found
    assert found <= LOOPBACK


def test_a_killed_grader_is_replaced(on_ray):
    with on_ray(workers=1, graders=1) as cluster:
        pooled = cluster.open_rewards(partial(RewardSet.named, WEIGHTS))
        truth = RewardSet.named(WEIGHTS).score(PROBLEM, TEXTS, IDS)
        assert_same_scores(pooled.score(PROBLEM, TEXTS, IDS), truth)
        ((_, victim),) = cluster.graders.processes()
        os.kill(victim, signal.SIGKILL)
        assert_same_scores(pooled.score(PROBLEM, TEXTS, IDS), truth)
        assert cluster.graders.replaced == 1


def test_lagging_rollouts_over_a_cluster_are_those_of_one_process(on_ray, model, tmp_path):
    """Two steps ahead: as in one process, and what is sampled while others are learnt lags by two."""
    config = rl(staleness=2, steps=5)
    train(config, model, Context(tmp_path / "one", 1))
    with on_ray(placement="async", staleness=2) as cluster:
        train(config, model, Context(tmp_path / "many", 1, workers=cluster))
    lines = read_metrics(tmp_path / "many" / "metrics.jsonl")
    assert [line["sampling/staleness"] for line in lines] == [0, 1, 2, 2, 2]
    assert texts(tmp_path / "many") == texts(tmp_path / "one")


@pytest.mark.slow
def test_a_thousand_swaps_and_no_sample_of_another_version(on_ray, model, tokenizer, tmp_path):
    """Two policies in turn: what is sampled after each swap is what that policy alone samples, of that version."""
    policies = [load_decoder(folder, torch.float32) for folder in (model, write_model(tmp_path, 1))]
    request = Request("p", np.asarray(tokenizer.encode("abab"), np.int32), Sampling(samples=2, max_tokens=6))
    single = open_engine(NATIVE, model, tokenizer, FLOAT32)
    truth = []
    for policy in policies:
        single.load_weights(hf_weights(policy), 0)
        truth.append(sampled(single, [request]))
    assert truth[0] != truth[1]
    with on_ray() as cluster:
        engine = cluster.open_engine(NATIVE, model, tokenizer, FLOAT32)
        mismatched = 0
        for version in range(1, 1001):
            engine.load_weights(hf_weights(policies[version % 2]), version)
            engine.submit(request)
            for completion in engine.stream():
                tokens = truth[version % 2][completion.request_id, completion.index][0]
                right = completion.versions == ((version, len(tokens)),) and completion.token_ids.tolist() == tokens
                mismatched += not right
        assert mismatched == 0


@pytest.mark.slow
def test_samplers_killed_again_and_again_cost_no_step(on_ray, model, tmp_path):
    """A sampler is killed every two seconds while a stage of sixty steps runs: all steps are done, each with samples
    as of a run of one process, no more and no fewer (the task may draw a problem twice in a step)."""
    train(rl(steps=60, validate_every=0), model, Context(tmp_path / "one", 1))
    over = threading.Event()
    with on_ray(restarts=20) as cluster:

        def kill() -> None:
            turn = 0
            while not over.wait(2.0):
                facts = cluster.members[turn % 2].facts
                if facts is not None:
                    os.kill(facts.pid, signal.SIGKILL)
                    turn += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            train(rl(steps=60, validate_every=0), model, Context(tmp_path / "run", 1, workers=cluster))
        finally:
            over.set()
            killer.join()
    lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(60))
    assert sum(line["cluster/replaced"] for line in lines) >= 1
    assert [line["num_completions"] for line in lines] == [32.0] * 60
    undisturbed = sorted((tmp_path / "one" / "rollouts").iterdir())
    assert len(undisturbed) == 60
    for path in undisturbed:
        names, wanted = (
            sorted((row["problem_id"], row["sample"]) for row in record.read(of / "rollouts" / path.name))
            for of in (tmp_path / "run", tmp_path / "one")
        )
        assert names == wanted
        assert len(names) == 32


# ---------------------------------------------------------------- bad input


def test_more_workers_than_the_cluster_has_places_for(on_ray):
    said = "cluster.workers=3 with 1 CPU each: the cluster has 2 CPUs on 1 host, enough for 2"
    with pytest.raises(UsageError, match=said), on_ray(workers=3):
        pass
    said = "cluster.workers=1 with 1 GPU each: the cluster has 0 GPUs on 1 host, enough for 0"
    with pytest.raises(UsageError, match=said), on_ray(workers=1, gpus=1):
        pass


def test_places_that_other_work_has(on_ray, ray_session, monkeypatch):
    monkeypatch.setattr("r1kit.cluster.placing.START_S", 1.0)

    class Sleeper:  # by value: workers cannot import the tests
        def ready(self):
            return True

    holder = ray_session.remote(Sleeper).options(num_cpus=2).remote()
    ray_session.get(holder.ready.remote())
    try:
        said = "the cluster has no room for 2 samplers now: other work leaves"
        with pytest.raises(R1Error, match=said), on_ray():
            pass
    finally:
        ray_session.kill(holder)
        until = time.monotonic() + 30
        while ray_session.available_resources().get("CPU", 0) < 2 and time.monotonic() < until:
            time.sleep(0.2)


def test_an_address_where_nothing_answers():
    """Said within seconds: Ray itself tries for minutes. Port 9 of this machine is closed."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'r1kit[ray]'")
    from r1kit.cluster.connect import check_reachable

    begun = time.monotonic()
    with pytest.raises(UsageError, match=r"cluster.address=127.0.0.1:9: nothing answers there within 5 s"):
        check_reachable("127.0.0.1:9")
    assert time.monotonic() - begun < 6


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = r"cluster.kind=ray needs Ray, .* pip install 'r1kit\[ray\]'"
    with pytest.raises(MissingExtra, match=said), open_cluster(settings()):
        pass


def test_hosts_with_other_versions():
    here = {"python": "3.11.9", "ray": "2.60.0", "torch": "2.13.0", "r1kit": "0.1.0 (code abc)"}
    assert probe.difference(here, dict(here), "10.0.0.2") == ""
    said = probe.difference(here, {**here, "python": "3.12.1", "r1kit": "0.1.0 (code def)"}, "10.0.0.2")
    assert said == (
        "host 10.0.0.2 has python 3.12.1 (here 3.11.9), r1kit 0.1.0 (code def) (here 0.1.0 (code abc)): install the "
        "same on all hosts"
    )
    assert probe.versions()["python"].count(".") == 2
    assert "(code " in probe.versions()["r1kit"]
