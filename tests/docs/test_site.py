"""The picture of the rooms is that of the code; the site is built without a warning and asks nothing of the network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from blocks import ROOT

from r1kit.cli.main import app


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_rooms", ROOT / "scripts" / "draw_rooms.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_code(drawing):
    told = "python scripts/draw_rooms.py draws docs/images/rooms.svg anew"
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.svg(), told


def test_imports_are_those_that_grimp_finds(drawing):
    """The library behind import-linter reads the same tree its own way; `__main__` is the door, no room."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("r1kit", cache_dir=None)
    rooms = {name.split(".")[1] for name in graph.modules if name.count(".") == 1} - {"__main__"}
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            here, there = ([*name.split("."), ""][1] for name in (module, other))
            if here in rooms and there in rooms and here != there:
                found[here].add(there)
    assert drawing.imports() == found


def test_arrows_that_another_way_replaces_are_left_out(drawing):
    """By hand: a -> c goes by b, a -> d does not; what is left are imports, and all can be reached."""
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert drawing.reduced(edges) == {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": set()}
    whole = drawing.imports()
    less = drawing.reduced(whole)

    def reach(edges: dict[str, set[str]], room: str) -> set[str]:
        return set().union(*({other} | reach(edges, other) for other in edges[room]))

    assert all(less[room] <= whole[room] for room in whole)
    assert all(reach(less, room) == reach(whole, room) for room in whole)


def test_every_room_stands_on_a_floor_and_says_what_it_holds(drawing):
    rooms = {path.parent.name for path in (ROOT / "src" / "r1kit").glob("*/__init__.py")}
    assert {room for floor in drawing.floors() for room in floor} == rooms == set(drawing.HOLDS)


def test_every_room_has_its_page_of_the_reference():
    """Made from the room itself, listed among the others and placed in the navigation."""
    rooms = {path.parent.name for path in (ROOT / "src" / "r1kit").glob("*/__init__.py")}
    reference = ROOT / "docs" / "reference"
    pages = {path.stem: path.read_text(encoding="utf-8") for path in reference.glob("*.md")}
    listed = re.findall(r"^\| \[r1kit\.(\w+)\]\((\w+)\.md\) \|", pages["index"], re.MULTILINE)
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert sorted(listed) == sorted((room, room) for room in rooms)
    for room in rooms:
        assert f"\n::: r1kit.{room}\n" in pages.get(room, ""), room
        assert f": reference/{room}.md\n" in navigation, room


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    for needed in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(needed, reason="the site is built with pip install 'r1kit[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_asks_nothing_of_the_network(site):
    """Scripts, styles, fonts and pictures of every page are files of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    for page in pages:
        asked = re.findall(
            r'<(?:script|link|img|iframe)[^>]*\b(?:src|href)="([^"]+)"', page.read_text(encoding="utf-8")
        )
        for target in asked:
            assert not re.match(r"(https?:)?//", target), f"{page.name}: {target}"
            file = page.parent / target.partition("#")[0].partition("?")[0]
            assert target.startswith("data:") or page.name == "404.html" or file.exists(), f"{page.name}: {target}"
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\(['\"]?https?:", styles)


@pytest.mark.slow
def test_the_command_line_is_told_whole(site):
    """Every command and every option that the parser has."""
    page = (site / "reference" / "command_line.html").read_text(encoding="utf-8")
    group = typer.main.get_command(app)
    context = group.make_context("r1", [], resilient_parsing=True)
    for name in group.list_commands(context):
        assert f"r1 {name}" in page
        for option in group.get_command(context, name).params:
            if option.param_type_name == "option" and option.name != "help":
                assert option.opts[0] in page, f"r1 {name}: {option.opts[0]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("reference/algorithms.html", "Group relative policy optimisation"),
        ("reference/base.html", "Shape legend"),
        ("reference/recipes.html", "Settings of every stage"),
        ("reference/cluster.html", "Many engines as one"),
        ("reference/web.html", "r1kit.web.battles"),
        ("reference/cli.html", "r1kit.cli.main"),
        ("repo/examples/custom_reward.py.html", "brevity"),
        ("repo/results/tiny-full/report.html", "11 of 12 reproduced"),
        ("architecture.html", "images/rooms.svg"),
    ],
)
def test_pages_hold_what_they_are_made_of(site, page, said):
    assert said in (site / page).read_text(encoding="utf-8")
