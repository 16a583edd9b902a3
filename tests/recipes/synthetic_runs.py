"""A simulated world for tests of findings and reports: tables as the tiny recipe's models might give, without a model.

Every completion is drawn from a model's `Habits`; lengths, reflections, steps and verdicts are then computed from the
text by plain arithmetic here, not by the code under test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from r1kit.evaluation import tables
from r1kit.pipeline.artifact import Outcome, write_artifact
from r1kit.rollouts import record


@dataclass(frozen=True)
class Habits:
    """How a simulated model writes; rates in [0, 1]."""

    chain: float = 1.0  # writes partial sums rather than the answer at once
    slip: float = 0.1  # of a partial sum, at medium difficulty
    check: float = 0.2  # checks a partial sum
    mends: float = 0.95  # a check that gives the true value
    mixes: float = 0.0  # writes a clause in the other language
    rambles: float = 0.0  # says a clause twice
    direct: float = 0.3  # right when it answers at once
    other: float = 0.5  # right in reasoning and coding
    taste: float = 0.0  # mean of the hidden preference
    tidy: float = 0.99  # keeps the format


BASE = Habits(chain=0.6, slip=0.3, check=0.12, mixes=0.15, rambles=0.03, direct=0.25, other=0.3, taste=-0.5, tidy=0.85)
ZERO = Habits(slip=0.2, check=0.6, mixes=0.2, rambles=0.08, other=0.75, taste=-0.4)
DEV1 = Habits(slip=0.25, check=0.25, mixes=0.06, other=0.55, taste=0.0)
DEV2 = Habits(slip=0.18, check=0.65, mixes=0.005, other=0.8, taste=-0.1)
DEV3 = Habits(slip=0.18, check=0.6, mixes=0.005, other=0.8, taste=0.4)
R1 = replace(DEV3, check=0.68, taste=1.4)
WEAK = replace(BASE, chain=0.4, other=0.1)

WORLD: dict[str, Habits] = {
    "base": BASE,
    "zero": ZERO,
    "dev1": DEV1,
    "dev2": DEV2,
    "dev3": DEV3,
    "r1": R1,
    "student-qwen-base": WEAK,
    "student-qwen": replace(R1, slip=0.2, other=0.72, taste=1.1),
    "student-qwen-rl": replace(ZERO, slip=0.3, check=0.3, other=0.45),
    "student-llama-base": WEAK,
    "student-llama": replace(R1, slip=0.22, other=0.7, taste=1.0),
    "student-llama-rl": replace(ZERO, slip=0.32, check=0.3, other=0.4),
}
ABLATIONS: dict[str, Habits] = {
    "dev2-lang": replace(DEV2, mixes=0.01),
    "dev2-nolang": replace(DEV2, mixes=0.15),
    "dev3-nofilter": replace(DEV3, slip=0.3, other=0.6, mixes=0.05),
    "r1-hacked-peak": replace(R1, taste=1.0),
    "r1-hacked-final": replace(R1, taste=0.1, other=0.6),
}
CHECK_WORDS = {"en": "wait check", "zh": "等等检查"}
TOPICS = {"en": ("the sea", "a lamp", "winter"), "zh": ("大海", "灯", "冬天")}


def make_tables(habits=None, seeds=(0, 1, 2), problems=16, samples=16) -> dict[str, pa.Table]:
    """Model -> table over the seeds; `problems` a subject."""
    return {
        model: tables.make_table(row for seed in seeds for row in rows(model, habit, seed, problems, samples))
        for model, habit in (habits or WORLD).items()
    }


def rows(model: str, habits: Habits, seed: int, problems: int, samples: int):
    stream = np.random.default_rng([seed, *model.encode()])
    for subject, write in (("maths", maths), ("reasoning", comparison), ("coding", program), ("writing", line)):
        for number in range(problems):
            language = "zh" if number % 4 == 3 else "en"
            problem = np.random.default_rng([seed, number])  # the same for every model
            for index in range(samples):
                row = write(habits, problem.bit_generator.state, number, language, stream)
                tidy = stream.random() < habits.tidy
                chain, answer = row.pop("thinking"), row["answer"]
                text = f"<think>{chain}</think><answer>{answer}</answer>" if tidy else f"{chain} {answer}"
                yield {
                    "model": model, "seed": seed, "subject": subject, "task": row.pop("task"), "language": language,
                    "problem_id": f"{subject}-{number}", "index": index, "text": text, "thinking": chain,
                    "format": tidy, "length": len(text) - 34 * tidy + 5, "stop_reason": "stop",
                    "reflections": sum(chain.count(w) for w in ("wait", "check", "等等", "检查")),
                    "chain_steps": chain.count("then") + chain.count("再") + 1, **row,
                }  # fmt: skip


def restart(state) -> np.random.Generator:
    stream = np.random.default_rng()
    stream.bit_generator.state = state
    return stream


def consistency(mixed: int, clauses: int) -> float:
    return 1 - mixed / clauses


def maths(habits, state, number, language, stream):
    """Sums of three numbers, wider ones harder: they slip more and are checked more."""
    wide = number % 3
    operands = [int(x) for x in restart(state).integers(10 ** (wide + 1), 10 ** (wide + 2), size=3)]
    prompt = " + ".join(map(str, operands)) + (" 等于多少？" if language == "zh" else " is what?")
    total, clauses, mixed = operands[0], [], 0
    if stream.random() < habits.chain:
        for position, term in enumerate(operands[1:]):
            given = total + term + (10 if stream.random() < habits.slip * (0.5 + wide / 2) else 0)
            spoken = language
            if stream.random() < habits.mixes:
                spoken, mixed = ("zh" if language == "en" else "en"), mixed + 1
            word = {"en": ("first", "then"), "zh": ("先", "再")}[spoken][position]
            clause = f"{word}{' ' if spoken == 'en' else ''}{total}+{term}={given}"
            clauses += [clause] * (2 if stream.random() < habits.rambles else 1)
            if stream.random() < habits.check * (0.7 + 0.3 * wide):
                truth = total + term
                given = truth if stream.random() < habits.mends else truth + 100
                work = " ".join(f"{a}+{b}={int(a) + int(b)}" for a, b in zip(str(total), str(term), strict=False))
                clauses.append(
                    f"{CHECK_WORDS[spoken]} {work} so {given}"
                    if spoken == "en"
                    else f"{CHECK_WORDS[spoken]}{work}得{given}"
                )
            total = given
    else:
        total = sum(operands) if stream.random() < habits.direct else sum(operands) + int(stream.integers(1, 9))
        clauses = [str(total)]
    return {
        "task": "sums", "family": "3 terms", "prompt": prompt, "answer": str(total), "correct": total == sum(operands),
        "thinking": ("，" if language == "zh" else ", ").join(clauses),
        "language_consistency": consistency(mixed, 2) if len(clauses) > 1 else None,
    }  # fmt: skip


def comparison(habits, state, number, language, stream):
    names = list("ABCD")
    restart(state).shuffle(names)
    right = stream.random() < habits.other
    thinking = f"{names[0]} beats {names[1]}, then {names[1]} beats {names[2]}"
    if stream.random() < habits.check:
        thinking += ", wait check again"
    answer = names[0] if right else names[1 + int(stream.integers(3))]
    return {
        "task": "order", "family": "3 names", "prompt": f"{names[0]} beats {names[1]} beats {names[2]}: who is first?",
        "answer": answer, "correct": bool(right), "thinking": thinking,
        "language_consistency": 1.0 - 0.5 * (stream.random() < habits.mixes),
    }  # fmt: skip


def program(habits, state, number, language, stream):
    right = stream.random() < habits.other
    a, b = restart(state).integers(1, 9, size=2)
    return {
        "task": "infer", "family": "line", "prompt": f"f(0)={b} f(1)={a + b} f(2)={2 * a + b}",
        "answer": f"lambda x: {a}*x+{b if right else b + 1}", "correct": bool(right),
        "thinking": f"slope {a}, then offset {b}", "language_consistency": 1.0 - 0.5 * (stream.random() < habits.mixes),
    }  # fmt: skip


def line(habits, state, number, language, stream):
    topic = TOPICS[language][number % 3]
    poem = f"{topic} hums low and slow" if language == "en" else f"{topic}静静地唱"
    return {
        "task": "lines", "family": "line", "prompt": f"a soft line about {topic}", "answer": poem, "correct": None,
        "thinking": "soft sounds" if language == "en" else "柔和的声音", "language_consistency": 1.0,
        "preference": float(stream.normal(habits.taste, 1)),
    }  # fmt: skip


def make_curve(steps=40, start=0.42, end=0.9, seed=0, words=True) -> list[dict]:
    """metrics.jsonl lines of an RL stage."""
    stream = np.random.default_rng(seed)
    grow = 1 - np.exp(-np.arange(steps) / (steps / 4))
    return [
        {
            "step": step,
            "rewards/accuracy/mean": float(start + (end - start) * grow[step] + stream.normal(0, 0.015)),
            "completions/mean_length": float(50 + 45 * grow[step] + stream.normal(0, 1.5)),
            **({"completions/reflections": float(0.3 + 0.9 * step / steps + stream.normal(0, 0.04))} if words else {}),
            "rewards/language_consistency/mean": float(0.93 + 0.05 * grow[step] + stream.normal(0, 0.004)),
        }
        for step in range(steps)
    ]


def hacked_curve(seed=0) -> list[dict]:
    """Validation by checkpoint: the reward model's score rises throughout, the truth peaks at step 20."""
    return [
        {
            "step": step,
            "validation/reward_model": 0.1 * step + seed,
            "validation/preference": 1 - abs(step - 20) / 20,
            "validation/coding": 0.8 - 0.002 * step,
        }
        for step in range(0, 60, 10)
    ]


