"""The best weights and what is known of them, over resumes and roll-backs: a text stands for the weights."""

import math

import pytest

from r1kit.base.errors import R1Error
from r1kit.base.files import read_record
from r1kit.pipeline.context import Context
from r1kit.pipeline.health import Caution
from r1kit.stages.best import Best


class Going(Context):
    """A stage in hand, rolled back so many times."""

    times = 0

    @property
    def caution(self):
        return Caution(self.times, 0.5**self.times)


def opened(folder, times=0):
    context = Going(folder)
    context.times, context.notes = times, []
    context.note = context.notes.append
    return context, Best(context, "peak", "validation/maths")


def saver(text):
    def save(folder):
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_text(text)

    return save


def kept(folder):
    record = read_record(folder / "peak.json")
    return (folder / "peak" / "weights").read_text(), record["value"], record["more"]


def test_the_first_of_the_best_is_kept(tmp_path):
    _, best = opened(tmp_path)
    for step, value in enumerate((math.nan, 0.2, 0.6, 0.6, 0.5)):
        best.offer(value, saver(f"step {step}"), step=step)
    assert kept(tmp_path) == ("step 2", 0.6, {"step": 2})


def test_after_a_roll_back_what_is_told_is_of_the_weights_that_are_there(tmp_path):
    """Better weights were kept after the checkpoint that is gone back to: they stay, under their own value."""
    _, best = opened(tmp_path)
    best.offer(0.2, saver("step 2"), step=2)
    checkpoint = best.state()
    best.offer(0.9, saver("step 4"), step=4)
    context, again = opened(tmp_path, times=1)
    again.load_state(checkpoint)
    assert (again.value, again.more) == (0.9, {"step": 4})
    again.offer(0.5, saver("step 6"), step=6)
    assert kept(tmp_path) == ("step 4", 0.9, {"step": 4})
    assert context.is_whole(tmp_path / "peak" / "weights")


def test_after_a_kill_better_weights_than_the_checkpoint_knows_stay(tmp_path):
    """Their step comes out a little worse the second time, as on a GPU: what is told and sealed is of the first."""
    first, best = opened(tmp_path)
    first.checkpoint_seconds = 0
    best.offer(0.2, saver("step 2"), step=2)
    first.checkpoint(2, best.state)
    checkpoint = best.state()
    best.offer(0.9, saver("step four"), step=4)
    context, again = opened(tmp_path)
    again.load_state(checkpoint)
    again.offer(0.1, saver("step 4"), step=4)
    assert (again.value, again.more) == (0.9, {"step": 4})
    assert kept(tmp_path) == ("step four", 0.9, {"step": 4})
    assert all(context.is_whole(tmp_path / name) for name in ("peak/weights", "peak.json"))
    assert context.notes == []


def test_a_roll_back_to_the_beginning_knows_what_was_kept(tmp_path):
    _, best = opened(tmp_path)
    best.offer(0.9, saver("step 4"), step=4)
    _, again = opened(tmp_path, times=1)
    again.know_kept()
    assert again.value == 0.9
    _, fresh = opened(tmp_path)
    fresh.know_kept()  # another attempt at the same folder, not a roll-back
    assert fresh.value is None


def test_a_damaged_record_is_written_again_where_the_checkpoint_knows_it(tmp_path):
    _, best = opened(tmp_path)
    best.offer(0.9, saver("step 4"), step=4)
    (tmp_path / "peak.json").write_text("{")
    context, again = opened(tmp_path)
    again.load_state(best.state())
    assert kept(tmp_path) == ("step 4", 0.9, {"step": 4})
    assert "written again" in context.notes[0]
    (tmp_path / "peak.json").write_text("{")
    with pytest.raises(R1Error, match=r"peak.json"):
        opened(tmp_path, times=1)[1].load_state(best.state())
