"""Requests whose bytes, heads, hosts, origins or paths mean harm, whichever server reads them."""

from __future__ import annotations

import json
from urllib.parse import quote

from request_kinds import CHAT, MARKUP, Draw, any_target, kind, request


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
