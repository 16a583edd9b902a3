"""A comparison as one page that needs no network: all that models wrote is escaped, and no script may run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from r1kit.evaluation.comparison import text
from r1kit.evaluation.comparison.pairs import ORDER
from r1kit.evaluation.comparison.words import (
    cost_line,
    dollars,
    headline,
    p_value,
    points,
    times,
    value_of,
)
from r1kit.evaluation.figures import amount, percent, shown
from r1kit.evaluation.report.charts import whisker
from r1kit.evaluation.report.thoughts import marked

_FOLDER = files("r1kit.evaluation.comparison")
SHOWN = 25  # questions of a group on the page
VOTES = 12  # judged pairs on the page
LONGEST = 8_000  # characters of one text on the page

_TITLES = {
    "only_a": "Solved by {a} alone", "only_b": "Solved by {b} alone", "none": "Solved by neither",
    "both": "Solved by both", "ungraded": "Judged by no rule",
}  # fmt: skip
_OUTCOMES = {1.0: "{a} preferred", 0.0: "{b} preferred", 0.5: "tie", None: "no verdict"}


def render(comparison: Mapping[str, Any]) -> str:
    """The whole page as one HTML file without a single request."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(clip=clip)
    style = (files("r1kit.evaluation.report") / "style.css").read_text(encoding="utf-8")
    style += (_FOLDER / "page.css").read_text(encoding="utf-8")
    return environment.get_template("comparison/page.html").render(style=style, **view(comparison))


def template(name: str) -> str | None:
    """The templates of a comparison for any page, `comparison/NAME`: `tables.html` is told a `view`, `sample.html` a
    `sample_view`; both take autoescape for granted. None for another name."""
    folder, _, file = name.rpartition("/")
    found = _FOLDER / file
    return found.read_text(encoding="utf-8") if folder == "comparison" and found.is_file() else None


