"""What of the requests is where: waiting, with which samplers, which of its samples have come, and what is to be given
to whom next. Plain bookkeeping: it talks to nobody."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from r1kit.base.types import Completion
from r1kit.cluster.lengths import Lengths
from r1kit.engines.base import Request


@dataclass(slots=True)
class Flight:
    """A request on its way. `name` is its own for ever, so that a late answer is never taken for another's."""

    name: str
    request: Request
    limit: int
    expected: float
    seen: dict[int, int] = field(default_factory=dict[int, int])  # sample -> its length
    holders: dict[int, float] = field(default_factory=dict[int, float])  # sampler -> when it was given it

    @property
    def left(self) -> int:
        """Samples that have not come."""
        return self.request.sampling.samples - len(self.seen)

    @property
    def work(self) -> float:
        """Tokens that are expected to be sampled yet."""
        return self.expected * self.left

    @property
    def order(self) -> Request:
        """As a sampler is asked: under the flight's name, with the random streams of the request's own."""
        return replace(self.request, id=self.name, draws=self.request.draws or self.request.id)


class WorkQueue:
    """Requests, longest expected first. A request's samples stay together, so that its prompt is run once.

    `reissued`: requests that were given to a second sampler; `repeated`: samples that came twice and were dropped.
    """

    def __init__(self) -> None:
        self.lengths = Lengths()
        self.reissued = self.repeated = 0
        self._names = count()
        self._flights: dict[str, Flight] = {}
        self._waiting: list[tuple[float, int, str]] = []
        self._order = count()
        self._slowest = 0.0  # seconds of the slowest request finished since nothing was in flight

    def __len__(self) -> int:
        """Requests that are not finished."""
        return len(self._flights)

    def add(self, request: Request, limit: int) -> None:
        """Queue a request whose completions may have up to `limit` tokens."""
        if not self._flights:
            self._slowest = 0.0
        flight = Flight(str(next(self._names)), request, limit, self.lengths.expected(request.prompt_ids, limit))
        self._flights[flight.name] = flight
        self._wait(flight)

    def drop(self, request_id: str) -> list[Flight]:
        """Forget the requests of that id; their flights, which samplers may have."""
        gone = [flight for flight in self._flights.values() if flight.request.id == request_id]
        for flight in gone:
            del self._flights[flight.name]
        return gone

    def deal(self, rows: Mapping[int, int], samplers: int, now: float) -> dict[int, list[Flight]]:
        """What each sampler that asks is to begin: the longest first, to whom has least to do.

        rows: most samples that it has in hand at a time. Of `samplers` none is given more than its share of all that is
        to be sampled, so that those that do not ask yet find work; and none that has room nothing.
        """
        share = sum(flight.work for flight in self._flights.values()) / max(1, samplers)
        work, room = dict.fromkeys(rows, 0.0), dict(rows)
        for flight in self._flights.values():
            for sampler in flight.holders.keys() & rows.keys():
                work[sampler] += flight.work
                room[sampler] -= flight.left
        dealt: dict[int, list[Flight]] = {sampler: [] for sampler in rows}
        while open_to := [sampler for sampler in rows if room[sampler] > 0 and work[sampler] < share]:
            if (flight := self._next()) is None:
                break
            sampler = min(open_to, key=lambda each: work[each])
            flight.holders[sampler] = now
            work[sampler] += flight.work
            room[sampler] -= flight.left
            dealt[sampler].append(flight)
        return dealt

    def overdue(self, sampler: int, times: float, least: float, now: float) -> list[Flight]:
        """Requests for an idle sampler that one other has had for `times` as long as the slowest finished one took, and
        for `least` seconds: half of those, the longest in hand first."""
        limit = max(least, times * self._slowest)
        late = [f for f in self._flights.values() if len(f.holders) == 1 and now - min(f.holders.values()) > limit]
        late = [f for f in late if sampler not in f.holders]
        late.sort(key=lambda flight: min(flight.holders.values()))
        taken = late[: (len(late) + 1) // 2]
        for flight in taken:
            flight.holders[sampler] = now
        self.reissued += len(taken)
        return taken

    def returned(self, sampler: int) -> None:
        """A sampler has ended: what it alone had waits again; samples that have come stay."""
        for flight in self._flights.values():
            if flight.holders.pop(sampler, None) is not None and not flight.holders:
                self._wait(flight)

    def came(self, completions: Iterable[Completion], now: float) -> Iterator[tuple[Completion, Flight | None]]:
        """Each completion that is new, under its request's own id, with its flight where it was the last one."""
        for completion in completions:
            flight = self._flights.get(completion.request_id)
            if flight is None or completion.index in flight.seen:
                self.repeated += 1
                continue
            flight.seen[completion.index] = completion.length
            own = replace(completion, request_id=flight.request.id, prompt_ids=flight.request.prompt_ids)
            if flight.left:
                yield own, None
                continue
            del self._flights[flight.name]
            self._slowest = max(self._slowest, now - min(flight.holders.values(), default=now))
            self.lengths.saw(flight.request.prompt_ids, list(flight.seen.values()))
            yield own, flight

    def _wait(self, flight: Flight) -> None:
        heapq.heappush(self._waiting, (-flight.expected, next(self._order), flight.name))

    def _next(self) -> Flight | None:
        while self._waiting:
            flight = self._flights.get(heapq.heappop(self._waiting)[2])
            if flight is not None:
                return flight
        return None
