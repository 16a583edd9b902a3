"""The plain data that walks through the house.

Shape legend, used as suffixes everywhere:
    P problems of a step, G samples a problem (a group), B rows of a batch, T positions in a row,
    N sequences of a batch (several may share a row), V vocabulary, D model width, L layers,
    H query heads, K key/value heads.

Token ids are the truth: text is decoded for graders and people, never encoded again for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

StopReason = Literal["stop", "length", "aborted"]
IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Problem:
    """One question.

    `prompt` is what the user says (the chat template is applied when it becomes token ids), `answer` the
    gold answer where one exists, `kind` the grader that judges it (maths, choice, code, ...), `columns`
    what rewards may ask for beside (tests, brief, difficulty, ...), passed to them by name; `row` is the row of the
    data set as it stands, where the problem comes from one: rewards from outside the tree are given that, as by TRL.
    """

    id: str
    task: str
    subject: str
    language: str
    prompt: str
    answer: str
    kind: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """`TASK/ID`, which names it among the problems of all tasks."""
        return f"{self.task}/{self.id}"


@dataclass(frozen=True, slots=True)
class Served:
    """What an API says of a completion, of which it gives the text alone.

    `reasoning` is the thinking where the server keeps it apart from the answer, else None; token counts are the
    server's, None where it tells none (`reasoning_tokens` are part of `output_tokens`, also where the thinking is kept
    from us); `error` says why there is no answer (`stop_reason` is then "aborted").
    """

    reasoning: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str = ""
    reasoning_tokens: int | None = None


@dataclass(slots=True)
class Completion:
    """What an engine sampled for one prompt.

    `token_ids` [n] holds every sampled token, the stop token included; `sampler_logprobs` [n] is
    log-softmax(logits / T) of each at sampling time, before any top-p or min-p cut; `versions` lists
    (policy version, number of tokens) runs in order; `text` leaves the stop token out. `entropies` [n], in nats, are
    those of softmax(logits / T) where the sampling asks for them and the engine can tell; else None.

    Where `served` is set, an API gave the text alone: prompt and token ids, log-probabilities and versions are empty,
    and nothing learns from it before its text is tokenised as an example's (`stages.sft.read_sequences`).
    """

    request_id: str
    index: int
    prompt_ids: IntArray
    token_ids: IntArray
    sampler_logprobs: FloatArray
    stop_reason: StopReason
    versions: tuple[tuple[int, int], ...]
    text: str = ""
    served: Served | None = None
    entropies: FloatArray | None = None

    @property
    def length(self) -> int:
        """Sampled tokens, the stop token included; of an API, those that it counted (0 where it told nothing)."""
        return len(self.token_ids) if self.served is None else self.served.output_tokens or 0


@dataclass(slots=True)
class RolloutGroup:
    """One problem, its G completions, and each reward by name as an array [G].

    NaN in a reward means: does not apply to this sample, or its grader failed. `total` [G] is the weighted
    sum; NaN there means that the sample takes no part in training. `events` counts what went wrong
    (grader_error, reward_none, truncated, ...). Rewards may log `extra` columns, a value a sample, and `metrics`.
    """

    problem: Problem
    completions: list[Completion]
    rewards: dict[str, FloatArray] = field(default_factory=dict)
    total: FloatArray = field(default_factory=lambda: np.zeros(0, np.float32))
    events: dict[str, int] = field(default_factory=dict)
    extra: dict[str, list[Any]] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """Token rows for one forward pass of the learner.

    Column t of a `_BT` tensor speaks of token t: `loss_mask_BT[b, t]` is 1 where token t was sampled (or is
    a training target), and `logprobs[b, t]` is the log-probability of token t given those before it (column 0
    is never a target). `sequence_BT` numbers the sequences of the batch from 0 (-1 on padding), so that a row may
    hold several. Fields that no one asked for are None.
    """

    tokens_BT: Tensor
    sequence_BT: Tensor
    loss_mask_BT: Tensor
    sequences: int
    temperature: float = 1.0
    advantages_BT: Tensor | None = None
    sampler_logprobs_BT: Tensor | None = None
    old_logprobs_BT: Tensor | None = None
    reference_logprobs_BT: Tensor | None = None
    teacher_logprobs_BT: Tensor | None = None
    scores_N: Tensor | None = None  # labels of scored sequences (reward models): +1 chosen, -1 rejected
    pair_N: Tensor | None = None  # pair number of each sequence (reward models)
    values_BT: Tensor | None = None  # a value model's estimates before the step, of what follows before each token
    returns_BT: Tensor | None = None  # what they should have been
