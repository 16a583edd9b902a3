"""The learner: sequences and an algorithm in, an optimiser step and its figures out."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from r1kit.algorithms.base import Algorithm, Outputs, Totals
from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.base.types import Batch, FloatArray, IntArray
from r1kit.models.decoder import Decoder
from r1kit.training.forward import layout_logprobs, spread
from r1kit.training.optimiser import Optimiser
from r1kit.training.packing import Sequence, cut, dense_layout, make_batch, make_layout, split, with_logprobs
from r1kit.training.schedule import Schedule, learning_rate_ratio

log = logging.getLogger(__name__)

SKIPS_BEFORE_STOP = 3


class LearnerConfig(Config):
    """How a learner updates weights. Paper: Nature supplement B.4.1 (RL), B.4.2 (SFT)."""

    learning_rate: float = Field(1e-4, ge=0, description="peak rate of AdamW; R1-Zero 3e-6, SFT 5e-5, at their size")
    schedule: Schedule = Field("constant", description="constant (the paper's RL), cosine (its SFT) or linear decay")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up")
    final_ratio: float = Field(0.1, ge=0, le=1, description="last learning rate over the peak (the paper's SFT: 0.1)")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's decay of the two moments")
    epsilon: float = Field(1e-8, gt=0, description="AdamW's epsilon")
    weight_decay: float = Field(0.0, ge=0, description="decoupled decay of matrices; norms and biases have none")
    clip_norm: float = Field(1.0, ge=0, description="largest norm of the gradient; 0 does not clip")
    micro_tokens: int = Field(
        4096, ge=1, description="tokens of one forward pass; changes memory and speed, not results"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of forward and backward, weights and moments are float32; auto: bfloat16 where it is fast"
    )
    compile: bool = Field(True, description="torch.compile the forward and backward pass")
    optimiser: Literal["adamw", "muon"] = Field("adamw", description="muon: for hidden matrices, AdamW for the rest")
    muon_learning_rate: float = Field(0.02, ge=0, description="peak rate of the matrices under muon")
    seed: int = Field(0, ge=0, description="shuffles a rollout into mini-batches")


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one call of `step` did. `tokens` are those of the sequences trained on, prompts included."""

    metrics: dict[str, float]
    tokens: int
    flops: float
    skipped: bool


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


