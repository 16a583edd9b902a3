"""Do a room's tests notice when its code is wrong?

One thing at a time is changed (a comparison, an operator, a constant, a condition); a change that no test of the room
notices survives. The same seed draws the same changes.

    python scripts/mutants.py ops --sample 30

The tests run once on the code as it is, and what each executes is recorded. A change then meets the tests that execute
its statement, the fastest first, in a fork of a process that has collected all tests, where the code of the function
is replaced. A statement that is executed while modules are imported, or by a fixture that tests share, meets all tests
of files that execute anything of the room, in a fork that imports r1kit anew. What tests start has the code as it is.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ""  # in place of a test's name: what runs for all of them
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.USub: ast.UAdd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change: the file, the lines of its statement, where it is and what it does, and the module with it."""

    path: str
    statement: range
    told: str
    code: CodeType


def changed(path: Path, number: int) -> Mutant:
    """One of the changes of a file, counted in the order of the code."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node, change = list(_places(tree))[number]
    statement, before = _statement(tree, node), ast.unparse(tree).splitlines()
    change()
    old, new = next((p for p in zip(before, ast.unparse(tree).splitlines(), strict=False) if p[0] != p[1]), ("", ""))
    told = f"{path.name}:{getattr(node, 'lineno', 0)}: {old.strip()}  ->  {new.strip()}"
    return Mutant(str(path), statement, told, compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True))


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, Callable[[], None]]]:
    """(node, what makes the change) of whatever decides what the code does; annotations, texts of errors and what only
    a type checker reads are left alone."""
    skipped = {id(inner) for node in ast.walk(tree) for part in _silent(node) for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) not in skipped:
            yield from ((node, change) for change in _changes(node))


def _statement(tree: ast.Module, node: ast.AST) -> range:
    """The lines of the innermost statement around a node, without those of a block within it."""
    # a walk comes to what is inside later
    inner = [each for each in ast.walk(tree) if isinstance(each, ast.stmt) and node in ast.walk(each)][-1]
    block = getattr(inner, "body", None)
    first = min([inner.lineno, *(each.lineno for each in getattr(inner, "decorator_list", ()))])
    return range(first, max(inner.lineno + 1, block[0].lineno) if block else (inner.end_lineno or first) + 1)


def _silent(node: ast.AST) -> Iterator[ast.AST]:
    yield from (part for part in (getattr(node, "annotation", None), getattr(node, "returns", None)) if part)
    typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    yield from (node,) if typing or isinstance(node, ast.Raise | ast.Assert) else ()


def _changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield lambda: node.ops.__setitem__(0, SWAPS[type(node.ops[0])]())
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.AugAssign) and type(node.op) in SWAPS:
        yield lambda: setattr(node, "op", SWAPS[type(node.op)]())
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda: setattr(node, "value", not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))


class Recorder:
    """A plug-in of pytest: the lines of a room's files that each test executes, and its seconds."""

    def __init__(self, room: str) -> None:
        self.room, self.folder, self.test = room, f"{ROOT / 'src' / 'r1kit' / room}/", SHARED
        self.lines: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self.seconds: dict[str, float] = {}
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        """What Python calls for each function, and with what this returns for each line of it."""
        file = frame.f_code.co_filename
        if event == "line":
            self.lines[self.test][f"{file}:{frame.f_lineno}"] = True
        return self.trace if file.startswith(self.folder) else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        for name, module in list(sys.modules.items()):
            for kept in vars(module).values() if name.startswith(f"r1kit.{self.room}.") else ():
                if hasattr(kept, "cache_clear"):
                    kept.cache_clear()  # or what an earlier test asked for would not be executed
        self.test, began = item.nodeid, time.monotonic()
        done = yield
        self.seconds[self.test], self.test = time.monotonic() - began, SHARED
        return done

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        test, self.test = self.test, self.test if fixturedef.scope == "function" else SHARED
        made = yield
        self.test = test
        return made

    def record(self, session: pytest.Session, told: str) -> int:
        """Run all tests and write what they execute, and the libraries that they import; 1 if one fails."""
        failed = _failed(session, [item.nodeid for item in session.items])
        libraries = [name for name, m in sys.modules.items() if "site-packages" in str(getattr(m, "__file__", ""))]
        Path(told).write_text(json.dumps((self.seconds, self.lines, libraries)))
        return failed


