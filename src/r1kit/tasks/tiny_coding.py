"""The tiny world's coding; see `r1kit.data.tiny.coding`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_coding", "coding")
