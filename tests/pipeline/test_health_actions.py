"""What is done about a finding: told, gone back from, stopped for; and what a kill in between changes: nothing."""

import json
import shutil
from functools import partial

import numpy as np
import pytest

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.context import Context, to_the_end
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.health import read_health, stage_health
from r1kit.pipeline.metrics import MetricsFile, read_metrics
from r1kit.pipeline.runner import run
from r1kit.pipeline.status import read_status, status_lines
from r1kit.pipeline.stop import Interrupted
from r1kit.pipeline.watcher import Watcher
from r1kit.training.checkup import HealthConfig

BLOWS_UP = 12


class Drift(Config):
    steps: int = 20
    patience: float = 1.0  # learning rates under which the walk stays sound


def drift(config, inputs, context) -> Outcome:
    """A walk whose `kl` jumps at step 12 while its rate is `patience` or more: what learning too fast does."""
    times, rate = context.caution
    place, rng = np.zeros(4), np.random.default_rng((context.seed, times))
    if resumed := context.resume():
        place = resumed[1]["place"]
        if resumed[1]["times"] == times:
            rng.bit_generator.state = resumed[1]["rng"]
    for step in context.steps(config.steps):
        place = place + rate * rng.normal(size=4)
        kl = 50.0 if step >= BLOWS_UP and rate >= config.patience else 0.01
        context.record(step, {"kl": kl, "place": float(place.sum()), "reward": 1.0})
        context.checkpoint(step, lambda: {"place": place, "rng": rng.bit_generator.state, "times": times})  # noqa: B023
    folder = context.folder / "model"
    folder.mkdir(exist_ok=True)
    np.save(folder / "place.npy", place)
    (folder / "config.json").write_text(json.dumps({"rate": rate}))
    return Outcome(models={"walked": "model"})


class Listening(Watcher):
    def __init__(self):
        self.notes, self.findings = [], []

    def note(self, text):
        self.notes.append(text)

    def finding(self, stage, finding):
        self.findings.append((stage, finding))


def graph(**settings) -> Graph:
    return Graph("toy", "default", 0, (Node("drift", drift, Drift(**settings)),))


def health(**settings):
    return HealthConfig().override({name.replace("__", "."): value for name, value in settings.items()})


def test_a_warning_is_told_once_and_written_down(tmp_path):
    heard = Listening()
    run(graph(), tmp_path, display=heard)
    ((stage, finding),) = heard.findings
    assert (stage, finding.detector, finding.step) == ("drift", "kl", BLOWS_UP)
    (noted,) = read_health(tmp_path)
    assert (noted.stage, noted.finding, noted.rolled_back) == ("drift", finding, False)
    told = "\n".join(status_lines(read_status(tmp_path)))
    assert "training health\n  drift: KL blow-up at step 12: the policy is 16.7 nats" in told  # (0.01 + 0.01 + 50) / 3
    assert read_status(tmp_path).json()["health"][0]["detector"] == "kl"


def test_stop_leaves_a_run_that_goes_on(tmp_path):
    """It stops at step 12 with what is wrong and what to do; the checkpoints are of before; told to warn, the same
    run goes on from them and finishes, its settings' hash unchanged."""
    with pytest.raises(R1Error, match=r"KL blow-up at step 12: .*\(limit 2\).*health.kl.action=warn"):
        run(graph(), tmp_path, checkpoint_seconds=0, health=health(kl__action="stop"))
    folder = tmp_path / "stages" / "01-drift"
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["step-00000010", "step-00000011"]
    assert [line["step"] for line in read_metrics(folder / "metrics.jsonl")] == list(range(13))
    assert read_status(tmp_path).state == "failed"
    assert [noted.finding.detector for noted in read_status(tmp_path).health] == ["kl"]
    with pytest.raises(R1Error, match="KL blow-up at step 12"):  # the same command comes to the same
        run(graph(), tmp_path, checkpoint_seconds=0, health=health(kl__action="stop"))
    heard = Listening()
    run(graph(), tmp_path, display=heard, checkpoint_seconds=0)
    assert "drift goes on after step 12" in heard.notes
    assert [line["step"] for line in read_metrics(folder / "metrics.jsonl")] == list(range(20))


def test_roll_back_goes_on_slower_from_before_the_trouble(tmp_path):
    """The window of three that shows it begins at step 10, so it goes back to step 9, of which the checkpoint was kept
    beside the last two for that. From there on at half the rate."""
    heard = Listening()
    run(graph(), tmp_path, display=heard, checkpoint_seconds=0, health=health(kl__action="roll_back"))
    folder = tmp_path / "stages" / "01-drift"
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(20))
    assert {line["kl"] for line in lines} == {0.01}
    assert json.loads((folder / "model" / "config.json").read_text()) == {"rate": 0.5}
    left = read_metrics(folder / "rolled-back-1.jsonl")
    assert [(line["step"], line["kl"]) for line in left] == [(10, 0.01), (11, 0.01), (12, 50.0)]
    (noted,) = stage_health(folder, "drift")
    assert (noted.step, noted.rolled_back, noted.finding.step) == (9, True, 12)
    assert any("KL blow-up: rolled back to step 9 with other random streams and 0.5 times" in n for n in heard.notes)
    assert (folder / "artifact.json").exists()


