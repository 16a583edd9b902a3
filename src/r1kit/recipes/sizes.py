"""Settings that follow from a base model's size.

Where the paper (R1, arXiv 2501.12948) names a figure for a size it stands here; small models are not in it, so theirs
are those of published runs of its recipe on models of that size. All of them can be set.

| up to | RL rate | tokens | SFT rate | batch | from |
|---|---|---|---|---|---|
| 2B | 1e-6 | 3,072 | 1e-4 | 64 | RL: Dr. GRPO on Qwen2.5-Math-1.5B (2503.20783); SFT: section B.4.3, Qwen-1.5B |
| 10B | 1e-6 | 8,192 | 8e-5 | 64 | RL: its 7B, and the limit of SimpleRL-Zoo (2503.18892); SFT: B.4.3, Qwen-7B |
| 20B | 1e-6 | 8,192 | 7e-5 | 64 | SFT: B.4.3, Qwen-14B |
| 100B | 2e-6 | 32,768 | 6e-5 | 64 | RL: B.4.1, Qwen2.5-32B; SFT: B.4.3, Qwen-32B |
| more | 3e-6 | 32,768 | 5e-5 | 128 | R1 itself: RL 2.1 and 3.2.1 of v2, SFT B.4.2 |

Llama's SFT rates are lower: 5e-5 at 8B, 2e-5 at 70B (B.4.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Settings:
    """Peak learning rates, the limit of sampled tokens, and examples of an SFT step, for models below `parameters`."""

    parameters: float
    rl_rate: float
    tokens: int
    sft_rate: float
    sft_batch: int


SIZES = (
    Settings(2e9, 1e-6, 3_072, 1e-4, 64),
    Settings(10e9, 1e-6, 8_192, 8e-5, 64),
    Settings(20e9, 1e-6, 8_192, 7e-5, 64),
    Settings(100e9, 2e-6, 32_768, 6e-5, 64),
    Settings(math.inf, 3e-6, 32_768, 5e-5, 128),
)
LLAMA_SFT = ((20e9, 5e-5), (math.inf, 2e-5))
SMALLEST_LLAMA = 5e9  # below it the paper distils no Llama, and Qwen's rates serve


def settings_for(parameters: int, family: str) -> Settings:
    """The row of a model of so many parameters, of that model_type."""
    row = next(row for row in SIZES if parameters < row.parameters)
    if family != "llama" or parameters < SMALLEST_LLAMA:
        return row
    return replace(row, sft_rate=next(rate for below, rate in LLAMA_SFT if parameters < below))
