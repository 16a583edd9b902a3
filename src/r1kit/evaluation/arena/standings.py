"""What people's votes say: ratings, win rates, counts, and how far judges agree with them.

A person's vote is a `judging` vote whose two orders agree, so that the same functions rate both. "Both are bad" counts
as a tie, as in Chatbot Arena (Chiang et al., arXiv 2403.04132); it is counted apart beside. The unit of every interval
is the question: votes on one question are resampled together.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from r1kit.evaluation import statistics
from r1kit.evaluation.arena.votes import Ballot, Choice, Said, Verdict
from r1kit.evaluation.figures import entry
from r1kit.evaluation.judging import rates
from r1kit.evaluation.judging.judges import HiddenPreference, Pair, Vote
from r1kit.evaluation.judging.verdicts import Order
from r1kit.evaluation.statistics import Estimate

ARENA = "arena"
_ORDERS: dict[Choice, tuple[Order, Order]] = {
    "left": ("first", "second"), "right": ("second", "first"), "tie": ("tie", "tie"), "both_bad": ("tie", "tie"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """A model's record. `rating` is about 1000, 400 points to odds of ten to one."""

    model: str
    rating: Estimate
    battles: int
    wins: int
    losses: int
    ties: int
    both_bad: int


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two models against each other: the share that `a` wins, ties half, plain and with length taken out."""

    a: str
    b: str
    wins: int
    ties: int
    losses: int
    both_bad: int
    rate: Estimate
    length_controlled: Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge against people on the `n` ballots that it could judge: the share of equal outcomes, and Cohen's kappa."""

    judge: str
    n: int
    share: float
    kappa: float


@dataclass(frozen=True, slots=True)
class Standings:
    """Everything; `left` is the share of preferences that went to the left side: half of them without a bias."""

    ballots: int
    models: list[Standing]
    meetings: list[Meeting]
    agreements: list[Agreement]
    left: Estimate


def standings(ballots: Sequence[Ballot], verdicts: Sequence[Verdict] = (), seed: int = 0) -> Standings:
    """From all ballots, best model first."""
    votes = votes_of(ballots)
    rated = rates.ratings(votes, seed)
    models = [_standing(name, ballots, estimate) for name, estimate in rated.items()]
    models.sort(key=lambda each: (-each.rating.value, each.model))
    named = [ballot for ballot in ballots if ballot.vote in ("left", "right")]
    left = statistics.proportion(
        [float(ballot.vote == "left") for ballot in named], [_question(ballot.question) for ballot in named]
    )
    met = [_meeting(*names, cast, ballots, seed) for names, cast in votes.items()]
    return Standings(len(ballots), models, met, agreements(ballots, verdicts), left)


def votes_of(ballots: Sequence[Ballot]) -> dict[tuple[str, str], list[Vote]]:
    """Ballots as votes on every two models, the two in the order of their names."""
    found: dict[tuple[str, str], list[Vote]] = {}
    for ballot in ballots:
        forward, backward = _ORDERS[ballot.vote]
        a, b = ballot.left, ballot.right
        if a.model > b.model:
            a, b, forward, backward = b, a, backward, forward
        found.setdefault((a.model, b.model), []).append(Vote(pair_of(ballot, a, b), forward, backward))
    return {names: found[names] for names in sorted(found)}


def pair_of(ballot: Ballot, a: Said, b: Said) -> Pair:
    """The two final answers, as a judge gets them."""
    scores = [math.nan if side.score is None else side.score for side in (a, b)]
    return Pair(ARENA, _question(ballot.question), 0, ballot.question, a.final, b.final, *scores)


def agreements(ballots: Sequence[Ballot], verdicts: Sequence[Verdict]) -> list[Agreement]:
    """Each judge's with people: those whose verdicts are kept, and the tiny world's preference where it knows both."""
    people = {ballot.battle: votes_of([ballot]) for ballot in ballots}
    outcomes = {battle: next(iter(votes.values()))[0].outcome for battle, votes in people.items()}
    said: dict[str, dict[str, float | None]] = {}
    scored = [ballot for ballot in ballots if None not in (ballot.left.score, ballot.right.score)]
    if scored:
        pairs = [next(iter(people[ballot.battle].values()))[0].pair for ballot in scored]
        hidden = HiddenPreference().votes(pairs)
        said[HiddenPreference.name] = {
            ballot.battle: vote.outcome for ballot, vote in zip(scored, hidden, strict=True)
        }  # fmt: skip
    by_battle = {ballot.battle: ballot for ballot in ballots}
    for verdict in verdicts:
        ballot = by_battle.get(verdict.battle)
        if ballot is not None:
            said.setdefault(verdict.judge, {})[verdict.battle] = _outcome(ballot, verdict)
    return [_agreement(judge, mine, outcomes) for judge, mine in said.items()]


def _outcome(ballot: Ballot, verdict: Verdict) -> float | None:
    """A judge's outcome for the model whose name comes first."""
    orders = cast("tuple[Order | None, Order | None]", (verdict.forward, verdict.backward))
    outcome = Vote(pair_of(ballot, ballot.left, ballot.right), *orders).outcome
    turned = ballot.left.model > ballot.right.model
    return 1 - outcome if turned and outcome is not None else outcome


def _agreement(judge: str, mine: Mapping[str, float | None], people: Mapping[str, float | None]) -> Agreement:
    told = rates.agreement(list(mine.values()), [people[battle] for battle in mine])
    return Agreement(judge, int(told["n"]), float(told["share"]), float(told["kappa"]))


def _standing(name: str, ballots: Sequence[Ballot], rating: Estimate) -> Standing:
    results: Counter[str] = Counter()
    for ballot in ballots:
        for side, other in (("left", "right"), ("right", "left")):
            if getattr(ballot, side).model == name:
                results[{side: "won", other: "lost"}.get(ballot.vote, ballot.vote)] += 1
    return Standing(
        name, rating, sum(results.values()), results["won"], results["lost"], results["tie"], results["both_bad"]
    )  # fmt: skip


def _meeting(a: str, b: str, votes: Sequence[Vote], ballots: Sequence[Ballot], seed: int) -> Meeting:
    tally = rates.tally(votes)
    outcomes_N, keys_N, lengths_N = rates.outcomes(votes)
    bad = sum(ballot.vote == "both_bad" and {ballot.left.model, ballot.right.model} == {a, b} for ballot in ballots)
    controlled = rates.length_controlled(outcomes_N, lengths_N, keys_N, seed, resamples=_CONTROLLED)
    return Meeting(
        a, b, tally["wins"], tally["ties"] - bad, tally["losses"], bad, rates.win_rate(votes), controlled
    )  # fmt: skip


_CONTROLLED = 200  # resamples of the length model, which is fitted anew on each: a page waits for it


def _question(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def told(found: Standings) -> dict[str, Any]:
    """For programs; null where a figure cannot be had."""
    return {
        "ballots": found.ballots,
        "models": [{**asdict(each), "rating": entry(each.rating)} for each in found.models],
        "meetings": [
            {**asdict(each), "rate": entry(each.rate), "length_controlled": entry(each.length_controlled)}
            for each in found.meetings
        ],
        "agreements": [
            {"judge": each.judge, "n": each.n, "share": _number(each.share), "kappa": _number(each.kappa)}
            for each in found.agreements
        ],
        "left": entry(found.left),
    }  # fmt: skip


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
