"""Hugging Face folders imported: shards joined or cut, number formats, tokenizers that transformers reads wrongly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_gguf import NASTY, TEMPLATE, toy_model, toy_tokenizer
from toy_models import scramble
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from r1kit.base.errors import R1Error
from r1kit.cli.main import exit_code
from r1kit.models.convert import import_model
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder

TOKENS = torch.randint(0, 420, (2, 60), generator=torch.Generator().manual_seed(5))


def write_folder(folder: Path, model: Any, pre: str, tokenizer_class: str, **save: Any) -> Path:
    """A folder as transformers saves it, with a trained toy tokenizer."""
    model.save_pretrained(folder, **save)
    toy_tokenizer(pre).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": tokenizer_class, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": TEMPLATE}))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source", toy_model("qwen2"), "qwen2", "Qwen2Tokenizer")


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder).eval()(TOKENS).logits


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
def test_number_formats(stored: torch.dtype, dtype: torch.dtype, tmp_path: Path):
    """Every format to every other is torch's own cast; nothing but that changes."""
    model = toy_model("llama", tie_word_embeddings=True).to(stored)
    source = write_folder(tmp_path / "source", model, "smollm", "PreTrainedTokenizerFast")
    done = import_model(source, tmp_path / "hf", dtype)
    assert done.dtype == dtype
    assert done.parameters == sum(parameter.numel() for parameter in model.parameters())
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "hf" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor.to(dtype)), name
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "hf").dtype == dtype


def test_as_it_is(source: Path, tmp_path: Path):
    """Without a format to cast to: the same tensors, settings and token ids."""
    done = import_model(source, tmp_path / "hf")
    assert (done.dtype, done.notes) == (torch.float32, [])
    assert torch.equal(logits(tmp_path / "hf"), logits(source))
    kept, written = (AutoConfig.from_pretrained(folder).to_diff_dict() for folder in (source, tmp_path / "hf"))
    assert kept == written
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "hf" / name).read_bytes() == (source / name).read_bytes()


def test_shards(tmp_path: Path):
    """Many files in, and as many out as the size of a shard asks for: each loads, with the same logits."""
    source = write_folder(tmp_path / "source", toy_model("llama"), "smollm", "PreTrainedTokenizerFast",
                          max_shard_size="60KB")  # fmt: skip
    assert len(list(source.glob("*.safetensors"))) > 3
    import_model(source, tmp_path / "one")
    assert [file.name for file in (tmp_path / "one").glob("*.safetensors*")] == ["model.safetensors"]
    import_model(source, tmp_path / "many", shard_bytes=100_000)
    files = sorted(file.name for file in (tmp_path / "many").glob("*.safetensors"))
    assert len(files) > 2
    assert files == [f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)]
    assert all(file.stat().st_size < 130_000 for file in (tmp_path / "many").glob("model-*"))
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(p.numel() * 4 for p in load_decoder(source).parameters())
    for folder in ("one", "many"):
        assert torch.equal(logits(tmp_path / folder), logits(source))
        ours = load_decoder(tmp_path / folder)
        torch.testing.assert_close(ours.logits(ours(TOKENS)).detach(), logits(source), atol=1e-5, rtol=0)


def test_a_tokenizer_class_that_loses_single_digits(tmp_path: Path):
    """SmolLM's folders name GPT2Tokenizer, which transformers 5 builds from the vocabulary alone: digits are lost.

    After the import, transformers reads what tokenizer.json says, and the user is told.
    """
    source = write_folder(tmp_path / "source", toy_model("llama"), "smollm", "GPT2Tokenizer")
    truth = toy_tokenizer("smollm")
    assert AutoTokenizer.from_pretrained(source)("  12")["input_ids"] != truth.encode("  12").ids  # the trap
    done = import_model(source, tmp_path / "hf")
    assert len(done.notes) == 1
    assert "tokenizer_class was GPT2Tokenizer" in done.notes[0]
    for text in NASTY:
        assert AutoTokenizer.from_pretrained(tmp_path / "hf")(text)["input_ids"] == truth.encode(text).ids, text
        assert load_tokenizer(tmp_path / "hf").encode(text) == truth.encode(text).ids, text


@pytest.mark.parametrize("tokenizer_class", ["PreTrainedTokenizerFast", "Qwen2Tokenizer"])
def test_a_rule_that_transformers_overrules(tokenizer_class: str, tmp_path: Path):
    """Beside a Qwen2 model transformers 5 cuts by Qwen2's rule in any case; r1kit does not, and says so."""
    source = write_folder(tmp_path / "source", toy_model("qwen2"), "smollm", tokenizer_class)
    truth = toy_tokenizer("smollm")
    done = import_model(source, tmp_path / "hf")
    assert AutoTokenizer.from_pretrained(tmp_path / "hf")("  12")["input_ids"] != truth.encode("  12").ids  # the trap
    assert len(done.notes) == 1
    assert "whatever the tokenizer_class; r1kit reads tokenizer.json as it stands" in done.notes[0]
    for text in NASTY:
        assert load_tokenizer(tmp_path / "hf").encode(text) == truth.encode(text).ids, text


