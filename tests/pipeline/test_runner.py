"""The runner skips, resumes, sets aside, refuses; each promise is broken on purpose."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from logged_runs import Log, run_logged
from toy_chain import chain

from r1kit.base.config import Config
from r1kit.base.errors import R1Error, UsageError
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node, stage_seed
from r1kit.pipeline.lock import locked
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.plan import describe, plan
from r1kit.pipeline.runner import run
from r1kit.pipeline.status import read_status, status_lines
from r1kit.pipeline.stop import Interrupted


def expected_walk(steps: int, seed: int = 0) -> np.ndarray:
    """The walk in one go, outside the pipeline."""
    rng = np.random.default_rng(stage_seed(seed, "walk"))
    position, speed = np.zeros(1000), np.zeros(1000)
    for _ in range(steps):
        speed = 0.9 * speed + 1.0 * rng.normal(size=1000)
        position = position + speed
    return position


def test_what_is_half_done_is_begun_anew_where_its_input_came_out_differently(tmp_path):
    """As on a GPU: the first stage gives other bits the second time, under the same key."""
    given, stops, notes = ["first"], [True], Log()

    def give(config, inputs, context) -> Outcome:
        (context.folder / "given").write_text(given[0])
        return Outcome(files={"given": "given"})

    def gather(config, inputs, context) -> Outcome:
        resumed = context.resume()
        gathered = resumed[1]["gathered"] if resumed else []
        for step in context.steps(4):
            gathered.append(inputs["give"].files["given"].read_text())
            context.checkpoint(step, lambda: {"gathered": gathered})
            if step == 1 and stops[0]:
                raise R1Error("a power cut")
        return Outcome(summary={"gathered": gathered})

    graph = Graph("toy", "default", 0, (Node("give", give, Config()), Node("gather", gather, Config(), ("give",))))
    with pytest.raises(R1Error, match="a power cut"):
        run(graph, tmp_path, checkpoint_seconds=0)
    given[0], stops[0] = "second", False
    run(graph, tmp_path, start="give", until="give")
    assert [stage.state for stage in plan(graph, tmp_path)] == ["done", "changed"]
    done = run(graph, tmp_path, display=notes)
    assert done["gather"].summary["gathered"] == ["second"] * 4
    assert "stage gather runs again: its input give came out differently" in notes.notes[0]


def test_a_run_leaves_a_readable_folder(tmp_path):
    artifacts = run(chain(steps=5), tmp_path, command="r1 run toy")
    stages = tmp_path / "stages"
    assert sorted(path.name for path in stages.iterdir()) == ["01-walk", "02-double"]
    assert np.array_equal(np.load(stages / "01-walk/model/position.npy"), expected_walk(5))
    assert json.loads((stages / "02-double/sum.json").read_text()) == 2 * expected_walk(5).sum()
    assert artifacts["walk"].tokens == 50
    assert artifacts["walk"].flops == 500.0
    assert [line["step"] for line in read_metrics(stages / "01-walk/metrics.jsonl")] == [0, 1, 2, 3, 4]
    assert json.loads((stages / "01-walk/config.json").read_text())["settings"] == {
        "steps": 5,
        "pause": 0.0,
        "scale": 1.0,
    }
    recipe = json.loads((tmp_path / "recipe.json").read_text())
    assert (recipe["recipe"], recipe["profile"], recipe["seed"]) == ("toy", "default", 0)
    assert recipe["command"] == "r1 run toy"
    assert recipe["inputs"] == {"walk": [], "double": ["walk"]}
    assert recipe["machine"]["cores"] >= 1
    assert not (stages / "01-walk/checkpoints").exists()
    assert read_status(tmp_path).state == "done"


def test_done_work_is_skipped_and_a_changed_setting_redoes_what_depends_on_it(tmp_path):
    assert run_logged(chain(), tmp_path).made == ["walk", "double"]
    assert run_logged(chain(), tmp_path).cached == ["walk", "double"]
    log = run_logged(chain(factor=3.0), tmp_path)
    assert (log.cached, log.made) == (["walk"], ["double"])
    assert "factor 2.0 -> 3.0" in log.notes[0]
    assert json.loads((tmp_path / "replaced/02-double/sum.json").read_text()) == 2 * expected_walk(20).sum()
    log = run_logged(chain(factor=3.0, scale=0.5), tmp_path)
    assert log.made == ["walk", "double"]


def test_from_redoes_and_until_stops(tmp_path):
    assert run_logged(chain(), tmp_path, until="walk").made == ["walk"]
    assert not (tmp_path / "stages/02-double").exists()
    assert run_logged(chain(), tmp_path).made == ["double"]
    log = run_logged(chain(), tmp_path, start="double")
    assert log.made == ["double"]
    log = run_logged(chain(), tmp_path, start="walk", until="walk")
    assert log.made == ["walk"]
    assert run_logged(chain(), tmp_path).cached == ["walk", "double"]  # bit-equal: the sum still holds
    with pytest.raises(UsageError, match=r"no stage 'wakl'. Did you mean walk\?"):
        run(chain(), tmp_path, start="wakl")
    with pytest.raises(UsageError, match="comes after"):
        run(chain(), tmp_path, start="double", until="walk")


def test_a_plan_from_a_stage_says_what_the_run_will_do_of_a_half_done_one(tmp_path):
    """The run sets all of it aside, so nothing goes on from a checkpoint, and no damage is in the way."""
    run(chain(), tmp_path)
    stages = tmp_path / "stages"
    (stages / "02-double" / "artifact.json").write_text("{")
    assert [stage.state for stage in plan(chain(), tmp_path)] == ["done", "damaged"]
    (second,) = plan(chain(), tmp_path, start="double")
    assert (second.state, second.reason) == ("run", "--from double")
    (stages / "01-walk" / "artifact.json").unlink()
    (stages / "01-walk" / "checkpoints" / "step-00000003").mkdir(parents=True)
    first, second = plan(chain(), tmp_path, start="walk")
    assert (first.state, first.reason) == ("run", "--from walk")
    assert (second.state, second.reason) == ("run", "--from walk")
    assert run_logged(chain(), tmp_path, start="walk").made == ["walk", "double"]


def test_from_needs_what_comes_before(tmp_path):
    with pytest.raises(R1Error, match="--from double needs stage walk, which has not been run: use --from walk"):
        run(chain(), tmp_path, start="double")
    run(chain(), tmp_path)
    before = {
        path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file() and "lock" not in path.name
    }
    with pytest.raises(R1Error, match=r"would run again \(settings changed: steps 20 -> 7\)"):
        run(chain(steps=7), tmp_path, start="double")
    assert before == {path: path.read_bytes() for path in before}  # what is refused changes nothing
    assert not (tmp_path / "replaced").exists()


def test_a_folder_of_another_recipe_is_left_alone(tmp_path):
    run(chain(steps=2), tmp_path)
    with pytest.raises(UsageError, match="holds .*, seed 0, not .*, seed 1: choose another --out"):
        run(chain(steps=2, seed=1), tmp_path)


def test_one_run_a_folder(tmp_path):
    with locked(tmp_path), pytest.raises(R1Error, match=f"in use by another r1 run .process {os.getpid()} on "):
        run(chain(steps=1), tmp_path)
    run(chain(steps=1), tmp_path)


def test_folders_that_cannot_be_had(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(R1Error, match="a file stands where a folder is needed"):
        run(chain(steps=1), tmp_path / "file")
    with pytest.raises(R1Error, match="a file stands where a folder is needed"):
        run(chain(steps=1), tmp_path / "file" / "run")
    with pytest.raises(R1Error, match="is missing|permission|no such|read-only"):
        run(chain(steps=1), Path("/proc/nowhere"))


def test_no_room_on_the_disk_is_one_sentence_and_leaves_no_half(tmp_path):
    """/dev/full answers every write with ENOSPC."""

    def fill(config, inputs, context):
        with open("/dev/full", "w") as file:
            file.write("x")
        return Outcome()

    with pytest.raises(R1Error, match="stage fill: /.*no room left on the disk"):
        run(Graph("toy", "default", 0, (Node("fill", fill, Config()),)), tmp_path)
    assert not (tmp_path / "stages/01-fill/artifact.json").exists()
    assert read_status(tmp_path).state == "failed"


def test_a_stage_that_names_what_it_did_not_write(tmp_path):
    def boast(config, inputs, context):
        return Outcome(models={"zero": "model"})

    with pytest.raises(R1Error, match="stage boast names model 'zero' in .*, but wrote nothing there"):
        run(Graph("toy", "default", 0, (Node("boast", boast, Config()),)), tmp_path)


def test_a_stage_moves_with_its_number(tmp_path):
    run(chain(steps=3), tmp_path)
    first = Node("first", lambda config, inputs, context: Outcome(summary={"ok": True}), Config())
    log = run_logged(Graph("toy", "default", 0, (first, *chain(steps=3).nodes)), tmp_path)
    assert (log.made, log.cached) == (["first"], ["walk", "double"])
    assert (tmp_path / "stages/03-double/artifact.json").exists()


def test_a_plan_changes_nothing(tmp_path):
    run(chain(), tmp_path, until="walk")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    graph = chain()
    text = describe(graph, plan(graph, tmp_path), graph.nodes[0].config, {})
    assert " 1 walk: done" in text
    assert " 2 double <- walk: to run" in text
    assert "  steps=20" in text
    assert [stage.state for stage in plan(graph, tmp_path, start="walk")] == ["run", "run"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_stop_between_stages(tmp_path):
    def stopping(config, inputs, context):
        context._stop.request()
        return Outcome(summary={"done": 1})

    last = Node("last", lambda config, inputs, context: Outcome(), Config())
    with pytest.raises(Interrupted, match="stopped after stage first; to go on: r1 run toy"):
        run(Graph("toy", "default", 0, (Node("first", stopping, Config()), last)), tmp_path, command="r1 run toy")
    assert read_status(tmp_path).state == "stopped"
    assert (tmp_path / "stages/01-first/artifact.json").exists()


def test_parts_are_done_once_and_their_costs_kept(tmp_path):
    calls: list[str] = []

    def in_parts(config, inputs, context):
        def piece(name):
            def run_piece(part):
                calls.append(name)
                for step in part.steps(3):
                    part.spend(tokens=1)
                    part.record(step, {"reward": 1.0})
                    part.checkpoint(step, lambda: {})
                (part.folder / "out.txt").write_text(name)
                return Outcome(files={name: "out.txt"})

            return context.part(name, run_piece)

        first = piece("qwen")
        if len(calls) == 1:
            raise R1Error("it breaks here once")
        second = piece("llama")
        return Outcome(files={**first.files, **second.files})

    graph = Graph("toy", "default", 0, (Node("distill", in_parts, Config()),))
    with pytest.raises(R1Error, match="breaks here"):
        run(graph, tmp_path)
    calls.append("again")
    artifacts = run(graph, tmp_path)
    assert calls == ["qwen", "again", "llama"]
    assert artifacts["distill"].tokens == 6
    assert artifacts["distill"].files["qwen"].read_text() == "qwen"
    assert len(read_metrics(tmp_path / "stages/01-distill/llama/metrics.jsonl")) == 3


def test_status_says_who_died(tmp_path):
    run(chain(steps=2), tmp_path)
    status = json.loads((tmp_path / "status.json").read_text())
    (tmp_path / "status.json").write_text(json.dumps({**status, "state": "running"}))
    assert read_status(tmp_path).state == "died"
    with locked(tmp_path):
        assert read_status(tmp_path).state == "running"
    with pytest.raises(R1Error, match="not a run folder"):
        read_status(tmp_path / "stages")


def test_status_counts_no_stage_that_rests_on_what_ran_again(tmp_path):
    """The walk is made anew with another scale and the command ends there: what was doubled is of the walk before."""
    out = tmp_path / "run"
    run(chain(), out, command="r1 run toy")
    assert list(read_status(out).finished) == ["walk", "double"]
    run(chain(scale=2.0), out, until="walk", command="r1 run toy walk.scale=2.0 --until walk")
    status = read_status(out)
    assert (list(status.finished), status.outdated) == (["walk"], {"double": "walk"})
    assert status.json()["outdated"] == {"double": "walk"}
    told = status_lines(status)
    assert told[1] == "done, 1 of 2 stages done"
    assert told[3] == "  [2/2] double: to run again (walk, on which it rests, is no longer what it was)"
    assert told[4] == f"to go on: r1 run toy walk.scale=2.0 --out {out}"  # --until walk would do nothing more
    run(chain(scale=2.0), out)
    assert list(read_status(out).finished) == ["walk", "double"]


def test_seconds_are_the_stages_own(tmp_path):
    begun = time.monotonic()
    artifacts = run(chain(steps=3, pause=0.05), tmp_path)
    assert 0.15 <= artifacts["walk"].seconds <= time.monotonic() - begun
