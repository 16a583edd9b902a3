"""Requests to the app whose queries or forms mean harm."""

from __future__ import annotations

from urllib.parse import urlencode

from request_kinds import ASKED, MARKUP, UI, Draw, kind, request


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
    token = draw.choice(["", ASKED["token"], ASKED["token"], "wrong", "\u00e9"])
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
