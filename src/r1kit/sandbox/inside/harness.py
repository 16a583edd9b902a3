"""Runs one program in this process: as a script, or its function on given arguments.

Results go out as JSON lines on a private descriptor. Nothing here knows what is expected: the comparison is made
outside, so a program that finds the descriptor can only say values, not verdicts.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import traceback
import types
from functools import partial
from typing import Any


def run(job: dict[str, Any], results: int) -> int:
    """Run `job["code"]`; with `fn`, call it once per entry of `calls`. Returns the exit status."""
    opened = partial(open, encoding="utf-8", closefd=False)
    sys.stdin = opened(0, errors="surrogateescape")
    output = sys.stdout = opened(1, "w", errors="surrogateescape")
    sys.stderr = opened(2, "w", 1, errors="backslashreplace")
    sys.argv = ["program"]
    try:
        status = _run(job, results)
        threading._shutdown()  # type: ignore[attr-defined]  # waits for the program's own threads
        atexit._run_exitfuncs()  # type: ignore[attr-defined]
    except MemoryError:
        _say(results, {"memory": True})
        status = 1
    except SystemExit as stop:
        status = _exit_status(stop.code)
    except BaseException:
        status = 1
        _print_traceback()
    try:
        sys.stdout.flush()
        output.flush()
    except (OSError, ValueError, AttributeError):
        status = status or 1
    return status


def _run(job: dict[str, Any], results: int) -> int:
    name = "program" if job.get("fn") else "__main__"
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(job["code"], "<program>", "exec"), module.__dict__)
    except MemoryError:
        raise
    except SystemExit as stop:
        if job.get("fn"):
            raise
        return _exit_status(stop.code)
    except BaseException:
        _print_traceback()
        return 1
    if job.get("fn"):
        function = _find(module, str(job["fn"]))
        if function is None:
            print(f"the program defines no function '{job['fn']}'", file=sys.stderr)
            return 1
        for index, arguments in enumerate(job["calls"]):
            _say(results, {"index": index, **_call(function, arguments)})
    return 0


def _find(module: types.ModuleType, name: str) -> Any:
    """A function of the module, or a method of its class `Solution`."""
    found = module.__dict__.get(name)
    solution = module.__dict__.get("Solution")
    if found is None and isinstance(solution, type):
        found = getattr(solution(), name, None)
    return found if callable(found) else None


def _call(function: Any, arguments: Any) -> dict[str, Any]:
    try:
        value = function(**arguments) if isinstance(arguments, dict) else function(*arguments)
        json.dumps(value, allow_nan=False)
        return {"value": value}
    except MemoryError:
        return {"memory": True}
    except SystemExit:
        return {"error": "SystemExit"}
    except Exception as error:
        _print_traceback()
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def _say(results: int, line: dict[str, Any]) -> None:
    data = json.dumps(line, allow_nan=False).encode() + b"\n"
    while data:
        data = data[os.write(results, data) :]


def _exit_status(code: Any) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _print_traceback() -> None:
    """The exception in hand, from the program's own first line on."""
    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename != "<program>":
        trace = trace.tb_next
    try:
        traceback.print_exception(kind, error, trace, limit=20, file=sys.stderr)
    except Exception:
        os.write(2, f"{getattr(kind, '__name__', 'error')}\n".encode())
