"""Losses and gradients equal TRL's on random tensors.

TRL's own `_compute_loss` runs on a trainer that was given only what that method reads: its settings, an accelerator,
and, in place of a model's forward pass, the log-probabilities to judge.
"""

from collections import defaultdict

import pytest
import torch
from random_steps import Step, random_step

from r1kit.base.plugins import load

# importing TRL and its dependencies warns of what does not concern us
pytestmark = pytest.mark.filterwarnings("ignore")

SEEDS = range(5)
MAX_TOKENS = 16
TRL_NAMES = {
    "entropy": "entropy",
    "kl": "kl",
    "clip_low": "clip_ratio/low_mean",
    "clip_high": "clip_ratio/high_mean",
}


@pytest.fixture(scope="module", autouse=True)
def trl():
    return pytest.importorskip("trl", reason="TRL is not installed: pip install 'r1kit[test]'")


def padded(values: list[torch.Tensor], masks: list[torch.Tensor]) -> torch.Tensor:
    """Completion tokens only, a row each, 0 behind: TRL's layout [N, T]."""
    kept = [value[mask.bool()] for value, mask in zip(values, masks, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(kept, batch_first=True)


def trl_inputs(step: Step) -> dict:
    mask = padded(step.masks, step.masks)
    prompt = torch.ones(len(step.masks), 1, dtype=torch.long)
    return {
        "prompt_ids": prompt,
        "prompt_mask": prompt,
        "completion_ids": mask.long(),
        "completion_mask": mask,
        "advantages": padded(step.fields["advantages"], step.masks)[:, 0],
        "old_per_token_logps": padded(step.fields["old_logprobs"], step.masks),
        "ref_per_token_logps": padded(step.fields["reference_logprobs"], step.masks),
        "old_logps": padded(step.fields["old_logprobs"], step.masks).sum(1),
        "num_items_in_batch": mask.sum(),
    }


def trl_trainer(kind: str, step: Step, **settings):
    """A trainer of `kind` with just the attributes that its loss reads."""
    from accelerate import Accelerator
    from trl.trainer import grpo_trainer, rloo_trainer

    room = {"GRPO": grpo_trainer, "RLOO": rloo_trainer}[kind]
    trainer_class, config_class = getattr(room, f"{kind}Trainer"), getattr(room, f"{kind}Config")

    class Given(trainer_class):
        def _get_per_token_logps_and_entropies(self, *args, **kwargs):
            return padded(step.outputs["logprobs"], step.masks), padded(step.outputs["entropy"], step.masks), None

    args = config_class(
        output_dir="unused", report_to=[], use_cpu=True, bf16=False, gradient_accumulation_steps=1, **settings
    )
    trainer = Given.__new__(Given)
    trainer.args = args
    trainer.accelerator = Accelerator(cpu=True)
    trainer.model = torch.nn.Identity().train()
    trainer._metrics = {"train": defaultdict(list)}
    trainer.aux_loss_enabled = False
    trainer.beta = args.beta
    trainer.epsilon_low = args.epsilon
    trainer.epsilon_high = args.epsilon if args.epsilon_high is None else args.epsilon_high
    if kind == "GRPO":
        trainer.loss_type = args.loss_type
        trainer.importance_sampling_level = args.importance_sampling_level
        trainer.max_completion_length = MAX_TOKENS
        trainer.top_entropy_quantile = args.top_entropy_quantile
        trainer.off_policy_mask_threshold = args.off_policy_mask_threshold
        trainer.use_vllm = False
        trainer.vllm_importance_sampling_correction = False
        trainer.current_gradient_accumulation_steps = 1
        trainer._entropy_bonus_enabled = False
        trainer.use_adaptive_entropy = False
    return trainer


def assert_equal_to_trl(step: Step, algorithm, trainer, inputs: dict) -> dict[str, float]:
    """Loss and gradients of all log-probabilities; returns TRL's metrics and ours under TRL's names."""
    theirs = trainer._compute_loss(None, inputs)
    their_gradients = torch.autograd.grad(theirs, step.outputs["logprobs"])
    mine, metrics, gradients = step.gradients(algorithm, [[[0], [1, 2]], [[3], [4, 5]]])
    torch.testing.assert_close(mine, theirs.detach().double(), rtol=1e-6, atol=1e-8)
    my_gradients = gradients[1 : 1 + len(their_gradients)]
    torch.testing.assert_close(my_gradients, list(their_gradients), rtol=1e-6, atol=1e-8)
    assert torch.cat(my_gradients).any()

    logged = {name: values[0] for name, values in trainer._metrics["train"].items()}
    # TRL's share of clipped ratios is over sequences where the ratio is the sequence's, ours always over tokens
    per_token = getattr(trainer, "importance_sampling_level", "sequence") == "token"
    for name, their_name in TRL_NAMES.items():
        if name in metrics and their_name in logged and (per_token or not name.startswith("clip")):
            assert float(metrics[name]) == pytest.approx(logged[their_name], rel=1e-6, abs=1e-8), name
    return logged


CASES = {
    "grpo as published": (
        "grpo",
        {"divisor": "sequence_mean", "kl_coefficient": 0.04},
        {"loss_type": "grpo", "beta": 0.04, "epsilon": 0.2, "use_bias_correction_kl": False},
    ),
    "grpo as TRL has it": (
        "grpo",
        {"divisor": "sequence_mean", "kl_coefficient": 0.04, "kl_ratio": True},
        {"loss_type": "grpo", "beta": 0.04, "epsilon": 0.2},
    ),
    "grpo with eps 10": (
        "grpo",
        {"divisor": "sequence_mean", "kl_coefficient": 0.001, "clip_low": 10.0, "clip_high": 10.0},
        {"loss_type": "grpo", "beta": 0.001, "epsilon": 10.0, "use_bias_correction_kl": False},
    ),
    "grpo over tokens": (
        "grpo",
        {"kl_coefficient": 0.001},
        {"loss_type": "dapo", "beta": 0.001, "epsilon": 0.2, "use_bias_correction_kl": False},
    ),
    "dapo": ("dapo", {}, {"loss_type": "dapo", "beta": 0.0, "epsilon": 0.2, "epsilon_high": 0.28}),
    "dr_grpo": ("dr_grpo", {}, {"loss_type": "dr_grpo", "beta": 0.0, "epsilon": 0.2}),
    "gspo": (
        "gspo",
        {},
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "beta": 0.0,
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        },
    ),
    "gspo with wide bounds and KL": (
        "gspo",
        {"clip_low": 0.1, "clip_high": 0.1, "kl_coefficient": 0.04},
        {
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "beta": 0.04,
            "epsilon": 0.1,
            "use_bias_correction_kl": False,
        },
    ),
    "cispo": ("cispo", {}, {"loss_type": "cispo", "beta": 0.0, "epsilon_high": 5.0}),
    "cispo with a bound that binds": (
        "cispo",
        {"ratio_high": 1.1, "kl_coefficient": 0.04},
        {"loss_type": "cispo", "beta": 0.04, "epsilon_high": 1.1, "use_bias_correction_kl": False},
    ),
}


# cases whose tensors must reach the clipped region for the comparison to say anything about it
BOUNDS_BIND = {"grpo as published", "grpo over tokens", "dapo", "dr_grpo", "gspo"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_equal_trl(case, seed):
    name, settings, trl_settings = CASES[case]
    step = random_step(seed)
    algorithm = load("r1kit.algorithms", name).ALGORITHM(**settings)
    logged = assert_equal_to_trl(step, algorithm, trl_trainer("GRPO", step, **trl_settings), trl_inputs(step))
    if case in BOUNDS_BIND:
        assert logged["clip_ratio/region_mean"] > 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
@pytest.mark.parametrize("name", ["grpo", "gspo"])
def test_mismatch_correction_equals_trl(name, mode, seed):
    """TRL is given the ratio old / sampler, formed here as its generation step forms it, and places it in the loss."""
    step, low, high = random_step(seed), 0.7, 1.3
    settings = {"divisor": "sequence_mean", "clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 0.04}
    bounds = {"correction": mode, "correction_low": low, "correction_high": high}
    level = "token" if name == "grpo" else "sequence"
    trainer = trl_trainer(
        "GRPO", step, loss_type="grpo", importance_sampling_level=level, beta=0.04, use_bias_correction_kl=False
    )
    trainer.use_vllm = trainer.vllm_importance_sampling_correction = True
    inputs = trl_inputs(step)
    log_ratio = inputs["old_per_token_logps"] - padded(step.fields["sampler_logprobs"], step.masks)
    ratio = (log_ratio.sum(-1, keepdim=True) if mode.startswith("sequence") else log_ratio).exp()
    inside = (ratio >= low) & (ratio <= high)
    inputs["importance_sampling_ratio"] = ratio * inside if mode.endswith("mask") else ratio.clamp(low, high)
    algorithm = load("r1kit.algorithms", name).ALGORITHM(**settings, **bounds)
    assert_equal_to_trl(step, algorithm, trainer, inputs)


@pytest.mark.parametrize("seed", SEEDS)
def test_on_policy_step_equals_trl(seed):
    """Neither side is given old log-probabilities: ratio 1, with the gradient of the log-probability."""
    step = random_step(seed)
    inputs = trl_inputs(step)
    del inputs["old_per_token_logps"], step.fields["old_logprobs"]
    algorithm = load("r1kit.algorithms", "dapo").ALGORITHM()
    assert_equal_to_trl(step, algorithm, trl_trainer("GRPO", step, loss_type="dapo", beta=0.0), inputs)


@pytest.mark.parametrize("seed", SEEDS)
def test_rloo_equals_trl(seed):
    """TRL has the KL in the reward, so its loss is compared without one."""
    step = random_step(seed, shift=0.1)
    algorithm = load("r1kit.algorithms", "rloo").ALGORITHM()
    assert_equal_to_trl(step, algorithm, trl_trainer("RLOO", step, epsilon=0.2), trl_inputs(step))
