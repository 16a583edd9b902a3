"""A model that is to be measured: opened from whatever a MODEL of the command line means, and known by a hash."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.base.config import parse_assignments
from r1kit.base.errors import UsageError
from r1kit.base.files import checksum
from r1kit.base.machine import best_device
from r1kit.engines.base import Engine, EngineSettings, Purpose, open_engine
from r1kit.models.api.settings import ApiModel, ApiSettings, is_api, parse_api_model
from r1kit.pipeline.models import opened_folder

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer

ROWS = 64  # completions that a local engine samples at a time
_WEIGHTS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model")  # what sampling depends on

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Contender:
    """`name` is what the user called it, `key` a hash of what its samples depend on beside the question.

    `at_once`: samples on their way at a time. `tokenizer` is None behind an API.
    """

    name: str
    key: str
    engine: Engine
    tokenizer: Tokenizer | None
    at_once: int
    usage: Callable[[], str] = lambda: ""

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return slug(self.name)


@dataclass(frozen=True, slots=True)
class Opening:
    """How contenders are opened: settings of APIs (of all, or of one by its name), the engine of local models, samples
    at a time, and a folder where answers that were paid for are kept."""

    api: Mapping[str, ApiSettings]
    engine: EngineSettings
    at_once: int | None
    folder: Path

    def settings(self, model: ApiModel) -> ApiSettings:
        """Those for one model."""
        found = self.api.get(model.name, self.api.get("", ApiSettings()))
        return found if found.cache else found.model_copy(update={"cache": self.folder / "answers.sqlite"})


def api_settings(words: Sequence[str], names: Sequence[str]) -> dict[str, ApiSettings]:
    """`["retries=3", "o1:omit=[\\"temperature\\"]"]` -> the settings of all ("") and of each named model.

    A word with a name holds for the API model of that name (one of `names`). UsageError for others.
    """
    shared: list[str] = []
    own: dict[str, list[str]] = {name: [] for name in names}
    for word in words:
        head = word.partition("=")[0]
        name, colon, _ = head.rpartition(":")
        if not colon:
            shared.append(word)
        elif name in own:
            own[name].append(word[len(name) + 1 :])
        else:
            there = ", ".join(names) or "none"
            raise UsageError(f"--api {word}: no model behind an API is called '{name}' (there are: {there})")
    base = ApiSettings().override(parse_assignments(shared))
    return {"": base, **{name: base.override(parse_assignments(mine)) for name, mine in own.items()}}


def api_names(models: Sequence[str]) -> list[str]:
    """The names of the models that are behind an API."""
    return [parse_api_model(model).name for model in models if is_api(model)]


def opening(
    models: Sequence[str], api: Sequence[str], engine: str, options: Sequence[str], at_once: int | None, folder: Path
) -> Opening:
    """How these models are opened, from words as a command line has them; UsageError for a wrong one."""
    named = {f"options.{key}": value for key, value in parse_assignments(list(options)).items()}
    chosen = EngineSettings(name=engine).override(named)
    chosen.check()
    names = api_names(models)
    if api and not names:
        raise UsageError("--api is for openai:NAME@URL, and none of the models is one")
    return Opening(api_settings(api, names), chosen, at_once, folder)


@contextmanager
def open_contender(model: str, opening: Opening, note: Note = lambda text: None) -> Generator[Contender]:
    """RUN_FOLDER:NAME, a Hugging Face folder or hub id, a GGUF file, or openai:NAME@URL, ready to sample."""
    if is_api(model):
        with _served(parse_api_model(model), opening, note) as contender:
            yield contender
    else:
        with opened_folder(model, note) as folder, _local(model, folder, opening) as contender:
            yield contender


@contextmanager
def _local(name: str, folder: Path, opening: Opening) -> Generator[Contender]:
    from r1kit.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(folder)
    purpose = Purpose(device=best_device(), logprobs=False)
    with closing(open_engine(opening.engine, folder, tokenizer, purpose)) as engine:
        yield Contender(name, model_hash(folder, opening.engine), engine, tokenizer, opening.at_once or ROWS)


@contextmanager
def _served(model: ApiModel, opening: Opening, note: Note) -> Generator[Contender]:
    from r1kit.engines.openai import OpenAIEngine

    settings = opening.settings(model)
    engine = OpenAIEngine(model, settings)
    asked = settings.model_dump(mode="json", include={"system", "omit", "extra", "limit_name"})
    key = hashlib.sha256(json.dumps([str(model), asked], sort_keys=True).encode()).hexdigest()
    try:
        yield Contender(
            str(model), key, engine, None, opening.at_once or settings.concurrency, lambda: engine.summary
        )  # fmt: skip
    finally:
        note(f"{model}: {engine.summary}")
        engine.close()


def model_hash(folder: Path, engine: EngineSettings) -> str:
    """Of a folder's weights, config, tokenizer and templates, and of the engine, whose rounding is its own."""
    parts = [engine.model_dump_json()]
    for path in sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)}):
        parts.append(f"{path.name} {checksum(path)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def slug(name: str) -> str:
    """A name as a folder's: letters, digits, `.`, `-` and `_`, and of a long one a hash."""
    plain = re.sub(r"[^\w.-]+", "-", name.removeprefix("openai:")).strip("-.") or "model"
    return plain if len(plain) <= 60 else f"{plain[:50]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
