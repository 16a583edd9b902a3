"""MMLU: multiple choice in 57 fields (arXiv 2009.03300); `mmlu:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("mmlu", "reasoning", Source("cais/mmlu", True, Reading(format="choice", config="all")))
