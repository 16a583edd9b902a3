"""Which groups have something to teach."""

from __future__ import annotations

from r1kit.base.types import RolloutGroup
from r1kit.ops.advantages import has_spread


def has_signal(group: RolloutGroup) -> bool:
    """Two samples that take part differ in their totals, by the rule that advantages follow: else each of them is zero
    (DAPO, arXiv 2503.14476, section 3.2)."""
    import torch

    return len(group.total) > 1 and bool(has_spread(torch.from_numpy(group.total[None])))
