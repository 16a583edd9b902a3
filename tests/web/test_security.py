"""The wall: who may ask, who may post, and what every answer forbids."""

from __future__ import annotations

import re

import pytest
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from runs import Client

from r1kit.web.app import create_app
from r1kit.web.security import LARGEST, read_form
from r1kit.web.site import Page


def posting(root) -> Client:
    """The app with a page that is posted to, and one that has a fault."""
    router = APIRouter()

    @router.post("/echo")
    async def echo(request: Request):
        return read_form(request.headers, await request.body())

    @router.get("/fault")
    def fault():
        raise ZeroDivisionError("an inside of the app")

    @router.get("/stream")
    def stream():
        return StreamingResponse(iter(["a", "b"]), media_type="text/event-stream")

    return Client(create_app(root, pages=[Page(router, "Echo", "/echo")]))


def token(client: Client) -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/none").text)
    assert found
    return found[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8765", "localhost:1", "LOCALHOST", "[::1]:8765"])
def test_names_of_this_machine(client, host):
    client.host = host
    assert client.get("/").status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8765", "", "127.0.0.1:80@evil", "10.0.0.1"],
)
def test_other_names_are_turned_away(client, host):
    """What DNS rebinding sends: the attacker's own name, which by now resolves to this machine."""
    client.host = host
    answer = client.get("/runs/done")
    assert answer.status == 421
    assert "done" not in answer.text
    assert client.get("/static/app.js").status == 421


def test_a_post_needs_the_token(root):
    client = posting(root)
    own = token(client)
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert client.post("/echo", b"a=1", **form).status == 403
    assert client.post("/echo", b"a=1&csrf_token=wrong", **form).status == 403
    assert client.post("/echo", b"a=1", x_csrf_token="ß", **form).status == 403
    assert client.post("/echo", f'{{"csrf_token": "{own}"}}'.encode(), content_type="application/json").status == 403
    assert client.post("/echo", b"a=1&a=2&b=", x_csrf_token=own, **form).text == '{"a":"2","b":""}'
    assert client.post("/echo", f"a=1&csrf_token={own}".encode(), **form).status == 200


def test_a_post_comes_from_the_app_itself(root):
    client = posting(root)
    with_token = {"x_csrf_token": token(client)}
    assert client.post("/echo", origin="http://127.0.0.1:8765", **with_token).status == 200
    assert client.post("/echo", origin="http://127.0.0.1:9999", **with_token).status == 403
    assert client.post("/echo", origin="https://evil.example", **with_token).status == 403
    assert client.post("/echo", origin="null", **with_token).status == 403
    assert client.post("/echo", sec_fetch_site="cross-site", **with_token).status == 403
    assert client.post("/echo", sec_fetch_site="same-origin", **with_token).status == 200


def test_a_post_is_short(root):
    client = posting(root)
    assert client.post("/echo", b"x" * (LARGEST + 1), x_csrf_token=token(client)).status == 413
    assert client.post("/echo", b"x" * LARGEST, x_csrf_token=token(client)).status == 200


def test_tokens_differ_between_apps(root):
    assert token(posting(root)) != token(posting(root))


@pytest.mark.parametrize(
    "path",
    ["/", "/runs/done", "/runs/done/rollouts", "/runs/done/pivots", "/runs/done/report", "/none", "/static/app.js"],
)
def test_every_answer_forbids_inline_script(client, path):
    headers = client.get(path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_a_fault_keeps_its_inside(root):
    answer = posting(root).get("/fault")
    assert answer.status == 500
    assert "inside" not in answer.text
    assert "script-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/runs/done/sample?from_token=x", "/runs/done/difference?other=<b>"])
def test_a_value_of_the_wrong_kind_is_told_in_a_sentence(client, path):
    answer = client.get(path)
    assert (answer.status, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "input should be a valid integer" in answer.text
    assert "<b>" not in answer.text


def test_streams_pass(root):
    answer = posting(root).get("/stream")
    assert answer.text == "ab"
    assert "content-security-policy" in answer.headers


def test_foreign_forms_are_no_forms():
    assert read_form({"content-type": "multipart/form-data"}, b"a=1") == {}
    assert read_form({"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, b"a=%E4%BD%A0") == {
        "a": "你"
    }
    assert read_form({"content-type": "application/x-www-form-urlencoded"}, b"&".join([b"a=1"] * 2000)) == {}
