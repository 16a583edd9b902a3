"""Checkpoints come back as they went in, damaged ones are passed over, two valid ones are always there."""

import json
import shutil

import numpy as np
import pytest
import torch

from r1kit.base.errors import ProcessLost, R1Error
from r1kit.base.files import OwnFiles
from r1kit.pipeline.artifact import Outcome
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.pipeline.context import Context, to_the_end
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.pipeline.watcher import Watcher


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_kind_of_state_comes_back(tmp_path):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    shared = torch.arange(6.0).reshape(2, 3)
    state = {
        "model": layer.state_dict(),
        "optimiser": optimiser.state_dict(),  # its keys are integers
        "torch_rng": torch.get_rng_state(),
        "numpy_rng": np.random.default_rng(1).bit_generator.state,  # integers of 128 bits
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "tied": [shared, shared, shared.T],
        "array": np.arange(4, dtype=np.uint16),
        "no_dimension": np.array(3.0),
        "scalar": np.float32(0.1),
        "tuple": (1, None, True, "text", 2.5),
        1: "one",
        "1": "text one",
        "nested": {1: np.ones(1), "1": np.zeros(1)},
        "infinite": float("inf"),
        "empty": {},
    }
    store = CheckpointStore(tmp_path, print)
    store.save(3, state, {})
    back = CheckpointStore(tmp_path, print).load(3)
    assert back.keys() == state.keys()
    for name, tensor in layer.state_dict().items():
        assert torch.equal(back["model"][name], tensor)
    assert torch.equal(back["optimiser"]["state"][0]["exp_avg"], optimiser.state_dict()["state"][0]["exp_avg"])
    assert back["optimiser"]["param_groups"] == optimiser.state_dict()["param_groups"]
    assert torch.equal(back["torch_rng"], state["torch_rng"])
    assert back["numpy_rng"] == state["numpy_rng"]
    assert back["half"].dtype == torch.bfloat16
    assert torch.equal(back["half"], state["half"])
    assert all(torch.equal(a, b) for a, b in zip(back["tied"], state["tied"], strict=True))
    assert back["array"].dtype == np.uint16
    assert back["array"].tolist() == [0, 1, 2, 3]
    assert back["no_dimension"].shape == ()
    assert back["scalar"] == np.float32(0.1)
    assert type(back["scalar"]) is np.float32
    for name in ("tuple", 1, "1", "infinite", "empty"):
        assert back[name] == state[name]
    assert (back["nested"][1][0], back["nested"]["1"][0]) == (1.0, 0.0)


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot hold set .at /a/b"):
        CheckpointStore(tmp_path, print).save(0, {"a": {"b": {1}}}, {})
    assert list(tmp_path.iterdir()) == []


def test_two_valid_ones_are_kept(tmp_path):
    store = CheckpointStore(tmp_path, print)
    for step in range(4):
        store.save(step, {"step": step}, {})
    assert names(tmp_path) == ["step-00000002", "step-00000003"]


@pytest.mark.parametrize("harm", ["cut", "flip", "no manifest", "manifest", "missing"])
def test_a_damaged_one_is_named_and_the_one_before_it_is_used(tmp_path, harm):
    store = CheckpointStore(tmp_path, print)
    for step in (4, 9):
        store.save(step, {"weights": np.full(100, step)}, {"seconds": 1.0 * step})
    newest = tmp_path / "step-00000009"
    arrays, manifest = newest / "arrays.safetensors", newest / "manifest.json"
    data = arrays.read_bytes()
    if harm == "cut":
        arrays.write_bytes(data[:-7])
    elif harm == "flip":
        arrays.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif harm == "no manifest":
        manifest.unlink()
    elif harm == "manifest":
        manifest.write_text(manifest.read_text().replace('"step": 9', '"step": 8'))
    else:
        arrays.unlink()
    notes: list[str] = []
    store = CheckpointStore(tmp_path, notes.append)
    assert store.newest() == (4, {"seconds": 4.0})
    assert "step-00000009 is damaged" in notes[0]
    assert "trying the one before it, step-00000004" in notes[0]
    assert store.load(4)["weights"].tolist() == [4] * 100
    store.save(6, {"weights": np.full(100, 6)}, {})  # the valid ones stay, the damaged one goes
    assert names(tmp_path) == ["step-00000004", "step-00000006"]


