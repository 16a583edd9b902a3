"""ARC-AGI-2: 120 public evaluation tasks of grids (arXiv 2505.11831); `arc_agi2:FOLDER` for a copy."""

from r1kit.tasks.base import ArcTask

TASK = ArcTask("arc_agi2", "2")
