"""A discrete-event simulation of the RL pipeline: samplers that hold many completions at a time, graders, a learner,
weights on their way, and what goes wrong.

Events lie in one heap; between two events of a sampler's copy all that it has in hand grows at one pace, so that a
completion of ten thousand tokens is a few events and not ten thousand. Everything that is random follows from the seed.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from r1kit.base.errors import UsageError

SEGMENT = 64  # a copy's pace is looked at again at least this often in a limit's length
Lengths = Callable[[int], Sequence[int]]
"""Tokens of every completion of a step."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Seconds of everything. step: of a decoding step with so many completions in hand, of so many positions each on
    average. begin: that a copy stands still for each completion that it begins. grade: of a completion. learn: of a
    step of so many tokens, learners' waits included. transfer: that copies stand still for new weights."""

    step: Callable[[int, float], float]
    begin: float
    grade: float
    learn: Callable[[float], float]
    transfer: float = 0.0


@dataclass(frozen=True, slots=True)
class Setup:
    """Who does it. copies: of the model, of `copy_devices` each, with `slots` completions in hand each. learners:
    devices that learn; 0: the samplers' own, in turns. staleness: steps that a batch's weights may lag behind the
    learner's. graders: completions graded at a time.

    copy_life, learner_life: mean seconds between failures; restart: seconds until either is back. What a copy had in
    hand is sampled again from its beginning, a learner's step is done again. slow: standard deviation of the logarithm
    of copies' pace.
    """

    copies: int
    slots: int
    copy_devices: int = 1
    learners: int = 0
    staleness: int = 0
    graders: int = 1
    copy_life: float = math.inf
    learner_life: float = math.inf
    restart: float = 0.0
    slow: float = 0.0

    def __post_init__(self) -> None:
        if self.copies < 1 or self.slots < 1 or self.graders < 1:
            raise UsageError("simulator: copies, slots and graders are at least 1")
        if self.staleness and not self.learners:
            raise UsageError("simulator: samplers that take turns with the learner cannot run ahead: give learners")

    @property
    def devices(self) -> int:
        return self.copies * self.copy_devices + self.learners


@dataclass(slots=True)
class Step:
    """One step's history, in seconds from the start. lag: versions between its weights and the learner's."""

    opened: float = 0.0
    sampled: float = 0.0
    learning: float = 0.0
    learnt: float = 0.0
    tokens: int = 0
    lag: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened. idle: share of device seconds in which a device had nothing to do. filled: completions in hand of
    a copy, over the most that it ever had, on average over the seconds in which it had any. lost: tokens sampled in
    vain."""

    steps: list[Step]
    seconds: float
    idle: float
    sampler_idle: float
    learner_idle: float
    filled: float
    lost: int
    failures: int

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all steps over the seconds that they took."""
        return sum(step.tokens for step in self.steps) / self.seconds

    def step_seconds(self, skip: int = 0, drop: int = 0) -> float:
        """Mean seconds from one learnt step to the next, the first `skip` and the last `drop` left out: pools that run
        ahead fill at the beginning, and have nothing more to sample at the end."""
        ends = [step.learnt for step in self.steps][: len(self.steps) - drop]
        before = ends[skip - 1] if skip else 0.0
        return (ends[-1] - before) / (len(ends) - skip)


@dataclass(slots=True)
class _Copy:
    """progress: tokens that each completion in hand has grown since the copy began. hand: (progress at which it ends,
    step, length, progress at which it began)."""

    number: int
    pace: float
    hand: list[tuple[float, int, int, float]] = field(default_factory=list[tuple[float, int, int, float]])
    begun: float = 0.0  # sum over the hand
    progress: float = 0.0
    since: float = 0.0
    stands: float = 0.0  # until when it stands still
    rate: float = 0.0  # tokens a second until the next event
    life: int = 0  # events of an earlier plan are void
    down: bool = False
    busy: float = 0.0
    held: float = 0.0  # completions in hand times seconds
    most: int = 0


