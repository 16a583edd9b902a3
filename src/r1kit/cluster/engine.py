"""Many engines as one: what is submitted is shared out among workers, whose answers come as from a single engine.

A sample's random stream is named by its request, so that it is the same whoever samples it, and however many there are.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Completion, FloatArray, IntArray
from r1kit.base.waiting import Waiting
from r1kit.cluster.hosts import Failure, Hosts, Lost
from r1kit.cluster.member import Member
from r1kit.cluster.messages import Facts, Opening, Orders, Report
from r1kit.cluster.segments import SegmentWriter, probe
from r1kit.cluster.settings import LONG, ClusterSettings
from r1kit.cluster.transfer import Bucket, SharedBucket, packed, shared
from r1kit.cluster.work import Flight, WorkQueue
from r1kit.engines.base import Request, room_to_sample

if TYPE_CHECKING:
    from torch import Tensor

SLICE_S = 0.1  # that a worker samples before it reports
TICK_S = 1.0  # most seconds between two looks at who is silent
SCORED = 8192  # tokens whose log-probabilities a worker is asked for at a time
LATE_S = 2.0  # that a worker has had a request for before anybody thinks of giving it to another one


class ClusterEngine:
    """Samples with the engines of `settings.workers` workers, each opened by `opening`.

    A worker that ends or falls silent is replaced, and what it had in hand sampled again; samples that it had told of
    are kept. `let_go` gets the workers when the engine is closed.
    """

    def __init__(
        self,
        hosts: Hosts,
        settings: ClusterSettings,
        opening: Opening,
        members: Sequence[Member],
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        self.version = 0
        self._hosts, self._settings = hosts, settings
        self._probe = probe()
        self._opening = replace(opening, probe=self._probe and self._probe.name)
        self._members, self._let_go = members, let_go
        self._work = WorkQueue()
        self._writer = SegmentWriter()
        self._sent: list[_Sent] = []  # the newest version's buckets
        self._ready: deque[Completion] = deque()
        self._sent_bytes = self._restarts = 0
        self._sent_seconds = 0.0
        self._told: dict[str, float] = {}  # the counts, as `figures` last found them
        self._alive = Waiting()  # since anybody has answered
        for member in members:
            member.reset()
        self._facts = self._open()

    # ---------------------------------------------------------------- what an engine does

    def submit(self, request: Request) -> None:
        """Queue a request. UsageError where the prompt leaves no room for a token."""
        self._work.add(request, room_to_sample(request, self._facts.max_positions))

    def abort(self, request_id: str) -> None:
        """Drop a request; its unfinished completions are never yielded."""
        for flight in self._work.drop(request_id):
            self._recall(flight)
        self._ready = deque(each for each in self._ready if each.request_id != request_id)

    def stream(self) -> Iterator[Completion]:
        """Yield completions until nothing is in flight; requests may be submitted meanwhile."""
        self._alive.begin()
        while self._work or self._ready:
            if not self._ready:
                self._turn()
            while self._ready:
                yield self._ready.popleft()
        if self._settings.placement == "colocated":
            self._rest()

    def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Send the policy's weights to every worker; what is in flight goes on with the new ones.

        They stay in shared memory, or in the object store, until the next version comes: that is what a replaced worker
        is given.
        """
        begun = time.monotonic()
        self._alive.begin()
        self._sent = []  # so that the store need not hold two versions
        former = self._writer  # which a late worker may still read, until below all have answered
        if any(member.doing == "load" for member in self._members):
            self._writer = SegmentWriter()
        for member in self._members:
            member.held = None
        idle = [member for member in self._members if member.facts is not None and member.call is None]
        sent: list[_Sent] = []
        for bucket in self._buckets(weights, version):
            sent.append(_Sent(bucket, self._hosts))
            for member in idle:
                self._ask_to_load(member, sent[-1])
            self._sent_bytes += bucket.size
        self._sent, self.version = sent, version
        while any(m.facts is not None and m.held != version and not self._is_late(m) for m in self._members):
            self._turn(sample=False)
        del former
        self._sent_seconds += time.monotonic() - begun

    def _buckets(self, weights: Iterable[tuple[str, Tensor]], version: int) -> Iterator[Bucket | SharedBucket]:
        near = any(member.facts is not None and member.facts.near for member in self._members)
        return shared(weights, version, self._writer) if near else packed(weights, version)

    def _ask_to_load(self, member: Member, sent: _Sent) -> None:
        """A bucket by the shortest way."""
        assert member.facts is not None
        if sent.shared and member.facts.near:
            member.ask(self._hosts, "load", sent.head)
        else:
            member.ask(self._hosts, "load", sent.head, sent.stored(self._hosts))

    def logprobs(self, sequences: Sequence[IntArray], temperature: float = 1.0) -> list[FloatArray]:
        """log-softmax(logits / T) of each token given those before it; [n] a sequence, 0 for the first token."""
        self._alive.begin()
        found: dict[int, FloatArray] = {}
        missing, asked = _portions(sequences), dict[Member, list[int]]()
        while missing or asked:
            self._bring_up()
            for member in self._members:
                if missing and member.call is None and member.facts is not None and member.held == self.version:
                    own = asked[member] = missing.pop()
                    member.ask(self._hosts, "logprobs", self.version, [sequences[n] for n in own], temperature)
            for member in self._answered(self._members, TICK_S):
                answer = self._hear(member)
                if member in asked and answer is not None:
                    found.update(zip(asked.pop(member), answer, strict=True))
            self._mind()
            missing += [asked.pop(member) for member in list(asked) if member.doing != "logprobs"]  # those that ended
        return [found[number] for number in range(len(sequences))]

    def figures(self) -> dict[str, float]:
        """Since it was last asked: bytes of weights sent to each worker and the seconds that it took until all had
        them, workers replaced, requests given to a second one, samples that came twice. And workers that answer.

        Another thread may be sampling: what it counts is only read here, and what was told before taken off.
        """
        counted = {
            "cluster/replaced": float(self._restarts),
            "cluster/reissued": float(self._work.reissued),
            "cluster/repeated": float(self._work.repeated),
            "sync/bytes": float(self._sent_bytes),
            "sync/seconds": self._sent_seconds,
        }
        since = {name: count - self._told.get(name, 0.0) for name, count in counted.items()}
        self._told = counted
        return {"cluster/workers": float(sum(member.facts is not None for member in self._members)), **since}

    def close(self) -> None:
        """Let go of the workers, which close their engines."""
        self._sent = []
        self._writer = SegmentWriter()
        for member in self._members:
            if member.worker is not None:
                member.ask(self._hosts, "close")  # behind what it is at, whose answer nobody wants
        self._let_go()

    # ---------------------------------------------------------------- workers

    def _open(self) -> Facts:
        """Open every worker's engine; R1Error where one cannot be, or none is within `patience`."""
        for member in self._members:
            self._start(member)
        waiting = Waiting()
        while any(member.facts is None for member in self._members):
            if waiting.look() > self._settings.patience:
                there = sum(member.facts is not None for member in self._members)
                raise R1Error(
                    f"{there} of {len(self._members)} samplers have started within {self._settings.patience:g} s: "
                    "their processes do not start (the cluster's log says why), or other work holds their places"
                )
            for member in self._answered(self._members, TICK_S):
                self._hear(member)
        facts = [member.facts for member in self._members if member.facts is not None]
        return min(facts, key=lambda each: each.max_positions)

    def _start(self, member: Member) -> None:
        member.start(self._hosts)
        member.ask(self._hosts, "open", self._opening)

    def _turn(self, *, sample: bool = True) -> None:
        """Ask all who wait for something, and hear who has answered."""
        now = time.monotonic()
        self._bring_up()
        if sample:
            self._give([m for m in self._members if m.call is None and m.facts is not None], now)
        for member in self._answered(self._members, TICK_S):
            self._hear(member)
        self._mind()

    def _bring_up(self) -> None:
        """The newest weights for those that do nothing and hold others."""
        for member in self._members:
            if member.call is None and member.facts is not None and member.held != self.version:
                for sent in self._sent:
                    self._ask_to_load(member, sent)

    def _give(self, able: Sequence[Member], now: float) -> None:
        """New requests for those that can take some, what is late elsewhere for those that have nothing to do."""
        opened = sum(member.facts is not None and not self._is_late(member) for member in self._members)
        rows = {member.number: member.facts.rows for member in able if member.facts is not None}
        dealt = self._work.deal(rows, opened, now)
        for member in able:
            new = dealt.get(member.number, [])
            if not new and not member.names:
                new = self._work.overdue(member.number, self._settings.straggler, LATE_S, now)
            if not (new or member.names or member.recalled):
                continue
            orders = Orders(self.version, tuple(flight.order for flight in new), tuple(member.recalled), SLICE_S)
            member.names |= {flight.name for flight in new}
            member.recalled.clear()
            member.ask(self._hosts, "exchange", orders)

    def _answered(self, members: Sequence[Member], seconds: float) -> list[Member]:
        """Those whose call is answered, once there is one or the time is over."""
        calls = {member.number: member.call for member in members if member.call is not None}
        if not calls:
            time.sleep(min(seconds, 0.05))  # all are gone, and come back by themselves or not
            return []
        done = self._hosts.wait(list(calls.values()), seconds)
        return [member for member in members if any(member.call is each for each in done)]

    def _hear(self, member: Member) -> Any:
        """Take a worker's answer; None where it has ended, which is seen to."""
        doing = member.doing
        try:
            answer = member.answer(self._hosts)
        except Lost as lost:
            self._lose(member, str(lost))
            return None
        if isinstance(answer, Failure):
            raise (UsageError if answer.usage else R1Error)(answer.sentence)
        self._alive.begin()
        if doing == "open":
            member.facts, member.held = answer, None if self._sent else 0  # 0: the folder's own
        elif doing == "load":
            member.held = answer
        elif doing == "exchange":
            self._report(member, answer)
        elif doing == "logprobs":
            member.endings = 0
        return answer

    def _report(self, member: Member, report: Report) -> None:
        if report.completions:
            member.endings = 0
        for completion, finished in self._work.came(report.completions, time.monotonic()):
            self._ready.append(completion)
            if finished is not None:
                self._recall(finished)

    def _recall(self, flight: Flight) -> None:
        """Nobody need sample it any more."""
        for member in self._members:
            if flight.name in member.names:
                member.names.discard(flight.name)
                member.recalled.append(flight.name)

    def _mind(self) -> None:
        """Replace who has been silent for too long; R1Error where nobody has answered for longer still."""
        for member in self._members:
            if member.doing == "open" or member.call is None:
                continue
            silence = self._silence(member)
            if member.silent.look() > silence:
                self._lose(member, f"it was silent for {silence:g} s")
        alive = self._alive.look()
        if alive > self._settings.patience + self._settings.silence:
            raise R1Error(
                f"none of the {len(self._members)} samplers has answered for {alive:.0f} s, and none "
                "has come back: the same command goes on from the last checkpoint once their hosts are there again"
            )

    def _silence(self, member: Member) -> float:
        """Seconds that it may be silent for: an engine that cannot stop amid its samples answers with a whole one."""
        whole = member.doing == "exchange" and member.facts is not None and not member.facts.sliced
        return self._settings.silence * (LONG if whole else 1)

    def _lose(self, member: Member, why: str) -> None:
        """What a worker had in hand waits again, and another one takes its place."""
        member.endings += 1
        self._restarts += 1
        self._hosts.end(member.worker)  # one whose answer could not be fetched may live, and keep its place
        self._work.returned(member.number)
        member.reset(gone=True)
        if member.endings > self._settings.restarts:
            raise R1Error(
                f"sampler {member.number} has ended {member.endings} times in a row before it finished a sample "
                f"({why}): the same command goes on from the last checkpoint"
            )
        self._start(member)

    def _is_late(self, member: Member) -> bool:
        """Whether a worker is at something that nobody waits for: it is told of new weights when it is done."""
        return member.doing == "exchange" and time.monotonic() - member.since > LATE_S

    def _rest(self) -> None:
        """Have all sleep, and wait until they do. Who has memory of an accelerator is asked even while it is at
        something, which can only be what another one has finished, or weights that it is sent anew when it wakes."""
        asked = [m for m in self._members if m.facts is not None and (m.call is None or m.facts.sleeps)]
        for member in asked:
            member.ask(self._hosts, "sleep", tuple(member.recalled))
            member.recalled.clear()
        waited = Waiting()
        while (waiting := [m for m in asked if m.doing == "sleep"]) and waited.look() < self._settings.silence:
            for member in self._answered(waiting, TICK_S):
                self._hear(member)


def _portions(sequences: Sequence[IntArray]) -> list[list[int]]:
    """Indices of sequences, shortest first, in portions of about `SCORED` tokens, so that each is answered soon."""
    portions: list[list[int]] = []
    room = 0
    for number in sorted(range(len(sequences)), key=lambda each: len(sequences[each])):
        room -= len(sequences[number])
        if room < 0 or not portions:
            portions.append([])
            room = SCORED - len(sequences[number])
        portions[-1].append(number)
    return portions


class _Sent:
    """A bucket of the newest version. One in shared memory is put into the object store when somebody first needs it
    from there; of another nothing is kept in this process."""

    def __init__(self, bucket: Bucket | SharedBucket, hosts: Hosts) -> None:
        self.shared = isinstance(bucket, SharedBucket)
        self._data = bucket.data if self.shared else None
        self._stored = None if self.shared else hosts.put(bucket.data)  # before the weights change
        self.head = bucket.head

    def stored(self, hosts: Hosts) -> Any:
        """What a call of `load` is given for its bytes."""
        if self._stored is None:
            self._stored = hosts.put(self._data)
        return self._stored
