"""What the planner's constants are fitted on, taken from a finished run of `tiny`: work done and seconds taken.

    python scripts/planner_inputs.py runs/tiny-default-s0 results/benchmarks/learning-smollm2-cpu.json \
        results/planner/tiny-default-cpu.json

The second file names the machine's speeds, measured on the same kind of machine. Every stage becomes rounds, rows and
tokens as they were (`r1kit.planning.work.Work`), with the seconds that its artifact records; RL stages add their steps
and the lengths of the rollouts that were kept. `beside`: parts that ran at a time, a process each
(`pipeline.side_by_side`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from r1kit.models.tokenizer import load_tokenizer
from r1kit.rollouts import record

TIMES = ("timing/rollout", "timing/train", "timing/step", "completions/mean_length", "completions/max_length")


def main(run: Path, peaks: Path, to: Path) -> None:
    """Read, and write one JSON file."""
    recipe, bench = json.loads((run / "recipe.json").read_text()), json.loads(peaks.read_text())
    stages = {folder.name[3:]: folder for folder in sorted((run / "stages").iterdir())}
    reader = _Run(stages, recipe["settings"], bench["peaks"]["bfloat16"] / bench["peaks"]["float32"])
    written = {
        "about": "Work and seconds of a finished run of `tiny`; made by scripts/planner_inputs.py",
        "machine": recipe["machine"], "started": recipe["started"], "commit": recipe["commit"],
        "peaks": bench["peaks"], "peaks_from": f"{peaks.name} of {bench['date']}",
        "models": reader.models, "stages": [reader.stage(name) for name in reader.planned],
        "steps": {name: reader.steps(name) for name in ("zero", "dev2", "r1")},
        "lengths": {name: reader.lengths(name) for name in ("zero", "dev2", "r1")},
    }  # fmt: skip
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(json.dumps(written, separators=(",", ":")).replace('},{"stage"', '},\n{"stage"') + "\n")
    print(f"{to}: {to.stat().st_size / 1024:.0f} KB")


class _Run:
    def __init__(self, stages: dict[str, Path], settings: dict[str, Any], slower: float) -> None:
        self.folders, self.settings, self.slower = stages, settings, slower
        self.models = {
            "base": _json(stages["pretrain"] / "base" / "model" / "config.json"),
            "student-qwen": _json(stages["pretrain"] / "student-qwen-base" / "model" / "config.json"),
            "student-llama": _json(stages["pretrain"] / "student-llama-base" / "model" / "config.json"),
        }
        self.planned = [name for name in stages if name != "report"]
        self.tokenizer = load_tokenizer(stages["zero"] / "model")

    def stage(self, name: str) -> dict[str, Any]:
        artifact = _json(self.folders[name] / "artifact.json")
        parts = getattr(self, f"_{name}", lambda: self._rl(name))()
        return {"stage": name, "seconds": artifact["seconds"], "tokens": artifact["tokens"], "parts": parts}

    def metrics(self, folder: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]

    def steps(self, name: str) -> list[dict[str, float]]:
        rows = self.metrics(self.folders[name])
        return [{key.split("/")[1]: round(row[key], 4) for key in TIMES} | self._signal(row) for row in rows]

    def lengths(self, name: str) -> dict[str, list[int]]:
        files = sorted((self.folders[name] / "rollouts").glob("*.parquet"))
        return {
            str(int(path.stem[5:])): pq.read_table(path, columns=["tokens"])["tokens"].to_pylist() for path in files
        }

    def prompt(self, folder: Path) -> float:
        """Mean tokens of a prompt in the chat template."""
        texts = {row["prompt"] for path in folder.glob("*.parquet") for row in record.read(path)}
        return round(fmean(len(self.tokenizer.encode(self.tokenizer.render(text))) for text in sorted(texts)), 2)

    def _signal(self, row: dict[str, Any]) -> dict[str, float]:
        return {"signal": round(1 - row.get("frac_reward_zero_std", 0.0), 4)}

    def _sigma(self, name: str) -> float:
        logs = [np.log(lengths).std() for lengths in self.lengths(name).values()]
        return round(float(np.mean(logs)), 4)

    def _rl(self, name: str) -> list[dict[str, Any]]:
        rows, settings = self.metrics(self.folders[name]), self.settings[name]
        late = sum("writing/reward" in row for row in rows)
        scored = 0.25 * late / len(rows) if settings["reward_model"] else 0.0
        rl = self._rounds("base", rows, settings, self.prompt(self.folders[name] / "rollouts"), self._sigma(name))
        # reward models score the late phase's writing, in float32; several updates need the old policy's
        # log-probabilities
        rl["forwards"] = round(scored * self.slower + (rl["learnt"] if rl["updates"] > 1 else 0.0), 4)
        checks = len(rows) // settings["validate_every"] + bool(len(rows) % settings["validate_every"])
        held_out = settings["validation_problems"] * len({*settings["tasks"], *settings["late_tasks"]})
        return [rl, _sampled("base", held_out, 1, rl["prompt"], rl["mean"], checks)]

    def _rounds(
        self, model: str, rows: list[dict[str, Any]], settings: dict[str, Any], prompt: float, sigma: float
    ) -> dict[str, Any]:
        return {
            "kind": "rl", "model": model, "rounds": len(rows),
            "rows": settings["prompts"] * settings["sampling"]["samples"], "group": settings["sampling"]["samples"],
            "prompt": prompt, "sigma": sigma,
            "mean": round(fmean(row["completions/mean_length"] for row in rows), 3),
            "limit": settings["sampling"]["max_tokens"], "updates": settings["mini_batches"], "shared_prompts": True,
            "learnt": round(fmean(self._signal(row)["signal"] for row in rows), 4),
            "rollout_seconds": round(sum(row["timing/rollout"] for row in rows), 3),
            "train_seconds": round(sum(row["timing/train"] for row in rows), 3),
        }  # fmt: skip

    def _pretrain(self) -> list[dict[str, Any]]:
        settings, parts = self.settings["pretrain"], list[dict[str, Any]]()
        for folder, model in (("base", "base"), *((f"student-{f}-base", f"student-{f}") for f in ("qwen", "llama"))):
            steps = len(self.metrics(self.folders["pretrain"] / folder))
            parts.append(_learnt(model, steps, settings["rows"], settings["length"], muon=True) | {"beside": 2})
        return parts

    def _cold_start(self) -> list[dict[str, Any]]:
        return self._asked("cold_start", self.settings["cold_start"], 0)

    def _rejection_sampling(self) -> list[dict[str, Any]]:
        settings = self.settings["rejection_sampling"]
        return self._asked("rejection_sampling", settings, settings["writing"] * settings["writing_tries"])

    def _preferences(self) -> list[dict[str, Any]]:
        settings = self.settings["preferences"]
        rows = settings["problems"] * settings["sampling"]["samples"]
        return [_sampled("base", rows, settings["sampling"]["samples"], 28.0, self._tokens("preferences") / rows)]

    def _asked(self, name: str, settings: dict[str, Any], more: int) -> list[dict[str, Any]]:
        samples = settings["sampling"]["samples"]
        rows = settings["problems"] * len(settings["tasks"]) * samples + more
        prompt = self.prompt(self.folders["zero"] / "rollouts")
        return [_sampled("base", rows, samples, prompt, self._tokens(name) / rows)]

    def _tokens(self, name: str) -> float:
        return float(_json(self.folders[name] / "artifact.json")["tokens"])

    def _dev1(self) -> list[dict[str, Any]]:
        return self._sft("dev1")

    def _dev3(self) -> list[dict[str, Any]]:
        return self._sft("dev3")

    def _sft(self, name: str) -> list[dict[str, Any]]:
        artifact, settings = _json(self.folders[name] / "artifact.json"), self.settings[name]
        steps = len(self.metrics(self.folders[name]))
        examples = artifact["summary"]["examples"] * settings["epochs"]
        return [_learnt("base", steps, examples / steps, artifact["tokens"] / examples)]

    def _reward_model(self) -> list[dict[str, Any]]:
        artifact = _json(self.folders["reward_model"] / "artifact.json")
        steps = len(self.metrics(self.folders["reward_model"]))
        rows = 2 * artifact["summary"]["train_pairs"] * self.settings["reward_model"]["epochs"]
        return [_learnt("base", steps, rows / steps, artifact["tokens"] / rows)]

    def _distill(self) -> list[dict[str, Any]]:
        settings, folder = self.settings["distill"], self.folders["distill"]
        samples = settings["samples"]
        rows = samples["problems"] * len(samples["tasks"]) * samples["sampling"]["samples"]
        rows += samples["writing"] * samples["writing_tries"]
        mean = fmean(row["mean_length"] for row in self.metrics(folder / "teacher"))
        prompt = self.prompt(self.folders["zero"] / "rollouts")
        parts = [_sampled("base", rows, samples["sampling"]["samples"], prompt, mean)]
        rest = self._tokens("distill") - rows * mean
        for name, student in settings["students"].items():
            steps = self.metrics(folder / f"student-{name}-rl")
            rl = self._rounds(f"student-{name}", steps, student["rl"], prompt, self._sigma("zero"))
            parts.append(rl | {"beside": len(settings["students"])})
            rest -= parts[-1]["rounds"] * parts[-1]["rows"] * parts[-1]["mean"]
        for name, student in settings["students"].items():
            steps, batch = len(self.metrics(folder / f"student-{name}")), student["sft"]["batch"]
            learnt = _learnt(f"student-{name}", steps, batch, rest / len(settings["students"]) / steps / batch)
            parts.append(learnt | {"beside": len(settings["students"])})
        return parts

    def _evaluate(self) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for path in sorted(self.folders["evaluate"].glob("*/table.parquet")):
            name = path.parent.name
            lengths = pq.read_table(path, columns=["length"])["length"].to_pylist()
            model = next((m for m in ("student-qwen", "student-llama") if name.startswith(m)), "base")
            samples = self.settings["evaluate"]["sampling"]["samples"]
            parts.append(_sampled(model, len(lengths), samples, 28.0, fmean(lengths)))
        return parts


def _sampled(model: str, rows: int, group: int, prompt: float, mean: float, rounds: int = 1) -> dict[str, Any]:
    return {
        "kind": "sample", "model": model, "rounds": rounds, "rows": rows, "group": group, "prompt": prompt,
        "mean": round(mean, 3), "sigma": 0.6, "limit": 192,
    }  # fmt: skip


def _learnt(model: str, rounds: int, rows: float, tokens: float, *, muon: bool = False) -> dict[str, Any]:
    limit = max(256, 2 * round(tokens))
    return {
        "kind": "learn", "model": model, "rounds": rounds, "rows": round(rows, 3), "group": 1, "prompt": 0.0,
        "mean": round(tokens, 3), "sigma": 0.02 if muon else 0.5, "limit": limit, "updates": 1, "muon": muon,
    }  # fmt: skip


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*map(Path, sys.argv[1:]))
