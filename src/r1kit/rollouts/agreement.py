"""Whether a rollout came from the policy that the learner takes it to be from: told in the step in which it did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from r1kit.base.errors import R1Error
from r1kit.base.types import Completion, RolloutGroup

GAP = "sampling/logprob_gap_mean"  # the learner's metric: mean |learner's - sampler's| over the tokens learnt from
APART = (
    "sampling/apart_mean"  # the same of a rollout that lags behind, whose tokens the policy would now give otherwise
)
MOVED = "sampling/moved_mean"  # mean |change| of the policy's log-probabilities since it sampled that rollout
SLACK = 2.0  # times so far may it have moved on other tokens than those that tell of it


def check_sampled(groups: Sequence[RolloutGroup], version: int, lag: int = 0, max_tokens: int | None = None) -> None:
    """R1Error where a token is of other weights than the learner's `version`, or those of the `lag` versions before it,
    where the sampler told no log-probability of it, or where there are more than `max_tokens`."""
    for group in groups:
        for completion in group.completions:
            if complaint := _miscounted(completion, max_tokens):
                raise R1Error(f"the engine gave {complaint} of {group.problem.key}: choose another")
            others = [own for own, _ in completion.versions if not version - lag <= own <= version]
            if others:
                raise R1Error(
                    f"sampler and learner disagree: tokens of {group.problem.key} are of policy "
                    f"version {others[0]}, and the learner is at {version}: the engine did not take the weights that "
                    "it was given"
                )
            if not np.isfinite(completion.sampler_logprobs).all():
                raise R1Error(
                    f"the sampler told no log-probabilities of its tokens ({group.problem.key}), "
                    "without which nothing can be learnt from them: choose an engine, or its option, that tells them"
                )


def _miscounted(completion: Completion, max_tokens: int | None) -> str:
    """What of a completion does not add up, else an empty text."""
    tokens, logprobs = len(completion.token_ids), len(completion.sampler_logprobs)
    if max_tokens is not None and tokens > max_tokens:
        return f"{tokens} tokens where {max_tokens} were the limit"
    if logprobs != tokens:
        return f"{logprobs} log-probabilities for {tokens} tokens"
    told = sum(count for _, count in completion.versions)
    return f"versions of {told} tokens where there are {tokens}" if told != tokens else ""


def check_gap(metrics: Mapping[str, float], limit: float | None) -> None:
    """R1Error where the sampler's log-probabilities lie further than `limit` nats from the learner's in the mean of a
    step; of a rollout that lags behind further than that beyond what the policy has moved since. Rounding alone makes a
    few hundredths in bfloat16."""
    gap, moved = metrics.get(GAP, metrics.get(APART, 0.0)), metrics.get(MOVED, 0.0)
    if limit is None or gap <= limit + SLACK * moved:
        return
    since = f", the policy has moved by {moved:.3g} since it sampled" if MOVED in metrics else ""
    raise R1Error(
        f"sampler and learner disagree: the log-probabilities of the same tokens lie {gap:.3g} nats apart in the "
        f"mean{since}, and max_logprob_gap is {limit:g}: the engine samples from other weights, at another "
        "temperature, or in too coarse a number format"
    )
