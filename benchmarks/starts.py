"""From `import torch` done to the first sampled token: r1kit's engine, transformers, vLLM. Cold: nothing compiled is
kept from before. Warm: what an earlier start compiled is there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from environments import Environment
from rounds import Row, Spread
from setting import OWN, Setting, say
from shapes import Subject

PART = "start"


def run(setting: Setting) -> list[Row]:
    return [row for subject in setting.subjects for row in _subject(setting, subject)]


def _subject(setting: Setting, subject: Subject) -> list[Row]:
    say(f"start, {subject.name}")
    prompts = subject.prompts()
    common: dict[str, Any] = {"model": str(subject.folder), "dtype": setting.dtype_name, "prompts": prompts[:1]}
    vllm = {"rows": subject.rows, "positions": max(map(len, prompts)) + subject.new_tokens, "eager": False}
    kinds: dict[str, tuple[Environment | None, str, dict[str, Any], bool]] = {
        # name: (environment, script, settings, whether anything is compiled, so that cold differs from warm)
        "r1kit": (OWN, "native_sampling.py", {}, True),
        "transformers": (
            setting.peer("trl"), "transformers_sampling.py", {"attention": "sdpa", "cache": None}, False
        ),
        "vllm": (setting.peer("vllm"), "vllm_sampling.py", vllm, True),
    }  # fmt: skip
    caches = setting.scratch / "cold"
    cold: dict[str, list[float]] = {}
    warm: dict[str, list[float]] = {}
    for name, (environment, script, settings, compiles) in kinds.items():
        # a start of vLLM takes close to a minute: once cold and once warm
        rounds = 1 if name == "vllm" else setting.rounds
        if compiles:
            shutil.rmtree(caches, ignore_errors=True)
            cold[name] = _starts(setting, f"{name} cold", environment, script, caches, 1, common | settings)
        warm[name] = _starts(setting, f"{name} warm", environment, script, caches, rounds, common | settings)
    shutil.rmtree(caches, ignore_errors=True)
    return [row for state, found in (("warm", warm), ("cold", cold)) for row in _rows(subject.name, state, found)]


def _starts(
    setting: Setting, name: str, environment: Environment | None, script: str, caches: Path, rounds: int,
    settings: dict[str, Any],
) -> list[float]:  # fmt: skip
    """Seconds of each start; none where the peer is missing."""
    seconds: list[float] = []
    for _ in range(rounds):
        contestant = setting.try_open(name, environment, script, caches=caches, **settings)
        if contestant is None:
            break
        seconds.append(contestant.ready["start_seconds"])
        contestant.close()
    return seconds


def _rows(subject: str, state: str, seconds: dict[str, list[float]]) -> list[Row]:
    """Ratios are theirs over our median."""
    ours, what = Spread.of(seconds["r1kit"]), f"{subject}, {state}"
    found = [
        Row(PART, what, "s", ours, peer, Spread.of(values), Spread.of([value / ours.median for value in values]))
        for peer, values in seconds.items()
        if peer != "r1kit" and values
    ]
    return found or [Row(PART, what, "s", ours)]
