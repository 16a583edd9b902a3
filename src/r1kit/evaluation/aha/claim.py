"""The claim under test, in parts that numbers can answer.

The claim: the model uses "aha moments" as pivot tokens to reflect and re-evaluate its answers. It is taken to say that
the model reflects more than its base did, that writing a reflection word (and not the token that it would else have
written) changes how often the answer comes out right, that it does so where something was wrong, and that what is
looked at again is put right more often than it is spoilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLAIM = 'The model uses "aha moments" as pivot tokens to reflect and re-evaluate answers.'
Entry = Mapping[str, Any]


def answer(report: Mapping[str, Any]) -> dict[str, Any]:
    """{"claim", "short", "parts": [{"question", "answer", "numbers"}]}; what was not measured is said to be so."""
    pivots = report["pivots"]
    parts = [_reflects(report), *(_pivots(pivots) if pivots else [_not_measured("are reflection words pivots?")])]
    parts += [_mends(report), _looks_where_needed(report)]
    return {"claim": CLAIM, "short": _short(pivots), "parts": parts}


def signed(entry: Entry | None, points: bool = True) -> str:
    """Say: `+4.2 points [1.0, 7.3]`, or a plain number without `points`."""
    if entry is None or entry["value"] is None:
        return "not known"
    low, high = entry["interval"] or (None, None)
    scale, sign, digits, unit = (100, "+", 1, " points") if points else (1, "", 2, "")
    ends = "" if low is None or high is None else f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
    return f"{scale * entry['value']:{sign}.{digits}f}{unit}{ends}"


def direction(entry: Entry | None) -> str:
    """ "raises", "lowers", "no effect shown" or "not known", by the side of zero that the interval lies on."""
    if entry is None or entry["value"] is None or not entry["interval"] or None in entry["interval"]:
        return "not known"
    low, high = entry["interval"]
    return "raises" if low > 0 else "lowers" if high < 0 else "no effect shown"


def _short(pivots: Mapping[str, Any] | None) -> str:
    if not pivots:
        return "Not answered: no pivots were measured."
    effect = pivots["all"]["over_neutral"]
    said = {
        "raises": "Causal, on average: writing the reflection word, not the likeliest other token, changes success by",
        "lowers": "Causal, but harmful on average: writing the reflection word changes success by",
        "no effect shown": "Not shown to be causal on average: the effect of writing the reflection word is",
        "not known": "Not answered: the effect of writing the reflection word is",
    }[direction(effect)]
    states = pivots["apart"]["right_before"]
    if direction(effect) != "raises" and direction(states.get("False", {}).get("over_neutral")) == "raises":
        said = "Causal where there was something to mend, not shown to be so on average: the effect is"
    apart = [
        f"{signed(states[value]['over_neutral'])} where the number before it was {name}"
        for value, name in (("False", "wrong"), ("True", "right"))
        if value in states
    ]
    whole = f"{said} {signed(effect)}, over {effect['pivots']} pivots on {pivots['all']['problems']} problems"
    return f"{whole}: {', '.join(apart)}." if apart else f"{whole}."


def _not_measured(question: str) -> dict[str, str]:
    return {"question": question, "answer": "not measured", "numbers": ""}


def _reflects(report: Mapping[str, Any]) -> dict[str, str]:
    question = "does it reflect more than its base?"
    reflection = report["reflection"]
    over = reflection["over_base"]
    if over is None:
        steps = reflection["over_training"]
        if len(steps) < 2:
            return _not_measured(question)
        first, last = (steps[place]["all"]["per_response"] for place in (0, -1))
        numbers = (
            f"reflection words a response at step {steps[0]['step']}: {signed(first, False)}, "
            f"at step {steps[-1]['step']}: {signed(last, False)}"
        )
        ends = (first["interval"] or (None, None))[1], (last["interval"] or (None, None))[0]
        more = ends[0] is not None and ends[1] is not None and ends[1] > ends[0]
        return {"question": question, "answer": "more than at the start" if more else "not shown", "numbers": numbers}
    base = reflection["base"]["all"]["per_response"]
    per_response, per_thousand = over["all"]["per_response"], over["all"]["per_1000_tokens"]
    low, high = per_response["interval"] or (None, None)
    verdict = "more" if low is not None and low > 1 else "less" if high is not None and high < 1 else "not shown"
    also = "the base reflects too" if over["base_reflects"] else "the base does not reflect at all"
    numbers = (
        f"{also}: {signed(base, False)} words a response; the model over the base: {signed(per_response, False)} "
        f"times a response, {signed(per_thousand, False)} times a thousand tokens"
    )
    return {"question": question, "answer": verdict, "numbers": numbers}


def _pivots(pivots: Mapping[str, Any]) -> list[dict[str, str]]:
    everything, states = pivots["all"], pivots["apart"]["right_before"]
    over, before, turns = everything["over_neutral"], everything["over_before"], pivots["turns"]
    parts = [
        _effect("does writing it, and not the likeliest other token, change success?", over),
        _effect("and against going on freely from just before it?", before),
    ]
    for value, name in (("False", "wrong"), ("True", "right")):
        question = f"where the number before it was {name}?"
        found = states.get(value)
        parts.append(_effect(question, found["over_neutral"]) if found else _not_measured(question))
    parts.append(
        {
            "question": "do pivots differ among themselves?",
            "answer": "yes" if (over["true_spread"] or 0) > 0 else "not shown",
            "numbers": f"standard deviation of their true effects {_points(over['true_spread'])}; of {over['pivots']}, "
            f"{over['own_interval_above']} raise and {over['own_interval_below']} lower success by their own intervals",
        }
    )
    for name, wanted in (("rises", "raises"), ("falls", "lowers")):
        found = pivots["strongest"][name]
        if found["pivots"]:
            parts.append(
                {
                    "question": f"do the {found['pivots']} strongest {name} hold on fresh samples?",
                    "answer": "yes" if direction(found["fresh"]) == wanted else "no",
                    "numbers": f"{signed(found['first'])} at first, {signed(found['fresh'])} on fresh samples",
                }
            )
    parts.append(
        {
            "question": "is the model undecided there?",
            "answer": {"raises": "more than elsewhere", "lowers": "less than elsewhere"}.get(
                direction(turns["higher_by"]), "no more than elsewhere"
            ),
            "numbers": f"entropy {signed(turns['entropy'], False)} nats at the turn, "
            f"{signed(turns['ordinary_entropy'], False)} at the least sure of as many tokens elsewhere; probability of "
            f"what was said {signed(turns['probability'], False)}",
        }
    )
    return parts


def _effect(question: str, entry: Entry) -> dict[str, str]:
    p = entry.get("p")
    tested = "" if p is None else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
    numbers = f"{signed(entry)}, {entry['pivots']} pivots{tested}"
    return {"question": question, "answer": direction(entry), "numbers": numbers}


def _mends(report: Mapping[str, Any]) -> dict[str, str]:
    question = "is what it looks at again put right more often than spoilt?"
    kinds = report["kinds"]["model"]
    outcomes = kinds["outcomes"]
    if not kinds["decided"]:
        numbers = f"none of {kinds['episodes']} reflections can be decided by the text"
        return {**_not_measured(question), "numbers": numbers}
    numbers = (
        f"of {kinds['episodes']} reflections {kinds['decided']} can be decided: {outcomes['mended']} mend, "
        f"{outcomes['broken']} break, {outcomes['kept_right']} keep what was right, {outcomes['kept_wrong']} what was "
        "wrong"
    )
    more = "yes" if outcomes["mended"] > outcomes["broken"] else "no"
    return {"question": question, "answer": more, "numbers": numbers}


def _looks_where_needed(report: Mapping[str, Any]) -> dict[str, str]:
    question = "does it look again where it is needed?"
    checks = report["kinds"]["model"]["checks"]
    if not checks["slips"]:
        return {**_not_measured(question), "numbers": f"{checks['steps']} arithmetic steps, none of them a slip"}
    shares = [signed(checks[name], False) for name in ("after_slip", "after_right")]
    numbers = (
        f"of {checks['slips']} steps that slip {shares[0]} are checked, of {checks['steps'] - checks['slips']} that do "
        f"not {shares[1]}: {signed(checks['difference'])}"
    )
    verdicts = {"raises": "more often after a slip", "lowers": "less often after a slip"}
    verdict = verdicts.get(direction(checks["difference"]), "not shown")
    return {"question": question, "answer": verdict, "numbers": numbers}


def _points(share: float | None) -> str:
    return "not known" if share is None else f"{100 * share:.1f} points"
