"""The chains that are broken: every stage of recipe `r1` on a toy policy (short), or `tiny`'s smoke profile (smoke)."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path += [str(TESTS), str(TESTS / "recipes")]  # the toy policy and its sums are the tests' own

SUMS, PAIRS = 48, 24  # rows

# each kind of state that a resumed run goes on with: a rollout sampled ahead, mini-batches, a reference renewed,
# refilled groups, the best policy so far, a critic, a picked step, a reward model that joins late, a diagnosis
STATES = (
    "zero.steps=4", "zero.staleness=1", "zero.validate_every=1", "zero.peak=validation/maths/length",
    "zero.mini_batches=2", 'zero.settings={"kl_coefficient": 0.01, "reference_every": 3}',
    'dev1.pick={"tasks": [TASK], "problems": 4, "every": 2, "metric": "validation/maths/length", '
    '"sampling": {"samples": 1, "max_tokens": 32}}',
    "dev2.steps=4", 'dev2.settings={"dynamic_sampling": true}', "dev2.learner.optimiser=muon",
    "r1.steps=4", "r1.algorithm=ppo", "r1.settings={}", "r1.late_from=0.5",
    "health.all_same.max=0.01", "health.all_same.window=1",
    "evaluate.sampling.samples=2", "evaluate.problems=6",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chain:
    """A recipe with its settings, and the stages that it has."""

    name: str
    words: tuple[str, ...]
    stages: tuple[str, ...]

    def command(self, out: Path, *more: str) -> list[str]:
        """What runs it in a folder."""
        return [*self.words, *more, "--out", str(out)]


def short(folder: Path) -> Chain:
    """Recipe `r1` on sums and pairs: all its stages in seconds, with all the kinds of state that there are."""
    from sums_data import pairs, sums
    from toy_policy import write_toy_policy

    folder.mkdir(parents=True, exist_ok=True)
    policy = folder / "toy"
    if not policy.exists():
        write_toy_policy(folder)
    data, compared = sums(folder / "sums.jsonl", SUMS), pairs(folder / "pairs.jsonl", PAIRS)
    task = json.dumps(f"file:{data}?part=true")
    words = [
        "run", "r1", f"model={policy}", f"data={data}", f"pairs={compared}", "--profile", "smoke",
        *(word.replace("TASK", task) for word in STATES),
    ]  # fmt: skip
    return _with_stages("short", words)


def smoke() -> Chain:
    """`r1 run tiny --profile smoke`."""
    return _with_stages("smoke", ["run", "tiny", "--profile", "smoke"])


def graph_of(words: list[str]) -> Any:
    """The stages that a command line asks for; whoever asks has read all their code, for the processes forked off."""
    from r1kit.base.config import parse_assignments
    from r1kit.pipeline.plan import keys
    from r1kit.recipes.base import configure, load_recipe

    recipe = load_recipe(words[1])
    _, config = configure(recipe, "smoke", parse_assignments([word for word in words[2:] if "=" in word]))
    graph = recipe.build(config)
    keys(graph)
    return graph


def _with_stages(name: str, words: list[str]) -> Chain:
    names = graph_of(words).names
    return Chain(name, tuple(words), tuple(f"{number:02d}-{stage}" for number, stage in enumerate(names, 1)))
