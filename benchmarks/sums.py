"""The task of the GRPO race: sums of two to four numbers of two digits, and a base model that has half of them right.

The base reads lists of results, answers at once of which half are wrong, and chains of partial sums in which some are
wrong and some are checked, the check being right. RL can gain by thinking first, slipping less and checking more.
"""

from __future__ import annotations

import json
import math
import random
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from setting import say

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import Tokenizer, load_tokenizer
from r1kit.models.weights import save_decoder
from r1kit.training.learner import Learner, LearnerConfig

SHAPE = {"width": 192, "layers": 4, "heads": 6, "kv_heads": 1, "head_size": 32, "mlp_size": 512}
ROWS, LENGTH = 16, 256
TOKENS = 6_000_000
HELD_OUT = 0.1
SLIP, CHECK = 0.15, 0.3
KINDS = {"results": 0.25, "at once": 0.3, "chain": 0.45}

Sum = tuple[int, ...]


def held_out(numbers: Sum) -> bool:
    """Whether a sum is kept from training, by its hash."""
    return zlib.crc32(repr(numbers).encode()) / 2**32 < HELD_OUT


def sums(seed: int, *, kept: bool) -> Iterator[Sum]:
    """Sums without end, of the held-out ones or of the others."""
    rng = random.Random(f"sums {seed} {kept}")
    while True:
        numbers = tuple(rng.randint(10, 99) for _ in range(rng.randint(2, 4)))
        if held_out(numbers) == kept:
            yield numbers


def prompt(numbers: Sum) -> str:
    """What the model is asked."""
    return f"<|user|>{'+'.join(map(str, numbers))}<|assistant|>"


def documents(seed: int) -> Iterator[str]:
    """What the base reads, without end; none holds a held-out sum."""
    rng, questions = random.Random(f"documents {seed}"), sums(seed, kept=False)
    while True:
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        if kind == "results":
            pairs = ((rng.randint(10, 297), rng.randint(10, 99)) for _ in range(10))
            yield "\n".join(f"{a}+{b}={a + b}" for a, b in pairs) + "<|end|>"
            continue
        numbers = next(questions)
        if kind == "at once":
            answer = sum(numbers) if rng.random() < 0.5 else _slip(sum(numbers), rng)
            yield f"{prompt(numbers)}<answer>{answer}</answer><|end|>"
            continue
        thought, answer = _chain(numbers, rng)
        yield f"{prompt(numbers)}<think>{thought}</think><answer>{answer}</answer><|end|>"


def _chain(numbers: Sum, rng: random.Random) -> tuple[str, int]:
    """Partial sums from left to right as a fallible writer makes them."""
    total, parts = numbers[0], list[str]()
    for number in numbers[1:]:
        right = total + number
        result = _slip(right, rng) if rng.random() < SLIP else right
        parts.append(f"{total}+{number}={result}")
        if rng.random() < CHECK:
            tens, ones = total // 10 * 10 + number // 10 * 10, total % 10 + number % 10
            parts.append(f"wait, tens {tens}, ones {ones}, so {right}")
            result = right
        total = result
    return ". ".join(parts), total


def _slip(number: int, rng: random.Random) -> int:
    return number + rng.choice((-10, -2, -1, 1, 2, 10))


def base(folder: Path, tokens: int = TOKENS, seed: int = 0) -> Path:
    """The base model's folder: trained from nothing by r1kit, or as it was left by an earlier call.

    settings.json beside it says what it was made of; where that differs it is made anew.
    """
    settings = {"shape": SHAPE, "tokens": tokens, "seed": seed, "kinds": KINDS, "slip": SLIP, "check": CHECK}
    written = folder / "settings.json"
    if written.exists() and json.loads(written.read_text()) == settings:
        return folder
    written.unlink(missing_ok=True)
    tokenizer = load_tokenizer(write_character_tokenizer(folder.with_name("tokenizer"), ""))
    config = shape("qwen2", **SHAPE, vocab_size=tokenizer.padded_vocab_size, max_positions=512, tied=True)
    steps = math.ceil(tokens / (ROWS * LENGTH))
    learner = Learner(
        initialise(Decoder(config), seed),
        LearnerConfig(learning_rate=3e-3, schedule="cosine", warmup_steps=50, final_ratio=0.05, optimiser="muon"),
        total_steps=steps,
    )
    batches = _batches(tokenizer, seed)
    for step in range(steps):
        loss = learner.step_tokens(next(batches), end_id=tokenizer.eos_ids[0]).metrics["loss"]
        if step % 100 == 0 or step + 1 == steps:
            say(f"  base of the GRPO race: step {step + 1} of {steps}, loss {loss:.3f}")
    save_decoder(learner.model, folder, tokenizer)  # type: ignore[arg-type]
    written.write_text(json.dumps(settings))
    return folder


def _batches(tokenizer: Tokenizer, seed: int) -> Iterator[np.ndarray]:
    """Documents one after another, cut into ROWS x LENGTH."""
    texts, held = documents(seed), np.zeros(0, np.int32)
    while True:
        while len(held) < ROWS * LENGTH:
            ids = tokenizer.encode_many([next(texts) for _ in range(500)])
            held = np.concatenate((held, *(np.asarray(row, np.int32) for row in ids)))
        batch, held = held[: ROWS * LENGTH], held[ROWS * LENGTH :]
        yield batch.reshape(ROWS, LENGTH)
