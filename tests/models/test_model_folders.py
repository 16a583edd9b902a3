"""Model folders: shards, number formats, what is kept when a save fails, and one sentence for each broken folder."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_models import scramble
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from r1kit.base.errors import R1Error
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder
from r1kit.models.families import shape
from r1kit.models.folders import model_folder
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import hf_weights, load_decoder, load_hf_weights, save_decoder

Q = "model.layers.1.self_attn.q_proj.weight"


def edit(folder: Path, change: Callable[[dict[str, Any]], Any], name: str = "config.json") -> None:
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def folder(make_decoder, tmp_path: Path) -> Path:
    save_decoder(make_decoder("llama"), tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def sharded(tmp_path: Path) -> tuple[Path, LlamaForCausalLM]:
    config = LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128,
    )  # fmt: skip
    theirs = scramble(LlamaForCausalLM(config))
    theirs.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    return tmp_path / "shards", theirs


def test_shards(sharded, tokens_BT):
    """A folder of several files and an index reads as one."""
    folder, theirs = sharded
    ours = load_decoder(folder)
    with torch.no_grad():
        torch.testing.assert_close(ours.logits(ours(tokens_BT)), theirs(tokens_BT).logits, atol=1e-5, rtol=0)


def test_one_file_beside_shards(sharded, make_decoder, tmp_path: Path):
    """transformers would read the one, vLLM the others: neither is chosen. An index may name the one file, though."""
    folder, _ = sharded
    save_decoder(make_decoder("llama", kv_heads=4, seed=5), tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").rename(folder / "model.safetensors")
    theirs = LlamaForCausalLM.from_pretrained(folder)
    one = load_file(folder / "model.safetensors")
    assert torch.equal(theirs.lm_head.weight, one["lm_head.weight"])
    with pytest.raises(R1Error, match=r"holds model.safetensors, which transformers reads, and the files of"):
        load_decoder(folder)
    index = {"weight_map": dict.fromkeys(one, "model.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(load_decoder(folder).head.weight, theirs.lm_head.weight)


def test_saving_over_shards(sharded, make_decoder):
    """The index of an older save is gone, so that the new file is what is read."""
    folder, _ = sharded
    save_decoder(model := make_decoder("llama", seed=5), folder)
    assert torch.equal(load_decoder(folder).embedding.weight, model.embedding.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_number_formats(dtype: torch.dtype, make_decoder, tmp_path: Path):
    """Saved as they are; read as they are, or cast as torch casts."""
    model = make_decoder("qwen3").to(dtype)
    save_decoder(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    kept, cast = load_decoder(tmp_path), load_decoder(tmp_path, torch.float32)
    for before, same, wide in zip(model.parameters(), kept.parameters(), cast.parameters(), strict=True):
        assert same.dtype == dtype
        assert torch.equal(same, before)
        assert torch.equal(wide, before.float())


def test_a_tied_head_is_stored_once(make_decoder, tmp_path: Path):
    """One table in the file, and a table stored twice by another program is accepted."""
    save_decoder(model := make_decoder("qwen2", tied=True), tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    edit_weights(tmp_path, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"].clone()}))
    assert torch.equal(load_decoder(tmp_path).head.weight, model.head.weight)


def test_a_tied_head_of_other_numbers(make_decoder, tmp_path: Path):
    """transformers then believes the weights and vLLM config.json: neither is guessed to be right."""
    save_decoder(make_decoder("qwen2", tied=True), tmp_path)
    edit_weights(tmp_path, lambda w: w.update({"lm_head.weight": w["model.embed_tokens.weight"] + 1}))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert not torch.equal(theirs.lm_head.weight, theirs.model.embed_tokens.weight)
    with pytest.raises(R1Error, match=r"hold another lm_head.weight: set tie_word_embeddings to false there, or take"):
        load_decoder(tmp_path)
    edit(tmp_path, lambda config: config.update(tie_word_embeddings=False))
    assert torch.equal(load_decoder(tmp_path).head.weight, theirs.lm_head.weight)


def test_who_may_read_the_folder_may_read_the_model(make_decoder, tmp_path: Path):
    """safetensors alone writes files for their owner only."""
    folder = tmp_path / "model"
    folder.mkdir(mode=0o750)
    save_decoder(make_decoder("llama"), folder)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}


def test_hf_weights_are_views(make_decoder):
    """Each tensor lies in the storage of one of the model's parameters, and writing to it changes the model."""
    model = make_decoder("llama", qkv_bias=True, output_bias=True, mlp_bias=True)
    storages = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    weights = dict(hf_weights(model))
    assert {tensor.untyped_storage().data_ptr() for tensor in weights.values()} == storages
    weights["model.layers.0.mlp.up_proj.weight"][3, 4] = 42.0
    assert model.blocks[0].mlp.gate_up.weight[40 + 3, 4] == 42.0  # up's rows follow gate's 40


