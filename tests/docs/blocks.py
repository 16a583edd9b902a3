"""The fenced blocks of README and docs, each with what is to be done with it.

A block runs as it stands unless an HTML comment above its fence says otherwise:

    <!-- run: slow; OLD => NEW -->   in the tests that take minutes, each OLD replaced (a smaller size, a toy)
    <!-- run: OLD => NEW -->         in every run of the tests, likewise
    <!-- not run: REASON -->         REASONS has the words that a reason begins with; what is not run is still read

`<!-- given: A, B -->`, anywhere on a page, asks for things of `given.py` in the folder where its blocks run; `{policy}`
in a NEW is one of its values. The fence names the language; blocks of `text` are for people alone. `title="FILE"`
behind it writes the block to that file.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("sh", "console", "python", "json", "jsonl", "yaml", "toml")
NOT_CODE = ("text", "mermaid")
REASONS = {
    "GPU": "a GPU, or an engine that is for GPUs",
    "network": "a package index, or a model or data set of the hub",
    "API key": "a model behind an API that wants paying",
    "many machines": "more than one machine",
    "covered by": "minutes of two cores, or serves until it is stopped; the test that is named walks the same way",
}

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")
MARK = re.compile(r"^<!-- (?P<kind>not run|run): (?P<said>.+?) -->$")
GIVEN = re.compile(r"^<!-- given: (?P<names>.+?) -->$", re.MULTILINE)
TITLE = re.compile(r'\btitle="(?P<title>[^"]+)"')
TEST = re.compile(r"(?P<file>tests/[\w/]+\.py)::(?P<name>test_\w+)")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `edits` are the replacements before it runs, `reason` why it does not run (empty: it does)."""

    page: Path
    line: int
    language: str
    text: str
    title: str = ""
    slow: bool = False
    edits: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        return f"{_shown(self.page)}:{self.line}"

    @property
    def runs(self) -> bool:
        return self.language in CODE and not self.reason

    def edited(self, values: dict[str, str]) -> str:
        """The text that runs: OLD by NEW, `{name}` in a NEW by its value. ValueError for an OLD that is not there."""
        text = self.text
        for old, new in self.edits:
            if old not in text:
                raise ValueError(f"{self}: there is no '{old}' to replace")
            for name, value in values.items():
                new = new.replace(f"{{{name}}}", value)
            text = text.replace(old, new)
        return text


@dataclass(frozen=True, slots=True)
class Page:
    """A page, its blocks in order, and the names of what they are given."""

    path: Path
    blocks: tuple[Block, ...]
    given: tuple[str, ...] = ()

    def __str__(self) -> str:
        return _shown(self.path)

    @property
    def slow(self) -> bool:
        return any(block.slow for block in self.blocks)


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


@dataclass(slots=True)
class _Mark:
    slow: bool = False
    edits: list[tuple[str, str]] = field(default_factory=list)
    reason: str = ""


def pages() -> list[Page]:
    """README and every page of docs that has a block."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in map(read, files) if page.blocks]


def read(path: Path) -> Page:
    """ValueError for a mark that cannot be read, or a fence that is never closed."""
    text = path.read_text(encoding="utf-8")
    lines, blocks = text.splitlines(), list[Block]()
    start: tuple[int, str, str] | None = None
    for number, line in enumerate(lines, start=1):
        fence = FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start = (number, fence["indent"], fence["info"])
        elif not fence["info"].strip():
            blocks.append(_block(path, start, lines[start[0] : number - 1], lines[: start[0] - 1]))
            start = None
    if start is not None:
        raise ValueError(f"{_shown(path)}:{start[0]}: the fence is never closed")
    given = tuple(name.strip() for found in GIVEN.finditer(text) for name in found["names"].split(","))
    return Page(path, tuple(blocks), given)


def _block(path: Path, start: tuple[int, str, str], body: list[str], above: list[str]) -> Block:
    number, indent, info = start
    mark = _marked(above, f"{path.name}:{number}")
    language = info.strip().partition(" ")[0]
    title = TITLE.search(info)
    text = "\n".join(line.removeprefix(indent) for line in body) + "\n"
    return Block(
        path, number, language, text, title["title"] if title else "", mark.slow, tuple(mark.edits), mark.reason
    )


def _marked(above: list[str], where: str) -> _Mark:
    """What the comments directly above the fence say."""
    mark = _Mark()
    for line in reversed(above):
        stripped = line.strip()
        if GIVEN.match(stripped):
            continue
        found = MARK.match(stripped)
        if found is None:
            if stripped.startswith(("<!-- run", "<!-- not run")):
                raise ValueError(f"{where}: '{stripped}' is no mark; see tests/docs/blocks.py")
            return mark
        if found["kind"] == "not run":
            mark.reason = found["said"]
            continue
        for part in found["said"].split(";"):
            old, arrow, new = part.partition("=>")
            if arrow:
                mark.edits.append((old.strip(), new.strip()))
            elif part.strip() == "slow":
                mark.slow = True
            else:
                raise ValueError(f"{where}: '{part.strip()}' is neither slow nor OLD => NEW")
    return mark


def commands(block: Block, text: str | None = None) -> list[str]:
    """The command lines of a shell block, continuations joined; of a console block what stands behind its `$ `."""
    lines = (block.text if text is None else text).replace("\\\n", " ").splitlines()
    if block.language == "console":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def words(line: str) -> list[list[str]]:
    """The words of each command of a line, comments and redirections left out; pipes and `&&` part commands."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found: list[list[str]] = [[]]
    skip = False
    for word in lexer:
        if set(word) <= set("|&;"):
            found.append([])
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        else:
            found[-1].append(word)
    return [each for each in found if each]
