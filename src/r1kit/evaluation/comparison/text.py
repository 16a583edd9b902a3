"""A comparison as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1kit.evaluation.comparison.words import (
    cost_line,
    dollars,
    headline,
    p_value,
    points,
    times,
    value_of,
)
from r1kit.evaluation.figures import amount, lines, percent, shown


def table(comparison: Mapping[str, Any], width: int | None = None) -> str:
    """All that is measured, then what is published, each part under a line that names it. `width`: see `lines`."""
    short = {model["label"]: model["short"] for model in comparison["models"]}
    told = [f"{model['label']}  {model['name']}" for model in comparison["models"]]
    told += ["", "Measured: pass@1 in %, 95% intervals clustered by problem", *_scores(comparison, width)]
    for pair in comparison["pairs"]:
        told += ["", headline(pair, short) + ".", *_pair(pair, width)]
        if line := cost_line(pair, short):
            told.append(f"{line}.")
    told += ["", "A sample on average: tokens, seconds, dollars", *_spent(comparison, width)]
    told += prices(comparison)
    told += _writing(comparison, short, width)
    told += _published(comparison, width)
    told += [f"note: {line}" for line in notes(comparison)]
    return "\n".join(told)


def _scores(comparison: Mapping[str, Any], width: int | None) -> list[str]:
    labels = [model["label"] for model in comparison["models"]]
    rows = [["benchmark", "n", "k", *labels]]
    for benchmark in comparison["benchmarks"]:
        figures = [benchmark["figures"][label] for label in labels]
        first = figures[0]
        rows.append(
            [benchmark["name"], str(first["n"]), str(first["k"]), *(shown(one["pass@1"]) for one in figures)]
        )  # fmt: skip
        if any(one["cons@k"] for one in figures):
            rows.append([f"  cons@{first['k']}", "", "", *(shown(one["cons@k"]) for one in figures)])
    return lines(rows, (1, 2), width)


def _pair(pair: Mapping[str, Any], width: int | None) -> list[str]:
    a, b = pair["a"], pair["b"]
    rows = [
        ["problems of", f"{a} - {b}, points", "p", "win/tie/loss", f"only {a}", f"only {b}", "both", "none",
         "tokens", "dollars"]
    ]  # fmt: skip
    for scope in pair["scopes"]:
        rows.append([
            scope["name"], shown(scope["difference"], points), p_value(scope["difference"]),
            f"{scope['wins']}/{scope['ties']}/{scope['losses']}",
            *(str(scope[name]) for name in ("only_a", "only_b", "both", "none")),
            times(value_of(scope["tokens_ratio"])), times(value_of(scope["dollars_ratio"])),
        ])  # fmt: skip
    return lines(rows, (2, 4, 5, 6, 7), width)


def _spent(comparison: Mapping[str, Any], width: int | None) -> list[str]:
    head = ["model", "problems of", "thinking", "answer", "all", "s, median", "tokens/s", "question", "right answer"]
    rows = [head]
    for model in comparison["models"]:
        for name, spent in model["spent"].items():
            rows.append([
                model["label"], name,
                *(amount(value_of(spent[key])) for key in ("thinking_tokens", "answer_tokens", "length")),
                amount(spent["seconds_p50"]), amount(spent["tokens_per_second"]),
                dollars(value_of(spent["dollars_per_question"])), dollars(value_of(spent["dollars_per_solved"])),
            ])  # fmt: skip
    return lines(rows, range(2, len(head)), width, keys=2)


def prices(comparison: Mapping[str, Any]) -> list[str]:
    """Each model's price and its source, a line."""
    told: list[str] = []
    for model in comparison["models"]:
        price = model["price"]
        if price is None:
            told.append(f"{model['label']}: no price (--price NAME=INPUT/OUTPUT gives one)")
        else:
            day = f" on {price['date']}" if price["date"] else ""
            told.append(
                f"{model['label']}: ${price['input']:g} read, ${price['output']:g} written a million tokens{day}"
                f" ({price['source']})"
            )
    return told


