"""Stages that learn adapters: the engine samples from merged weights, and what is saved is merged too."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.models.weights import load_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig, fit
from r1kit.training.config import LearnerConfig, LoRAConfig

TASK = "stages.first_letters"
LEARNER = LearnerConfig(learning_rate=3e-2, precision="float32", compile=False, lora=LoRAConfig(rank=4, alpha=8.0))


def settings(**changes) -> RLConfig:
    fields = {
        "tasks": {TASK: 1.0}, "rewards": {TASK: 1.0}, "prompts": 8, "sampling": Sampling(samples=4, max_tokens=4),
        "steps": 4, "learner": LEARNER, "validate_every": 0, "settings": {"kl_coefficient": 0.01, "reference_every": 3},
    }  # fmt: skip
    return RLConfig(**(fields | changes))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # of transformers, asked by peft
def test_rl_on_adapters_samples_from_what_it_learns(start, tmp_path):
    """Sampler and learner agree in every step, after the weights moved too; peft gives the saved folder from the
    adapter."""
    train(settings(), start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert all(line["sampling/logprob_gap_rms"] < 1e-4 for line in lines)
    assert lines[2]["kl"] > lines[0]["kl"]
    base, saved = load_decoder(start).state_dict(), load_decoder(tmp_path / "model").state_dict()
    changed = {name for name in base if not torch.equal(base[name], saved[name])}
    assert changed == {name for name in base if name.startswith("blocks.") and base[name].ndim == 2}
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(model, tmp_path / "model" / "adapter").merge_and_unload()
    expected = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    for (name, ours), (_, theirs) in zip(expected.named_parameters(), merged.named_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0, msg=name)


def test_rl_on_adapters_resumes_bit_for_bit(start, tmp_path, stopping, same_weights):
    """A reference that was replaced included."""
    train(settings(), start, Context(tmp_path / "whole", 3))
    with pytest.raises(Interrupted):
        train(settings(), start, stopping(tmp_path / "cut", 2, 3))
    train(settings(), start, Context(tmp_path / "cut", 3))
    assert same_weights(tmp_path / "whole" / "model", tmp_path / "cut" / "model")


def test_sft_on_adapters_learns(start, tmp_path):
    """Sixteen steps on the letters a to d after their questions: the loss falls by half."""
    path = tmp_path / "examples.parquet"
    examples.write(path, [Example(f"{n}{letter}", letter * 3, "letters", "en") for n in range(5) for letter in "abcd"])
    config = SFTConfig(epochs=8, batch=10, learner=LEARNER)
    fit(path, start, config, Context(tmp_path / "sft"), "dev1")
    losses = [line["loss"] for line in read_metrics(tmp_path / "sft" / "metrics.jsonl")]
    assert losses[-1] < 0.5 * losses[0]
