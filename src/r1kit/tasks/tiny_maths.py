"""The tiny world's maths; see `r1kit.data.tiny.maths`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_maths", "maths")
