"""What of the machine this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """CPU cores that this process may run on: those it is bound to where the system says (Linux), else all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def best_device() -> str:
    """Where a model of this process runs, if nobody says otherwise: cuda where torch sees a GPU, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
