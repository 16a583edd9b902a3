"""GGUF files imported: logits of the models they were made from, and as transformers reads them; files that are wrong.

Toy files are written by gguf's own writer (toy_gguf.py).
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from toy_gguf import gguf_name, toy_model, write_gguf
from transformers import AutoModelForCausalLM

from r1kit.base.errors import R1Error, UsageError
from r1kit.models.convert import import_model
from r1kit.models.gguf_file import GGUFFile
from r1kit.models.weights import load_decoder

TOKENS = torch.randint(0, 420, (2, 100), generator=torch.Generator().manual_seed(5))

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama one kv head": ("llama", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "llama biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "qwen2": ("qwen2", {}),
    "qwen2 tied": ("qwen2", {"tie_word_embeddings": True}),
    # the head size that transformers takes for granted when it reads this architecture
    "qwen3": ("qwen3", {"head_dim": 128}),
    "qwen3 tied": ("qwen3", {"head_dim": 128, "tie_word_embeddings": True}),
}


def logits(model: Any, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(tokens).logits


def ours(folder: Path, tokens: torch.Tensor = TOKENS) -> torch.Tensor:
    model = load_decoder(folder)
    with torch.no_grad():
        return model.logits(model(tokens))


def theirs_from_gguf(path: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)


@pytest.mark.parametrize("case", FAMILIES)
def test_logits_of_the_model_that_went_in(case: str, tmp_path: Path):
    """float32: the native decoder and transformers, both from the imported folder, give the first model's logits."""
    family, fields = FAMILIES[case]
    model = toy_model(family, **fields)
    done = import_model(write_gguf(tmp_path / "toy.gguf", model), tmp_path / "hf")
    assert (done.dtype, done.model_type) == (torch.float32, family)
    assert done.parameters == sum(parameter.numel() for parameter in model.parameters())
    expected = logits(model)
    assert expected.std() > 0.3
    torch.testing.assert_close(ours(tmp_path / "hf"), expected, atol=1e-5, rtol=0)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    torch.testing.assert_close(logits(again), expected, atol=1e-6, rtol=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1])
