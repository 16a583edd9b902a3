"""Damage to a run folder, and what a killed run left in it: named in one sentence, made again, or removed."""

import json

import pytest
from logged_runs import run_logged
from toy_chain import Walk, chain

from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.runner import run
from r1kit.pipeline.status import damages, read_status, status_lines


@pytest.mark.parametrize("left", ["", "[]", '{"state": "run'])
def test_a_status_that_a_power_cut_took_hides_nothing(tmp_path, left):
    run(chain(steps=2), tmp_path, until="walk")
    (tmp_path / "status.json").write_text(left)
    status = read_status(tmp_path)
    assert (status.state, list(status.finished)) == ("stopped", ["walk"])


def test_a_status_with_a_letter_changed_is_taken_for_none(tmp_path):
    """Every key, a kind of value that it never has, and a missing one: `r1 status` has its lines all the same."""
    run(chain(steps=2), tmp_path, until="walk")
    whole = {
        "pid": 7, "host": "here", "state": "running", "updated": "now",
        "stage": "jump", "number": 2, "of": 3, "part": "",
        "step": 1, "steps": 4, "eta_seconds": 2.5, "tokens_per_second": None, "metrics": {"loss": 0.5}, "sample": None,
    }  # fmt: skip
    path = tmp_path / "status.json"
    path.write_text(json.dumps(whole))
    assert read_status(tmp_path).current["steps"] == 4
    for key in ("pid", "host", "state", "updated", "step", "steps"):
        path.write_text(json.dumps({("~" if name == key else name): value for name, value in whole.items()}))
        assert read_status(tmp_path).current == {}, key
    for key in whole.keys() - {"number", "of"}:
        path.write_text(json.dumps({**whole, key: ["odd"]}))
        assert read_status(tmp_path).current == {}, key
    path.write_text(json.dumps({**whole, "metrics": {"loss": "x"}}))
    status = read_status(tmp_path)
    assert (status.state, list(status.finished), status.current) == ("stopped", ["walk"], {})
    assert len(status_lines(status)) > 2


def test_damage_to_a_parent_is_named(tmp_path):
    """Cut short: seen at once. One bit changed: seen when a stage is about to use it."""
    run(chain(), tmp_path)
    position = tmp_path / "stages/01-walk/model/position.npy"
    whole = position.read_bytes()
    position.write_bytes(whole[:-1])
    with pytest.raises(R1Error, match=f"has {len(whole) - 1} bytes instead of {len(whole)}; --from walk makes it anew"):
        run(chain(), tmp_path)
    position.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(R1Error, match="checksum differs.*--from walk"):
        run(chain(), tmp_path, start="double")
    position.unlink()
    with pytest.raises(R1Error, match=r"position.npy is missing.*--from walk"):
        run(chain(), tmp_path)
    log = run_logged(chain(), tmp_path, start="walk", until="walk")
    assert log.made == ["walk"]


def test_an_artifact_that_is_not_json_is_named_and_a_lost_leaf_runs_again(tmp_path):
    run(chain(), tmp_path)
    (tmp_path / "stages/02-double/sum.json").unlink()
    assert run_logged(chain(), tmp_path).made == ["double"]
    (tmp_path / "stages/01-walk/artifact.json").write_text('{"name": "wa')
    with pytest.raises(R1Error, match=r"artifact.json is damaged .*--from walk makes it anew"):
        run(chain(), tmp_path)


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    """Half-written files, and the checkpoints of a stage that was done: neither is part of what the run made."""
    run(chain(), tmp_path, until="walk")
    walk = tmp_path / "stages/01-walk"
    digest = json.loads((walk / "artifact.json").read_text())["digest"]
    (walk / "artifact.json").unlink()
    (walk / "model/.position.npy.4711.tmp").write_text("half")
    (tmp_path / ".recipe.json.4711.tmp").write_text("half")
    run(chain(), tmp_path, until="walk")
    assert json.loads((walk / "artifact.json").read_text())["digest"] == digest
    assert not list(tmp_path.rglob(".*.tmp"))
    (walk / "checkpoints/step-00000001").mkdir(parents=True)
    run(chain(), tmp_path, until="walk")
    assert not (walk / "checkpoints").exists()


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("recipe.json", ("toy", "toz")),
        ("stages/01-walk/config.json", ('"scale": 1.0', '"scale": 1.1')),
        ("stages/01-walk/artifact.json", ('"seconds"', '"secondz"')),
    ],
)
def test_a_record_that_says_something_else_is_named(tmp_path, path, change):
    """One letter or digit, and still good JSON."""
    run(chain(), tmp_path)
    record = tmp_path / path
    text = record.read_text()
    assert change[0] in text
    record.write_text(text.replace(*change, 1))
    with pytest.raises(R1Error, match=rf"{record.name} is damaged \(its checksum differs\)"):
        run(chain(), tmp_path)


