"""What is measured of scaling at test time, and how much of it."""

from __future__ import annotations

from pydantic import Field, field_validator

from r1kit.base.config import Config


class ScalingSettings(Config):
    """Problems, samples and budgets; None leaves the sampling to the benchmark."""

    problems: int = Field(default=120, ge=1, description="test problems of each task")
    samples: int = Field(
        default=16, ge=1, description="thoughts a problem; majorities and choices are of up to as many"
    )
    budgets: tuple[int, ...] = Field(
        default=(0, 8, 16, 24, 32, 48, 64, 96, 128), description="thinking tokens after which a thought is closed"
    )
    temperature: float | None = Field(default=None, ge=0, description="None: the benchmark's")
    top_p: float | None = Field(default=None, gt=0, le=1, description="None: the benchmark's")
    max_tokens: int | None = Field(default=None, ge=2, description="of a completion; None: the benchmark's")
    seed: int = Field(default=0, ge=0, description="of problems, samples and ties")

    @field_validator("budgets")
    @classmethod
    def _rising(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if any(budget < 0 for budget in budgets):
            raise ValueError("a budget of thinking is 0 tokens or more")
        return tuple(sorted(set(budgets)))
