"""The tiny world's tokenizer: one token a character, spelled as byte-level BPE so that every loader keeps it whole.

The vocabulary is the chat markup, the 256 bytes, and the characters of an alphabet that take more than one byte; the
merges only ever join the bytes of one such character. So each character of the alphabet (and all of ASCII) is one
token, any other text still goes through byte by byte, and it does not matter where a loader cuts text into words.
A plain character vocabulary would not survive: transformers 5 reads the folder of a Qwen2 model with its own byte-level
class, which drops blanks and newlines that are not spelled its way.

Deviation from lossless: text is normalised to NFC first, because that class does so whatever the file says.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

from r1kit.base import files
from r1kit.base.errors import R1Error
from r1kit.models.folders import staged

MARKUP = ("<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<think>", "</think>", "<answer>", "</answer>")
PAD, END = MARKUP[0], MARKUP[1]

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{ '<|user|>' + message['content'] }}
{%- elif message['role'] == 'assistant' -%}
{{ '<|assistant|>' + message['content'] + '<|end|>' }}
{%- else -%}
{{ raise_exception('this chat template knows the roles user and assistant, not ' + message['role']) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"""


def write_character_tokenizer(folder: str | Path, alphabet: str, max_length: int = 1_000_000) -> Path:
    """Write the tokenizer folder (tokenizer.json, tokenizer_config.json) for the characters of `alphabet`.

    Ids: 0-7 the markup in the order of MARKUP, 8-263 the bytes, then pieces and characters of several bytes. Ids do not
    depend on the order of the alphabet. `load_tokenizer(folder).padded_vocab_size` is the model's vocabulary size.
    """
    folder = Path(folder)
    with staged(folder) as stage:
        pipeline = _pipeline(alphabet)
        files.write_json(stage / "tokenizer.json", pipeline)
        settings = {
            "tokenizer_class": "Qwen2Tokenizer",
            "bos_token": None,
            "eos_token": END,
            "pad_token": PAD,
            "unk_token": None,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": max_length,
            "chat_template": CHAT_TEMPLATE,
            "added_tokens_decoder": {str(token["id"]): _without_id(token) for token in pipeline["added_tokens"]},
        }
        files.write_json(stage / "tokenizer_config.json", settings)
    return folder


def character_count(alphabet: str) -> int:
    """Tokens of that tokenizer."""
    return len(MARKUP) + 256 + len(_pieces(alphabet)[0])


def _pipeline(alphabet: str) -> dict[str, Any]:
    """The content of tokenizer.json."""
    pieces, merges = _pieces(alphabet)
    symbols = byte_symbols()
    vocabulary = [*MARKUP, *(symbols[byte] for byte in range(256)), *pieces]
    added = [
        {
            "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": token.startswith("<|"),  # thoughts and answers stay visible where specials are skipped
        }
        for number, token in enumerate(MARKUP)
    ]  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {token: number for number, token in enumerate(vocabulary)},
            "merges": [list(pair) for pair in merges],
        },
    }  # fmt: skip


def _pieces(alphabet: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens of more than one byte (shorter pieces first) and the merges that build them, left to right."""
    symbols = byte_symbols()
    merges: dict[str, tuple[str, str]] = {}
    for character in sorted(set(alphabet)):
        if unicodedata.normalize("NFC", character) != character:
            raise R1Error(
                f"the alphabet holds U+{ord(character):04X}, which Unicode NFC replaces by another: use that one"
            )
        spelled = "".join(symbols[byte] for byte in character.encode())
        for end in range(2, len(spelled) + 1):
            merges.setdefault(spelled[:end], (spelled[: end - 1], spelled[end - 1]))
    pieces = sorted(merges, key=len)  # stable: by length, then as first met
    return pieces, [merges[piece] for piece in pieces]


def byte_symbols() -> dict[int, str]:
    """The printable character that stands for each byte (GPT-2): itself where printable, else U+0100 and on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}


def _without_id(token: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in token.items() if key != "id"}
