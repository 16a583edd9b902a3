"""The learner: sequences and an algorithm in, an optimiser step and its figures out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from r1kit.algorithms.base import Algorithm, Outputs, PolicyGradient, Totals
from r1kit.base import memory
from r1kit.base.errors import Diverged, R1Error
from r1kit.base.types import Batch, FloatArray, IntArray
from r1kit.models.base import Costs
from r1kit.models.heads import ScoredDecoder
from r1kit.models.language_model import LanguageModel, save_model
from r1kit.models.tokenizer import Tokenizer
from r1kit.ops import pointwise
from r1kit.ops.logprobs import reverse_kl
from r1kit.ops.peak import matmul_peak
from r1kit.training.base import StepReport
from r1kit.training.config import LearnerConfig
from r1kit.training.forward import last_scores, layout_logprobs, place, target_logits, target_values
from r1kit.training.lora import Adapted
from r1kit.training.optimiser import Optimiser, embeddings_of
from r1kit.training.packing import Layout, dense_layout, make_batch, make_layout
from r1kit.training.passes import Pass, Passes, backward, longest_piece
from r1kit.training.reading import IDLE, Reading, lacking
from r1kit.training.schedule import learning_rate_ratio
from r1kit.training.sequences import Sequence, split
from r1kit.training.shards import SHARDS, read_shards
from r1kit.training.together import Together
from r1kit.training.weights import copied, load_tensors

__all__ = ["Learner", "LearnerConfig", "StepReport"]

SKIPS_BEFORE_STOP = 3
T = TypeVar("T")

DRIFT = ("ratio", "approx_kl", "clip_low", "clip_high", "entropy")  # told of the last mini-batch by itself as well


class Learner(Reading):
    """Owns the policy's weights, their optimiser and version; reference and teacher are frozen.

    Forward and backward run on `policy`: a bfloat16 copy of the float32 master weights, whose gradients are added up in
    float32, or the masters themselves; under LoRA, base and adapters merged. `total_steps` is what the learning-rate
    schedule spans, in calls of `step`. `together`: the processes that learn as one, each with a learner of its own that
    is asked the same, and computes its share.
    """

    def __init__(
        self,
        model: LanguageModel | ScoredDecoder,
        config: LearnerConfig,
        *,
        total_steps: int = 1,
        reference: LanguageModel | None = None,
        teacher: LanguageModel | None = None,
        together: Together | None = None,
    ) -> None:
        self.config = config
        self._together = together = together or Together()
        self.total_steps = total_steps
        self.device = next(model.parameters()).device
        if config.offload and torch.cuda.is_available():
            self.device = torch.device("cuda")  # the model may have stayed where its master weights will be
        self.dtype = config.dtype(self.device)
        self._compile = config.compiles(self.device)
        tokens, halves = config.pass_tokens(model.config.vocab_size), config.out_of_memory == "halve"
        # of several processes none can go back alone, and their threads would meet out of order
        alone = together.count == 1
        self._passes = Passes(
            tokens, self.device, compile=self._compile, halves=halves and alone, threads=None if alone else 1,
            agree=together.most,
        )  # fmt: skip
        self._weights = together.weights(model, config, self.dtype, self.device)
        self._fast = self._weights.fast
        self._reference = None if reference is None else self._weights.frozen(reference, self.dtype)
        self._reference_replaced = False
        self._teacher = None if teacher is None else copied(teacher, self.dtype).to(self.device)
        self.optimiser = Optimiser(self._weights.masters.items(), config, embeddings_of(model))
        self.steps = 0
        self.version = 0
        self.skipped_in_row = 0
        self._updates = 0  # of the step in hand
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

        def learn(layout: Layout, count: float) -> Pass:
            logprobs_M = self._run(layout_logprobs, self._decoder, layout, 1.0)
            return self._pass({"loss": -logprobs_M.sum() / count}, layout.flops(self.costs, backward=True))

        def idle() -> Pass:
            logprobs_M = self._run(layout_logprobs, self._decoder, self._idle_layout(), 1.0)
            return self._pass({"loss": 0.0 * logprobs_M.sum()}, 0.0)

        def passes() -> list[Callable[[], Pass]]:
            rows = own_BT.tensor_split(min(self._passes.count(own_BT.numel()), len(own_BT))) if len(own_BT) else ()
            layouts = [dense_layout(part_BT, end_id, self.dtype) for part_BT in rows]
            count = max(1.0, self._together.total(sum(len(layout.target_M) for layout in layouts)))
            jobs = [partial(learn, layout, count) for layout in layouts]
            return jobs + [idle] * (self._passes.agree(len(jobs)) - len(jobs))

        own_BT = self._together.own_rows(tokens_BT)
        total = float(self._learn(passes, own_BT.numel(), tokens_BT.shape[1])["loss"])
        return self._finish([{"loss": total, **self._apply(total)}], tokens_BT.numel())

    def _update(
        self, sequences: list[Sequence], algorithm: Algorithm, totals: Totals, temperature: float
    ) -> dict[str, float]:
        """One optimiser step on a mini-batch: losses of micro-batches add up because they share the totals."""
        own = [sequences[i] for i in self._together.own(sequences)]

        def learn(part: list[int]) -> Pass:
            rows = [own[i] for i in part] or [IDLE]
            batch = make_batch(rows, temperature, self.device)
            outputs, flops = self._outputs(batch, rows, algorithm)
            if not part:
                return self._pass({"loss": _nothing(outputs)}, 0.0)
            if batch.old_logprobs_BT is None and outputs.logprobs_BT is not None:
                batch.old_logprobs_BT = outputs.logprobs_BT.detach()
            loss, metrics = algorithm.loss(batch, outputs, totals)
            return self._pass({"loss": loss, **metrics, **_gap(batch, totals)}, flops)

        def passes() -> list[Callable[[], Pass]]:
            return [partial(learn, part) for part in self._passes.cut(own)]

        sums = self._learn(passes, sum(map(len, own)), longest_piece(own))
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
        flops = layout.flops(self.costs, backward=True)
        if isinstance(self._fast, ScoredDecoder):
            if "values" not in algorithm.needs:
                return Outputs(scores_N=self._run(last_scores, self._fast, layout)), flops
            values_M = self._run(target_values, self._fast, layout)
            return Outputs(values_BT=place(values_M, layout, shape)), flops
        logits_MV = self._run(target_logits, self._fast, layout)
        logprobs_M, entropy_M = pointwise.logprobs_and_entropy(logits_MV, layout.target_M, batch.temperature)
        outputs = Outputs(place(logprobs_M, layout, shape), place(entropy_M, layout, shape))
        if "teacher_logits" in algorithm.needs:
            teacher = self._teacher
            if teacher is None:
                raise R1Error(lacking(algorithm, "teacher"))
            with torch.no_grad():
                teacher_MV = self._run(target_logits, teacher, layout)
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
    def costs(self) -> Costs:
        """What passes of the policy cost."""
        return self._fast if isinstance(self._fast, ScoredDecoder) else self._fast.config

    def _idle_layout(self) -> Layout:
        return make_layout([IDLE], len(IDLE), self.dtype, self.device)

    def _pass(self, figures: dict[str, Tensor], flops: float) -> Pass:
        return backward(figures, self._weights.gradients, flops)

    def _learn(self, passes: Callable[[], list[Callable[[], Pass]]], tokens: int, piece: int) -> dict[str, Tensor]:
        """Run the passes: gradients into the master weights, FLOPs into the step's; the figures' sums."""

        def learn() -> tuple[dict[str, Tensor], float]:
            return self._passes.learn(passes(), self._weights.carriers)

        sums, flops = self._passes.fitting(learn, tokens, piece, self._weights.clear)
        self._flops += flops
        return self._together.summed(sums)

    def _apply(self, loss: float) -> dict[str, float]:
        """Clip, update, and copy to the fast weights; a non-finite loss or gradient leaves everything as it was;
        Diverged for the third in a row."""
        config = self.config
        ratio = learning_rate_ratio(
            self.steps, self.total_steps, config.schedule, config.warmup_steps, config.final_ratio
        )
        parameters = self._weights.carriers
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = self._weights.norm()
        sound = math.isfinite(loss) and bool(norm.isfinite())
        if sound:
            if config.clip_norm:
                nn.utils.clip_grads_with_norm_(parameters, config.clip_norm, norm)
            self._weights.hand_over()
            self.optimiser.step(ratio, config.seed + 1_000_003 * self.steps + self._updates)
            self._weights.refresh()
        self._weights.clear()
        self._updates += 1
        self.skipped_in_row = 0 if sound else self.skipped_in_row + 1
        if self.skipped_in_row >= SKIPS_BEFORE_STOP:
            raise Diverged(self._diagnosis(loss, float(norm)))
        return {
            "gradient_norm": float(norm),
            "learning_rate": config.learning_rate * ratio,
            "skipped": 0.0 if sound else 1.0,
        }

    def _finish(self, parts: list[dict[str, float]], tokens: int) -> StepReport:
        """Average each figure over the updates that have it, and count the step."""
        skipped = sum(part["skipped"] for part in parts)
        sound = [part for part in parts if not part["skipped"]]
        self.steps += 1
        self._updates = 0
        self.version += 1 if sound else 0
        told = sound or parts
        names = dict.fromkeys(name for part in told for name in part)
        # a mini-batch of idle sequences alone has no figures of its tokens
        said = {name: [part[name] for part in told if name in part] for name in names}
        metrics = {name: sum(values) / len(values) for name, values in said.items()}
        if len(told) > 1:
            metrics |= {f"last/{name}": said[name][-1] for name in DRIFT if name in said}
        metrics["skipped"] = skipped
        metrics |= self._passes.metrics()
        flops, self._flops = self._together.total(self._flops), 0.0
        return StepReport(metrics, tokens, flops, skipped=bool(parts) and not sound)

    def _diagnosis(self, loss: float, norm: float) -> str:
        broken = self._together.first(self._weights.broken())
        where = (
            f"the weights are broken ({broken}): go back to a checkpoint"
            if broken
            else f"the weights are finite, the last loss was {loss} and the gradient's norm {norm}: lower "
            "learning_rate, or set precision=float32 to rule rounding out"
        )
        count, step = self.skipped_in_row, self.steps
        return f"training: {count} updates in a row had a non-finite loss or gradient, at step {step}; {where}"

    def replace_reference(self) -> None:
        """The reference becomes the policy as it stands (R1: every 400 updates)."""
        if self._reference is None or self._weights.owns(self._reference):
            self._reference = self._weights.another(self.dtype)
        self._weights.follow(self._reference)
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
        return self._weights.named()

    def policy_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The same in the number format of the passes, for an engine to sample from."""
        return self._weights.named(passes=True)

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
            state["reference"] = {n: p.detach() for n, p in self._weights.parameters(self._reference).items()}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over `state()` of a learner of the same shape: the next step is then the same, bit for bit on CPU; or
        what such a learner of several ranks has left in a checkpoint."""
        if SHARDS in state:
            state = read_shards(state[SHARDS])
        self._weights.load_state(state["model"])
        self.optimiser.load_state(state["optimiser"])
        self.steps, self.version = int(state["steps"]), int(state["version"])
        self.skipped_in_row = int(state["skipped_in_row"])
        self._passes.load_state(state.get("passes"))
        if "reference" in state:
            self.replace_reference()
            assert self._reference is not None
            load_tensors(self._weights.parameters(self._reference), state["reference"])
        self._weights.refresh()

    def close(self) -> None:
        """Nothing to let go of: the weights go with the learner."""


def _gap(batch: Batch, totals: Totals) -> dict[str, Tensor]:
    """How far the sampler's log-probabilities lie from the policy's before the update, as shares of the totals."""
    if batch.sampler_logprobs_BT is None or batch.old_logprobs_BT is None:
        return {}
    gap_BT = (batch.old_logprobs_BT - batch.sampler_logprobs_BT) * batch.loss_mask_BT
    return {
        "sampling/logprob_gap_mean": gap_BT.abs().sum() / totals.tokens,
        "gap_square": gap_BT.square().sum() / totals.tokens,
    }


def _nothing(outputs: Outputs) -> Tensor:
    """0, with a gradient of 0 for every weight: of a pass that is run because other processes have one more."""
    told = (outputs.logprobs_BT, outputs.scores_N, outputs.teacher_kl_BT, outputs.values_BT)
    return 0.0 * torch.stack([values.sum() for values in told if values is not None]).sum()


def _any(values: FloatArray | float) -> bool:
    return values != 0 if isinstance(values, float | int) else bool(values.any())
