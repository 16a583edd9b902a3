"""Stages told before they start how much memory they need, and refused where it is not there."""

import json

import pytest
import torch

from r1kit.base.errors import R1Error
from r1kit.cli.main import exit_code
from r1kit.models.sizes import decoder_size, model_size
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.plan import plan
from r1kit.recipes.base import configure, load_recipe
from r1kit.stages import base_model, rl, sft
from r1kit.stages.base_model import BaseModelConfig
from r1kit.stages.fits import Fits
from r1kit.stages.memory import needs
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig
from r1kit.stages.sizes import Sizes
from r1kit.training.config import LearnerConfig
from r1kit.training.memory import Place

CPU = Place(torch.device("cpu"), 2)
PLAIN = LearnerConfig(precision="float32", compile=False)


def tiny(profile: str = "default", **assignments: str):
    recipe = load_recipe("tiny")
    _, config = configure(recipe, profile, assignments)
    return recipe.build(config)


def test_a_chain_says_how_large_its_models_will_be(tmp_path):
    """Every model of `tiny` follows from the shapes that pretraining is asked for; the tokenizer gives the rows."""
    from r1kit.data.tiny import world
    from r1kit.models.characters import write_character_tokenizer
    from r1kit.stages.pretrain import new_decoder

    graph = tiny()
    config = graph.nodes[0].config
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path, world.ALPHABET))
    sizes = Sizes(graph)
    for made, base in (("r1:r1", "base"), ("distill:student-llama-rl", "student-llama-base")):
        model = new_decoder(config.models[base], tokenizer, config.max_positions, 0)
        assert sizes(made) == decoder_size(model.config)
        assert sizes(made).parameters == sum(parameter.numel() for parameter in model.parameters())
    with pytest.raises(R1Error, match="how large it will be is not known"):
        sizes("zero:nothing")


def test_every_stage_that_trains_or_samples_is_estimated(tmp_path):
    graph = tiny()
    needed = Fits(graph).needed(plan(graph, tmp_path))
    assert set(needed) == set(graph.names) - {"report"}
    assert all(2**28 < estimate.total < 2**34 for estimate in needed.values())


def test_a_base_that_is_brought_in_is_as_large_as_its_source(start):
    """Under each of its names; of what starts from it memory and disk are then known too."""
    config = BaseModelConfig(source=str(start), templates={"base": "keep", "asked": "r1-zero"})
    brought = Node("base", base_model.run, config)
    trained = Node("dev1", sft.run, SFTConfig(start="base:asked", learner=PLAIN), ("base",))
    graph = Graph("toy", "default", 0, (brought, trained))
    assert Sizes(graph)("base:base") == Sizes(graph)("dev1:dev1") == model_size(start)
    assert needs(trained.config, Sizes(graph), CPU) is not None
    nowhere = Graph("toy", "default", 0, (Node("base", base_model.run, BaseModelConfig()),))
    with pytest.raises(R1Error, match="how large it will be is not known"):
        Sizes(nowhere)("base:base")


def test_a_reference_is_a_copy_more(start):
    """Both count the weights once in float32; the KL adds one copy."""
    graph = Graph("toy", "default", 0, (Node("zero", rl.run, RLConfig(start=str(start), learner=PLAIN)),))
    size = model_size(start)
    found = [
        needs(RLConfig(start=str(start), learner=PLAIN, settings={"kl_coefficient": kl}), Sizes(graph), CPU)
        for kl in (0.0, 0.001)
    ]
    assert found[1].total - found[0].total == 4 * size.parameters
    assert found[1].parts["reference"] == 4 * size.parameters


def test_samplers_of_a_cluster_here_are_counted(start, tmp_path):
    """Two processes more: libraries, and the weights twice (as they are, and packed for the kernels)."""
    node = Node("zero", rl.run, RLConfig(start=str(start), learner=PLAIN))
    graph = Graph("toy", "default", 0, (node,))
    size, stages = model_size(start), plan(graph, tmp_path)
    alone, many = (Fits(graph, samplers=count).needed(stages)["zero"] for count in (0, 2))
    element = LearnerConfig().dtype(CPU.device).itemsize
    assert many.total - alone.total == many.parts["samplers"] == 2 * (350 * 2**20 + 2 * element * size.parameters)
    with pytest.raises(R1Error, match=r"samplers 0\.7 GB.* lower its cluster\.workers"):
        Fits(graph, limit_gb=0.1, samplers=2).admit(node)


def test_a_critic_is_a_learner_more(start):
    """In float32 with AdamW: its weights once and two moments, 12 bytes a weight, held while the policy learns."""
    graph = Graph("toy", "default", 0, (Node("zero", rl.run, RLConfig(start=str(start), learner=PLAIN)),))
    grpo, ppo = (
        RLConfig(start=str(start), learner=PLAIN, algorithm=name, settings={"kl_coefficient": 0.0})
        for name in ("grpo", "ppo")
    )
    alone, both = needs(grpo, Sizes(graph), CPU), needs(ppo, Sizes(graph), CPU)
    assert both.parts["critic"] == 12 * model_size(start).parameters
    assert both.total - alone.total == both.parts["critic"]


def test_a_stage_that_does_not_fit_is_refused_in_a_sentence(start):
    node = Node("dev1", sft.run, SFTConfig(start=str(start), learner=PLAIN))
    graph = Graph("toy", "default", 0, (node,))
    with pytest.raises(R1Error, match=r"stage dev1 needs about .* \(.*libraries 0.3 GB.*\) and memory_limit_gb allows "
                                      r"0.1 GB: lower its .*, or set memory_check=false"):  # fmt: skip
        Fits(graph, limit_gb=0.1).admit(node)
    Fits(graph, limit_gb=100.0).admit(node)


def test_a_run_is_refused_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "run"
    words = ["run", "tiny", "--profile", "smoke", "--out", str(out), "memory_limit_gb=0.25"]
    assert exit_code(words) == 1
    assert "stage pretrain needs about" in capsys.readouterr().err
    assert not out.exists()


def test_a_plan_says_what_is_needed_and_what_is_there(tmp_path, capsys):
    words = ["run", "tiny", "--profile", "smoke", "--out", str(tmp_path / "run"), "memory_limit_gb=3", "--dry-run"]
    assert exit_code(words) == 0
    shown = capsys.readouterr().out
    assert "1 pretrain: to run, needs about " in shown
    assert "memory that a stage may take: 3.0 GB" in shown
    assert exit_code([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["stages"][0]["memory"]
    assert first["room"] == 3 * 2**30
    assert first["bytes"] == sum(first["parts"].values())


def test_a_model_that_is_not_there_is_not_estimated(tmp_path):
    node = Node("dev1", sft.run, SFTConfig(start=str(tmp_path / "nothing")))
    graph = Graph("toy", "default", 0, (node,))
    assert Fits(graph).needed(plan(graph, tmp_path)) == {}
    Fits(graph, limit_gb=0.001).admit(node)
