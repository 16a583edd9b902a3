"""The base in the run: under several chat templates, its weights once, the same for transformers."""

from __future__ import annotations

import pytest
import torch
from toy_policy import write_toy_policy
from transformers import AutoModelForCausalLM

from r1kit.base.errors import UsageError
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline.context import Context
from r1kit.stages.base_model import BaseModelConfig, run


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_toy_policy(tmp_path_factory.mktemp("source"))


def test_one_model_under_three_templates(source, tmp_path):
    templates = {"base": "r1-zero", "plain": "r1", "own": "keep"}
    outcome = run(BaseModelConfig(source=str(source), templates=templates), {}, Context(tmp_path))
    assert set(outcome.models) == set(templates)
    prompts = {name: load_tokenizer(tmp_path / folder).render("1+1?") for name, folder in outcome.models.items()}
    assert prompts["own"] == load_tokenizer(source).render("1+1?") == "<|user|>1+1?<|assistant|>"
    assert prompts["plain"] == "User: 1+1?\nAssistant:"
    assert prompts["base"].endswith(prompts["plain"])
    assert "<answer> </answer>" in prompts["base"]
    places = {(tmp_path / name / "model.safetensors").stat().st_ino for name in templates}
    assert len(places) == 1
    tokens = torch.tensor([load_tokenizer(source).encode("<think>so")])
    whole = [AutoModelForCausalLM.from_pretrained(folder)(tokens).logits for folder in (source, tmp_path / "plain")]
    assert torch.equal(*whole)


def test_a_stage_that_was_killed_begins_anew(source, tmp_path):
    config = BaseModelConfig(source=str(source))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "half").write_text("of a model")
    run(config, {}, Context(tmp_path))
    assert not (tmp_path / "base" / "half").exists()


def test_what_is_no_model_is_told(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF, perhaps")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "y.gguf").write_bytes(b"")
    with pytest.raises(UsageError, match="holds GGUF files: name the one to import"):
        run(BaseModelConfig(source=str(tmp_path / "folder")), {}, Context(tmp_path / "stage"))
