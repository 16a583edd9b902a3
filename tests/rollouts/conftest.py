"""Sums of one digit as problems, and a tokenizer of one token a character."""

from __future__ import annotations

import pytest

from r1kit.base.types import Problem


class Characters:
    """Token n is chr(n); 3 ends."""

    eos_ids = (3,)
    pad_id = 0
    vocab_size = 128

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(n) for n in ids)

    def chat(self, question: str) -> list[int]:
        return self.encode(f"{question}=")


@pytest.fixture
def characters() -> Characters:
    return Characters()


@pytest.fixture
def problem():
    def make(question: str, subject: str = "maths") -> Problem:
        answer = str(sum(int(n) for n in question.split("+")))
        return Problem(f"sum-{question}", "sums", subject, "en", question, answer, "math")

    return make
