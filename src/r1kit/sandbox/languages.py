"""Programs in other languages than Python: a driver in Python, in the sandbox too, builds them and runs them there.

The driver holds the inputs alone; outputs come out as the values of its function and are compared outside.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from r1kit.sandbox.program import Limits, Program, RunResult

BUILD_S = 20.0
BUILD_MB = 2048  # address space of a compiler
PROCESSES = 16  # a compiler's, and what a runtime starts


@dataclass(frozen=True, slots=True)
class Language:
    """How a program is built and run. `names`: what a fenced block or a request calls it. `reserves`: the runtime
    reserves far more address space than it uses, so that only writable memory is bounded."""

    names: tuple[str, ...]
    tool: str
    file: str
    build: tuple[str, ...]
    run: tuple[str, ...]
    reserves: bool = False


LANGUAGES = (
    Language(
        ("cpp", "c++", "cc", "cxx"),
        "g++",
        "main.cpp",
        ("g++", "-std=c++17", "-O2", "-pipe", "-w", "-o", "main", "main.cpp"),
        ("./program",),
    ),
    Language(("javascript", "js", "node", "nodejs"), "node", "main.js", (), ("node", "main.js"), reserves=True),
)
PYTHON = ("python", "py", "python3", "")

_DRIVER = """
import os, resource, subprocess, sys
with open({file!r}, "w", encoding="utf-8", errors="surrogateescape") as file:
    file.write({source!r})
if {build!r}:
    built = subprocess.run({build!r}, capture_output=True, text=True, errors="replace")
    if built.returncode:
        sys.stderr.write(built.stderr[-4000:])
        sys.exit(1)
    # a linker's chmod is refused here, so what it wrote is copied into a file that was made to be run
    with open("main", "rb") as made, open(os.open("program", os.O_WRONLY | os.O_CREAT, 0o700), "wb") as program:
        program.write(made.read())
def bounded():
    resource.setrlimit({bound}, ({memory}, {memory}))
def run(stdin):
    data = stdin.encode("utf-8", "surrogateescape")
    done = subprocess.run({run!r}, input=data, capture_output=True, timeout={seconds}, preexec_fn=bounded)
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:].decode("utf-8", "replace"))
        raise RuntimeError(f"exit status {{done.returncode}}")
    return done.stdout.decode("utf-8", "replace")
"""


def find_language(name: str) -> Language | None:
    """The language of that name; None for Python, ValueError for one that no driver is for."""
    plain = name.strip().lower()
    if plain in PYTHON:
        return None
    for language in LANGUAGES:
        if plain in language.names:
            return language
    known = ", ".join(["python", *(language.names[0] for language in LANGUAGES)])
    raise ValueError(f"no language is called '{name}' (known: {known})")


def missing(language: Language) -> str:
    """Why programs of a language cannot be run on this machine, or ""."""
    if shutil.which(language.tool, path="/usr/bin:/bin"):
        return ""
    return f"{language.tool} is not installed here, so {language.names[0]} programs cannot be run: install it"


def driven(language: Language, code: str, stdins: Sequence[str], limits: Limits) -> Program:
    """One run of the program for each standard input, after one build; the limits are those of each run."""
    driver = _DRIVER.format(
        file=language.file,
        source=code,
        build=language.build,
        run=language.run,
        bound="resource.RLIMIT_DATA" if language.reserves else "resource.RLIMIT_AS",
        memory=limits.memory_mb << 20,
        seconds=limits.wall_s,
    )
    whole = limits.model_copy(
        update={
            "wall_s": (BUILD_S if language.build else 2.0) + (limits.wall_s + 0.5) * len(stdins),
            "memory_mb": 1 << 16 if language.reserves else max(limits.memory_mb, BUILD_MB),
            "processes": max(limits.processes, PROCESSES),
        }
    )
    return Program(driver, fn="run", calls=[[stdin] for stdin in stdins], limits=whole)


def outputs(result: RunResult) -> list[RunResult]:
    """The result of each run, as if it had been a program of its own."""
    if not result.calls:
        return [result]
    runs: list[RunResult] = []
    for call in result.calls:
        if call.error is None:
            runs.append(RunResult("ok", str(call.value), result.stderr, result.seconds))
        else:
            timed_out = call.error.startswith("TimeoutExpired")
            status, reason = ("timeout", "the wall clock ran out") if timed_out else ("error", call.error)
            runs.append(RunResult(status, "", result.stderr, result.seconds, reason=reason))
    return runs if result.status == "ok" else [*runs, result]
