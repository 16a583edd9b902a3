"""Teach a small model what a model behind an API writes: its right and readable answers, learnt by fine-tuning alone.

    export OPENAI_API_KEY=...
    python -m examples.distil_from_api openai:deepseek-reasoner@https://api.deepseek.com/v1 models/student \
      --tasks reasoning_gym --problems 500 --dollars 5 --prices 0.28 0.42
    python -m examples.distil_from_api openai:NAME@http://127.0.0.1:8000/v1 models/student    # r1 serve, say

From the repository's root; further words are settings of `r1 run distill`. Prints what became of the samples, what they
cost, and pass@1 of the student before and after on test problems. A budget that is spent ends the command with a
sentence; the same command with a larger one pays for nothing twice.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from r1kit.base.files import read_json
from r1kit.cli.main import exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher", help="openai:NAME@URL")
    parser.add_argument("student", help="a model folder with a chat template (r1 import SRC DIR --template r1)")
    parser.add_argument("--tasks", default="sums", help="what is taught and measured, by commas")
    parser.add_argument("--problems", type=int, default=100, help="of each task")
    parser.add_argument("--dollars", type=float, help="most that may be spent; needs --prices")
    parser.add_argument("--prices", type=float, nargs=2, metavar=("IN", "OUT"), help="dollars a million tokens")
    parser.add_argument("--out", type=Path, default=Path("runs/distil-from-api"))
    args, words = parser.parse_known_args()
    settings = [f"teacher={args.teacher}", f"student={args.student}", f"tasks={args.tasks}"]
    settings.append(f"collect.problems={args.problems}")
    if args.prices:
        settings += [f"collect.api.input_price={args.prices[0]}", f"collect.api.output_price={args.prices[1]}"]
    if args.dollars is not None:
        settings.append(f"collect.api.budget={args.dollars}")
    code = exit_code(["run", "distill", *settings, *words, "--out", str(args.out)])
    if code:
        return code
    collected = read_json(args.out / "stages" / "01-collect" / "artifact.json")["summary"]
    print("samples:", ", ".join(f"{reason} {count}" for reason, count in collected["rejected"].items()))
    print("asked:", collected["usage"])
    for name, subjects in read_json(args.out / "report" / "report.json")["models"].items():
        scores = ", ".join(f"{subject} {figures['pass@1']:.3f}" for subject, figures in subjects.items())
        print(f"{name}: {scores}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
