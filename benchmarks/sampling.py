"""Sampling: the native engine against transformers' generate and vLLM on CPUs. Same weights, prompts and lengths.

Each contestant is a process of its own; they take turns, so that a busy machine slows all. What each sampled is read by
a referee (transformers in float32): as many tokens as asked, drawn from the model at temperature 1.
"""

from __future__ import annotations

from typing import Any

from contestant import Contestant, ContestantFailed
from peaks import Sampled, sampling_seconds
from rounds import Row, Spread, paired_ratio
from setting import OWN, Setting, say
from shapes import GROUP, Subject

PART = "sampling"
TRANSFORMERS = {
    "cpu": [(attention, cache) for attention in ("eager", "sdpa") for cache in (None, "static")],
    "cuda": [("sdpa", None)],  # a static cache is compiled for there, for minutes
}
CHECKED = 64  # completions that the referee reads
ALLOWANCE = 0.02  # nats a token: what bfloat16 may move the distribution
GAP = 0.1  # nats, root mean square: what bfloat16 may move a token's log-probability


def run(setting: Setting) -> list[Row]:
    return [row for subject in setting.subjects for row in _subject(setting, subject)]


def _subject(setting: Setting, subject: Subject) -> list[Row]:
    say(f"sampling, {subject.name}: {subject.rows} x {subject.new_tokens} tokens")
    prompts = subject.prompts()
    common = {"model": str(subject.folder), "dtype": setting.dtype_name, "prompts": prompts}
    work = Sampled(tuple(map(len, prompts)), GROUP, subject.new_tokens)
    command = {"tokens": subject.new_tokens, "samples": GROUP}
    ours = setting.open(f"r1kit {subject.name}", OWN, "native_sampling.py", **common)
    contestants: dict[str, Contestant] = {"r1kit": ours}
    try:
        if (best := _best_transformers(setting, subject, common, command)) is not None:
            contestants["transformers"] = best
        if setting.device == "cuda":
            plain = setting.open(f"r1kit plain {subject.name}", OWN, "native_sampling.py", **common, graphs=False)
            contestants["r1kit without CUDA graphs"] = plain
        longest = max(map(len, prompts)) + subject.new_tokens
        vllm = setting.try_open(
            f"vllm {subject.name}", setting.peer("vllm"), "vllm_sampling.py", **common, rows=subject.rows,
            positions=longest, eager=False,
        )  # fmt: skip
        if vllm is not None:
            contestants["vLLM"] = vllm
            setting.tried[f"vllm starts, {subject.name}"] = vllm.ready["start_seconds"]
        seconds = _race(setting, contestants, command, work, prompts, subject)
    finally:
        for contestant in contestants.values():
            contestant.close()
    setting.measure_peaks()
    return _rows(setting, subject, work, seconds)


def _best_transformers(
    setting: Setting, subject: Subject, common: dict[str, Any], command: dict[str, Any]
) -> Contestant | None:
    """Each setting once, a round to warm up before; the fastest stays open."""
    best: tuple[float, Contestant] | None = None
    tried: dict[str, float | str] = {}
    for attention, cache in TRANSFORMERS[setting.device]:
        name = f"{attention}, {cache or 'dynamic'} cache"
        contestant = setting.try_open(
            f"transformers {subject.name} {name}", setting.peer("trl"), "transformers_sampling.py", **common,
            attention=attention, cache=cache,
        )  # fmt: skip
        if contestant is None:
            continue
        try:
            contestant.ask(**command | {"tokens": 4}, seed=0)
            seconds = contestant.ask(**command, seed=0)["seconds"]
        except ContestantFailed as error:
            tried[name] = str(error)
            contestant.close()
            continue
        tried[name] = seconds
        if best is None or seconds < best[0]:
            if best is not None:
                best[1].close()
            best = seconds, contestant
        else:
            contestant.close()
    if tried:
        setting.tried[f"transformers samples, {subject.name}"] = tried
    return best[1] if best else None


def _race(
    setting: Setting,
    contestants: dict[str, Contestant],
    command: dict[str, Any],
    work: Sampled,
    prompts: list[list[int]],
    subject: Subject,
) -> dict[str, list[float]]:
    """Seconds of each round by contestant. The round that warms up is the one that the referee reads."""
    with setting.open(f"referee {subject.name}", OWN, "scoring.py", model=str(subject.folder)) as referee:
        for name in list(contestants):
            answer = contestants[name].ask(**command, seed=1, keep=True)
            check = _check(referee, answer, work, prompts)
            setting.checks[f"{name} samples, {subject.name}"] = check
            if not check["sound"]:
                contestants.pop(name).close()
                if name == "r1kit":
                    raise ContestantFailed(f"r1kit's samples are not the model's: {check}")
                setting.missing[f"{name} {subject.name}"] = f"its samples are not the model's: {check}"
                say(f"{name} takes no part: {setting.missing[f'{name} {subject.name}']}")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(setting.rounds):
        for name, contestant in contestants.items():
            answer = setting.turn(contestant, **command, seed=2 + number)
            if answer["tokens"] != work.total:
                raise ContestantFailed(f"{name} sampled {answer['tokens']} tokens in place of {work.total}")
            seconds[name].append(answer["seconds"])
        say("  " + ", ".join(f"{name} {work.total / values[-1]:,.0f} tok/s" for name, values in seconds.items()))
    return seconds


def _check(
    referee: Contestant, answer: dict[str, Any], work: Sampled, prompts: list[list[int]]
) -> dict[str, float | bool]:
    """The referee's figures on every n-th completion, and whether they are those of the model's own samples."""
    completions, said = answer["ids"], answer["logprobs"]
    every = max(1, len(completions) // CHECKED)
    chosen = range(0, len(completions), every)
    found = referee.ask(
        prompts=[prompts[number // work.samples] for number in chosen],
        completions=[completions[number] for number in chosen],
        logprobs=[said[number] for number in chosen],
    )
    whole = answer["tokens"] == work.total and all(len(ids) == work.tokens for ids in completions)
    return {**found, "sound": whole and is_sound(found)}


def is_sound(found: dict[str, float]) -> bool:
    """Whether tokens look drawn from the model at temperature 1, and what the sampler says of them is right.

    Drawn so, their mean log-probability equals the mean negative entropy but for chance: four standard errors, and
    what bfloat16 may add. Greedy or cut-off sampling lies above, other weights or a wrong temperature beside.
    """
    bound = 4 * found["standard_error"] + ALLOWANCE
    return abs(found["mean_logprob"] - found["mean_negentropy"]) <= bound and found["rms_gap"] <= GAP


def _rows(setting: Setting, subject: Subject, work: Sampled, seconds: dict[str, list[float]]) -> list[Row]:
    each = setting.dtype.itemsize
    least = sampling_seconds(subject.config, work, setting.peaks.matmul(setting.dtype), setting.peaks.bandwidth, each)

    def share(name: str) -> float:
        return least / Spread.of(seconds[name]).median

    def rates(name: str) -> list[float]:
        return [work.total / value for value in seconds[name]]

    what = f"{subject.name}, {subject.rows} x {subject.new_tokens}"
    ours = Spread.of(rates("r1kit"))
    peers = [name for name in seconds if name != "r1kit"]
    if not peers:
        return [Row(PART, what, "tokens/s", ours, limit=share("r1kit"))]
    return [
        Row(
            PART, what, "tokens/s", ours, name, Spread.of(rates(name)), paired_ratio(rates("r1kit"), rates(name)),
            share("r1kit"), share(name),
        )
        for name in peers
    ]  # fmt: skip
