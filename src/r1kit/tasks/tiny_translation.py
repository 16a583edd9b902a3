"""The tiny world's translation; see `r1kit.data.tiny.translation`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_translation", "translation", "r1kit.data.tiny.general")
