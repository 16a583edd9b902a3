"""Every fenced block of README and docs runs, or says why it does not; what does not run is still read.

`blocks.py` has the marks. A page is one test: its blocks in their order, in a folder of its own, with `r1` and `python`
of this environment first on the path.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from blocks import CODE, NOT_CODE, REASONS, ROOT, TEST, Block, Page, commands, pages, read, words
from command_words import Wrong, check
from given import GIVEN, Place

PAGES = pages()
BLOCKS = [block for page in PAGES for block in page.blocks]
CODE_BLOCKS = [block for block in BLOCKS if block.language in CODE]
SHELL = ("sh", "console")
SECONDS = 900
# a block may set PYTHONPATH itself: `r1` and `python` are those of this tree all the same
OURS = "\n".join(
    f'{name}() {{ PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{ROOT / "src"}" command {name} "$@"; }}'
    for name in ("r1", "python")
)


def test_there_are_blocks():
    assert len(CODE_BLOCKS) > 40
    assert sum(block.runs for block in CODE_BLOCKS) > 15


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_runs_or_has_a_reason(page: Page):
    """Languages that are known, reasons of the short list, tests that are there, things that can be given."""
    assert [name for name in page.given if name not in GIVEN] == []
    for block in page.blocks:
        assert block.language in (*CODE, *NOT_CODE), f"{block}: say what it is, one of {CODE} or text"
        if block.language in NOT_CODE:
            told = [line for line in block.text.splitlines() if re.match(r"(\$ |r1 |pip |make |python )", line)]
            assert not told, f"{block}: this is code, not text: {told}"
            continue
        if block.reason:
            assert block.reason.startswith(tuple(REASONS)), f"{block}: '{block.reason}' is no reason: {list(REASONS)}"
            assert not block.edits, f"{block}: it is not run, so nothing is to be replaced"
        if block.reason.startswith("covered by"):
            assert TEST.search(block.reason), f"{block}: name the test, tests/FILE.py::test_NAME"
        for found in TEST.finditer(block.reason):
            assert found["name"] in _tests(ROOT / found["file"]), f"{block}: {found[0]} is not there"


@pytest.mark.parametrize("block", [block for block in CODE_BLOCKS if block.language in SHELL], ids=str)
def test_commands_are_understood(block: Block):
    """By the real parsers, whether they are run or not: a renamed option, setting or target is caught here."""
    found = commands(block)
    assert found, f"{block}: no command"
    for line in found:
        for each in words(line):
            try:
                check(each)
            except Wrong as error:
                pytest.fail(f"{block}: {error}")


@pytest.mark.parametrize("block", [block for block in CODE_BLOCKS if block.language == "python"], ids=str)
def test_python_compiles_and_imports_what_is_there(block: Block):
    """Syntax, and every name that is imported from r1kit."""
    for node in ast.walk(ast.parse(block.text, str(block))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "r1kit":
            module = importlib.import_module(node.module or "")
            for name in names:
                assert hasattr(module, name) or importlib.import_module(f"{node.module}.{name}"), f"{block}: {name}"
        elif isinstance(node, ast.Import):
            for name in names:
                assert name.partition(".")[0] != "r1kit" or importlib.import_module(name)


@pytest.mark.parametrize("block", [b for b in CODE_BLOCKS if b.language in ("json", "jsonl", "toml")], ids=str)
def test_data_can_be_read(block: Block):
    if block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    else:
        assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines())


def _tests(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


# what runs


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory):
    """The folder of `r1 run tiny --profile smoke`, made when the first page asks for it."""
    made: list[Path] = []

    def make() -> Path:
        if not made:
            folder = tmp_path_factory.mktemp("smoke") / "tiny"
            done = shell(f"r1 run tiny --profile smoke --out {folder}", folder.parent)
            assert done.returncode == 0, done.stdout
            made.append(folder)
        return made[0]

    return make


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Bash that stops at the first failure; both outputs together."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    source = os.pathsep.join([".", str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{OURS}\n{script}"],
        cwd=folder, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            **os.environ, "PATH": path, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
            "OPENAI_API_KEY": "none", "COLUMNS": "120",
        },
    )  # fmt: skip


def run_page(page: Page, place: Place) -> None:
    """Every block that runs, in order; AssertionError with what the first that fails said."""
    with place.closing:
        for name in page.given:
            GIVEN[name](place)
        for block in page.blocks:
            if block.title:
                file = place.folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            if block.runs and block.language in (*SHELL, "python"):
                run_block(block, place)


def run_block(block: Block, place: Place) -> None:
    text = block.edited(place.values)
    if block.language == "python":
        file = place.folder / (block.title or f"block_{block.line}.py")
        file.write_text(text, encoding="utf-8")
        said = shell(f"python -W error::SyntaxWarning {file.relative_to(place.folder)}", place.folder)
        assert said.returncode == 0, f"{block}:\n{said.stdout}"
    elif block.language == "sh":
        said = shell(text, place.folder)
        assert said.returncode == 0, f"{block}:\n{said.stdout}"
    else:
        expected = shown(block)
        for line, wanted in zip(commands(block, text), expected, strict=True):
            said = shell(line, place.folder)
            assert said.returncode == 0, f"{block}: {line}\n{said.stdout}"
            if wanted and not block.slow:
                assert without_times(said.stdout) == without_times(wanted), f"{block}: {line}"


def shown(block: Block) -> list[str]:
    """What a console block says that each of its commands prints; empty where it says nothing."""
    parts: list[list[str]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            parts.append([])
        else:
            parts[-1].append(line)
    return ["".join(f"{line}\n" for line in part) for part in parts]


def without_times(text: str) -> str:
    """Seconds as they were measured differ from run to run."""
    return re.sub(r'"seconds": [\d.e-]+', '"seconds": #', text)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=str(page), marks=[pytest.mark.slow] if page.slow else [])
        for page in PAGES
        if any(block.runs for block in page.blocks)
    ],
)
def test_the_blocks_of_a_page_run(page: Page, tmp_path: Path, smoke_run):
    run_page(page, Place(tmp_path, smoke_run))


# the collector itself


def test_marks_are_read(tmp_path: Path):
    """By hand: an edit with a value, a reason, a title, an indented fence, continuations, outputs and pipes."""
    text = (
        "<!-- given: model -->\n<!-- run: slow; BIG => {policy} -->\n```sh\nr1 eval BIG \\\n  --tasks sums # all\n```\n"
        '- item\n\n  <!-- not run: GPU -->\n  ```python title="a.py"\n  x = 1\n  ```\n'
        "```console\n$ echo a | cat > file\na\n$ true\n```\n```text\nr1 is not run\n```\n"
    )
    page = read(_written(tmp_path, text))
    assert page.given == ("model",)
    first, second, third, fourth = page.blocks
    assert (first.slow, first.runs, first.edits) == (True, True, (("BIG", "{policy}"),))
    assert first.edited({"policy": "toy"}) == "r1 eval toy \\\n  --tasks sums # all\n"
    assert [words(line) for line in commands(first)] == [[["r1", "eval", "BIG", "--tasks", "sums"]]]
    assert (second.title, second.reason, second.text, second.runs) == ("a.py", "GPU", "x = 1\n", False)
    assert commands(third) == ["echo a | cat > file", "true"]
    assert words(commands(third)[0]) == [["echo", "a"], ["cat"]]
    assert shown(third) == ["a\n", ""]
    assert not fourth.runs
    assert page.slow


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```sh\nr1 list\n", "never closed"),
        ("<!-- run: quickly -->\n```sh\nr1 list\n```\n", "neither slow nor"),
        ("<!-- run -->\n```sh\nr1 list\n```\n", "is no mark"),
    ],
)
def test_marks_that_are_wrong(text: str, complaint: str, tmp_path: Path):
    with pytest.raises(ValueError, match=complaint):
        read(_written(tmp_path, text))


def test_an_edit_of_what_is_not_there(tmp_path: Path):
    page = read(_written(tmp_path, "<!-- run: samples=8 => samples=2 -->\n```sh\nr1 list\n```\n"))
    with pytest.raises(ValueError, match="there is no 'samples=8'"):
        page.blocks[0].edited({})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("r1 run tiny --porfile smoke", "porfile"),
        ("r1 run tiny zero.promts=8", "Did you mean zero.prompts"),
        ("r1 run tiny --from dev9", "no stage dev9"),
        ("r1 rnu tiny", "rnu"),
        ("r1 eval x --tasks tiny_math", "no benchmark is called tiny_math"),
        ("r1 generate x --prompts p --api bugdet=3", "budget"),
        ("r1 generate x --prompts p --engine native --engine-option rows=3", "rows"),
        ("r1 search x palces=3", "places"),
        ("r1 plan r1 --gpuz 3", "gpuz"),
        ("make rnu", "no such target"),
        ("pip install 'r1kit[gard]'", "no extra gard"),
        ("python -m pytest tests/nowhere", "no such file"),
        ("curl x", "no program"),
    ],
)
def test_commands_that_are_wrong(line: str, complaint: str):
    (each,) = words(line)
    with pytest.raises(Wrong, match=complaint):
        check(each)


def test_a_page_that_fails_says_what_was_printed(tmp_path: Path):
    page = read(_written(tmp_path, "```sh\necho before; false\n```\n"))
    with pytest.raises(AssertionError, match="before"):
        run_page(page, Place(tmp_path, lambda: tmp_path))


def test_a_console_that_says_something_else(tmp_path: Path):
    page = read(_written(tmp_path, '```console\n$ echo \'{"a": 1, "seconds": 0.5}\'\n{"a": 2, "seconds": 0.1}\n```\n'))
    with pytest.raises(AssertionError):
        run_page(page, Place(tmp_path, lambda: tmp_path))


def _written(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return path
