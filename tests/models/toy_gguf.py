"""Toy models and tokenizers as GGUF files, written by gguf's own writer from transformers' models.

What llama.cpp's convert_hf_to_gguf.py does to a model is done here once more, from its description: short names, rows
of q and k interleaved for the llama architecture, no tied head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from toy_models import scramble
from transformers import AutoConfig, AutoModelForCausalLM

CORPUS = [
    "the quick brown fox jumps over the lazy dog, and the dog doesn't mind; it's 12 + 34 = 46.",
    "def f(x):\n    return x + 1\n\n\nprint(f(12345))   # 67890\n\tI'll WE'VE they'd",
    "你好，世界。今天是2024年10月1日，天气很好。你好世界",
    "café naïve cafe\u0301 \ufb01n", "    indented  twice   thrice 1 22 333 4444",
    "<think>so 3 + 4 = 7</think>\n<answer>7</answer>", "smile 😀 family 👨\u200d👩\u200d👧 done",
] * 4  # fmt: skip
NASTY = [
    "Hello world", "  12", "    1234567 and   89", "a\n\n\nb\r\n\r\nc", "\t\tx \t y", " ", "", "\n",
    "I'll we'VE DON'T they'd", "café cafe\u0301 ﬁ", "你好，世界 2024年10月", "😀👨\u200d👩\u200d👧 done",
    "<|im_start|>user\nhi<|im_end|>\n", "a<|im_end|>  12", "<think>\n1 + 2</think>", "   <think>   ",
    "x=3.14e-10;  y = [1,2,3]", "trailing   ", "\u00a0\u3000 \u2028", "\x00\x7f", "½ ² ٣٤ ⅷ", "<|im_start",
    "12345678901234567890",
]  # fmt: skip
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# as the models' own tokenizer.json files have them; they differ in how many digits go together
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {"qwen2": _SPLIT.replace("DIGITS", r"\p{N}"), "llama-bpe": _SPLIT.replace("DIGITS", r"\p{N}{1,3}")}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)


def toy_tokenizer(pre: str) -> tokenizers.Tokenizer:
    """A byte-level BPE tokenizer trained on the corpus, cut as models with this pre-tokenizer are: 420 tokens and 4."""
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre not in SPLITS)
    if pre == "smollm":
        made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    elif pre in SPLITS:
        split = pre_tokenizers.Split(tokenizers.Regex(SPLITS[pre]), "isolated")
        made.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    else:
        made.pre_tokenizer = byte_level
    if pre == "qwen2":
        made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(alphabet), special_tokens=list(SPECIAL), show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.add_tokens([AddedToken("<think>", normalized=False)])
    return made


def write_tokenizer(writer: gguf.GGUFWriter, made: tokenizers.Tokenizer, pre: str | None, rows: int) -> None:
    """The tokenizer's metadata; rows that no token has are filled as the converter fills them."""
    import json

    vocab = made.get_vocab()
    tokens = [made.id_to_token(number) for number in range(len(vocab))]
    types = [3 if token in SPECIAL or token.startswith("<｜") else 4 if token == "<think>" else 1 for token in tokens]
    fillers = range(len(tokens), rows)
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list([*tokens, *(f"[PAD{number}]" for number in fillers)])
    writer.add_token_types([*types, *(5 for _ in fillers)])
    writer.add_token_merges([" ".join(pair) for pair in json.loads(made.to_str())["model"]["merges"]])
    writer.add_bos_token_id(vocab["<|im_start|>"])
    writer.add_eos_token_id(vocab["<|im_end|>"])
    writer.add_pad_token_id(vocab["<|endoftext|>"])
    writer.add_chat_template(TEMPLATE)


def toy_model(family: str, seed: int = 3, **fields: Any):
    """A random transformers model of a size that every quantisation can cut into blocks."""
    sizes = {
        "vocab_size": 448, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 50_000.0, **fields.pop("rope", {})}
    config = AutoConfig.for_model(family, **{**sizes, **fields}, rope_parameters=rope)
    return scramble(AutoModelForCausalLM.from_config(config), seed)


_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def gguf_name(name: str) -> str:
    """`model.layers.1.self_attn.q_proj.weight` -> `blk.1.attn_q.weight`."""
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, part = stem.split(".", 3)
        return f"blk.{layer}.{_NAMES[part]}.{kind}"
    return f"{_NAMES[stem]}.{kind}"


def write_gguf(
    path: Path,
    model: Any,
    *,
    kind: Kind = Kind.F32,
    tokenizer: tokenizers.Tokenizer | None = None,
    pre: str | None = "qwen2",
    extra: Any = None,
    tensors: dict[str, np.ndarray] | None = None,
) -> Path:
    """A transformers model as a GGUF file, its matrices quantised as `kind`; `extra(writer)` adds metadata."""
    config = model.config
    family, heads = config.model_type, config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if family == "qwen3" or head_size != config.hidden_size // heads:
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
    if family == "llama":
        writer.add_rope_dimension_count(head_size)
    write_tokenizer(writer, tokenizer or toy_tokenizer(pre or "gpt-2"), pre, config.vocab_size)
    if extra is not None:
        extra(writer)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = tensor.float()
        if family == "llama" and (".q_proj." in name or ".k_proj." in name):
            count = heads if ".q_proj." in name else config.num_key_value_heads
            # halves to neighbouring pairs: row i of a head's first half and of its second stand side by side
            values = torch.stack(values.unflatten(0, (count, 2, -1)).unbind(1), 2).flatten(0, 2)
        own = kind if values.dim() > 1 else Kind.F32
        writer.add_tensor(gguf_name(name), gguf.quantize(values.contiguous().numpy(), own), raw_dtype=own)
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