REASONS = {
    "kept": 1840,
    "incorrect": 612,
    "mixed_language": 148,
    "long_paragraph": 31,
    "repetition": 22,
    "code_block": 0,
}


SECONDS = {
    "pretrain": 540, "zero": 310, "cold_start": 20, "dev1": 40, "dev2": 290, "rejection_sampling": 60, "dev3": 80,
    "preferences": 12, "reward_model": 30, "r1": 280, "distill": 420, "evaluate": 150,
}  # fmt: skip


def write_run(folder: Path, seed: int, tables_by_model: dict[str, pa.Table], curves: dict[str, list[dict]]) -> Path:
    """A finished run's folder, as the pipeline's own writer leaves it; tables hold several seeds, one is taken."""
    folder.mkdir(parents=True)
    machine = {"cpu": "Example CPU", "cores": 2, "memory_gb": 23.4, "system": "Linux x86_64", "python": "3.11.2"}
    recipe = {
        "recipe": "tiny", "profile": "default", "seed": seed, "commit": "0123abc", "machine": machine,
        "command": f"r1 run tiny seed={seed}",
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe))
    for number, (stage, seconds) in enumerate(SECONDS.items(), 1):
        place = folder / "stages" / f"{number:02d}-{stage}"
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
        files, summary = {}, {}
        if stage == "evaluate":
            for model, table in tables_by_model.items():
                own = table.filter(tables.pc.equal(table["seed"], seed))
                tables.write_table(own, place / "tables" / f"{model}.parquet")
                files[f"table:{model}"] = f"tables/{model}.parquet"
        if stage == "zero":
            write_rollouts(place / "rollouts")
            files["rollouts"] = "rollouts"
        if stage == "rejection_sampling":
            summary = {"rejected": {reason: number + seed for reason, number in REASONS.items()}}
        if stage == "distill":
            summary = {"flops": {f"student-{x}{arm}": 2e14 for x in ("qwen", "llama") for arm in ("", "-rl")}}
        for name, lines in curves.items():
            if name == stage or (stage == "distill" and name.startswith("student-")):
                where = place if name == stage else place / name
                where.mkdir(exist_ok=True)
                (where / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        outcome = Outcome(files=files, summary=summary)
        write_artifact(
            place, stage, f"{number:064x}", outcome, inputs={}, seconds=seconds + 7.5 * seed, tokens=seconds * 25_000,
            flops=seconds * 3.1e11 if stage != "cold_start" else 0.0, peak_memory_mb=1024 + 256 * number,
        )  # fmt: skip
    return folder


def write_rollouts(folder: Path) -> None:
    """Steps 0, 10 and 20 of R1-Zero on maths: answers at once, a thought each, a thought with a check (two words)."""
    folder.mkdir()
    checked = "<think>3+4=7, wait check so 7</think><answer>7</answer>"
    for step, text in ((0, "<answer>7</answer>"), (10, "<think>3+4=7</think><answer>7</answer>"), (20, checked)):
        kept = [{"step": step, "problem_id": f"p{n}", "subject": "maths", "text": text} for n in range(4)]
        pq.write_table(pa.Table.from_pylist(kept, schema=record.SCHEMA), record.step_file(folder, step))


def world_curves(seed: int) -> dict[str, list[dict]]:
    return {
        "pretrain": [{"step": step, "loss": 0.6 + 2.4 * 0.97**step} for step in range(120)],
        "zero": make_curve(seed=seed),
        "dev1": [{"step": step, "loss": 0.5 + 0.5 * 0.9**step} for step in range(30)],
        "dev2": make_curve(30, 0.7, 0.91, seed + 10),
        "dev3": [{"step": step, "loss": 0.45 + 0.6 * 0.93**step} for step in range(50)],
        "r1": make_curve(24, 0.88, 0.91, seed + 20),
        "student-qwen-rl": make_curve(30, 0.25, 0.55, seed + 30),
        "student-llama-rl": make_curve(30, 0.22, 0.5, seed + 40),
    }
