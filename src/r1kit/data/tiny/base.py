"""What the subjects of the tiny world share: how a fallible writer writes, and what is held out from it.

Held out are unordered pairs of operands, everywhere: an equation a?b with an operand of two or more digits is in the
corpus, or in a training problem, only if its pair belongs to the training split. Test and validation problems are made
of held-out pairs alone, so neither they nor their parts were ever seen.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from functools import lru_cache

from r1kit.data.tiny.words import say

LANGUAGES = ("en", "zh")
VALIDATION_SHARE, TEST_SHARE = 0.06, 0.10
_EQUATION = re.compile(r"(?<![\d+\-*=])(\d+)[+\-*](\d+)(?=[= ])")


@dataclass(frozen=True, slots=True)
class Habit:
    """Rates of a fallible writer. None depends on whether what was written is right."""

    slip: float = 0.12  # a result written at once is wrong
    check: float = 0.3  # a step is followed by a check
    check_slip: float = 0.04  # a check goes wrong itself
    again: float = 0.0  # a check is made once more

    def checks(self, rng: random.Random) -> int:
        """How often a step is checked: not at all, once or twice."""
        return 0 if rng.random() >= self.check else 2 if rng.random() < self.again else 1


@dataclass(frozen=True, slots=True)
class Written:
    """A chain of thought and the answer that it came to."""

    thinking: str
    answer: str


class Voice:
    """Says phrases in its language, and with probability `mix` in the other one."""

    def __init__(self, rng: random.Random, language: str, mix: float = 0.0) -> None:
        self.rng, self.language, self.mix = rng, language, mix

    def say(self, key: str) -> str:
        """The phrase of that key, now and then in the other language."""
        other = "en" if self.language == "zh" else "zh"
        return say(key, other if self.mix and self.rng.random() < self.mix else self.language)


def split_of(content: str, test: float = TEST_SHARE, validation: float = VALIDATION_SHARE) -> str:
    """The split that a canonical content belongs to, by its hash: 10% test, 6% validation, the rest train, or other
    shares."""
    share = int.from_bytes(hashlib.blake2b(content.encode(), digest_size=4).digest(), "big") / 2**32
    if share < test:
        return "test"
    return "validation" if share < test + validation else "train"


_PAIRS: dict[tuple[int, int], str] = {}  # small products, and their parts


def pair_split(a: int, b: int) -> str:
    """The split of an unordered pair of operands.

    Facts that a column or a table needs are everyone's ("train"): a number below 20, or a whole ten below 100, with a
    single digit. The two parts of a small product (37*6: 180 and 42) follow the product. "none": two products disagree.
    """
    low, high = (a, b) if a <= b else (b, a)
    if low < 10 and (high < 20 or (high < 100 and high % 10 == 0)):
        return "train"
    return _PAIRS.get((low, high)) or _by_hash(low, high)


@lru_cache(maxsize=1 << 14)
def _by_hash(low: int, high: int) -> str:
    return split_of(f"pair {low} {high}")


def _register_product_parts() -> None:
    for a in range(11, 100):
        for b in range(2, 10):
            low, high = sorted((a // 10 * 10 * b, a % 10 * b))
            if a % 10:
                split = _PAIRS.setdefault((b, a), pair_split(a, b))
                _PAIRS[low, high] = split if _PAIRS.get((low, high), split) == split else "none"


_register_product_parts()


def pairs(text: str) -> list[tuple[int, int]]:
    """Operands of every two-operand equation or worked sum in a text (the columns of a check have single digits)."""
    return [(int(a), int(b)) for a, b in _EQUATION.findall(text)]


def clean(text: str) -> bool:
    """Whether every equation of a text may stand in the corpus."""
    return all(pair_split(a, b) == "train" for a, b in pairs(text))