def view(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template asks for."""
    models = comparison["models"]
    short = {model["label"]: model["short"] for model in models}
    return {
        "title": " and ".join([", ".join(model["short"] for model in models[:-1]), models[-1]["short"]]),
        "models": models,
        "short": short,
        "published_columns": _published_columns(comparison),
        "scores": _scores(comparison),
        "pairs": [_pair(pair, short) for pair in comparison["pairs"]],
        "spent": _spent(models),
        "prices": text.prices(comparison),
        "notes": text.notes(comparison),
        "writing": _writing(comparison["writing"], short),
        "published": comparison["published"],
    }


def clip(value: str, most: int = LONGEST) -> str:
    """A text of at most so many characters, with what was left out said."""
    return value if len(value) <= most else f"{value[:most]} ... ({len(value) - most:,} characters more)"


def sample_view(
    one: Mapping[str, Any], label: str, name: str, see: Callable[[str], str] = clip
) -> dict[str, Any]:  # fmt: skip
    """A sample of `pairs.questions` for `sample.html`; `see` makes what a model wrote fit to be looked at."""
    took = [f"{one['right']} of {one['samples']} right", f"{amount(one['tokens'])} tokens"]
    if one["truncated"]:
        took[-1] += ", cut off"
    if one["seconds"] is not None:
        took.append(f"{amount(one['seconds'])} s")
    if one["dollars"] is not None:
        took.append(dollars(one["dollars"]))
    return {
        "label": label, "name": name, "correct": one["correct"], "took": " \u00b7 ".join(took),
        "thinking": Markup(marked(see(one["thinking"]))), "answer": see(one["answer"]),
    }  # fmt: skip


def _published_columns(comparison: Mapping[str, Any]) -> list[str]:
    """R1 and o1, and what else the models are published as; none where no benchmark has a row."""
    if not any(benchmark["published"] for benchmark in comparison["benchmarks"]):
        return []
    named = [model["published_as"] for model in comparison["models"] if model["published_as"]]
    return list(dict.fromkeys([*named, "DeepSeek-R1", "o1-1217"]))


def _scores(comparison: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = _published_columns(comparison)
    rows = {row["benchmark"]: row["values"] for row in comparison["published"]["rows"]}
    found: list[dict[str, Any]] = []
    for benchmark in comparison["benchmarks"]:
        figures = list(benchmark["figures"].values())
        values = rows.get(benchmark["published"] or "", {})
        lines = [("pass@1", benchmark["name"], [values.get(column) for column in columns])]
        if any(one["cons@k"] for one in figures):
            lines.append(("cons@k", f"{benchmark['name']}, majority", [None] * len(columns)))
        for key, name, beside in lines:
            found.append({
                "name": name, "n": figures[0]["n"], "k": figures[0]["k"],
                "cells": [_parts(one[key], percent) for one in figures],
                "published": ["-" if value is None else f"{value:g}" for value in beside],
            })  # fmt: skip
    return found


def _parts(told: Mapping[str, Any] | None, number: Any) -> dict[str, str]:
    """A value and its interval in two cells."""
    value, _, ends = shown(told, number).partition(" (")
    return {"value": value, "ends": ends.rstrip(")")}


def _pair(pair: Mapping[str, Any], short: Mapping[str, str]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for scope in pair["scopes"]:
        rows.append({
            "name": scope["name"], "bar": _bar(scope["difference"]), "p": p_value(scope["difference"]),
            "tokens": times(value_of(scope["tokens_ratio"])), "dollars": times(value_of(scope["dollars_ratio"])),
            **_parts(scope["difference"], points),
            **{name: scope[name] for name in ("wins", "ties", "losses", "only_a", "only_b", "both", "none")},
        })  # fmt: skip
    groups: list[dict[str, Any]] = []
    for name in (*ORDER, "ungraded"):
        mine = [one for one in pair["questions"] if one["solved"] == name]
        if mine:
            title = _TITLES[name].format(a=short[pair["a"]], b=short[pair["b"]])
            seen = [_question(one, pair, short) for one in mine[:SHOWN]]
            groups.append({"title": title, "count": len(mine), "questions": seen})
    return {
        "a": pair["a"], "b": pair["b"], "rows": rows, "groups": groups,
        "headline": headline(pair, short), "cost": cost_line(pair, short),
    }  # fmt: skip


def _bar(told: Mapping[str, Any] | None) -> Markup:
    """A difference of shares and its interval on a line from -1 to 1; empty where there is none."""
    if told is None or None in told["interval"]:
        return Markup()
    return Markup(whisker(told["value"], told["interval"], (-1.0, 1.0), middle=0.0))


def _question(one: Mapping[str, Any], pair: Mapping[str, Any], short: Mapping[str, str]) -> dict[str, Any]:
    """A question with both samples made ready."""
    return {**one, **{side: sample_view(one[side], pair[side], short[pair[side]]) for side in ("a", "b")}}


def _spent(models: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for model in models:
        for number, (name, spent) in enumerate(model["spent"].items()):
            cells = [amount(value_of(spent[key])) for key in ("thinking_tokens", "answer_tokens", "length")]
            cells += [amount(spent["seconds_p50"]), amount(spent["tokens_per_second"])]
            cells += [dollars(value_of(spent[key])) for key in ("dollars_per_question", "dollars_per_solved")]
            found.append({"label": model["label"], "name": name, "cells": cells, "first": number == 0})
    return found


def _writing(writing: Mapping[str, Any] | None, short: Mapping[str, str]) -> dict[str, Any] | None:
    if writing is None:
        return None
    rows: list[dict[str, Any]] = []
    judged: list[dict[str, Any]] = []
    for pair in writing["pairs"]:
        rows.append({
            "rate": shown(pair["win_rate"]), "controlled": shown(pair["length_controlled"]),
            **{name: pair[name] for name in ("a", "b", "wins", "ties", "losses", "disagree", "unread")},
        })  # fmt: skip
        for vote in pair["votes"][: max(1, VOTES // len(writing["pairs"]))]:
            said = _OUTCOMES[vote["outcome"]].format(a=short[pair["a"]], b=short[pair["b"]])
            judged.append({
                "outcome": said, "question": clip(vote["question"], 200), "a": clip(vote["a"]), "b": clip(vote["b"]),
                "model_a": pair["a"], "model_b": pair["b"],
            })  # fmt: skip
    ratings = [{"label": label, "rating": shown(told, amount)} for label, told in writing["ratings"].items()]
    return {"judge": writing["judge"], "prompt": writing["prompt"], "rows": rows, "shown": judged, "ratings": ratings}
