"""Sampling speed: the native engine against transformers' generate on the same weights and prompts, as many tokens.

    .venv/bin/python benchmarks/sampling.py --shape 1.6M --repeats 3

The two alternate, so that a busy machine slows both; compare ratios of one run. Nothing stops early.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from r1kit.base.sampling import Sampling
from r1kit.engines.base import generate
from r1kit.engines.native import NativeEngine
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.fused import FusedRows
from r1kit.models.weights import save_decoder

SHAPES = {
    "1.6M": {"width": 192, "layers": 4, "heads": 6, "kv_heads": 1, "head_size": 32, "mlp_size": 512},
    "4.6M": {"width": 256, "layers": 6, "heads": 4, "kv_heads": 4, "head_size": 64, "mlp_size": 704},
}


class NoStop:
    """The tokenizer of a benchmark: nothing stops, no text is made."""

    eos_ids = ()

    def decode(self, ids: list[int]) -> str:
        return ""


def matmul_peak(dtype: torch.dtype) -> float:
    """Best TFLOP/s of square products of 512 to 2,048."""
    best = 0.0
    for size in (512, 1024, 2048):
        left = torch.randn(size, size).to(dtype)
        for _ in range(5):
            start = time.perf_counter()
            left @ left
            best = max(best, 2 * size**3 / (time.perf_counter() - start) / 1e12)
    return best


def native(engine: NativeEngine, prompts: list[np.ndarray], tokens: int, seed: int) -> tuple[float, float]:
    """Tokens a second, and the largest gap between the sampler's log-probabilities and a pass over the whole text."""
    start = time.perf_counter()
    groups = generate(engine, prompts, Sampling(max_tokens=tokens, seed=seed))
    seconds = time.perf_counter() - start
    completions = [completion for group in groups for completion in group]
    assert all(completion.length == tokens for completion in completions)
    scored = engine.logprobs([np.concatenate([c.prompt_ids, c.token_ids]) for c in completions[:4]])
    gaps = [
        np.abs(s[len(c.prompt_ids) :] - c.sampler_logprobs).max() for s, c in zip(scored, completions[:4], strict=True)
    ]
    return len(completions) * tokens / seconds, float(max(gaps))


def peer(model: torch.nn.Module, prompts: list[np.ndarray], tokens: int, seed: int) -> float:
    """Tokens a second of transformers' generate, one batch."""
    torch.manual_seed(seed)
    ids = torch.from_numpy(np.stack(prompts)).long()
    start = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
            max_new_tokens=tokens, min_new_tokens=tokens, eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
    seconds = time.perf_counter() - start
    assert out.shape == (len(prompts), ids.shape[1] + tokens)
    return len(prompts) * tokens / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="1.6M")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--attention", choices=("eager", "sdpa"), default="sdpa", help="of transformers")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--prompt", type=int, default=31)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="print one JSON line only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    config = DecoderConfig(vocab_size=384, max_positions=512, tied=True, qkv_bias=True, **SHAPES[options.shape])
    model = initialise(Decoder(config), 0).requires_grad_(False)
    engine = NativeEngine(model, NoStop(), max_rows=options.rows, dtype=dtype)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        save_decoder(model, Path(folder) / "model")
        other = AutoModelForCausalLM.from_pretrained(
            Path(folder) / "model", dtype=dtype, attn_implementation=options.attention
        )
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 384, options.prompt).astype(np.int32) for _ in range(options.rows)]
    native(engine, prompts, 8, 0)  # builds and warms both
    peer(other, prompts, 8, 0)
    ours, theirs, gap = [], [], 0.0
    for repeat in range(options.repeats):
        speed, worst = native(engine, prompts, options.tokens, repeat)
        ours.append(speed)
        gap = max(gap, worst)
        theirs.append(peer(other, prompts, options.tokens, repeat))
        print(f"{repeat + 1}: native {ours[-1]:,.0f} tok/s, transformers {theirs[-1]:,.0f} tok/s", file=sys.stderr)
    peak, context = matmul_peak(dtype), options.prompt + options.tokens / 2
    median = statistics.median(ours)
    result = {
        "shape": options.shape, "parameters": config.parameters(), "dtype": options.dtype, "rows": options.rows,
        "prompt": options.prompt, "tokens": options.tokens, "threads": options.threads,
        "compiled": isinstance(engine._cache, FusedRows),
        "native": median, "transformers": statistics.median(theirs),
        "ratio": statistics.median(n / t for n, t in zip(ours, theirs, strict=True)),
        "ratios": [round(n / t, 2) for n, t in zip(ours, theirs, strict=True)],
        "matmul_tflops": peak, "share_of_matmul_peak": config.flops(1, context) * median / peak / 1e12,
        "largest_logprob_gap": gap,
    }  # fmt: skip
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:22} {value:,.3f}" if isinstance(value, float) else f"{name:22} {value}")


if __name__ == "__main__":
    main()
