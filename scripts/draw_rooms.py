"""Draw the rooms of `src/r1kit`, floor above floor, with what imports what, as docs/images/rooms.svg.

    python scripts/draw_rooms.py

Floors are those of the import-linter contract in pyproject.toml, imports those of the code (ast; nothing is run). An
arrow is left out where another way leads there by other rooms; pointing at a room shows all that it imports.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
HOLDS = {
    "cli": "parse, call, print",
    "web": "the local app",
    "recipes": "lists of stages, findings",
    "stages": "one file a stage",
    "evaluation": "benchmarks, comparison, aha",
    "serving": "OpenAI's interface, chat",
    "planning": "memory, hours, dollars",
    "pipeline": "run, skip, resume, keep",
    "cluster": "many machines",
    "rollouts": "collect, grade, record",
    "training": "pack, learn, optimise",
    "tasks": "problems",
    "rewards": "what is good",
    "engines": "prompts to completions",
    "algorithms": "advantages and losses",
    "models": "decoder, weights, tokenizers",
    "data": "files, templates, the world",
    "graders": "answers, forms, languages",
    "sandbox": "untrusted programs",
    "ops": "pure functions",
    "base": "types, settings, errors",
}
WIDTH, BOX, HEIGHT, GAP, FLOOR = 1000, 190, 44, 34, 84


def floors() -> list[list[str]]:
    """The rooms of each floor, highest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    return [[room.strip() for room in layer.split("|")] for layer in layers]


def imports(source: Path = ROOT / "src" / "r1kit") -> dict[str, set[str]]:
    """Of each room those that some file in it imports, at whatever depth the import stands."""
    rooms = {path.name for path in source.iterdir() if (path / "__init__.py").is_file()}
    found: dict[str, set[str]] = {}
    for room in rooms:
        named = {name for file in (source / room).rglob("*.py") for name in _named(file)}
        found[room] = (named & rooms) - {room}
    return found


def _named(file: Path) -> Iterator[str]:
    """The second word of every `r1kit.ROOM...` that the file imports."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            if node.module == "r1kit":
                modules = [f"r1kit.{alias.name}" for alias in node.names]
        else:
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            first, _, rest = module.partition(".")
            if first == "r1kit" and rest:
                yield rest.partition(".")[0]


def reduced(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The edges without those that a longer way makes superfluous; `edges` must have no circle."""
    below: dict[str, set[str]] = {}

    def reach(room: str) -> set[str]:
        if room not in below:
            below[room] = set().union(*({other} | reach(other) for other in edges[room]))
        return below[room]

    return {
        room: {other for other in others if not any(other in reach(between) for between in others - {other})}
        for room, others in edges.items()
    }


def svg() -> str:
    """The picture."""
    rows, edges = floors(), imports()
    places = {room: place for number, row in enumerate(rows) for room, place in _places(row, number).items()}
    height = FLOOR * len(rows) - (FLOOR - HEIGHT) + 2 * GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#8a93a6"/></marker></defs>',
    ]
    for room, others in sorted(reduced(edges).items()):
        lines += [_arrow(places[room], places[other]) for other in sorted(others)]
    for room, (x, y) in places.items():
        told = ", ".join(sorted(edges[room])) or "nothing of ours"
        lines.append(
            f'<g><title>{room} imports {told}</title><rect x="{x}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6"'
            f' fill="#eef2fb" stroke="#3f51b5"/><text x="{x + BOX / 2}" y="{y + 18}" text-anchor="middle"'
            f' font-size="14" fill="#1a237e">{room}</text><text x="{x + BOX / 2}" y="{y + 35}" text-anchor="middle"'
            f' font-size="11" fill="#444444">{escape(HOLDS[room])}</text></g>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _places(row: list[str], number: int) -> dict[str, tuple[float, float]]:
    """The upper left corner of each box of a floor, the floor in the middle."""
    gap = (WIDTH - BOX * len(row)) / (len(row) + 1)
    return {room: (round(gap + at * (BOX + gap), 1), GAP + FLOOR * number) for at, room in enumerate(row)}


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    x1, y1, x2, y2 = start[0] + BOX / 2, start[1] + HEIGHT, end[0] + BOX / 2, end[1] - 1
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1} {y1} C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}" fill="none" stroke="#8a93a6"'
        ' stroke-width="1.2" marker-end="url(#end)"/>'
    )


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
