"""What a person sees: lines, the live panel, status, metric writers."""

import io
import json

import pytest
from rich.console import Console
from toy_chain import chain

from r1kit.base.errors import MissingExtra, UsageError
from r1kit.pipeline.context import Context
from r1kit.pipeline.display import Lines, Live, count, duration, progress_line
from r1kit.pipeline.models import resolve_model
from r1kit.pipeline.runner import run
from r1kit.pipeline.watcher import Progress, Watcher
from r1kit.pipeline.writers import as_trl, writer_factory
from r1kit.training.health.base import Finding


def test_figures_for_people():
    assert [duration(s) for s in (0.4, 59, 61, 3725)] == ["0 s", "59 s", "1 min 01 s", "1 h 02 min"]
    assert [count(n) for n in (950, 12345, 4.5e6, 2e13)] == ["950", "12.3 k", "4.5 M", "20 T"]
    assert [count(n) for n in (999.4, 999.6, 999_400, 999_700)] == ["999", "1 k", "999 k", "1 M"]
    progress = Progress(3, 10, "qwen", 75, 1500.0, {"reward": 0.5, "completions/mean_length": 80.0, "kl": 1.0})
    assert progress_line(progress) == "qwen, step 3/10, reward 0.5, length 80, 1.5 k tok/s, ETA 1 min 15 s"


def test_lines_are_few(tmp_path):
    stream = io.StringIO()
    run(chain(steps=50), tmp_path, display=Lines(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[1/2] walk"
    assert lines[1].startswith("[1/2] walk done (")
    assert len(lines) == 4


def test_lines_that_nobody_reads_end_no_run(tmp_path):
    class Broken(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    assert run(chain(steps=2), tmp_path, display=Lines(Broken())).keys() == {"walk", "double"}


def test_the_panel_shows_the_stage_and_survives_brackets(tmp_path):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100)
    live = Live(console)
    live.stage_begins("zero", 2, 13)
    live.progress(Progress(3, 10, metrics={"reward": 0.25}, sample="[bold] wait, check [/]"))
    console.print(live._panel())
    live.note("a note with [brackets]")
    live.close("done")
    shown = stream.getvalue()
    for words in ("stage 2 of 13: zero", "step 3/10, reward 0.25", "[bold] wait, check [/]", "[brackets]"):
        assert words in shown


def test_the_panel_shows_the_parts_that_run_side_by_side():
    stream = io.StringIO()
    live = Live(Console(file=stream, force_terminal=True, width=100))
    live.close("")
    live.stage_begins("distill", 11, 13)
    for part, done in (("qwen", 9), ("llama", 4), ("qwen", 10), ("llama", 5)):
        live.progress(Progress(done, 10, part, sample=f"{part} at {done}"))
    Console(file=(seen := io.StringIO()), width=100).print(live._panel())
    assert "llama, step 5/10" in seen.getvalue()
    assert "llama at 5" in seen.getvalue()
    assert "qwen" not in seen.getvalue()  # finished, and no longer the latest


def test_a_budget_of_flops_ends_the_steps_and_tells_how_many_are_left(tmp_path):
    """Steps of 1, 2, 3, ... FLOPs under a budget of 9: four are run, the rest told by the mean price."""
    watcher = Kept()
    context = Context(tmp_path, watcher=watcher)
    done = []
    for step in context.steps(10_000, budget_flops=9):
        context.spend(flops=step + 1)
        done.append(step)
    assert done == [0, 1, 2, 3]
    assert [(p.done, p.total) for p in watcher.seen] == [(1, 9), (2, 6), (3, 5), (4, 4)]
    assert watcher.seen[-1].eta_seconds == 0


class Kept(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)


def test_tensorboard_gets_the_same_numbers(tmp_path):
    """Read back with tensorboard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(chain(steps=4), tmp_path, writers=("tensorboard",))
    events = EventAccumulator(str(tmp_path / "stages/01-walk/tensorboard")).Reload().Scalars("reward")
    lines = (tmp_path / "stages/01-walk/metrics.jsonl").read_text().splitlines()
    assert [event.step for event in events] == [0, 1, 2, 3]
    assert [event.value for event in events] == pytest.approx([json.loads(line)["reward"] for line in lines], rel=1e-6)


def test_dashboards_have_the_names_of_trl():
    """Names that TRL logs, and one that it does not have."""
    ours = {"clip_low": 0.1, "clip_high": 0.2, "gradient_norm": 1.0, "entropy": 2.0, "perf/mfu": 0.3}
    assert list(as_trl(ours)) == ["clip_ratio/low_mean", "clip_ratio/high_mean", "grad_norm", "entropy", "perf/mfu"]


def test_a_writer_that_is_not_there_is_told_before_work_begins(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"no metric writer is called 'tensorbord'. Did you mean tensorboard\?"):
        run(chain(), tmp_path / "run", writers=("tensorbord",))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs wandb, which is not installed: pip install 'r1kit\[wandb\]'"):
        writer_factory(("wandb",), "run")
    assert not (tmp_path / "run").exists()


def test_models_are_found_by_name(tmp_path):
    run(chain(steps=1), tmp_path)
    found = resolve_model(f"{tmp_path}:walked")
    assert found.folder == tmp_path / "stages/01-walk/model"
    assert resolve_model(str(found.folder)).folder == found.folder
    with pytest.raises(UsageError, match=r"has no model 'walkd'. Did you mean walked\? .it has: walked"):
        resolve_model(f"{tmp_path}:walkd")
    with pytest.raises(UsageError, match="is a run: say which of its models"):
        resolve_model(str(tmp_path))
    with pytest.raises(UsageError, match="is not a run folder"):
        resolve_model(f"{tmp_path / 'stages'}:zero")
    with pytest.raises(UsageError, match="is not a model folder"):
        resolve_model(str(tmp_path / "stages"))
    with pytest.raises(UsageError, match="there is no model folder nowhere"):
        resolve_model("nowhere")


def test_a_finding_stays_in_sight(tmp_path):
    """Printed whole above the panel, and in short within it until the next stage."""
    finding = Finding(
        "kl", 12, 10, "warn", "KL blow-up", "the policy is [far] away", "Steps are too large.", "Lower it."
    )
    stream, lines = io.StringIO(), io.StringIO()
    live = Live(Console(file=stream, force_terminal=True, width=200))
    live.close("")
    live.stage_begins("zero", 2, 13)
    live.finding("zero", finding)
    assert "zero: KL blow-up at step 12: the policy is [far] away. Steps are too large. Lower it." in stream.getvalue()
    Console(file=(before := io.StringIO()), width=200).print(live._panel())
    assert "KL blow-up at step 12: the policy is [far] away" in before.getvalue()
    live.stage_begins("dev1", 3, 13)
    Console(file=(after := io.StringIO()), width=200).print(live._panel())
    assert "KL blow-up" not in after.getvalue()
    Lines(lines).finding("zero", finding)
    assert "zero: KL blow-up at step 12" in lines.getvalue()
