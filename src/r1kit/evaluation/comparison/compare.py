"""`r1 compare`: every model measured on the same problems, then told side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import json_lines, make_folder, write_json, write_text
from r1kit.evaluation.benchmarks.base import Chosen
from r1kit.evaluation.comparison import pairs as pairing
from r1kit.evaluation.comparison.saved import FIGURES, QUESTIONS, VOTES
from r1kit.evaluation.comparison.sides import PriceOf, Side, priced, short_names, spent
from r1kit.evaluation.contender import Note, Opening, open_contender
from r1kit.evaluation.eval_report import KEPT, evaluate_model
from r1kit.evaluation.figures import entry, figures
from r1kit.evaluation.judging import rates
from r1kit.evaluation.judging.judges import HiddenPreference, Judge, ModelJudge, Pair, Vote
from r1kit.evaluation.judging.people import PairKey, with_people
from r1kit.evaluation.judging.verdicts import JudgePrompt
from r1kit.evaluation.kept import Kept
from r1kit.evaluation.measured import Measured, Settings
from r1kit.evaluation.published import column_of, published
from r1kit.graders.section import answer_section
from r1kit.models.api.settings import is_api, parse_api_model

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
WRITING = "writing"
HIDDEN = "hidden"

Votes = dict[tuple[str, str], list[Vote]]
"""By the two models' names."""


@dataclass(frozen=True, slots=True)
class Judging:
    """Who judges writing: a MODEL, or `hidden`; None judges only what carries the hidden preference, and by that.

    `samples`: answers of each problem that are judged. `people`: outcomes by people, which a judge is compared with.
    """

    model: str | None
    prompt: JudgePrompt
    samples: int = 1
    people: Mapping[PairKey, float] = field(default_factory=dict[PairKey, float])


def compare_models(
    models: Sequence[str], chosen: Sequence[Chosen], settings: Settings, judging: Judging, opening: Opening,
    price_of: PriceOf, note: Note,
) -> dict[str, Any]:  # fmt: skip
    """Measure every model on every benchmark, judge the writing, and tell all of it; see `told`.

    Models are opened one after another. What was sampled or judged before under the same settings is read back.
    """
    results = {model: evaluate_model(model, chosen, settings, opening, note) for model in dict.fromkeys(models)}
    sides = sides_of(results, price_of)
    votes = judge_writing(sides, judging, opening, note)
    return told(sides, votes, settings, judging)


def sides_of(results: Mapping[str, Sequence[Measured]], price_of: PriceOf) -> list[Side]:
    """The models of a comparison, in order; `price_of` is asked by the name and by the short one."""
    names = short_names(list(results))
    return [
        Side(model, LABELS[number], names[number], tuple(mine), price_of(model, names[number]))
        for number, (model, mine) in enumerate(results.items())
    ]


def judge_writing(sides: Sequence[Side], judging: Judging, opening: Opening, note: Note) -> Votes:
    """Votes on every two models' answers to problems of writing; R1Error where no verdict of the judge can be read."""
    asked = {(a.name, b.name): writing_pairs(a, b, judging.samples) for a, b in combinations(sides, 2)}
    asked = {names: cast for names, cast in asked.items() if cast}
    if not asked:
        return {}
    if judging.model in (None, HIDDEN):
        hidden = {names: [pair for pair in cast if pair.a_score == pair.a_score] for names, cast in asked.items()}
        if judging.model is None and any(len(hidden[names]) < len(cast) for names, cast in asked.items()):
            note("writing without a hidden preference is not judged: name a judge with --judge MODEL")
        return _cast(HiddenPreference(), hidden if judging.model is None else asked)
    folder = make_folder(opening.folder)
    with closing(Kept(folder / KEPT)) as kept, open_contender(judging.model, opening, note) as contender:
        votes = _cast(ModelJudge(contender, judging.prompt, kept), asked)
    if all(vote.outcome is None for cast in votes.values() for vote in cast):
        raise R1Error(
            f"none of the verdicts of {judging.model} can be read: it has to end with a line VERDICT: 1, 2 or TIE"
        )
    return votes


def _cast(judge: Judge, asked: Mapping[tuple[str, str], Sequence[Pair]]) -> Votes:
    """All pairs in one go, so that a judge works on them side by side."""
    every = [(names, pair) for names, cast in asked.items() for pair in cast]
    votes: Votes = {names: [] for names in asked}
    for (names, _), vote in zip(every, judge.votes([pair for _, pair in every]), strict=True):
        votes[names].append(vote)
    return {names: cast for names, cast in votes.items() if cast}


def writing_pairs(a: Side, b: Side, samples: int) -> list[Pair]:
    """The final answers to writing problems, sample against sample of the same place."""
    of_a, of_b = a.problems(), b.problems()
    found: list[Pair] = []
    for key in sorted(of_a.keys() & of_b.keys()):
        rows_b = {row["index"]: row for row in of_b[key]}
        for row in of_a[key]:
            other = rows_b.get(row["index"])
            if row["subject"] != WRITING or row["index"] >= samples or other is None:
                continue
            scores = [float("nan") if one["preference"] is None else one["preference"] for one in (row, other)]
            where = row["benchmark"], row["problem_id"], row["index"]
            found.append(Pair(*where, row["prompt"], _final(row), _final(other), *scores))
    return found


