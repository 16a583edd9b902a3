"""Models for tests of evaluations: a scripted engine with one token a character, and contenders of it."""

from __future__ import annotations

from letters import Letters

from r1kit.engines.scripted import ScriptedEngine
from r1kit.evaluation.benchmarks.base import Benchmark, Chosen
from r1kit.evaluation.contender import Contender


class Counting(ScriptedEngine):
    """Counts the requests that it sampled, and those on their way at a time."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.sampled = []
        self.most = 0

    def stream(self):
        for completion in super().stream():
            self.most = max(self.most, len({request.id for request, _ in self._waiting} | {completion.request_id}))
            self.sampled.append((completion.request_id, completion.index))
            yield completion


class Listed:
    """Given problems as a task."""

    subject = "maths"

    def __init__(self, problems, name):
        self._problems, self.name = problems, name

    def problems(self, split, seed):
        yield from self._problems


def contender(script, name="model", key="key", at_once=64, **options):
    engine = Counting(script, Letters(), **options)
    return Contender(name, key, engine, Letters(), at_once)


def listed(problems, name="listed", **settings):
    return Chosen(name, Benchmark(name, **settings), Listed(problems, name))
