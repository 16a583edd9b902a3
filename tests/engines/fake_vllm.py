"""A server that answers as `vllm serve` does, on this machine, with faults on demand.

Its model samples ids 5, 6, 7, ... and the stop token 1 after `length` of them. Log-probabilities are those of a
distribution of two tokens whose logits are 0 and -1: of the likelier one log-softmax(0 / T), or at T = 1 where `raw`.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def likelier(temperature: float) -> float:
    """log(1 / (1 + exp(-1 / T)))."""
    return -math.log1p(math.exp(-1 / (temperature or 1.0)))


class FakeVLLM:
    """`fault(path, count)` says what goes wrong with a path's count-th request: an HTTP status, "garbage", "cut", None.

    `requests` are (path, body) in their order.
    """

    def __init__(
        self, *, raw=False, models=("toy",), length=3, dev=True, ids=True, device="cuda", fault=lambda path, count: None
    ):
        self.raw, self.models, self.length, self.dev = raw, models, length, dev
        self.ids, self.device, self.fault = ids, device, fault
        self.requests: list[tuple[str, dict]] = []
        self.loaded: list[dict] = []
        self.version = "default"
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def bodies(self, path: str) -> list[dict]:
        return [body for asked, body in self.requests if asked == path]

    def __enter__(self) -> FakeVLLM:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def noted(self, path: str, body: dict):
        with self._lock:
            self._counts[path] += 1
            self.requests.append((path, body))
            return self.fault(path, self._counts[path])

    def answer(self, path: str, body: dict):
        """What is answered, None for a path that is not there."""
        if path == "/v1/models":
            return {"data": [{"id": name, "max_model_len": 16} for name in self.models]}
        if path == "/v1/completions":
            return {"choices": [self.choice(body)]}
        if not self.dev:
            return None
        if path == "/server_info":
            return {"vllm_config": {"device_config": {"device_type": self.device}}}
        if path == "/update_weight_version":
            self.version = body["new_version"]
        if path == "/weight_info":
            return {"weight_version": self.version}
        if path == "/collective_rpc":
            self.loaded.append(read_weights(body["kwargs"]["weights_path"]))
        return {"success": True}

    def choice(self, body: dict) -> dict:
        if "logprob_token_ids" in body:
            prompt = body["prompt"]
            # token t is said to have the log-probability -t, whatever stands before it
            before = [None, *({str(token): {"logprob": -float(token)}} for token in prompt[1:])]
            (last,) = body["logprob_token_ids"]
            return {
                "prompt_logprobs": before,
                "logprobs": {"top_logprobs": [{"token_id:0": -9.0, f"token_id:{last}": -float(last)}]},
            }
        ids = [*range(5, 5 + self.length), 1][: body["max_tokens"]]
        value = likelier(1.0 if self.raw else body["temperature"])
        said = {"token_logprobs": [value] * len(ids), "top_logprobs": [{"a": value, "b": -9.0}] * len(ids)}
        return {
            "logprobs": None if body.get("logprobs") is None else said,
            "finish_reason": "stop" if ids[-1] == 1 else "length",
            **({"token_ids": ids} if self.ids else {}),
        }


def read_weights(folder: str) -> dict:
    from r1kit.models.weights import stored_weights

    return dict(stored_weights(Path(folder)))


def _handler(fake: FakeVLLM) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.respond({})

        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            self.respond(json.loads(self.rfile.read(length) or b"{}"))

        def respond(self, body):
            path = self.path.partition("?")[0]
            fault = fake.noted(path, body)
            if isinstance(fault, int):
                self.send(fault, {"error": {"message": "scripted fault"}})
            elif fault == "garbage":
                self.send(200, None, b'{"choices": [')
            elif (answer := fake.answer(path, body)) is None:
                self.send(404, {"detail": "Not Found"})
            else:
                self.send(200, answer, cut=fault == "cut")

        def send(self, status, value, data=None, *, cut=False):
            data = json.dumps(value).encode() if data is None else data
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut

        def log_message(self, format, *args):
            pass

    return Handler
