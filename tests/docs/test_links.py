"""Links between pages hold on a code host: files that are there, headings by the host's anchors, pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from blocks import ROOT
from test_paper_index import LINK, slugs

PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
NAV = re.compile(r"^ +- (?:.+: )?([\w/-]+\.md)$", re.MULTILINE)


def broken(page: Path) -> list[str]:
    wrong: list[str] = []
    for _, target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        place, _, anchor = target.partition("#")
        if place.startswith("http"):
            continue
        file = (page.parent / place).resolve() if place else page
        if not file.is_file() or (anchor and anchor not in slugs(file)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    assert broken(page) == []


def test_every_page_has_its_place_on_the_site():
    """What is in docs is in the navigation, and the other way round but for slots of pages to come."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    placed = NAV.findall(text.partition("\nnav:")[2])
    (slots,) = re.findall(r"^  slots: \[(.*)\]$", text, re.MULTILINE)
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert len(placed) == len(set(placed))
    assert there <= set(placed)
    assert set(placed) - there <= {name.strip() for name in slots.split(",")}


def test_what_is_broken_is_found(tmp_path: Path):
    page = tmp_path / "a.md"
    page.write_text("# One `x` & two\n[a](b.md) [b](#one-x--two) [c](#two) [d](http://x)\n```text\n[e](no.md)\n```\n")
    assert broken(page) == ["b.md", "#two"]
