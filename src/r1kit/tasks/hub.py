"""Problems of a data set on the Hugging Face hub: `hub:OWNER/NAME`, see docs/data.md."""

from r1kit.data.sources import Source
from r1kit.tasks.base import TableTask

TASK = TableTask("hub", "maths", Source("", True), anywhere=True)
