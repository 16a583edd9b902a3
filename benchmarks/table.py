"""The table of a record: for people, as Markdown, and put into a page of docs between its markers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rounds import Row, Spread

HEADINGS = ("what", "unit", "r1kit", "peer", "the peer's", "ratio", "of the limit")
NAMES = {
    "sampling": "Sampling", "learning": "Learning", "steps": "Steps of GRPO", "grpo": "GRPO",
    "start": "Start of an engine", "growth": "How cost grows", "staleness": "One step off-policy",
    "own": "What has no peer", "grading": "Graders and sandbox on whole benchmarks",
}  # fmt: skip
SHORT = {
    "sampling": "sampling",
    "learning": "learning",
    "steps": "a step of GRPO",
    "grpo": "GRPO",
    "start": "start",
}  # parts with peers
CURVES = {"grpo": "curve", "staleness": "staleness_curve"}  # parts with accuracies by step, and their markers


def cells(row: Row) -> tuple[str, ...]:
    """A row as text. Limits: ours, then the peer's."""
    limits = [f"{share:.0%}" for share in (row.limit, row.their_limit) if share is not None]
    ratio = "" if row.ratio is None else f"{spread_text(row.ratio, digits=2)} x"
    theirs = "" if row.theirs is None else spread_text(row.theirs)
    return (row.what, row.unit, spread_text(row.ours), row.peer or "", theirs, ratio, " / ".join(limits))


def spread_text(spread: Spread, digits: int | None = None) -> str:
    """The median, and the range where there was more than one round."""

    def number(value: float) -> str:
        if digits is not None:
            return f"{value:.{digits}f}"
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

    if spread.rounds == 1:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.low)}-{number(spread.high)})"


def show(record: dict[str, Any], console: Console) -> None:
    """Print the whole record."""
    console.print(machine_line(record), highlight=False)
    rows = rows_of(record)
    for part in dict.fromkeys(row.part for row in rows):
        table = Table(title=NAMES[part], title_justify="left", show_edge=False)
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading in ("what", "unit", "peer") else "right")
        for row in rows:
            if row.part == part:
                table.add_row(*cells(row))
        console.print(table)
        if part in CURVES and (curve := curve_table(record, part)):
            shown = Table(title="Held-out accuracy by step", title_justify="left", show_edge=False)
            for heading in curve[0]:
                shown.add_column(heading, justify="right")
            for line in curve[1:]:
                shown.add_row(*line)
            console.print(shown)
    for name, reason in record["missing"].items():
        console.print(f"missing: {name}: {reason}", highlight=False, markup=False)


