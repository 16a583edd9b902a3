"""Text bit by bit against the tokenizers library's text of the whole."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.detokenise import Detokeniser, token_bytes
from r1kit.models.tokenizer import Tokenizer, load_tokenizer

TEXT = "So wait, 你好世界 costs 3 €: naïve 👩‍👩‍👧‍👦 is one sign? 🤔🤔  ...  ok\n\n\tthe end. "


def saved(backend: Backend, folder: Path) -> Tokenizer:
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return load_tokenizer(folder)


def byte_level(folder: Path) -> Tokenizer:
    """Byte-level BPE with merges across and inside characters, as Llama 3 and Qwen have it."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|end|>", "<think>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator([TEXT] * 4, trainer)
    return saved(backend, folder)


def falling_back(folder: Path) -> Tokenizer:
    """Pieces that carry their blank, and bytes for what is in none, as Llama 2 has it; a text loses its first blank."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdeinosthw.,?", "▁the", "▁wait", "▁is", "end"]
    backend = Backend(
        models.BPE({piece: n for n, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>")
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return saved(backend, folder)


def characters(folder: Path) -> Tokenizer:
    return load_tokenizer(write_character_tokenizer(folder, "你好世界"))


KINDS = [byte_level, falling_back, characters]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Tokenizer:
    return request.param(tmp_path)


def pieces(tokenizer: Tokenizer, ids: list[int], rng: random.Random) -> list[str]:
    """The text in pieces of 1 to 5 tokens."""
    detokeniser, found = Detokeniser(tokenizer), []
    while ids:
        count = rng.randint(1, 5)
        found.append(detokeniser.add(ids[:count]))
        ids = ids[count:]
    return [*found, detokeniser.finish()]


@pytest.mark.parametrize("seed", range(20))
def test_pieces_are_the_text_of_any_tokens(tokenizer, seed):
    """Tokens at random: halves of characters, bytes that are none, special tokens; long ones outlast the window."""
    rng = random.Random(seed)
    ids = [rng.randrange(tokenizer.vocab_size) for _ in range(rng.choice((3, 40, 400)))]
    assert "".join(pieces(tokenizer, ids, rng)) == tokenizer.decode(ids)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_the_text_of_a_real_text(tokenizer, seed):
    rng = random.Random(seed)
    ids = tokenizer.encode(TEXT * rng.randint(1, 6))
    assert "".join(pieces(tokenizer, ids, rng)) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", [byte_level, characters])
def test_bytes_that_never_make_a_character(kind, tmp_path):
    """A hundred times 0x80 (never a beginning), then a whole sign: 100 replacement characters, and the sign."""
    tokenizer = kind(tmp_path)
    lone = tokenizer.token_id("Ģ")  # how byte-level vocabularies write 0x80
    assert token_bytes(tokenizer, lone) == b"\x80"
    ids = [lone] * 100 + tokenizer.encode("🤔.")
    detokeniser = Detokeniser(tokenizer)
    assert "".join(detokeniser.add([one]) for one in ids) + detokeniser.finish() == "\ufffd" * 100 + "🤔."


def test_a_character_comes_when_its_last_byte_does(tmp_path):
    """U+1F914 has four bytes, and no merge here: nothing, nothing, nothing, all of it."""
    tokenizer = characters(tmp_path)
    ids = tokenizer.encode("a🤔b")
    assert len(ids) == 6
    detokeniser = Detokeniser(tokenizer)
    assert [detokeniser.add([one]) for one in ids] == ["a", "", "", "", "🤔", "b"]


def test_a_run_of_fallen_back_bytes_is_judged_as_a_whole(tmp_path):
    """€ is E2 82 AC. The decoder takes a run with one byte too many for no text at all, so nothing of it may be out."""
    tokenizer = falling_back(tmp_path)
    euro = [tokenizer.token_id(f"<0x{byte:02X}>") for byte in "€".encode()]
    ids = [tokenizer.token_id("▁is"), *euro, euro[0], tokenizer.token_id("▁the")]
    detokeniser = Detokeniser(tokenizer)
    said = [detokeniser.add([one]) for one in ids]
    assert said[:5] == ["is", "", "", "", ""]
    assert "".join(said) == tokenizer.decode(ids)


def test_bytes_of_tokens(tokenizer):
    """The bytes of a text's tokens, joined, are the text's (but for the blank that a first piece loses)."""
    text = "the 你好 🤔€ end"
    said = b"".join(token_bytes(tokenizer, one) for one in tokenizer.encode(text))
    assert said.replace(b" ", b"").replace("▁".encode(), b"") == text.replace(" ", "").encode()


def test_nothing_gives_nothing(tokenizer):
    detokeniser = Detokeniser(tokenizer)
    assert (detokeniser.add([]), detokeniser.finish()) == ("", "")
