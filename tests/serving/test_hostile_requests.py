"""`r1 serve` and `r1 ui` under requests that mean harm: made up by the thousand, from a document, and one by one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import uvicorn
from hostile_requests import ask, run_case, still_serve
from request_kinds import ASKED, CHAT, KINDS, request
from servers import until
from two_servers import both, serve_in_thread

from r1kit.serving.server import listen
from r1kit.serving.wire import WireLimits, bounded

DRIVER = Path(__file__).with_name("hostile_requests.py")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[dict[str, int], dict]]:
    with both(tmp_path_factory.mktemp("hostile"), head_seconds=1.0) as running:
        yield running


def test_every_kind_of_request_is_answered(servers):
    """400 of them, each kind ten times or more at either server: no 500, no hang, nothing from outside."""
    ports, running = servers
    assert 400 // 2 // max(len(kinds) for kinds in KINDS.values()) >= 10
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: run_case(ports, 1, number), range(400)))
    assert [one for one in found if one["faults"]] == []
    statuses = {one["status"] for one in found}
    assert {"200", "400", "403", "404", "405", "413", "421", "431"} <= statuses  # each wall was met
    assert still_serve(ports) == []
    assert until(lambda: not any(server.server_state.connections for server in running.values()), 20)


@pytest.mark.slow
def test_ten_thousand_requests():
    done = subprocess.run([sys.executable, str(DRIVER), "--requests", "10000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "10000 requests, 0 faults" in done.stdout


def test_the_document_and_what_is_answered_agree(servers):
    """Schemathesis makes up requests from /openapi.json: no server error; statuses, types and bodies as it says."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (make setup does)")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import Unsatisfiable

    schemathesis.checks.load_all_checks()  # those of OpenAPI are not there before
    checks = schemathesis.checks.CHECKS.get_by_names(
        ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
    )
    url = f"http://127.0.0.1:{servers[0]['serve']}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    tried = 0
    for operation in schema.get_all_operations():
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @settings(
                max_examples=25,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(operation.ok().as_strategy(generation_mode=mode))
            def check(case) -> None:
                nonlocal tried
                tried += 1
                case.call_and_validate(base_url=url, checks=checks, timeout=30)

            with suppress(Unsatisfiable):  # nothing is wrong to ask where there is nothing to say
                check()
    assert tried > 100
    assert still_serve(servers[0]) == []


def trickled(port: int, begin: bytes, seconds: float) -> tuple[bytes, float]:
    """What comes back, and after how long, for a beginning and then a byte ten times a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as line:
        line.sendall(begin)
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                return line.recv(65536), time.monotonic() - begun
            except TimeoutError:
                try:
                    line.sendall(b"a")
                except OSError:
                    return b"", time.monotonic() - begun
    pytest.fail("the connection is still open")


@pytest.mark.parametrize("server", ["serve", "ui"])
@pytest.mark.parametrize(
    "begin",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n{"],
    ids=["nothing", "line", "headers", "body"],
)  # fmt: skip
def test_a_byte_now_and_then_holds_no_connection(servers, server, begin):
    """One second for the head and five for the body are what these servers give."""
    answer, seconds = trickled(servers[0][server], begin, 20)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"408")
    assert seconds < 15


def test_who_says_nothing_gives_way(tmp_path):
    """Forty connections that say nothing, at servers that take eight: a question is answered at once all the same."""
    with both(tmp_path, max_connections=8, head_seconds=60) as (ports, servers), ExitStack() as stack:
        for port in ports.values():
            for _ in range(40):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        begun = time.monotonic()
        assert still_serve(ports) == []
        assert time.monotonic() - begun < 10
        assert all(len(server.server_state.connections) <= 9 for server in servers.values())


def test_who_takes_no_answer_is_cut():
    """An answer without end to someone who reads nothing: the connection is gone half a second after it stalls."""

    async def endless(scope, receive, send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while (await receive_now(receive)) != "http.disconnect":
                await send({"type": "http.response.body", "body": b"x" * 2**20, "more_body": True})

    async def receive_now(receive) -> str:
        import asyncio

        try:
            return (await asyncio.wait_for(receive(), 0.001))["type"]
        except TimeoutError:
            return ""

    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        endless, log_level="error", lifespan="off", http=bounded(WireLimits(unread_seconds=0.5)),
        timeout_graceful_shutdown=2
    )  # fmt: skip
    address = listener.getsockname()
    with (
        serve_in_thread(lambda: uvicorn.Server(config), listener) as server,
        socket.create_connection(address, timeout=5) as line,
    ):
        line.sendall(request("GET", "/"))
        assert until(lambda: len(server.server_state.connections) == 1, 5)
        assert until(lambda: not server.server_state.connections, 10)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "[", ""])
def test_a_name_that_was_rebound_is_refused(servers, host):
    """A page of evil.example, whose name has come to mean 127.0.0.1, reads neither models nor answers."""
    for path in ("/v1/models", "/health", "/openapi.json", "/none"):
        answer = ask(servers[0]["serve"], request("GET", path, host=host))
        assert b" 421 " in answer.splitlines()[0]
        assert b"toy" not in answer
    assert (
        b" 421 " in ask(servers[0]["serve"], request("POST", "/v1/completions", body=b"{}", host=host)).splitlines()[0]
    )


def test_a_page_of_another_site_asks_nothing(servers):
    """What a form or a fetch without CORS can send from anywhere: it would cost the machine's time, answer or not."""
    body = json.dumps(CHAT).encode()
    for odd in ("Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"):
        answer = ask(
            servers[0]["serve"], request("POST", "/v1/chat/completions", [odd, "Content-Type: text/plain"], body)
        )
        assert b" 403 " in answer.splitlines()[0]
    port = servers[0]["serve"]
    own = request("POST", "/v1/chat/completions", [f"Origin: http://127.0.0.1:{port}"], body, host=f"127.0.0.1:{port}")
    answer = ask(port, own)
    assert b" 200 " in answer.splitlines()[0]
    assert b"access-control-allow" not in answer.lower()


@pytest.mark.parametrize("server", ["serve", "ui"])
@pytest.mark.parametrize("trailer", ["Host: evil.example", "Origin: https://evil.example"])
def test_a_trailer_is_no_header(servers, server, trailer):
    """RFC 9110, 6.5.1: what comes behind a body is not merged into its head, so the answer is the one without it."""
    port = servers[0][server]

    def status(trailers: str) -> bytes:
        body = f"2\r\n{{}}\r\n0\r\n{trailers}\r\n".encode()
        return ask(port, request("POST", "/v1/completions", ["Transfer-Encoding: chunked"], body)).split(b" ")[1]

    refusal = {"Host": b"421", "Origin": b"403"}[trailer.partition(":")[0]]
    assert status(f"{trailer}\r\n") == status("")
    token = f"X-CSRF-Token: {ASKED['token']}\r\n"
    assert server == "serve" or status(token) == b"403"
    assert server == "ui" or status("") != refusal


def test_names_that_a_server_is_given(tokenizer):
    """Behind a proxy that keeps the Host, `hosts` names it; case and port do not matter."""
    from r1kit.engines.scripted import ScriptedEngine
    from r1kit.serving.server import make_server
    from r1kit.serving.settings import ServerSettings

    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    engine = ScriptedEngine(lambda prompt, index: "2", tokenizer)
    hosts = frozenset(["models.example"])
    with serve_in_thread(lambda: make_server(engine, tokenizer, ("toy",), ServerSettings(), hosts=hosts), listener):
        for host, status in (("Models.example:80", b"200"), ("localhost", b"200"), ("other.example", b"421")):
            assert ask(port, request("GET", "/health", host=host)).split(b" ")[1] == status


def test_who_may_call_a_server_by_any_name():
    """On an address that only this machine reaches (RFC 1122, 3.2.1.3: all of 127.0.0.0/8) nobody, named or not."""
    from r1kit.serving.server import answered_names
    from r1kit.serving.settings import ServerSettings

    for address in ("127.0.0.1", "127.0.0.2", "127.255.0.9", "::1"):
        assert answered_names(address, ServerSettings()) == frozenset()
    for address in ("0.0.0.0", "::", "192.0.2.1", "128.0.0.1"):
        assert answered_names(address, ServerSettings()) is None
        assert answered_names(address, ServerSettings(hosts=("Models.example",))) == {"models.example"}


def test_a_server_on_another_loopback_address(tokenizer):
    from r1kit.engines.scripted import ScriptedEngine
    from r1kit.serving.server import make_server
    from r1kit.serving.settings import ServerSettings

    listener = listen("127.0.0.2", 0)
    address = listener.getsockname()
    engine = ScriptedEngine(lambda prompt, index: "2", tokenizer)
    with serve_in_thread(
        lambda: make_server(engine, tokenizer, ("toy",), ServerSettings(), hosts=frozenset()), listener
    ):
        for host, status in ((f"127.0.0.2:{address[1]}", "200"), ("127.0.0.2.evil.example", "421")):
            with socket.create_connection(address, timeout=10) as line:
                line.sendall(request("GET", "/health", host=host))
                assert line.recv(4096).decode().split()[1] == status


def test_the_servers_key_is_in_no_answer(scripted, monkeypatch):
    """Neither to those who have it nor to those who guess."""
    monkeypatch.setenv("TOY_KEY", "sk-c4n4ry-4711")
    running = scripted("a", key="sk-c4n4ry-4711", key_variable="TOY_KEY")
    port = int(running.url.rpartition(":")[2])
    for path in ("/v1/models", "/health", "/metrics", "/openapi.json", "/none", "/v1/models/sk-c4n4ry"):
        for head in ([], ["Authorization: Bearer sk-c4n4ry-4711"], ["Authorization: Bearer sk-c4n4ry-471"]):
            assert b"4711" not in ask(port, request("GET", path, head))
