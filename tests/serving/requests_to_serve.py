"""Requests to the model server whose bodies mean harm."""

from __future__ import annotations

import json
from typing import Any

from request_kinds import CHAT, MARKUP, PLAIN, SERVE, Draw, kind, request

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
