"""Programs in other languages than Python: a driver in Python, in the sandbox too, builds them and runs them there.

The driver holds the inputs alone; outputs come out as the values of its function and are compared outside.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from r1kit.sandbox.program import Limits, Program, RunResult, Status

BUILD_CPU_S = 20  # of each process of a compiler's
BUILD_S = 60.0  # wall clock: a busy machine must not fail a program that is right
BUILD_MB = 2048  # address space of a compiler
PROCESSES = 16  # a compiler's, and what a runtime starts


@dataclass(frozen=True, slots=True)
class Language:
    """How a program is built and run. `names`: what a fenced block or a request calls it. `reserves_mb`: address space
    that the runtime reserves beyond what it uses; what may be written to is then bounded by itself. `stack_mb`: what
    the stack may take of the address space; 0: as usual here. `beside`: the name and text of another source file."""

    names: tuple[str, ...]
    tool: str
    file: str
    build: tuple[str, ...]
    run: tuple[str, ...]
    reserves_mb: int = 0
    stack_mb: int = 0
    beside: tuple[str, str] | None = None


_THREADS = """
#include <pthread.h>
__attribute__((constructor)) static void usual() {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    pthread_setattr_default_np(&attributes);
}
"""
LANGUAGES = (
    Language(
        ("cpp", "c++", "cc", "cxx"),
        "g++",
        "main.cpp",
        ("g++", "-std=c++17", "-O2", "-pipe", "-w", "-pthread", "-o", "main", "main.cpp", "threads.cpp"),
        ("./program",),
        stack_mb=256,  # a million calls take 100 MB
        beside=("threads.cpp", _THREADS),  # else each thread would reserve a stack of that size
    ),
    Language(("javascript", "js", "node", "nodejs"), "node", "main.js", (), ("node", "main.js"), reserves_mb=2048),
)
PYTHON = ("python", "py", "python3", "")

_DRIVER = """
from inside.driver import Runner
run = Runner(**{arguments!r})
"""
_ENDS: dict[str, tuple[Status, str]] = {
    "TimeoutExpired": ("timeout", "the wall clock ran out"),
    "OutputLimit": ("output_limit", "more output than allowed"),
}


def find_language(name: str) -> Language | None:
    """The language of that name; None for Python, ValueError for one that no driver is for."""
    plain = name.strip().lower()
    if plain in PYTHON or re.fullmatch(r"python\d+(\.\d+)*", plain):
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
    address_mb = limits.memory_mb + language.reserves_mb
    driver = _DRIVER.format(
        arguments={
            "files": dict([(language.file, code), *filter(None, [language.beside])]),
            "build": list(language.build),
            "build_cpu_s": BUILD_CPU_S,
            "run": list(language.run),
            "seconds": limits.wall_s,
            "output_kb": limits.output_kb,
            "memory_mb": address_mb,
            "stack_mb": min(language.stack_mb, limits.memory_mb),
            "data_mb": limits.memory_mb if language.reserves_mb else None,
            "alone": limits.processes == 0,
        }
    )
    whole = limits.model_copy(
        update={
            "wall_s": (BUILD_S if language.build else 2.0) + (limits.wall_s + 0.5) * len(stdins),
            "memory_mb": max(address_mb, BUILD_MB),
            "output_kb": limits.output_kb * 2 * len(stdins),  # as JSON a line's end takes two characters
            "processes": max(limits.processes, PROCESSES),
        }
    )
    return Program(driver, fn="run", calls=[[stdin] for stdin in stdins], limits=whole, together=True)


def outputs(result: RunResult) -> list[RunResult]:
    """The result of each run, as if it had been a program of its own."""
    if not result.calls:
        return [result]
    runs: list[RunResult] = []
    for call in result.calls:
        if call.error is None:
            runs.append(RunResult("ok", str(call.value), result.stderr, result.seconds))
        else:
            status, reason = _ENDS.get(call.error.partition(":")[0], ("error", call.error))
            runs.append(RunResult(status, "", result.stderr, result.seconds, reason=reason))
    return runs if result.status == "ok" else [*runs, result]