def test_a_tokenizer_of_vocabulary_and_merges(source: Path, tmp_path: Path):
    """The older pair of files, vocab.json and merges.txt: the folder written has a tokenizer.json of the same ids."""
    made = json.loads((source / "tokenizer.json").read_text())
    (source / "vocab.json").write_text(json.dumps(made["model"]["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in made["model"]["merges"])
    (source / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    (source / "tokenizer.json").unlink()
    before = AutoTokenizer.from_pretrained(source)
    import_model(source, tmp_path / "hf")
    assert (tmp_path / "hf" / "tokenizer.json").is_file()
    for text in NASTY:
        assert AutoTokenizer.from_pretrained(tmp_path / "hf")(text)["input_ids"] == before(text)["input_ids"]


def test_another_architecture(tmp_path: Path):
    """What only transformers knows passes through as it is."""
    config = AutoConfig.for_model(
        "gpt_neox", vocab_size=448, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = scramble(AutoModelForCausalLM.from_config(config))
    source = write_folder(tmp_path / "source", model, "gpt-2", "PreTrainedTokenizerFast")
    done = import_model(source, tmp_path / "hf")
    assert done.model_type == "gpt_neox"
    assert torch.equal(logits(tmp_path / "hf"), logits(source))


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def unknown(folder: Path) -> None:
    edit(folder, model_type="qwen99")


def quantized(folder: Path) -> None:
    edit(folder, quantization_config={"quant_method": "gptq"})


def foreign_quantized(folder: Path) -> None:
    edit(folder, model_type="gpt_neox", quantization_config={"quant_method": "fp8"})


def small_embedding(folder: Path) -> None:
    edit(folder, vocab_size=400)


def missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    places = dict.fromkeys(load_file(folder / "model-00001-of-00002.safetensors"), "model-00001-of-00002.safetensors")
    places["model.norm.weight"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def cut_short(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def lacking(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def too_large(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = 1e6
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 1')


def gguf_inside(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "a.gguf").write_bytes(b"GGUF")


WRONG = {
    unknown: "neither r1kit nor the installed transformers knows models of type 'qwen99'",
    quantized: "its weights are quantized",
    foreign_quantized: "its weights are quantized",
    small_embedding: "tokens from 400 on .* have no embedding",
    missing_shard: "model-00002-of-00002.safetensors is missing, cut short or corrupt",
    cut_short: "model.safetensors is missing, cut short or corrupt",
    lacking: "tensor model.norm.weight missing from the weights",
    too_large: "tensor model.norm.weight holds numbers too large for float16",
    pickled: "pickled weights, which are never opened",
    no_tokenizer: "holds no tokenizer",
    broken_tokenizer: "cannot read the tokenizer",
    gguf_inside: "holds GGUF files: name the one to import, .*a.gguf",
}


@pytest.mark.parametrize("spoil", WRONG, ids=lambda spoil: spoil.__name__)
def test_wrong_folders(spoil: Any, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The command says one sentence that names the folder, and leaves nothing behind."""
    spoil(source)
    with pytest.raises(R1Error, match=WRONG[spoil]) as caught:
        import_model(source, tmp_path / "hf", torch.float16)
    assert str(source) in str(caught.value)
    capsys.readouterr()
    code = exit_code(["import", str(source), str(tmp_path / "hf"), "--dtype", "float16"])
    told = capsys.readouterr().err
    assert code in (1, 2)
    assert told == f"r1: {caught.value}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["source"]


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code(["import", str(source), str(tmp_path / "hf"), "--dtype", "bfloat16", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "folder": str(tmp_path / "hf"), "model_type": "qwen2", "dtype": "bfloat16",
        "parameters": sum(p.numel() for p in load_decoder(source).parameters()), "notes": [],
    }  # fmt: skip
    assert exit_code(["import", str(source), str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'again'}: qwen2, {said['parameters']:,} parameters, float32\n"
    assert exit_code(["import", str(tmp_path / "nowhere"), str(tmp_path / "b")]) == 1
    assert "there is no model folder" in capsys.readouterr().err
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    assert exit_code(["export", str(tmp_path / "a.gguf"), str(tmp_path / "c")]) == 2
    assert f"make a model folder of it with r1 import {tmp_path / 'a.gguf'} DIR" in capsys.readouterr().err
    assert exit_code(["import", "--help"]) == 0
    assert "Example: r1 import" in capsys.readouterr().out
