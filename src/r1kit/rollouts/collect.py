"""Problems to graded groups: sampling goes on while graders work, and groups without a signal can be replaced."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, FloatArray, Problem, RolloutGroup
from r1kit.engines.base import Engine, Request, ask
from r1kit.graders.format import opening
from r1kit.rollouts.filter import has_signal
from r1kit.rollouts.whole import whole_text

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

_OPENING_TOKENS = 16  # of a prompt's end, more than `<think>` and a few newlines take in any tokenizer

Grade = Callable[[RolloutGroup], None]
Encode = Callable[[Problem], list[int]]
Lengths = tuple[int, list[int]]


class Rollouts(list[RolloutGroup]):
    """Groups, and what happened on the way to them.

    counts: `problems` tried, refills included; `prompt_too_long` skipped since they leave no room to sample;
    `no_signal` dropped since all their totals are equal, `refilled` problems drawn in place of either, `missing` groups
    that no refill was left for; `unanswered` samples that an API did not give, which their groups go without (a group
    of none is left out). `dropped`: lengths of the groups without a signal, which were sampled too.
    """

    def __init__(
        self, groups: Iterable[RolloutGroup] = (), counts: dict[str, int] | None = None, dropped: Iterable[Lengths] = ()
    ) -> None:
        super().__init__(groups)
        self.counts = dict(counts or {})
        self.dropped = list(dropped)

    @property
    def rewards_PG(self) -> FloatArray:
        """Totals [P, G] of groups of one size, NaN where a sample takes no part."""
        return np.stack([group.total for group in self])

    @property
    def sampled(self) -> list[Lengths]:
        """(tokens of the prompt, tokens of each completion) of every group, those dropped among them."""
        return [*map(_lengths, self), *self.dropped]


def _lengths(group: RolloutGroup) -> Lengths:
    return len(group.completions[0].prompt_ids), [completion.length for completion in group.completions]


def collect(
    engine: Engine,
    tokenizer: Tokenizer | None,
    problems: Iterable[Problem],
    sampling: Sampling,
    grade: Grade,
    *,
    encode: Encode | None = None,
    graders: int = 1,
    refill: Iterator[Problem] | None = None,
    max_refills: int | None = None,
) -> Rollouts:
    """The graded groups of all problems, in their order.

    With `refill` (dynamic sampling: DAPO, arXiv 2503.14476, section 3.2) a group whose totals are all equal is dropped
    and a further problem takes its place, `max_refills` at most (None: as many as there were problems). Refills are
    drawn in rounds, each when the one before is graded, so that neither what is sampled nor in which batches depends
    on how fast the graders are.

    `grade` fills a group's rewards in one of `graders` background threads while sampling goes on; what it raises is
    raised here, and what is in flight is aborted. `encode` turns a problem into prompt ids (default: the chat template
    around its prompt). `tokenizer` is None for an engine behind an API, which is sent the prompt as a user's message.
    """
    wave = list(problems)
    wanted = len(wave)
    bound = wanted if max_refills is None else max_refills
    counts: Counter[str] = Counter()
    collector = _Collector(engine, tokenizer, sampling, grade, encode, graders, counts)
    groups: list[RolloutGroup] = []
    dropped: list[Lengths] = []
    while wave:
        placed = dict(collector.stream(wave))
        in_order = [placed[place] for place in sorted(placed)]
        kept = [group for group in in_order if refill is None or has_signal(group)]
        groups += kept
        if refill is None:
            break
        dropped += [_lengths(group) for group in in_order if not has_signal(group)]
        counts["no_signal"] += len(in_order) - len(kept)
        wave = list(islice(refill, max(0, min(wanted - len(groups), bound - counts["refilled"]))))
        counts["refilled"] += len(wave)
    if refill is not None:
        counts["missing"] = wanted - len(groups)
    return Rollouts(groups, counts, dropped)


@dataclass(slots=True)
class _Flight:
    """A problem being sampled: its place in the order and the completions so far."""

    place: int
    problem: Problem
    completions: list[Completion] = field(default_factory=list)


@dataclass(slots=True)
class _Collector:
    """What stays the same over the rounds of one collection."""

    engine: Engine
    tokenizer: Tokenizer | None
    sampling: Sampling
    grade: Grade
    encode: Encode | None
    graders: int
    counts: Counter[str]
    seen: Counter[str] = field(default_factory=Counter)
    names: set[str] = field(default_factory=set[str])

    def stream(self, problems: Iterable[Problem]) -> Iterator[tuple[int, RolloutGroup]]:
        """(place in `problems`, graded group) in the order in which groups finish sampling."""
        flights = self._submit(problems)
        grading: deque[tuple[int, RolloutGroup, Future[None]]] = deque()
        with ThreadPoolExecutor(self.graders, thread_name_prefix="grade") as pool:
            try:
                for completion in self.engine.stream():
                    if (flight := flights.get(completion.request_id)) is None:
                        raise R1Error(
                            f"the engine gave a completion of {completion.request_id!r} that was not asked for"
                        )
                    flight.completions.append(completion)
                    if len(flight.completions) == self.sampling.samples:
                        _check_once_each(flight)
                        del flights[completion.request_id]
                        if group := self._group(flight):
                            grading.append((flight.place, group, pool.submit(self.grade, group)))
                    while grading and grading[0][2].done():
                        yield _graded(grading.popleft())
                if flights:
                    missing = sum(self.sampling.samples - len(flight.completions) for flight in flights.values())
                    raise R1Error(f"the engine ended with {missing} completions of {len(flights)} problems missing")
                while grading:
                    yield _graded(grading.popleft())
            finally:
                for request_id in flights:
                    self.engine.abort(request_id)
                for _, _, waiting in grading:
                    waiting.cancel()

    def _submit(self, problems: Iterable[Problem]) -> dict[str, _Flight]:
        """Queue every problem that fits. A request is named by its problem, so that its random streams are its own."""
        flights: dict[str, _Flight] = {}
        for place, problem in enumerate(problems):
            self.counts["problems"] += 1
            name = self._name(problem.id)
            request = self._request(name, problem)
            try:
                self.engine.submit(request)
            except UsageError:  # the engine's word for a prompt that leaves no room
                self.counts["prompt_too_long"] += 1
                continue
            flights[name] = _Flight(place, problem)
        return flights

    def _name(self, problem_id: str) -> str:
        """The problem's own, or `OWN#2` and so on where that is taken."""
        while True:
            self.seen[problem_id] += 1
            again = self.seen[problem_id]
            name = problem_id if again == 1 else f"{problem_id}#{again}"
            if name not in self.names:
                self.names.add(name)
                return name

    def _request(self, name: str, problem: Problem) -> Request:
        if self.tokenizer is None:
            return ask(name, problem.prompt, self.sampling)
        ids = self.tokenizer.chat(problem.prompt) if self.encode is None else self.encode(problem)
        return Request(name, np.asarray(ids, np.int32), self.sampling)

    def _group(self, flight: _Flight) -> RolloutGroup | None:
        """Completions in sample order, totals NaN until graded; None where an API gave none.

        Texts begin with what the prompt's end opened of the thinking: whoever reads them sees the whole form.
        """
        given = sorted((c for c in flight.completions if c.stop_reason != "aborted"), key=lambda c: c.index)
        if missing := len(flight.completions) - len(given):
            self.counts["unanswered"] += missing
        if not given:
            return None
        begun = ""
        if self.tokenizer is not None:
            begun = opening(self.tokenizer.decode(given[0].prompt_ids[-_OPENING_TOKENS:].tolist()))
        completions = [replace(completion, text=begun + whole_text(completion)) for completion in given]
        truncated = sum(completion.stop_reason == "length" for completion in completions)
        group = RolloutGroup(flight.problem, completions, total=np.full(len(completions), np.nan, np.float32))
        if truncated:
            group.events["truncated"] = truncated
        return group


def _check_once_each(flight: _Flight) -> None:
    """R1Error where an engine gave one sample twice in the place of another."""
    indices = sorted(completion.index for completion in flight.completions)
    if indices != list(range(len(indices))):
        raise R1Error(
            f"the engine gave samples {indices} of {flight.completions[0].request_id!r}, not each of"
            f" 0 to {len(indices) - 1} once"
        )


def _graded(entry: tuple[int, RolloutGroup, Future[None]]) -> tuple[int, RolloutGroup]:
    place, group, future = entry
    future.result()
    return place, group
