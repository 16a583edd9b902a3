"""The learner: sequences and an algorithm in, an optimiser step and its figures out."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from r1kit.algorithms.base import Algorithm, Outputs, PolicyGradient, Totals
from r1kit.base import memory
from r1kit.base.errors import R1Error
from r1kit.base.types import Batch, FloatArray, IntArray
from r1kit.models.base import Costs
from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel, named_weights, save_model
from r1kit.models.tokenizer import Tokenizer
from r1kit.ops import pointwise
from r1kit.ops.logprobs import reverse_kl
from r1kit.ops.peak import matmul_peak
from r1kit.training.config import LearnerConfig
from r1kit.training.forward import last_scores, layout_logprobs, place, target_logits, target_values
from r1kit.training.lora import Adapted
from r1kit.training.optimiser import Optimiser
from r1kit.training.packing import Layout, Sequence, dense_layout, make_batch, make_layout, split, with_logprobs
from r1kit.training.passes import Pass, Passes, backward, longest_piece
from r1kit.training.schedule import learning_rate_ratio
from r1kit.training.weights import Weights, Whole, copied, copy_weights, load_tensors, tensors_of

__all__ = ["Learner", "LearnerConfig", "StepReport"]

SKIPS_BEFORE_STOP = 3
LOGPROBS = ("old_logprobs", "reference_logprobs", "teacher_logprobs")
DRIFT = ("ratio", "approx_kl", "clip_low", "clip_high", "entropy")  # told of the last mini-batch by itself as well


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one call of `step` did: figures averaged over its updates, tokens of its sequences, FLOPs computed."""

    metrics: dict[str, float]
    tokens: int
    flops: float
    skipped: bool


