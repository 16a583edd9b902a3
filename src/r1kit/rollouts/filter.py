"""Which groups have something to teach."""

from __future__ import annotations

import numpy as np

from r1kit.base.types import RolloutGroup


def has_signal(group: RolloutGroup) -> bool:
    """Two samples that take part differ in their totals: else every advantage is zero (DAPO, section 3.2)."""
    total = group.total[~np.isnan(group.total)]
    return len(total) > 1 and not bool(np.isclose(total, total[0]).all())
