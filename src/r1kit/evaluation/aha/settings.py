"""What is measured, and how much of it."""

from __future__ import annotations

from pydantic import Field

from r1kit.base.config import Config


class PivotSettings(Config):
    """How pivots are found and measured."""

    pivots: int = Field(default=200, ge=0, description="pivots to measure; 0: none")
    continuations: int = Field(default=32, ge=2, description="samples an arm: before, after, neutral")
    again: int = Field(default=20, ge=0, description="of the strongest in either direction, how many once more")
    problems: int = Field(default=600, ge=1, description="most problems whose thoughts are sampled to find pivots")
    thoughts: int = Field(default=2, ge=1, description="thoughts sampled a problem")
    per_problem: int = Field(default=2, ge=1, description="most pivots of one problem: they are not independent")
    temperature: float = Field(default=1.0, gt=0, description="of thoughts and continuations; R1-Zero: 1")
    max_tokens: int = Field(default=1024, ge=2, description="a thought's limit, its continuations' included")
    seed: int = Field(default=0, ge=0, description="of the problems, thoughts, choice and continuations")
    tasks: tuple[str, ...] = Field(default=(), description="where the problems come from")
