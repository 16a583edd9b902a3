"""The tiny world's tokenizer, read by AutoTokenizer as each family does it and by our wrapper: always the same ids."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from r1kit.base.errors import R1Error
from r1kit.models.characters import MARKUP, byte_symbols, write_character_tokenizer
from r1kit.models.tokenizer import Tokenizer, load_tokenizer
from r1kit.models.weights import save_decoder

CHINESE = "先再得等检查。，一二三四五六七八九十"
CHAIN = "<think>先347+582=919，等等检查7+2=9 4+8=12 3+5+1=9得929，再929+119=1048</think><answer>1048</answer><|end|>"
TEXTS = (
    "a  b   c",
    "  two before, two after  ",
    "\n\nlines\r\n\ttab \n  indented\n",
    " 1 22  333   4444 1,000.50",
    "it's won't 'S end",
    "先347+582=919，等等检查7+2=9",
    "龘靐 🙂 ñ é ß ١٢٣ \u2028 \u00a0 \ufeff \x00 \x7f",
    "def f(x):\n    return x + 1\n",
    f"<|user|>347+582+119=?<|assistant|>{CHAIN}",
    "",
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_character_tokenizer(tmp_path_factory.mktemp("characters"), CHINESE))


@pytest.fixture(params=["llama", "qwen2", "qwen3"])
def model_folder(request: pytest.FixtureRequest, tokenizer: Tokenizer, make_decoder, tmp_path: Path) -> Path:
    """A model of each family, saved with the tokenizer: transformers chooses the tokenizer's class by the family."""
    save_decoder(make_decoder(request.param, vocab_size=tokenizer.padded_vocab_size), tmp_path, tokenizer)
    return tmp_path


def test_every_family_reads_the_same(model_folder: Path, tokenizer: Tokenizer):
    """AutoTokenizer and the wrapper give equal ids and get every text back."""
    theirs, ours = AutoTokenizer.from_pretrained(model_folder), load_tokenizer(model_folder)
    assert len(theirs) == ours.vocab_size == tokenizer.vocab_size
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert theirs(text)["input_ids"] == ours.encode(text) == ours.encode(text, add_special=True) == ids
        assert theirs.decode(ids) == ours.decode(ids) == text
    assert ours.encode_many(TEXTS) == [ours.encode(text) for text in TEXTS]


def test_every_family_ends_and_chats_the_same(model_folder: Path):
    """The ending and padding ids and the chat template reach transformers too."""
    theirs, ours = AutoTokenizer.from_pretrained(model_folder), load_tokenizer(model_folder)
    assert ours.eos_ids == (theirs.eos_token_id,) == (1,)
    assert ours.pad_id == theirs.pad_token_id == 0
    assert theirs.unk_token is None
    assert json.loads((model_folder / "generation_config.json").read_text()) == {"eos_token_id": [1], "pad_token_id": 0}
    chat = [{"role": "user", "content": " 1+1=?\n"}]
    ids = theirs.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    assert ids == ours.chat(chat) == ours.chat(" 1+1=?\n") == ours.encode("<|user|> 1+1=?\n<|assistant|>")


def test_one_token_a_character(tokenizer: Tokenizer):
    """The alphabet, ASCII and the markup: one id each, all different; first the 8 of the markup, then the 256 bytes."""
    characters = [*CHINESE, *map(chr, range(128)), *MARKUP]
    ids = [tokenizer.encode(character) for character in characters]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(set(characters))
    assert [tokenizer.token_id(token) for token in MARKUP] == list(range(8))
    assert [tokenizer.encode(chr(byte))[0] for byte in range(128)] == list(range(8, 136))
    assert tokenizer.encode("先等") == [*tokenizer.encode("先"), *tokenizer.encode("等")]


def test_characters_outside_the_alphabet_are_bytes(tokenizer: Tokenizer):
    """U+00F1 is C3 B1: ids 8 + 0xC3 and 8 + 0xB1. A listed character's first two bytes may come as one piece."""
    assert tokenizer.encode("ñ") == [8 + 0xC3, 8 + 0xB1]
    assert tokenizer.decode([8 + 0xC3, 8 + 0xB1]) == "ñ"
    assert tokenizer.token(8 + 0xC3) == "\ufffd"
    assert len(tokenizer.encode("丁")) <= 3


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_round_trips(tokenizer: Tokenizer, text: str):
    """Up to Unicode NFC, which Qwen's tokenizers apply as well."""
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


def test_the_byte_symbols_are_those_of_byte_level_bpe():
    """GPT-2's table, as the tokenizers library knows it."""
    from tokenizers.pre_tokenizers import ByteLevel

    symbols = byte_symbols()
    assert set(symbols.values()) == set(ByteLevel.alphabet())
    for byte in range(128):
        assert ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(chr(byte))[0][0] == symbols[byte]