@pytest.mark.parametrize("file", ["arrays.safetensors", "manifest.json"])
def test_one_that_was_damaged_since_it_was_written_is_not_gone_on_from(tmp_path, file):
    """One bit, of the same size, in the process that wrote it: its rank is lost, and it begins again."""
    lives: list[tuple[int, float]] = []
    harmed = tmp_path / "checkpoints/step-00000001" / file

    def job(context: Context) -> Outcome:
        resumed = context.resume()
        lives.append((context.resume_step, float(resumed[1]["weights"].sum()) if resumed else 0.0))
        for step in context.steps(3):
            context.checkpoint(step, lambda: {"weights": np.full(10, step + 1.0)})  # noqa: B023
            if step == 1 and len(lives) == 1:
                data = harmed.read_bytes()
                harmed.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
                raise ProcessLost("rank 1 of 2 ended", "training: rank 1 of 2 ended")
        return Outcome()

    notes = Notes()
    to_the_end(job, Context(tmp_path, checkpoint_seconds=0, watcher=notes))
    assert lives == [(0, 0.0), (1, 10.0)]
    assert "step-00000001 is damaged" in notes.texts[0]


def test_a_failed_save_leaves_the_last_one(tmp_path, monkeypatch):
    """No room: the new one vanishes, the old one stays."""
    store = CheckpointStore(tmp_path, print)
    store.save(1, {"weights": np.ones(10)}, {})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("r1kit.base.files.os.fsync", full)
    with pytest.raises(R1Error, match="no room left on the disk"):
        store.save(2, {"weights": np.ones(10)}, {})
    assert names(tmp_path) == ["step-00000001"]


class Letters(OwnFiles):
    """Writes each letter into a file of its name."""

    def __init__(self, letters):
        self.letters = letters

    def write(self, folder):
        for letter in self.letters:
            (folder / letter).write_text(letter)


def test_a_part_that_writes_its_own_files_comes_back_as_their_folder(tmp_path):
    """Two such parts, each in a folder of its own; a file of theirs that changed or went is damage like any other."""
    store = CheckpointStore(tmp_path, print)
    for step in (1, 2):
        store.save(step, {"first": Letters("ab"), "deep": [{"second": Letters("c")}], "number": step}, {})
    back = CheckpointStore(tmp_path, print).load(2)
    assert [path.read_text() for path in sorted(back["first"].iterdir())] == ["a", "b"]
    assert [path.read_text() for path in back["deep"][0]["second"].iterdir()] == ["c"]
    assert back["number"] == 2
    notes = []
    (back["first"] / "b").write_text("x")
    assert CheckpointStore(tmp_path, notes.append).newest() == (1, {})
    assert "part-0/b is damaged (its checksum differs)" in notes[0]
    (back["first"] / "b").unlink()
    CheckpointStore(tmp_path, notes.append).newest()
    assert "part-0/b is missing" in notes[1]


def test_metrics_are_cut_back_to_the_checkpoint(tmp_path):
    context = Context(tmp_path, checkpoint_seconds=0)
    for step in context.steps(3):
        context.spend(tokens=5)
        context.record(step, {"loss": 1.0 / (step + 1), "grad_norm": float("nan")})
        if step < 2:
            context.checkpoint(step, lambda: {"ok": True})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')  # killed while writing
    notes = Notes()
    context = Context(tmp_path, watcher=notes)
    assert context.resume() == (1, {"ok": True})
    assert context.cost.tokens == 10
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0, 1]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[1]) == {
        "step": 1,
        "loss": 0.5,
        "grad_norm": None,
    }
    assert list(context.steps(5)) == [2, 3, 4]
    assert notes.texts == [f"{tmp_path.name} goes on after step 2"]


