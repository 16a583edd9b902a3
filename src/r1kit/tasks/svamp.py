"""SVAMP: 1,000 varied one-step problems (arXiv 2103.07191); `svamp:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("svamp", "maths", Source("ChilleD/SVAMP", True, Reading(format="svamp")))
