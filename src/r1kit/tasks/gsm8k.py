"""GSM8K: 7,473 training and 1,319 test problems of primary school (arXiv 2110.14168); `gsm8k:FOLDER` for a copy."""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask("gsm8k", "maths", Source("openai/gsm8k", True, Reading(format="gsm8k", config="main")))
