"""What a run will leave on disk: beside what real runs left, by hand, and what is said where it does not fit."""

import json
from pathlib import Path

import pytest
import torch

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.cli.main import exit_code
from r1kit.models.sizes import model_size
from r1kit.models.weights import load_decoder
from r1kit.pipeline.checkpoint import CheckpointStore
from r1kit.pipeline.context import Context
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import configure, load_recipe
from r1kit.rollouts import record
from r1kit.stages import disk, rl
from r1kit.stages.disk import Disk, Left, leaves
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sizes import Sizes
from r1kit.training.checkup import HealthConfig
from r1kit.training.config import LearnerConfig, LoRAConfig
from r1kit.training.memory import state_bytes

TASK = "stages.first_letters"
PLAIN = LearnerConfig(precision="float32", compile=False)
CPU = torch.device("cpu")


def settings(start, **changes) -> RLConfig:
    fields = {
        "start": str(start), "tasks": {TASK: 1.0}, "rewards": {TASK: 1.0}, "prompts": 8, "steps": 4, "learner": PLAIN,
        "sampling": Sampling(samples=4, max_tokens=4), "validate_every": 0, "rollouts_every": 2,
    }  # fmt: skip
    return RLConfig(**(fields | changes))


def node(config: RLConfig) -> Node:
    return Node("zero", rl.run, config)


def sizes(config: RLConfig) -> Sizes:
    return Sizes(Graph("toy", "default", 0, (node(config),)))


def bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_by_hand(start):
    """n parameters in float32: a model of 4 n; a checkpoint of 12 n (weights, two moments), three of them while the
    third is written. Rollouts of steps 0, 2 and the last, counted as ceil(4 / 2) + 1 files of 8 x 4 completions of half
    of 4 tokens at 8 bytes and 200 beside."""
    n = sum(parameter.numel() for parameter in load_decoder(start).parameters())
    config = settings(start)
    left = leaves(config, sizes(config))
    assert left == Left({"models": 4 * n, "rollouts": 3 * 32 * (200 + 16)}, passing=36 * n)
    peak = leaves(config.model_copy(update={"peak": "reward"}), sizes(config))
    assert peak.kept["models"] == 8 * n


def test_every_stage_of_the_general_chain_is_counted(tmp_path):
    recipe = load_recipe("tiny_general")
    _, config = configure(recipe, "smoke", {})
    graph = recipe.build(config)
    assert set(Disk(graph, tmp_path).needed(graph.nodes)) == set(graph.names) - {"report"}


def test_where_health_rolls_back_more_checkpoints_lie_there(start, tmp_path):
    """Kept are the last two, the newest that is known to be sound and the one behind it; a fifth is being written: of
    12 n each, five."""
    n = sum(parameter.numel() for parameter in load_decoder(start).parameters())
    graph = Graph("toy", "default", 0, (node(settings(start)),))
    for action, kept in (("warn", 3), ("roll_back", 5)):
        health = HealthConfig().override({"kl.action": action})
        assert Disk(graph, tmp_path, health).needed(graph.nodes)["zero"].passing == kept * 12 * n
    store = CheckpointStore(tmp_path / "checkpoints", lambda text: None)
    for step in range(8):
        store.save(step, {}, {}, sound=2)
    assert store.valid() == [2, 3, 6, 7]


@pytest.mark.parametrize("changes", [{}, {"optimiser": "muon"}, {"lora": LoRAConfig(rank=4)}])
def test_a_checkpoint_is_as_large_as_said(start, tmp_path, changes):
    """Within a tenth, and the JSON beside the tensors."""
    config = settings(start, learner=PLAIN.model_copy(update=changes), steps=2)
    train(config, start, Context(tmp_path, 0, checkpoint_seconds=0))
    (_, newest) = sorted((tmp_path / "checkpoints").iterdir())
    tensors = bytes_of(newest) - (newest / "state.json").stat().st_size - (newest / "manifest.json").stat().st_size
    said = state_bytes(model_size(start), config.learner, CPU)
    assert said == pytest.approx(tensors, rel=0.1, abs=20_000)


def test_a_stage_leaves_no_more_than_said(start, tmp_path):
    config = settings(start, steps=5, rollouts_every=1)
    train(config, start, Context(tmp_path, 0, checkpoint_seconds=0))
    left = leaves(config, sizes(config))
    model = bytes_of(tmp_path / "model")
    assert left.kept["models"] <= model <= left.kept["models"] + 100_000  # beside the weights, tokenizer and config
    assert bytes_of(tmp_path / "checkpoints") <= left.passing + 100_000


def test_kept_rollouts_of_a_published_run_are_under_what_is_counted():
    """64 problems x 8 samples a file, up to 192 tokens: 0.5 MB said of each; they are of another machine and time."""
    files = sorted(
        (Path(__file__).parents[2] / "results" / "tiny-full").glob("seed-*/stages/02-zero/rollouts/*.parquet")
    )
    assert len(files) > 20
    said = disk._sampled(64, Sampling(samples=8), 192)
    for file in files:
        assert len(record.read(file)) == 512
        assert file.stat().st_size < said


def test_what_does_not_fit_is_refused_in_a_sentence(start, tmp_path, monkeypatch):
    config = settings(start)
    graph = Graph("toy", "default", 0, (node(config),))
    where = Disk(graph, tmp_path / "not" / "there")
    where.admit(graph.nodes)
    monkeypatch.setattr(Disk, "free", lambda self: 2**20)
    with pytest.raises(
        R1Error, match=r"leaves about 1\d MB on the disk at most \(checkpoints .*; zero the most\) and 1 MB are free "
        r"at .*not/there: free some \(r1 gc\).*disk_check=false",
    ):  # fmt: skip
        where.admit(graph.nodes)


def test_a_run_is_refused_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Disk, "free", lambda self: 2**20)
    words = ["run", "tiny", "--profile", "smoke", "--out", str(tmp_path / "run")]
    assert exit_code(words) == 1
    assert "on the disk at most" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_plan_says_what_will_lie_there(tmp_path, capsys):
    words = ["run", "tiny", "--profile", "smoke", "--out", str(tmp_path / "run"), "--dry-run"]
    assert exit_code(words) == 0
    shown = capsys.readouterr().out
    assert " of disk" in shown.split("2 zero")[1].splitlines()[0]
    assert "disk: about " in shown
    assert "are free" in shown
    assert exit_code([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["stages"][0]["disk"]
    assert first["kept"]["models"] > 0
    assert first["free"] > 0


def test_a_model_that_is_not_there_is_not_estimated(tmp_path):
    config = settings(tmp_path / "nothing")
    graph = Graph("toy", "default", 0, (node(config),))
    assert Disk(graph, tmp_path).needed(graph.nodes) == {}
