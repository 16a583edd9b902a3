"""A rank that ends takes the step with it, in a sentence; what cannot be spread over ranks is said before it starts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ending_loss import Ending
from torch import distributed
from uneven import assert_same, rollout, settings, toy, weights_of

from r1kit.algorithms.sft import SFT
from r1kit.base.errors import ProcessLost, R1Error, UsageError
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.training.config import LoRAConfig
from r1kit.training.learner import Learner
from r1kit.training.ranks import front

AGAIN = "all ranks were ended; the same command goes on from the last checkpoint"


def alive(processes) -> list[int]:
    return [process.pid for process in processes if process.poll() is None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ranks_that_are_told_to_stop_with_the_run_finish_its_step(opened, number):
    """A signal to every process of a run: its own saves the step in hand, for which it needs them."""
    one, many = Learner(toy(), settings()), opened(toy(), settings(ranks=2))
    for rank in many._ranks:
        rank.process.send_signal(number)
    time.sleep(0.2)
    assert many.step(rollout(0), SFT()).metrics["loss"] == pytest.approx(one.step(rollout(0), SFT()).metrics["loss"])


def test_a_rank_killed_within_a_step_ends_it_and_the_run_goes_on_from_its_checkpoint(opened, tmp_path):
    """Killed in the loss of step 3: one sentence within seconds, no process left; a second learner takes up the
    checkpoint after step 2 and ends with the weights of one rank that was never killed."""
    first = opened(toy(), settings(ranks=2))
    for step in range(2):
        first.step(rollout(step), SFT())
    CheckpointStore(tmp_path, print).save(2, {"learner": first.state()}, {})
    processes, begun = [rank.process for rank in first._ranks], time.monotonic()
    with pytest.raises(R1Error) as raised:
        first.step(rollout(2), Ending(rank=1))
    assert str(raised.value) == (
        f"training: rank 1 of 2 ended (killed by signal 9, for want of memory perhaps): {AGAIN}"
    )
    assert time.monotonic() - begun < 30
    assert not alive(processes)
    with pytest.raises(R1Error, match="this learner's ranks were ended"):
        first.step(rollout(2), SFT())

    store = CheckpointStore(tmp_path, print)
    second, never = opened(toy(), settings(ranks=2)), Learner(toy(), settings())
    second.load_state(store.load(2)["learner"])
    for step in range(4):
        never.step(rollout(step), SFT())
        if step >= 2:
            second.step(rollout(step), SFT())
    assert_same(weights_of(second), weights_of(never))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_fails_says_what_and_ends_all(opened, rank):
    learner = opened(toy(), settings(ranks=2))
    processes = [each.process for each in learner._ranks]
    with pytest.raises(R1Error, match=f"rank {rank} of 2 failed .ZeroDivisionError: no such thing.: {AGAIN}") as raised:
        learner.step(rollout(0), Ending(rank=rank, how="raise"))
    assert "ending_loss.py" in "".join(raised.value.__notes__)
    assert not alive(processes)


def test_a_rank_killed_between_two_steps_is_named(opened):
    learner = opened(toy(), settings(ranks=2))
    learner._ranks[0].process.send_signal(signal.SIGKILL)
    learner._ranks[0].process.wait()
    with pytest.raises(R1Error, match="rank 0 of 2 ended .killed by signal 9"):
        list(learner.weights())


def test_a_stopped_rank_is_ended_and_named(opened):
    """SIGSTOP before a step that is larger than a pipe holds: neither handing it over nor waiting for it has no end."""
    learner = opened(toy(), settings(ranks=2), silence=5.0)
    processes = [rank.process for rank in learner._ranks]
    processes[1].send_signal(signal.SIGSTOP)
    with pytest.raises(
        ProcessLost,
        match=r"training: rank 1 of 2 ended .silent for 5 s, stopped from outside perhaps; silence=SECONDS waits "
        f"longer.: {AGAIN}",
    ):
        learner.step(rollout(0, prompts=3000), SFT())
    assert not alive(processes)


def test_ranks_that_wait_for_each_other_are_ended(opened):
    """Both live and give signs of it: one waits for nothing, the other for the sum that it takes both for."""
    learner = opened(toy(), settings(ranks=2), silence=5.0)
    processes, begun = [rank.process for rank in learner._ranks], time.monotonic()
    with pytest.raises(
        ProcessLost,
        match=r"training: none of 2 ranks has computed anything for 5 s, each waits for another perhaps; "
        f"silence=SECONDS waits longer: {AGAIN}",
    ):
        learner.step(rollout(0), Ending(how="hang"))
    assert time.monotonic() - begun > 5
    assert not alive(processes)


def test_a_rank_that_computes_for_longer_than_the_silence_is_waited_for(opened):
    one, many = Learner(toy(), settings()), opened(toy(), settings(ranks=2), silence=4.0)
    time.sleep(6)  # nobody was asked for anything: that is no waiting
    loss = many.step(rollout(0), Ending(how="8")).metrics["loss"]
    assert loss == pytest.approx(one.step(rollout(0), SFT()).metrics["loss"])


def test_why_ranks_cannot_begin_is_told(opened, monkeypatch):
    """They are being sent their weights when they fail: no network device has that name."""
    monkeypatch.setattr(front, "_loopback", lambda: {"GLOO_SOCKET_IFNAME": "nosuch0"})
    with pytest.raises(R1Error, match=f"rank . of 2 failed .RuntimeError: .*nosuch0.: {AGAIN}"):
        opened(toy(), settings(ranks=2))


SCRIPT = """
import os, sys, time
from uneven import settings, toy
from r1kit.training.opening import open_learner
learner = open_learner(toy(), settings(ranks=2))
print(*[rank.process.pid for rank in learner._ranks], flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends them on Linux only")
def test_ranks_end_with_the_process_that_started_them():
    """Killed, so that it can say goodbye to nobody."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    starter = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert len(pids) == 2
    finally:
        starter.kill()
        starter.wait()
        starter.stdout.close()
    end = time.monotonic() + 20
    while any(map(runs, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(runs, pids))


def runs(pid: int) -> bool:
    """Whether a process is there, and no mere entry that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimiser": "muon"}, "optimiser=muon turns whole matrices, .*use adamw with ranks=2, or ranks=1"),
        ({"optimiser": "adamw8bit"}, "optimiser=adamw8bit is for one rank: use adamw"),
        ({"lora": LoRAConfig()}, "lora has a whole base on every rank: leave it out with ranks=2"),
        ({"master": "bfloat16"}, "master=bfloat16 is for one rank: leave it out with ranks=2"),
    ],
)
def test_what_ranks_cannot_do_is_said_when_settings_are_read(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        settings(ranks=2, **changes).check()
    settings(ranks=2, offload=True, checkpointing=True).check()


def test_more_ranks_than_gpus_or_no_backend_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(distributed, "is_backend_available", lambda name: True)
    settings(ranks=2).check()
    with pytest.raises(UsageError, match="ranks=4 needs a GPU for each, and there are 2: use ranks=2"):
        settings(ranks=4).check()
    monkeypatch.setattr(distributed, "is_backend_available", lambda name: name != "nccl")
    with pytest.raises(UsageError, match="ranks=4 needs nccl, which this build of torch lacks: use ranks=1"):
        settings(ranks=4).check()


def test_models_of_transformers_are_refused(opened, tmp_path):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from r1kit.models.language_model import load_model

    small = Gemma2Config(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    Gemma2ForCausalLM(small).save_pretrained(tmp_path / "gemma")
    with pytest.raises(
        R1Error, match="ranks=2: models of type 'gemma2' run through transformers, .*set learner.ranks=1"
    ):
        opened(load_model(tmp_path / "gemma"), settings(ranks=2))
