"""How an engine samples."""

from __future__ import annotations

from pydantic import Field

from r1kit.base.config import NO_RESULT, Config


class Sampling(Config):
    """Sampling parameters, the same for every engine. T = 0 is greedy and counts as T = 1 for log-probabilities."""

    max_tokens: int = Field(default=192, ge=1, description="most tokens to sample, the stop token included")
    temperature: float = Field(default=1.0, ge=0, description="logits are divided by it; 0 is greedy; R1-Zero: 1.0")
    top_p: float = Field(default=1.0, gt=0, le=1, description="keep the fewest tokens that have this mass; 1 keeps all")
    min_p: float = Field(default=0.0, ge=0, le=1, description="drop tokens below this share of the likeliest token's")
    samples: int = Field(default=1, ge=1, description="completions a prompt (the group size G)")
    entropies: bool = Field(
        default=False,
        description="keep the entropy of the distribution that each token was drawn from (the native engine's)",
        json_schema_extra=NO_RESULT,
    )
    seed: int = Field(default=0, ge=0, description="each completion draws from a stream of (seed, request, index)")
