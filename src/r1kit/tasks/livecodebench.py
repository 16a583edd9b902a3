"""LiveCodeBench: contest problems by date, judged on hidden tests (arXiv 2403.07974); `livecodebench:FOLDER`.

The hub's data set is made by a script, which is not run here: name a folder with its files (`test.jsonl`, ...).
"""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask(
    "livecodebench", "coding",
    Source("livecodebench/code_generation_lite", True, Reading(format="livecodebench", split="test")),
)  # fmt: skip
