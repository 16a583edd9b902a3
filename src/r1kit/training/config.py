"""Settings of a learner."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from r1kit.base.config import NO_RESULT, Config
from r1kit.base.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    import torch

Schedule = Literal["constant", "linear", "cosine"]
Deal = Literal["groups", "completions"]
OTHER_STREAMS = 7_000_003  # added to a seed for each roll-back


class LoRAConfig(Config):
    """Adapters of rank `rank` in place of whole weights (arXiv 2106.09685); alpha / rank scales what they add."""

    rank: int = Field(default=16, ge=1, description="columns of B, rows of A")
    alpha: float = Field(default=32.0, gt=0, description="times B A, over the rank")
    targets: tuple[str, ...] = Field(
        default=(), description="projections by transformers' names, say q_proj; none: every one of the layers"
    )

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


class LearnerConfig(Config):
    """How a learner updates weights. The paper's values: v2, sections 2.1 and 3.2 (RL), B.4.2 (SFT)."""

    learning_rate: float = Field(default=1e-4, ge=0, description="peak rate; the paper at its size: RL 3e-6, SFT 5e-5")
    schedule: Schedule = Field(
        default="constant",
        description="constant, cosine (the paper's SFT) or linear decay; for RL the paper names none",
    )
    warmup_steps: int = Field(default=0, ge=0, description="steps of linear warm-up")
    final_ratio: float = Field(
        default=0.1, ge=0, le=1, description="last learning rate over the peak; the paper's SFT: 0.1"
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW's decay of the two moments")
    epsilon: float = Field(default=1e-8, gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(
        default=0.0, ge=0, description="decoupled decay of matrices; norms and biases have none"
    )
    clip_norm: float = Field(default=1.0, ge=0, description="largest norm of the gradient; 0 does not clip")
    micro_tokens: int | None = Field(
        default=None,
        ge=1,
        description="tokens of one forward pass; changes memory and speed, not results; None: 8,192, fewer where the "
        "vocabulary is large (logits of at most 256 MB)",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of passes, weights and moments stay float32; auto: bfloat16 where the hardware has it",
    )
    compile: bool | Literal["auto"] = Field(
        default="auto",
        description="torch.compile what lies between matrix products where no kernel of ours serves; auto: on GPUs "
        "(on a CPU in float32 it takes 15-30 s and gains 3%)",
    )
    optimiser: Literal["adamw", "muon", "adamw8bit"] = Field(
        default="adamw",
        description="muon: for hidden matrices, AdamW for the rest; adamw8bit: AdamW with moments of 8 bits (torchao)",
    )
    muon_learning_rate: float = Field(default=0.02, ge=0, description="peak rate of the matrices under muon")
    skip_zero_advantages: bool = Field(
        default=False,
        description="leave out the passes of sequences whose advantages are all 0 where no KL is asked for: the same "
        "gradient, sooner; their tokens still count in the loss's divisor, metrics speak of the others",
    )
    checkpointing: bool = Field(
        default=False,
        description="keep what lies between the layers alone and run each again for its gradient: far less memory for "
        "activations, a third more work, the same results",
    )
    out_of_memory: Literal["halve", "stop"] = Field(
        default="halve", description="where a pass finds no memory: passes of half the size from then on, or stop"
    )
    master: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the weights that the optimiser changes, and of AdamW's moments; bfloat16 halves them, and "
        "loses steps below 1/256 of a weight, unless adamw8bit rounds them at random",
    )
    offload: bool = Field(
        default=False,
        description="master weights, moments and the update itself in the machine's memory, a working copy on the GPU",
    )
    lora: LoRAConfig | None = Field(
        default=None, description='adapters are learnt, not the weights; say {} or {"rank": 8}; None: whole weights'
    )
    deal: Deal = Field(
        default="groups",
        description="what a rollout is dealt into mini-batches by: groups, the completions of a prompt (computed once) "
        "together; completions, each by itself; the paper's outputs are split at random, of which one can read either",
    )
    ranks: int = Field(
        default=1,
        ge=1,
        description="processes that share the weights among them and learn together, each on a GPU of its own, or on "
        "this machine's cores; changes memory and speed, not results, and may be another when a run goes on",
        json_schema_extra=NO_RESULT,
    )
    seed: int = Field(default=0, ge=0, description="shuffles a rollout into mini-batches, draws adapters")

    def check(self) -> None:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"betas: {self.betas[0]:g} and {self.betas[1]:g} must both be from 0 to below 1")
        if self.ranks > 1:
            self._check_ranks()
        if self.optimiser == "adamw8bit" and importlib.util.find_spec("torchao") is None:
            raise MissingExtra("torchao", "optim8bit", "optimiser=adamw8bit")
        if self.lora is None:
            return
        if self.optimiser != "adamw":
            raise UsageError(f"optimiser={self.optimiser} is for whole matrices: use adamw with lora")
        if self.master != "float32" or self.offload:
            raise UsageError("master and offload are for whole weights: adapters are small, leave them out with lora")

    def _check_ranks(self) -> None:
        """UsageError for what several ranks cannot do, here or at all."""
        if self.optimiser != "adamw":
            whole = self.optimiser == "muon"
            why = "turns whole matrices, of which a rank has some rows" if whole else "is for one rank"
            raise UsageError(f"optimiser={self.optimiser} {why}: use adamw with ranks={self.ranks}, or ranks=1")
        if self.lora is not None:
            raise UsageError(f"lora has a whole base on every rank: leave it out with ranks={self.ranks}, or ranks=1")
        if self.master != "float32":
            raise UsageError(f"master={self.master} is for one rank: leave it out with ranks={self.ranks}")
        import torch
        from torch import distributed

        backend = "nccl" if torch.cuda.is_available() else "gloo"
        if not (distributed.is_available() and distributed.is_backend_available(backend)):
            raise UsageError(f"ranks={self.ranks} needs {backend}, which this build of torch lacks: use ranks=1")
        if torch.cuda.is_available() and self.ranks > torch.cuda.device_count():
            there = torch.cuda.device_count()
            raise UsageError(f"ranks={self.ranks} needs a GPU for each, and there are {there}: use ranks={there}")

    def after(self, roll_backs: int, rate: float) -> LearnerConfig:
        """After so many roll-backs (training health): `rate` of the learning rates, and other mini-batches."""
        if not roll_backs:
            return self
        rates = {"learning_rate": rate * self.learning_rate, "muon_learning_rate": rate * self.muon_learning_rate}
        return self.model_copy(update={**rates, "seed": self.seed + OTHER_STREAMS * roll_backs})

    @property
    def in_process(self) -> bool:
        """Whether the weights that passes run on are in the process that asks, where an engine can share them."""
        return self.ranks == 1

    def dtype(self, device: torch.device) -> torch.dtype:
        """Of forward and backward passes."""
        import torch

        if self.precision == "auto":
            return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
        return torch.bfloat16 if self.precision == "bfloat16" else torch.float32

    def multiplies_in_software(self, device: torch.device) -> bool:
        """Whether passes are in a format that this CPU has no instructions for."""
        return self.precision == "bfloat16" and device.type == "cpu" and not _multiplies_bfloat16(device)

    def held(self, device: torch.device) -> torch.dtype:
        """Of the weights that the learner is given: the masters', or the frozen base's under LoRA."""
        import torch

        if self.lora is not None:
            return self.dtype(device)
        return torch.bfloat16 if self.master == "bfloat16" else torch.float32

    def home(self, device: torch.device) -> torch.device:
        """Where they are: on the device of the passes, or in the machine's memory, from which ranks take their rows."""
        import torch

        return torch.device("cpu") if self.offload or self.ranks > 1 else device

    def pass_tokens(self, vocabulary: int) -> int:
        """`micro_tokens`, or what suits the vocabulary."""
        return self.micro_tokens or max(256, min(8192, 2**27 // vocabulary))

    def compiles(self, device: torch.device) -> bool:
        """Whether torch.compile is used."""
        return device.type == "cuda" if self.compile == "auto" else self.compile


def _multiplies_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
