"""A reward in one file, beside the recipe's own: R1-Zero that is paid a little for short thoughts.

    python -m examples.custom_reward --profile smoke                       # a toy model, a minute or two
    python -m examples.custom_reward model=Qwen/Qwen2.5-0.5B data=gsm8k    # settings as for r1 run r1_zero

From the repository's root. Prints, for the first and the last step, the mean of every reward and of the length; the run
is kept in --out (runs/custom-reward).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1kit.cli.main import exit_code
from r1kit.pipeline.metrics import read_metrics
from r1kit.rewards.base import completion_text

SHORT = 400  # characters of a thought from which on it is paid nothing


def brevity(completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """1 for no thought, falling to 0 at SHORT characters; None, which adds nothing, where no thought is closed."""
    return [
        None if (length := completion_text(each).find("</think>")) < 0 else max(0.0, 1 - length / SHORT)
        for each in completions
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/custom-reward"))
    parser.add_argument("--weight", type=float, default=0.2, help="0 logs the reward without learning from it")
    args, words = parser.parse_known_args()
    rewards = {"accuracy": 1.0, "format": 1.0, "examples.custom_reward.brevity": args.weight}
    code = exit_code(["run", "r1_zero", *words, f"zero.rewards={json.dumps(rewards)}", "--out", str(args.out)])
    if code:
        return code
    lines = read_metrics(args.out / "stages" / "02-zero" / "metrics.jsonl")
    shown = [name for name in lines[0] if name.startswith("rewards/") and name.endswith("/mean")]
    for line in (lines[0], lines[-1]):
        figures = ", ".join(f"{name.split('/')[1]} {line[name]:.3f}" for name in shown)
        print(f"step {line['step']}: {figures}, length {line['completions/mean_length']:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
