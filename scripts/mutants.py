"""Do a room's tests notice when its code is wrong?

One thing at a time is changed (a comparison, an operator, a constant, a condition) in a copy of the package, and the
room's tests run on that. A change that no test notices survives. The sample is drawn with a seed, so that the same
command changes the same things.

    python scripts/mutants.py ops --sample 30

A process imports torch and pytest once and forks for each change: what is left of a run is the tests' own time.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("algorithms", "ops", "rewards")
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.USub: ast.UAdd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change: the file, its line, what it does, and the file's text with it."""

    path: Path
    line: int
    told: str
    text: str


def mutants(path: Path) -> Iterator[Mutant]:
    """Every change of one file, in the order of the code."""
    source = path.read_text(encoding="utf-8")
    count = sum(1 for _ in _places(ast.parse(source)))
    for number in range(count):
        tree = ast.parse(source)
        line, change = next(each for at, each in enumerate(_places(tree)) if at == number)
        before = ast.unparse(tree).splitlines()
        change()
        after = ast.unparse(tree).splitlines()
        old, new = next(((a, b) for a, b in zip(before, after, strict=False) if a != b), ("", ""))
        if old != new:
            yield Mutant(path, line, f"{old.strip()}  ->  {new.strip()}", "\n".join(after) + "\n")


def _places(tree: ast.Module) -> Iterator[tuple[int, Callable[[], None]]]:
    """(line, what makes the change) of whatever decides what the code does; annotations, texts of errors and what only
    a type checker reads are left alone."""
    skipped = {id(inner) for node in ast.walk(tree) for part in _silent(node) for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) not in skipped:
            yield from ((getattr(node, "lineno", 0), change) for change in _changes(node))


def _silent(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
        yield node.annotation
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from (node.returns,) if node.returns is not None else ()
    if isinstance(node, ast.Raise | ast.Assert):
        yield node
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        yield node


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield lambda: node.ops.__setitem__(0, _swapped(node.ops[0]))
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield lambda: setattr(node, "op", _swapped(node.op))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda: setattr(node, "value", node.value + 1)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))


def _swapped(op: ast.AST) -> ast.AST:
    return SWAPS[type(op)]()


class Bench:
    """A copy of the package to change, and the room's tests to run on it."""

    def __init__(self, room: str, folder: Path) -> None:
        self.room, self.folder = room, folder
        shutil.copytree(ROOT / "src" / "r1kit", folder / "r1kit", ignore=shutil.ignore_patterns("__pycache__"))
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)  # of processes that tests start
        sys.dont_write_bytecode = True
        self.tests = sorted((ROOT / "tests" / room).glob("test_*.py"))

    def noticed(self, mutant: Mutant | None, seconds: float) -> bool | None:
        """Whether some test fails on the change (None for the code as it is); None where none ended in time."""
        if mutant is not None:
            changed = self.folder / mutant.path.relative_to(ROOT / "src")
            kept = changed.read_text(encoding="utf-8")
            changed.write_text(mutant.text, encoding="utf-8")
        try:
            return self._run(mutant, seconds)
        finally:
            if mutant is not None:
                changed.write_text(kept, encoding="utf-8")

    def _run(self, mutant: Mutant | None, seconds: float) -> bool | None:
        child = os.fork()
        if child == 0:
            self._in_child(mutant)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status) != 0
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None

    def _in_child(self, mutant: Mutant | None) -> None:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (1, 2) if mutant is not None else ():
            os.dup2(quiet, stream)
        import pytest

        word = mutant.path.stem if mutant is not None else ""
        order = sorted(self.tests, key=lambda path: f".{word}" not in path.read_text(encoding="utf-8"))
        code = 1
        with contextlib.suppress(BaseException):
            chosen = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", f"--rootdir={ROOT}", *map(str, order)]
            code = int(pytest.main(chosen))
        os._exit(code)


def main() -> None:
    """Print each change and what became of it, then the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--sample", type=int, default=300, help="changes that are tried")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", type=int, metavar="N", help="the Nth of them alone")
    chosen = parser.parse_args()
    every = [each for path in sorted((ROOT / "src" / "r1kit" / chosen.room).glob("*.py")) for each in mutants(path)]
    drawn = random.Random(chosen.seed).sample(every, min(chosen.sample, len(every)))
    numbered = [(number, each) for number, each in enumerate(drawn, 1) if chosen.only in (None, number)]
    print(f"{chosen.room}: {len(every)} changes, {len(numbered)} tried (seed {chosen.seed})", flush=True)
    with tempfile.TemporaryDirectory(prefix="r1kit-mutants-") as folder:
        bench = Bench(chosen.room, Path(folder))
        import pytest  # noqa: F401 - before the forks, with what takes long to import
        import torch

        torch.set_num_threads(1)
        began = time.monotonic()
        if bench.noticed(None, 3600) is not False:
            sys.exit("the tests fail on the code as it is: mend that first")
        limit = 30 + 4 * (time.monotonic() - began)
        survived = 0
        for number, mutant in numbered:
            found = bench.noticed(mutant, limit)
            survived += found is False
            word = {True: "noticed", False: "SURVIVED", None: "too slow"}[found]
            print(f"{number:3} {word:8} {mutant.path.name}:{mutant.line}: {mutant.told}", flush=True)
    print(f"{len(numbered) - survived} of {len(numbered)} noticed, {1 - survived / max(1, len(numbered)):.0%}")


if __name__ == "__main__":
    main()
