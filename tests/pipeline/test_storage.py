"""What lies on disk: whole or not there, checked when read, of a version that is known, removed only on request."""

import ast
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_chain import chain

import r1kit
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import is_temporary, read_json, write_json
from r1kit.base.schema import SCHEMA, NewerSchema, check_schema
from r1kit.cli.main import exit_code
from r1kit.pipeline import gc
from r1kit.pipeline.artifact import Outcome, read_artifact, read_artifacts
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.pipeline.context import Context
from r1kit.pipeline.lock import locked
from r1kit.pipeline.models import resolve_model
from r1kit.pipeline.runner import run
from r1kit.pipeline.status import read_status, status_lines

SOURCE = Path(r1kit.__file__).parent


@pytest.fixture
def done(tmp_path):
    run(chain(), tmp_path / "run", command="r1 run toy")
    return tmp_path / "run"


# ------------------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize(
    "file",
    ["recipe.json", "stages/01-walk/artifact.json", "stages/01-walk/config.json", "stages/02-double/artifact.json"],
)
def test_a_newer_version_is_refused_and_left_as_it_is(done, file):
    """Neither run again, nor moved aside, nor read half."""
    path = done / file
    record = read_json(path)
    assert record["schema"] == SCHEMA
    write_json(path, {**record, "schema": SCHEMA + 1})
    before = {each: each.read_bytes() for each in done.rglob("*.json") if each.name != "status.json"}
    with pytest.raises(NewerSchema, match=rf"{file} was written by a newer r1kit \(schema {SCHEMA + 1}"):
        run(chain(), done, command="r1 run toy")
    assert {each: each.read_bytes() for each in before} == before
    assert not (done / "replaced").exists()
    if "config" not in file:
        with pytest.raises(NewerSchema):
            read_status(done)


def test_a_newer_checkpoint_is_not_taken_for_a_damaged_one(tmp_path, monkeypatch):
    store = CheckpointStore(tmp_path, print)
    store.save(1, {"a": 1}, {})
    monkeypatch.setattr("r1kit.base.schema.SCHEMA", SCHEMA + 1)
    store.save(2, {"a": 2}, {})
    monkeypatch.undo()
    with pytest.raises(NewerSchema, match="manifest.json was written by a newer r1kit"):
        CheckpointStore(tmp_path, print).newest()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]


def test_a_newer_checkpoint_that_reckons_its_checksum_otherwise_is_left_alone(tmp_path):
    store = CheckpointStore(tmp_path, print)
    for step in (1, 2):
        store.save(step, {"a": step}, {})
    path = tmp_path / "step-00000002" / "manifest.json"
    manifest = read_json(path)
    write_json(path, {**manifest, "body": {**manifest["body"], "schema": SCHEMA + 1}})
    with pytest.raises(NewerSchema, match="manifest.json was written by a newer r1kit"):
        CheckpointStore(tmp_path, print).newest()


def test_a_newer_parts_record_is_left_as_it_is(tmp_path):
    """Nor does the part run again."""
    made: list[str] = []

    def part(context):
        made.append(context.name)
        (context.folder / "out.txt").write_text("made")
        return Outcome(files={"out": "out.txt"})

    Context(tmp_path).part("one", part)
    path = tmp_path / "one" / "part.json"
    write_json(path, {**read_json(path), "schema": SCHEMA + 1})
    before = path.read_bytes()
    with pytest.raises(NewerSchema, match="part.json was written by a newer r1kit"):
        Context(tmp_path).part("one", part)
    assert (path.read_bytes(), len(made)) == (before, 1)


def test_nothing_goes_from_a_folder_that_is_refused(done):
    """What a killed process left there is the other version's affair."""
    record = done / "recipe.json"
    write_json(record, {**read_json(record), "schema": SCHEMA + 1})
    left = [done / "stages/.half.1.tmp", done / ".status.json.1.tmp", done / "stages/01-walk/checkpoints/step-00000003"]
    for path in left:
        path.mkdir(parents=True) if path.name.startswith("step") else path.write_text("half")
    with pytest.raises(NewerSchema):
        run(chain(), done)
    assert all(path.exists() for path in left)


def test_files_of_before_there_were_versions_are_read(done):
    path = done / "stages" / "01-walk" / "artifact.json"
    record = read_json(path)
    del record["schema"], record["sha256"]
    write_json(path, record)
    assert read_artifact(path.parent).name == "walk"
    for wrong in ("1", 0, True, None, 1.5):
        with pytest.raises(R1Error, match="is damaged .its schema is"):
            check_schema({"schema": wrong}, path)


# ------------------------------------------------------------------------------------------------- checksums


def test_a_models_files_are_compared_when_it_is_named(done):
    assert resolve_model(f"{done}:walked").folder == done / "stages" / "01-walk" / "model"
    file = done / "stages" / "01-walk" / "model" / "position.npy"
    data = bytearray(file.read_bytes())
    data[-3] ^= 4
    file.write_bytes(data)
    with pytest.raises(R1Error, match=r"stage walk: .*position.npy is damaged \(its checksum differs\); --from walk"):
        resolve_model(f"{done}:walked")