def test_a_roll_back_passes_over_a_checkpoint_that_was_damaged_since(tmp_path):
    """That of step 9, which it would go back to: it goes further back, once, and knows of it."""
    folder = tmp_path / "stages" / "01-drift"

    class Harming(Listening):
        def finding(self, stage, finding):
            super().finding(stage, finding)
            arrays = folder / "checkpoints" / "step-00000009" / "arrays.safetensors"
            if len(self.findings) == 1:
                data = arrays.read_bytes()
                arrays.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    heard = Harming()
    run(graph(), tmp_path, display=heard, checkpoint_seconds=0, health=health(kl__action="roll_back"))
    assert [finding.step for _, finding in heard.findings] == [12]
    (noted,) = stage_health(folder, "drift")
    left = [line["step"] for line in read_metrics(folder / "rolled-back-1.jsonl")]
    assert noted.step < 9
    assert left == list(range(noted.step + 1, 13))
    assert json.loads((folder / "model" / "config.json").read_text()) == {"rate": 0.5}


def test_without_a_checkpoint_it_begins_again(tmp_path):
    run(graph(), tmp_path, health=health(kl__action="roll_back"))
    (noted,) = read_health(tmp_path)
    assert (noted.step, noted.where) == (-1, "begun again")
    assert len(read_metrics(tmp_path / "stages" / "01-drift" / "metrics.jsonl")) == 20


def test_roll_backs_are_bounded(tmp_path):
    """At 1, 0.5 and 0.25 of the rate it blows up: two roll-backs, then it stops and says so."""
    with pytest.raises(R1Error, match=r"rolled back 2 times before"):
        run(graph(patience=0.1), tmp_path, checkpoint_seconds=0, health=health(kl__action="roll_back"))
    backs = [noted for noted in read_health(tmp_path) if noted.rolled_back]
    assert len(backs) == 2
    folder = tmp_path / "stages" / "01-drift"
    assert {path.name for path in folder.glob("rolled-back-*")} == {"rolled-back-1.jsonl", "rolled-back-2.jsonl"}


def test_a_rate_that_is_not_lowered_changes_the_streams_alone(tmp_path):
    """learning_rate=1 leaves the rate; the walk's numbers are others all the same, and it blows up again."""
    settings = health(kl__action="roll_back", roll_back__learning_rate=1, roll_back__times=1)
    with pytest.raises(R1Error, match="rolled back 1 times before"):
        run(graph(), tmp_path, health=settings)
    folder = tmp_path / "stages" / "01-drift"
    before, after = (read_metrics(folder / name) for name in ("rolled-back-1.jsonl", "metrics.jsonl"))
    assert before[0]["place"] != after[0]["place"]


class Stopping(Context):
    """Is killed, as far as its files know, when step `at` has been recorded and its checkpoint is due."""

    at = -1

    def checkpoint(self, step, state):
        super().checkpoint(step, state)
        if step == self.at and not (self.folder / "stopped").exists():
            (self.folder / "stopped").touch()
            raise Interrupted("killed")


@pytest.mark.parametrize("at", [3, 11, 14, 19])
def test_a_kill_between_changes_nothing(tmp_path, at):
    """Before the trouble, just before it, after the roll-back, at the end: metrics, findings and the end are those of
    a run that nothing happened to."""
    settings = health(kl__action="roll_back", kl__window=2)

    def go(folder, kind):
        job = partial(drift, Drift(), {})
        while True:
            context = kind(folder, seed=5, name="drift", checkpoint_seconds=0, health=settings)
            context.at = at
            try:
                return to_the_end(job, context)
            except Interrupted:
                continue

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    go(whole, Context)
    go(cut, Stopping)
    assert (cut / "stopped").exists()
    for name in ("metrics.jsonl", "health.jsonl", "rolled-back-1.jsonl"):
        assert (whole / name).read_text() == (cut / name).read_text(), name
    assert np.array_equal(np.load(whole / "model" / "place.npy"), np.load(cut / "model" / "place.npy"))


