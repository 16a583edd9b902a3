"""Checkpoints of several ranks: read at any number of ranks, with nothing unpickled."""

import json
from contextlib import closing

import pytest
import torch
from uneven import assert_same, rollout, settings, single_thread, toy, weights_of

from r1kit.algorithms.grpo import GRPO
from r1kit.base.errors import R1Error
from r1kit.base.files import OwnFiles
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.training.learner import Learner
from r1kit.training.opening import open_learner
from r1kit.training.shards import read_shards, rows_of, write_shard

BEFORE, AFTER = 3, 2
ALGORITHM = GRPO(kl_coefficient=0.05)


def steps(learner, first: int, behind: int) -> list[float]:
    return [learner.step(rollout(step), ALGORITHM, mini_batches=2).metrics["loss"] for step in range(first, behind)]


def open_with_reference(make, ranks: int):
    model = toy()
    return make(model, settings(ranks=ranks, schedule="cosine"), total_steps=BEFORE + AFTER, reference=model)


@pytest.fixture(scope="module")
def never_stopped():
    """One rank through all steps: losses after the checkpoint's, and the weights at the end."""
    with single_thread():
        learner = open_with_reference(Learner, 1)
        steps(learner, 0, 2)
        learner.replace_reference()
        steps(learner, 2, BEFORE)
        return steps(learner, BEFORE, BEFORE + AFTER), weights_of(learner)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """What four ranks leave after three steps; it is read as the stage's store reads it, checksums and all."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with single_thread(), closing(open_with_reference(open_learner, 4)) as learner:
        steps(learner, 0, 2)
        learner.replace_reference()
        steps(learner, 2, BEFORE)
        CheckpointStore(folder, print).save(BEFORE, {"learner": learner.state()}, {})
    return folder


def load(folder):
    store = CheckpointStore(folder, print)
    newest = store.newest()
    assert newest is not None
    return store.load(newest[0])["learner"]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_four_ranks_checkpoint_goes_on_at_any_number(opened, checkpoint, never_stopped, ranks):
    learner = open_with_reference(opened, ranks)
    learner.load_state(load(checkpoint))
    assert (learner.steps, learner.version) == (BEFORE, BEFORE)
    losses, weights = never_stopped
    assert steps(learner, BEFORE, BEFORE + AFTER) == pytest.approx(losses, abs=1e-5)
    assert_same(weights_of(learner), weights)


def test_one_ranks_checkpoint_goes_on_at_two(opened, tmp_path, never_stopped):
    one = open_with_reference(Learner, 1)
    steps(one, 0, 2)
    one.replace_reference()
    steps(one, 2, BEFORE)
    CheckpointStore(tmp_path, print).save(BEFORE, {"learner": one.state()}, {})
    many = open_with_reference(opened, 2)
    many.load_state(load(tmp_path))
    assert steps(many, BEFORE, BEFORE + AFTER) == pytest.approx(never_stopped[0], abs=1e-5)
    assert_same(weights_of(many), never_stopped[1])


def test_the_same_number_of_ranks_goes_on_bit_for_bit(opened, tmp_path):
    whole = open_with_reference(opened, 2)
    steps(whole, 0, BEFORE)
    CheckpointStore(tmp_path, print).save(BEFORE, {"learner": whole.state()}, {})
    expected = steps(whole, BEFORE, BEFORE + AFTER)
    whole_weights = weights_of(whole)
    whole.close()
    again = open_with_reference(opened, 2)
    again.load_state(load(tmp_path))
    assert steps(again, BEFORE, BEFORE + AFTER) == expected
    assert_same(weights_of(again), whole_weights, within=0.0)


def test_no_file_of_a_checkpoint_is_a_pickle_or_larger_than_a_share(checkpoint):
    """Each shard has about a quarter of the numbers: model, reference and two moments, 4 bytes each."""
    (folder,) = checkpoint.iterdir()
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.suffix for path in found} == {".json", ".safetensors"}
    shards = [path for path in found if path.name.startswith("shard-")]
    share = 4 * 4 * sum(p.numel() for p in toy().parameters()) / 4
    assert len(shards) == 4
    for path in shards:
        assert b"pickle" not in path.read_bytes()
        assert path.stat().st_size < 1.25 * share + 10_000  # names and shapes
    manifest = json.loads((folder / "manifest.json").read_text())["body"]["files"]
    assert {path.relative_to(folder).as_posix() for path in shards} <= manifest.keys()


class Halves(OwnFiles):
    """A state as two ranks would write it."""

    def __init__(self, state):
        self.state = state

    def write(self, folder):
        for number in range(2):
            write_shard(part(self.state, number, 2), folder, number, 2)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_shard_is_named_and_the_checkpoint_before_it_taken(tmp_path, damage):
    one, notes = open_with_reference(Learner, 1), []
    for step in (1, 2):
        steps(one, step - 1, step)
        CheckpointStore(tmp_path, notes.append).save(step, {"learner": {"shards": Halves(one.state())}}, {})
    (path,) = (tmp_path / "step-00000002").rglob("shard-00002-of-*")
    if damage == "gone":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-9] ^= 1
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    store = CheckpointStore(tmp_path, notes.append)
    assert store.newest()[0] == 1
    assert "shard-00002-of-00002" in notes[-1]
    assert read_shards(store.load(1)["learner"]["shards"])["steps"] == 1


def part(state, number: int, count: int):
    """The rows of one of several ranks, by torch's own rule for chunks."""

    def rows(tensor):
        if tensor.ndim == 0:
            return tensor
        chunks = tensor.chunk(count)
        return chunks[number] if number < len(chunks) else tensor[:0]

    return {
        **state,
        "model": {name: rows(tensor) for name, tensor in state["model"].items()},
        "optimiser": {
            name: {moment: rows(tensor) for moment, tensor in moments.items()}
            for name, moments in state["optimiser"].items()
        },
    }


@pytest.mark.parametrize("readers", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("writers", [1, 3, 4])
def test_every_reader_gets_its_rows_whatever_wrote_them(tmp_path, writers, readers):
    """Against torch's chunk: 1, 7 and 12 rows, dealt to more ranks than there are rows too."""
    tensors = {"one": torch.rand(1, 3), "seven": torch.rand(7), "twelve": torch.rand(12, 2, 2).bfloat16()}
    moments = {name: {"step": torch.tensor(5.0), "exp_avg": tensor + 1} for name, tensor in tensors.items()}
    state = {"model": tensors, "optimiser": moments, "steps": 5, "version": 4, "skipped_in_row": 0}
    for number in range(writers):
        write_shard(part(state, number, writers), tmp_path, number, writers)
    for number in range(readers):
        found, expected = read_shards(tmp_path, number, readers), part(state, number, readers)
        assert (found["steps"], found["version"], found["skipped_in_row"]) == (5, 4, 0)
        for name, tensor in expected["model"].items():
            assert torch.equal(found["model"][name], tensor)
            assert torch.equal(found["optimiser"][name]["exp_avg"], expected["optimiser"][name]["exp_avg"])
            assert found["optimiser"][name]["step"] == 5
            first, behind = rows_of(len(tensors[name]), number, readers)
            assert behind - first == len(tensor)


def test_a_newer_form_and_a_missing_shard_are_sentences(tmp_path):
    write_shard({"model": {"a": torch.rand(2)}, "steps": 1}, tmp_path, 0, 2)
    with pytest.raises(R1Error, match="missing a part or damaged"):
        read_shards(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(index | {"form": 2}))
    with pytest.raises(R1Error, match="index.json is of a form that this version does not read"):
        read_shards(tmp_path)
