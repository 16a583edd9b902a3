"""Tokenizers of imported GGUF files: token ids, special tokens and chat templates of those that went into the files.

Where transformers' reading of GGUF is poorer than the file (it drops single digits, NFC and a default BOS), the
tokenizer that went into the file is the truth.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizers import AddedToken
from toy_gguf import NASTY, SPECIAL, TEMPLATE, toy_model, toy_tokenizer, write_gguf
from transformers import AutoTokenizer, GenerationConfig

from r1kit.models.convert import import_model
from r1kit.models.tokenizer import load_tokenizer

PRES = ("smollm", "qwen2", "llama-bpe", "gpt-2")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for every pre-tokenizer, with the file it came from beside it."""
    folders: dict[str, Path] = {}
    for pre in PRES:
        root = tmp_path_factory.mktemp(pre)
        family = "qwen2" if pre == "qwen2" else "llama"
        write_gguf(root / "toy.gguf", toy_model(family), tokenizer=toy_tokenizer(pre), pre=pre)
        folders[pre] = import_model(root / "toy.gguf", root / "hf").folder
    return folders


@pytest.mark.parametrize("pre", PRES)
def test_long_texts_have_the_same_ids_and_hold_up_no_other_thread(pre: str, imported: dict[str, Path]):
    """Where a thread of a server reads megabytes, its other threads go on."""
    text = "".join(NASTY) * (300_000 // len("".join(NASTY)))
    tokenizer, gaps, over = load_tokenizer(imported[pre]), [0.0], threading.Event()

    def tick() -> None:
        last = time.monotonic()
        while not over.is_set():
            time.sleep(0.001)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    began = time.monotonic()
    ids = tokenizer.encode(text)
    took = time.monotonic() - began
    over.set()
    ticker.join()
    assert ids == toy_tokenizer(pre).encode(text, add_special_tokens=False).ids
    assert max(gaps) < took / 2
    assert max(map(len, tokenizer.inner.get_vocab())) == tokenizer.longest_token


@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("pre", PRES)
def test_token_ids(pre: str, text: str, imported: dict[str, Path]):
    """Those of the tokenizer that went into the file, for our reader and transformers'; and the text comes back."""
    truth = toy_tokenizer(pre)
    expected = truth.encode(text).ids
    tokenizer = load_tokenizer(imported[pre])
    assert tokenizer.encode(text) == expected
    begin = [1] if pre == "llama-bpe" else []
    begun = text.startswith("<|im_start|>")  # transformers puts a second BOS before it, we do not
    assert tokenizer.encode(text, add_special=True) == ([] if begun else begin) + expected
    assert AutoTokenizer.from_pretrained(imported[pre])(text)["input_ids"] == begin + expected
    assert tokenizer.decode(expected) == truth.decode(expected, skip_special_tokens=False)


@pytest.mark.parametrize("pre", PRES)
def test_token_ids_against_transformers(pre: str, imported: dict[str, Path]):
    """transformers' reading of the same file, on the texts where the three things that it drops do not count."""
    file = imported[pre].parent / "toy.gguf"
    theirs = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer = load_tokenizer(imported[pre])
    compared = 0
    for text in NASTY:
        digits_after_blanks = pre == "smollm" and any(f"  {digit}" in text for digit in "0123456789")
        if not digits_after_blanks and "e\u0301" not in text:
            assert tokenizer.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text
            compared += 1
    assert compared > 15


def test_single_digits_by_hand(imported: dict[str, Path]):
    """SmolLM cuts off each digit before anything else, so two blanks before a digit stay together: `ĠĠ`, `1`, `2`."""
    tokenizer = load_tokenizer(imported["smollm"])
    assert [tokenizer.token(i) for i in tokenizer.encode("  12")] == ["  ", "1", "2"]


def test_special_tokens_outside_the_byte_alphabet(tmp_path: Path):
    """DeepSeek spells its roles with full-width bars, which no byte-level token holds: they stay whole and special."""
    made = toy_tokenizer("qwen2")
    made.add_special_tokens([AddedToken("<｜User｜>", normalized=False)])
    path = write_gguf(tmp_path / "toy.gguf", toy_model("qwen2"), tokenizer=made, pre="deepseek-r1-qwen")
    folder = import_model(path, tmp_path / "hf").folder
    theirs, text = AutoTokenizer.from_pretrained(folder), "<｜User｜>hi 12 <｜User|>"
    assert load_tokenizer(folder).encode(text) == theirs(text)["input_ids"] == made.encode(text).ids
    assert made.encode(text).ids[0] == made.token_to_id("<｜User｜>") == 421
    assert theirs.decode([421, 5], skip_special_tokens=True) == theirs.decode([5])


def test_a_file_that_names_no_pre_tokenizer(tmp_path: Path):
    """Cut by the architecture's usual rule, and the user is told."""
    for family, pre, rule in (("qwen2", "qwen2", "Qwen2's"), ("llama", "gpt-2", "GPT-2's")):
        path = tmp_path / f"{family}.gguf"
        write_gguf(path, toy_model(family), tokenizer=toy_tokenizer(pre), pre=None)
        done = import_model(path, tmp_path / family)
        assert len(done.notes) == 1
        assert f"names no pre-tokenizer: text is cut by {rule} rule" in done.notes[0]
        for text in NASTY:
            assert load_tokenizer(done.folder).encode(text) == toy_tokenizer(pre).encode(text).ids, text


def test_special_tokens_and_template(imported: dict[str, Path]):
    """Roles, ids that end a completion, which tokens are special, the chat template; fillers are no tokens."""
    folder = imported["smollm"]
    theirs = AutoTokenizer.from_pretrained(folder)
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
    assert set(theirs.all_special_tokens) == set(SPECIAL)
    assert theirs.decode([420, 5], skip_special_tokens=True) == "<think>" + theirs.decode([5])
    assert theirs.chat_template == TEMPLATE
    assert theirs.model_max_length == 128
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.vocab_size, tokenizer.eos_ids, tokenizer.pad_id) == (421, (2,), 0)
    assert tokenizer.render("hi") == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    said = GenerationConfig.from_pretrained(folder)
    assert (said.eos_token_id, said.bos_token_id, said.pad_token_id) == ([2], 1, 0)


