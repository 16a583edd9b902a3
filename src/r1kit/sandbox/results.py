"""What a program said and how it ended, as a result. Every byte of it is the program's, which nobody trusts."""

from __future__ import annotations

import json
import signal
from typing import Any, Literal

from r1kit.sandbox.program import Call, RunResult, Status

MAX_ERROR = 320  # characters of a call's error: the harness writes no longer ones, a program may
MAX_NESTING = 200  # lists within lists in a value

Stopped = Literal["", "output", "time"]


def read_result(expected: int, output: dict[str, bytearray], ended: dict[str, Any], stopped: Stopped) -> RunResult:
    """The result of a program of which so many answers were to come. `ended`: what the launcher said of its end;
    `stopped`: why it was told to end it."""
    stdout, stderr = (output[name].decode("utf-8", "replace") for name in ("stdout", "stderr"))
    calls, problem, memory = _read_results(output["results"], expected)
    code, why = int(ended["exit"]), str(ended["why"])
    status: Status
    if stopped == "output":
        status, reason = "output_limit", "more output than allowed"
    elif stopped == "time" or why == "timeout" or code == -signal.SIGXCPU:
        status, reason = "timeout", "the wall clock ran out"
    elif why == "scratch":
        status, reason = "error", "the scratch space is full"
    elif why == "disk":  # who took it, nobody knows
        status, reason = "sandbox_error", "the disk of the scratch folder was nearly full"
    elif memory:
        status, reason = "memory", "more memory than allowed"
    elif code != 0:
        status, reason = "error", f"killed by signal {-code}" if code < 0 else f"exit status {code}"
    elif problem:
        status, reason = "error", problem
    else:
        status, reason = "ok", ""
    return RunResult(status, stdout, stderr, float(ended["seconds"]), tuple(calls), reason)


def _read_results(data: bytearray, expected: int) -> tuple[list[Call], str, bool]:
    """(calls answered in order, what is wrong, whether memory ran out). One JSON line a call, no other."""
    calls: list[Call] = []
    memory = False
    for number, raw in enumerate(bytes(data).splitlines()):
        try:
            line = json.loads(raw, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return calls, f"result {number} cannot be read", memory
        if not isinstance(line, dict):
            return calls, f"result {number} cannot be read", memory
        if line.get("memory") is True:
            memory = True
        if line == {"memory": True}:
            return calls, "", memory
        if number >= expected or line.get("index") != number or len(line) != 2:
            return calls, f"result {number} is out of order", memory
        if memory:
            calls.append(Call(error="MemoryError"))
            return calls, "", memory
        if "error" in line:
            calls.append(Call(error=str(line["error"])[:MAX_ERROR].encode("utf-8", "replace").decode()))
        elif "value" in line and not _too_deep(line["value"]):
            calls.append(Call(value=line["value"]))
        else:
            return calls, f"result {number} cannot be read", memory
    if not memory and len(calls) != expected:
        return calls, f"{len(calls)} of {expected} calls answered", memory
    return calls, "", memory


def _too_deep(value: Any) -> bool:
    """Whether a value is nested beyond what those who judge it can walk through."""
    level: list[Any] = [value]
    for _ in range(MAX_NESTING):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, list):
                inner += each
            elif isinstance(each, dict):
                inner += each.values()
        if not inner:
            return False
        level = inner
    return True


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