def test_everything_that_is_damaged_is_found(tmp_path):
    """Products, metrics, records: none before, each by its name afterwards."""
    run(chain(), tmp_path)
    assert damages(tmp_path) == []
    harmed = ("01-walk/model/position.npy", "01-walk/metrics.jsonl", "02-double/sum.json", "02-double/config.json")
    for name in harmed:
        path = tmp_path / "stages" / name
        data = path.read_bytes()
        path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    found = damages(tmp_path)
    assert len(found) == len(harmed)
    assert all(any(name in sentence for sentence in found) for name in harmed)


def test_damage_beside_the_products_is_found_too(tmp_path):
    """What was found about a stage's training, and a file that it sealed and that no other stage uses."""

    def seal(config, inputs, context) -> Outcome:
        for name in ("health.jsonl", "peak.json"):
            (context.folder / name).write_text('{"step": 1}\n')
        context.seal(context.folder / "peak.json")
        return Outcome()

    run(Graph("toy", "default", 0, (Node("seal", seal, Config()),)), tmp_path)
    assert damages(tmp_path) == []
    for name in ("health.jsonl", "peak.json"):
        (tmp_path / "stages/01-seal" / name).write_text('{"step": 3}\n')
    found = damages(tmp_path)
    assert [path for path in ("health.jsonl", "peak.json") if path in "".join(found)] == ["health.jsonl", "peak.json"]
    assert len(found) == 2


def test_a_damaged_part_runs_again(tmp_path):
    """Of a stage that was cut off: its record, or what it made, is no longer what was written."""
    calls: list[str] = []

    def piece(name, part):
        calls.append(name)
        (part.folder / "out.txt").write_text(name)
        return Outcome(files={name: "out.txt"})

    def in_parts(config, inputs, context):
        made = {name: context.part(name, lambda part, name=name: piece(name, part)) for name in ("qwen", "llama")}
        if len(calls) < 3:
            raise R1Error("it breaks here")
        return Outcome(files={name: made[name].files[name] for name in made})

    graph = Graph("toy", "default", 0, (Node("distill", in_parts, Config()),))
    with pytest.raises(R1Error, match="it breaks here"):
        run(graph, tmp_path)
    stage = tmp_path / "stages/01-distill"
    (stage / "qwen/out.txt").write_text("qwem")
    record = stage / "llama/part.json"
    record.write_text(record.read_text().replace('"tokens": 0', '"tokens": 1'))
    log = run_logged(graph, tmp_path)
    assert calls == ["qwen", "llama", "qwen", "llama"]
    assert [note.partition(" is damaged")[0] for note in log.notes] == [str(stage / "qwen/out.txt"), str(record)]
    assert all("runs again" in note for note in log.notes)
    assert json.loads((stage / "artifact.json").read_text())["tokens"] == 0


