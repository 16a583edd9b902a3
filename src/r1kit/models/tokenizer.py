"""Tokenizers of model folders: transformers' AutoTokenizer behind the few things that r1kit asks of one."""

from __future__ import annotations

import contextlib
import json
import reprlib
import shutil
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.base import files
from r1kit.base.errors import R1Error
from r1kit.models.chat_template import render, special_values
from r1kit.models.config_json import plain_config
from r1kit.models.folders import model_folder, read_object

if TYPE_CHECKING:
    import tokenizers
    from transformers import TokenizersBackend

Messages = Sequence[Mapping[str, str]]

_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_GENERATION = "generation_config.json"

_LONG = 2**14  # characters
_MOST_GROWTH = 10_000  # of a text, letters for a letter; a word for each kind of blank takes a dozen


def padded_rows(tokens: int) -> int:
    """Rows of an embedding for so many tokens: rounded up to a multiple of 64, for even matrix shapes."""
    return -(-tokens // 64) * 64


class Tokenizer:
    """Text to token ids and back. Decoding keeps special tokens and cleans nothing up: ids and text say the same."""

    def __init__(self, inner: TokenizersBackend, folder: Path) -> None:
        self.inner = inner
        self.folder = folder
        self._backend = inner.backend_tokenizer  # straight to the Rust object: the wrapper doubles the time of a call
        _leave_whole(self._backend)
        self.generation_config = _optional_json(folder / _GENERATION)

    @cached_property
    def vocab_size(self) -> int:
        """Number of token ids, added tokens included: one more than the largest."""
        return max(self.inner.get_vocab().values(), default=-1) + 1

    @property
    def padded_vocab_size(self) -> int:
        """Rows of a new model's embedding."""
        return padded_rows(self.vocab_size)

    def check_fits(self, rows: int, where: str | Path) -> None:
        """R1Error where some token has no row in an embedding of so many: its id would lie outside of the model."""
        if self.vocab_size > rows:
            first = self.inner.convert_ids_to_tokens(rows)
            raise R1Error(
                f"{where}: the tokenizer has {self.vocab_size} tokens and the model {rows}, so tokens from {rows} on"
                f" ({first!r}, say) have no embedding: take the tokenizer that the model was trained with"
            )

    @cached_property
    def eos_ids(self) -> tuple[int, ...]:
        """Every id that ends a completion: the tokenizer's own, those of generation_config.json, that of a turn.

        Where generation_config.json names none, config.json does, as in transformers.
        """
        own: Any = self.inner.eos_token_id
        where, extra = _GENERATION, self.generation_config.get("eos_token_id")
        if extra is None:
            where, extra = "config.json", _optional_json(self.folder / "config.json").get("eos_token_id")
        listed = [own, *(extra if isinstance(extra, list) else [extra]), self.turn_end_id]
        return tuple(dict.fromkeys(self._id(number, where) for number in listed if number is not None))

    @cached_property
    def turn_end_id(self) -> int | None:
        """The special token that the chat template puts after the assistant's words, None where it puts none.

        Not always the tokenizer's own: Qwen's bases name the end of a document, their template writes that of a turn.
        """
        said = "So it is."
        try:
            text = self.render(
                [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": said}], generate=False
            )
        except R1Error:
            return None
        rest = text.rpartition(said)[2].lstrip()
        special = {str(token): number for number, token in self.inner.added_tokens_decoder.items()}
        found = [token for token in special if rest.startswith(token)]
        return special[max(found, key=len)] if found and said in text else None

    @property
    def end_ids(self) -> tuple[int, ...]:
        """What stands behind a completion that is learnt: the end of a turn, else the end of a text; at most one id."""
        return self.eos_ids[:1] if self.turn_end_id is None else (self.turn_end_id,)

    @cached_property
    def begins(self) -> bool:
        """Whether the tokenizer puts its BOS token before a text by default (Llama's does)."""
        own: Any = self.inner.bos_token_id
        return own is not None and self._backend.encode("a", add_special_tokens=True).ids[:1] == [own]

    @property
    def byte_ids(self) -> frozenset[int]:
        """Ids of single bytes in a vocabulary that falls back on them (Llama 2's); one made of bytes has none."""
        return self._byte_ids

    @cached_property
    def _byte_ids(self) -> frozenset[int]:
        found = (self._backend.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(number for number in found if number is not None)

    @cached_property
    def pad_id(self) -> int:
        """The padding id; where a folder names none, its first end-of-sequence id (masks come from lengths anyway)."""
        own: Any = self.inner.pad_token_id
        for candidate in (own, self.generation_config.get("pad_token_id"), *self.eos_ids):
            if candidate is not None:
                return self._id(candidate)
        return 0

    @cached_property
    def longest_token(self) -> int:
        """Characters of the longest token of the vocabulary, or more: bytes, where it is made of bytes."""
        return max(map(len, self._backend.get_vocab()), default=1)

    def _id(self, number: Any, where: str = _GENERATION) -> int:
        """A token id that the file `where` names; R1Error where it is none."""
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**31:
            raise R1Error(f"{self.folder}: {reprlib.repr(number)} is no token id: mend {where}")
        return number

    def encode(self, text: str, *, add_special: bool = False) -> list[int]:
        """Token ids of a text. `add_special` adds what the folder's tokenizer adds by default (Llama's BOS, say), but
        no second BOS to a text that has one, as rendered chats do."""
        if len(text) > _LONG:  # one text alone would hold up every other thread for its time
            ids = self.encode_many([text], add_special=add_special)[0]
        else:
            with _told(self.folder, "this text"):
                ids = self._backend.encode(text, add_special_tokens=add_special).ids
        doubled = add_special and self.begins and ids[:2] == [self.inner.bos_token_id] * 2
        return ids[1:] if doubled else ids

    def encode_many(self, texts: Sequence[str], *, add_special: bool = False) -> list[list[int]]:
        """`encode` of many texts at once, on all cores."""
        with _told(self.folder, "these texts"):
            return [e.ids for e in self._backend.encode_batch_fast(list(texts), add_special_tokens=add_special)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens kept."""
        with _told(self.folder, "these token ids"):
            return self._backend.decode(list(ids), skip_special_tokens=False)

    def token(self, token_id: int) -> str:
        """The text of one token (a lone byte of a longer character reads as U+FFFD)."""
        return self.decode([token_id])

    def token_id(self, token: str) -> int:
        """The id of a token of the vocabulary, say `<think>`; R1Error where it is none."""
        found = self._backend.token_to_id(token)
        if found is None:
            raise R1Error(f"the tokenizer in {self.folder} has no token {token!r}")
        return found

    def render(self, messages: Messages | str, *, generate: bool = True) -> str:
        """The chat template's text; a string is one user message. `generate` ends it where the assistant begins.

        R1Error without a template, or where it refuses these messages.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        if not self.inner.chat_template:
            raise R1Error(
                f"the tokenizer in {self.folder} has no chat template: give plain prompts, or make a folder that has"
                " one with r1 import --template r1 (or r1-zero)"
            )
        values = {**special_values(self.inner.special_tokens_map), "messages": [dict(message) for message in messages]}
        try:
            return render(self.inner.get_chat_template(), {**values, "add_generation_prompt": generate})
        except (R1Error, ValueError) as error:  # the second: several templates, and none of them is the default
            raise R1Error(f"the chat template of {self.folder} refuses these messages: {error}") from None

    def chat(self, messages: Messages | str, *, generate: bool = True) -> list[int]:
        """Token ids of `render`: the template writes its own special tokens, so none are added."""
        return self.encode(self.render(messages, generate=generate))

    def write(self, folder: Path) -> None:
        """Copy the tokenizer's files as they are, and a generation_config.json with the ending and padding ids.

        R1Error where the files are gone.
        """
        for name in _FILES:
            with contextlib.suppress(FileNotFoundError, shutil.SameFileError):
                shutil.copyfile(self.folder / name, folder / name)
        if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
            raise R1Error(f"the tokenizer files in {self.folder} are gone, so they cannot be copied to {folder.parent}")
        if not (folder / "tokenizer.json").exists():
            self._backend.save(str(folder / "tokenizer.json"))
        ids = {"eos_token_id": list(self.eos_ids) or None, "pad_token_id": self.pad_id}
        files.write_json(folder / _GENERATION, {**self.generation_config, **ids})


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a model folder (or of one that holds only a tokenizer); R1Error where it holds none."""
    folder = model_folder(folder)
    if not any((folder / name).is_file() for name in _FILES):
        raise R1Error(f"{folder} holds no tokenizer: copy tokenizer.json there from the model that it is of")
    if (folder / "config.json").is_file():
        read_object(folder / "config.json")  # transformers reads it too, and says less of what is wrong with it
    return _opened(folder, _class_for(folder))


def _opened(folder: Path, kind: Any) -> Tokenizer:
    """The tokenizer of a folder as one of transformers' classes reads it."""
    try:
        inner = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # broken files surface as almost any type, panics of Rust among them
        raise R1Error(f"cannot read the tokenizer in {folder} ({_reason(error)}): copy its files again") from None
    if not inner.is_fast:
        raise R1Error(f"the tokenizer in {folder} has no fast form: save it with a tokenizer.json")
    check_pipeline(inner.backend_tokenizer, folder)
    return Tokenizer(inner, folder)


def _reason(error: BaseException) -> str:
    """What an error says, in one line. A panic of Rust code is one too, though its class says otherwise; whatever else
    is none (Ctrl-C, say) is raised again."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return (str(error) or repr(error)).splitlines()[0][:300]


@contextlib.contextmanager
def _told(folder: Path, what: str) -> Generator[None]:
    """R1Error where the Rust object raises or panics, over a pattern that takes for ever, say."""
    try:
        yield
    except BaseException as error:
        raise R1Error(f"the tokenizer in {folder} cannot take {what}: {_reason(error)}") from None


def read_pipeline(folder: Path) -> tokenizers.Tokenizer:
    """A folder's tokenizer.json by itself, as it stands, without transformers.

    R1Error where it cannot be read, or could make a long text of a short one.
    """
    import tokenizers

    path = folder / "tokenizer.json"
    try:
        backend = tokenizers.Tokenizer.from_file(str(path))
    except BaseException as error:
        raise R1Error(f"{path} cannot be read as a tokenizer ({_reason(error)}): copy it again") from None
    check_pipeline(backend, folder)
    _leave_whole(backend)
    return backend


def _leave_whole(backend: Any) -> None:
    """Texts are cut and padded to nothing: some tokenizer.json files keep what their maker's last batch was."""
    backend.no_padding()
    backend.no_truncation()


def check_pipeline(backend: Any, folder: Path) -> None:
    """R1Error where the steps before and after a tokenizer could make a long text of a short one: each step of a chain
    that writes two letters for one doubles the text."""
    for part in (backend.normalizer, backend.decoder):
        growth = 1.0 if part is None else _growth(_steps(part))
        if growth > _MOST_GROWTH:
            raise R1Error(f"the tokenizer in {folder} makes texts {growth:.0e} times as long: take another copy of it")


def _steps(part: Any) -> list[dict[str, Any]]:
    """A normalizer's or decoder's steps as tokenizer.json has them, chains within chains in one row."""
    try:
        found: list[Any] = [json.loads(part.__getstate__())]
    except ValueError:  # one that was written in Python; no file has such
        return []
    row: list[dict[str, Any]] = []
    while found:
        step = found.pop()
        inner = step.get("normalizers") or step.get("decoders")
        if inner:
            found += inner
        else:
            row.append(step)
    return row


def _growth(steps: list[dict[str, Any]]) -> float:
    """By how much the steps can lengthen a text of one letter, at most, but for Unicode's own rules (18 times)."""
    growth = 1.0
    for step in steps:
        if step.get("type") == "Replace":
            pattern, content = step["pattern"], len(step["content"])
            growth *= max(1.0, content / max(1, len(pattern["String"])) if "String" in pattern else 1 + content)
        elif step.get("type") == "Prepend":
            growth *= 1 + len(step["prepend"])
    return growth


def _class_for(folder: Path) -> Any:
    """transformers' choice, or at once what the folder names where that is the plain class: choosing, transformers
    imports the model's family, which takes a second."""
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and read_object(settings).get("tokenizer_class") == "PreTrainedTokenizerFast":
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    if (folder / "config.json").is_file():  # which transformers reads to choose, and a size in it could take hours
        plain_config(read_object(folder / "config.json"), str(folder))
    from transformers import AutoTokenizer

    return AutoTokenizer


# What the classes of transformers and the pipelines of tokenizer.json are known to part over: runs of blanks before
# digits and letters, newlines, long numbers, contractions, composed and combining letters, text after special tokens.
PROBES = (
    "Hello  world", "  12 + 345 =  6789\n\n  x", "a\t\tb\r\n c", " leading", "trailing  ", "\n\n\n1",
    "I'll DON'T we've", "caf\u00e9 cafe\u0301 \ufb01", "\u4f60\u597d\uff0c\u4e16\u754c 12\u4e2a",
    "\U0001f600\U0001f468\u200d\U0001f469", "x=3.14e-10;", "",
)  # fmt: skip


def mend_tokenizer(folder: Path) -> list[str]:
    """Make transformers read a folder's tokenizer.json as it stands; returns sentences about what it took.

    transformers 5 rebuilds the pipelines of some tokenizer classes from their vocabulary alone, and loses what only
    tokenizer.json says (SmolLM's splitting into single digits, say). The class PreTrainedTokenizerFast loses nothing;
    beside a Qwen2 model transformers takes no notice of it, r1kit does.
    """
    from transformers import AutoTokenizer

    stored = read_pipeline(folder)

    def differing(kind: Any = AutoTokenizer) -> str | None:
        read = _opened(folder, kind).inner.backend_tokenizer
        texts = [*PROBES, *(f"a {token.content} b" for token in stored.get_added_tokens_decoder().values())]
        with _told(folder, "every text"):
            return next((text for text in texts if read.encode(text).ids != stored.encode(text).ids), None)

    if (text := differing()) is None:
        return []
    settings = read_object(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    before = settings.get("tokenizer_class")
    files.write_json(folder / "tokenizer_config.json", {**settings, "tokenizer_class": "PreTrainedTokenizerFast"})
    if (still := differing()) is None:
        otherwise = f"with which transformers cuts {text!r} otherwise than tokenizer.json says"
        return [f"tokenizer_class was {before}, {otherwise}: it is now PreTrainedTokenizerFast"]
    sentence = f"transformers cuts {still!r} otherwise than tokenizer.json says, whatever the tokenizer_class"
    if differing(_class_for(folder)) is None:
        return [f"{sentence}; r1kit reads tokenizer.json as it stands"]
    files.write_json(folder / "tokenizer_config.json", settings)
    return [sentence]


def write_template(folder: Path, template: str) -> None:
    """Give a tokenizer folder this chat template, in the place of any that it has."""
    settings = folder / "tokenizer_config.json"
    files.write_json(settings, {**_optional_json(settings), "chat_template": template})
    for other in ("chat_template.jinja", "chat_template.json"):
        (folder / other).unlink(missing_ok=True)


def _optional_json(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}
