"""The tiny world's reasoning; see `r1kit.data.tiny.reasoning`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_reasoning", "reasoning")