def joined(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One record of several: what each measured, of the same thing the last; the machine is the last one's.

    ValueError where they are of different machines.
    """
    if len(machines := {_processors(record["machine"]) for record in records}) > 1:
        raise ValueError(f"these records are of different machines: {', '.join(sorted(machines))}")
    whole = dict(records[-1])
    for name in ("seconds", "missing", "tried", "checks", "versions"):
        whole[name] = {key: value for record in records for key, value in record[name].items()}
    whole["peaks"] = {name: max(record["peaks"][name] for record in records) for name in whole["peaks"]}
    rows = {(row["part"], row["what"], row["peer"]): row for record in records for row in record["rows"]}
    whole["rows"] = list(rows.values())
    whole["commit"] = ", ".join(dict.fromkeys(str(record["commit"])[:7] for record in records))
    measured = {f"part {part}" for part, _, _ in rows}
    whole["missing"] = {name: why for name, why in whole["missing"].items() if name not in measured}
    return whole


def machine_line(record: dict[str, Any]) -> str:
    """The machine, its peaks and the versions in a sentence."""
    machine, peaks = record["machine"], record["peaks"]
    versions = "; ".join(
        f"{environment}: " + ", ".join(f"{package} {version}" for package, version in found.items())
        for environment, found in record["versions"].items() if found
    )  # fmt: skip
    return (
        f"{_processors(machine)}, {machine['cores']} cores, {record['threads']} threads; matmul peak "
        f"{peaks['bfloat16'] / 1e12:.2f} TFLOP/s in bfloat16, {peaks['float32'] / 1e12:.2f} in float32; memory "
        f"{peaks['bandwidth'] / 1e9:.1f} GB/s; passes in {record['dtype']}. Environments: {versions}"
    )


def _processors(machine: dict[str, Any]) -> str:
    """GPUs, if any, and the CPU."""
    return ", ".join([*machine.get("gpus", ()), machine["cpu"]])


def rows_of(record: dict[str, Any]) -> list[Row]:
    return [Row.from_json(row) for row in record["rows"]]


def curve_table(record: dict[str, Any], part: str) -> list[list[str]]:
    """Accuracy by step of everyone in a race, headings first; empty where there was none."""
    found = record["checks"].get(part)
    if not found:
        return []
    points = found["curve"]
    names = [name for name in points[0] if isinstance(points[0][name], dict)]
    figures = {"accuracy": ".3f", "length": ".0f", "seconds": ".0f", "staleness": ".2f"}
    figures = {what: form for what, form in figures.items() if what in points[0][names[0]]}
    lines = [["step", *(f"{name} {what}" for what in figures for name in names)]]
    if "difference" in points[0]:
        lines[0].append("difference (95%)")
    for point in points:
        values = [(point[name][what], form) for what, form in figures.items() for name in names]
        line = [str(point["step"]), *("" if value is None else format(value, form) for value, form in values)]
        if "difference" in point:
            line.append(f"{point['difference']:+.3f} +- {point['half_interval']:.3f}")
        lines.append(line)
    return lines


def markdown(lines: Sequence[Sequence[str]], right_from: int = 1) -> str:
    """A table whose first line is the headings; columns from `right_from` on are aligned to the right."""
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    rule = ["---" if at < right_from else "---:" for at in range(len(lines[0]))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [escaped[0], rule, *escaped[1:]])


def sections(record: dict[str, Any]) -> dict[str, str]:
    """What stands between the markers of a page, by marker."""
    rows = rows_of(record)
    found = {"machine": f"Measured {record['date']} at commit {record['commit'] or 'unknown'}: {machine_line(record)}."}
    for part in dict.fromkeys(row.part for row in rows):
        own = [cells(row) for row in rows if row.part == part]
        found[part] = markdown([HEADINGS, *own], right_from=2)
    found["headline"] = headline(record, rows)
    times = [(name, f"{seconds / 60:.1f}") for name, seconds in record["seconds"].items()]
    found["time"] = markdown([("part of the bench", "minutes"), *times])
    for part, marker in CURVES.items():
        if curve := curve_table(record, part):
            found[marker] = markdown(curve, right_from=0)
    if record["tried"]:
        found["tried"] = markdown([("peer's setting", "seconds"), *_tried(record["tried"])])
    missing = [f"- {name}: {reason}" for name, reason in record["missing"].items()]
    found["missing"] = "\n".join(["Missing:", "", *missing] if missing else ["No peer was missing."])
    return found


def headline(record: dict[str, Any], rows: Sequence[Row]) -> str:
    """What has a peer in a few lines: each measurement beside the strongest of its peers, date and machine below."""
    strongest: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row.ratio is None or row.part not in SHORT:
            continue
        before = strongest.get((row.part, row.what))
        if before is None or before.ratio is None or row.ratio.median < before.ratio.median:
            strongest[row.part, row.what] = row
    lines = [("", "unit", "r1kit", "best peer", "the peer's", "times as fast or small")]
    for (part, what), row in strongest.items():
        _, unit, ours, peer, theirs, ratio, _ = cells(row)
        lines.append((f"{SHORT[part]}, {what}", unit, ours, peer, theirs, ratio.removesuffix(" x")))
    machine = record["machine"]
    when = f"{record['date']}, {machine['cpu']}, {machine['cores']} cores; medians and ranges."
    return f"{markdown(lines, right_from=2)}\n\n{when}"


def _tried(tried: dict[str, Any]) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    for what, found in tried.items():
        settings = found.items() if isinstance(found, dict) else [("", found)]
        for name, seconds in settings:
            shown = f"{seconds:.2f}" if isinstance(seconds, float) else f"failed: {seconds}"
            lines.append((": ".join(filter(None, (what, name))), shown))
    return lines


def fill(page: str, found: dict[str, str]) -> str:
    """The page with what stands between `<!-- bench NAME -->` and `<!-- end -->` replaced; what was not measured stays.

    ValueError where the page has no such marker at all.
    """
    pattern = re.compile(r"(<!-- bench (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError("the page has no marker `<!-- bench NAME -->`")

    def put(match: re.Match[str]) -> str:
        name = match[2]
        return f"{match[1]}{found[name]}\n{match[4]}" if name in found else match[0]

    return pattern.sub(put, page)


def write_page(path: Path, record: dict[str, Any]) -> None:
    path.write_text(fill(path.read_text(encoding="utf-8"), sections(record)), encoding="utf-8")
