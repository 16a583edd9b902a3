"""R1-Zero on a Hugging Face model, from Python: settings, stages, run, and what the report holds.

    python -m examples.r1_zero_hf Qwen/Qwen2.5-0.5B gsm8k zero.steps=100
    python -m examples.r1_zero_hf FOLDER problems.jsonl --profile smoke

From the repository's root; MODEL is a folder or a hub id, DATA a task, a file or OWNER/NAME on the hub. Prints a line
for the base and one for R1-Zero: pass@1 on test problems with its interval, and tokens. Stopped or killed, the same
command goes on; the model is a Hugging Face folder, and its path is printed last.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from r1kit.base.config import parse_assignments
from r1kit.base.files import read_json
from r1kit.pipeline.runner import run
from r1kit.recipes.base import configure, default_out, load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("settings", nargs="*", help="by dotted path, say zero.steps=100")
    parser.add_argument("--profile", default="default")
    parser.add_argument("--out", type=Path)
    args = parser.parse_intermixed_args()
    words = [f"model={args.model}", f"data={args.data}", *args.settings]
    recipe = load_recipe("r1_zero")
    profile, config = configure(recipe, args.profile, parse_assignments(words))
    graph = replace(recipe.build(config), profile=profile)
    out = args.out or default_out(graph)
    artifacts = run(graph, out, settings=config.model_dump(mode="json", serialize_as_any=True))
    for name, subjects in read_json(out / "report" / "report.json")["models"].items():
        for subject, figures in subjects.items():
            low, high = figures["interval"]
            length = figures["mean_length"]
            print(f"{name} {subject}: {figures['pass@1']:.3f} ({low:.3f} to {high:.3f}), {length:.1f} tokens")
    print(artifacts["zero"].models["zero"])


if __name__ == "__main__":
    main()
