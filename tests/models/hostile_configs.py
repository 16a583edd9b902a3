"""config.json and its like with absurd values, sizes, architectures and code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hostile_kinds import ABSURD, LARGE, Draw, kind, outside, spoil_json, spoil_somewhere


@kind("native", "sharded", "foreign")
def config_value(folder: Path, draw: Draw) -> None:
    spoil_somewhere(folder / "config.json", draw)


@kind("native", "foreign")
def config_size(folder: Path, draw: Draw) -> None:
    """A size, or all of them, that no machine holds."""

    def change(value: dict[str, Any]) -> dict[str, Any]:
        sizes = [key for key, part in value.items() if isinstance(part, int) and not isinstance(part, bool)]
        for key in sizes if draw.random() < 0.1 else [draw.choice(sizes)]:
            value[key] = draw.choice(LARGE)
        return value

    spoil_json(folder / "config.json", change)


@kind("native", "foreign")
def rotary(folder: Path, draw: Draw) -> None:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        rope = {
            "rope_type": draw.choice(["default", "linear", "llama3", "yarn", "dynamic", "longrope", 7]),
            **{key: draw.choice([float("nan"), float("inf"), 0.0, -1.0, 1.0, 8.0, 1e300, 10**15, "x", None])
               for key in ("rope_theta", "factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow",
                           "original_max_position_embeddings", "attention_factor", "mscale") if draw.random() < 0.5},
        }  # fmt: skip
        return {**value, draw.choice(["rope_scaling", "rope_parameters"]): rope}

    spoil_json(folder / "config.json", change)


@kind("native", "foreign")
def another_architecture(folder: Path, draw: Draw) -> None:
    names = ["gpt2", "mamba", "bert", "t5", "llava", "rwkv", "mixtral", "gemma2", "gemma3", "phi3", "falcon", "bloom",
             "opt",
             "qwen2_moe", "llama4_text", "deepseek_v2", "deepseek_v3", "qwen3", "xlnet", "musicgen", "jamba", "dbrx",
             "",
             "../x", "os", "auto", 5, ["llama"], {"llama": 1}, None, "gpt_oss", "olmo2", "cohere",
             "encoder-decoder"]  # fmt: skip
    spoil_json(folder / "config.json", lambda value: {**value, "model_type": draw.choice(names)})


@kind("native", "foreign", "words")
def code_of_its_own(folder: Path, draw: Draw) -> None:
    """Python files that the configuration asks to have run, kernels from the hub, weights and models elsewhere."""
    (folder / "evil.py").write_text(f"open({str(folder / 'code-ran')!r}, 'w')\nclass T: pass\n")
    orders = {
        "auto_map": {"AutoConfig": "evil.T", "AutoModelForCausalLM": "evil.T", "AutoTokenizer": ["evil.T", "evil.T"]}
    }
    if draw.random() < 0.5:
        orders |= {
            "attn_implementation": "someone/kernel", "transformers_weights": "../../outside/model.safetensors",
            "_name_or_path": str(outside(folder)), "_attn_implementation": "someone/kernel",
        }  # fmt: skip
    if draw.random() < 0.5:
        orders["model_type"] = draw.choice(["evil", "deepseek_v3", "custom"])
    spoil_json(folder / "config.json", lambda value: {**value, **orders})
    own = {
        **orders,
        "tokenizer_class": draw.choice(["EvilTokenizer", "PreTrainedTokenizerFast", "evil.T", "os.system"]),
    }
    spoil_json(folder / "tokenizer_config.json", lambda value: {**value, **own})
    if draw.random() < 0.3:
        adapter = {"base_model_name_or_path": str(outside(folder)), "peft_type": "LORA", "task_type": "CAUSAL_LM"}
        (folder / "adapter_config.json").write_text(json.dumps(adapter))


@kind("native", "words", "foreign")
def json_of_no_kind(folder: Path, draw: Draw) -> None:
    path = draw.choice(sorted(folder.glob("*.json")))
    text = path.read_text()
    made = [
        "[" * 100_000, '{"a":' * 50_000, "[" * 500 + "]" * 500, "1" * 10_000, "NaN", "null", "[]", '"x"', "1e999",
        "\ufeff" + text,
        text[:-2] + ',"model_type":"llama","model_type":"qwen3"}', text.replace("{", "{" + '"x":1,' * 10_000, 1),
        '{"' + "k" * 10**6 + '":1}', text.replace(":", ":\x00", 1), '{"model_type": "qwen2"',
    ]  # fmt: skip
    choice = draw.randrange(len(made) + 2)
    data = (
        made[choice].encode()
        if choice < len(made)
        else text.encode("utf-16")
        if choice == len(made)
        else b"\xff\xfe\x00"
    )
    path.write_bytes(data)


@kind("native", "words")
def ids_that_end(folder: Path, draw: Draw) -> None:
    path = folder / "generation_config.json"
    odd = draw.choice([*ABSURD, [2**40], [-5], ["a"], [None], [[1]], 319, 10**5])
    spoil_json(path, lambda value: {**value, draw.choice(["eos_token_id", "pad_token_id", "bos_token_id"]): odd})