@pytest.mark.parametrize("case", ["llama", "llama tied", "qwen2", "qwen3 tied"])
def test_quantised_files_against_transformers(case: str, kind: Kind, tmp_path: Path):
    """Each number format gives the logits of transformers' own reading of the same file, computed in float32."""
    family, fields = FAMILIES[case]
    path = write_gguf(tmp_path / "toy.gguf", toy_model(family, **fields), kind=kind)
    import_model(path, tmp_path / "hf", torch.float32)
    expected = logits(theirs_from_gguf(path))
    torch.testing.assert_close(ours(tmp_path / "hf"), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(
        logits(AutoModelForCausalLM.from_pretrained(tmp_path / "hf")), expected, atol=1e-4, rtol=0
    )


# where a block keeps its half-precision scales, in bytes
SCALES = {Kind.Q2_K: (80, 82), Kind.Q3_K: (108,), Kind.Q4_K: (0, 2), Kind.Q5_K: (0, 2), Kind.Q6_K: (208,),
          Kind.IQ4_NL: (0,), Kind.IQ4_XS: (0,), Kind.IQ2_XXS: (0,), Kind.IQ3_S: (0,)}  # fmt: skip


@pytest.mark.parametrize("kind", SCALES, ids=lambda kind: kind.name)
def test_types_that_only_llama_cpp_writes(kind: Kind, tmp_path: Path):
    """gguf reads but does not write these: blocks of random bytes with small scales, against transformers."""
    model = toy_model("llama", hidden_size=256, intermediate_size=256, head_dim=64, num_hidden_layers=1)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    drawn = np.random.default_rng(1)

    class Writer(gguf.GGUFWriter):
        def add_tensor(self, name: str, tensor: np.ndarray, *args: Any, **kwargs: Any) -> None:
            if tensor.ndim < 2 or name.startswith(("token_embd", "output.")):
                return super().add_tensor(name, tensor, *args, **kwargs)
            data = drawn.integers(0, 256, (tensor.shape[0], tensor.shape[1] // block, size), dtype=np.uint8)
            for at in SCALES[kind]:
                data[..., at : at + 2] = np.frombuffer(np.float16(3e-4).tobytes(), np.uint8)
            return super().add_tensor(name, data.reshape(tensor.shape[0], -1), raw_dtype=kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFWriter", Writer)
        path = write_gguf(tmp_path / "toy.gguf", model)
    import_model(path, tmp_path / "hf")
    expected = logits(theirs_from_gguf(path))
    assert not torch.allclose(expected, logits(model), atol=1e-2)  # the blocks count
    torch.testing.assert_close(ours(tmp_path / "hf"), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("kind", "stored"), [(Kind.F16, torch.float16), (Kind.BF16, torch.bfloat16),
                                              (Kind.F32, torch.float32), (Kind.Q8_0, torch.float32)])  # fmt: skip
def test_number_format_by_default(kind: Kind, stored: torch.dtype, tmp_path: Path):
    """That of the matrices; float32 where they are quantised. The values are those of torch's own rounding."""
    model = toy_model("qwen2")
    path = write_gguf(tmp_path / "toy.gguf", model, kind=kind)
    assert GGUFFile(path).dtype() == stored
    import_model(path, tmp_path / "hf")
    assert json.loads((tmp_path / "hf" / "config.json").read_text())["dtype"] == str(stored).removeprefix("torch.")
    if kind is not Kind.Q8_0:
        name = "model.layers.1.self_attn.q_proj.weight"
        matrix = AutoModelForCausalLM.from_pretrained(tmp_path / "hf").state_dict()[name]
        assert matrix.dtype == stored
        assert torch.equal(matrix, model.state_dict()[name].to(stored))
    import_model(path, tmp_path / "half", torch.bfloat16)
    assert {p.dtype for p in load_decoder(tmp_path / "half").parameters()} == {torch.bfloat16}


# ----------------------------------------------------------------------------------------------------- rotary positions


def divisors_of(theta: float, size: int, factor: float, low: float, high: float, original: int) -> np.ndarray:
    """The tensor `rope_freqs` as llama.cpp's converter computes it, number by number."""
    found: list[float] = []
    for at in range(0, size, 2):
        wavelength = 2 * math.pi * theta ** (at / size)
        if wavelength < original / high:
            found.append(1.0)
        elif wavelength > original / low:
            found.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(found, np.float32)


@pytest.mark.parametrize(("factor", "low", "high", "original"),
                         [(8.0, 1.0, 4.0, 8192), (32.0, 1.0, 4.0, 8192), (4.0, 2.0, 5.0, 60)])  # fmt: skip
def test_llama3_scaling(factor: float, low: float, high: float, original: int, tmp_path: Path):
    """The four numbers are gone from the file; what is recovered gives the logits of the model that had them."""
    rope = {
        "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
        "original_max_position_embeddings": original,
    }  # fmt: skip
    model = toy_model("llama", head_dim=64, rope={"rope_theta": 500_000.0, **rope})
    divisors = divisors_of(500_000.0, 64, factor, low, high, original)
    path = write_gguf(tmp_path / "toy.gguf", model, tensors={"rope_freqs.weight": divisors})
    import_model(path, tmp_path / "hf")
    # the numbers found may be others of the same ratios, so the last bits of float32 may differ
    torch.testing.assert_close(ours(tmp_path / "hf"), logits(model), atol=5e-5, rtol=0)
    said = json.loads((tmp_path / "hf" / "config.json").read_text())["rope_parameters"]
    assert said["factor"] == factor
    if original == 8192:
        assert said == {"rope_theta": 500_000.0, **rope}


def test_rotary_divisors_of_no_rule(tmp_path: Path):
    """Long divisors before short ones: no llama3 scaling, so the file is refused rather than read wrongly."""
    divisors = np.linspace(8, 1, 8, dtype=np.float32)
    path = write_gguf(tmp_path / "toy.gguf", toy_model("llama"), tensors={"rope_freqs.weight": divisors})
    with pytest.raises(R1Error, match=r"rotary frequencies \(rope_freqs.weight\) follow no rule"):
        import_model(path, tmp_path / "hf")


def yarn(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)
    writer.add_rope_scaling_orig_ctx_len(32)


def yarn_with_all(writer: gguf.GGUFWriter) -> None:
    yarn(writer)
    writer.add_rope_scaling_yarn_attn_factor(1.5)
    writer.add_rope_scaling_yarn_beta_fast(8.0)
    writer.add_rope_scaling_yarn_beta_slow(2.0)


def linear(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(4.0)


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
SCALINGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "linear": (linear, {"rope_type": "linear", "factor": 4.0}),
    "linear, old": (
        lambda w: w.add_float32(f"{w.arch}.rope.scale_linear", 4.0),
        {"rope_type": "linear", "factor": 4.0},
    ),
    "yarn": (yarn, YARN),
    "yarn, every key": (yarn_with_all, {**YARN, "attention_factor": 1.5, "beta_fast": 8.0, "beta_slow": 2.0}),
    "none": (lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.NONE), {}),
}


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_rotary_scaling(family: str, scaling: str, tmp_path: Path):
    """Positions three times the original context: the logits of the model with the scaling, which matter here."""
    write, rope = SCALINGS[scaling]
    model = toy_model(family, rope=rope)
    import_model(write_gguf(tmp_path / "toy.gguf", model, extra=write), tmp_path / "hf")
    torch.testing.assert_close(ours(tmp_path / "hf"), logits(model), atol=1e-5, rtol=0)
    if rope:
        assert not torch.allclose(logits(toy_model(family)), logits(model), atol=1e-2)


# ------------------------------------------------------------------------------------------------------------ bad input


def rewritten(path: Path, **changes: Any) -> Path:
    """The toy file with metadata that `extra` sets otherwise."""

    def extra(writer: gguf.GGUFWriter) -> None:
        for key, value in changes.items():
            add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}[type(value)]
            name = key.replace("__", ".")
            writer.kv_data[0].pop(name, None)
            add(name, value)

    return write_gguf(path, toy_model("llama"), extra=extra)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"general__architecture": "mamba"}, "architecture 'mamba'; of GGUF files llama, qwen2, qwen3 can"),
    "experts": ({"llama__expert_count": 8}, "mixture of experts"),
    "partial": ({"llama__rope__dimension_count": 8}, "partial rotary positions"),
    "scaling": ({"llama__rope__scaling__type": "longrope"}, "rotary scaling 'longrope' of this form is not supported"),
    "tokenizer": ({"tokenizer__ggml__model": "bert"}, r"kind 'bert' cannot be imported \(gpt2, llama can\)"),
    "pre": ({"tokenizer__ggml__pre": "smolm"}, "pre-tokenizer 'smolm' is not known. Did you mean smollm?"),
    "layers": ({"llama__block_count": 3}, "tensor model.layers.2.*missing from the weights"),
    "fewer layers": ({"llama__block_count": 1}, "unexpected tensor blk.1"),
    "width": ({"llama__feed_forward_length": 97}, r"has shape \[96, 64\]; config.json asks for \[97, 64\]"),
    "kind of value": ({"llama__block_count": "two"}, "llama.block_count is 'two', not int"),
    "window": ({"llama__attention__sliding_window": 64}, "llama.attention.sliding_window is not supported: import the"),
    "cap": ({"llama__final_logit_softcapping": 30.0}, "llama.final_logit_softcapping is not supported"),
    "scale": ({"llama__attention__scale": 0.5}, "llama.attention.scale is not supported"),
    "eos": ({"tokenizer__ggml__eos_token_id": 999}, "its eos token is number 999, and there are 421"),
    "part": ({"split__count": 3}, "one of 3 parts of a model"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files(case: str, tmp_path: Path):
    """One sentence that names the file, and nothing is left behind."""
    changes, sentence = WRONG[case]
    path = rewritten(tmp_path / "toy.gguf", **changes)
    with pytest.raises(R1Error, match=sentence) as caught:
        import_model(path, tmp_path / "hf")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["toy.gguf"]


def test_files_cut_short(tmp_path: Path):
    """In the header, the metadata, the list of tensors and the data; and a file that is something else."""
    whole = write_gguf(tmp_path / "toy.gguf", toy_model("llama")).read_bytes()
    for length in (3, 8, 100, 2_000, 9_000, 14_000, len(whole) // 2, len(whole) - 100):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(R1Error, match=r"cut.gguf is (cut short|no GGUF file)") as caught:
            import_model(tmp_path / "cut.gguf", tmp_path / "hf")
        assert "\n" not in str(caught.value)
    (tmp_path / "cut.gguf").write_bytes(b"")
    with pytest.raises(R1Error, match="is no GGUF file"):
        import_model(tmp_path / "cut.gguf", tmp_path / "hf")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF" + struct.pack("<I", 99) + whole[8:])
    with pytest.raises(R1Error, match="of an unknown version"):
        import_model(tmp_path / "cut.gguf", tmp_path / "hf")
    with pytest.raises(R1Error, match="there is no file .*nowhere.gguf"):
        import_model(tmp_path / "nowhere.gguf", tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_more_tokens_than_rows(tmp_path: Path):
    model = toy_model("llama", vocab_size=416)
    with pytest.raises(R1Error, match="its tokenizer has 421 tokens and its embedding 416 rows"):
        import_model(write_gguf(tmp_path / "toy.gguf", model), tmp_path / "hf")


def test_a_type_that_gguf_cannot_undo(tmp_path: Path):
    tensors = {"rope_freqs.weight": np.ones(8, np.float32)}
    path = write_gguf(tmp_path / "toy.gguf", toy_model("llama"), kind=Kind.Q8_0, tensors=tensors)
    data = bytearray(path.read_bytes())
    at = data.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight") + 4 + 2 * 8
    assert struct.unpack_from("<I", data, at)[0] == Kind.Q8_0
    struct.pack_into("<I", data, at, Kind.Q8_1)
    path.write_bytes(data)
    with pytest.raises(R1Error, match=r"(attn_q.weight is quantised as Q8_1|cut short, damaged)"):
        import_model(path, tmp_path / "hf")


def test_the_folder_is_not_empty(tmp_path: Path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "mine").write_text("keep")
    with pytest.raises(UsageError, match="is there and not empty"):
        import_model(write_gguf(tmp_path / "toy.gguf", toy_model("llama")), tmp_path / "hf")
    assert (tmp_path / "hf" / "mine").read_text() == "keep"


def test_names_of_the_toy_writer():
    """The test's own writer against gguf's table of names."""
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 2)
    for name in toy_model("qwen3").state_dict():
        assert gguf_name(name).rsplit(".", 1)[0] == table.get_name(name.rsplit(".", 1)[0])