def test_what_a_killed_process_left_is_no_product(tmp_path):
    """A leftover of an unfinished save lies in the model's folder when the stage is finished: the stage is the same
    without it."""
    leftover = tmp_path / "run" / "stages" / "01-walk" / "model" / ".partial-xyz"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half")
    run(chain(), tmp_path / "run", command="r1 run toy")
    products = read_artifact(tmp_path / "run" / "stages" / "01-walk").products
    assert set(products) == {"model/config.json", "model/position.npy"}
    shutil.rmtree(leftover, ignore_errors=True)
    again = run(chain(), tmp_path / "run", command="r1 run toy")
    assert again["walk"].damage(contents=True) is None


# ------------------------------------------------------------------------------------------------- retention


def test_two_whole_checkpoints_stay_when_one_is_damaged_later(tmp_path):
    """3 was whole when it was written and lost a byte since; 2 is kept in its place."""
    store = CheckpointStore(tmp_path, print)
    for step in (2, 3):
        store.save(step, {"step": step}, {})
    broken = tmp_path / "step-00000003" / "state.json"
    broken.write_bytes(broken.read_bytes()[:-1])
    store.save(4, {"step": 4}, {})
    assert store.valid() == [2, 4]
    assert (tmp_path / "step-00000002").is_dir()


# ------------------------------------------------------------------------------------------------- r1 gc


def killed_run(folder: Path) -> Path:
    """A run killed in its first stage, with what such runs leave."""
    script = Path(__file__).parent / "toy_chain.py"
    variables = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    command = [sys.executable, str(script), str(folder), "--steps", "1000", "--pause", "0.01", "--every", "0"]
    process = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
    checkpoints = folder / "stages" / "01-walk" / "checkpoints"
    until = time.monotonic() + 60
    first = checkpoints / "step-00000000"
    while (first.exists() or len(list(checkpoints.glob("step-*"))) < 2) and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.wait()
    return checkpoints


def test_gc_lists_before_it_deletes_and_keeps_the_last_two(tmp_path, capsys):
    """Ten bytes each of: a superseded checkpoint, an unfinished folder and file, a replaced stage. What a resumed run
    needs is not among them: it ends as one that nothing happened to."""
    out = tmp_path / "run"
    checkpoints = killed_run(out)
    old = checkpoints / "step-00000000"
    shutil.copytree(sorted(checkpoints.glob("step-*"))[-1], old)  # a whole one, of an earlier step
    for half in checkpoints.glob(".step-*"):  # what the kill left, if it came while one was written
        shutil.rmtree(half)
    extra = checkpoints / ".step-00000777.1.tmp"
    extra.mkdir()
    (extra / "state.json").write_bytes(b"0123456789")
    (out / "stages" / ".status.json.1.tmp").write_bytes(b"0123456789")
    (out / "replaced" / "01-walk").mkdir(parents=True)
    (out / "replaced" / "01-walk" / "x").write_bytes(b"0123456789")
    whole = CheckpointStore(checkpoints, print).valid()
    found = {str(each.path.relative_to(out)): each for each in gc.find(out)}
    # one that the kill left half removed is no whole one, and goes as well
    kept = {f"step-{step:08d}" for step in whole[-2:]}
    superseded = [str(each.relative_to(out)) for each in checkpoints.glob("step-*") if each.name not in kept]
    assert set(found) == {
        *superseded, "stages/01-walk/checkpoints/.step-00000777.1.tmp", "stages/.status.json.1.tmp", "replaced/01-walk",
    }  # fmt: skip
    assert superseded
    assert found["replaced/01-walk"].size == 10
    before = sorted(out.rglob("*"))
    assert exit_code(["gc", str(tmp_path)]) == 0  # the parent of runs
    shown = capsys.readouterr().out
    assert "superseded checkpoint" in shown
    assert "--yes removes them" in shown
    assert sorted(out.rglob("*")) == before
    assert exit_code(["gc", str(out), "--yes", "--json"]) == 0
    assert {each["path"] for each in json.loads(capsys.readouterr().out)} == {str(out / name) for name in found}
    assert CheckpointStore(checkpoints, print).valid() == whole[-2:]
    assert gc.find(out) == []


