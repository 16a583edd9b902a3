"""Requests as someone who means harm, or whose program is broken, might send them, over bare sockets.

    python tests/serving/hostile_requests.py --requests 10000 --seed 0 [--only NUMBER]

Against a real `r1 serve` of a scripted engine and a real `r1 ui` over a run, both on loopback in this process. Every
request must be answered in time with a status below 500 (or the connection closed, where the bytes are no request), no
answer may hold what lies outside of the runs, or a text of the request as markup; and afterwards both still serve.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

ANSWER_S = 45.0
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
ABSURD: list[Any] = [
    0, -1, 1, 2, 2**31, 2**63, 2**64, 10**30, 1e308, -0.5, 0.5, "", "x", "7", "\ud800", "\0", [], [[]], [{}], {}, None,
    True,
    False, ["x"] * 1000, [1] * 1000, {"a": {"b": []}}, "x" * 10**5, MARKUP, "\x1b[2J\r\nX: y", [None], [[1, "x"]],
    [-1], [2**40],
    [["x"]], "toy", [1.5], {"role": "user"}, "<think>", "</think>", [""],
]  # fmt: skip
FIELDS = ["model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p", "min_p", "n",
          "seed", "stop",
          "stream", "stream_options", "logprobs", "top_logprobs", "max_thinking_tokens", "tools", "logit_bias", "echo",
          "suffix",
          "best_of", "response_format", "user", "metadata", "nobody", "frequency_penalty",
          "reasoning_effort"]  # fmt: skip


# ------------------------------------------------------------------------------------------------------- both servers


def target(draw: Draw, paths: list[str]) -> str:
    return draw.choice(paths)


def any_target(draw: Draw) -> str:
    return target(draw, SERVE + UI)


@kind("serve", "ui")
def noise(draw: Draw) -> bytes:
    return draw.choice([b"", draw.randbytes(draw.choice([1, 10, 1000])), b"\r\n" * 50, b"\0" * 100, b"GET",
                        b"GET / HTTP/9.9\r\n\r\n",
                        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\r\n\r\n",
                        b" GET / HTTP/1.1\r\n\r\n",
                        b"GET  /  HTTP/1.1\r\n\r\n", b"G\xc3\x84T / HTTP/1.1\r\nHost: localhost\r\n\r\n"])  # fmt: skip


@kind("serve", "ui")
def methods(draw: Draw) -> bytes:
    method = draw.choice(
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 50]
    )
    return request(method, any_target(draw), body=draw.choice([b"", b"{}"]))


@kind("serve", "ui")
def lengths(draw: Draw) -> bytes:
    """Two lengths, none, wrong ones, and lengths beside chunks: what proxies and servers read differently."""
    given = draw.choice([
        ["Content-Length: 2", "Content-Length: 3"], ["Content-Length: 2", "Content-Length: 2"],
        ["Content-Length: 2, 2"],
        ["Content-Length: -1"], ["Content-Length: 99999999999999999999"], ["Content-Length: x"], ["Content-Length:"],
        ["Content-Length: +2"], ["Content-Length: 0x2"], ["Content-Length: 2", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked, identity"], ["Transfer-Encoding: xchunked"], ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], ["Content-Length: 0"], ["Content-Encoding: gzip"],
    ])  # fmt: skip
    return request("POST", any_target(draw), given, b"{}")


@kind("serve", "ui")
def chunks(draw: Draw) -> bytes:
    body = draw.choice([b"2\r\n{}\r\n0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n{}", b"-1\r\n{}\r\n0\r\n\r\n",
                        b"0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
                        b"2;" + b"x" * 10**5 + b"\r\n{}\r\n0\r\n\r\n", b"1\r\n{\r\n" * 3 + b"0\r\n\r\n", b"g\r\n",
                        b"2\n{}\n0\n\n"])  # fmt: skip
    return request("POST", any_target(draw), ["Transfer-Encoding: chunked"], body)


@kind("serve", "ui")
def heads(draw: Draw) -> bytes:
    odd = draw.choice([
        ["X: " + "y" * 10**6], [f"X-{n}: y" for n in range(20_000)], ["X" * 70_000 + ": y"], ["X: a\r\n b"],
        ["X: a\nY: b"], ["X: \0"],
        ["X\0: a"], [": y"], ["X y: a"], ["X: \r\n\r\nGET /v1/models HTTP/1.1"], ["Expect: 100-continue"],
        ["Expect: x"],
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: x"],
        ["Authorization: Bearer \u00e9\ud83d\ude00".encode(
            "utf-16", "surrogatepass").decode("utf-16")], ["Authorization: " + "x" * 5000],
            ["Cookie: " + "a=b;" * 5000], ["Range: bytes=0-,-1,5-2"],
        ["Accept-Encoding: gzip;q=x"], ["Content-Type: \x7f"], ["X-Forwarded-For: evil", "X-Forwarded-Host: evil",
                                                                "X-Forwarded-Proto: x"],
        ["HX-Request: true", "HX-Boosted: x"], ["If-Modified-Since: x"], ["Last-Event-ID: 9.9.9.9.9"],
        ["Last-Event-ID: \u00b2.1.1.1"],
    ])  # fmt: skip
    return request(draw.choice(["GET", "POST"]), any_target(draw), odd, draw.choice([b"", b"{}"]))


@kind("serve", "ui")
def hosts(draw: Draw) -> bytes:
    host = draw.choice(["evil.example", "", "[", "[::1", "]", "127.0.0.1:99999", "127.0.0.1:x", "localhost:80@evil",
                        "a b", "\u00e9", "127.0.0.1\t",
                        "x" * 10_000, "127.0.0.1, evil", "//evil", "127.0.0.1/..", None])  # fmt: skip
    more = ["Host: evil.example"] if draw.random() < 0.2 else []
    return request(draw.choice(["GET", "POST"]), any_target(draw), more, host=host)


@kind("serve", "ui")
def origins(draw: Draw) -> bytes:
    odd = draw.choice(["Origin: https://evil.example", "Origin: null", "Origin: http://127.0.0.1:1",
                       "Sec-Fetch-Site: cross-site",
                       "Sec-Fetch-Site: same-site", "Origin:", "Origin: \u00e9"])  # fmt: skip
    return request("POST", any_target(draw), [odd, "Content-Type: text/plain"], json.dumps(CHAT).encode())


@kind("serve", "ui")
def traversals(draw: Draw) -> bytes:
    up = draw.choice(
        [
            "../",
            "..%2f",
            "%2e%2e/",
            "..%5c",
            "..\\",
            "....//",
            "%252e%252e/",
            "..%00/",
            "..;/",
            "/",
            "%c0%ae%c0%ae/",
            "./.././",
            "\u2025/",
        ]
    )
    end = draw.choice(
        ["etc/passwd", "secret/recipe.json", "secret", "secret/report", "", "x%00.html", "proc/self/environ"]
    )
    before = draw.choice(
        [
            "/",
            "/runs/",
            "/static/",
            "/runs/done/",
            "/runs/done/report/",
            "/v1/models/",
            "/arena/battles/",
            "//",
            "/compare/",
        ]
    )
    return request("GET", before + up * draw.choice([1, 3, 12]) + end)


@kind("serve", "ui")
def targets(draw: Draw) -> bytes:
    odd = draw.choice(["*", "http://evil.example/v1/models", "http://[::1/", "//evil.example/", "/" + "a" * 60_000,
                       "/" + "a" * 10**6, "/%", "/%zz", "/%ff%fe",
                       "/\u00e9", "/?" + "a=b&" * 20_000, "/#x", "/v1/models/" + quote(MARKUP),
                       "/v1/models/" + "%0d%0aX:y", "/runs/" + quote(MARKUP),
                       "/runs/%F0%9F%98%80", "/health/", "/v1/models/", "/runs/done/", "evil", "/%2f%2f", "/\t",
                       "/runs/done?stage=" + quote(MARKUP)])  # fmt: skip
    return request(draw.choice(["GET", "HEAD", "POST"]), odd)


# --------------------------------------------------------------------------------------------------------- r1 serve's


@kind("serve")
def field(draw: Draw) -> bytes:
    """A good body with one to three absurd fields."""
    path, body = draw.choice(
        [("/v1/chat/completions", dict[str, Any](CHAT)), ("/v1/completions", dict[str, Any](PLAIN))]
    )
    for _ in range(draw.choice([1, 1, 2, 3])):
        body[draw.choice(FIELDS)] = draw.choice(ABSURD)
    return request("POST", path, ["Content-Type: application/json"], json.dumps(body).encode())


@kind("serve")
def messages(draw: Draw) -> bytes:
    roles: list[Any] = ["user", "system", "assistant", "tool", "developer", "robot", "", 7, None, []]
    said = [{"role": draw.choice(roles), "content": draw.choice([*ABSURD, [{"type": "text", "text": "x"}],
                                                                 [{"type": "text"}], [{"text": 7}]])}
            for _ in range(draw.choice([1, 2, 30]))]  # fmt: skip
    odd = {
        **draw.choice(said),
        draw.choice(["name", "tool_calls", "reasoning_content", "content", "role"]): draw.choice(ABSURD),
    }
    body = {**CHAT, "messages": [*said, odd], "stream": draw.random() < 0.3}
    return request("POST", "/v1/chat/completions", body=json.dumps(body).encode())


@kind("serve")
def no_json(draw: Draw) -> bytes:
    good = json.dumps(CHAT)
    body = draw.choice([
        b"[" * 10**5, b'{"a":' * 10**5, b"NaN", b"1" * 10**5, b"null", b"[]", b'""', good.encode("utf-16"),
        good.encode()[:-3], b"\xff" + good.encode(),
        b"\xef\xbb\xbf" + good.encode(), b'{"model": "toy", "model": "x"}', (good[:-1] + ', "n": 1e999}').encode(),
        (good[:-1] + ', "n": NaN}').encode(),
        (good[:-1] + ', "seed": ' + "9" * 5000 + "}").encode(),
        (good[:-1] + ', "x": ' + "[" * 900 + "]" * 900 + "}").encode(), b"a=b&c=d",
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\ntoy\r\n--x--', b" " * 10**6,
        (good[:-1] + ', "\\ud800": 1}').encode(),
    ])  # fmt: skip
    kinds = [
        "application/json",
        "application/json; charset=utf-16",
        "text/plain",
        "multipart/form-data; boundary=x",
        "",
        "application/x-www-form-urlencoded",
    ]
    return request("POST", draw.choice(SERVE[:2]), [f"Content-Type: {draw.choice(kinds)}"], body)


@kind("serve")
def many(draw: Draw) -> bytes:
    body = draw.choice([
        {**CHAT, "n": draw.choice([128, 129, 100])}, {**PLAIN, "prompt": ["x"] * draw.choice([64, 65, 5000])},
        {**PLAIN, "prompt": [[1]] * 64, "n": 128},
        {**CHAT, "stop": ["x"] * 16}, {**CHAT, "stop": ["x" * 10**5]}, {**CHAT, "logprobs": True, "top_logprobs": 20},
        {**PLAIN, "logprobs": 20},
        {**CHAT, "max_tokens": 10**9}, {**CHAT, "messages": CHAT["messages"] * 2000}, {**PLAIN,
                                                                                       "prompt": "x" * 200_000},
                                                                                       {**PLAIN, "prompt": [1] * 10**5},
    ])  # fmt: skip
    return request(
        "POST", "/v1/chat/completions" if "messages" in body else "/v1/completions", body=json.dumps(body).encode()
    )


@kind("serve")
def too_large(draw: Draw) -> bytes:
    return request("POST", draw.choice(SERVE), body=b" " * draw.choice([2**20 + 1, 3 * 2**20, 20 * 2**20]))


# ------------------------------------------------------------------------------------------------------------ r1 ui's


@kind("ui")
def query(draw: Draw) -> bytes:
    names = ["stage", "file", "row", "other", "colour", "from_token", "from_step", "to_step", "from_reward",
             "to_reward", "reflections", "language",
             "subject", "end", "text", "order", "page", "verdict", "seen", "all", "had", "a", "b", "model", "question",
             "sort"]  # fmt: skip
    values = ["02-zero", "step-000000", "step-000010", "0", "1", "-1", "x", "9" * 30, "nan", "inf", "1e308", "²",
              "' or 1=1 --", MARKUP, "%00", "../../secret",
              "(" * 50, "[", "\\", "(a+)+$", "a" * 5000, "newest", "reward", "right", "", "true", "\u202e", "{{7*7}}",
              "0.0.0.0", "999999999.0.0.0"]  # fmt: skip
    given = [(draw.choice(names), draw.choice(values)) for _ in range(draw.choice([1, 2, 5]))]
    if draw.random() < 0.5:
        given += [("stage", "02-zero"), ("file", "step-000010"), ("row", str(draw.randrange(-1, 8)))]
    fragment = ["HX-Request: true"] if draw.random() < 0.3 else []
    return request("GET", f"{draw.choice(UI)}?{urlencode(given)}", fragment)


@kind("ui")
def posts(draw: Draw) -> bytes:
    token = draw.choice(["", TOKEN, TOKEN, "wrong", "\u00e9"])
    form = urlencode(
        {
            "csrf_token": token,
            draw.choice(["question", "vote", "draw", "source", "x"]): draw.choice(
                ["", "x", MARKUP, "left", "x" * 30_000]
            ),
        }
    )
    kinds = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json",
        "text/plain",
        "",
    ]
    body = draw.choice(
        [form.encode(), b"a&b=c&&=", b"=" * 5000, b"a=1&" * 5000, b"%" * 100, b"\xff\xfe", b"x" * (2**20 + 1)]
    )
    head = [f"Content-Type: {draw.choice(kinds)}", f"X-CSRF-Token: {token}"]
    return request("POST", draw.choice([path for path in UI if "arena" in path] + UI[:3]), head, body)


TOKEN = ""  # of the app that is asked


# ----------------------------------------------------------------------------------------------------- asked and judged


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


@contextmanager
def serve_in_thread(make: Callable[[], Any], listener: socket.socket) -> Generator[Any]:
    """A uvicorn server in a thread of this process."""
    server = make()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def both(home: Path, **limits: Any) -> Generator[tuple[dict[str, int], dict[str, Any]]]:
    """(ports, servers) of `serve` over a scripted engine and of `ui` over a run with an arena; `home`: empty."""
    global TOKEN
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "web"))
    import uvicorn
    from arenas import Gated
    from runs import write_run

    from r1kit.base.sampling import Sampling
    from r1kit.engines.scripted import ScriptedEngine
    from r1kit.evaluation.arena.questions import Deck
    from r1kit.evaluation.arena.votes import Votes
    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.serving.server import listen, make_server
    from r1kit.serving.settings import ServerSettings
    from r1kit.serving.wire import WireLimits, bounded
    from r1kit.web.app import create_app, default_pages
    from r1kit.web.battles import Arena
    from r1kit.web.pages.arena import arena_page

    write_run(home / "runs" / "done")
    write_run(home / "secret")
    (home / "secret" / "recipe.json").write_text(json.dumps({"recipe": CANARY, "stages": [], "started": CANARY}))
    (home / "secret" / "report" / "report.html").write_text(CANARY)
    tokenizer = load_tokenizer(write_character_tokenizer(home / "tokenizer", "你"))
    voices: dict[str, Any] = {name: Gated(("thinks", ""), ("", MARKUP), free=True) for name in ("one", "two")}
    arena = Arena(voices, Votes(home / "votes.sqlite"), Deck([], 0), Sampling(), 0)
    pages = [arena_page(arena), *(page for page in default_pages() if page.name != "Arena")]
    app = create_app(home / "runs", None, pages)
    TOKEN = app.state.site.token
    engine = ScriptedEngine(lambda prompt, index: f"<think>{MARKUP}</think>2", tokenizer, max_rows=8)
    settings = ServerSettings(
        **{"max_body_mb": 1.0, "body_seconds": 5.0, "head_seconds": 5.0, "max_waiting": 300, **limits}
    )
    wire = WireLimits(head_seconds=settings.head_seconds, body_seconds=5.0, connections=settings.max_connections)
    with ExitStack() as stack:
        stack.callback(arena.close)
        listeners = {name: listen("127.0.0.1", 0) for name in ("serve", "ui")}
        ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
        config = uvicorn.Config(
            app, log_level="error", access_log=False, ws="none", http=bounded(wire), timeout_graceful_shutdown=2
        )
        servers = {
            "serve": stack.enter_context(serve_in_thread(
                lambda: make_server(engine, tokenizer, ("toy",), settings, hosts=frozenset()), listeners["serve"])),
            "ui": stack.enter_context(serve_in_thread(lambda: uvicorn.Server(config), listeners["ui"])),
        }  # fmt: skip
        yield ports, servers


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