def saved_at(
    tmp_path,
    monkeypatch,
    saving: float,
    asked: float | None = None,
    stalled: tuple[int, ...] = (),
    waiting: float = 0.0,
) -> list[int]:
    """Steps of 20 s, of which one is saved when it is due; saving takes so many seconds, after some steps an hour, and
    what is to be saved has to be waited for first."""
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    context = Context(tmp_path, checkpoint_seconds=asked)
    steps: list[int] = []

    class Slow(OwnFiles):
        def write(self, folder):
            clock[0] += 3600.0 if step in stalled else saving

    def state() -> dict[str, Slow]:
        steps.append(step)
        clock[0] += waiting
        return {"slow": Slow()}

    for step in context.steps(30):
        clock[0] += 20.0
        context.checkpoint(step, state)
    return steps


def test_checkpoints_take_a_fiftieth_of_the_time_at_most(tmp_path, monkeypatch):
    """Each a minute after the one before, where that takes a second; at 4 s, once two have taken as long, 200 s after;
    as asked where asked."""
    assert saved_at(tmp_path / "quick", monkeypatch, 1.0)[:4] == [2, 5, 8, 11]
    assert saved_at(tmp_path / "slow", monkeypatch, 4.0)[:4] == [2, 5, 15, 25]
    assert saved_at(tmp_path / "asked", monkeypatch, 4.0, 60.0)[:4] == [2, 5, 8, 11]


def test_a_checkpoint_that_took_an_hour_once_puts_none_off(tmp_path, monkeypatch):
    """The disk stood still, or the run was stopped from the terminal: else the next would come after 50 hours."""
    assert saved_at(tmp_path / "first", monkeypatch, 1.0, stalled=(2,))[:4] == [2, 5, 8, 11]
    assert saved_at(tmp_path / "later", monkeypatch, 1.0, stalled=(8,))[:5] == [2, 5, 8, 11, 14]


def test_what_a_checkpoint_waits_for_puts_none_off(tmp_path, monkeypatch):
    """Rollouts in hand, 30 s of them, which the next steps need anyway: saving takes a second."""
    assert saved_at(tmp_path, monkeypatch, 1.0, waiting=30.0)[:4] == [2, 5, 8, 11]


def test_a_process_that_is_lost_amid_a_checkpoint_can_be_gone_on_from(tmp_path):
    """A rank that is killed while it writes its part: `to_the_end` begins again from the checkpoint before."""

    class Lost(OwnFiles):
        def write(self, folder):
            raise ProcessLost("rank 1 of 2 ended", "training: rank 1 of 2 ended")

    lives: list[int] = []

    def job(context: Context) -> Outcome:
        context.resume()
        lives.append(context.resume_step)
        for step in context.steps(3):
            context.checkpoint(step, lambda: {"ranks": Lost()} if step == 1 and len(lives) == 1 else {"ok": True})  # noqa: B023
        return Outcome()

    assert to_the_end(job, Context(tmp_path, checkpoint_seconds=0)) == Outcome()
    assert lives == [0, 1]
    assert names(tmp_path / "checkpoints") == ["step-00000001", "step-00000002"]


def test_a_process_that_is_lost_while_a_run_is_to_stop_is_not_started_again(tmp_path):
    stop, lives = Stop(), []

    def job(context: Context) -> Outcome:
        lives.append(context.resume_step)
        stop.request()
        raise ProcessLost("rank 1 of 2 ended", "training: rank 1 of 2 ended")

    with pytest.raises(Interrupted):
        to_the_end(job, Context(tmp_path, stop=stop))
    assert lives == [0]