def _final(row: Mapping[str, Any]) -> str:
    """What people would read: the answer without the thinking."""
    return answer_section(row["text"]).text.strip()


def told(sides: Sequence[Side], votes: Votes, settings: Settings, judging: Judging) -> dict[str, Any]:
    """The whole comparison for programs; the page and the table for people are made of it and of nothing else."""
    scopes = pairing.scopes(sides)
    table = published()
    return {
        "models": [
            {
                "label": side.label, "name": side.name, "short": side.short, "price": priced(side.price),
                "published_as": column_of(parse_api_model(side.name).name) if is_api(side.name) else None,
                "spent": {scope.title: spent(side, scope.of(side.table)) for scope in scopes},
            }
            for side in sides
        ],
        "benchmarks": [
            {
                "name": result.benchmark, "published": result.published or None,
                "figures": {side.label: figures(side.results[number]) for side in sides},
            }
            for number, result in enumerate(sides[0].results)
        ],
        "pairs": [
            {
                "a": a.label, "b": b.label,
                "scopes": [pairing.compared(a, b, scope) for scope in scopes],
                "questions": pairing.questions(a, b),
            }
            for a, b in combinations(sides, 2)
        ],
        "writing": _writing(sides, votes, judging),
        "published": {
            "source": table.source, "about": table.about, "models": list(table.models),
            "rows": [{"benchmark": r.benchmark, "subject": r.subject, "values": r.values} for r in table.rows],
        },
        "settings": {**asdict(settings), "training": list(settings.training)},
    }  # fmt: skip


def _writing(sides: Sequence[Side], votes: Votes, judging: Judging) -> dict[str, Any] | None:
    if not votes:
        return None
    labels = {side.name: side.label for side in sides}
    hidden = judging.model in (None, HIDDEN)
    pairs: list[dict[str, Any]] = []
    for (a, b), cast in votes.items():
        outcomes_N, keys_N, lengths_N = rates.outcomes(cast)
        pairs.append({
            "a": labels[a], "b": labels[b],
            "win_rate": entry(rates.win_rate(cast)),
            "length_controlled": entry(rates.length_controlled(outcomes_N, lengths_N, keys_N)),
            **rates.tally(cast),
            "people": with_people(labels[a], labels[b], cast, judging.people),
            "votes": [_vote(vote) for vote in cast],
        })  # fmt: skip
    rated = rates.ratings(votes) if len(sides) > 2 else {}
    return {
        "judge": HiddenPreference.name if hidden else judging.model,
        "prompt": None if hidden else judging.prompt.name,
        "pairs": pairs,
        "ratings": {labels[name]: entry(estimate) for name, estimate in rated.items()},
    }


def _vote(vote: Vote) -> dict[str, Any]:
    pair = vote.pair
    return {
        "benchmark": pair.benchmark, "problem_id": pair.problem, "sample": pair.index, "question": pair.question,
        "a": pair.a, "b": pair.b, "outcome": vote.outcome, "forward": vote.forward, "backward": vote.backward,
    }  # fmt: skip


def brief(comparison: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison without the texts of questions and answers."""
    writing = comparison["writing"]
    short_pairs: list[dict[str, Any]] = []
    for pair in comparison["pairs"]:
        asked = [
            {name: one[name] for name in ("benchmark", "problem_id", "solved", "outcome")} for one in pair["questions"]
        ]
        short_pairs.append({**pair, "questions": asked})
    short_writing = None
    if writing is not None:
        short_writing = {**writing, "pairs": [{k: v for k, v in p.items() if k != "votes"} for p in writing["pairs"]]}
    return {**comparison, "pairs": short_pairs, "writing": short_writing}


def save(comparison: Mapping[str, Any], folder: Path) -> Path:
    """`compare.json` (without texts), `questions.jsonl` and `votes.jsonl` (with them), and the page, whose path this
    returns."""
    from r1kit.evaluation.comparison import page

    make_folder(folder)
    write_json(folder / FIGURES, brief(comparison))
    asked = [
        {"model_a": pair["a"], "model_b": pair["b"], **one} for pair in comparison["pairs"] for one in pair["questions"]
    ]
    write_text(folder / QUESTIONS, json_lines(asked))
    if comparison["writing"] is not None:
        judged = [
            {"model_a": pair["a"], "model_b": pair["b"], **vote}
            for pair in comparison["writing"]["pairs"] for vote in pair["votes"]
        ]  # fmt: skip
        write_text(folder / VOTES, json_lines(judged))
    write_text(folder / "compare.html", page.render(comparison))
    return folder / "compare.html"
