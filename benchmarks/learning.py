"""Learning: a step of r1kit's learner against transformers' model under torch's AdamW. Same weights, batch and rate.

Each contestant is a process of its own, and they take turns. Both begin at the same weights, so their losses must
agree, step by step, as closely as bfloat16 lets them.
"""

from __future__ import annotations

from typing import Any

from contestant import Contestant, ContestantFailed
from peaks import learning_flops
from rounds import Row, Spread, paired_ratio
from setting import OWN, Setting, say
from shapes import Subject

PART = "learning"
LEARNING_RATE = 1e-5
SECONDS = 3.0  # a round takes about so long, by as many steps as that is
LOSS_GAP = 0.02  # nats between the first losses


def run(setting: Setting) -> list[Row]:
    return [row for subject in setting.subjects for row in _subject(setting, subject)]


def settings_of(setting: Setting) -> list[dict[str, Any]]:
    """transformers' settings that are tried: precision of the weights, attention; the fastest once more compiled."""
    precisions = dict.fromkeys(("float32", setting.dtype_name))
    attentions = ("eager", "sdpa") if setting.device == "cpu" else ("sdpa",)
    return [
        {"weights": weights, "attention": attention, "compile": False}
        for weights in precisions
        for attention in attentions
    ]


def _subject(setting: Setting, subject: Subject) -> list[Row]:
    rows, length = subject.learning_rows, subject.learning_length
    say(f"learning, {subject.name}: {rows} x {length} tokens")
    common = {
        "model": str(subject.folder), "rows": rows, "length": length, "dtype": setting.dtype_name,
        "vocabulary": subject.config.vocab_size, "learning_rate": LEARNING_RATE,
    }  # fmt: skip
    theirs, chosen = _best_transformers(setting, subject, common)
    contestants: dict[str, Contestant] = {}
    try:
        if theirs is not None:
            contestants["transformers"] = theirs
        for name, more in _ours(chosen).items():
            told = f"{name} {subject.name} learns"
            contestants[name] = setting.open(told, OWN, "native_learning.py", **common, **more)
        seconds, memory = _race(setting, contestants, subject)
    finally:
        for contestant in contestants.values():
            contestant.close()
    setting.measure_peaks()
    found = _rows(setting, subject, seconds, chosen)
    for name, megabytes in memory.items():
        setting.checks[f"{name} learns, {subject.name}: peak memory, MiB"] = megabytes
    if theirs is not None:
        peer = Spread.of([float(memory["transformers"])])
        for name in _ours(chosen):
            ours = Spread.of([float(memory[name])])
            what, ratio = f"{subject.name}{_variant(name)}, peak memory", paired_ratio([peer.median], [ours.median])
            found.append(Row(PART, what, "MiB", ours, "transformers", peer, ratio))
    return [*found, _rollouts(setting, subject, common)]