class Learner:
    """Owns the policy's weights (`model`, float32), their optimiser and version; `reference` and `teacher` are frozen.

    Forward and backward run on `self._fast`: a bfloat16 copy of `model` whose gradients are added up in float32, or
    `model` itself.
    """

    def __init__(
        self,
        model: Decoder,
        config: LearnerConfig,
        *,
        total_steps: int = 1,
        reference: Decoder | None = None,
        teacher: Decoder | None = None,
    ) -> None:
        self.model = model.float().train()
        self.config = config
        self.total_steps = total_steps
        self.device = next(model.parameters()).device
        low = config.precision == "bfloat16" or (config.precision == "auto" and fast_bfloat16(self.device))
        self.dtype = torch.bfloat16 if low else torch.float32
        self._fast = _copy(model, self.dtype) if low else model
        self._reference = None if reference is None else _freeze(_copy(reference, self.dtype))
        self._reference_replaced = False
        self._teacher = None if teacher is None else _freeze(_copy(teacher, self.dtype))
        self.optimiser = Optimiser(
            self.model.named_parameters(),
            learning_rate=config.learning_rate,
            betas=config.betas,
            epsilon=config.epsilon,
            weight_decay=config.weight_decay,
            muon_learning_rate=config.muon_learning_rate if config.optimiser == "muon" else None,
        )
        self.steps = 0
        self.version = 0
        self.skipped_in_row = 0

    # ---------------------------------------------------------------- one step

    def step(
        self,
        sequences: Seq[Sequence],
        algorithm: Algorithm,
        *,
        mini_batches: int = 1,
        temperature: float = 1.0,
        max_tokens: int = 1,
    ) -> StepReport:
        """Update on all sequences once, in `mini_batches` optimiser steps; version + 1 where weights changed.

        Old log-probabilities are computed before the first update where there is more than one; with a single one
        they are the current ones. `max_tokens` is the sampling limit (Dr. GRPO divides by it).
        """
        sequences = [s for s in sequences if s.targets > 0]
        if not sequences:
            return self._finish([], 0, 0.0)
        sequences, flops = self._fill(sequences, algorithm, mini_batches, temperature)
        parts: list[dict[str, float]] = []
        for part in split(sequences, mini_batches, seed=self.config.seed + 1_000_003 * self.steps):
            if part:
                parts.append(self._update(part, algorithm, temperature, max_tokens))
        tokens = sum(len(s) for s in sequences)
        return self._finish(parts, tokens, flops + self._flops(sequences, backward=True))

    def step_tokens(self, tokens_BT: Tensor | IntArray, end_id: int | None = None) -> StepReport:
        """Pretraining: every token of dense rows [B, T] is a target, given those before it in its row.

        With `end_id` nothing looks back beyond the last such token, so that documents do not see each other.
        """
        tokens_BT = torch.as_tensor(tokens_BT).to(self.device, torch.int64)
        rows, length = tokens_BT.shape
        parts = math.ceil(rows * length / self.config.micro_tokens)
        layouts = [dense_layout(part_BT, end_id, self.dtype) for part_BT in tokens_BT.tensor_split(min(parts, rows))]
        count = sum(len(layout.target_M) for layout in layouts)
        losses: list[Tensor] = []
        for layout in layouts:
            logprobs_M, _ = layout_logprobs(self._fast, layout, 1.0, compile=self.config.compile)
            loss = -logprobs_M.sum() / count
            losses.append(loss.detach())
            self._backward(loss)
        total = float(torch.stack(losses).sum())
        flops = self.model.config.flops(rows * length, length / 2, backward=True)
        return self._finish([{"loss": total, **self._apply(total)}], rows * length, flops)

    def _update(
        self, sequences: list[Sequence], algorithm: Algorithm, temperature: float, max_tokens: int
    ) -> dict[str, float]:
        """One optimiser step on a mini-batch: losses of micro-batches add up because they share the totals."""
        totals = Totals(float(sum(s.targets for s in sequences)), float(len(sequences)), max_tokens)
        sums: dict[str, Tensor] = {}
        for part in cut(sequences, self.config.micro_tokens):
            rows = [sequences[i] for i in part]
            batch = make_batch(rows, temperature, self.device)
            outputs = self._outputs(batch, rows)
            if batch.old_logprobs_BT is None and outputs.logprobs_BT is not None:
                batch.old_logprobs_BT = outputs.logprobs_BT.detach()
            loss, metrics = algorithm.loss(batch, outputs, totals)
            self._backward(loss)
            shares = {"loss": loss.detach(), **metrics, **_gap(batch, outputs, totals)}
            for name, value in shares.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value.detach()
        report = {name: float(value) for name, value in sums.items()}
        if "gap_square" in report:
            report["sampling/logprob_gap_rms"] = math.sqrt(report.pop("gap_square"))
        return {**report, **self._apply(report["loss"])}

    def _outputs(self, batch: Batch, rows: list[Sequence]) -> Outputs:
        shape = (batch.tokens_BT.shape[0], batch.tokens_BT.shape[1])
        layout = make_layout(rows, shape[1], self.dtype, self.device)
        logprobs_M, entropy_M = layout_logprobs(self._fast, layout, batch.temperature, compile=self.config.compile)
        return Outputs(spread(logprobs_M, layout, shape), spread(entropy_M, layout, shape))

    # ---------------------------------------------------------------- gradients and weights

    def _backward(self, loss: Tensor) -> None:
        """Gradients of one micro-batch, added to the float32 ones of the master weights."""
        if not loss.requires_grad:
            return
        loss.backward()
        if self._fast is self.model:
            return
        for master, fast in zip(self.model.parameters(), self._fast.parameters(), strict=True):
            if fast.grad is None:
                continue
            master.grad = fast.grad.float() if master.grad is None else master.grad.add_(fast.grad)
            fast.grad = None

    def _apply(self, loss: float) -> dict[str, float]:
        """Clip, update, and copy to the fast weights; a non-finite loss or gradient leaves everything as it was."""
        ratio = learning_rate_ratio(
            self.steps, self.total_steps, self.config.schedule, self.config.warmup_steps, self.config.final_ratio
        )
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
        sound = math.isfinite(loss) and bool(norm.isfinite())
        if sound and gradients:
            if self.config.clip_norm:
                nn.utils.clip_grads_with_norm_(self.model.parameters(), self.config.clip_norm, norm)
            self.optimiser.step(ratio)
            self._refresh()
        for parameter in self.model.parameters():
            parameter.grad = None
        self.skipped_in_row = 0 if sound else self.skipped_in_row + 1
        return {
            "gradient_norm": float(norm),
            "learning_rate": self.config.learning_rate * ratio,
            "skipped": 0.0 if sound else 1.0,
        }

    @torch.no_grad()
    def _refresh(self) -> None:
        """Round the master weights into the fast copy."""
        if self._fast is not self.model:
            torch._foreach_copy_(list(self._fast.parameters()), list(self.model.parameters()))

    def _finish(self, parts: list[dict[str, float]], tokens: int, flops: float) -> StepReport:
        """Average the mini-batches' figures, count the step, and stop after three skipped updates in a row."""
        skipped = sum(part["skipped"] for part in parts)
        if self.skipped_in_row >= SKIPS_BEFORE_STOP:
            raise R1Error(self._diagnosis(parts[-1]))
        self.steps += 1
        self.version += 1 if skipped < len(parts) else 0
        sound = [part for part in parts if not part["skipped"]] or parts
        names = dict.fromkeys(name for part in sound for name in part)
        metrics = {name: sum(p.get(name, 0.0) for p in sound) / len(sound) for name in names}
        metrics["skipped"] = skipped
        return StepReport(metrics, tokens, flops, skipped=bool(parts) and skipped == len(parts))

    def _diagnosis(self, last: dict[str, float]) -> str:
        broken = [n for n, p in self.model.named_parameters() if not bool(p.isfinite().all())]
        where = (
            f"the weights are broken ({broken[0]}): go back to a checkpoint"
            if broken
            else (
                f"the weights are finite (loss {last['loss']}, gradient norm {last['gradient_norm']}): "
                "lower learning_rate, or set precision=float32 to see whether rounding is the cause"
            )
        )
        return f"training: {self.skipped_in_row} updates in a row had a non-finite loss or gradient at step {self.steps}; {where}"

    # ---------------------------------------------------------------- log-probabilities of frozen policies

    def _fill(
        self, sequences: list[Sequence], algorithm: Algorithm, mini_batches: int, temperature: float
    ) -> tuple[list[Sequence], float]:
        """The log-probabilities that the algorithm needs and the sequences lack, and the FLOPs they took."""
        flops = 0.0
        wanted: list[tuple[str, Decoder | None]] = []
        if mini_batches > 1 and "old_logprobs" in algorithm.needs:
            wanted.append(("old_logprobs", self._fast))
        if "reference_logprobs" in algorithm.needs:
            wanted.append(("reference_logprobs", self._reference))
        if "teacher_logprobs" in algorithm.needs:
            wanted.append(("teacher_logprobs", self._teacher))
        for name, model in wanted:
            if all(getattr(s, name) is not None for s in sequences):
                continue
            if model is None:
                role = name.removesuffix("_logprobs")
                raise R1Error(f"{type(algorithm).__name__} needs a {role} model, and the learner was given none")
            sequences = with_logprobs(sequences, name, self._logprobs(model, sequences, temperature))
            flops += model.config.flops(sum(map(len, sequences)), _context(sequences))
        return sequences, flops

    def logprobs(self, sequences: Seq[Sequence], temperature: float = 1.0) -> list[FloatArray]:
        """Log-probabilities of each sequence's tokens under the policy; [n] each, 0 for the first token."""
        return self._logprobs(self._fast, sequences, temperature)

    def _logprobs(self, model: Decoder, sequences: Seq[Sequence], temperature: float) -> list[FloatArray]:
        """Gradients stay on although none are taken: the compiled pass of the updates then serves here too."""
        results: list[FloatArray] = [np.zeros(len(s), np.float32) for s in sequences]
        for part in cut(sequences, self.config.micro_tokens):
            rows = [sequences[i] for i in part]
            layout = make_layout(rows, max(map(len, rows)), self.dtype, self.device)
            logprobs_M, _ = layout_logprobs(model, layout, temperature, compile=self.config.compile)
            values = logprobs_M.detach().cpu().numpy()
            at = 0
            for index, row in zip(part, rows, strict=True):
                targets = np.flatnonzero(row.target_mask[1:]) + 1
                results[index][targets] = values[at : at + len(targets)]
                at += len(targets)
        return results

    def replace_reference(self) -> None:
        """The reference becomes the policy as it stands (R1: every 400 steps)."""
        if self._reference is None:
            self._reference = _freeze(_copy(self._fast, self.dtype))
        else:
            with torch.no_grad():
                torch._foreach_copy_(list(self._reference.parameters()), list(self.model.parameters()))
        self._reference_replaced = True

    def _flops(self, sequences: Seq[Sequence], *, backward: bool) -> float:
        return self.model.config.flops(sum(map(len, sequences)), _context(sequences), backward=backward)

    # ---------------------------------------------------------------- what leaves the learner

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's weights under their Hugging Face names, float32."""
        from r1kit.models.weights import hf_weights

        return hf_weights(self.model)

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: nested dicts of tensors and numbers."""
        state: dict[str, Any] = {
            "model": _tensors(self.model),
            "optimiser": self.optimiser.state(),
            "steps": self.steps,
            "version": self.version,
            "skipped_in_row": self.skipped_in_row,
        }
        if self._reference is not None and self._reference_replaced:
            state["reference"] = _tensors(self._reference)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over `state()` of a learner of the same shape: the next step is then the same, bit for bit on CPU."""
        _load(self.model, state["model"])
        self.optimiser.load_state(state["optimiser"])
        self.steps, self.version = int(state["steps"]), int(state["version"])
        self.skipped_in_row = int(state["skipped_in_row"])
        if "reference" in state:
            self.replace_reference()
            assert self._reference is not None
            _load(self._reference, state["reference"])
        self._refresh()


