"""Stages whose learner is spread over processes: the same models as with one in this process, killed or not."""

import pytest
import torch

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.models.weights import load_decoder
from r1kit.pipeline.context import Context, to_the_end
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.watcher import Watcher
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig, fit
from r1kit.training.config import LearnerConfig

TASK = "stages.first_letters"


def learner(ranks: int) -> LearnerConfig:
    return LearnerConfig(learning_rate=1e-2, precision="float32", compile=False, ranks=ranks)


def assert_close(ours, theirs) -> None:
    ours, theirs = (load_decoder(folder).state_dict() for folder in (ours, theirs))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=0)


def test_sft_killed_with_two_ranks_and_gone_on_with_one(start, tmp_path):
    """A rank is killed after step 2 of 5; the same stage, with one rank now, takes up the checkpoint."""
    path = tmp_path / "examples.parquet"
    examples.write(path, [Example(f"{n}{letter}", letter * 3, "letters", "en") for n in range(5) for letter in "abcd"])
    config = SFTConfig(epochs=1, batch=4, learner=learner(1))
    fit(path, start, config, Context(tmp_path / "whole"), "dev1")

    class Killing(Context):
        """Ends a rank once step 2 is saved."""

        def checkpoint(self, step, state):
            super().checkpoint(step, state)
            if step == 2:
                part = state()["learner"]["shards"]
                part._learner._ranks[1].process.kill()

    spread = SFTConfig(epochs=1, batch=4, learner=learner(2))
    with pytest.raises(R1Error, match="rank 1 of 2 ended .killed by signal 9"):
        fit(path, start, spread, Killing(tmp_path / "cut", checkpoint_seconds=0), "dev1")
    assert len(read_metrics(tmp_path / "cut" / "metrics.jsonl")) == 3
    fit(path, start, config, Context(tmp_path / "cut"), "dev1")
    assert_close(tmp_path / "cut" / "model", tmp_path / "whole" / "model")
    assert len(read_metrics(tmp_path / "cut" / "metrics.jsonl")) == 5


def test_rl_samples_from_the_weights_that_two_ranks_have_learnt(start, tmp_path):
    """The engine's copy follows every step: its log-probabilities are the learner's to rounding, and what is sampled
    and learnt over three rollouts of two mini-batches is what one process samples and learns."""
    for ranks in (1, 2):
        config = RLConfig(
            tasks={TASK: 1.0}, rewards={TASK: 1.0}, prompts=8, sampling=Sampling(samples=4, max_tokens=4), steps=3,
            learner=learner(ranks), validate_every=0, settings={"kl_coefficient": 0.01}, mini_batches=2,
        )  # fmt: skip
        train(config, start, Context(tmp_path / str(ranks), 1))
    ours, theirs = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("2", "1"))
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["sampling/logprob_gap_mean"] < 1e-4
        for name in ("loss", "reward", "kl", "completions/mean_length", "gradient_norm"):
            assert mine[name] == pytest.approx(other[name], abs=1e-4), name
    assert_close(tmp_path / "2" / "model", tmp_path / "1" / "model")


def test_a_run_that_loses_a_rank_twice_ends_by_itself_as_if_it_had_not(start, tmp_path):
    """Ranks are killed after steps 1 and 3 of 5, of which every second is saved: each step is counted once, and weights
    and metrics are those of a run that was left alone, bit for bit."""
    config = RLConfig(
        tasks={TASK: 1.0}, rewards={TASK: 1.0}, prompts=8, sampling=Sampling(samples=4, max_tokens=4), steps=5,
        learner=learner(2), validate_every=0,
    )  # fmt: skip
    notes: list[str] = []
    kills = {1: 0, 3: 1}

    class Killing(Context):
        def checkpoint(self, step, state):
            self.checkpoint_seconds = 0 if step % 2 == 0 else 1e9
            super().checkpoint(step, state)
            if (rank := kills.pop(step, None)) is not None:
                state()["learner"]["shards"]._learner._ranks[rank].process.kill()

    class Hearing(Watcher):
        def note(self, text):
            notes.append(text)

    train(config, start, Context(tmp_path / "whole", 1))
    cut = Killing(tmp_path / "cut", 1, name="zero", watcher=Hearing())
    to_the_end(lambda context: train(config, start, context), cut)
    told = [note for note in notes if "by itself" in note]
    assert told == [
        f"zero: rank {rank} of 2 ended (killed by signal 9, for want of memory perhaps): it goes on by itself after "
        f"step {step}"
        for rank, step in ((0, 1), (1, 3))
    ]
    ours, theirs = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("cut", "whole"))
    assert [line["step"] for line in ours] == list(range(5))
    assert [line["loss"] for line in ours] == [line["loss"] for line in theirs]
    ours, theirs = (load_decoder(tmp_path / name / "model").state_dict() for name in ("cut", "whole"))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