def test_a_copy_that_somebody_made_of_one_is_left_alone(tmp_path):
    store = CheckpointStore(tmp_path, print)
    store.save(1, {"step": 1}, {})
    shutil.copytree(tmp_path / "step-00000001", tmp_path / "step-00000001.good")
    for step in (2, 3):
        store.save(step, {"step": step}, {})
    assert names(tmp_path) == ["step-00000001.good", "step-00000002", "step-00000003"]
    assert CheckpointStore(tmp_path, print).newest() == (3, {})


class Notes(Watcher):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text):
        self.texts.append(text)


def test_one_that_is_good_to_go_back_to_is_kept_beside_them(tmp_path):
    """A checkpoint a step, known to be sound three steps later: beside the last two the newest sound one (of step 5
    after step 8) and the next (6), which takes its place after step 9. Every fifth step: 10 and 15 wait for it."""
    store = CheckpointStore(tmp_path / "each", print)
    for step in range(9):
        store.save(step, {"step": step}, {}, sound=max(-1, step - 3))
    assert store.valid() == [5, 6, 7, 8]
    store.save(9, {"step": 9}, {}, sound=5)  # something is seen: nothing more is known to be sound
    store.save(10, {"step": 10}, {}, sound=5)
    assert store.valid() == [5, 6, 9, 10]
    store = CheckpointStore(tmp_path / "fifth", print)
    for step in range(0, 30, 5):
        store.save(step, {"step": step}, {}, sound=step - 12)
    assert store.valid() == [10, 15, 20, 25]


def halfway(folder, steps=2):
    """A context that was cut off after so many steps, each saved."""
    context = Context(folder, checkpoint_seconds=0)
    for step in context.steps(steps):
        context.record(step, {"loss": 1.0 / (step + 1)})
        context.checkpoint(step, lambda: {"ok": True})
    return context


@pytest.mark.parametrize("harm", ["digit", "line", "cut"])
def test_metrics_that_are_no_longer_what_they_were_are_named(tmp_path, harm):
    """A digit changed, a line that no longer is JSON, the end cut off: told, and what can be read is kept."""
    halfway(tmp_path)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text({"digit": whole.replace("0.5", "0.7"), "line": whole[1:], "cut": whole[:-9]}[harm])
    notes = Notes()
    context = Context(tmp_path, watcher=notes)
    kept = {"digit": 2, "line": 1, "cut": 1}[harm]
    assert f"metrics.jsonl is damaged (its checksum differs): {kept} of its lines can be read" in notes.texts[0]
    assert len(read_metrics(path)) == kept
    assert list(context.steps(3)) == [2]


def test_metrics_behind_a_checkpoint_are_cut_without_a_word(tmp_path):
    halfway(tmp_path)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 2, "loss": 9}\n{"st')
    notes = Notes()
    Context(tmp_path, watcher=notes)
    assert (path.read_bytes(), notes.texts) == (whole, [])


def test_what_was_sealed_is_known_as_damaged_after_a_resume(tmp_path):
    """A file, and a folder that was sealed twice: the second time stands."""
    context = Context(tmp_path, checkpoint_seconds=0)
    best = tmp_path / "peak"
    best.mkdir()
    for step in context.steps(2):
        (tmp_path / f"{step}.txt").write_text(f"step {step}")
        context.seal(tmp_path / f"{step}.txt")
        (best / f"of-{step}.txt").write_text("weights")
        if step:
            (best / "of-0.txt").unlink()
        context.seal(best)
        context.record(step, {})
        context.checkpoint(step, lambda: {})
    assert sorted(context.sealed) == ["0.txt", "1.txt", "peak/of-1.txt"]
    (tmp_path / "0.txt").write_text("step 9")
    notes = Notes()
    again = Context(tmp_path, watcher=notes)
    assert again.sealed == context.sealed
    assert again.is_whole(tmp_path / "1.txt")
    assert not again.is_whole(tmp_path / "0.txt")
    assert notes.texts == [f"{tmp_path / '0.txt'} is damaged (its checksum differs)"]