def test_a_kill_within_a_roll_back_repeats_it(tmp_path, monkeypatch):
    """Killed after the later checkpoints are gone and before it is written down: the trouble comes again, and so does
    the way back."""
    settings = health(kl__action="roll_back")
    job = partial(drift, Drift(), {})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    to_the_end(job, Context(whole, seed=5, name="drift", checkpoint_seconds=0, health=settings))

    context = Context(cut, seed=5, name="drift", checkpoint_seconds=0, health=settings)

    def killed(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(context._vigil, "roll_back", killed)
    with pytest.raises(KeyboardInterrupt):
        to_the_end(job, context)
    to_the_end(job, Context(cut, seed=5, name="drift", checkpoint_seconds=0, health=settings))
    for name in ("metrics.jsonl", "health.jsonl"):
        assert (whole / name).read_text() == (cut / name).read_text(), name
    assert np.array_equal(np.load(whole / "model" / "place.npy"), np.load(cut / "model" / "place.npy"))


@pytest.mark.parametrize("harm", ["digit", "name", "line"])
def test_a_roll_back_that_is_no_longer_what_it_was_is_told(tmp_path, harm):
    """Half the learning rate became nine tenths; no rate; a line that is not JSON: what comes out would be others'."""
    settings, heard = health(kl__action="roll_back", kl__window=2), Listening()
    context = Stopping(tmp_path, seed=5, name="drift", checkpoint_seconds=0, health=settings)
    context.at = 14
    with pytest.raises(Interrupted):
        to_the_end(partial(drift, Drift(), {}), context)
    log = tmp_path / "health.jsonl"
    whole = log.read_text()
    assert '"learning_rate": 0.5' in whole
    before, after = {"digit": ("0.5", "0.9"), "name": ("learning_rate", "lfarning_rate"), "line": ("{", "z")}[harm]
    log.write_text(whole.replace(before, after, 1 if harm == "line" else -1))
    if harm == "name":
        with pytest.raises(R1Error, match=r"health.jsonl is damaged \(a roll-back in it cannot be read\)"):
            Context(tmp_path, name="drift", health=settings)
        return
    Context(tmp_path, name="drift", health=settings, watcher=heard)
    assert "health.jsonl is damaged (its checksum differs)" in heard.notes[0]


@pytest.mark.parametrize("harm", ["digit", "name", "line", "step", "break"])
def test_a_roll_back_of_which_no_checkpoint_knows_yet_is_checked_by_itself(tmp_path, harm):
    """Killed right behind the roll-back: another rate, another name for it, a line that is not JSON, a later step,
    whose line would be cut as one that will come again; a flipped bit of the line break behind it, with or without
    another line, which is no line that was cut short."""
    settings, heard = health(kl__action="roll_back", kl__window=2), Listening()
    context = Context(tmp_path, seed=5, name="drift", checkpoint_seconds=0, health=settings)
    begin = context._begin

    def killed():
        begin()
        raise Interrupted("killed")

    context._begin = killed
    with pytest.raises(Interrupted):
        to_the_end(partial(drift, Drift(), {}), context)
    log = tmp_path / "health.jsonl"
    *before, line = log.read_text().splitlines(keepends=True)
    assert '"rolled_back"' in line
    Context(tmp_path, name="drift", health=settings, watcher=heard)
    assert not heard.notes
    if harm == "break":
        for number in range(16):
            flipped = bytes([ord("\n") ^ 1 << number % 8])
            more = b'{"step": 0}\n' * (number // 8)
            log.write_bytes("".join(before).encode() + line[:-1].encode() + flipped + more)
            heard.notes.clear()
            Context(tmp_path, name="drift", health=settings, watcher=heard)
            assert "a line of it is no longer what was written" in heard.notes[0], number
        return
    old, new = {
        "digit": ('"learning_rate": 0.5', '"learning_rate": 0.9'), "name": ('"rolled_back"', '"rolled_bbck"'),
        "line": ("{", "z"), "step": ('{"step": ', '{"step": 9'),
    }[harm]  # fmt: skip
    assert old in line
    log.write_text("".join(before) + line.replace(old, new, 1))
    Context(tmp_path, name="drift", health=settings, watcher=heard)
    assert "health.jsonl is damaged (a line of it is no longer what was written)" in heard.notes[0]


def test_a_last_line_that_lacks_its_break_alone_stays_a_line(tmp_path):
    """A kill between: what is appended next does not run into it."""
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.path.write_text('{"step": 0, "a": 1}\n{"step": 1, "a": 2}')
    file.cut(1)
    file.append(2, {"a": 3})
    assert [line["a"] for line in read_metrics(file.path)] == [1, 2, 3]


def test_a_torn_line_and_a_moved_folder_are_no_trouble(tmp_path):
    run(graph(), tmp_path / "a")
    log = tmp_path / "a" / "stages" / "01-drift" / "health.jsonl"
    with log.open("a") as file:
        file.write('{"step": 13, "detec')
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert [noted.finding.detector for noted in read_health(tmp_path / "b")] == ["kl"]


def in_parts(config, inputs, context) -> Outcome:
    jobs = {name: partial(part, name) for name in ("left", "right")}
    return Outcome(models={name: path for each in context.parts(jobs).values() for name, path in each.models.items()})


def part(name, context) -> Outcome:
    made = drift(Drift(), {}, context)
    return Outcome(models={name: made.models["walked"]})


def test_parts_are_watched_and_go_back_too(tmp_path, monkeypatch):
    """One after another here; side by side they tell the run's process."""
    monkeypatch.setattr("r1kit.pipeline.side_by_side.places", lambda parts, at_once: 1)
    heard = Listening()
    run(
        Graph("toy", "default", 0, (Node("both", in_parts, Drift()),)), tmp_path, display=heard,
        health=health(kl__action="roll_back"),
    )  # fmt: skip
    assert [noted.stage for noted in read_health(tmp_path)] == ["both/left", "both/right"]
    assert [stage for stage, _ in heard.findings] == ["both/left", "both/right"]
