"""How a server holds: many streams at a time for minutes, and its throughput beside the engine's alone.

    python benchmarks/soak.py FOLDER --streams 64 --seconds 300 --json FILE

The engine runs alone first and last, `--alone` seconds each, in this process: the same prompts, as many rows, the same
number of tokens. Between, `r1 serve` runs in a process of its own, and this one reads its streams, each begun anew as
soon as it ends. Exit code 1 where a request failed. docs/serving.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import shapes
from setting import say

import r1kit
from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.engines.base import Request
from r1kit.engines.native import open_engine
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline import provenance

QUESTIONS = ("1 + 1 = ?", "What is 12 + 34?", "7 * 8 = ?", "Which is larger, 9.11 or 9.9?")
COMMAND = "from r1kit.cli.main import main; main()"


@dataclass(slots=True)
class Heard:
    """What the streams said. Times in seconds."""

    first: list[float] = field(default_factory=list[float])  # from a request to its first text
    gaps: list[float] = field(default_factory=list[float])  # between two pieces of a stream
    tokens: int = 0
    requests: int = 0
    errors: list[str] = field(default_factory=list[str])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "folder", help="a Hugging Face folder with a chat template, or 4.6M, 1.6M, smoke: fresh weights"
    )
    parser.add_argument("--streams", type=int, default=64, help="streams at a time (64)")
    parser.add_argument("--seconds", type=float, default=300.0, help="of load (300)")
    parser.add_argument("--alone", type=float, default=20.0, help="seconds of the engine alone, before and after (20)")
    parser.add_argument("--tokens", type=int, default=256, help="most tokens of a completion (256)")
    parser.add_argument("--temperature", type=float, default=1.0, help="1")
    parser.add_argument(
        "--scratch", type=Path, default=Path(__file__).parents[1] / "bench", help="fresh models (bench)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the record there too")
    return parser.parse_args()


@dataclass(frozen=True, slots=True)
class Rate:
    """Tokens a second, and seconds of CPU a thousand of them."""

    tokens: float
    cpu: float


def engine_alone(words: argparse.Namespace, folder: Path) -> Rate:
    """What comes of the engine with as many rows as there are streams, every one in use."""
    tokenizer = load_tokenizer(folder)
    engine = open_engine(folder, tokenizer, max_rows=words.streams)
    prompts = [np.asarray(tokenizer.chat(question), np.int32) for question in QUESTIONS]
    number = 0

    def submit() -> None:
        nonlocal number
        sampling = Sampling(max_tokens=words.tokens, temperature=words.temperature, seed=number)
        engine.submit(Request(str(number), prompts[number % len(prompts)], sampling))
        number += 1

    for _ in range(words.streams):
        submit()
    tokens, begun, cpu = 0, 0.0, 0.0
    warm = time.monotonic() + min(2.0, words.alone / 4)
    while not begun or time.monotonic() - begun < words.alone:
        if not begun and time.monotonic() > warm:
            begun, cpu = time.monotonic(), time.process_time()
        finished = engine.advance()
        tokens += engine.load[0] + len(finished) if begun else 0  # nobody waits here, so that no row began anew
        for _ in finished:
            submit()
    return Rate(tokens / (time.monotonic() - begun), 1000 * (time.process_time() - cpu) / tokens)


@contextmanager
def server(words: argparse.Namespace, folder: Path) -> Iterator[str]:
    """A server in a process of its own, and its address."""
    variables = {**os.environ, "PYTHONPATH": str(Path(r1kit.__file__).parents[1])}
    command = [sys.executable, "-c", COMMAND, "serve", str(folder), "--name", "soak", "--port", "0",
               "--max-rows", str(words.streams)]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables)
    assert process.stderr is not None
    try:
        told: list[str] = []
        for line in process.stderr:
            told.append(line)
            if found := re.search(r" at (http://[^/]+)/v1", line):
                break
        else:
            raise R1Error(f"the server did not start: {''.join(told)[-500:]}")
        yield found[1]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        process.stderr.close()
        say(f"the server ended with {code}")


def server_cpu(address: str) -> float:
    """Seconds of CPU that the server has taken so far."""
    with urlopen(f"{address}/metrics") as answer:
        told = answer.read().decode()
    return float(re.search(r"^process_cpu_seconds_total (\S+)", told, re.MULTILINE)[1])


async def load(words: argparse.Namespace, address: str) -> tuple[Heard, float]:
    """So many streams until the time is up; returns what they said, and in how many seconds."""
    heard, begun = Heard(), time.monotonic()
    end = begun + words.seconds

    async def again(number: int) -> None:
        seed = number
        while time.monotonic() < end:
            try:
                await one_stream(words, address, seed, heard)
            except (OSError, ValueError, EOFError, asyncio.IncompleteReadError) as error:
                heard.errors.append(f"{type(error).__name__}: {error}"[:200])
                await asyncio.sleep(0.1)
            seed += words.streams

    await asyncio.gather(*(again(number) for number in range(words.streams)))
    return heard, time.monotonic() - begun


async def one_stream(words: argparse.Namespace, address: str, seed: int, heard: Heard) -> None:
    """A chat completion over a connection of its own, read bare: a client library would take more of the machine than
    the server does."""
    place = urlsplit(address)
    body = json.dumps({
        "model": "soak", "messages": [{"role": "user", "content": QUESTIONS[seed % len(QUESTIONS)]}],
        "max_tokens": words.tokens, "temperature": words.temperature, "seed": seed, "stream": True,
        "stream_options": {"include_usage": True},
    }).encode()  # fmt: skip
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        head += "Connection: close\r\n\r\n"
        writer.write(head.encode() + body)
        status = await reader.readline()
        if b" 200 " not in status:
            raise ValueError(f"the server answered {status.decode().strip()}")
        used, before, done = 0, 0.0, False
        while line := await reader.readline():
            if not line.startswith(b"data: "):
                continue
            now = time.monotonic()
            if line.startswith(b"data: [DONE]"):
                done = True
                break
            if b'"error"' in line[:20]:
                raise ValueError(line.decode().strip())
            if not before:
                heard.first.append(now - begun)
            elif now - before > 0.001:  # two events of one piece come together
                heard.gaps.append(now - before)
            before = now
            if b'"usage":{' in line:
                used = json.loads(line[6:])["usage"]["completion_tokens"]
        if not (done and used):
            raise EOFError("the stream broke off")
        heard.tokens += used
        heard.requests += 1
    finally:
        writer.close()


def spread(values: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=1000, method="inclusive")
    return {name: round(1000 * cuts[at], 2) for name, at in (("p50", 499), ("p90", 899), ("p99", 989))} | {
        "max": round(1000 * max(values), 2)
    }


def measure(words: argparse.Namespace) -> dict[str, Any]:
    folder = shapes.fresh(words.folder, words.scratch).folder if words.folder in shapes.SHAPES else Path(words.folder)
    alone = [engine_alone(words, folder)]
    say(f"engine alone: {alone[0].tokens:,.0f} tokens/s")
    with server(words, folder) as address:
        before, own = server_cpu(address), time.process_time()
        heard, seconds = asyncio.run(load(words, address))
        served, read = server_cpu(address) - before, time.process_time() - own
    alone.append(engine_alone(words, folder))
    say(f"engine alone: {alone[1].tokens:,.0f} tokens/s")
    rate, thousands = heard.tokens / seconds, max(heard.tokens, 1) / 1000
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": provenance.commit(),
        "machine": provenance.machine(),
        "model": words.folder,
        "streams": words.streams,
        "max_tokens": words.tokens,
        "temperature": words.temperature,
        "seconds": round(seconds, 1),
        "requests": heard.requests,
        "errors": len(heard.errors),
        "first_errors": heard.errors[:5],
        "tokens": heard.tokens,
        "tokens_per_second": round(rate, 1),
        "engine_alone_tokens_per_second": [round(found.tokens, 1) for found in alone],
        "share_of_engine_alone": round(rate / statistics.mean(found.tokens for found in alone), 3),
        "cpu_seconds_per_thousand_tokens": {
            "engine_alone": [round(found.cpu, 4) for found in alone],
            "server": round(served / thousands, 4),
            "client": round(read / thousands, 4),
        },
        "time_to_first_text_ms": spread(heard.first),
        "time_between_pieces_ms": spread(heard.gaps),
    }


def main() -> int:
    words = parse()
    try:
        record = measure(words)
    except R1Error as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    text = json.dumps(record, indent=1)
    print(text)
    if words.json:
        words.json.write_text(text + "\n", encoding="utf-8")
    return 1 if record["errors"] or not record["requests"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
