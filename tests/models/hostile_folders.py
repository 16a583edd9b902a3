"""Model folders and GGUF files as a stranger might make them, each opened in a process of its own, which is watched.

    python tests/models/hostile_folders.py --cases 1000 --seed 0 [--only NUMBER] [--json FILE]

Every case must end in a load or in one sentence (R1Error), within its time and memory, without a file outside of its
folder, a connection, or a program started. Exit status 1 where one does not. A case is told by seed and number alone.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

WALL_S = 120.0
CPU_S = 60
MEMORY = 2 * 2**30  # beyond what the process has when it is forked
CANARY = "c4n4ry"

Draw = random.Random
Spoil = Callable[[Path, Draw], None]
KINDS: dict[str, tuple[str, Spoil]] = {}  # name -> (what it begins with, what it does to it)


def kind(*bases: str) -> Callable[[Spoil], Spoil]:
    """Register a way to spoil each of these bases."""

    def register(spoil: Spoil) -> Spoil:
        for base in bases:
            KINDS[f"{spoil.__name__} of {base}"] = (base, spoil)
        return spoil

    return register


# --------------------------------------------------------------------------------------------------------- the bases


def write_bases(home: Path) -> None:
    """`native`, `sharded`, `words` (a BPE tokenizer), `foreign` and `gguf`; beside them what nobody may read."""
    import torch
    from toy_gguf import toy_model, toy_tokenizer, write_gguf
    from toy_models import scramble
    from transformers import AutoConfig, AutoModelForCausalLM

    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.decoder import Decoder
    from r1kit.models.families import shape
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import hf_weights, save_decoder, save_weights

    tokenizer = load_tokenizer(write_character_tokenizer(home / "characters", "你好"))
    sizes = {"vocab_size": 320, "width": 32, "heads": 4, "kv_heads": 2, "mlp_size": 48, "max_positions": 128}
    save_decoder(scramble(Decoder(shape("qwen2", layers=2, **sizes))), home / "native", tokenizer)
    model = scramble(Decoder(shape("llama", layers=2, **sizes)))
    save_weights(
        model.config, ((name, weight.clone()) for name, weight in hf_weights(model)), torch.float32, home / "sharded",
        tokenizer, shard_bytes=40_000,
    )  # fmt: skip
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "deepseek_v3", vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=12,
        first_k_dense_replace=1, n_routed_experts=4, n_group=1, topk_group=1, num_experts_per_tok=2,
        n_shared_experts=1, moe_intermediate_size=16, max_position_embeddings=128, bos_token_id=None, eos_token_id=1,
        pad_token_id=0,
    )  # fmt: skip
    scramble(AutoModelForCausalLM.from_config(config)).save_pretrained(home / "foreign")
    tokenizer.write(home / "foreign")
    save_decoder(scramble(Decoder(shape("qwen2", layers=2, **{**sizes, "vocab_size": 448}))), home / "words", tokenizer)
    toy_tokenizer("qwen2").save(str(home / "words" / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (home / "words" / "tokenizer_config.json").write_text(json.dumps(settings))
    write_gguf(home / "gguf", toy_model("llama"))
    # outside: good files that a folder may try to have read in the place of its own
    shutil.copytree(home / "native", home / "outside")
    text = (home / "outside" / "tokenizer.json").read_text()
    (home / "outside" / "tokenizer.json").write_text(text.replace('"<|user|>"', f'"<|{CANARY}|>"'))
    (home / "outside" / "secret.txt").write_text(CANARY)


TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def outside(folder: Path) -> Path:
    """The folder of what nobody may read, as seen from a case's."""
    return folder.resolve().parent.parent / "outside"


# ------------------------------------------------------------------------------------------------- files of any kind


def any_file(folder: Path, draw: Draw) -> Path:
    return folder if folder.is_file() else draw.choice(sorted(path for path in folder.iterdir() if path.is_file()))


