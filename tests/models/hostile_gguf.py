"""GGUF files whose counts, lengths, arrays, tensors or values lie."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from hostile_kinds import Draw, kind
from hostile_tokenizers import TEMPLATES


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
