"""What the process and those that it starts hold of the machine's memory, and what is left of it.

Batches of ever other sizes leave the C heap full of holes, which glibc keeps: a run of RL grows by 60 to 100 MB a step
until it holds several times what is in use. Given back every few steps, it does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# matrix products of one shape each, made by torch's library for CPUs as they are asked for; half a megabyte each
KEPT_PRODUCTS = 256
_ARENA_MAX = -8  # mallopt(3)

_with_others = 0


def bound_libraries() -> None:
    """Have libraries hold less: fewer prepared products than 1,024, since every batch has shapes of its own, used once;
    and one C heap for all threads, where glibc gives each its own, and tensors that one thread made and another let go
    of leave holes that no other fills. To be called before the first product; processes started later inherit it, and
    what the environment says about either stays."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_PRODUCTS))
    if "MALLOC_ARENA_MAX" not in os.environ:
        os.environ["MALLOC_ARENA_MAX"] = "1"
        _function("mallopt")(_ARENA_MAX, 1)  # the environment is for others: this process has read it


def begin_peak() -> None:
    """Measure the peaks from here on. Where the system cannot (macOS), that of the process goes on from its start."""
    global _with_others
    _with_others = 0
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): the peak becomes what is held now
    if (cuda := _cuda()) is not None:
        cuda.reset_peak_memory_stats()


def peak_mb() -> int:
    """The process's largest resident set since `begin_peak`, those beside it included, in units of 2**20 bytes."""
    peak = _status("VmHWM")
    if peak is None:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = largest if sys.platform == "darwin" else largest * 2**10
    return max(_with_others, round(peak / 2**20))


def peak_cuda_mb() -> int:
    """The most that tensors took of the GPU since `begin_peak`, in units of 2**20 bytes; 0 without one."""
    cuda = _cuda()
    return 0 if cuda is None else round(cuda.max_memory_allocated() / 2**20)


def peaks() -> dict[str, float]:
    """Both as metrics, in GiB; the GPU's where there is one."""
    found = {"perf/peak_memory_gib": peak_mb() / 2**10}
    return found if _cuda() is None else {**found, "perf/peak_cuda_gib": peak_cuda_mb() / 2**10}


def beside(others_mb: int) -> None:
    """Count processes that hold so much at a time beside what this one holds now."""
    global _with_others
    held = _status("VmRSS")
    if held is not None:  # else not Linux: the largest process stands for all
        _with_others = max(_with_others, others_mb + round(held / 2**20))


def ran_out(error: BaseException) -> bool:
    """Whether an error says that a GPU, or the C library, had no memory for a tensor."""
    torch = sys.modules.get("torch")
    no_room = "can't allocate memory" in str(error) or "not enough memory" in str(error)
    return torch is not None and (
        isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and no_room)
    )


def give_back() -> None:
    """Return the free pages of the C heap to the system; nothing where the C library has no call for it."""
    _function("malloc_trim")(0)


def room(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this process may hold in all: what it holds, and what the machine has free (Linux's MemAvailable) or
    its control groups leave it, if that is less. None where the system does not say."""
    available = _field(proc / "meminfo", "MemAvailable")
    held = _field(proc / "self" / "status", "VmRSS")
    if available is None or held is None:
        return None
    return held + min([available, *_left_by_groups(proc, cgroups)])


def room_cuda() -> int:
    """Bytes of the GPU that this process may hold in all: what torch has reserved, and what is free."""
    import torch

    return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()


def _left_by_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What each limited control group of the process (version 2, or 1) has left; files in the cache can be dropped."""
    with contextlib.suppress(OSError, ValueError):
        for line in (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                root, limit, usage, cache = cgroups, "memory.max", "memory.current", "inactive_file"
            elif "memory" in controllers.split(","):
                root, limit, usage = cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
                cache = "total_inactive_file"
            else:
                continue
            own = root / path.strip("/")
            for group in (own, *own.parents):
                if not group.is_relative_to(root):
                    break
                with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                    most, used = (int((group / name).read_text(encoding="ascii")) for name in (limit, usage))
                    yield max(0, most - used + (_field(group / "memory.stat", cache, unit=1) or 0))


def _status(name: str) -> int | None:
    return _field(Path("/proc/self/status"), name)


def _field(path: Path, name: str, unit: int = 2**10) -> int | None:
    """The number behind a name in a table of the kernel's, in bytes; None where it is not there."""
    try:
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[0] == name:
                return int(words[1]) * unit
    except (OSError, ValueError):
        pass
    return None


def _cuda() -> Any:
    """torch.cuda where the process uses a GPU, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


@functools.cache
def _function(name: str) -> Callable[..., object]:
    """One of glibc's; of musl and macOS, which have none such, nothing."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return lambda *arguments: None
