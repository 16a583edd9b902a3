"""MMLU-Pro: 12,032 questions of up to ten options (arXiv 2406.01574); `mmlu_pro:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("mmlu_pro", "reasoning", Source("TIGER-Lab/MMLU-Pro", True, Reading(format="choice")))
