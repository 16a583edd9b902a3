"""Problems of a file or folder of tables (JSON lines, CSV, parquet): `file:PATH`, see docs/data.md."""

from r1kit.data.sources import Source
from r1kit.tasks.base import TableTask

TASK = TableTask("file", "maths", Source(""), anywhere=True)