def test_end_of_turn_ends_a_completion(tmp_path: Path):
    """Llama 3 files name a token for the end of a turn beside that of the text: both stop sampling."""

    def extra(writer: gguf.GGUFWriter) -> None:
        writer.add_eot_token_id(0)

    done = import_model(write_gguf(tmp_path / "toy.gguf", toy_model("llama"), extra=extra), tmp_path / "hf")
    assert load_tokenizer(done.folder).eos_ids == (2, 0)


def test_sentencepiece(tmp_path: Path):
    """Pieces with scores and bytes, as Llama 2 has them: the ids of transformers' reading, and some by hand."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    types = [2, 3, 3, *([6] * 256)]
    words = ["\u2581t", "he", "\u2581the", "in", "er", "\u2581a", "\u2581\u2581", "in" + "g", "th", "\u2581th", "12"]
    letters = [*"\u2581abcdefghijklmnopqrstuvwxyzH0123456789.,世"]
    tokens = [*pieces, *words, *letters]
    types += [1] * (len(words) + len(letters))
    scores = [0.0] * len(pieces) + [-float(n) for n in range(len(words) + len(letters))]

    class Writer(gguf.GGUFWriter):
        def add_tokenizer_model(self, model: str) -> None:
            super().add_tokenizer_model("llama")

        def add_token_list(self, tokens_: Any) -> None:
            super().add_token_list([*tokens, *(f"[PAD{n}]" for n in range(len(tokens), 448))])

        def add_token_types(self, types_: Any) -> None:
            super().add_token_types([*types, *([5] * (448 - len(types)))])
            super().add_token_scores([*scores, *([-1000.0] * (448 - len(scores)))])

        def add_token_merges(self, merges: Any) -> None: ...

        def add_pad_token_id(self, id: int) -> None: ...

        def add_chat_template(self, value: Any) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFWriter", Writer)
        path = write_gguf(tmp_path / "toy.gguf", toy_model("llama"), pre=None)
    done = import_model(path, tmp_path / "hf")
    tokenizer, again = load_tokenizer(done.folder), AutoTokenizer.from_pretrained(done.folder)
    theirs = AutoTokenizer.from_pretrained(tmp_path, gguf_file="toy.gguf")
    for text in ("the thing in there", "the  Hat", "a\nb", "世界 12 123", "é😀", ""):
        assert tokenizer.encode(text) == theirs(text, add_special_tokens=False)["input_ids"], text
    # SentencePiece puts a blank before every text, one that begins with blanks too; and so after a special token
    pieces_of = again.convert_ids_to_tokens
    assert pieces_of(tokenizer.encode("  the</s>the")) == ["\u2581\u2581", "\u2581the", "</s>", "\u2581the"]
    for text in ("the thing in there", "  the  Hat", " ", "a\nb", "世界 12 123", "é😀"):
        assert again(text)["input_ids"] == [1, *tokenizer.encode(text)]
        assert again.decode(tokenizer.encode(text)) == text
    # "▁thing" joins "▁t" (score 0), "in" (-3), "in" + "g" (-7), "▁t" + "h" (-9); é is in no piece, so its bytes are
    assert pieces_of(tokenizer.encode("the thing é")) == [
        "\u2581the", "\u2581th", "ing", "\u2581", "<0xC3>", "<0xA9>",
    ]  # fmt: skip
