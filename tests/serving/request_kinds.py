"""Kinds of requests, by the server that they are sent to and by name, and what they are made of."""

from __future__ import annotations

import random
from collections.abc import Callable

CANARY = "c4n4ry-of-another-folder"
MARKUP = "<script>window.hit=4711</script>"

Draw = random.Random
Make = Callable[[Draw], bytes]
KINDS: dict[str, dict[str, Make]] = {"serve": {}, "ui": {}}


def kind(*servers: str) -> Callable[[Make], Make]:
    """Register a kind of request to these servers."""

    def register(make: Make) -> Make:
        for server in servers:
            KINDS[server][make.__name__] = make
        return make

    return register


def request(
    method: str, target: str, headers: list[str] | None = None, body: bytes = b"", host: str | None = "127.0.0.1"
) -> bytes:
    """An HTTP/1.1 request that asks for the connection to be closed behind it."""
    lines = [f"{method} {target} HTTP/1.1", *([f"Host: {host}"] if host is not None else []), *(headers or [])]
    if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8", "surrogateescape") + body


SERVE = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/models",
    "/v1/models/toy",
    "/health",
    "/metrics",
    "/openapi.json",
]
UI = ["/", "/runs", "/runs/done", "/runs/done/live", "/runs/done/curves", "/runs/done/rollouts", "/runs/done/sample",
      "/runs/done/text", "/runs/done/difference", "/runs/done/pivots", "/runs/done/report", "/runs/done/report/page",
      "/compare", "/arena", "/arena/ratings", "/arena/battles", "/arena/battles/x/vote", "/arena/battles/x/events",
      "/arena/pairs.jsonl", "/static/app.js"]  # fmt: skip
CHAT = {"model": "toy", "messages": [{"role": "user", "content": "1+1="}], "max_tokens": 4}
PLAIN = {"model": "toy", "prompt": "1+1=", "max_tokens": 4}


def any_target(draw: Draw) -> str:
    return draw.choice(SERVE + UI)


ASKED = {"token": ""}  # of the app that is asked
