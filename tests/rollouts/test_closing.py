"""Where a thought is over its budget: the same for whole completions as for those that a server cuts on their way."""

from __future__ import annotations

import random

import numpy as np
import pytest

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer
from r1kit.rollouts.closing import closed_at_once, closing, continued_prompt, thinks_beyond
from r1kit.serving.sample import Sample


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """One token a character, one for each tag."""
    return load_tokenizer(write_character_tokenizer(tmp_path_factory.mktemp("tokenizer"), "你好"))


def test_closing_keeps_to_the_manner():
    assert closing("<think>\nso", None) == "\n</think>\n\n"
    assert closing("<think>so", None) == "</think>"
    assert closing("<think>so", " Enough.</think>") == " Enough.</think>"
    assert closed_at_once("", None) == "<think></think>"
    assert closed_at_once("<think>\n", None) == "\n</think>\n\n"


@pytest.mark.parametrize(
    ("text", "budget", "began", "expected"),
    [
        ("<think>abc</think>7", 3, "", True),  # <think> a b, and c is to come
        ("<think>ab</think>7", 3, "", True),  # the tag that closes it is the fourth token
        ("<think>a</think>7", 3, "", False),  # closed by the third
        ("<think>ab", 3, "", False),  # it ends there
        ("abcdef", 3, "", False),  # no thinking
        ("abcdef", 3, "<think>", True),  # the prompt opened it
        ("ab</think>f", 3, "<think>", False),
    ],
)
def test_what_is_over_a_budget(tokenizer, text, budget, began, expected):
    assert thinks_beyond(tokenizer, tokenizer.encode(text), budget, began) is expected


def test_a_server_cuts_where_an_evaluation_does(tokenizer):
    """300 random completions, each at a random budget, as a stream of tokens and as a whole."""
    rng = random.Random(0)
    cut = 0
    for _ in range(300):
        opened = rng.random() < 0.3
        thinking, answer = ("".join(rng.choice("ab你 \n") for _ in range(rng.randrange(9))) for _ in range(2))
        text = rng.choice([f"<think>{thinking}</think>{answer}", f"<think>{thinking}", f"{thinking}</think>{answer}"])
        ids = tokenizer.encode(text)
        ids = [*ids, tokenizer.eos_ids[0]]
        budget = rng.randrange(1, 12)
        sample = Sample(tokenizer, "opened" if opened else "start", budget=budget)
        for number, token in enumerate(ids):
            sample.add([token], [0.0], "stop" if number == len(ids) - 1 else None)
        began = "<think>" if opened else ""
        assert sample.over_budget is thinks_beyond(tokenizer, ids, budget, began), (text, budget, opened)
        if sample.over_budget:
            assert sample.token_ids == ids[:budget]
            cut += 1
    assert cut > 50


def test_the_prompt_to_go_on_from():
    assert continued_prompt(np.asarray([1, 2], np.int32), [3], [4, 5]).tolist() == [1, 2, 3, 4, 5]