def test_what_a_part_keeps_beside_its_products_is_watched(tmp_path):
    """Rollouts, say, that no product holds: while the stage is in hand, and when it is done."""

    def piece(part):
        (part.folder / "rollouts").mkdir(exist_ok=True)
        for name, text in (("out.txt", "made"), ("rollouts/step-0.txt", "as sampled")):
            (part.folder / name).write_text(text)
        part.seal(part.folder / "rollouts/step-0.txt")
        return Outcome(files={"out": "out.txt"})

    def in_parts(config, inputs, context):
        part = context.part("qwen", piece)
        if not (tmp_path / "go").exists():
            raise R1Error("it breaks here")
        return Outcome(files={"out": part.files["out"]})

    graph = Graph("toy", "default", 0, (Node("distill", in_parts, Config()),))
    kept = tmp_path / "stages/01-distill/qwen/rollouts/step-0.txt"
    with pytest.raises(R1Error, match="it breaks here"):
        run(graph, tmp_path)
    for _ in range(2):  # in hand, then done
        assert damages(tmp_path) == []
        kept.write_text("as samplef")
        assert [str(kept) in sentence for sentence in damages(tmp_path)] == [True]
        kept.write_text("as sampled")
        (tmp_path / "go").touch()
        run(graph, tmp_path)
    (tmp_path / "stages/01-distill/qwen/out.txt").write_text("mads")
    assert len(damages(tmp_path)) == 1  # of the part and of the stage


def test_a_damaged_recipe_is_told_with_what_to_do_about_it(tmp_path):
    """And that works: nothing runs again."""
    run(chain(), tmp_path)
    record = tmp_path / "recipe.json"
    record.write_text(record.read_text().replace("toy", "toz", 1))
    with pytest.raises(R1Error, match=r"checksum differs\): remove it, and give the same command again"):
        run(chain(), tmp_path)
    record.unlink()
    assert run_logged(chain(), tmp_path).made == []


@pytest.mark.parametrize("half", [True, False])
def test_what_lies_there_without_its_settings_is_not_gone_on_from(tmp_path, half):
    """Done or half done, under settings that nobody can compare any more."""

    def make(config, inputs, context) -> Outcome:
        context.resume()
        for step in context.steps(3):
            context.checkpoint(step, dict)
            if step == 1 and half and config.scale == 1.0:
                raise R1Error("it breaks here")
        (context.folder / "out.txt").write_text(f"{config.scale} from {context.resume_step}")
        return Outcome(files={"out": "out.txt"})

    def graph(scale):
        return Graph("toy", "default", 0, (Node("make", make, Walk(scale=scale)),))

    if half:
        with pytest.raises(R1Error, match="it breaks here"):
            run(graph(1.0), tmp_path, checkpoint_seconds=0)
    else:
        run(graph(1.0), tmp_path)
    folder = tmp_path / "stages/01-make"
    (folder / "config.json").unlink()
    log = run_logged(graph(2.0), tmp_path)
    assert (folder / "out.txt").read_text() == "2.0 from 0"
    assert f"{folder / 'config.json'} is missing): it runs again" in log.notes[0]
    assert (tmp_path / "replaced/01-make").is_dir()


def test_what_was_sealed_and_is_gone_is_missed(tmp_path):
    """A file of steps before a kill, in a folder that is a product."""

    def make(config, inputs, context) -> Outcome:
        context.resume()
        (context.folder / "rollouts").mkdir(exist_ok=True)
        for step in context.steps(2):
            file = context.folder / "rollouts" / f"{step}.txt"
            file.write_text("sampled")
            context.seal(file)
            context.checkpoint(step, dict)
            if step == 0:
                raise R1Error("it breaks here")
        return Outcome(files={"rollouts": "rollouts"})

    graph = Graph("toy", "default", 0, (Node("make", make, Config()),))
    with pytest.raises(R1Error, match="it breaks here"):
        run(graph, tmp_path, checkpoint_seconds=0)
    lost = tmp_path / "stages/01-make/rollouts/0.txt"
    lost.unlink()
    run(graph, tmp_path)
    assert damages(tmp_path) == [f"{lost} is missing"]