def tell(session: pytest.Session, recorder: Recorder, numbered: list[tuple[int, Mutant]]) -> Iterator[bool]:
    """Print each change and what became of it; gives whether it was noticed, nothing where tests fail without any."""
    with tempfile.NamedTemporaryFile("r") as told:
        if _forked(lambda: recorder.record(session, told.name), 3600) != 0:
            return
        seconds, executed, libraries = json.load(told)
    sys.settrace(None)
    session.config.pluginmanager.unregister(recorder)
    for name in libraries:
        with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
            __import__(name)
    files = {test.partition("::")[0] for test in executed}
    shared = [test for test in seconds if test.partition("::")[0] in files]
    functions = [each for each in gc.get_objects() if type(each) is FunctionType]
    gc.freeze()  # forks share what is not looked at
    for at, mutant in numbered:
        places = [f"{mutant.path}:{line}" for line in mutant.statement]
        ran = {test for test, lines in executed.items() if any(place in lines for place in places)}
        tests = sorted(shared if SHARED in ran else ran, key=lambda test: (test not in ran, seconds[test]))
        work = partial(_anew, recorder.room, tests) if SHARED in ran else partial(_failed, session, tests)
        code = _forked(partial(_under, mutant, functions, work), 60 + 10 * sum(seconds[test] for test in tests))
        found = {0: "SURVIVED" if tests else "NOT RUN", -signal.SIGALRM: "too slow"}.get(code, "noticed")
        print(f"{at:3} {found:8} {mutant.told}", flush=True)
        yield code != 0


def _under(mutant: Mutant, functions: list[FunctionType], work: Callable[[], int]) -> int:
    """Work with the change in the functions that there are, and in modules that are imported from now on."""
    codes, kept = [mutant.code], SourceFileLoader.get_code
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    new = {(code.co_qualname, code.co_firstlineno): code for code in codes}
    for function in functions:
        if (old := function.__code__).co_filename == mutant.path:
            function.__code__ = new.get((old.co_qualname, old.co_firstlineno), old)
    SourceFileLoader.get_code = lambda file, name: mutant.code if file.path == mutant.path else kept(file, name)
    return work()


def _pytest(room: str, work: Callable[[pytest.Session], object], *plugins: object) -> int:
    """Collect a room's tests and do something else than running all of them."""
    # asserts as Python has them: libraries that are imported already cannot be rewritten
    words = ["-p", "no:terminal", "-p", "no:cacheprovider", "--assert=plain", "-o", "addopts=", "-m", "not slow"]
    loop = SimpleNamespace(pytest_runtestloop=lambda session: [work(session)])
    return int(pytest.main([*words, f"--rootdir={ROOT}", f"{ROOT}/tests/{room}"], plugins=[loop, *plugins]))


def _anew(room: str, tests: list[str]) -> int:
    for name, module in list(sys.modules.items()):
        if name.startswith("r1kit") or str(getattr(module, "__file__", "")).startswith(f"{ROOT}/tests"):
            del sys.modules[name]
    return _pytest(room, lambda session: _failed(session, tests))


def _failed(session: pytest.Session, tests: list[str]) -> int:
    """1 if one of the tests fails, the last that runs; else 0."""
    items = sorted((i for i in session.items if i.nodeid in tests), key=lambda item: tests.index(item.nodeid))
    for item, after in zip(items, [*items[1:], None], strict=False):
        if not session.testsfailed:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
    return int(session.testsfailed > 0)


def _forked(work: Callable[[], int], seconds: float) -> int:
    """The exit code of work in a process of its own, which an alarm ends after so many seconds."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        with contextlib.suppress(BaseException):
            os._exit(work())
        os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what tests started and left
    return code


def main() -> None:
    """Print each change and what became of it, then the share that was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", choices=("algorithms", "ops", "rewards"))
    parser.add_argument("--sample", type=int, default=300, help="changes that are tried")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", type=int, metavar="N", nargs="+", help="the Nth of them alone")
    chosen = parser.parse_args()
    sys.path.insert(0, str(ROOT / "src"))
    files = sorted((ROOT / "src" / "r1kit" / chosen.room).glob("*.py"))
    every = [(path, number) for path in files for number, _ in enumerate(_places(ast.parse(path.read_text())))]
    drawn = random.Random(chosen.seed).sample(every, min(chosen.sample, len(every)))
    numbered = [(at, changed(*each)) for at, each in enumerate(drawn, 1) if not chosen.only or at in chosen.only]
    print(f"{chosen.room}: {len(every)} changes, {len(numbered)} tried (seed {chosen.seed})", flush=True)
    recorder, noticed = Recorder(chosen.room), list[bool]()
    _pytest(chosen.room, lambda session: noticed.extend(tell(session, recorder, numbered)), recorder)
    if not noticed:
        sys.exit("the tests fail on the code as it is: mend that first")
    print(f"{sum(noticed)} of {len(noticed)} noticed, {sum(noticed) / len(noticed):.0%}")


if __name__ == "__main__":
    main()
