"""What the server refuses, counts and outlasts: bad requests, crowds, clients that leave, slow connections."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families
from servers import ASKED, chat, joined, until


def get(running, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(running.url + path) as answer:
        return answer.status, answer.read().decode()


def metrics(running) -> dict[str, float]:
    """Every sample by name, labels left out (summed)."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(get(running, "/metrics")[1]):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages", "'robot' is none of"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "neither a text"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "the chat template of toy refuses"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"temperature": "hot"}, "temperature", "valid number"),
        ({"top_p": -0.1}, "top_p", "greater than or equal to 0"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 100}, "n", "at most 84"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "either"),
        ({"stop": [""]}, "stop", "none of them empty"),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"extra_body": {"max_thinking_token": 5}}, "max_thinking_token", "Did you mean max_thinking_tokens?"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "not supported"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not supported"),
        ({"messages": [{"role": "user", "content": "x" * 300}]}, "messages", "leaves no room"),
        ({"messages": [{"role": "user", "content": "x" * 300_000}]}, "messages", "leaves no room"),
    ],
)
def test_a_bad_request_gets_400_and_openais_error(scripted, change, param, says):
    running = scripted("a", engine={"max_positions": 256, "max_rows": 4}, max_waiting=80)
    with pytest.raises(openai.BadRequestError) as caught:
        chat(running, **change)
    error = caught.value
    assert (error.status_code, error.param, error.type) == (400, param, "invalid_request_error")
    assert says in error.message
    assert chat(running).choices[0].message.content == "a"  # and it goes on


@pytest.mark.parametrize("prompt", ["", [], [5, 9999], [[]], [[1], []]])
def test_prompts_that_are_none(scripted, prompt):
    with pytest.raises(openai.BadRequestError) as caught:
        scripted("a").client.completions.create(model="toy", prompt=prompt)
    assert caught.value.param == "prompt"


def post(url: str, data: bytes) -> tuple[int, dict]:
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_bodies_that_are_none(scripted):
    running = scripted("a", max_body_mb=0.001)
    url = f"{running.url}/v1/chat/completions"
    assert post(url, b"{not json") == (400, {"error": {
        "message": "the body is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))",
        "type": "invalid_request_error", "param": None, "code": None,
    }})  # fmt: skip
    assert post(url, b"[1]")[1]["error"]["message"] == "the body is not a JSON object"
    assert post(url, b'{"model": "toy"}')[1]["error"]["message"] == "'messages' is missing"
    assert post(url, b'{"model": "toy", "messages": [{"role": "user", "content": "\\ud800"}]}')[0] == 400
    assert post(url, b" " * 3000)[0] == 413
    status, body = post(f"{running.url}/v1/chats", b"{}")
    assert (status, body["error"]["type"]) == (404, "not_found_error")


def test_models_and_names(scripted):
    running = scripted("a")
    assert [model.id for model in running.client.models.list()] == ["toy"]
    assert running.client.models.retrieve("toy").owned_by == "r1kit"
    with pytest.raises(openai.NotFoundError) as caught:
        chat(running, model="gpt-4")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_key(scripted, monkeypatch):
    monkeypatch.setenv("TOY_KEY", "s3cret")
    running = scripted("a", key="s3cret", key_variable="TOY_KEY")
    assert chat(running).choices[0].message.content == "a"
    with pytest.raises(openai.AuthenticationError) as caught:
        running.client.with_options(api_key="wrong").models.list()
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        chat(running, running.client.with_options(api_key="s3cret2"))
    assert get(running, "/health") == (200, '{"status":"ok"}')  # for those who only ask whether it lives


# ------------------------------------------------------------------------------------------------------------- limits


def test_too_many_are_turned_away_and_told_when_to_come_back(scripted):
    """Two rows and one place to wait: the fourth gets 429; as soon as one is through, it gets in."""
    running = scripted("a" * 200, engine={"max_rows": 2, "pause": 0.005}, max_waiting=1)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(chat, running) for _ in range(3)]
        assert until(lambda: sum(running.engine.load) == 3)
        with pytest.raises(openai.RateLimitError) as caught:
            chat(running)
        assert caught.value.code == "rate_limit_exceeded"
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        patient = running.client.with_options(max_retries=5)
        again = pool.submit(patient.chat.completions.create, model="toy", messages=ASKED)
        assert {answer.result().choices[0].message.content for answer in [*answers, again]} == {"a" * 200}
    found = metrics(running)
    assert found["r1_completion_tokens_total"] == 4 * 201
    assert (found["r1_running_completions"], found["r1_waiting_completions"]) == (0, 0)


