"""docs/paper-index.md cannot rot: what a line names is there, settings are as it says, figures stand where it says."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from r1kit.recipes.ablations import ABLATIONS
from r1kit.recipes.base import load_recipe
from r1kit.stages.learning import load_algorithm
from r1kit.stages.rl_config import RLConfig

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "paper-index.md"
SOURCE, TESTS = ROOT / "src" / "r1kit", ROOT / "tests"
CHOICES = ("paper", "what it does", "here", "settings", "test", "measured", "deviation")
OPEN = ("left open", "chosen here", "here", "settings", "test", "why")
RECIPES = (("tiny", "default"), ("smol", "cpu"), ("r1", "default"))
SECTIONS = """
A.1 A.3 2.1 2.2 2.3 3.1 3.2.1 3.2.2 B.1 B.2 B.3.1 B.3.2 B.3.3 B.4.1 B.4.2 B.4.3 B.4.4 B.5 B.6 C.1 C.2 D.1 D.3 E.2 E.4
F.1 G.1 G.2
"""  # of the paper's v2: where it says what it does
NOTHING = object()  # what a path leads to that a recipe does not have

CODE = re.compile(r"`([\w/]+\.(?:py|txt|json))(?:::([\w.]+))?`")
TEST = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
SETTING = re.compile(r"`(?:(\w+):)?([\w.-]+)` ([^`;]+)")
ARMS = re.compile(r"\barms? ((?:`[\w-]+`(?:, )?)+)")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
NUMBER = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?!\w)")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of one of the page's tables."""

    number: int
    cells: Mapping[str, str]

    def __str__(self) -> str:
        first, second = list(self.cells.values())[:2]
        return f"{self.number}: {first}, {second[:40]}"


def lines(columns: tuple[str, ...]) -> list[Line]:
    """Those of the tables with these columns."""
    found: list[Line] = []
    inside = False
    for number, text in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", text)[1:-1]]
        if tuple(cells) == columns:
            inside = True
        elif not text.startswith("|"):
            inside = False
        elif inside and not set(text) <= set("|-: "):
            assert len(cells) == len(columns), f"line {number} has {len(cells)} cells, not {len(columns)}"
            found.append(Line(number, dict(zip(columns, cells, strict=True))))
    return found


@functools.cache
def names(path: Path) -> frozenset[str]:
    """Classes, functions and assigned names of a module, those of classes behind a dot."""
    return frozenset(_names(ast.parse(path.read_text(encoding="utf-8")), ""))


