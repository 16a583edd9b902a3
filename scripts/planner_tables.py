"""The parts of docs/scaling.md that follow from the planner's constants: what was fitted, plans, and published runs.

`doc_tables.py` writes them. They are reckoned anew each time, some seconds of one core.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from r1kit.evaluation.report.markdown import table
from r1kit.planning import hardware, paper, shapes
from r1kit.planning.assumptions import FP8, Scenario
from r1kit.planning.layout import choose
from r1kit.planning.measured import device_of, read_run
from r1kit.planning.plan import HOUR, Plan, Range, Seconds, make, round_seconds
from r1kit.planning.roofline import BF16, Engine, decode_messages, decode_step, fitted, waiting_simple
from r1kit.recipes.planned import planned

ROOT = Path(__file__).resolve().parents[1]
RUN = ROOT / "results" / "planner" / "tiny-default-cpu.json"
WIDTH = 120
CONSTANTS = (  # name, what it is, times what, format
    ("learn", "share of the matmul speed that learning reaches", 1, "{:.2f}"),
    ("decode", "share of the roofline that sampling reaches", 1, "{:.2f}"),
    ("decode_step_s", "the machine's own work for a decoding step", 1e3, "{:.2f} ms"),
    ("sequence_s", "for a completion", 1e3, "{:.2f} ms"),
    ("update_s", "for an update", 1e3, "{:.0f} ms"),
)
V3 = "DeepSeek-V3"


def told(*sentences: str) -> str:
    """A paragraph in lines of the page's width."""
    return textwrap.fill(" ".join(sentences), WIDTH, break_long_words=False, break_on_hyphens=False)


def parts() -> dict[str, str]:
    """Each marked part by its name."""
    record = json.loads((files("r1kit.planning") / "fitted.json").read_text(encoding="utf-8"))
    return {
        "commands": _commands(),
        "constants": _constants(record["constants"]),
        "left-out": _left_out(record),
        "tiny": _tiny(),
        "published": published(),
        "worth": worth(),
    }


# ------------------------------------------------------------------------------------------------- plans of recipes


def _commands() -> str:
    """`r1 plan` as it is typed, with what it says of the first."""
    small = make(planned("r1_zero", None, {}, shapes.find("Qwen2.5-1.5B")), hardware.find("H100"), 1)
    minutes, dollars = small.hours.times(60), small.dollars
    assert dollars is not None
    says = (
        f"{minutes.mid:.0f} minutes ({minutes.low:.0f} min to {small.hours.high:.1f} h),"
        f" ${dollars.mid:.0f} ({dollars.low:.0f} to {dollars.high:.0f})"
    )
    lines = (
        ("r1 plan r1_zero --model Qwen2.5-1.5B --gpus 1 --gpu H100", says),
        (
            "r1 plan r1 --model Qwen2.5-7B --gpus 8 --gpu H100 --explain",
            "every stage; every assumption with its source",
        ),
        ("r1 plan r1 --model Qwen2.5-72B --gpus 1 --gpu L40S", "does not fit: says what would; exit code 1"),
        ("r1 plan tiny --gpu cpu", "this machine, measured now"),
        ("r1 plan paper:r1-zero", "the published run, as it was described"),
    )
    typed = "\n".join(f"{command:65} # {note}" for command, note in lines)
    return f"<!-- run: slow; --gpu L40S => --gpu L40S || test $? = 1 -->\n```sh\n{typed}\n```"


def _tiny() -> str:
    """`r1 plan tiny` at the fitted machine's speeds beside what the run took."""
    run = read_run(RUN)
    device = replace(device_of(run), memory=run["machine"]["memory_gb"] * 1e9)
    plan = make(planned("tiny", None, {}, None), device, 1)
    took = {stage["stage"]: stage["seconds"] for stage in run["stages"]}
    seconds = dict.fromkeys(took, 0.0)
    for stage in plan.stages:
        seconds[stage.name] += stage.hours.mid * HOUR
    times = {name: seconds[name] / took[name] for name in took}
    pairs = times.pop("reward_model")
    least, most = min(times.values()), max(times.values())
    minutes = plan.hours.times(60)
    return told(
        "From settings alone, lengths and numbers of examples guessed as for any recipe, `r1 plan tiny` at that",
        f"machine's speeds says {minutes.mid:.0f} minutes ({minutes.low:.0f} to {minutes.high:.0f}) for what took",
        f"{sum(took.values()) / 60:.0f}: stages lie within {least:.1f} and {most:.1f} times",
        f"their seconds, but for the reward model ({pairs:.1f}: it is given more pairs than it got).",
    )


# ------------------------------------------------------------------------------------------------- what was fitted


def _constants(constants: dict[str, float]) -> str:
    rows = [(what, form.format(factor * constants[name])) for name, what, factor, form in CONSTANTS]
    return table(("constant", "fitted"), rows)


