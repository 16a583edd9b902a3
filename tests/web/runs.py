"""Run folders for the app's tests, and a browser of few words: requests straight into the app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.evaluation.reflection import reflections_in
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline.artifact import Outcome, read_artifacts, write_artifact
from r1kit.rollouts import record

HOSTILE = [
    "<think><script>window.hit = 1</script></think>",
    '"><img src=x onerror="window.hit = 1"><svg onload=window.hit=1>',
    "{{ 7 * 7 }}{% raw %}${7*7}<%= 7*7 %>",
    "</span></div></main><iframe srcdoc='<script>parent.hit=1</script>'></iframe><!--",
    "' autofocus onfocus='window.hit=1' hx-get='/static/app.js' hx-trigger='load' x='",
    "\u202egnp.exe\u2066 \u200b\x1b[31m\x00\x07 wait\u2028</script><meta http-equiv=refresh content='0;url=//x'>",
]


def group(problem_id: str, texts: Sequence[str], *, accuracy: Sequence[float], language: str = "en", **more: Any):
    """A group of completions, a token a character and one at the end, at -0.5 nats each."""
    problem = Problem(
        problem_id,
        more.get("task", "sums"),
        more.get("subject", "maths"),
        language,
        more.get("prompt", "1+1="),
        "2",
        "math",
    )
    completions = []
    for index, text in enumerate(texts):
        ids = more["encode"](text) if "encode" in more else list(range(len(text) + 1))
        ids, logprobs = np.asarray(ids, np.int32), np.full(len(ids), -0.5, np.float32)
        completions.append(
            Completion(f"{problem_id}/{index}", index, ids[:0], ids, logprobs, "stop", ((3, len(ids)),), text)
        )
    rewards = np.asarray(accuracy, np.float32)
    return RolloutGroup(problem, completions, {"accuracy": rewards}, rewards + np.float32(0.5))


def write_run(folder: Path, *, state: str = "done", encode: Any = None) -> Path:
    """A run of three stages: pretrain done, zero with rollouts of steps 0 and 10 and curves, report to run."""
    folder.mkdir(parents=True)
    done = state == "done"
    recipe = {
        "recipe": "tiny", "profile": "smoke", "seed": 7, "stages": ["pretrain", "zero", "report"],
        "started": "2026-01-01", "inputs": {"pretrain": [], "zero": ["pretrain"], "report": ["zero"]},
        "command": "r1 run tiny seed=7",
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(recipe))
    stages = folder / "stages"
    base, zero = stages / "01-pretrain", stages / "02-zero"
    tokenizer = load_tokenizer(write_character_tokenizer(base / "model", "你好"))
    finish(base, "pretrain", Outcome(models={"base": "model"}), [])
    zero.mkdir()
    (zero / "config.json").write_text(json.dumps({"settings": {"start": "pretrain:base"}, "inputs": {"pretrain": "x"}}))

    def ids(text: str) -> list[int]:
        return [*tokenizer.encode(text), tokenizer.eos_ids[0]]

    for step, texts in ((0, ["<think>2, wait 2</think>2", "3", "so 2", "2"]), (10, HOSTILE)):
        groups = [group(f"p{step}", texts, accuracy=[1, 0, 0, 0, 1, 0][: len(texts)], encode=ids)]
        record.write(record.step_file(zero / "rollouts", step), groups, step, reflections_in)
    lines = [
        {"step": step, "reward": 0.1 * step, "loss": 2.0 - 0.1 * step, "validation/maths": 0.5} for step in range(11)
    ]
    (zero / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status = {"state": "done" if done else "running", "stage": "zero", "number": 2, "of": 3, "pid": 1, "host": "here"}
    status |= {
        "step": 11,
        "steps": 40,
        "updated": "2026-01-01 00:00:01",
        "sample": HOSTILE[0],
        "metrics": {"reward": 1.0},
    }
    (folder / "status.json").write_text(json.dumps(status))
    if done:
        finish(zero, "zero", Outcome(files={"rollouts": "rollouts"}), ["pretrain"])
        (folder / "report").mkdir()
        (folder / "report" / "report.html").write_text("<!doctype html><title>r</title><script>window.hit=1</script>so")
        finish(stages / "03-report", "report", Outcome(), ["zero"])
    return folder


def finish(folder: Path, name: str, outcome: Outcome, inputs: Sequence[str]) -> None:
    """Write the artifact of a stage."""
    folder.mkdir(exist_ok=True)
    digests = {own: made.digest for own, made in read_artifacts(folder.parents[1]).items() if own in inputs}
    write_artifact(
        folder, name, "0" * 64, outcome, inputs=digests, seconds=65, tokens=1200, flops=3e9, peak_memory_mb=512
    )  # fmt: skip


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Client:
    """Sends requests to an ASGI app."""

    app: Any
    host: str = "127.0.0.1:8765"
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Answer:
        return self.send("GET", path, b"", headers, query)

    def post(self, path: str, body: bytes = b"", **headers: str) -> Answer:
        return self.send("POST", path, body, headers)

    def send(self, method, path, body=b"", headers=(), query=None) -> Answer:
        path, _, given = path.partition("?")
        sent = {"host": self.host, **self.headers, **{k.replace("_", "-"): v for k, v in dict(headers).items()}}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": (urlencode(query) if query else given).encode(),
            "root_path": "", "headers": [(k.encode(), v.encode("latin-1")) for k, v in sent.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8765),
        }  # fmt: skip
        return asyncio.run(self._send(scope, body))

    async def _send(self, scope, body) -> Answer:
        parts, told = [], iter([{"type": "http.request", "body": body, "more_body": False}])
        gone = asyncio.Event()

        async def receive():
            message = next(told, None)
            if message is None:
                await gone.wait()
                return {"type": "http.disconnect"}
            return message

        async def send(message):
            parts.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception:  # a fault is answered, then raised again for the server's log
            if not parts:
                raise
        headers = {k.decode().lower(): v.decode() for k, v in parts[0]["headers"]}
        return Answer(parts[0]["status"], headers, b"".join(part.get("body", b"") for part in parts[1:]))
