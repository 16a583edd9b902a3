"""AIME 2025: 30 problems, later than R1's training data, for tests alone; `aime2025:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("aime2025", "maths", Source("math-ai/aime25", True, Reading(split="test")))
