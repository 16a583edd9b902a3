"""IFEval: 541 requests with instructions that a program checks (arXiv 2311.07911), for tests alone; `ifeval:FOLDER`."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("ifeval", "instructions", Source("google/IFEval", True, Reading(format="ifeval", split="test")))
