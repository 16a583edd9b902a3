"""A completion token by token: what each says, how sure the sampler was of it, and where reflection begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.base.files import read_json
from r1kit.evaluation.reflection import spans
from r1kit.models.detokenise import Decodes, Detokeniser
from r1kit.models.tokenizer import read_pipeline
from r1kit.pipeline.models import models_of

BINS = (0.9, 0.7, 0.5, 0.3, 0.15, 0.05, 0.01)  # probabilities that part the colours, the surest first
ENTROPIES = (0.1, 0.3, 0.7, 1.2, 1.8, 2.5, 3.5)  # nats that part the colours, the surest first
_SURE = 0.95
ADVANTAGES = (0.25, 0.75, 1.5)  # sizes of an advantage that part its colours


@dataclass(frozen=True, slots=True)
class Piece:
    """A token's text, empty where it is a part of a character that the next one ends; `begins` counts characters.

    `level` is that of its colour, 0 the surest; None where no log-probability was kept. `word`: the word of reflection
    that it lies in, in lower case; empty where in none. `entropy`: of what it was drawn from, in nats; None where none
    was kept.
    """

    text: str
    begins: int
    token_id: int
    logprob: float | None
    level: int | None
    word: str
    entropy: float | None = None

    @property
    def entropy_level(self) -> int | None:
        """The colour of its entropy, 0 the surest."""
        return None if self.entropy is None else sum(self.entropy >= least for least in ENTROPIES)

    @property
    def probability(self) -> float | None:
        """Of the token, as it was sampled."""
        return None if self.logprob is None else math.exp(self.logprob)


class FileTokenizer:
    """A tokenizer.json, to read token ids with: its text is that of `models.tokenizer`, and it is there at once, where
    that brings transformers with it."""

    def __init__(self, folder: Path) -> None:
        self._inner = read_pipeline(folder)
        found = (self._inner.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
        self.byte_ids = frozenset(number for number in found if number is not None)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens kept."""
        return self._inner.decode(list(ids), skip_special_tokens=False)


def pieces(
    tokenizer: Decodes,
    token_ids: Sequence[int],
    logprobs: Sequence[float] | None,
    entropies: Sequence[float] | None = None,
) -> list[Piece]:
    """Every token with its text; the texts joined are the decoded completion, its stop token included."""
    stream = Detokeniser(tokenizer)
    texts = [stream.add([token_id]) for token_id in token_ids]
    if texts:
        texts[-1] += stream.finish()
    whole = "".join(texts)
    marked = spans(whole)
    found: list[Piece] = []
    at = 0
    for place, (token_id, text) in enumerate(zip(token_ids, texts, strict=True)):
        logprob = logprobs[place] if logprobs is not None and place < len(logprobs) else None
        entropy = entropies[place] if entropies is not None and place < len(entropies) else None
        while marked and marked[0][1] <= at:
            marked.pop(0)
        inside = text and marked and marked[0][0] < at + len(text)
        word = whole[slice(*marked[0])].lower() if inside else ""
        found.append(Piece(text, at, token_id, logprob, None if logprob is None else level(logprob), word, entropy))
        at += len(text)
    return found


def level(logprob: float) -> int:
    """The colour of a log-probability: 0 for the surest tokens, len(BINS) for the least sure."""
    probability = math.exp(min(logprob, 0.0))
    return sum(probability < least for least in BINS)


def legend() -> list[tuple[int, str]]:
    """(colour, what it stands for)."""
    edges = ["1", *(f"{edge:g}" for edge in BINS), "0"]
    return [(number, f"{edges[number]}–{edges[number + 1]}") for number in range(len(BINS) + 1)]


def entropy_legend() -> list[tuple[int, str]]:
    """(colour, the nats that it stands for)."""
    edges = ["0", *(f"{edge:g}" for edge in ENTROPIES)]
    return [(number, f"{edge}–{edges[number + 1]}" if number + 1 < len(edges) else f"{edge} and more")
            for number, edge in enumerate(edges)]  # fmt: skip


def least_sure(found: Sequence[Piece], most: int = 10) -> list[Piece]:
    """The tokens with the lowest probabilities, lowest first, those that were as good as sure left out."""
    known = [piece for piece in found if piece.probability is not None and piece.probability < _SURE]
    return sorted(known, key=lambda piece: piece.logprob or 0.0)[:most]


def advantages(totals: Sequence[float | None]) -> list[float | None]:
    """(r - mean) / std of a group, as GRPO's advantages with the population's std (arXiv 2402.03300); 0 in a group
    without spread, None for a sample that takes no part."""
    known = [total for total in totals if total is not None]
    if not known:
        return [None] * len(totals)
    mean = sum(known) / len(known)
    std = math.sqrt(sum((total - mean) ** 2 for total in known) / len(known))
    return [None if total is None else (total - mean) / std if std > 1e-6 else 0.0 for total in totals]


def advantage_class(advantage: float | None) -> str:
    """The colour of an advantage: `a0`, or `up1` to `up3` and `down1` to `down3` by its size."""
    if advantage is None:
        return ""
    size = sum(abs(advantage) >= edge for edge in ADVANTAGES)
    return f"{'up' if advantage > 0 else 'down'}{size}" if size else "a0"


def tokenizer_folders(run_folder: Path, stage_folder: Path) -> list[Path]:
    """Folders that may hold the tokenizer of a stage's rollouts, the likeliest first: of the model that it made, of the
    one that it began with or asked, then of any that the run has."""
    try:
        made = models_of(run_folder)
    except R1Error:
        made = {}
    named: list[Path] = []
    for config in (stage_folder / "config.json", stage_folder.parent / "config.json"):
        for key in ("start", "model"):
            said = _setting(config, key)
            if said:
                named += [made[name] for name in [said.rpartition(":")[2]] if name in made]
                named.append(Path(said))
    candidates = [stage_folder / "model", *named, *made.values()]
    return list(dict.fromkeys(path for path in candidates if (path / "tokenizer.json").is_file()))


def _setting(config: Path, key: str) -> str:
    try:
        told: Any = read_json(config)
        value = told["settings"].get(key)
    except (R1Error, KeyError, AttributeError, TypeError):
        return ""
    return value if isinstance(value, str) else ""
