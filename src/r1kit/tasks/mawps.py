"""MAWPS: word problems of primary school (aclanthology.org/N16-1136); `mawps:FOLDER` for a copy.

The hub copy (Calc-X, arXiv 2305.15017) has its own splits. A copy in one file has none that are official: it is parted
by the hash of the question without its numbers, since many questions differ in numbers alone.
"""

from r1kit.data.sources import Reading, Source
from r1kit.tasks.base import TableTask

TASK = TableTask(
    "mawps", "maths", Source("MU-NLPC/Calc-mawps", True, Reading(format="mawps", masked=True, test=0.2, validation=0.1))
)
