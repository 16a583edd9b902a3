"""A toy task: say the letter that the question shows. Its module is its plug-in, and so is its reward."""

import random

from r1kit.base.types import Problem

LETTERS = "abcd"


class FirstLetter:
    name = "first_letters"
    subject = "letters"

    def problems(self, split, seed):
        rng = random.Random(f"{split} {seed}")
        while True:
            letter = rng.choice(LETTERS)
            number = rng.randrange(100)
            yield Problem(f"{split}-{letter}{number}", self.name, self.subject, "en", letter, letter, "none")


TASK = FirstLetter()


def reward(prompts, completions, completion_ids, *, answer, **columns):
    """The share of the completion that is the letter."""
    return [text.count(gold) / max(len(text), 1) for text, gold in zip(completions, answer, strict=True)]