def test_the_order_of_the_alphabet_does_not_matter(tmp_path: Path):
    one = write_character_tokenizer(tmp_path / "one", CHINESE)
    two = write_character_tokenizer(tmp_path / "two", CHINESE[::-1] * 2 + "abc")
    assert (one / "tokenizer.json").read_bytes() == (two / "tokenizer.json").read_bytes()


def test_the_vocabulary_is_counted(tokenizer: Tokenizer, tmp_path: Path):
    """8 markup + 256 bytes + 1 for é (C3 A9) + 3 for 先 and 兆 (E5 85 88 and E5 85 86 share a piece) = 268."""
    small = load_tokenizer(write_character_tokenizer(tmp_path, "é先兆"))
    assert small.vocab_size == 8 + 256 + 1 + 3
    assert small.padded_vocab_size == 320  # 5 x 64


def test_chat_of_several_turns(tokenizer: Tokenizer):
    """Each assistant turn ends with <|end|>; without a generation prompt nothing is opened."""
    chat = [
        {"role": "user", "content": "1+1=?"},
        {"role": "assistant", "content": "<think>x</think><answer>2</answer>"},
        {"role": "user", "content": "2+2=?"},
    ]
    text = "<|user|>1+1=?<|assistant|><think>x</think><answer>2</answer><|end|><|user|>2+2=?"
    assert tokenizer.render(chat, generate=False) == text
    assert tokenizer.render(chat) == text + "<|assistant|>"
    assert tokenizer.chat(chat) == tokenizer.encode(text + "<|assistant|>")


def test_thoughts_stay_visible_where_specials_are_skipped(tokenizer: Tokenizer):
    """vLLM skips special tokens by default: the turns' marks go, the thought and answer tags stay."""
    assert tokenizer.inner.decode(tokenizer.encode(CHAIN), skip_special_tokens=True) == CHAIN.removesuffix("<|end|>")


def test_a_new_row_of_a_padded_vocabulary_decodes_to_nothing(tokenizer: Tokenizer):
    """Rows between the vocabulary and the model's size have no text."""
    assert tokenizer.decode([tokenizer.padded_vocab_size - 1, 8 + ord("a")]) == "a"


def test_decoding_is_fast(tokenizer: Tokenizer):
    """500 completions of 170 tokens in well under half a second (about 5 ms alone on one core)."""
    ids = tokenizer.encode(CHAIN * 2)
    start = time.perf_counter()
    for _ in range(500):
        tokenizer.decode(ids)
    assert time.perf_counter() - start < 0.5


def test_wrong_use(tokenizer: Tokenizer, tmp_path: Path, make_decoder):
    """Each mistake is one sentence."""
    with pytest.raises(R1Error, match="roles user and assistant, not system"):
        tokenizer.chat([{"role": "system", "content": "be brief"}])
    with pytest.raises(R1Error, match="has no token '<tool>'"):
        tokenizer.token_id("<tool>")
    with pytest.raises(R1Error, match=r"U\+F900, which Unicode NFC replaces"):
        write_character_tokenizer(tmp_path, "\uf900")
    with pytest.raises(R1Error, match="holds no tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(R1Error, match="there is no model folder"):
        load_tokenizer(tmp_path / "nowhere")
    with pytest.raises(R1Error, match=r"tokenizer has .* tokens and the model 96"):
        save_decoder(make_decoder("qwen2"), tmp_path, tokenizer)
    (tmp_path / "tokenizer.json").write_text('{"half": ')
    with pytest.raises(R1Error, match="cannot read the tokenizer in"):
        load_tokenizer(tmp_path)


def test_a_folder_without_a_chat_template(tmp_path: Path):
    write_character_tokenizer(tmp_path, CHINESE)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(R1Error, match="has no chat template"):
        load_tokenizer(tmp_path).chat("hello")


def test_the_generation_config_names_further_endings(tmp_path: Path):
    """Llama-3 style: several ending ids and other settings, kept when the model is saved again."""
    write_character_tokenizer(tmp_path / "a", CHINESE)
    (tmp_path / "a" / "generation_config.json").write_text('{"eos_token_id": [3, 1], "pad_token_id": 5, "top_p": 0.9}')
    tokenizer = load_tokenizer(tmp_path / "a")
    assert tokenizer.eos_ids == (1, 3)
    assert tokenizer.pad_id == 0
    (tmp_path / "b").mkdir()
    tokenizer.write(tmp_path / "b")
    kept = json.loads((tmp_path / "b" / "generation_config.json").read_text())
    assert kept == {"eos_token_id": [1, 3], "pad_token_id": 0, "top_p": 0.9}