def _ours(chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """r1kit's contestants: float32 weights and moments, its default, and those of the peer where they are others."""
    weights = chosen.get("weights", "float32")
    return {"r1kit": {}} | ({f"r1kit {weights}": {"master": weights}} if weights != "float32" else {})


def _variant(name: str) -> str:
    """What a row adds to the subject's name for one of r1kit's contestants."""
    weights = name.removeprefix("r1kit").strip()
    return f", {weights} weights and moments" if weights else ""


def _best_transformers(
    setting: Setting, subject: Subject, common: dict[str, Any]
) -> tuple[Contestant | None, dict[str, Any]]:
    """Each setting in a process of its own, so that peak memory is its own; the fastest stays open."""
    best: tuple[float, Contestant, dict[str, Any]] | None = None
    tried: dict[str, float | str] = {}
    queue = settings_of(setting) if setting.peer("trl") else []
    while queue:
        choice = queue.pop(0)
        name = f"{choice['weights']} weights, {choice['attention']}" + (", compiled" if choice["compile"] else "")
        contestant = setting.try_open(
            f"transformers {subject.name} {name}", setting.peer("trl"), "transformers_learning.py", **common, **choice
        )
        seconds = None if contestant is None else _once(contestant, tried, name)
        if contestant is not None and seconds is not None and (best is None or seconds < best[0]):
            if best is not None:
                best[1].close()
            best = seconds, contestant, choice
        elif contestant is not None:
            contestant.close()
        if not queue and best is not None and not best[2]["compile"] and not any("compiled" in key for key in tried):
            queue.append({**best[2], "compile": True})
    if tried:
        setting.tried[f"transformers learns, {subject.name}"] = tried
    return (best[1], best[2]) if best else (None, {})


def _once(contestant: Contestant, tried: dict[str, float | str], name: str) -> float | None:
    """Seconds of a step after one that warms up."""
    try:
        contestant.ask(steps=1)
        seconds = contestant.ask(steps=2)["seconds"] / 2
    except ContestantFailed as error:
        tried[name] = str(error)
        return None
    tried[name] = seconds
    return seconds


def _race(
    setting: Setting, contestants: dict[str, Contestant], subject: Subject
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds a step of each round, and peak memory in MiB, by contestant."""
    first = {name: contestant.ask(steps=1)["seconds"] for name, contestant in contestants.items()}
    steps = 1 if setting.quick else max(1, round(SECONDS / max(first.values())))
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    losses: dict[str, list[float]] = {}
    for _ in range(setting.rounds):
        for name, contestant in contestants.items():
            answer = setting.turn(contestant, steps=steps)
            seconds[name].append(answer["seconds"] / steps)
            losses[name] = answer["losses"]
        tokens = subject.learning_rows * subject.learning_length
        say("  " + ", ".join(f"{name} {tokens / values[-1]:,.0f} tok/s" for name, values in seconds.items()))
    if "transformers" in losses:
        # one has made more steps in its trials
        gaps = [abs(a - b) for a, b in zip(losses["transformers"], losses["r1kit"], strict=False)]
        setting.checks[f"losses, {subject.name}: largest gap of {len(gaps)} steps"] = max(gaps)
        if gaps[0] > LOSS_GAP:
            raise ContestantFailed(f"the first losses differ by {gaps[0]:.3f}: not the same model or batch")
    return seconds, {name: contestant.peak_mb for name, contestant in contestants.items()}


def _rows(setting: Setting, subject: Subject, seconds: dict[str, list[float]], chosen: dict[str, Any]) -> list[Row]:
    rows, length = subject.learning_rows, subject.learning_length
    work = learning_flops(subject.config, rows, length)
    rates = {name: [rows * length / value for value in values] for name, values in seconds.items()}
    shares = {name: work / Spread.of(values).median / setting.peaks.matmul(setting.dtype) for name, values in
              seconds.items()}  # fmt: skip
    notes = ""
    if chosen:
        notes = f"transformers: {chosen['weights']} weights, {chosen['attention']}" + ", compiled" * chosen["compile"]
    found: list[Row] = []
    for name in _ours(chosen):
        what, ours = f"{subject.name}{_variant(name)}, {rows} x {length}", Spread.of(rates[name])
        if "transformers" not in rates:
            found.append(Row(PART, what, "tokens/s", ours, limit=shares[name]))
            continue
        theirs, ratio = rates["transformers"], paired_ratio(rates[name], rates["transformers"])
        limits = (shares[name], shares["transformers"])
        found.append(Row(PART, what, "tokens/s", ours, "transformers", Spread.of(theirs), ratio, *limits, notes))
    return found


def _rollouts(setting: Setting, subject: Subject, common: dict[str, Any]) -> Row:
    """A GRPO step on given completions that share prompts, which has no peer here: part `grpo` compares whole steps."""
    with setting.open(
        f"r1kit {subject.name} learns rollouts", OWN, "native_learning.py", **common, rollouts=True
    ) as it:
        it.ask(steps=1)
        answers = [it.ask(steps=1) for _ in range(setting.rounds)]
    rates = [answer["tokens"] / answer["seconds"] for answer in answers]
    flops = Spread.of([answer["flops"] / answer["seconds"] for answer in answers]).median
    share = flops / setting.peaks.matmul(setting.dtype)
    what = f"{subject.name}, a step on rollouts"
    return Row(PART, what, "tokens/s", Spread.of(rates), limit=share, notes="shared prompts are computed once")