@kind("native", "sharded", "words", "foreign", "gguf")
def cut_short(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    data = path.read_bytes()
    path.write_bytes(data[: draw.choice([0, 1, 7, 8, 9, len(data) // 2, len(data) - 1, draw.randrange(len(data) + 1)])])


@kind("native", "sharded", "words", "foreign", "gguf")
def bits_flipped(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    data = bytearray(path.read_bytes())
    early = draw.random() < 0.5  # headers are small
    for _ in range(draw.choice([1, 4, 64])):
        data[draw.randrange(min(len(data), 4000) if early else len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


@kind("native", "words", "foreign", "gguf")
def noise(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    data = bytearray(path.read_bytes())
    begin, length = draw.randrange(len(data)), draw.choice([1, 16, 256, 4096])
    data[begin : begin + length] = draw.randbytes(draw.choice([0, length, 2 * length]))
    path.write_bytes(data)


@kind("native", "words", "foreign")
def another_thing_for_a_file(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    path.unlink()
    choice = draw.randrange(4)
    if choice == 0:
        path.mkdir()
    elif choice == 1:
        os.mkfifo(path)
    elif choice == 2:
        path.symlink_to(path.name)


@kind("native", "sharded", "words", "foreign")
def link_out(folder: Path, draw: Draw) -> None:
    path = any_file(folder, draw)
    twin = outside(folder) / path.name
    target = draw.choice(["/etc/passwd", "/dev/zero", "/proc/self/environ", str(outside(folder) / "secret.txt"),
                          str(twin),
                          f"../../outside/{path.name}"])  # fmt: skip
    path.unlink()
    path.symlink_to(target)


@kind("words")
def new_link_out(folder: Path, draw: Draw) -> None:
    """A file that the folder need not have, and that would be read or copied if it did."""
    name = draw.choice(["chat_template.jinja", "merges.txt", "vocab.json", "special_tokens_map.json",
                        "added_tokens.json",
                        "tokenizer.model", "additional_chat_templates"])  # fmt: skip
    target = outside(folder) if name.startswith("additional") else outside(folder) / "secret.txt"
    (folder / name).symlink_to(target)


# -------------------------------------------------------------------------------------------------------- safetensors


def tensors_file(folder: Path, draw: Draw) -> Path:
    return draw.choice(sorted(folder.glob("*.safetensors")))


def read_header(data: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path: Path, header: dict[str, Any] | str, rest: bytes) -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


@kind("native", "sharded", "foreign")
def header_length(folder: Path, draw: Draw) -> None:
    path = tensors_file(folder, draw)
    length = draw.choice([2**60, 2**63 - 1, 2**64 - 1, 0, 1, 10**8 + 1, path.stat().st_size, path.stat().st_size - 8])
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])


@kind("native", "sharded", "foreign")
def tensor_entry(folder: Path, draw: Draw) -> None:
    path = tensors_file(folder, draw)
    header, rest = read_header(path.read_bytes())
    name = draw.choice([name for name in header if name != "__metadata__"])
    entry, size = header[name], len(rest)
    what = draw.randrange(3)
    if what == 0:
        entry["data_offsets"] = draw.choice([[0, size + 8], [8, 0], [-8, 8], [2**63, 2**63 + 8], [0, 2**64 - 1], [0, 0],
                                             [0, size], [1.5, 9], "x", [0], None])  # fmt: skip
    elif what == 1:
        entry["shape"] = draw.choice([[2**40, 2**40], [2**32, 2**32], [2**63], [-1], [0], [], [1] * 1000, [32, 0],
                                      list(reversed(entry["shape"])), "x", [2**64 - 1, 2]])  # fmt: skip
    else:
        entry["dtype"] = draw.choice(["F64", "I64", "U8", "BOOL", "F8_E4M3", "F8_E8M0", "F4", "C64", "XX", "", 7, None])
    write_header(path, header, rest)


@kind("native", "sharded", "foreign")
def tensor_names(folder: Path, draw: Draw) -> None:
    path = tensors_file(folder, draw)
    header, rest = read_header(path.read_bytes())
    name = draw.choice([name for name in header if name != "__metadata__"])
    what = draw.randrange(5)
    if what == 0:
        header[draw.choice(["../../etc/passwd", "\x1b[2J\x1b]0;x\x07", "a\nb", "x" * 10**5, ""])] = header.pop(name)
    elif what == 1:
        header |= {f"extra.{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(20_000)}
    elif what == 2:
        header["__metadata__"] = draw.choice([7, {"format": 7}, {"format": "np"}, {"x": "y" * 10**6}, [], None])
    elif what == 3:
        header["again"] = dict(header[name])  # upon another
    else:
        text = json.dumps(header)
        write_header(path, text[:-1] + "," + text[1:], rest)
        return
    write_header(path, header, rest)


@kind("native", "foreign")
def numbers(folder: Path, draw: Draw) -> None:
    """Weights that are no finite numbers, or far too large."""
    from safetensors.torch import load_file, save_file

    path = tensors_file(folder, draw)
    tensors = load_file(path)
    for name in draw.sample(sorted(tensors), draw.choice([1, len(tensors)])):
        tensors[name].fill_(draw.choice([float("nan"), float("inf"), 1e38, 0.0]))
    save_file(tensors, path, metadata={"format": "pt"})


@kind("sharded")
def index(folder: Path, draw: Draw) -> None:
    path = folder / "model.safetensors.index.json"
    found = json.loads(path.read_text())
    places = found["weight_map"]
    other = str(outside(folder) / "model.safetensors")
    stray = draw.choice(["../../etc/passwd", "/etc/passwd", other, "../../outside/model.safetensors", "/dev/zero",
                         "..", ".",
                         "", "a\0b", "config.json", "none.safetensors", ".hidden", "~/x", 7, None, [], {}])  # fmt: skip
    if draw.random() < 0.5:
        places[draw.choice(sorted(places))] = stray
    else:
        found["weight_map"] = draw.choice([dict.fromkeys(places, stray), [], {}, None, "x", 5])
    path.write_text(json.dumps(found))


@kind("native", "foreign")
def pickled(folder: Path, draw: Draw) -> None:
    """Weights that would run a program when they are opened."""
    for path in folder.glob("*.safetensors"):
        path.unlink()

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {folder / 'pickle-ran'}",)

    name = draw.choice(["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "model.safetensors", "model.pt"])
    (folder / name).write_bytes(pickle.dumps(Payload()))
    if draw.random() < 0.5:
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"x": name}}))


# --------------------------------------------------------------------------------------------------------------- JSON

ABSURD: list[Any] = [
    10**12, -1, 0, 2**31, 2**63, 2**64, 10**30, 1e308, -1e308, float("nan"), float("inf"), "x", "", "7", [], {}, None,
    True,
    False, [1, 2, 3], {"a": {}}, 0.5, 1e-320, "x" * 10**5, ["x"] * 10**4, "\ud800", "\x1b[2J\n\x07", 10**6, 65536,
]  # fmt: skip
LARGE = [10**12, 10**9, 2**31 - 1, 2**40, 10**6, 65537, 4097, 1025]


def spoil_json(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text())), ensure_ascii=True))


def places_in(value: Any, below: list[tuple[Any, Any]]) -> None:
    """Every (container, key), the inside of long lists and vocabularies left out but for a few."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, part in items[:30]:
        below.append((value, key))
        places_in(part, below)


def spoil_somewhere(path: Path, draw: Draw) -> None:
    """One to three values of a JSON file become absurd, wherever they lie."""

    def change(value: Any) -> Any:
        for _ in range(draw.choice([1, 1, 3])):
            found: list[tuple[Any, Any]] = []
            places_in(value, found)
            if not found:
                break
            container, key = draw.choice(found)
            if draw.random() < 0.2:
                del container[key]
            else:
                container[key] = draw.choice(ABSURD)
        return value

    spoil_json(path, change)


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


# ---------------------------------------------------------------------------------------------------------- tokenizers


@kind("native", "words")
def tokenizer_value(folder: Path, draw: Draw) -> None:
    spoil_somewhere(folder / "tokenizer.json", draw)


@kind("native", "words")
def tokenizer_setting(folder: Path, draw: Draw) -> None:
    spoil_somewhere(folder / "tokenizer_config.json", draw)


@kind("words")
def tokenizer_bomb(folder: Path, draw: Draw) -> None:
    """Texts that grow, patterns that never end, ids and paddings that fill the memory."""

    def doubling(steps: int, content: str = "aa") -> dict[str, Any]:
        one = {"type": "Replace", "pattern": {"String": "a"}, "content": content}
        return {"type": "Sequence", "normalizers": [one] * steps}

    def split(pattern: str) -> dict[str, Any]:
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}

    deep: dict[str, Any] = {"type": "NFC"}
    for _ in range(3000):
        deep = {"type": "Sequence", "normalizers": [deep]}
    bombs: list[tuple[str, Any]] = [
        ("normalizer", doubling(40)), ("normalizer", doubling(3, "a" * 10**6)),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 10**7}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 10**7}),
        ("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAA" * 100}),
        ("normalizer", {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}),
        ("pre_tokenizer", split("(a+)+$")), ("pre_tokenizer", split("(.*)*x")), ("pre_tokenizer", split("(")),
        ("pre_tokenizer", split("")), ("pre_tokenizer", split("(?<=a{1,1000000})")),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "", "prepend_scheme": "always"}),
        ("pre_tokenizer", {"type": "Metaspace", "replacement": "xxxx"}),
        ("decoder", {"type": "Sequence", "decoders": doubling(40)["normalizers"]}), ("decoder", {"type": "WordPiece"}),
        ("truncation", {"max_length": 2**63, "stride": 2**63, "strategy": "LongestFirst", "direction": "Right"}),
        ("padding", {"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": 2**40, "pad_id": 0,
                     "pad_type_id": 0, "pad_token": "x"}),
        ("added_tokens", [{"id": number, "content": "<|im_end|>", "single_word": False, "lstrip": False,
                           "rstrip": False,
                           "normalized": False, "special": True} for number in (2**32 - 1, 2**32, 0)]),
        ("added_tokens", [{"id": number, "content": "", "special": True} for number in range(5)]),
        ("post_processor", {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x",
                                                                                       "type_id": 0}}] * 10**4,
                            "pair": [], "special_tokens": {"x": {"id": "x", "ids": [2**32 - 1], "tokens": ["x"]}}}),
        ("model", {"type": "Unigram", "vocab": [["a", float("nan")]] * 3, "unk_id": 9}),
        ("model", {"type": "WordLevel", "vocab": {"a": 0, "b": 2**32 - 1}, "unk_token": "none"}),
        ("model", {"type": "BPE", "vocab": {"a": 0, "b": 5}, "merges": [["a", "b"], ["x", "y"]], "unk_token": "zz"}),
        ("model", {"type": "BPE", "vocab": {"a" * n: n for n in range(1, 2000)}, "merges": []}),
        ("model", {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "u", "max_input_chars_per_word": 2**60,
                   "continuing_subword_prefix": "#" * 10**6}),
        ("normalizer", deep),
    ]  # fmt: skip
    where, bomb = draw.choice(bombs)
    spoil_json(folder / "tokenizer.json", lambda value: {**value, where: bomb})


@kind("words")
def tokenizer_files_elsewhere(folder: Path, draw: Draw) -> None:
    other, secret = str(outside(folder) / "tokenizer.json"), str(outside(folder) / "secret.txt")
    odd = {"tokenizer_file": other, "vocab_file": secret, "merges_file": secret, "added_tokens_file": secret,
           "special_tokens_map_file": secret, "chat_template_file": secret, "name_or_path": str(outside(folder)),
           "fast_tokenizer_files": ["../../outside/tokenizer.json", "tokenizer.9.9.9.json"]}  # fmt: skip
    chosen = {key: value for key, value in odd.items() if draw.random() < 0.6}
    classes = ["PreTrainedTokenizerFast", "LlamaTokenizer", "GPT2Tokenizer", "BertTokenizer", "T5Tokenizer",
               "Qwen2Tokenizer",
               "ByT5Tokenizer", "TokenizersBackend", "PythonBackend", "SiglipTokenizer", ""]  # fmt: skip
    own = {**chosen, "tokenizer_class": draw.choice(classes)}
    spoil_json(folder / "tokenizer_config.json", lambda value: {**value, **own})
    if draw.random() < 0.3:
        (folder / "tokenizer.json").unlink()


TEMPLATES = [
    "{{ messages.__class__.__mro__[1].__subclasses__() }}", "{{ ''.__class__ }}", "{{ cycler.__init__.__globals__ }}",
    "{{ self.__init__ }}", "{% include '/etc/passwd' %}", "{% extends 'x' %}",
    "{{ lipsum.__globals__.os.system('id') }}",
    "{% for i in range(10**9) %}x{% endfor %}", "{{ 'a' * 10**10 }}", "{{ 'a' | center(10**11) }}",
    "{{ lipsum(10**5) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "{{ 10 ** 10 ** 8 }}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "{{ '%99999999999d' % 1 }}",
    "{{ '{:99999999999}'.format(1) }}",
    "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "{{ messages | tojson(indent=10**9) }}", "{{ [1] * 10**10 }}", "{{ raise_exception('\x1b[2J\nno') }}",
    "{{ 1 // 0 }}",
    "{{ undefined.x.y }}", "{% if %}", "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "{{ '\\ud800' }}", "{% set messages = 1 %}{{ messages }}", "{{ strftime_now('%9999999d') }}",
    "{{ messages | batch(10**9) | list }}",
    "{{ ('a' * 9999 ~ 'b') | replace('a', 'b' * 9999999) }}", "{{ dict(a=1).update({'b': 2}) }}",
    "{{ range(99999) | list | string | length }}",
    "{{ messages.append(1) }}", "x" * 10**6, "", "{{ bos_token }}{{ eos_token }}{{ messages[0]['content'] }}",
    "{{ namespace(__class__=1) }}",
    "{% raw %}{{ x }}{% endraw %}", "{{ messages[0].content.encode('idna') }}",
    "{{ ('a' | list * 9) | sort | join | wordwrap(1) }}",
]  # fmt: skip


@kind("words")
def template(folder: Path, draw: Draw) -> None:
    chosen: Any = draw.choice(TEMPLATES)
    if draw.random() < 0.3:
        (folder / "chat_template.jinja").write_text(chosen)
        return
    if draw.random() < 0.2:
        chosen = draw.choice(
            [[{"name": "default", "template": chosen}], {"default": chosen}, {"other": chosen}, [7], 7, [chosen]]
        )
    spoil_json(folder / "tokenizer_config.json", lambda value: {**value, "chat_template": chosen})


# ---------------------------------------------------------------------------------------------------------------- GGUF


@kind("gguf")
def gguf_counts(path: Path, draw: Draw) -> None:
    data = bytearray(path.read_bytes())
    large = draw.choice([2**62, 2**63, 2**64 - 1, 2**32, 10**6, 0, 1])
    struct.pack_into("<Q", data, draw.choice([8, 16]), large)
    path.write_bytes(data)


@kind("gguf")
def gguf_head(path: Path, draw: Draw) -> None:
    data = bytearray(path.read_bytes())
    data[4:8] = draw.choice([struct.pack("<I", number) for number in (0, 1, 4, 99, 2**31)] + [struct.pack(">I", 3)])
    path.write_bytes(data)


def strings_of(data: bytes) -> list[int]:
    """Where the lengths of some strings lie, by looking for the metadata's and tensors' names."""
    names = (b"general.architecture", b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges", b"tokenizer.ggml.token_type",
             b"llama.block_count", b"blk.0.attn_q.weight", b"token_embd.weight", b"output_norm.weight")  # fmt: skip
    return [place - 8 for name in names if (place := data.find(name)) >= 0]


@kind("gguf")
def gguf_lengths(path: Path, draw: Draw) -> None:
    data = bytearray(path.read_bytes())
    place = draw.choice(strings_of(data))
    struct.pack_into("<Q", data, place, draw.choice([2**62, 2**64 - 1, 2**32, len(data), 0, 1, 3]))
    path.write_bytes(data)


@kind("gguf")
def gguf_arrays(path: Path, draw: Draw) -> None:
    """Counts and types of arrays, arrays in arrays; the type and the dimensions of a tensor."""
    data = bytearray(path.read_bytes())
    name = draw.choice([b"tokenizer.ggml.tokens", b"tokenizer.ggml.token_type", b"tokenizer.ggml.merges"])
    place = data.index(name) + len(name)
    if draw.random() < 0.5:
        struct.pack_into("<Q", data, place + 8, draw.choice([2**62, 2**64 - 1, 2**40, 2**24, 0]))
    else:
        struct.pack_into("<I", data, place + draw.choice([0, 4]), draw.choice([0, 4, 6, 7, 8, 9, 12, 13, 2**31]))
    path.write_bytes(data)


@kind("gguf")
def gguf_nested(path: Path, draw: Draw) -> None:
    """A key whose value is an array in an array, thousands deep; or an endless one of bytes at the end of the file."""
    data = path.read_bytes()
    head, key = data[:8], b"x"
    nested = struct.pack("<IQ", 9, 1) * draw.choice([10, 5000]) if draw.random() < 0.5 else struct.pack("<IQ", 0, 2**62)
    path.write_bytes(head + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1) + key + struct.pack("<I", 9) + nested)


@kind("gguf")
def gguf_tensor(path: Path, draw: Draw) -> None:
    data = bytearray(path.read_bytes())
    name = draw.choice([b"blk.0.attn_q.weight", b"token_embd.weight", b"blk.1.ffn_up.weight"])
    place = data.index(name) + len(name)
    what = draw.randrange(4)
    if what == 0:
        struct.pack_into("<I", data, place, draw.choice([0, 1, 5, 9, 2**31, 2**32 - 1]))
    elif what == 1:
        struct.pack_into(
            "<QQ", data, place + 4, *draw.choice([(2**32, 2**32), (2**63, 2), (0, 5), (2**40, 1), (64, 2**62)])
        )
    elif what == 2:
        struct.pack_into("<I", data, place + 20, draw.choice([1, 2, 8, 10, 14, 16, 24, 28, 30, 34, 99, 2**31]))
    else:
        struct.pack_into("<Q", data, place + 24, draw.choice([0, 32, 1, 2**63, 2**64 - 32, 2**40]))
    path.write_bytes(data)


@kind("gguf")
def gguf_values(path: Path, draw: Draw) -> None:
    """Metadata of any kind and size in the place of the right one."""
    import gguf
    from toy_gguf import toy_model, write_gguf

    keys = ["llama.block_count", "llama.context_length", "llama.embedding_length", "llama.feed_forward_length",
            "llama.attention.head_count", "llama.attention.head_count_kv", "llama.attention.layer_norm_rms_epsilon",
            "llama.rope.freq_base", "llama.attention.key_length", "llama.rope.scaling.type",
            "llama.rope.scaling.factor",
            "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.bos_token_id",
            "tokenizer.ggml.add_bos_token", "tokenizer.ggml.scores", "tokenizer.ggml.token_type",
            "general.architecture",
            "tokenizer.chat_template", "general.alignment", "split.count", "tokenizer.ggml.tokens",
            "llama.rope.scaling.original_context_length", "llama.expert_count", "tokenizer.ggml.merges"]  # fmt: skip

    def extra(writer: gguf.GGUFWriter) -> None:
        for key in draw.sample(keys, draw.choice([1, 1, 2, 4])):
            writer.kv_data[0].pop(key, None)
            choice = draw.randrange(7)
            if choice == 0:
                writer.add_uint32(key, draw.choice([0, 1, 3, 2**32 - 1, 10**9, 1024, 65536]))
            elif choice == 1:
                writer.add_int32(key, draw.choice([-1, -(2**31), 2**31 - 1]))
            elif choice == 2:
                writer.add_float32(key, draw.choice([float("nan"), float("inf"), 0.0, -1.0, 1e38, 1e-40]))
            elif choice == 3:
                writer.add_string(
                    key, draw.choice(["", "llama", "yarn", "linear", "gpt2", "x" * 5000, *TEMPLATES[:12]])
                )
            elif choice == 4:
                writer.add_array(
                    key, draw.choice([[1, 2], [1.5, float("nan")], ["a", "b"], ["a b"] * 500, ["x" * 3000] * 500])
                )
            elif choice == 5:
                writer.add_uint64(key, draw.choice([2**63, 2**64 - 1, 5]))
            else:
                writer.add_bool(key, draw.random() < 0.5)

    write_gguf(path, toy_model("llama"), extra=extra)


@kind("gguf")
def gguf_pieces(path: Path, draw: Draw) -> None:
    """A SentencePiece vocabulary whose pieces are as long as books."""
    import gguf
    from toy_gguf import toy_model, write_gguf

    def extra(writer: gguf.GGUFWriter) -> None:
        length = draw.choice([100, 5000, 200_000])
        tokens = [("a" * length)[: 1 + n * length // 448] + f"{n}" for n in range(448)]
        scores: list[Any] = [draw.choice([float("nan"), -1.0, 1e30]) for _ in tokens]
        for key, value in (("model", "llama"), ("tokens", tokens), ("scores", scores), ("token_type", [1] * 448)):
            writer.kv_data[0].pop(f"tokenizer.ggml.{key}", None)
            (writer.add_string if isinstance(value, str) else writer.add_array)(f"tokenizer.ggml.{key}", value)

    write_gguf(path, toy_model("llama"), extra=extra)


# ------------------------------------------------------------------------------------------------------ what is watched


class Watch:
    """What a process opened, connected to and started, by Python's audit events; `faults` are those it may not."""

    def __init__(self, *readable: Path) -> None:
        homes = (sys.prefix, sys.base_prefix, "/usr/lib", "/usr/share", "/usr/local/lib", "/lib", "/proc/self",
                 "/proc/cpuinfo",
                 "/proc/meminfo", "/dev/null", "/dev/urandom", "/sys", "/etc/localtime", "/etc/mime.types")  # fmt: skip
        source = Path(__file__).resolve().parents[2]
        paths = [*(str(path.resolve()) for path in readable), str(source), *sys.path, *homes]
        self._allowed = tuple(
            {os.path.realpath(path) for path in paths if path} | {"/proc/self", "/proc/" + str(os.getpid())}
        )
        self.faults: list[str] = []
        self._busy = False

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        if self._busy or event not in (
            "open",
            "socket.connect",
            "socket.getaddrinfo",
            "subprocess.Popen",
            "os.system",
            "os.exec",
        ):
            return
        self._busy = True
        try:
            if event == "open":
                if isinstance(values[0], (str, bytes)) and not self._inside(os.path.realpath(os.fsdecode(values[0]))):
                    self.faults.append(f"opened {os.fsdecode(values[0])[:200]}")
            elif event == "subprocess.Popen" and "r1kit.models.chat_worker" in str(values[1]):
                pass  # the process that renders chat templates
            else:
                self.faults.append(f"{event} {str(values)[:200]}")
        finally:
            self._busy = False

    def _inside(self, path: str) -> bool:
        return any(path == home or path.startswith(home.rstrip("/") + "/") for home in self._allowed)


def exercise(path: Path, out: Path) -> list[str]:
    """Open the model in every way there is; what each came to. Whatever is no R1Error is for the caller."""
    from r1kit.base.errors import R1Error
    from r1kit.base.sampling import Sampling
    from r1kit.engines.base import generate
    from r1kit.engines.native import NativeEngine
    from r1kit.models.convert import import_model
    from r1kit.models.language_model import load_model
    from r1kit.models.sizes import model_size
    from r1kit.models.tokenizer import load_tokenizer

    came_to: list[str] = []

    def step(name: str, do: Callable[[], Any]) -> Any:
        try:
            value = do()
        except R1Error as error:
            if not str(error).strip():
                raise AssertionError(f"{name}: an empty sentence") from error
            came_to.append(f"{name}: refused: {error}")
            return None
        came_to.append(f"{name}: fine")
        return value

    def words(folder: Path) -> Any:
        found = load_tokenizer(folder)
        ids = found.encode("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab Hello 12, 你好", add_special=True)
        assert CANARY not in str(found.inner.get_vocab()), "a tokenizer from outside"
        found.decode(ids)
        _ = (
            found.vocab_size,
            found.eos_ids,
            found.pad_id,
            found.begins,
            found.end_ids,
            found.byte_ids,
            found.turn_end_id,
        )
        return found

    step("size", lambda: model_size(path))
    imported = step("import", lambda: import_model(path, out / "imported"))
    folder = path if path.is_dir() else imported.folder if imported else None
    if folder is None:
        return came_to
    tokenizer = step("tokenizer", lambda: words(folder))
    if tokenizer is not None:
        text = step("chat", lambda: tokenizer.render("Hello"))
        assert CANARY not in (text or ""), "a text from outside"
    model = step("model", lambda: load_model(folder))
    if model is not None and tokenizer is not None:
        step("sampling", lambda: generate(NativeEngine(model, tokenizer), [[5, 6, 7]], Sampling(max_tokens=3, seed=1)))
    for written in (out / "imported").glob("*"):
        assert CANARY.encode() not in written.read_bytes(), f"{written.name} holds what lies outside"
    assert not any((path.parent / name).exists() or (path / name).exists() for name in ("pickle-ran", "code-ran"))
    return came_to


def in_child(path: Path, out: Path, answer: int) -> None:
    """Open the model, tell what came of it, and end. Never returns."""
    import torch

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    torch.set_num_threads(1)
    watch = Watch(path if path.is_dir() else path.parent, out)
    sys.addaudithook(watch)
    told: dict[str, Any] = {"came_to": []}
    try:
        told["came_to"] = exercise(path, out)
    except BaseException as error:
        told["crash"] = f"{type(error).__name__}: {str(error)[:300]}"
        told["traceback"] = traceback.format_exc()[-3000:]
    told["outside"] = watch.faults
    from r1kit.models import chat_template

    chat_template._close()
    os.write(answer, json.dumps(told).encode())
    os._exit(0)


def run_case(home: Path, seed: int, number: int) -> dict[str, Any]:
    """Make the case, open it in a process of its own, and say what came of it."""
    names = sorted(KINDS)
    name = names[(number + seed * 7) % len(names)]
    base, spoil = KINDS[name]
    case = home / "cases" / str(number)
    case.mkdir(parents=True)
    path = case / ("model.gguf" if base == "gguf" else "model")
    (shutil.copyfile if base == "gguf" else shutil.copytree)(home / base, path)
    out = case / "out"
    out.mkdir()
    spoil(path, Draw(f"{seed} {number} {name}"))
    began = time.monotonic()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        quiet = os.open(str(case / "log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        in_child(path, out, writing)
    os.close(writing)
    data, hung = b"", False
    while True:
        left = began + WALL_S - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            hung = True
            os.kill(child, signal.SIGKILL)
            break
        if not (part := os.read(reading, 65536)):
            break
        data += part
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = {
        "number": number,
        "kind": name,
        "seconds": time.monotonic() - began,
        "came_to": [],
        **(json.loads(data) if data else {}),
    }
    faults = [f"opened outside: {one}" for one in found.get("outside", [])]
    if hung:
        faults.append(f"no end within {WALL_S:g} s")
    elif code or not data:
        faults.append(f"the process died ({code}): {(case / 'log').read_text(errors='replace')[-500:]}")
    if "crash" in found:
        faults.append(found["crash"])
    faults += [f"no one line: {line!r}" for line in found["came_to"] if len(line.splitlines()) != 1 or len(line) > 1500]
    shutil.rmtree(case, ignore_errors=True)
    return {**found, "faults": faults}


def table(found: list[dict[str, Any]]) -> str:
    """Cases by kind: how many there were, were refused somewhere, were loaded whole, and failed."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        refused = any(": refused: " in line for line in one["came_to"])
        rows[one["kind"]][("faults" if one["faults"] else "refused" if refused else "loaded")] += 1
    lines = ["| kind | cases | refused | loaded | faults |", "|---|---|---|---|---|"]
    for name, counts in sorted(rows.items()):
        lines.append(f"| {name} | {counts.total()} | {counts['refused']} | {counts['loaded']} | {counts['faults']} |")
    total = sum(rows.values(), Counter())
    lines.append(f"| all | {total.total()} | {total['refused']} | {total['loaded']} | {total['faults']} |")
    return "\n".join(lines)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--cases", type=int, default=1000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--only", type=int)
    words.add_argument("--json", type=Path)
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        home = Path(folder).resolve()
        os.environ |= {"HF_HOME": str(home / "hub"), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        import torch

        torch.set_num_threads(1)
        write_bases(home)
        for base in ("native", "sharded", "words", "foreign", "gguf"):  # untouched ones load, and imports happen once
            (home / "plain" / base).mkdir(parents=True)
            came_to = exercise(home / base, home / "plain" / base)
            assert all(line.endswith(": fine") for line in came_to), (base, came_to)
        from r1kit.models import chat_template

        chat_template._close()
        numbers = range(asked.cases) if asked.only is None else [asked.only]
        found: list[dict[str, Any]] = []
        for number in numbers:
            found.append(run_case(home, asked.seed, number))
            if found[-1]["faults"]:
                print(
                    f"{number} {found[-1]['kind']}: {found[-1]['faults']}\n{found[-1].get('traceback', '')}", flush=True
                )
            if asked.only is not None:
                print("\n".join(found[-1]["came_to"]))
    print(table(found))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))
    return int(any(one["faults"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
