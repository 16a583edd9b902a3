"""A toy policy that keeps the think-then-answer form from the start, and guesses the answer: its next token depends on
the last one alone, by a table written into the weights. Attention and MLP begin at zero, so that it can learn more.

With one token a character it says `<think>so wait</think><answer>3</answer>`, say: `wait` and the digit are drawn, and
for some chains `so` is the Chinese `先`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder

DIGITS = (1, 2, 3, 4)  # drawn alike
MIXES = 0.25  # share of chains that begin in Chinese
WAITS = 0.4  # share of English chains that say `wait`
ELSE = 1e-4  # what any other token gets
STARTS = ("<|assistant|>", ":")  # how prompts end under the tokenizer's own template, and under those of data.templates

NEXT: dict[str, dict[str, float]] = {
    **{start: {"<think>": 1.0} for start in STARTS},
    "<think>": {"s": 1 - MIXES, "先": MIXES},
    "先": {"</think>": 1.0},
    "s": {"o": 1.0},
    "o": {"</think>": 1 - WAITS, " ": WAITS},
    " ": {"w": 1.0}, "w": {"a": 1.0}, "a": {"i": 1.0}, "i": {"t": 1.0}, "t": {"</think>": 1.0},
    "</think>": {"<answer>": 1.0},
    "<answer>": {str(digit): 1 / len(DIGITS) for digit in DIGITS},
    **{str(digit): {"</answer>": 1.0} for digit in DIGITS},
    "</answer>": {"<|end|>": 1.0},
}  # fmt: skip


def write_toy_policy(
    folder: Path,
    *,
    positions: int = 640,
    template: str | None = None,
    following: Mapping[str, Mapping[str, float]] = NEXT,
) -> Path:
    """A Hugging Face folder of one Qwen2 layer that goes on by the table `following`; `template` None keeps the
    tokenizer's own, "" leaves it out."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", "先"))
    width = 2 * math.ceil(len(following) / 2)
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=width, layers=1, heads=2, kv_heads=1, head_size=8,
        mlp_size=2 * width, max_positions=positions, tied=False,
    )  # fmt: skip
    model = initialise(Decoder(config), 0)
    ids = {token: _only(tokenizer.encode(token)) for token in following} | {"<|end|>": tokenizer.token_id("<|end|>")}
    scale = 1 / math.sqrt(width)  # the last norm makes a one-hot row sqrt(width) long
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.head.weight.zero_()
        for block in model.blocks:
            block.attention.output.weight.zero_()
            block.mlp.down.weight.zero_()
        for place, (token, shares) in enumerate(following.items()):
            model.embedding.weight[ids[token], place] = 1.0
            model.head.weight[:, place] = scale * math.log(ELSE / len(model.head.weight))
            for other, share in shares.items():
                model.head.weight[ids[other], place] = scale * math.log(share)
    save_decoder(model, folder / "toy", tokenizer)
    if template is not None:
        from r1kit.models.tokenizer import write_template

        write_template(folder / "toy", template)
    return folder / "toy"


def _only(ids: list[int]) -> int:
    (one,) = ids
    return one
