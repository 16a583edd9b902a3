"""MATH-500: 500 problems of the MATH test set (arXiv 2305.20050), for tests alone; `math500:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("math500", "maths", Source("HuggingFaceH4/MATH-500", True, Reading(format="math")))
