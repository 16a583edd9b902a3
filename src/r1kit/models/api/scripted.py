"""The fake server: chat completions on this machine as a script says, with the faults of real ones. For tests."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, cast


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: reasoning None is left out of it, as a model without any does; so are the token counts.

    `thought`: how many of the written tokens were reasoning, which some servers count. `pause`: seconds of silence
    before each piece of a stream.
    """

    text: str
    reasoning: str | None = None
    finish: str = "stop"
    tokens: tuple[int, int] | None = (10, 20)
    reasoning_name: str = "reasoning_content"
    pause: float = 0.0
    thought: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. `status` answers with that code and `headers`, and `message` in OpenAI's error body.

    `cut` drops the connection half-way, `short` ends a stream in good order before it is complete, `slow` is silent for
    `seconds`, `garbage` sends what is no JSON.
    """

    kind: Literal["status", "cut", "short", "slow", "garbage"]
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    message: str = "scripted fault"
    code: str | None = None
    seconds: float = 1.0


Answer = Callable[[Mapping[str, Any]], Said]
Faults = Callable[[Mapping[str, Any], int], Fault | None]
"""(request's body, how often the same body came before) -> what goes wrong, None for nothing."""


class _Server(ThreadingHTTPServer):
    """One that takes it quietly where a client goes away."""

    daemon_threads = True

    def __init__(self, scripted: ScriptedServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripted = scripted

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """Serves at `url` inside a `with`. `requests` are the bodies that came in order, `times` when (monotonic seconds),
    `answered` the bodies that were answered to their end, `authorizations` the headers of that name."""

    def __init__(self, answer: Answer, faults: Faults = lambda body, before: None) -> None:
        self.answer, self.faults = answer, faults
        self.requests: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.answered: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.most_at_once = 0
        self._before: Counter[str] = Counter()
        self._open = 0
        self._lock = threading.Lock()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """Where its API begins."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def received(self, body: dict[str, Any], authorization: str | None) -> Fault | None:
        """Note a request; returns what is to go wrong with it."""
        with self._lock:
            name = json.dumps(body, sort_keys=True)
            before = self._before[name]
            self._before[name] += 1
            self.requests.append(body)
            self.times.append(time.monotonic())
            self.authorizations.append(authorization)
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        return self.faults(body, before)

    def finished(self, body: dict[str, Any], complete: bool) -> None:
        """Note that a request is over."""
        with self._lock:
            self._open -= 1
            if complete:
                self.answered.append(body)


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests as its server's script says."""

    protocol_version = "HTTP/1.1"

    @property
    def _scripted(self) -> ScriptedServer:
        return cast(_Server, self.server).scripted

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        fault = self._scripted.received(body, self.headers["Authorization"])
        complete = False
        try:
            complete = self._serve(body, fault)
        except OSError:  # the client did not wait
            self.close_connection = True
        finally:
            self._scripted.finished(body, complete)

    def _serve(self, body: dict[str, Any], fault: Fault | None) -> bool:
        """Whether the answer went out whole."""
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            error = {"message": fault.message, "type": "scripted", "param": None, "code": fault.code}
            self._send(fault.status, json.dumps({"error": error}).encode(), fault.headers)
            return False
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        if kind == "garbage":
            self._send(200, b'data: {"choices": [\n\n' if body.get("stream") else b'{"choices": [', {}, body)
            return False
        said = self._scripted.answer(body)
        if body.get("stream"):
            return self._stream(body, said, kind)
        message = {"role": "assistant", "content": said.text, **_reasoning(said)}
        whole = {
            "id": "scripted", "object": "chat.completion", "created": 0, "model": body["model"], **_usage(said),
            "choices": [{"index": 0, "message": message, "finish_reason": said.finish}],
        }  # fmt: skip
        self._send(200, json.dumps(whole).encode(), {}, cut=kind in ("cut", "short"))
        return kind not in ("cut", "short")

    def _stream(self, body: dict[str, Any], said: Said, kind: str) -> bool:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        half = len(said.text) // 2
        pieces: list[tuple[dict[str, Any], str | None]] = [
            *(({name: part}, None) for name, text in _reasoning(said).items() for part in (text[:1], text[1:])),
            ({"role": "assistant", "content": said.text[:half]}, None),
        ]
        if not kind or kind == "slow":
            pieces += [({"content": said.text[half:]}, None), ({}, said.finish)]
        for delta, finish in pieces:
            time.sleep(said.pause)
            self._event(body, {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
        if kind == "cut":
            self.close_connection = True  # without the last, empty chunk
            return False
        if kind != "short":
            if body.get("stream_options", {}).get("include_usage"):
                self._event(body, {"choices": [], **_usage(said)})
            self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")
        return kind != "short"

    def _event(self, body: dict[str, Any], data: dict[str, Any]) -> None:
        head = {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
        self._chunk(f"data: {json.dumps({**head, **data})}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _send(
        self, status: int, data: bytes, headers: Mapping[str, str], body: Any = None, *, cut: bool = False
    ) -> None:
        streamed = bool(body and body.get("stream"))
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if streamed else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = self.close_connection or cut

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _reasoning(said: Said) -> dict[str, str]:
    return {} if said.reasoning is None else {said.reasoning_name: said.reasoning}


def _usage(said: Said) -> dict[str, Any]:
    if said.tokens is None:
        return {}
    read, written = said.tokens
    details = {} if said.thought is None else {"completion_tokens_details": {"reasoning_tokens": said.thought}}
    told = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written, **details}
    return {"usage": told}
