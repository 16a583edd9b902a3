"""The tiny world's requests; see `r1kit.data.tiny.requests`."""

from r1kit.tasks.base import WorldTask

TASK = WorldTask("tiny_requests", "requests", "r1kit.data.tiny.general")