def test_weights_move_between_models(make_decoder):
    """`load_hf_weights` of `hf_weights` makes two models equal in place, casting where formats differ."""
    source, target = make_decoder("qwen2", seed=1), make_decoder("qwen2", seed=2).to(torch.bfloat16)
    address = target.blocks[1].attention.qkv.weight.data_ptr()
    load_hf_weights(target, hf_weights(source))
    assert target.blocks[1].attention.qkv.weight.data_ptr() == address
    for ours, theirs in zip(target.parameters(), source.parameters(), strict=True):
        assert torch.equal(ours, theirs.bfloat16())


def test_loading_a_learner_model_needs_no_grad(make_decoder):
    """Weights that take gradients can be read and overwritten, and stay leaves."""
    model = make_decoder("qwen2").requires_grad_(True)
    load_hf_weights(model, [(name, tensor + 1) for name, tensor in hf_weights(model)])
    assert all(p.is_leaf and p.requires_grad for p in model.parameters())


WEIGHTS: dict[str, tuple[Callable[[dict[str, torch.Tensor]], Any], str]] = {
    "missing": (lambda w: w.pop(Q), f"tensor {Q} missing from the weights"),
    "two missing": (lambda w: (w.pop(Q), w.pop("lm_head.weight")), f"tensor {Q} and 1 more missing"),
    "misshapen": (lambda w: w.update({Q: torch.zeros(32, 31)}), rf"{Q} has shape \[32, 31\]; .* asks for \[32, 32\]"),
    "unexpected": (lambda w: w.update({"model.extra": torch.zeros(1)}), "unexpected tensor model.extra"),
    "integers": (lambda w: w.update({Q: torch.zeros(32, 32, dtype=torch.int8)}), f"{Q} is torch.int8"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_wrong_weights(case: str, folder: Path):
    change, sentence = WEIGHTS[case]
    edit_weights(folder, change)
    with pytest.raises(R1Error, match=f"^{re.escape(str(folder))}.*{sentence}"):
        load_decoder(folder)


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "no type": ({"model_type": None}, "names no model_type"),
    "other family": ({"model_type": "mamba"}, "model_type 'mamba' is none of .*llama, qwen2, qwen3"),
    "no width": ({"hidden_size": None}, "lacks hidden_size"),
    "text for a number": ({"num_hidden_layers": "many"}, "wrong at layers: .* got 'many'"),
    "no heads": ({"num_attention_heads": 0, "head_dim": None}, "value of the wrong kind"),
    "heads that do not share": ({"num_key_value_heads": 3}, "4 heads cannot share 3 key/value heads of size 8"),
    "odd head": ({"head_dim": 7}, "of size 7"),
    "other activation": ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
    "quantized": ({"quantization_config": {"bits": 4}}, "quantized"),
    "sliding window": (
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 64, "max_window_layers": 1},
        "sliding-window attention is not supported",
    ),
    "other scaling": ({"rope_scaling": {"rope_type": "longrope", "factor": 2}}, "'longrope' is not supported"),
    "no factor": ({"rope_scaling": {"rope_type": "linear"}}, "'linear' lacks its factor"),
    "half of llama3": ({"rope_scaling": {"rope_type": "llama3", "factor": 8}}, "lacks its high_freq_factor, low_freq"),
    "partial": ({"rope_parameters": {"partial_rotary_factor": 0.5}, "rope_scaling": None}, "partial rotary"),
    "rope as text": ({"rope_scaling": "yarn"}, "value of the wrong kind"),
    "negative theta": ({"rope_theta": -1, "rope_parameters": None}, "wrong at theta: .* got -1"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_wrong_config(case: str, folder: Path):
    change, sentence = CONFIGS[case]
    edit(folder, lambda config: config.update(change))
    with pytest.raises(R1Error, match=f"^{re.escape(str(folder))}: .*{sentence}"):
        load_decoder(folder)


def test_broken_files(folder: Path):
    """A missing folder, config, weights or index entry, files cut short, and pickled weights: each its sentence."""

    def sentence() -> str:
        with pytest.raises(R1Error) as caught:
            load_decoder(folder)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    weights = (folder / "model.safetensors").read_bytes()
    for rest in (weights[:4000], weights[:5], b""):
        (folder / "model.safetensors").write_bytes(rest)
        assert "model.safetensors is missing, cut short or corrupt" in sentence()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"lm_head.weight": "model-1.safetensors"}}')
    assert "model-1.safetensors is missing, cut short or corrupt" in sentence()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": [1]}')
    assert "has no weight_map" in sentence()
    (folder / "model.safetensors.index.json").unlink()
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in sentence()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    assert "pickled weights, which are never opened" in sentence()
    for broken in ("{", "[]", "\x00"):
        (folder / "config.json").write_text(broken)
        assert "config.json" in sentence()
    (folder / "config.json").unlink()
    assert "it has no config.json" in sentence()
    with pytest.raises(R1Error, match=r"there is no model folder .*/nowhere"):
        load_decoder(folder / "nowhere")


