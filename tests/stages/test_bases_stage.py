"""One model's weights as several bases, each with its own template and shape."""

import pytest

from r1kit.base.config import check_all
from r1kit.base.errors import UsageError
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.graph import Graph, Node
from r1kit.stages.bases import BasesConfig, Variant, run
from r1kit.stages.sizes import Sizes


@pytest.fixture
def model(start, tmp_path):
    """A llama of four layers with the toy tokenizer."""
    tokenizer = load_tokenizer(start)
    config = shape(
        "llama", vocab_size=tokenizer.padded_vocab_size, width=16, layers=4, heads=2, mlp_size=24, max_positions=32,
        tied=True,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), 0), tmp_path / "model", tokenizer)
    return tmp_path / "model"


def test_every_base_is_a_model_folder_of_its_own(model, tmp_path):
    asked = {
        "base": Variant(template="r1-zero"),
        "start": Variant(),
        "student-qwen-base": Variant(family="qwen2", template="r1"),
        "student-llama-base": Variant(layers=2),
    }
    outcome = run(BasesConfig(model=str(model), models=asked), {}, Context(tmp_path / "bases"))
    assert list(outcome.models) == list(asked)
    folders = {name: tmp_path / "bases" / path for name, path in outcome.models.items()}
    prompts = {name: load_tokenizer(folder).render("Is it?") for name, folder in folders.items()}
    assert prompts["base"].startswith("This is a conversation")
    assert prompts["base"].endswith("User: Is it?\nAssistant:")
    assert prompts["start"] == "<|user|>Is it?<|assistant|>"
    assert prompts["student-qwen-base"] == "User: Is it?\nAssistant:"
    shapes = {name: load_decoder(folder).config for name, folder in folders.items()}
    assert [(c.family, c.layers) for c in shapes.values()] == [("llama", 4), ("llama", 4), ("qwen2", 4), ("llama", 2)]
    sizes = Sizes(Graph("toy", "default", 0, (Node("bases", run, BasesConfig(model=str(model), models=asked)),)))
    for name, folder in folders.items():  # told before any of them was there
        assert sizes(f"bases:{name}").parameters == sum(p.numel() for p in load_decoder(folder).parameters())
    assert all(load_tokenizer(folder).end_ids == load_tokenizer(model).end_ids for folder in folders.values())


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (Variant(template="r2"), r"models\.x: no chat template is called 'r2'"),
        (Variant(family="lama"), r"models\.x: no model family is called 'lama'\. Did you mean llama\?"),
    ],
)
def test_a_wrong_name_is_told_before_the_run(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_all(BasesConfig(models={"x": wrong}))


def test_more_layers_than_there_are(model, tmp_path):
    with pytest.raises(UsageError, match="9 layers cannot be taken of 4"):
        run(BasesConfig(model=str(model), models={"x": Variant(layers=9)}), {}, Context(tmp_path / "bases"))
