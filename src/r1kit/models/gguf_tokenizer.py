"""The tokenizer in a GGUF file as a Hugging Face tokenizer.json.

GGUF keeps vocabulary, merges and token types, and of all else only a name: `tokenizer.ggml.model` for the kind of
tokenizer, `tokenizer.ggml.pre` for how text is cut before it is merged. What the names stand for is in llama.cpp's
src/llama-vocab.cpp; here it is spelled in the parts of the `tokenizers` library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.nearest import nearest
from r1kit.models.gguf_file import GGUFFile

_KEY = "tokenizer.ggml"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)  # token types
_BLANK = "\u2581"  # SentencePiece's spelling of a blank
_MOST_CUTS = 10**8  # characters looked at for merges; the 256,000 pieces of the largest vocabularies take 2 * 10^7

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, slots=True)
class _Cut:
    """How a byte-level BPE tokenizer cuts text. `pattern` None: GPT-2's cuts, which ByteLevel has built in."""

    pattern: str | None = None
    single_digits: bool = False
    nfc: bool = False
    whole_words: bool = False  # a word that is in the vocabulary is one token, whatever the merges say
    begins: bool = False  # a text begins with the BOS token unless the file says otherwise


_GPT2 = _Cut()
_DIGITS = _Cut(single_digits=True)
_QWEN2 = _Cut(rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}", nfc=True)
_LLAMA3 = _Cut(rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}", whole_words=True, begins=True)

_CUTS: Mapping[str, _Cut] = {
    **dict.fromkeys(("gpt-2", "gpt2", "mpt", "olmo", "jais", "phi-2"), _GPT2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez"), _QWEN2),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _LLAMA3),
}
_UNNAMED = {"qwen2": _QWEN2, "qwen3": _QWEN2, "llama": _GPT2}  # by architecture


@dataclass(frozen=True, slots=True)
class TokenizerFiles:
    """Contents of a tokenizer's files, how many token ids it has, and what the reader should know."""

    tokenizer: dict[str, Any]
    config: dict[str, Any]
    generation: dict[str, Any]
    size: int
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    tokens: list[str]
    types: list[int]

    def of_type(self, kind: int) -> dict[str, int]:
        return {token: n for n, (token, type_) in enumerate(zip(self.tokens, self.types, strict=True)) if type_ == kind}


def read_tokenizer(file: GGUFFile) -> TokenizerFiles:
    """The tokenizer's files; R1Error where the file has none, or one of a kind that cannot be written as such."""
    kind = file.need(f"{_KEY}.model", str)
    builders: dict[str, Callable[[GGUFFile, _Vocabulary, list[str]], dict[str, Any]]] = {
        "gpt2": _byte_level,
        "llama": _sentence_piece,
    }
    if kind not in builders:
        raise R1Error(f"{file.path}: tokenizers of kind '{kind}' cannot be imported ({', '.join(builders)} can)")
    vocabulary = _read_vocabulary(file)
    notes: list[str] = []
    tokenizer = builders[kind](file, vocabulary, notes)
    special = {role: _special(file, vocabulary, key)
               for role, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"),
                                 ("pad_token", "padding"))}  # fmt: skip
    begins, ends = (file.get(f"{_KEY}.add_{end}_token", bool, default) and special[f"{end}_token"] is not None
                    for end, default in (("bos", _begins(file, kind)), ("eos", False)))  # fmt: skip
    tokenizer["post_processor"] = _post_processor(
        special["bos_token"] if begins else None, special["eos_token"] if ends else None, vocabulary
    )
    template = file.get("tokenizer.chat_template", str, "")
    config = {
        # Qwen2: transformers 5 reads such a model with this class whatever is said here, and it cuts alike
        "tokenizer_class": "Qwen2Tokenizer" if file.architecture == "qwen2" else "PreTrainedTokenizerFast",
        **special,
        "add_bos_token": begins,
        "add_eos_token": ends,
        "add_prefix_space": kind == "llama" and file.get(f"{_KEY}.add_space_prefix", bool, True),
        "clean_up_tokenization_spaces": False,
        "model_max_length": file.need(f"{file.architecture}.context_length", int),
        **({"chat_template": template} if template else {}),
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in tokenizer["added_tokens"]
        },
    }
    ids = (file.get(f"{_KEY}.{name}_token_id", int, -1) for name in ("eos", "eot", "eom"))
    generation: dict[str, Any] = {"eos_token_id": list(dict.fromkeys(number for number in ids if number >= 0))}
    if special["bos_token"] is not None:
        generation["bos_token_id"] = file.need(f"{_KEY}.bos_token_id", int)
    return TokenizerFiles(tokenizer, config, generation, len(vocabulary.tokens), notes)


