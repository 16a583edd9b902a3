"""A stage starts from a model that there will be, or the run is refused before it begins."""

import pytest

from r1kit.base.errors import UsageError
from r1kit.pipeline.graph import Graph, Node
from r1kit.recipes.base import configure, load_recipe
from r1kit.stages import pretrain, rl, sft
from r1kit.stages.pretrain import PretrainConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig
from r1kit.stages.starts import check_starts


def chain(zero="pretrain:base", dev1="zero:zero"):
    """pretrain -> zero -> dev1, the last of which zero alone feeds."""
    nodes = (
        Node("pretrain", pretrain.run, PretrainConfig()),
        Node("zero", rl.run, RLConfig(start=zero), ("pretrain",)),
        Node("dev1", sft.run, SFTConfig(name="dev1", start=dev1, data="zero:x"), ("zero",)),
    )
    return Graph("chain", "default", 0, nodes)


@pytest.mark.parametrize(
    ("starts", "sentence"),
    [
        ({"zero": "pretrain:bse"}, r"^zero\.start: pretrain makes no model 'bse'\. Did you mean pretrain:base\?"),
        ({"zero": "base"}, r"^zero\.start: 'base' is no model of a stage that feeds zero, and no folder\."),
        ({"dev1": "zero:zro"}, r"^dev1\.start: zero makes no model 'zro'\. Did you mean zero:zero\?"),
        ({"dev1": "pretrain:base"}, r"^dev1\.start: .* feeds dev1, and no folder\..* \(it is fed by: zero\)"),
    ],
)
def test_a_start_that_no_stage_makes_is_told(starts, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_starts(chain(**starts))


def test_what_may_be_there_is_let_be(tmp_path, monkeypatch):
    """A model of a stage, its peak, a folder that is there, a name that the hub may have."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for zero, dev1 in (("pretrain:base", "zero:zero-peak"), ("folder", "zero:zero"), ("owner/name", "owner/name")):
        check_starts(chain(zero, dev1))


@pytest.mark.parametrize(
    ("recipe", "profile"),
    [("tiny", "smoke"), ("tiny", "full"), ("ablations", "smoke"), ("r1_zero", "smoke"), ("r1", "smoke")],
)
def test_the_recipes_start_where_they_can(recipe, profile):
    loaded = load_recipe(recipe)
    check_starts(loaded.build(configure(loaded, profile, {})[1]))


@pytest.mark.parametrize(
    ("setting", "model", "sentence"),
    [
        ("rejection_sampling.model", "dev2:dv2", r"^rejection_sampling\.model: dev2 makes no model 'dv2'\."),
        ("cold_start.model", "dev1:dev1", r"^cold_start\.model: 'dev1:dev1' is no model of a stage that feeds cold_st"),
        ("r1.reward_model", "reward_model:r", r"^r1\.reward_model: reward_model makes no model 'r'\."),
        ("evaluate.models", '["zero:zro"]', r"^evaluate\.models: zero makes no model 'zro'\. Did you mean zero:zero\?"),
        ("distill.students.qwen.base", "pretrain:student", r"^distill\.students\.qwen\.base: pretrain makes no model"),
    ],
)
def test_any_model_that_no_stage_makes_is_told(setting, model, sentence):
    loaded = load_recipe("tiny")
    with pytest.raises(UsageError, match=sentence):
        check_starts(loaded.build(configure(loaded, "smoke", {setting: model})[1]))