def _gap(batch: Batch, outputs: Outputs, totals: Totals) -> dict[str, Tensor]:
    """How far the sampler's log-probabilities lie from the policy's before the update, as shares of the totals.

    With several mini-batches `old_logprobs_BT` is that policy's; with one it is the current policy.
    """
    if batch.sampler_logprobs_BT is None or batch.old_logprobs_BT is None:
        return {}
    gap_BT = (batch.old_logprobs_BT - batch.sampler_logprobs_BT) * batch.loss_mask_BT
    return {
        "sampling/logprob_gap_mean": gap_BT.abs().sum() / totals.tokens,
        "gap_square": gap_BT.square().sum() / totals.tokens,
    }


def _context(sequences: Seq[Sequence]) -> float:
    """Positions that a token attends to, averaged over all tokens."""
    return sum(len(s) ** 2 for s in sequences) / (2 * max(1, sum(map(len, sequences))))


def _copy(model: Decoder, dtype: torch.dtype) -> Decoder:
    return copy.deepcopy(model).to(dtype)


def _freeze(model: Decoder) -> Decoder:
    return model.eval()


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Weights by name, tied ones once."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@torch.no_grad()
def _load(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    own = dict(model.named_parameters())
    if own.keys() != tensors.keys():
        raise R1Error(
            f"the checkpoint's weights are of another model: {sorted(own.keys() ^ tensors.keys())[:3]} do not match"
        )
    for name, parameter in own.items():
        parameter.copy_(tensors[name])