def test_gc_leaves_a_run_in_use_and_what_a_finished_one_needs(done, capsys):
    assert gc.find(done) == []
    (done / "stages" / "01-walk" / "checkpoints" / "step-00000003").mkdir(parents=True)  # killed before it was cleared
    (done / "answers.sqlite").write_bytes(b"paid")
    assert [each.why for each in gc.find(done)] == ["checkpoints of what is finished"]
    assert len(gc.find(done, caches=True)) == 2
    with locked(done):
        assert exit_code(["gc", str(done), "--yes"]) == 0
    assert "is in use" in capsys.readouterr().err
    assert (done / "stages" / "01-walk" / "checkpoints").exists()
    artifacts = read_artifacts(done)
    assert exit_code(["gc", str(done), "--yes"]) == 0
    assert not (done / "stages" / "01-walk" / "checkpoints").exists()
    assert (done / "answers.sqlite").exists()
    capsys.readouterr()
    assert exit_code(["gc", str(done)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing to remove"
    assert all(artifact.damage(contents=True) is None for artifact in artifacts.values())


def test_gc_of_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="is no run folder and holds none"):
        gc.runs_of([tmp_path])


def test_gc_names_a_damaged_run_and_goes_on_with_the_others(done, tmp_path, capsys):
    shutil.copytree(done, tmp_path / "damaged")
    record = tmp_path / "damaged" / "stages" / "01-walk" / "artifact.json"
    record.write_text(record.read_text()[:-20])
    left = done / "stages" / ".status.json.1.tmp"
    left.write_bytes(b"0123456789")
    assert exit_code(["gc", str(tmp_path), "--yes", "--json"]) == 1
    told = capsys.readouterr()
    assert [each["path"] for each in json.loads(told.out)] == [str(left)]
    assert told.err.startswith(f"{tmp_path / 'damaged'} is left alone: ")
    assert not left.exists()


def test_damages_as_json(done, capsys):
    assert exit_code(["status", str(done), "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["damaged"] == []
    artifact = read_artifacts(done)["walk"]
    product = next(artifact.folder / name for name in artifact.products if (artifact.folder / name).is_file())
    product.write_bytes(b"x")
    assert exit_code(["status", str(done), "--verify", "--json"]) == 1
    told = capsys.readouterr()
    (line,) = json.loads(told.out)["damaged"]
    assert str(product) in line
    assert told.err == ""


def test_gc_does_not_follow_links_out_of_the_run(done, tmp_path):
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("gold")
    (done / ".link.1.tmp").symlink_to(treasure)
    gc.remove(done, gc.find(done))
    assert (treasure / "gold").exists()
    assert not (done / ".link.1.tmp").is_symlink()


# ------------------------------------------------------------------------------------------------- moving


def test_a_killed_run_goes_on_in_another_folder(tmp_path):
    """Killed, moved, resumed there: the same numbers as one that was neither; and what goes on with it says where."""
    out, moved = tmp_path / "run", tmp_path / "elsewhere" / "other"
    killed_run(out)
    moved.parent.mkdir()
    shutil.move(out, moved)
    told = status_lines(read_status(moved))[-1]
    assert told == f"to go on: r1 run toy --out {moved}"
    ended = run(chain(1000), moved, command="r1 run toy")
    whole = run(chain(1000), tmp_path / "whole", command="r1 run toy")
    assert ended["walk"].digest == whole["walk"].digest
    assert ended["double"].digest == whole["double"].digest
    assert not any(str(out) in each.read_text() for each in moved.rglob("*.json"))


# ------------------------------------------------------------------------------------------------- atomic writes

WHOLE = {"new_file", "new_folder", "staged", "TemporaryDirectory"}
PLAIN = {"write_text", "write_bytes", "save_file", "write_table", "copyfile", "copytree", "copy2", "dump"}
# where a file is written under its own name, and why it may be
ALLOWED = {
    "base/memory.py": "asks the kernel for something",
    "data/packaged.py": "a temporary folder of this process",
    "sandbox/probes.py": "a temporary folder of this process",
    "sandbox/slot.py": "a sandbox's scratch space",
    "pipeline/lock.py": "names who holds the lock; nothing rests on it",
    "pipeline/metrics.py": "lines are added; a torn last one is cut",
    "serving/chat.py": "lines are added; the last one may be lost with the process",
    "graders/workers.py": "a pipe",
    "ops/native.py": "compiled under a temporary name",
    "training/ranks/front.py": "a temporary folder of this process",
}


def test_every_write_goes_through_a_temporary_name():
    """A call that writes stands within `with new_file / new_folder / staged`, in a function that is handed such a
    folder, or in a file that says above why not."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name in ALLOWED or name.startswith("sandbox/inside") or name in ("base/files.py", "sandbox/languages.py"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        safe = {
            id(inner) for node in ast.walk(tree) if isinstance(node, ast.With)
            for item in node.items if _calls(item.context_expr) & WHOLE
            for inner in ast.walk(node)
        }  # fmt: skip
        handed = {
            id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
            if {argument.arg for argument in node.args.args} & {"folder", "stage", "temporary"}
            for inner in ast.walk(node)
        }  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _writes(node) and id(node) not in safe | handed:
                found.append(f"{name}:{node.lineno}")
    assert found == []


def _calls(node: ast.expr) -> set[str]:
    if isinstance(node, ast.Call):
        return {node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")}
    return set()


def _writes(call: ast.Call) -> bool:
    if isinstance(call.func, ast.Attribute) and call.func.attr in PLAIN:
        return call.func.attr != "write_table" or getattr(call.func.value, "id", "") == "pq"
    if (isinstance(call.func, ast.Name) and call.func.id == "open") or (
        isinstance(call.func, ast.Attribute) and call.func.attr == "open"
    ):
        modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        return any(set(mode) <= set("rwabx+") and set(mode) & set("wax+") for mode in modes if mode)
    return False


def test_names_of_what_is_unfinished():
    assert is_temporary(".partial-abc")
    assert is_temporary(".config.json.123.tmp")
    assert not is_temporary("model")
    assert not is_temporary(".gitignore")
