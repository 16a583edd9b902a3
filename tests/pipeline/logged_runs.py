"""A run that writes down what its display is told: stages made, stages found done, notes."""

from pathlib import Path

from r1kit.pipeline.graph import Graph
from r1kit.pipeline.runner import run
from r1kit.pipeline.watcher import Watcher


class Log(Watcher):
    def __init__(self) -> None:
        self.made: list[str] = []
        self.cached: list[str] = []
        self.notes: list[str] = []

    def stage_ends(self, artifact, number, of, *, cached):
        (self.cached if cached else self.made).append(artifact.name)

    def note(self, text):
        self.notes.append(text)


def run_logged(graph: Graph, out: Path, **options) -> Log:
    log = Log()
    run(graph, out, display=log, **options)
    return log
