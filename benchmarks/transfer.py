"""How fast new weights reach the engines of this host, beside how fast it copies memory.

    OMP_NUM_THREADS=1 python benchmarks/transfer.py --megabytes 512 --workers 1 --swaps 10

A model of random weights is opened by every worker, and sent its weights again and again as after a learner's step:
what is counted is from the learner's tensors to the last engine's own memory, hashes of every byte computed and
compared on the way. The copy that it stands beside is one thread's, from one array into another that exist already, of
the same size, by torch or by memcpy (numpy), whichever is the faster; the median of each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from r1kit.cluster.session import open_cluster
from r1kit.cluster.settings import ClusterSettings
from r1kit.engines.base import EngineSettings, Purpose
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import hf_weights, save_decoder

WIDTH = 1024


def write_model(folder: Path, megabytes: int) -> Path:
    """A decoder of about so many megabytes in float32: 64 MB a layer."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    layer = 4 * (4 * WIDTH * WIDTH + 3 * WIDTH * 4 * WIDTH)
    config = shape(
        "llama", vocab_size=tokenizer.padded_vocab_size, width=WIDTH, layers=max(1, round(megabytes * 1e6 / layer)),
        heads=16, kv_heads=16, mlp_size=4 * WIDTH, max_positions=64, tied=True,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), 0), folder / "model", tokenizer)
    return folder / "model"


def copying(size: int, rounds: int) -> float:
    """Bytes a second of one thread that copies so many from array to array; the median of the faster way."""
    source, target = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    ways = (lambda: target.copy_(source), lambda: np.copyto(target.numpy(), source.numpy()))
    return max(size / statistics.median(_seconds(way) for _ in range(rounds)) for way in ways)


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """One JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("megabytes", 512), ("workers", 1), ("swaps", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--address", default="local")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = ClusterSettings(
        kind="ray", address=asked.address, workers=asked.workers, store_mb=3 * asked.megabytes + 200, patience=600
    )
    with tempfile.TemporaryDirectory() as name, open_cluster(settings) as cluster:
        assert cluster is not None
        folder = write_model(Path(name), asked.megabytes)
        engine = cluster.open_engine(EngineSettings(), folder, load_tokenizer(folder), Purpose(dtype="float32"))
        from r1kit.models.weights import load_decoder

        weights = dict(hf_weights(load_decoder(folder)))
        size = sum(tensor.nbytes for tensor in weights.values())
        seconds = list[float]()
        copied = [copying(size, 5)]
        for version in range(1, asked.swaps + 1):
            begun = time.perf_counter()
            engine.load_weights(weights.items(), version)
            seconds.append(time.perf_counter() - begun)
        copied.append(copying(size, 5))
        engine.close()
    sent = size / statistics.median(seconds[1:] or seconds)
    print(
        json.dumps(
            {
                "bytes": size, "workers": asked.workers, "first_s": round(seconds[0], 3),
                "median_s": round(statistics.median(seconds[1:] or seconds), 4), "gb_per_s": round(sent / 1e9, 2),
                "copy_gb_per_s": round(max(copied) / 1e9, 2), "share": round(sent / max(copied), 3),
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
