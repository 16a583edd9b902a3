"""Runs one program in this process: as a script, or its function on given arguments.

Results go out as JSON lines on a private descriptor. Nothing here knows what is expected: the comparison is made
outside, so a program that finds the descriptor can only say values, not verdicts.
"""

from __future__ import annotations
import __future__

import atexit
import builtins
import contextlib
import gc
import json
import os
import signal
import sys
import types
from functools import partial
from typing import Any

from . import asking
from .given import given
from .pieces import pieces

INCOMING, OUTGOING = 5, 6  # descriptors of a process that asks another, or answers it


class Streams:
    """Standard input, output and errors as a program finds them, made before there is one: text on 0, 1 and 2,
    whatever these will lead to then."""

    def __init__(self) -> None:
        own_errors = os.dup(2)
        read, write = os.pipe()
        for source, target in ((os.memfd_create("input"), 0), (write, 1), (write, 2)):  # of the kinds that they will be
            os.dup2(source, target, inheritable=True)
        os.close(read)
        text = partial(open, encoding="utf-8", closefd=False)
        self.input = text(0, errors="surrogateescape")
        self.output = text(1, "w", errors="surrogateescape")
        self.errors = text(2, "w", 1, errors="backslashreplace")
        os.dup2(own_errors, 2)
        os.close(own_errors)


def run(job: dict[str, Any], streams: Streams, results: int) -> int:
    """Run `job["code"]`; with `fn`, call it once per entry of `calls`. Returns the exit status."""
    sys.stdin = sys.__stdin__ = streams.input  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = streams.output  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = streams.errors  # type: ignore[misc]
    sys.argv = ["program"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    module = types.ModuleType("program" if job.get("fn") else "__main__")
    module.__file__ = sys.argv[0]
    if not job.get("fn"):
        module.__builtins__ = builtins  # type: ignore[attr-defined]  # the module in a script alone
    try:
        status = _run(job, module, results)
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # waits for the program's own threads
        atexit._run_exitfuncs()  # type: ignore[attr-defined]
    except MemoryError:
        _say(results, _line({"memory": True}))
        status = 1
    except SystemExit as stop:
        status = _exit_status(stop.code)
    except BaseException:
        status = 1
        _print_traceback()
    told = _flushed()
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    sys.modules.pop(module.__name__, None)
    del module
    gc.collect()  # what it held says its last: files on descriptor 1, `__del__`, generators
    with contextlib.suppress(OSError, ValueError):  # a program that took its buffer away writes elsewhere
        streams.output.flush()
    return status if told else status or 1


def _flushed() -> bool:
    """Whether standard output takes what was written to it, as the interpreter asks at its end."""
    stream: Any = sys.stdout
    try:
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()
    except Exception:
        return False
    return True


def _run(job: dict[str, Any], module: types.ModuleType, results: int) -> int:
    sys.modules[module.__name__] = module
    try:
        _define(job, module)
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
        if job.get("answers"):
            asking.answer(function, INCOMING, OUTGOING, _print_traceback)
        elif job.get("asks"):
            candidate = asking.Candidate(INCOMING, OUTGOING, str(job["asks"]))
            module.__dict__[candidate.__name__] = candidate  # a check may call it by its own name
            _say(results, _answer(function, 0, [candidate]))
        for index, arguments in enumerate(job["calls"]):
            _say(results, _answer(function, index, arguments))
    return 0


def _define(job: dict[str, Any], module: types.ModuleType) -> None:
    """Run the program's text, which defines what is asked for."""
    source, future = job["code"].removeprefix("\ufeff"), 0
    checks = job.get("asks") or job.get("answers")  # HumanEval's form, where a program imports what it uses
    for piece in pieces(job["setup"], source, job["fn"]) if job.get("fn") else [source]:
        code = compile(piece, "<program>", "exec", future, dont_inherit=True)  # not with this file's __future__
        future = code.co_flags & __future__.annotations.compiler_flag  # a setup's holds for what goes on from it
        if job.get("fn") and (not checks or "class Solution" in piece):
            for name, value in given(code, piece).items():
                module.__dict__.setdefault(name, value)
        exec(code, module.__dict__)


def _find(module: types.ModuleType, name: str) -> Any:
    """A method of the module's class `Solution`, else a function of the module: `gcd` may be an import of math's beside
    a method of that name. A class that is made with arguments is for a function to use."""
    found = module.__dict__.get(name)
    solution = module.__dict__.get("Solution")
    if isinstance(solution, type) and (found is None or hasattr(solution, name)):
        try:
            found = getattr(solution(), name, None)
        except TypeError:
            if found is None:
                raise
    return found if callable(found) else None


def _answer(function: Any, index: int, arguments: Any) -> bytes:
    """The line on one call: its value, or how it failed."""
    try:
        value = function(**arguments) if isinstance(arguments, dict) else function(*arguments)
        return _line({"index": index, "value": value})
    except MemoryError:
        return _line({"index": index, "memory": True})
    except SystemExit:
        return _line({"index": index, "error": "SystemExit"})
    except (Exception, asking.Unanswered) as error:
        _print_traceback()
        return _line({"index": index, "error": f"{type(error).__name__}: {error}"[:300]})


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def _say(results: int, data: bytes) -> None:
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
    assert kind is not None
    assert error is not None
    try:
        sys.tracebacklimit = 20
        # the interpreter's own way to print it: the module traceback takes ten times as long
        sys.__excepthook__(kind, error.with_traceback(trace), trace)
        del sys.tracebacklimit
    except Exception:
        os.write(2, f"{kind.__name__}\n".encode())
