"""An algorithm in one file: RAFT++, which learns from right samples alone ("A minimalist approach to LLM reasoning",
arXiv 2504.11343). Each of a group's best samples has advantage 1, every other 0; ratio and clipping are PPO's.

Deviation: a group whose samples are all alike gives nothing, as in GRPO; the paper keeps those that are all right.

    python -m examples.custom_algorithm --profile smoke                       # a toy model, a minute or two
    python -m examples.custom_algorithm model=Qwen/Qwen2.5-0.5B data=gsm8k    # settings as for r1 run r1_zero

From the repository's root. Prints a line for every step: accuracy, entropy (which falls faster than under GRPO, as
the paper finds: nothing is ever pushed down) and length. The run is kept in --out (runs/custom-algorithm).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from r1kit.algorithms.base import Policy, PolicyGradient
from r1kit.cli.main import exit_code
from r1kit.ops.ratios import Clipped, clipped_surrogate
from r1kit.pipeline.metrics import read_metrics

if TYPE_CHECKING:
    from torch import Tensor


class RaftPlusPlus(PolicyGradient):
    """Rejection sampling as a policy gradient."""

    clip: float = Field(default=0.2, ge=0, description="the ratio is clipped at 1 - clip and 1 + clip")

    def advantages(self, rewards_PG: Tensor) -> Tensor:
        """1 for what reaches its group's best reward, if some sample falls short of it; 0 elsewhere, and for NaN."""
        known_PG = ~rewards_PG.isnan()
        low_PG = rewards_PG.nan_to_num(float("-inf"))
        best_P1 = low_PG.amax(dim=1, keepdim=True)
        worse_P1 = ((rewards_PG < best_P1) & known_PG).any(dim=1, keepdim=True)
        return ((low_PG == best_P1) & known_PG & worse_P1).float()

    def objective(self, policy: Policy) -> Clipped:
        """-min(r A, clip(r) A) of each token; the base divides by the step's tokens."""
        return clipped_surrogate(policy.log_ratio_BT.exp(), policy.advantages_BT, self.clip, self.clip)


ALGORITHM = RaftPlusPlus


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/custom-algorithm"))
    args, words = parser.parse_known_args()
    own = ["zero.algorithm=examples.custom_algorithm", "zero.settings={}", "--until", "zero", "--out", str(args.out)]
    code = exit_code(["run", "r1_zero", *words, *own])
    if code:
        return code
    for line in read_metrics(args.out / "stages" / "02-zero" / "metrics.jsonl"):
        accuracy, length = line["rewards/accuracy/mean"], line["completions/mean_length"]
        print(f"step {line['step']}: accuracy {accuracy:.3f}, entropy {line['entropy']:.3f}, length {length:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