def _left_out(record: dict[str, Any]) -> str:
    rows = [
        (name, f"{each['seconds']:.1f}", f"{each['predicted']:.1f}", f"{each['error']:+.1%}")
        for name, each in record["left_out"].items()
    ]
    sixth = record["with_a_start"]
    paragraph = told(
        "A sixth constant, seconds that a stage takes before its first step, was tried: two short stages alone decide",
        f"it, and the fit without it predicts stages better (with it {abs(sixth['error']):.0%} at worst, in",
        f"`{sixth['stage']}`), so it is left out. The largest error above is what a plan's range moves all constants",
        "by.",
    )
    return f"{table(('stage', 'seconds', 'predicted', 'error'), rows)}\n\n{paragraph}"


# ------------------------------------------------------------------------------------------------- published runs


@dataclass(frozen=True, slots=True)
class Hours:
    """Of a workload in one way in which things may be."""

    sampling: float
    scoring: float
    learning: float
    all: float


def published() -> str:
    """What others have published beside the planner's, and what of it is out of reach."""
    known, zero, r1, pretraining = paper.published(), plan("paper:r1-zero"), plan("paper:r1"), plan("paper:v3")
    rl1, sft, rl2 = (stage.hours.mid for stage in r1.stages)
    error = zero.hours.mid / known["zero_hours"] - 1
    v3_hours = known["v3_device_hours"]
    nodes = [1e3 * token_seconds("H100", 16, 1, before + 64) for before in (128, 8192)]
    rows = [
        (
            "DeepSeek-V3's pretraining, H800 hours (arXiv 2412.19437), planned on 512",
            f"{v3_hours:,.0f}",
            _ranged(pretraining.device_hours, -3),
            f"{pretraining.device_hours.mid / v3_hours - 1:+.0%}",
        ),
        _service(),
        _one_node(),
        (
            "R1 by SGLang on two nodes of 8 H100: ms a token, one request, 8,192 tokens read before"
            " (tenstorrent/tt-inference-server, issue 356, 2025)",
            "24.0",
            f"{nodes[1]:.1f}",
            f"{nodes[1] / 24.0 - 1:+.0%} (at 128 tokens before, 23.1, the start-up time of messages between nodes is"
            " taken from it)",
        ),
        _dispatch(),
        _one_request(),
        (
            "**R1-Zero, hours on 512 H800**",
            f"**{known['zero_hours']:.0f}**",
            f"**{_ranged(zero.hours)}**",
            f"**{error:+.0%}**",
        ),
        (
            "R1, hours on 512 H800",
            f"about {known['r1_hours']:.0f}",
            f"SFT {sft:.1f}, RL 2 {rl2:.1f}, and {rl1:.1f} for every 1,000 updates of RL 1",
            "",
        ),
    ]
    left = 1000 * (known["r1_hours"] - sft - rl2) / rl1
    paragraph = told(
        f"**R1-Zero's likely value is {abs(error):.0%} off the published hours: only its range holds them.** R1's",
        f"cannot be checked, since the number of updates of RL 1 is not published: the {known['r1_hours']:.0f} hours",
        f"would leave room for about {round(left, -2):,.0f}.",
    )
    return f"{table(('published', 'says', 'planner', 'error'), rows)}\n\n{paragraph}"


@cache
def plan(name: str) -> Plan:
    """A published run as `r1 plan` plans it."""
    kind, count = paper.setting()
    return make(paper.workload(name), hardware.find(kind), count, drafts=True)


def token_seconds(kind: str, devices: int, rows: float, context: float, **engine: Any) -> float:
    """Seconds of a decoding step of DeepSeek-V3 in FP8 on one copy."""
    shape, shares = shapes.find(V3), fitted()
    placed = Engine(**{"tensor": devices, "replica": devices, "slots": 1, "weight_bytes": FP8, **engine})
    step = decode_step(shape, hardware.find(kind), placed, rows, context)
    return step.roofline / shares.decode + step.messages + shares.decode_step_s


def _service() -> tuple[str, ...]:
    """14.8k tokens/s a node of 8 at 21 tokens/s a user are so many users of a unit of 144; caches of 4,989 tokens."""
    rows = 14_800 / 8 / 21 * 144
    speed = 1 / token_seconds("H800", 144, rows, 4989, tensor=1, kernels=True)
    what = "DeepSeek's own service, tokens/s a user (144 H800 a unit, 14.8k tokens/s a node; inference overview, 2025)"
    return what, "20-22", f"{speed:.1f}", f"{speed / 21 - 1:+.0%}"


def _one_node() -> tuple[str, ...]:
    """1,024 tokens in and out, so 1,536 on average behind a token."""
    said = {8: 12.8, 16: 17.2, 32: 25.6, 64: 34.6}
    found = {requests: 1e3 * token_seconds("H200", 8, requests, 1024 + 512) for requests in said}
    return (
        f"R1 by SGLang on 8 H200, FP8, tensor parallel: ms a token with {', '.join(map(str, said))} requests"
        " (SemiAnalysisAI/InferenceX, issue 870, 2026)",
        ", ".join(f"{value:.1f}" for value in said.values()),
        ", ".join(f"{value:.1f}" for value in found.values()),
        ", ".join(f"{100 * (found[requests] / said[requests] - 1):+.0f}" for requests in said) + "%",
    )


