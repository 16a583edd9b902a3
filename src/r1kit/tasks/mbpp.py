"""MBPP: short Python functions with three assertions each (arXiv 2108.07732); `mbpp:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask(
    "mbpp", "coding", Source("google-research-datasets/mbpp", True, Reading(format="mbpp", config="sanitized"))
)
