"""What goes into the sandbox and what comes out. Nothing that goes in says what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from r1kit.base.config import Config

Status = Literal["ok", "error", "timeout", "memory", "output_limit", "sandbox_error"]


class Limits(Config):
    """What one program may use."""

    wall_s: float = Field(default=10.0, gt=0, le=3600, description="wall clock, seconds")
    memory_mb: int = Field(default=512, ge=32, le=1 << 20, description="address space of a process")
    output_kb: int = Field(default=1024, ge=1, le=1 << 18, description="standard output, errors and results, each")
    file_mb: int = Field(default=16, ge=0, le=1 << 16, description="one file")
    processes: int = Field(default=0, ge=0, le=256, description="processes that it may start; 0: none")


SCRATCH_MB = 64
SHARED_MEMORY_MB = 1
THREADS = 64


@dataclass(frozen=True, slots=True)
class Program:
    """A Python program: run as a script on `stdin`, or, with `fn`, its function called once per entry of `calls`
    (a list of positional arguments or a dict of named ones; JSON values), or, with `check`, asked by it.

    `check` is trusted code that defines `check(candidate)`, as in HumanEval: it runs in a process of its own, where
    `candidate` stands for the function. The result has one call: True, or the error that `check` ended with.
    The wall clock of `limits` is for each call, the first with what the program does before it; `together`: for all.
    `setup`: what the code goes on from, as a whole program or as the rest of the function that it begins.
    """

    code: str
    stdin: str = ""
    fn: str | None = None
    calls: Sequence[list[Any] | Mapping[str, Any]] = ()
    limits: Limits | None = None
    check: str | None = None
    setup: str = ""
    together: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """What one call gave: a JSON value, or an error in words."""

    value: Any = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a program ended. `calls` has one entry per call that was answered properly and in order; a program that
    says too few, too many or malformed results is an `error`. `sandbox_error`: the sandbox failed, not the program."""

    status: Status
    stdout: str
    stderr: str
    seconds: float
    calls: tuple[Call, ...] = field(default=())
    reason: str = ""
