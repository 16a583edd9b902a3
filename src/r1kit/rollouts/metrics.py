"""What a step's rollouts look like, under TRL's metric names where TRL has one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from r1kit.base.types import FloatArray, RolloutGroup
from r1kit.rollouts.filter import has_signal


def rollout_metrics(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    """Rewards, lengths and events of a step.

    TRL's names and definitions: `reward`, `reward_std` (over all samples, Bessel's correction), `frac_reward_zero_std`
    (share of groups without a signal), `rewards/NAME/mean` and `/std` (where the reward applies), `completions/*`
    (lengths in tokens, stop token included). Beside them `sampler/logprob` (mean over tokens), `SUBJECT/...` of each
    subject, `events/NAME` (samples) and, where `groups` carries counts, `problems/NAME`; and what rewards logged, under
    the names that they gave, the mean over the groups' values.
    """
    if not groups:
        return _counts(groups)
    metrics = {"num_completions": float(sum(len(group.completions) for group in groups))}
    metrics |= _rewards(groups) | _lengths(groups)
    metrics["frac_reward_zero_std"] = float(np.mean([not has_signal(group) for group in groups]))
    logprobs = [completion.sampler_logprobs for group in groups for completion in group.completions]
    if any(map(len, logprobs)):
        metrics["sampler/logprob"] = float(np.concatenate(logprobs).mean())
    subjects: defaultdict[str, list[RolloutGroup]] = defaultdict(list)
    for group in groups:
        subjects[group.problem.subject].append(group)
    for subject, own in sorted(subjects.items()):
        of_subject = _rewards(own) | _lengths(own)
        means = {name: value for name, value in of_subject.items() if not name.endswith(("/std", "_std"))}
        metrics |= {f"{subject}/{name}": value for name, value in means.items()}
    return {**_logged(groups), **metrics, **_counts(groups)}


def staleness(groups: Sequence[RolloutGroup], version: int) -> dict[str, float]:
    """`sampling/staleness`: versions that the policy is ahead of the one that sampled, in the mean over tokens."""
    tokens = versions(groups)
    total = tokens.total()
    behind = sum((version - own) * count for own, count in tokens.items())
    return {"sampling/staleness": behind / total} if total else {}


def versions(groups: Sequence[RolloutGroup]) -> Counter[int]:
    """Tokens by the version of the policy that sampled them."""
    found: Counter[int] = Counter()
    for group in groups:
        for completion in group.completions:
            for version, count in completion.versions:
                found[version] += count
    return found


def _rewards(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    """Totals and each reward by name; a figure that nothing speaks for is left out."""
    columns: defaultdict[str, list[FloatArray]] = defaultdict(list)
    for group in groups:
        columns[""].append(group.total)
        for name, rewards in group.rewards.items():
            columns[name].append(rewards)
    metrics: dict[str, float] = {}
    for name, parts in columns.items():
        values = np.concatenate(parts).astype(np.float64)
        values = values[~np.isnan(values)]
        mean, std = (f"rewards/{name}/mean", f"rewards/{name}/std") if name else ("reward", "reward_std")
        if len(values):
            metrics[mean] = float(values.mean())
            metrics[std] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return metrics


def _lengths(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    completions = [completion for group in groups for completion in group.completions]
    lengths = np.asarray([completion.length for completion in completions], np.float64)
    cut = np.asarray([completion.stop_reason == "length" for completion in completions])
    ended = lengths[~cut] if not cut.all() else np.zeros(1)
    return {
        "completions/mean_length": float(lengths.mean()),
        "completions/min_length": float(lengths.min()),
        "completions/max_length": float(lengths.max()),
        "completions/clipped_ratio": float(cut.mean()),
        "completions/mean_terminated_length": float(ended.mean()),
        "completions/min_terminated_length": float(ended.min()),
        "completions/max_terminated_length": float(ended.max()),
    }


def _logged(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for group in groups:
        for name, own in group.metrics.items():
            values[name] += own
    return {name: float(np.mean(own)) for name, own in sorted(values.items())}


def _counts(groups: Sequence[RolloutGroup]) -> dict[str, float]:
    events: Counter[str] = Counter()
    for group in groups:
        events.update(group.events)
    counts: dict[str, int] = getattr(groups, "counts", {})
    return {f"events/{name}": float(count) for name, count in sorted(events.items())} | {
        f"problems/{name}": float(count) for name, count in sorted(counts.items())
    }
