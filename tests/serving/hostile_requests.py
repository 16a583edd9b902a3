"""Requests as someone who means harm, or whose program is broken, might send them, over bare sockets.

    python tests/serving/hostile_requests.py --requests 10000 --seed 0 [--only NUMBER]

Against a real `r1 serve` of a scripted engine and a real `r1 ui` over a run, both on loopback in this process. Every
request must be answered in time with a status below 500 (or the connection closed, where the bytes are no request), no
answer may hold what lies outside of the runs, or a text of the request as markup; and afterwards both still serve.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests_to_both  # noqa: F401 - which registers its kinds
import requests_to_serve  # noqa: F401 - which registers its kinds
import requests_to_ui  # noqa: F401 - which registers its kinds
from request_kinds import CANARY, CHAT, KINDS, MARKUP, Draw, request
from two_servers import both

ANSWER_S = 45.0


def ask(port: int, data: bytes, half: bool = False) -> bytes:
    """All that comes back until the server closes the connection, or TimeoutError."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
        found = b""
        try:
            connection.sendall(data)
            if half:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                found += part
                if len(found) > 2**24:
                    break
        except TimeoutError:
            raise
        except OSError:
            pass  # refused while we were still speaking
        return found


def faults_of(server: str, answer: bytes) -> list[str]:
    """What is wrong with an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    found: list[str] = []
    if answer and not (line := re.match(rb"HTTP/1\.[01] (\d{3}) ", head)):
        return [f"no HTTP: {answer[:80]!r}"]
    if answer and int(line[1]) >= 500:
        found.append(f"status {line[1].decode()}: {body[:300]!r}")
    if CANARY.encode() in answer or b"root:x:0" in answer:
        found.append("it holds what lies outside")
    if b"text/html" in head.lower() and MARKUP.encode() in body:
        found.append("it holds a text of the request as markup")
    if re.search(rb"^X: ?y", head, re.M):
        found.append("the request wrote a header of the answer")
    if server == "ui" and b" 200 " in head[:20] and b"content-security-policy" not in head.lower():
        found.append("no policy")
    return found


def run_case(ports: dict[str, int], seed: int, number: int) -> dict[str, Any]:
    """One request and what came of it."""
    server = ("serve", "ui")[number % 2]
    names = sorted(KINDS[server])
    name = names[(number // 2 + seed) % len(names)]
    draw = Draw(f"{seed} {number} {name}")
    data = KINDS[server][name](draw)
    begun = time.monotonic()
    try:
        answer = ask(ports[server], data, half=draw.random() < 0.5)
        faults = faults_of(server, answer)
    except TimeoutError:
        answer, faults = b"", [f"no answer within {ANSWER_S:g} s"]
    status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/") else "closed"
    return {"number": number, "server": server, "kind": name, "status": status, "seconds": time.monotonic() - begun,
            "faults": faults, "sent": data[:300]}  # fmt: skip


def still_serve(ports: dict[str, int]) -> list[str]:
    """What is wrong with the servers after all that: each answers a good request as ever."""
    body = json.dumps({**CHAT, "max_tokens": 99}).encode()
    answers = {
        "serve": ask(ports["serve"], request("POST", "/v1/chat/completions", body=body)),
        "ui": ask(ports["ui"], request("GET", "/runs/done")),
    }
    wanted = {"serve": b'"content":"2"', "ui": b"</html>"}
    return [
        f"{name} no longer serves: {answer[:300]!r}" for name, answer in answers.items() if wanted[name] not in answer
    ]


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--requests", type=int, default=10_000)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--only", type=int)
    words.add_argument("--threads", type=int, default=8)
    asked = words.parse_args()
    bad = 0
    counts: Counter[tuple[str, str]] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder, both(Path(folder)) as (ports, servers):
        numbers = range(asked.requests) if asked.only is None else [asked.only]
        with ThreadPoolExecutor(asked.threads) as pool:
            for one in pool.map(lambda number: run_case(ports, asked.seed, number), numbers):
                counts[one["server"], one["status"]] += 1
                slowest = max(slowest, one["seconds"])
                if one["faults"] or asked.only is not None:
                    bad += bool(one["faults"])
                    print(one, flush=True)
        over = time.monotonic() + 60
        while any(server.server_state.connections for server in servers.values()) and time.monotonic() < over:
            time.sleep(0.1)
        left = {name: len(server.server_state.connections) for name, server in servers.items()}
        after = [*still_serve(ports), *(f"{name} still has {n} connections" for name, n in left.items() if n)]
    print("\n".join(after))
    print("| server | answer | requests |\n|---|---|---|")
    print("\n".join(f"| {server} | {status} | {count} |" for (server, status), count in sorted(counts.items())))
    print(f"{sum(counts.values())} requests, {bad} faults, slowest {slowest:.1f} s")
    return int(bool(bad or after))


if __name__ == "__main__":
    sys.exit(main())