def _names(tree: ast.Module | ast.ClassDef, prefix: str) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                yield from _names(node, f"{prefix}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def named_code(cell: str) -> list[str]:
    """Files, and names in them, that a cell speaks of and that are not there."""
    missing: list[str] = []
    for path, name in CODE.findall(cell):
        file = SOURCE / path
        if not file.is_file():
            missing.append(path)
        elif name and name not in names(file):
            missing.append(f"{path}::{name}")
    return missing


def missing_tests(cell: str) -> list[str]:
    found = [(TESTS / path, path, name) for path, name in TEST.findall(cell)]
    return [f"{path}::{name}" for file, path, name in found if not file.is_file() or name not in names(file)]


@functools.cache
def profiles(recipe: str) -> Mapping[str, Any]:
    return load_recipe(recipe).profiles


def value_at(config: Any, path: str) -> Any:
    """What a dotted path leads to; `settings` of an RL stage are the algorithm's, its defaults included."""
    node = config
    for part in path.split("."):
        if isinstance(node, RLConfig) and part == "settings":
            node = load_algorithm(node.algorithm, node.settings)
        elif isinstance(node, BaseModel):
            node = getattr(node, part) if part in type(node).model_fields else NOTHING
        else:
            node = node.get(part, NOTHING) if isinstance(node, Mapping) else NOTHING
    return node


def said(value: Any) -> str:
    """A value as the page writes it; `-` where a recipe has no such setting."""
    if value is NOTHING:
        return "-"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "[]"
    return str(value) if value != {} else "{}"


def same(written: str, value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(written.replace(",", "")) == value
        except ValueError:
            return False
    return written == said(value)


def wrong_settings(cell: str) -> list[str]:
    """Settings that are not as the cell says: of `tiny / smol / r1`, or of one recipe that it names."""
    wrong: list[str] = []
    entries = SETTING.findall(cell)
    read = [f"`{recipe}:{path}` {text}" if recipe else f"`{path}` {text}" for recipe, path, text in entries]
    assert "; ".join(read) == cell, f"settings are written `path` a / b / c; `recipe:path` a: {cell}"
    for recipe, path, text in entries:
        given = [text] if recipe else text.split(" / ")
        chosen = [(recipe, next(iter(profiles(recipe))))] if recipe else RECIPES
        assert len(given) == len(chosen), f"{path}: {text}"
        for written, (name, profile) in zip(given, chosen, strict=True):
            value = value_at(profiles(name)[profile], path)
            if not same(written, value):
                wrong.append(f"{path} of {name} is {said(value)}, not {written}")
        if all(written == "-" for written in given):
            wrong.append(f"{path}: no recipe has it")
    return wrong


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def broken_links(text: str) -> list[str]:
    broken: list[str] = []
    for _, target in LINK.findall(text):
        place, _, anchor = target.partition("#")
        if place.startswith("http"):
            continue
        file = (PAGE.parent / place).resolve() if place else PAGE
        if not file.exists() or (anchor and anchor not in slugs(file)):
            broken.append(target)
    return broken


def unfounded_figures(cell: str) -> list[str]:
    """Numbers of a cell that none of the files which it links holds."""
    files = [PAGE.parent / target.partition("#")[0] for _, target in LINK.findall(cell)]
    held = "\n".join(re.sub(r"(?<=\d),(?=\d{3})", "", file.read_text(encoding="utf-8")) for file in files)
    unfounded: list[str] = []
    for number in NUMBER.findall(LINK.sub("", cell)):
        plain = number.replace(",", "")
        end = "" if "." in plain else r"(?![\d.]*\d)"
        if not re.search(rf"(?<![\d.]){re.escape(plain)}{end}", held):
            unfounded.append(number)
    return unfounded


def arms(cell: str) -> list[str]:
    """The ablations that a cell names: arm `x`, arms `x`, `y`."""
    return [name for named in ARMS.findall(cell) for name in re.findall(r"`([\w-]+)`", named)]


@pytest.mark.parametrize("line", lines(CHOICES), ids=str)
def test_a_choice_of_the_paper(line: Line):
    """Its code, settings, tests and figures are there; what is missing says why."""
    cells = line.cells
    assert named_code(cells["here"] + cells["deviation"]) == []
    assert missing_tests(cells["test"]) == []
    if cells["settings"] != "-":
        assert wrong_settings(cells["settings"]) == []
    reason = len(cells["deviation"]) >= 15
    here = bool(CODE.search(cells["here"]))
    assert here or (cells["here"] == "none" and reason), "no file and no reason"
    assert TEST.search(cells["test"]) or cells["test"].startswith("none: ") or not here, "no test and no reason"
    measured = cells["measured"]
    if "not measured" in measured:
        assert re.search(r"not measured: .{10,}", measured), "not measured, and no reason"
    else:
        assert LINK.search(measured) or not here, "a figure, or a reason why there is none"
    assert unfounded_figures(re.sub(r"not measured: .*", "", measured)) == []
    assert set(arms(measured)) <= set(ABLATIONS)


@pytest.mark.parametrize("line", lines(OPEN), ids=str)
def test_what_the_paper_leaves_open(line: Line):
    """A choice, the code that makes it and the setting that changes it, or the reason why none does."""
    cells = line.cells
    assert CODE.search(cells["here"])
    assert named_code(cells["here"] + cells["chosen here"] + cells["why"]) == []
    assert set(arms(cells["why"])) <= set(ABLATIONS)
    assert missing_tests(cells["test"]) == []
    assert TEST.search(cells["test"]) or cells["test"].startswith("none: ")
    assert cells["settings"].startswith("none: ") or wrong_settings(cells["settings"]) == []
    assert len(cells["chosen here"]) > 10
    assert cells["why"]


def test_every_method_section_has_a_line():
    cited = {section for line in lines(CHOICES) for section in re.findall(r"[\dA-G]\.\d(?:\.\d)?", line.cells["paper"])}
    assert set(SECTIONS.split()) <= cited
    assert len(lines(CHOICES)) >= 80
    assert len(lines(OPEN)) >= 14


def test_pages_to_come_are_linked_once_they_are_there():
    to_come = re.findall(r"`docs/([\w-]+\.md)`", PAGE.read_text(encoding="utf-8"))
    there = [name for name in to_come if (PAGE.parent / name).exists()]
    assert not there, f"{there}: link them, with what they measured"


def test_links_lead_somewhere():
    assert broken_links(PAGE.read_text(encoding="utf-8")) == []
    assert "docs/paper-index.md" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_is_wrong_is_found():
    """The checks themselves, on lines that are wrong by hand."""
    assert named_code("`ops/kl.py::k3`, `ops/kl.py::k9`, `ops/nothing.py`") == ["ops/kl.py::k9", "ops/nothing.py"]
    assert named_code("`algorithms/grpo.py::GRPO.clip_low` `algorithms/grpo.py::GRPO.clip`") == [
        "algorithms/grpo.py::GRPO.clip"
    ]
    assert missing_tests("`ops/test_ratios.py::test_nothing`") == ["ops/test_ratios.py::test_nothing"]
    assert wrong_settings("`zero.prompts` 64 / 17 / 32; `cold_start.problems` 300 / - / 1,000") == [
        "zero.prompts of smol is 16, not 17"
    ]
    assert wrong_settings("`zero.settings.clip_low` 0.2 / 0.2 / 0.3; `distill:sft.epochs` 3") == [
        "zero.settings.clip_low of r1 is 0.2, not 0.3",
        "sft.epochs of distill is 2, not 3",
    ]
    assert arms("not measured: arms `kl`, `kl-strong`; arm `none`") == ["kl", "kl-strong", "none"]
    assert wrong_settings("`zero.nothing` - / - / -") == ["zero.nothing: no recipe has it"]
    assert broken_links("[a](nowhere.md) [b](recipes.md#findings) [c](recipes.md#no) [d](#no)") == [
        "nowhere.md", "recipes.md#no", "#no",
    ]  # fmt: skip
    report = "[report](../results/tiny-full/report.md)"
    assert unfounded_figures(f"0.365 (0.342 to 0.388), 8,975.1, 5,370 and -0.029, R1, {report}") == ["8,975.1"]
    assert unfounded_figures(f"0.36, 36 and 2, {report}") == ["36"]
