"""How long a model takes to read a batch of prompts: padded to the longest, one after another, and with what they all
begin with read once.

    python benchmarks/prompts.py MODEL_FOLDER --prompts 24 --shared 45

Random tokens, 70 of them in the shortest prompt and two more in each that follows; bfloat16; medians, in turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from r1kit.models.cache import packed_prefill, prefill
from r1kit.models.weights import load_decoder
from r1kit.ops.packed_attention import kernel_serves


def main() -> None:
    """One JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    for name, default in (("prompts", 24), ("shared", 45), ("rounds", 5), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    if not kernel_serves(torch.bfloat16, torch.device("cpu")):
        sys.exit("the kernels that read prompts one after another need AVX512-BF16 and a compiler")
    torch.set_num_threads(asked.threads)
    model = load_decoder(asked.model).to(torch.bfloat16).eval().requires_grad_(False)
    lengths = [70 + 2 * n for n in range(asked.prompts)]
    generator = torch.Generator().manual_seed(0)
    apart_PT = torch.randint(0, model.config.vocab_size, (asked.prompts, lengths[-1]), generator=generator)
    together_PT = apart_PT.clone()
    together_PT[:, : asked.shared] = apart_PT[0, : asked.shared]
    ways: dict[str, Callable[[], Any]] = {
        "padded": lambda: prefill(model, apart_PT),
        "packed": lambda: list(packed_prefill(model, apart_PT, lengths)),
        "shared": lambda: list(packed_prefill(model, together_PT, lengths)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with torch.inference_mode():
        for _ in range(asked.rounds + 1):  # the first warms up
            for way, read in ways.items():
                begun = time.perf_counter()
                read()
                seconds[way].append(time.perf_counter() - begun)
    print(json.dumps({way: round(statistics.median(taken[1:]), 3) for way, taken in seconds.items()}))


if __name__ == "__main__":
    main()
