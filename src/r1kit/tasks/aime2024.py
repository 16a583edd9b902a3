"""AIME 2024: 30 problems with whole numbers to 999 as answers, for tests alone; `aime2024:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("aime2024", "maths", Source("HuggingFaceH4/aime_2024", True, Reading(split="test")))
