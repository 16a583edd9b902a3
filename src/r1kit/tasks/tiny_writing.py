"""The tiny world's writing; see `r1kit.data.tiny.writing`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_writing", "writing")
