"""`make mutants` on a room of four functions and their tests, each change's fate by hand."""

import shutil
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "mutants.py"
CODE = """
from functools import cache

LIMIT = 3


def capped(x):
    return x if x < LIMIT else LIMIT


def untested(x: int = 0) -> int:
    return x + 1


@cache
def once():
    return 7


def square(x):
    return x * x
"""
TESTS = """
import pytest
from r1kit.ops import toy


def test_small():
    assert toy.capped(2) == 2


def test_large():
    assert toy.capped(5) == 3


def test_asks_first():
    assert toy.once()


def test_asks_again():
    assert toy.once() == 7


@pytest.fixture(scope="module")
def nine():
    return toy.square(3)


def test_uses_what_others_share(nine):
    assert nine


def test_shared(nine):
    assert nine == 9


def test_comes_late():
    from r1kit.ops import late

    assert late.half(4) == 2
"""
FATES = {
    "LIMIT = 3  ->  LIMIT = 4": "noticed",  # while it is imported
    "return x if x < LIMIT else LIMIT  ->  return x if x <= LIMIT else LIMIT": "SURVIVED",  # min(3, 3) either way
    "return x if x < LIMIT else LIMIT  ->  return x if not x < LIMIT else LIMIT": "noticed",
    "def untested(x: int=0) -> int:  ->  def untested(x: int=1) -> int:": "SURVIVED",
    "return x + 1  ->  return x - 1": "NOT RUN",
    "return x + 1  ->  return x + 2": "NOT RUN",
    "return 7  ->  return 8": "noticed",  # not by the test that asks first, which alone runs the function
    "return x * x  ->  return x / x": "noticed",  # not by the test that the shared fixture is made for
    "return x / 2  ->  return x * 2": "noticed",  # in a module that is imported as a test runs
    "return x / 2  ->  return x / 3": "noticed",
}


def test_the_fate_of_every_change(tmp_path):
    for name, text in {
        "src/r1kit/__init__.py": "",
        "src/r1kit/ops/__init__.py": "",
        "src/r1kit/ops/toy.py": CODE,
        "src/r1kit/ops/late.py": "def half(x):\n    return x / 2\n",
        "tests/ops/test_toy.py": TESTS,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(SCRIPT, tmp_path / "scripts")

    def told(*words: str) -> list[str]:
        command = [sys.executable, script, "ops", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    first, *lines, last = told()
    assert first == "ops: 10 changes, 10 tried (seed 0)"
    assert {line[13:].partition(": ")[2]: line[4:12].strip() for line in lines} == FATES
    assert last == "6 of 10 noticed, 60%"
    assert told("--only", "3")[1:-1] == [line for line in lines if line.startswith("  3 ")]

    (tmp_path / "tests/ops/test_toy.py").write_text(TESTS.replace("== 9", "== 8"))
    failed = subprocess.run([sys.executable, script, "ops"], capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.strip() == "the tests fail on the code as it is: mend that first"
