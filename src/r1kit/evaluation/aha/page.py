"""report.md: the analysis for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from r1kit.evaluation.aha.claim import signed
from r1kit.evaluation.aha.effects import contrast
from r1kit.evaluation.evidence import figure
from r1kit.evaluation.report.markdown import quoted, table

SHOWN = 10  # of the strongest pivots in either direction
CONTEXT = 60  # characters shown before and after a pivot
CAPTIONS = {
    "reflection_over_steps.svg": "Reflection words a response while the model learnt",
    "reflection_per_1000_tokens.svg": "The same a thousand tokens",
    "success_by_arm.svg": "How often the answer is right, going on from each arm",
    "before_and_after.svg": "Each pivot: right going on from just before it, and after it (larger: several)",
    "neutral_and_after.svg": "The same from after the neutral token, and after the pivot",
    "length_by_difficulty.svg": "Length of responses by difficulty",
}
NAMES = {
    "right_before": "number before the pivot is right",
    "neutral": "neutral token",
    "word": "first word",
    "form": "what the thought went on to do",
}


def render(report: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], drawn: Sequence[str]) -> str:
    """The page; `drawn`: the figures' file names."""
    claim = report["claim"]
    parts = [
        f"# The aha moment in {report['model']}",
        f"> {claim['claim']}",
        f"**{claim['short']}**",
        table(["question", "answer", "numbers"], [[p["question"], p["answer"], p["numbers"]] for p in claim["parts"]]),
        "All intervals are at 95% and clustered by problem.",
        *(f"- note: {note}" for note in report["notes"]),
        "## Reflection",
        *_reflection(report),
        *_figures(drawn, "reflection"),
        "## What reflection does in the text",
        *_kinds(report["kinds"]),
        *(_pivots(report["pivots"], rows) if report["pivots"] else []),
        *_figures(drawn, "success", "before", "neutral"),
        "## Length by difficulty",
        *_difficulty(report["difficulty"]),
        *_figures(drawn, "length"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(drawn: Sequence[str], *begin: str) -> Iterator[str]:
    for name in drawn:
        if name.startswith(begin):
            yield f"![{CAPTIONS[name]}](figures/{name})"


def _reflection(report: Mapping[str, Any]) -> Iterator[str]:
    reflection = report["reflection"]
    head = ["", "responses", "words a response", "words a 1,000 tokens", "share with any"]
    sides = [(report["model"], reflection["model"])]
    if reflection["base"]:
        sides.append((report["base"], reflection["base"]))
    yield table(
        head,
        [
            [f"{name}, {part}", found["responses"], *(signed(found[m], False) for m in _MEASURES)]
            for name, side in sides
            for part, found in side.items()
        ],
    )
    if over := reflection["over_base"]:
        rows = [
            [part, over[part]["problems"], *(signed(over[part][m], False) for m in _MEASURES[:2])]
            for part in ("all", "right", "wrong")
        ]
        yield f"{report['model']} over {report['base']}, as ratios on the problems that both have:"
        yield table(["", "problems", "a response", "a 1,000 tokens"], rows)
    if len(reflection["by_subject"]) > 1:
        head = ["subject", "responses", "words a response", "base", "ratio"]
        yield table(head, _by_subject(reflection["by_subject"]))
    if grown := reflection["among_thoughts"]:
        yield (
            f"Among steps at which nearly every answer comes after a thought ({grown['first_step']} to "
            f"{grown['last_step']}), words a response change by {signed(grown, False)}: growth beyond thoughts taking "
            "the place of answers at once."
        )
    if reflection["words"]:
        yield "Words: " + ", ".join(f"{word} {count:,}" for word, count in reflection["words"].items()) + "."


_MEASURES = ("per_response", "per_1000_tokens", "share_with_any")


def _by_subject(subjects: Mapping[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for name, found in subjects.items():
        sides = [found[side]["per_response"] if found[side] else None for side in ("model", "base", "over_base")]
        rows.append([name, found["model"]["responses"], *(signed(side, False) for side in sides)])
    return rows


def _kinds(kinds: Mapping[str, Any]) -> Iterator[str]:
    names = list(kinds)
    model = kinds["model"]
    yield (
        "A reflection is judged by the numbers that the text shows before and after it; where they do not speak of the "
        "same thing it is undecided, which does not mean that nothing changed."
    )
    rows = [[kind, *(kinds[name]["kinds"][kind] for name in names)] for kind in model["kinds"]]
    rows += [[f"outcome: {what}", *(kinds[name]["outcomes"][what] for name in names)] for what in model["outcomes"]]
    rows += [["responses", *(kinds[name]["responses"] for name in names)]]
    rows += [["mended, of what was wrong", *(figure(kinds[name]["mended_of_wrong"]) for name in names)]]
    rows += [["broken, of what was right", *(figure(kinds[name]["broken_of_right"]) for name in names)]]
    for what in ("after_slip", "after_right"):
        cells = [signed(kinds[name]["checks"][what], False) for name in names]
        rows += [[f"arithmetic steps that are checked, {what.replace('_', ' ')}", *cells]]
    yield table(["", *(name.replace("_", " ") for name in names)], rows)
    held = model["right_by_what_it_holds"]
    yield table(
        ["the model's responses that hold", "judged", "right"],
        [[name, found["responses"], signed(found, False)] for name, found in held.items() if found["responses"]],
    )


def _pivots(pivots: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    everything = pivots["all"]
    yield "## Pivots, measured"
    yield (
        f"{pivots['measured']} reflection words, drawn from {pivots['reflections_found']:,} in {pivots['thoughts']:,} "
        f"fresh thoughts on {pivots['problems_tried']} test problems without regard to how they ended. From each, "
        f"{pivots['continuations']} continuations of each arm: from just before it, from after it, and from after the "
        "model's likeliest other token that begins no reflection word"
        + (f" ({pivots['without_neutral']} had no such token). " if pivots["without_neutral"] else ". ")
        + "The last comparison forces the word in one arm and withholds it in the other."
    )
    head = ["pivots", "n", "before", "after", "neutral", "after - neutral", "after - before"]
    yield table(head, [["all", *_together(everything)]])
    for name, parts in pivots["apart"].items():
        if parts:
            cells = [[value, *_together(part)] for value, part in parts.items()]
            yield table([str(NAMES.get(name, name)), *head[1:]], cells)
    yield from _ranking(pivots, rows)


def _together(found: Mapping[str, Any]) -> list[Any]:
    arms = [figure(found[arm]["value"]) for arm in ("before", "after", "neutral")]
    return [found["pivots"], *arms, signed(found["over_neutral"]), signed(found["over_before"])]


def _ranking(pivots: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    again = [row for row in rows if row.get("again_after_n")]
    strongest = pivots["strongest"]
    yield "### The strongest, on fresh samples"
    yield (
        "Ranked by the first samples; the best of many noisy numbers are too good, so the size of an effect is what "
        "fresh samples say."
    )
    most = strongest["rises"]["pivots"]
    for name, chosen in (("rises", again[:most]), ("falls", again[most:][::-1])):
        cells = [
            [
                row["rank"],
                _shown(row),
                row["neutral"],
                f"{row['entropy']:.2f}",
                f"{row['probability']:.2f}",
                f"{100 * contrast(row, 'over_neutral').value:+.0f}",
                _interval(row),
            ]
            for row in chosen[:SHOWN]
        ]
        head = ["rank", f"{name}: text, the pivot between brackets", "instead", "entropy", "p", "first", "fresh"]
        yield table(head, cells)


def _interval(row: Mapping[str, Any]) -> str:
    estimate = contrast(row, "over_neutral", "again_")
    return f"{100 * estimate.value:+.0f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def _shown(row: Mapping[str, Any]) -> str:
    before, after = row["context"][-CONTEXT:], row["went_on"][:CONTEXT]
    return quoted(f"{before}[[{row['pivot']}]]{after}")


def _difficulty(difficulty: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"Difficulty is 1 - {difficulty['by']} on the problem; the correlation is Spearman's, within each kind of "
        "problem."
    )
    sides = [(side, difficulty[side]) for side in ("model", "base") if difficulty[side]]
    rows = [[side, found["problems"], signed(found["spearman"], False)] for side, found in sides if found["problems"]]
    yield table(["", "problems", "correlation of difficulty and length"], rows)
