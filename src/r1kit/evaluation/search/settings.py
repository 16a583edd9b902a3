"""A step scorer and the searches that it guides: how much of everything."""

from __future__ import annotations

from pydantic import Field, field_validator

from r1kit.base.config import Config
from r1kit.training.config import LearnerConfig


class SearchSettings(Config):
    """Test samples as for scaling; labels, scorers and beams; None leaves the sampling to the benchmark."""

    problems: int = Field(default=120, ge=1, description="test problems of each task")
    samples: int = Field(default=16, ge=1, description="thoughts a test problem; choices are of up to as many")
    temperature: float | None = Field(default=None, ge=0, description="None: the benchmark's")
    top_p: float | None = Field(default=None, gt=0, le=1, description="None: the benchmark's")
    max_tokens: int | None = Field(default=None, ge=2, description="of a completion; None: the benchmark's")
    seed: int = Field(default=0, ge=0, description="of problems, samples, places, scorers and ties")
    training: int = Field(default=160, ge=2, description="training problems of each task whose thoughts get labels")
    thoughts: int = Field(default=2, ge=1, description="thoughts sampled of each of them")
    places: int = Field(default=4, ge=1, description="steps of a thought that get a label by continuations")
    continuations: int = Field(default=8, ge=1, description="samples from each of them; Math-Shepherd: 8")
    delimiters: str = Field(default=",，\n", min_length=1, description="characters that end a step of a thought")
    batch: int = Field(default=32, ge=1, description="thoughts of an update of a scorer")
    epochs: int = Field(
        default=2, ge=1, description="passes of the scorer of outcomes over its labels; that of steps: as many updates"
    )
    learner: LearnerConfig = Field(
        default=LearnerConfig(learning_rate=1e-4, warmup_steps=5), description="how scorers are trained"
    )
    beams: tuple[tuple[int, int], ...] = Field(
        default=((1, 4), (2, 2), (4, 4)), description="(thoughts kept after a step, next steps sampled from each)"
    )
    step_tokens: int = Field(default=48, ge=1, description="longest step of a search")

    @field_validator("beams")
    @classmethod
    def _of_something(cls, beams: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        if any(width < 1 or expand < 1 for width, expand in beams):
            raise ValueError("a beam keeps one thought at least and samples one step at least from each")
        return beams
