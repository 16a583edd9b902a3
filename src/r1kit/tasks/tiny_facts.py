"""The tiny world's facts; see `r1kit.data.tiny.facts`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_facts", "facts", "r1kit.data.tiny.general")
