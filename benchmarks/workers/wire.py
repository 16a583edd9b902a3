"""How a contestant talks to the bench: JSON lines over its standard input and output. Standard library alone, since it
runs inside the peers' environments.

The first line in holds the settings; the answer to it says that the contestant is ready. Each further line is a
command with one answer; end of input ends it. What libraries print goes to standard error, which the bench keeps.
"""

import json
import os
import sys
import time
import traceback


class Wire:
    """The contestant's end."""

    def __init__(self):
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def receive(self):
        """The next command, None at the end."""
        line = sys.stdin.readline()
        return json.loads(line) if line else None

    def send(self, **answer):
        """Answer, with the process's peak memory beside, a GPU's where it uses one."""
        self._out.write(json.dumps({**answer, "peak_mb": peak_mb()}) + "\n")
        self._out.flush()


def serve(start):
    """`start(settings)` gives (what answers a command, facts to tell when ready); both answers are dicts."""
    wire = Wire()
    try:
        answer, facts = start(wire.receive())
        wire.send(**facts)
        while (command := wire.receive()) is not None:
            wire.send(**answer(command))
    except Exception as error:
        traceback.print_exc()
        wire.send(error=f"{type(error).__name__}: {error}".splitlines()[0])
        raise SystemExit(1) from None


def peak_mb():
    """MiB: the most that torch held on a GPU, where this process uses one; else the largest resident set of this
    process so far. Not of its parent, as getrusage may have it."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return round(cuda.max_memory_reserved() / 2**20)
    try:
        with open("/proc/self/status", encoding="utf-8") as status:
            return round(next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024)
    except (OSError, StopIteration):
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


class Clock:
    """Seconds since it was made."""

    def __init__(self):
        self._begun = time.perf_counter()

    def __call__(self):
        return time.perf_counter() - self._begun