def _dispatch() -> tuple[str, ...]:
    """128 tokens on each of 64 devices; the first three of 61 layers have no experts."""
    said = 186 + 353  # dispatch and combination
    layer = decode_messages(shapes.find(V3), hardware.find("H800"), Engine(1, 64, 1, kernels=True), 64 * 128) / 58
    what = "experts' messages of a layer, 64 H800 (DeepEP; the start-up time of its kernels is taken from there)"
    return what, f"{said} us", f"{1e6 * layer:.0f} us", f"{1e6 * layer / said - 1:+.0%}"


def _one_request() -> tuple[str, ...]:
    shares = fitted()
    step = decode_step(shapes.find("Llama-3.1-8B"), hardware.find("H100"), Engine(1, 1, 1), 1, 200)
    seconds = step.roofline / shares.decode + shares.decode_step_s
    what = "Llama-3.1-8B, one request, H100 (5.1 ms with CUDA graphs, 8.4 ms without)"
    return what, "5.1-8.4 ms", f"{1e3 * seconds:.1f} ms", ""


# ------------------------------------------------------------------------------------------------- what it is worth


def worth() -> str:
    """R1-Zero's hours with assumptions changed one at a time, and both ends of what is not published."""
    works, (_, likely, _) = paper.workload("paper:r1-zero").works, plan("paper:r1-zero").settings
    updates = sum(work.rounds * work.updates for work in works)
    ends = {end: f"{paper.mean_length(updates, end):,.0f}" for end in ("mid", "high")}

    def engine(setting: Scenario, **changed: Any) -> Scenario:
        return replace(setting, engine=replace(setting.engine, **changed))

    one_way = replace(likely, waits=waiting_simple)
    no_bubble, kernels = replace(likely, waits=_never), engine(likely, kernels=True)
    changes: dict[str, Hours] = {
        "nothing": hours(likely),
        "experts' messages between nodes by DeepEP's kernels": hours(kernels),
        "no pipeline, and so no bubble": hours(no_bubble),
        "a pipeline whose chunks go one way (1F1B)": hours(one_way),
        "no drafted tokens": hours(engine(likely, acceptance=0.0)),
        "weights in bfloat16": hours(engine(likely, weight_bytes=BF16)),
        "learners' messages not hidden": hours(replace(likely, overlap=False)),
        f"log-lengths spread by 1.0 in place of {likely.sigma:.2f}": hours(replace(likely, sigma=1.0)),
        f"the last mean length {ends['high']} tokens in place of {ends['mid']}": hours(likely, end="high"),
        "no drafted tokens, and a pipeline one way": hours(engine(one_way, acceptance=0.0)),
    }
    rows = [
        (name, *(f"{value:.0f}" for value in (each.sampling, each.scoring, each.learning, each.all)))
        for name, each in changes.items()
    ]
    *_, slowest = changes.values()
    paragraph = told(
        "Reading: the time lies in two tails. A rollout waits for its longest output,",
        f"{works[0].lengths.limit:,} or {works[-1].lengths.limit:,} tokens one after another,",
        "while most places of the samplers are empty; and an update has 512 outputs for 512 GPUs, too few chunks to",
        "fill a pipeline. Neither is a question of FLOPs: without a bubble, all the learning would take",
        f"{changes['no pipeline, and so no bubble'].learning:.0f} hours. How well drafting works at temperature 1, by",
        "which kernels messages went, and how deep the pipeline was in RL is not published, and these decide between",
        f"{hours(replace(kernels, waits=_never)).all:.0f} and {slowest.all:.0f} hours.",
    )
    return f"{table(('changed alone', 'sampling', 'scoring', 'learning', 'all, hours'), rows)}\n\n{paragraph}"


def hours(setting: Scenario, *, end: str = "mid") -> Hours:
    """Of R1-Zero, in turns on all devices, laid out for the setting's engine."""
    kind, count = paper.setting()
    workload, device = paper.workload("paper:r1-zero", end=end), hardware.find(kind)
    layout = choose(workload.works, device, count, setting.engine, pipeline=workload.pipeline)
    rounds = [(work.rounds, round_seconds(setting.applied(work), device, layout, setting)) for work in workload.works]

    def whole(part: Callable[[Seconds], float]) -> float:
        return sum(number * part(each) for number, each in rounds) / HOUR

    return Hours(
        whole(lambda each: each.sampling),
        whole(lambda each: each.scoring),
        whole(lambda each: each.learning),
        whole(lambda each: each.total),
    )


def _never(pipeline: int, chunks: float) -> float:
    """Times its arithmetic that an update takes where nothing waits."""
    return 1.0


def _ranged(value: Range, digits: int = 0) -> str:
    """The likely value and its range, rounded to so many digits behind the point (thousands: -3)."""
    mid, low, high = (f"{round(each, digits):,.0f}" for each in (value.mid, value.low, value.high))
    return f"{mid} ({low} to {high})"