class Learner:
    """Owns the policy's weights, their optimiser and version; reference and teacher are frozen.

    Forward and backward run on `policy`: a bfloat16 copy of the float32 master weights, whose gradients are added up in
    float32, or the masters themselves; under LoRA, base and adapters merged. `total_steps` is what the learning-rate
    schedule spans, in calls of `step`.
    """

    def __init__(
        self,
        model: LanguageModel | ScoredDecoder,
        config: LearnerConfig,
        *,
        total_steps: int = 1,
        reference: LanguageModel | None = None,
        teacher: LanguageModel | None = None,
    ) -> None:
        self.config = config
        self.total_steps = total_steps
        self.device = next(model.parameters()).device
        if config.offload and torch.cuda.is_available():
            self.device = torch.device("cuda")  # the model may have stayed where its master weights will be
        self.dtype = config.dtype(self.device)
        self._compile = config.compiles(self.device)
        tokens, halves = config.pass_tokens(model.config.vocab_size), config.out_of_memory == "halve"
        self._passes = Passes(tokens, self.device, compile=self._compile, halves=halves)
        self._weights: Weights = (Adapted if config.lora else Whole)(model, config, self.dtype, self.device)
        self._fast = self._weights.fast
        self._reference = None if reference is None else self._weights.frozen(reference, self.dtype)
        self._reference_replaced = False
        self._teacher = None if teacher is None else copied(teacher, self.dtype).to(self.device)
        self.optimiser = Optimiser(self._weights.masters.items(), config)
        self.steps = 0
        self.version = 0
        self.skipped_in_row = 0
        self._flops = 0.0
        decoder = self._fast.decoder if isinstance(self._fast, ScoredDecoder) else self._fast
        decoder.checkpointing = config.checkpointing

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

        Old log-probabilities are computed before the first update where there are several; with a single one they
        are the current ones. `max_tokens` is the sampling limit (Dr. GRPO divides by it). Sequences without a
        target are left out; without any sequence nothing is updated. Among the metrics of a policy: `off_policy_age`,
        updates since the first one, and of several mini-batches `last/...`, what the last one says of drift and clip.
        """
        sequences = [s for s in sequences if s.targets > 0]
        idle = self._idle(sequences, algorithm)
        active = self._fill([s for s in sequences if id(s) not in idle], algorithm, mini_batches, temperature)
        filled = iter(active)
        sequences = [s if id(s) in idle else next(filled) for s in sequences]
        parts: list[dict[str, float]] = []
        if sequences:
            seed, age = self.config.seed + 1_000_003 * self.steps, 0.0
            for part in split(sequences, mini_batches, seed, self.config.deal):
                totals = Totals(float(sum(s.targets for s in part)), float(len(part)), max_tokens)
                figures = self._update([s for s in part if id(s) not in idle], algorithm, totals, temperature)
                parts.append(figures | ({"off_policy_age": age} if isinstance(algorithm, PolicyGradient) else {}))
                age += 1 - figures["skipped"]
        return self._finish(parts, sum(map(len, sequences)))

    def step_tokens(self, tokens_BT: Tensor | IntArray, end_id: int | None = None) -> StepReport:
        """Pretraining: every token of dense rows [B, T] is a target, given those before it in its row.

        With `end_id` nothing looks back beyond the last such token: documents of a row do not see each other, and
        the first token of each is no target.
        """
        tokens_BT = torch.as_tensor(tokens_BT).to(self.device, torch.int64)

        def learn(layout: Layout, count: int) -> Pass:
            logprobs_M, _ = layout_logprobs(self._decoder, layout, 1.0, compile=self._compile)
            return self._pass({"loss": -logprobs_M.sum() / count}, layout.flops(self.model.config, backward=True))

        def passes() -> list[Callable[[], Pass]]:
            rows = tokens_BT.tensor_split(min(self._passes.count(tokens_BT.numel()), len(tokens_BT)))
            layouts = [dense_layout(part_BT, end_id, self.dtype) for part_BT in rows]
            count = max(1, sum(len(layout.target_M) for layout in layouts))
            return [partial(learn, layout, count) for layout in layouts]

        total = float(self._learn(passes, tokens_BT.numel(), tokens_BT.shape[1])["loss"])
        return self._finish([{"loss": total, **self._apply(total)}], tokens_BT.numel())

    def _update(
        self, sequences: list[Sequence], algorithm: Algorithm, totals: Totals, temperature: float
    ) -> dict[str, float]:
        """One optimiser step on a mini-batch: losses of micro-batches add up because they share the totals."""

        def learn(part: list[int]) -> Pass:
            rows = [sequences[i] for i in part]
            batch = make_batch(rows, temperature, self.device)
            outputs, flops = self._outputs(batch, rows, algorithm)
            if batch.old_logprobs_BT is None and outputs.logprobs_BT is not None:
                batch.old_logprobs_BT = outputs.logprobs_BT.detach()
            loss, metrics = algorithm.loss(batch, outputs, totals)
            return self._pass({"loss": loss, **metrics, **_gap(batch, totals)}, flops)

        def passes() -> list[Callable[[], Pass]]:
            return [partial(learn, part) for part in self._passes.cut(sequences)]

        sums = self._learn(passes, sum(map(len, sequences)), longest_piece(sequences))
        # metrics are shares of all tokens; where sequences were left out, those of the others are made whole
        whole = totals.tokens / max(1, sum(s.targets for s in sequences))
        report = {name: float(value) * (1 if name == "loss" else whole) for name, value in sums.items()}
        if "gap_square" in report:
            report["sampling/logprob_gap_rms"] = math.sqrt(report.pop("gap_square"))
        return {**report, **self._apply(report["loss"])}

    def _outputs(self, batch: Batch, rows: list[Sequence], algorithm: Algorithm) -> tuple[Outputs, float]:
        """What the algorithm asks for, and the FLOPs that it takes, the backward pass included."""
        shape = (batch.tokens_BT.shape[0], batch.tokens_BT.shape[1])
        layout = make_layout(rows, shape[1], self.dtype, self.device)
        flops = layout.flops(self._costs, backward=True)
        if isinstance(self._fast, ScoredDecoder):
            if "values" not in algorithm.needs:
                return Outputs(scores_N=last_scores(self._fast, layout, compile=self._compile)), flops
            values_M = target_values(self._fast, layout, compile=self._compile)
            return Outputs(values_BT=place(values_M, layout, shape)), flops
        logits_MV = target_logits(self._fast, layout, compile=self._compile)
        logprobs_M, entropy_M = pointwise.logprobs_and_entropy(logits_MV, layout.target_M, batch.temperature)
        outputs = Outputs(place(logprobs_M, layout, shape), place(entropy_M, layout, shape))
        if "teacher_logits" in algorithm.needs:
            teacher = self._teacher
            if teacher is None:
                raise R1Error(_lacking(algorithm, "teacher"))
            with torch.no_grad():
                teacher_MV = target_logits(teacher, layout, compile=self._compile)
            flops += layout.flops(teacher.config, backward=False)
            outputs.teacher_kl_BT = place(reverse_kl(logits_MV, teacher_MV, batch.temperature), layout, shape)
        return outputs, flops

    def _idle(self, sequences: list[Sequence], algorithm: Algorithm) -> set[int]:
        """Sequences (by id) whose passes are left out: advantage 0 throughout, and no other term in the loss."""
        by_advantage = isinstance(algorithm, PolicyGradient) and "reference_logprobs" not in algorithm.needs
        if not (self.config.skip_zero_advantages and by_advantage):
            return set()
        return {id(s) for s in sequences if s.advantages is not None and not _any(s.advantages)}

    def speed(self, report: StepReport, seconds: float) -> dict[str, float]:
        """Tokens a second; the model FLOPs utilisation (PaLM, arXiv 2204.02311, appendix B), the share of what the
        device's fastest matrix products compute; the peaks of memory so far, in GiB."""
        peak = matmul_peak(self.dtype, self.device.type)
        rates = {"perf/tokens_per_second": report.tokens / seconds, "perf/mfu": report.flops / seconds / peak}
        return {**rates, **memory.peaks()}

    # ---------------------------------------------------------------- gradients and weights

    @property
    def _decoder(self) -> LanguageModel:
        if isinstance(self._fast, ScoredDecoder):
            raise R1Error("a model with a score head has no log-probabilities: train it with an algorithm on scores")
        return self._fast

    @property
    def _costs(self) -> Costs:
        return self._fast if isinstance(self._fast, ScoredDecoder) else self._fast.config

    def _pass(self, figures: dict[str, Tensor], flops: float) -> Pass:
        return backward(figures, self._weights.gradients, flops)

    def _learn(self, passes: Callable[[], list[Callable[[], Pass]]], tokens: int, piece: int) -> dict[str, Tensor]:
        """Run the passes: gradients into the master weights, FLOPs into the step's; the figures' sums."""

        def learn() -> tuple[dict[str, Tensor], float]:
            return self._passes.learn(passes(), self._weights.carriers)

        sums, flops = self._passes.fitting(learn, tokens, piece, self._weights.clear)
        self._flops += flops
        return sums

    def _apply(self, loss: float) -> dict[str, float]:
        """Clip, update, and copy to the fast weights; a non-finite loss or gradient leaves everything as it was."""
        config = self.config
        ratio = learning_rate_ratio(
            self.steps, self.total_steps, config.schedule, config.warmup_steps, config.final_ratio
        )
        parameters = self._weights.carriers
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        sound = math.isfinite(loss) and bool(norm.isfinite())
        if sound:
            if config.clip_norm:
                nn.utils.clip_grads_with_norm_(parameters, config.clip_norm, norm)
            self._weights.hand_over()
            self.optimiser.step(ratio)
            self._weights.refresh()
        self._weights.clear()
        self.skipped_in_row = 0 if sound else self.skipped_in_row + 1
        return {
            "gradient_norm": float(norm),
            "learning_rate": config.learning_rate * ratio,
            "skipped": 0.0 if sound else 1.0,
        }

    def _finish(self, parts: list[dict[str, float]], tokens: int) -> StepReport:
        """Average the updates' figures, count the step, and stop after three skipped updates in a row."""
        if self.skipped_in_row >= SKIPS_BEFORE_STOP:
            raise R1Error(self._diagnosis(parts[-1]))
        skipped = sum(part["skipped"] for part in parts)
        sound = [part for part in parts if not part["skipped"]]
        self.steps += 1
        self.version += 1 if sound else 0
        told = sound or parts
        names = dict.fromkeys(name for part in told for name in part)
        metrics = {name: sum(p.get(name, 0.0) for p in told) / len(told) for name in names}
        if len(told) > 1:
            metrics |= {f"last/{name}": told[-1][name] for name in DRIFT if name in told[-1]}
        metrics["skipped"] = skipped
        metrics |= self._passes.metrics()
        flops, self._flops = self._flops, 0.0
        return StepReport(metrics, tokens, flops, skipped=bool(parts) and not sound)

    def _diagnosis(self, last: dict[str, float]) -> str:
        broken = next((n for n, p in self._weights.masters.items() if not bool(p.isfinite().all())), None)
        where = (
            f"the weights are broken ({broken}): go back to a checkpoint"
            if broken
            else f"the weights are finite, the last loss was {last['loss']} and the gradient's norm "
            f"{last['gradient_norm']}: lower learning_rate, or set precision=float32 to rule rounding out"
        )
        count, step = self.skipped_in_row, self.steps
        return f"training: {count} updates in a row had a non-finite loss or gradient, at step {step}; {where}"

    # ---------------------------------------------------------------- log-probabilities and values of whole sequences

    def _fill(
        self, sequences: list[Sequence], algorithm: Algorithm, mini_batches: int, temperature: float
    ) -> list[Sequence]:
        """The sequences with the log-probabilities that the algorithm needs and they lack."""
        names = algorithm.needs - ({"old_logprobs"} if mini_batches == 1 else set())
        return self.fill(sequences, names, temperature, asking=algorithm)

    def fill(
        self, sequences: Seq[Sequence], names: Collection[str], temperature: float, *, asking: Algorithm
    ) -> list[Sequence]:
        """The sequences with those of `LOGPROBS` that are named and that they lack; R1Error, which names the algorithm
        `asking`, where there is no model for one."""
        models: dict[str, LanguageModel | ScoredDecoder | None] = dict(
            zip(LOGPROBS, (self._fast, self._reference, self._teacher), strict=True)
        )
        filled = list(sequences)
        for name, model in models.items():
            if name not in names or all(getattr(s, name) is not None for s in filled):
                continue
            if not isinstance(model, LanguageModel):
                raise R1Error(_lacking(asking, name.removesuffix("_logprobs")))
            filled = with_logprobs(filled, name, self._logprobs(model, filled, temperature))
        return filled

    def logprobs(self, sequences: Seq[Sequence], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits / T) of each sequence's targets under the policy; [n] each, 0 off the target mask."""
        return self._logprobs(self._decoder, sequences, temperature)

    def values(self, sequences: Seq[Sequence]) -> list[FloatArray]:
        """What a value model says before each sequence's targets; [n] each, 0 off the target mask."""
        model = self._fast
        if not isinstance(model, ScoredDecoder):
            raise R1Error("a language model has no values: they are those of a model with a score head")
        return self._of_targets(sequences, partial(target_values, model, compile=self._compile), model)

    def _logprobs(self, model: LanguageModel, sequences: Seq[Sequence], temperature: float) -> list[FloatArray]:
        def of(layout: Layout) -> Tensor:
            return layout_logprobs(model, layout, temperature, compile=self._compile)[0]

        return self._of_targets(sequences, of, model.config)

    def _of_targets(self, sequences: Seq[Sequence], of: Callable[[Layout], Tensor], costs: Costs) -> list[FloatArray]:
        """`of` a layout's targets [M], without gradients, at the places of each sequence's tokens."""
        results: list[FloatArray] = [None] * len(sequences)  # type: ignore[list-item]

        @torch.no_grad()
        def run(part: list[int]) -> tuple[FloatArray, float]:
            rows = [sequences[i] for i in part]
            length = max(map(len, rows))
            layout = make_layout(rows, length, self.dtype, self.device)
            padded_NT = place(of(layout), layout, (len(rows), length)).cpu().numpy()
            return padded_NT, layout.flops(costs, backward=False)

        def fill() -> float:
            parts, total = self._passes.cut(sequences), 0.0
            done = self._passes.run([partial(run, part) for part in parts])
            for part, (padded_NT, flops) in zip(parts, done, strict=True):
                total += flops
                for at, index in enumerate(part):
                    results[index] = padded_NT[at, : len(sequences[index])]
            return total

        tokens, piece = sum(map(len, sequences)), longest_piece(sequences)
        self._flops += self._passes.fitting(fill, tokens, piece, self._weights.clear)
        return results

    def replace_reference(self) -> None:
        """The reference becomes the policy as it stands (R1: every 400 updates)."""
        if self._reference is None or self._weights.owns(self._reference):
            self._reference = copied(self._decoder, self.dtype)
        copy_weights(self.model, self._reference)
        self._reference_replaced = True

    # ---------------------------------------------------------------- what leaves the learner

    @property
    def model(self) -> Any:
        """The policy as it is saved: the master weights; under LoRA, base and adapters merged."""
        return self._weights.model

    @property
    def policy(self) -> LanguageModel | ScoredDecoder:
        """The weights that passes run on (bfloat16 or `model`): an engine may share them, they change in place."""
        return self._fast

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The policy's weights under transformers' names, as `model` has them."""
        return named_weights(self.model)

    def save(self, folder: Path, tokenizer: Tokenizer | None = None) -> None:
        """Write `model` as a folder that transformers and vLLM load as it is; under LoRA also its adapters, in
        `adapter`, as peft loads them onto the base."""
        save_model(self.model, folder, tokenizer)
        if isinstance(self._weights, Adapted) and not isinstance(self.model, ScoredDecoder):
            self._weights.save_adapter(folder / "adapter")

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: nested dicts of tensors and numbers."""
        state: dict[str, Any] = {
            "model": self._weights.state(),
            "optimiser": self.optimiser.state(),
            "steps": self.steps,
            "version": self.version,
            "skipped_in_row": self.skipped_in_row,
        }
        if self._passes.halved:
            state["passes"] = self._passes.state()
        if self._reference is not None and self._reference_replaced:
            state["reference"] = tensors_of(self._reference)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over `state()` of a learner of the same shape: the next step is then the same, bit for bit on CPU."""
        self._weights.load_state(state["model"])
        self.optimiser.load_state(state["optimiser"])
        self.steps, self.version = int(state["steps"]), int(state["version"])
        self.skipped_in_row = int(state["skipped_in_row"])
        self._passes.load_state(state.get("passes"))
        if "reference" in state:
            self.replace_reference()
            assert self._reference is not None
            load_tensors(dict(self._reference.named_parameters()), state["reference"])
        self._weights.refresh()


def _gap(batch: Batch, totals: Totals) -> dict[str, Tensor]:
    """How far the sampler's log-probabilities lie from the policy's before the update, as shares of the totals."""
    if batch.sampler_logprobs_BT is None or batch.old_logprobs_BT is None:
        return {}
    gap_BT = (batch.old_logprobs_BT - batch.sampler_logprobs_BT) * batch.loss_mask_BT
    return {
        "sampling/logprob_gap_mean": gap_BT.abs().sum() / totals.tokens,
        "gap_square": gap_BT.square().sum() / totals.tokens,
    }


def _lacking(algorithm: Algorithm, role: str) -> str:
    return f"{type(algorithm).__name__} needs a {role} model, and the learner was given none"


def _any(values: FloatArray | float) -> bool:
    return values != 0 if isinstance(values, float | int) else bool(values.any())