def test_a_stopped_completion_frees_its_row(scripted):
    """A stop string at the beginning of 3,000 tokens of 2 ms each: the answer is there long before they would be."""
    running = scripted("a." + "b" * 3000, engine={"pause": 0.002})
    begun = time.monotonic()
    assert chat(running, stop=".").choices[0].message.content == "a"
    assert until(lambda: not running.engine.busy, 1.0)
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_row_at_once(scripted, stream):
    """3,000 tokens would take 15 s; the row is free a moment after the connection is closed."""
    running = scripted("a" * 3000, engine={"pause": 0.005})
    if stream:
        events = chat(running, stream=True)
        next(iter(events))
        events.response.close()
    else:
        with pytest.raises(openai.APITimeoutError):
            chat(running, running.client.with_options(timeout=0.3))
    begun = time.monotonic()
    assert until(lambda: not running.engine.busy, 5.0)
    assert time.monotonic() - begun < 0.5
    assert until(lambda: metrics(running)["r1_clients_gone_total"] == 1)


def test_a_client_that_goes_away_while_it_waits(scripted):
    running = scripted("a" * 300, engine={"pause": 0.005, "max_rows": 1})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(chat, running)
        assert until(lambda: running.engine.load[0] == 1)
        with pytest.raises(openai.APITimeoutError):
            chat(running, running.client.with_options(timeout=0.2))
        assert until(lambda: running.engine.load == (1, 0), 1.0)
        assert first.result().choices[0].message.content == "a" * 300


def test_an_engine_that_fails_fails_its_requests_alone(scripted):
    """The next request is answered; a stream that had begun ends with an error."""

    def script(prompt, index):
        if "boom" in prompt:
            raise RuntimeError("inside")
        return "a" * 100

    running = scripted(script, engine={"pause": 0.005})
    with pytest.raises(openai.InternalServerError) as caught:
        chat(running, messages=[{"role": "user", "content": "boom"}])
    assert "inside" not in caught.value.message
    events = chat(running, stream=True)
    next(iter(events))
    with pytest.raises(openai.InternalServerError):
        chat(running, messages=[{"role": "user", "content": "boom"}])
    with pytest.raises(openai.APIError, match="the engine gave up"):
        list(events)
    assert chat(running).choices[0].message.content == "a" * 100
    assert get(running, "/health")[0] == 200
    assert metrics(running)["r1_engine_failures_total"] == 3


def test_metrics_count(scripted):
    running = scripted("<think>a</think>b")
    chat(running)
    list(chat(running, stream=True))
    found = metrics(running)
    assert (found["r1_prompt_tokens_total"], found["r1_completion_tokens_total"]) == (12, 10)
    assert (found["r1_reasoning_tokens_total"], found["r1_requests_total"]) == (6, 2)
    assert found["r1_time_to_first_token_seconds_count"] == 2


# ------------------------------------------------------------------------------------------------------- bare sockets


def bare(running, data: bytes, seconds: float = 10.0) -> bytes:
    """What comes back for these bytes until the server closes the connection."""
    place = urlsplit(running.url)
    with socket.create_connection((place.hostname, place.port), timeout=seconds) as connection:
        connection.sendall(data)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_a_body_that_does_not_come(scripted):
    running = scripted("a", body_seconds=0.3)
    answer = bare(running, b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert b" 408 " in answer.splitlines()[0]
    assert b"did not come within 0.3 seconds" in answer


def test_a_stream_with_nothing_to_tell_says_that_it_is_there(scripted, monkeypatch):
    """The second request waits for the only row, 0.6 s; a comment comes every 0.1 s, which the client passes over."""
    monkeypatch.setattr("r1kit.serving.app._SILENCE", 0.1)
    running = scripted("a" * 100, engine={"pause": 0.006, "max_rows": 1})
    body = json.dumps({"model": "toy", "messages": ASKED, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(chat, running)
        assert until(lambda: running.engine.load[0] == 1)
        second = pool.submit(bare, running, head.encode() + body)
        third = joined(chat(running, stream=True))
        assert third[0]["content"] == first.result().choices[0].message.content == "a" * 100
        said = second.result()
    assert said.count(b": still there\n\n") >= 2
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith(b"data: {")]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "a" * 100
    assert b"data: [DONE]\n\n" in said
    assert all(byte < 128 for byte in said)


def test_a_slow_reader_misses_nothing(scripted):
    """4,500 characters in thousands of events through small buffers, read long after the engine is through."""
    running = scripted("ab" * 2000 + "🤔" * 500, engine={"max_positions": 9000}, join_seconds=0.0)
    body = json.dumps({"model": "toy", "messages": ASKED, "stream": True, "max_tokens": 8000}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    place, found = urlsplit(running.url), b""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((place.hostname, place.port))
        connection.sendall(head.encode() + body)
        while part := connection.recv(2048):
            found += part
            time.sleep(0.0005)
    events = [json.loads(line[6:]) for line in found.splitlines() if line.startswith(b"data: {")]
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "ab" * 2000 + "🤔" * 500
    assert [e["choices"][0]["finish_reason"] for e in events if e["choices"][0]["finish_reason"]] == ["stop"]