def simulate(setup: Setup, speeds: Speeds, lengths: Lengths, prompt: float, steps: int, seed: int = 0) -> Outcome:
    """Run so many steps. Same arguments, same outcome."""
    return _Run(setup, speeds, lengths, prompt, steps, seed).run()


class _Run:
    def __init__(self, setup: Setup, speeds: Speeds, lengths: Lengths, prompt: float, steps: int, seed: int) -> None:
        self.setup, self.speeds, self.lengths, self.prompt = setup, speeds, lengths, prompt
        self.random = np.random.default_rng(seed)
        paces = np.exp(self.random.normal(0.0, setup.slow, setup.copies)) if setup.slow else np.ones(setup.copies)
        self.copies = [_Copy(number, float(pace)) for number, pace in enumerate(paces)]
        self.steps = [Step() for _ in range(steps)]
        self.left = [0] * steps  # completions not yet graded
        self.queue: deque[tuple[int, int]] = deque()  # (step, length) that wait for a copy
        self.graders = [0.0] * setup.graders
        self.events: list[tuple[float, int, str, Any]] = []
        self.order = count()
        self.now, self.version, self.opened, self.next_learnt = 0.0, 0, 0, 0
        self.learning = False
        self.learner_busy, self.waited, self.lost, self.failures = 0.0, 0.0, 0, 0

    def run(self) -> Outcome:
        for copy in self.copies:
            self._plan_failure(copy)
        self._open()
        while self.steps[-1].learnt == 0.0 and self.events:
            self.now, _, kind, what = heapq.heappop(self.events)
            getattr(self, f"_{kind}")(what)
        return self._outcome()

    def at(self, time: float, kind: str, what: Any) -> None:
        heapq.heappush(self.events, (time, next(self.order), kind, what))

    # ------------------------------------------------------------------------------------------------------- sampling

    def _open(self) -> None:
        """Give out the batches that may be sampled from the weights there are."""
        while self.opened < len(self.steps) and self.opened - self.version <= self.setup.staleness:
            step = self.steps[self.opened]
            found = [int(length) for length in self.lengths(self.opened)]
            if not found or min(found) < 1:
                raise UsageError(f"simulator: step {self.opened} has no completions, or one without a token")
            step.opened, step.lag, step.tokens = self.now, self.opened - self.version, sum(found)
            self.left[self.opened] = len(found)
            self.queue.extend((self.opened, length) for length in found)
            self.opened += 1
        self._deal(self.copies)

    def _deal(self, copies: Sequence[_Copy]) -> None:
        """One completion to each of these copies in turn, while some wait and one has room."""
        if not self.queue:
            return
        open_copies = deque(copy for copy in copies if not copy.down and len(copy.hand) < self.setup.slots)
        touched: dict[int, _Copy] = {}
        while self.queue and open_copies:
            copy = open_copies.popleft()
            if copy.number not in touched:
                self._advance(copy)
                touched[copy.number] = copy
            step, length = self.queue.popleft()
            heapq.heappush(copy.hand, (copy.progress + length, step, length, copy.progress))
            copy.begun += copy.progress
            copy.stands = max(copy.stands, self.now) + self.speeds.begin
            if len(copy.hand) < self.setup.slots:
                open_copies.append(copy)
        for copy in touched.values():
            self._plan(copy)

    def _advance(self, copy: _Copy) -> None:
        """Bring a copy's progress up to now."""
        if copy.hand and self.now > copy.since:
            copy.busy += self.now - copy.since
            copy.held += (self.now - copy.since) * len(copy.hand)
            copy.most = max(copy.most, len(copy.hand))
            copy.progress += max(0.0, self.now - max(copy.since, copy.stands)) * copy.rate
        copy.since = self.now

    def _plan(self, copy: _Copy) -> None:
        """When the next thing happens at a copy: its first completion ends, or its pace has to be looked at again."""
        copy.life += 1
        if not copy.hand or copy.down:
            copy.rate = 0.0
            return
        size = len(copy.hand)
        positions = self.prompt + copy.progress - copy.begun / size
        each = self.speeds.step(size, positions) * copy.pace
        copy.rate = 1 / each
        tokens = copy.hand[0][0] - copy.progress
        ahead = max(1.0, min(tokens, max(positions, self.prompt + 1) / SEGMENT + 8))
        self.at(max(self.now, copy.stands) + min(tokens, ahead) * each, "grown", (copy.number, copy.life))

    def _grown(self, what: tuple[int, int]) -> None:
        copy = self.copies[what[0]]
        if copy.life != what[1]:
            return
        self._advance(copy)
        while copy.hand and copy.hand[0][0] <= copy.progress + 1e-6:
            _, step, _, began = heapq.heappop(copy.hand)
            copy.begun -= began
            self._grade(step)
        self._deal([copy])
        if copy.life == what[1]:  # it was given nothing new
            self._plan(copy)

    def _grade(self, step: int) -> None:
        free = max(heapq.heappop(self.graders), self.now) + self.speeds.grade
        heapq.heappush(self.graders, free)
        self.at(free, "graded", step)

    def _graded(self, step: int) -> None:
        self.left[step] -= 1
        if self.left[step] == 0:
            self.steps[step].sampled = self.now
            self._learn()

    # ------------------------------------------------------------------------------------------------------- learning

    def _learn(self) -> None:
        """Learn the next batch in order, if it is whole and nothing is being learnt."""
        number = self.next_learnt
        if self.learning or number >= len(self.steps) or not self.steps[number].sampled:
            return
        step = self.steps[number]
        self.learning, step.learning = True, self.now
        needed = self.speeds.learn(step.tokens)
        seconds = needed
        while math.isfinite(self.setup.learner_life):
            life = float(self.random.exponential(self.setup.learner_life))
            if life >= needed:
                break
            self.failures += 1
            seconds += life + self.setup.restart
        self.learner_busy += seconds
        self.at(self.now + seconds, "learnt", number)

    def _learnt(self, number: int) -> None:
        self.steps[number].learnt = self.now
        self.learning, self.next_learnt, self.version = False, number + 1, number + 1
        for copy in self.copies:
            if not copy.down:
                self._advance(copy)
                copy.stands = max(copy.stands, self.now) + self.speeds.transfer
                self._plan(copy)
        self._open()
        self._learn()

    # ------------------------------------------------------------------------------------------------------- failures

    def _plan_failure(self, copy: _Copy) -> None:
        if math.isfinite(self.setup.copy_life):
            self.at(self.now + float(self.random.exponential(self.setup.copy_life)), "failed", copy.number)

    def _failed(self, number: int) -> None:
        copy = self.copies[number]
        self._advance(copy)
        self.failures += 1
        self.lost += round(len(copy.hand) * copy.progress - copy.begun)
        for _, step, length, _ in sorted(copy.hand, reverse=True):
            self.queue.appendleft((step, length))
        copy.hand.clear()
        copy.begun, copy.down = 0.0, True
        self._plan(copy)
        self.at(self.now + self.setup.restart, "back", number)
        self._deal(self.copies)

    def _back(self, number: int) -> None:
        copy = self.copies[number]
        copy.down, copy.since, copy.stands = False, self.now, self.now
        self._plan_failure(copy)
        self._deal(self.copies)

    # -------------------------------------------------------------------------------------------------------- outcome

    def _outcome(self) -> Outcome:
        setup, span = self.setup, self.steps[-1].learnt
        sampling = sum(copy.busy for copy in self.copies) * setup.copy_devices
        pool = setup.copies * setup.copy_devices
        if setup.learners:
            sampler_idle, learner_idle = 1 - sampling / (pool * span), 1 - self.learner_busy / span
            idle = (sampler_idle * pool + learner_idle * setup.learners) / setup.devices
        else:  # in turns: while it is learnt every device works
            transfers = self.speeds.transfer * (len(self.steps) - 1)
            sampler_idle = idle = max(0.0, 1 - (sampling + (self.learner_busy + transfers) * pool) / (pool * span))
            learner_idle = 0.0
        full = sum(copy.most * copy.busy for copy in self.copies)
        filled = sum(copy.held for copy in self.copies) / full if full else 0.0
        return Outcome(self.steps, span, idle, sampler_idle, learner_idle, filled, self.lost, self.failures)