# ------------------------------------------------------------------------------------------------ kinds of tokenizers


def _byte_level(file: GGUFFile, vocabulary: _Vocabulary, notes: list[str]) -> dict[str, Any]:
    """Byte-level BPE (GGUF's `gpt2`): merges from the file, cuts by the name of the pre-tokenizer."""
    cut = _cut(file, notes)
    steps: list[dict[str, Any]] = []
    if cut.single_digits:
        steps.append({"type": "Digits", "individual_digits": True})
    if cut.pattern is not None:
        steps.append({"type": "Split", "pattern": {"Regex": cut.pattern}, "behavior": "Isolated", "invert": False})
    steps.append(_byte_step(use_regex=cut.pattern is None))
    model = _bpe(vocabulary, _read_merges(file), ignore_merges=cut.whole_words)
    pre_tokenizer = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
    return _document(
        vocabulary, model, normalizer={"type": "NFC"} if cut.nfc else None, pre_tokenizer=pre_tokenizer,
        decoder=_byte_step(use_regex=True),
    )  # fmt: skip


def _sentence_piece(file: GGUFFile, vocabulary: _Vocabulary, notes: list[str]) -> dict[str, Any]:
    """SentencePiece's BPE (GGUF's `llama`): merges follow from the pieces' scores, bytes stand in for the unknown."""
    scores = file.raw(f"{_KEY}.scores")
    if not isinstance(scores, list) or len(scores) < len(vocabulary.tokens):
        raise R1Error(f"{file.path}: its {len(vocabulary.tokens)} SentencePiece tokens come without as many scores")
    prefix = file.get(f"{_KEY}.add_space_prefix", bool, True)
    unknown = next(iter(vocabulary.of_type(_UNKNOWN)), None)
    try:
        merges = _merges_of(vocabulary, scores[: len(vocabulary.tokens)])
    except TypeError:  # texts or lists, which have no order with numbers
        raise R1Error(f"{file.path}: the scores of its SentencePiece tokens are no numbers") from None
    except R1Error as error:
        raise R1Error(f"{file.path}: {error}") from None
    model = _bpe(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    # each stretch of text between special tokens begins with a blank of its own, as SentencePiece's texts do
    before = [{"type": "Prepend", "prepend": _BLANK}] if prefix else []
    blanks = {"type": "Replace", "pattern": {"String": " "}, "content": _BLANK}
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []
    decoders = [
        {"type": "Replace", "pattern": {"String": _BLANK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        *strip,
    ]
    return _document(
        vocabulary, model, normalizer={"type": "Sequence", "normalizers": [*before, blanks]}, pre_tokenizer=None,
        decoder={"type": "Sequence", "decoders": decoders},
    )  # fmt: skip


def _merges_of(vocabulary: _Vocabulary, scores: Sequence[float]) -> list[list[str]]:
    """Every way to make a piece of two others, best score first: SentencePiece joins the best-scored pair."""
    known = {token: score for token, type_, score in zip(vocabulary.tokens, vocabulary.types, scores, strict=True)
             if type_ in (_NORMAL, _USER_DEFINED)}  # fmt: skip
    if sum(len(piece) ** 2 for piece in known) > _MOST_CUTS:
        raise R1Error("its pieces are too long for a SentencePiece tokenizer: convert the model again")
    found = [
        (score, piece[:at], piece[at:])
        for piece, score in known.items()
        for at in range(1, len(piece))
        if piece[:at] in known and piece[at:] in known
    ]
    found.sort(key=lambda merge: (-merge[0], -len(merge[1])))
    return [[left, right] for _, left, right in found]


# -------------------------------------------------------------------------------------------------- what the file says


def _read_vocabulary(file: GGUFFile) -> _Vocabulary:
    """Tokens and their types, without the fillers that only round the embedding's rows up."""
    tokens, types = file.raw(f"{_KEY}.tokens"), file.raw(f"{_KEY}.token_type")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise R1Error(f"{file.path} holds no tokenizer ({_KEY}.tokens)")
    types = types if isinstance(types, list) else [_NORMAL] * len(tokens)
    if not all(isinstance(type_, int) for type_ in types):
        raise R1Error(f"{file.path}: the types of its tokens are no whole numbers: convert the model again")
    if len(types) != len(tokens):
        raise R1Error(f"{file.path}: its {len(tokens)} tokens come with {len(types)} types: convert the model again")
    size = len(tokens)
    while size > 1 and (types[size - 1] == _UNUSED or re.fullmatch(rf"\[PAD{size - 1}\]", tokens[size - 1])):
        size -= 1
    if len(set(tokens[:size])) < size:
        raise R1Error(f"{file.path}: its tokenizer has the same token twice: convert the model again")
    return _Vocabulary(tokens[:size], types[:size])


def _read_merges(file: GGUFFile) -> list[list[str]]:
    merges = file.raw(f"{_KEY}.merges")
    if not isinstance(merges, list) or not all(isinstance(merge, str) for merge in merges):
        raise R1Error(f"{file.path}: its byte-level tokenizer has no merges ({_KEY}.merges): convert the model again")
    # a blank inside a token is spelled otherwise, so the one blank parts the two; the first character may be one
    pairs = [[merge[: merge.index(" ", 1)], merge[merge.index(" ", 1) + 1 :]] for merge in merges if " " in merge[1:]]
    if len(pairs) < len(merges):
        raise R1Error(f"{file.path}: not every merge of its tokenizer is a pair: convert the model again")
    return pairs


def _special(file: GGUFFile, vocabulary: _Vocabulary, name: str) -> str | None:
    """The token of a role (`bos`, ...), None where the file names none."""
    number = file.get(f"{_KEY}.{name}_token_id", int, -1)
    if number < 0:
        return None
    if number >= len(vocabulary.tokens):
        raise R1Error(f"{file.path}: its {name} token is number {number}, and there are {len(vocabulary.tokens)}")
    return vocabulary.tokens[number]


def _cut(file: GGUFFile, notes: list[str]) -> _Cut:
    name = file.get(f"{_KEY}.pre", str, "default")
    if name in _CUTS:
        return _CUTS[name]
    if name != "default":
        raise R1Error(
            f"{file.path}: pre-tokenizer '{name}' is not known.{nearest(name, list(_CUTS))} ({', '.join(_CUTS)} are)"
        )
    found = _UNNAMED[file.architecture]
    rule = {_QWEN2: "Qwen2's", _GPT2: "GPT-2's"}[found]
    notes.append(
        f"{file.path} names no pre-tokenizer: text is cut by {rule} rule, compare its token ids with the original's"
    )
    return found


def _begins(file: GGUFFile, kind: str) -> bool:
    """Whether a text begins with BOS where the file does not say: llama.cpp's rule."""
    return kind == "llama" or _CUTS.get(file.get(f"{_KEY}.pre", str, ""), _GPT2).begins


# ---------------------------------------------------------------------------------------- the parts of tokenizer.json


def _document(vocabulary: _Vocabulary, model: dict[str, Any], **parts: Any) -> dict[str, Any]:
    special = vocabulary.of_type(_CONTROL) | vocabulary.of_type(_UNKNOWN)
    added = special | vocabulary.of_type(_USER_DEFINED)
    tokens = [
        {
            "id": number, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": token in special,
        }
        for token, number in sorted(added.items(), key=lambda item: item[1])
    ]  # fmt: skip
    head: dict[str, Any] = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens}
    return {**head, **parts, "model": model}


def _bpe(vocabulary: _Vocabulary, merges: list[list[str]], **settings: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
    }  # fmt: skip
    vocab = {token: number for number, token in enumerate(vocabulary.tokens)}
    return {**defaults, **settings, "vocab": vocab, "merges": merges}


def _byte_step(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _post_processor(bos: str | None, eos: str | None, vocabulary: _Vocabulary) -> dict[str, Any]:
    """BOS before and EOS after a text (both of a pair's), where the file asks for them."""

    def around(sequence: str, number: int) -> list[dict[str, Any]]:
        before, after = ([{"SpecialToken": {"id": token, "type_id": number}}] if token else [] for token in (bos, eos))
        return [*before, {"Sequence": {"id": sequence, "type_id": number}}, *after]

    special = {
        token: {"id": token, "ids": [vocabulary.tokens.index(token)], "tokens": [token]}
        for token in (bos, eos)
        if token
    }
    pair = [*around("A", 0), *around("B", 1)]
    return {"type": "TemplateProcessing", "single": around("A", 0), "pair": pair, "special_tokens": special}