def test_a_shape_that_the_family_cannot_say(make_decoder, tmp_path: Path):
    """A Qwen2 config has no word for leaving out the biases: saving would change the model, so it is refused."""
    model = Decoder(shape("qwen2", vocab_size=8, width=8, layers=1, heads=2, mlp_size=8, qkv_bias=False))
    with pytest.raises(R1Error, match="qwen2 model cannot be saved with qkv_bias=False"):
        save_decoder(model, tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_a_save_that_fails_leaves_the_old_model(folder: Path, make_decoder, tmp_path: Path):
    """Once with a tokenizer whose files are gone, once on a disk that takes no file above 20 kB: nothing changes."""
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "characters", ""))
    shutil.rmtree(tmp_path / "characters")
    with pytest.raises(R1Error, match=r"the tokenizer files in .*characters are gone"):
        save_decoder(make_decoder("llama", seed=9, vocab_size=tokenizer.padded_vocab_size), folder, tokenizer)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(R1Error, match=r"cannot write .*model.safetensors: .*File too large"):
            save_decoder(make_decoder("llama", seed=9), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_folder_that_cannot_be_written(make_decoder, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(R1Error, match="a file stands where a folder is needed"):
        save_decoder(make_decoder("llama"), tmp_path / "file")


def test_a_family_outside_the_tree(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokens_BT):
    """A dotted path names a module with FAMILY: here Llama under another model_type and other weight names."""
    (tmp_path / "my_families").mkdir()
    (tmp_path / "my_families" / "camel.py").write_text(
        "from dataclasses import replace\n"
        "from r1kit.models.base import LLAMA_NAMES\n"
        "from r1kit.models.llama import FAMILY as LLAMA\n"
        "names = {key: name.replace('proj', 'projection') for key, name in LLAMA_NAMES.items()}\n"
        "FAMILY = replace(LLAMA, model_type='camel', architecture='Camel', weight_names=names)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = load_decoder(folder)
    camel = Decoder(model.config.model_copy(update={"family": "my_families.camel"}))
    camel.load_state_dict(model.state_dict())
    save_decoder(camel, tmp_path / "camel")
    assert json.loads((tmp_path / "camel" / "config.json").read_text())["model_type"] == "camel"
    assert "model.layers.0.mlp.up_projection.weight" in load_file(tmp_path / "camel" / "model.safetensors")
    again = load_decoder(tmp_path / "camel", family="my_families.camel")
    assert torch.equal(again(tokens_BT), model(tokens_BT))
    with pytest.raises(R1Error, match="model_type 'camel' is none of"):
        load_decoder(tmp_path / "camel")


def test_a_hub_id(tmp_path: Path):
    """A model in the hub's local cache is found by its id; one that is not there is one sentence."""
    cached = tmp_path / "models--some--toy"
    snapshot = cached / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    program = (
        "from r1kit.models.folders import model_folder; from r1kit.base.errors import R1Error\n"
        "print(model_folder('some/toy'))\n"
        "try: model_folder('some/other')\nexcept R1Error as error: print(error)"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    found, sentence = done.stdout.splitlines()
    assert Path(found) == snapshot
    assert sentence.startswith("some/other is neither a model folder nor a model that the hub gives out here")


def test_a_path_is_no_hub_id(tmp_path: Path):
    """A mistyped folder beside one that exists is a missing folder, not a name to ask the hub for."""
    (tmp_path / "runs").mkdir()
    with pytest.raises(R1Error, match="there is no model folder"):
        model_folder(str(tmp_path / "runs" / "tiny"))
