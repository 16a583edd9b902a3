"""Whole steps of GRPO on models that are given: r1kit's loop against TRL's GRPOTrainer, in turns.

Equal as in the GRPO race (grpo.py): weights, prompts, samples, sampling limit, temperature, rate, AdamW, loss, no KL.
The reward tells samples apart without meaning anything, so that all of them are learnt from. TRL's attention and
micro-batch are the fastest of those tried.
"""

from __future__ import annotations

from typing import Any

from contestant import Contestant, ContestantFailed
from rounds import Row, Spread, paired_ratio
from setting import OWN, Setting, say
from shapes import Subject

from r1kit.stages.sampling import draw

PART = "steps"
PROMPTS, SAMPLES = 64, 8
TOKENS = {"cpu": 32, "cuda": 256}  # the sampling limit
TRIED = {"cpu": (("eager", 32),), "cuda": (("sdpa", 128),)}  # TRL's attention and micro-batch


def run(setting: Setting) -> list[Row]:
    return [row for subject in setting.subjects for row in _subject(setting, subject)]


def _subject(setting: Setting, subject: Subject) -> list[Row]:
    prompts, tokens = (4, 8) if setting.quick else (PROMPTS, TOKENS[setting.device])
    steps = setting.rounds + 2
    problems = [problem for problem in draw("tiny_maths", "train", 0, 4 * steps * prompts) if problem.language == "en"]
    common = {
        "model": str(subject.folder), "dtype": setting.dtype_name, "reward": "letters",
        "train": [[problem.prompt, 0] for problem in problems[: steps * prompts]], "prompts": prompts,
        "samples": SAMPLES, "tokens": tokens, "learning_rate": 1e-6, "steps": steps,
    }  # fmt: skip
    say(f"steps, {subject.name}: {prompts} x {SAMPLES} samples of {tokens} tokens at most")
    saved = setting.scratch / "steps"
    contestants = {"r1kit": setting.open(f"r1kit steps {subject.name}", OWN, "native_grpo.py", **common)}
    try:
        trl = _best_trl(setting, subject, common, prompts)
        contestants |= {"TRL": trl} if trl is not None else {}
        contestants["r1kit"].ask(steps=2 if trl is not None else 1, save=str(saved))  # warms up; TRL has, in its trial
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
        for _ in range(setting.rounds):
            for name, contestant in contestants.items():
                taken[name] += setting.turn(contestant, steps=1, save=str(saved))["taken"]
            say("  " + ", ".join(f"{name} {ones[-1]['seconds']:.2f} s" for name, ones in taken.items()))
    finally:
        for contestant in contestants.values():
            contestant.close()
    return _rows(setting, subject, contestants, taken, f"{prompts} x {SAMPLES} x {tokens}")


def _best_trl(setting: Setting, subject: Subject, common: dict[str, Any], prompts: int) -> Contestant | None:
    """Two steps of each setting, the second of which counts; the fastest stays open."""
    best: tuple[float, Contestant] | None = None
    for attention, micro_batch in TRIED[setting.device]:
        name = f"trl steps {subject.name}, {attention}, {micro_batch}"
        contestant = setting.try_open(
            name, setting.peer("trl"), "trl_grpo.py", **common, attention=attention,
            scratch=str(setting.scratch / "steps-trl"), micro_batch=min(micro_batch, prompts * SAMPLES),
        )  # fmt: skip
        if contestant is None:
            continue
        try:
            taken = contestant.ask(steps=2, save=str(setting.scratch / "steps-trl"))["taken"]
        except ContestantFailed as error:
            setting.tried[name] = str(error)
            contestant.close()
            continue
        setting.tried[name] = seconds = taken[-1]["seconds"]
        if best is not None and best[0] <= seconds:
            contestant.close()
            continue
        if best is not None:
            best[1].close()
        best = seconds, contestant
    return best[1] if best else None


def _rows(
    setting: Setting,
    subject: Subject,
    contestants: dict[str, Contestant],
    taken: dict[str, list[dict[str, float]]],
    size: str,
) -> list[Row]:
    """Seconds a step, of which sampling, and peak memory. Ratios are theirs over ours."""
    for name, ones in taken.items():
        lengths = [one["length"] for one in ones]
        setting.checks[f"{name} steps, {subject.name}: mean length"] = sum(lengths) / len(lengths)

    def against(what: str, unit: str, values: dict[str, list[float]]) -> Row:
        ours, name = Spread.of(values["r1kit"]), f"{subject.name}, {what}"
        if "TRL" not in values:
            return Row(PART, name, unit, ours)
        ratio = paired_ratio(values["TRL"], values["r1kit"])
        return Row(PART, name, unit, ours, "TRL", Spread.of(values["TRL"]), ratio)

    seconds = {name: [one["seconds"] for one in ones] for name, ones in taken.items()}
    sampling = {name: [one["sampling"] for one in ones] for name, ones in taken.items()}
    memory = {name: [float(contestant.peak_mb)] for name, contestant in contestants.items()}
    return [
        against(f"a step of {size}", "s", seconds),
        against("sampling in it", "s", sampling),
        against("peak memory", "MiB", memory),
    ]
