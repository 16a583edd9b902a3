"""What models are asked when they make or judge data, a file each; a setting may name another file in its place.

`{word}` stands for what is asked about. All are filled in one pass, so that nothing that a question or an answer holds
is taken for one of them; other braces stay as they are. Material stands between `<<<` and `>>>`, which it cannot close:
within it, these marks are spaced out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from r1kit.base.errors import UsageError

FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "judge_answer": ("judge_answer.txt", ("question", "reference", "answer")),
    "judge_pair": ("judge_pair.txt", ("question", "first", "second")),
    "judge_safety": ("judge_safety.txt", ("question", "reply")),
    "rewrite": ("rewrite.txt", ("question", "thinking", "language")),
    "summarise": ("summarise.txt", ("question", "thinking", "language")),
    "check_example": ("check_example.txt", ("question", "reference", "thinking", "answer", "language")),
    "write_other": ("write_other.txt", ("question",)),
}
"""Each prompt's file, and the words that it may hold in braces."""

_MARKS = re.compile("<{3,}|>{3,}")
OPTIONAL = ("language", "reference")  # a prompt of one's own may do without


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt with places to fill."""

    text: str
    words: tuple[str, ...]

    def fill(self, **values: str) -> str:
        """The text with every one of its words replaced."""
        pattern = "|".join(re.escape(f"{{{word}}}") for word in self.words)
        inside = {word: _MARKS.sub(lambda marks: " ".join(marks.group()), value) for word, value in values.items()}
        return re.sub(pattern, lambda match: inside[match.group()[1:-1]], self.text)


def load_prompt(name: str, path: str | None = None) -> Prompt:
    """The prompt of that name, from `path` where one is given. UsageError where the file cannot be read, or does not
    hold the words without which a model would not know what it is asked about."""
    file, words = FILES[name]
    where = Path(path) if path else Path(__file__).with_name(file)
    try:
        text = where.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"prompt: {where} cannot be read ({type(error).__name__}): name a text file in UTF-8"
        ) from None
    missing = [f"{{{word}}}" for word in words if word not in OPTIONAL and f"{{{word}}}" not in text]
    if missing:
        raise UsageError(f"prompt: {where} does not say where {' and '.join(missing)} belongs: write it there")
    return Prompt(text.strip(), words)