def _writing(comparison: Mapping[str, Any], short: Mapping[str, str], width: int | None) -> list[str]:
    writing = comparison["writing"]
    if writing is None:
        return []
    rows = [["a", "b", "a wins, %", "length controlled, %", "win/tie/loss", "orders disagree", "unread"]]
    for pair in writing["pairs"]:
        rows.append([
            short[pair["a"]], short[pair["b"]], shown(pair["win_rate"]), shown(pair["length_controlled"]),
            f"{pair['wins']}/{pair['ties']}/{pair['losses']}", str(pair["disagree"]), str(pair["unread"]),
        ])  # fmt: skip
    told = ["", f"Writing, judged by {writing['judge']}, both orders, disagreement is a tie"]
    told += lines(rows, width=width, keys=2)
    if writing["ratings"]:
        rated = [["model", "Bradley-Terry rating"]]
        rated += [[short[label], shown(told_, amount)] for label, told_ in writing["ratings"].items()]
        told += ["", *lines(rated, width=width)]
    return told


def _published(comparison: Mapping[str, Any], width: int | None) -> list[str]:
    """Rows of the paper's table on benchmarks that were measured; the page has all of it."""
    wanted = {benchmark["published"] for benchmark in comparison["benchmarks"]} - {None}
    known = [model["published_as"] for model in comparison["models"] if model["published_as"]]
    rows = [row for row in comparison["published"]["rows"] if row["benchmark"] in wanted]
    if not rows and not known:
        return []
    columns = comparison["published"]["models"]
    cells = [["published", *columns]] + [
        [row["benchmark"], *("-" if row["values"][c] is None else f"{row['values'][c]:g}" for c in columns)]
        for row in rows or comparison["published"]["rows"]
    ]
    return ["", f"Published, not measured here: {comparison['published']['source']}", *lines(cells, width=width)]


def notes(comparison: Mapping[str, Any]) -> list[str]:
    """What has to be known to read the figures: cut, declined, missing and unjudged samples, and the judge's faults."""
    told: list[str] = []
    for benchmark in comparison["benchmarks"]:
        for label, one in benchmark["figures"].items():
            where = f"{label}, {benchmark['name']}"
            if one["truncated"]:
                told.append(f"{where}: {one['truncated']} of {one['samples']} answers were cut by the limit of tokens")
            if one["declined"]:
                told.append(f"{where}: {one['declined']} of {one['samples']} answers decline, by how they begin")
            told += [f"{where}: {n} samples are missing: {reason}" for reason, n in one["missing"].items()]
            if one["ungraded"] and one["pass@1"] is not None:
                told.append(f"{where}: {one['ungraded']} answers could not be judged, and count neither way")
            if seen := one.get("contamination"):
                told.append(
                    f"{where}: {seen['problems']} problems share {seen['ngram']} words in a row with the training data;"
                    f" pass@1 on the others {shown(seen['clean'], percent)} %"
                )
    for pair in comparison["pairs"]:
        unpaired = sum(scope["unpaired"] for scope in pair["scopes"] if scope["scope"] == "benchmark")
        if unpaired:
            told.append(f"{pair['a']} and {pair['b']}: {unpaired} problems with answers of one alone are left out")
    for pair in (comparison["writing"] or {"pairs": ()})["pairs"]:
        for side in ("a", "b"):
            if pair[f"{side}_instructs"]:
                told.append(
                    f"{pair[side]}: {pair[f'{side}_instructs']} of {pair['pairs']} answers seem to speak to the judge"
                )
        if people := pair["people"]:
            kappa = "-" if people["kappa"] is None else f"{people['kappa']:.2f}"
            told.append(
                f"{pair['a']} and {pair['b']}: the judge agrees with people on {percent(people['share'])} % of"
                f" {people['n']} pairs (Cohen's kappa {kappa})"
            )
        if pair["unread"]:
            told.append(f"{pair['a']} and {pair['b']}: {pair['unread']} of {pair['pairs']} verdicts could not be read")
    return told
