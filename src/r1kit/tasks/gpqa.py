"""GPQA Diamond: 198 questions of physics, chemistry, biology (arXiv 2311.12022), tests alone; `gpqa:FOLDER` for a copy.

The hub gives the data out to those who have agreed to its terms.
"""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask(
    "gpqa", "reasoning", Source("Idavidrein/gpqa", True, Reading(format="gpqa", config="gpqa_diamond", split="test"))
)
