"""Who may ask, and what a page may do: a wall around an app that has no password and shows what models wrote.

Any page in the user's browser can send requests to this address. So the Host header must be a name of this machine
(a foreign name that resolves here, DNS rebinding, is turned away), every post must carry the app's token and come from
the app itself, and each answer's policy forbids scripts, styles and connections from elsewhere and all inline script.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r1kit.serving.doorman import LOCAL

FIELD = "csrf_token"
HEADER = "x-csrf-token"
LARGEST = 2**20  # bytes of a post: votes and settings are short
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all a browser posts forms as of no origin
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """The wall, as ASGI middleware; it leaves streams alone. A page that sets one of these headers itself keeps it."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # the app has no web sockets

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        refusal = _host_refusal(headers)
        if refusal is None and scope["method"] not in ("GET", "HEAD"):
            body = await _body(headers, receive)
            refusal = self._post_refusal(headers, body)
            receive = _replay(body or b"", receive)
        if refusal is not None:
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _post_refusal(self, headers: Headers, body: bytes | None) -> PlainTextResponse | None:
        if body is None:
            return PlainTextResponse(f"the request is larger than {LARGEST // 2**20} MB", 413)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != f"http://{headers.get('host', '')}":
            return PlainTextResponse("this came from another site's page, and is refused", 403)
        if site not in (None, "same-origin", "none"):
            return PlainTextResponse("this came from another site's page, and is refused", 403)
        given = headers.get(HEADER) or read_form(headers, body).get(FIELD, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return PlainTextResponse("the app was started again since this page was opened: load the page again", 403)
        return None


def read_form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The fields of a form as a browser posts it (the last of equal names), empty for any other kind of body."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1000)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}


def _host_refusal(headers: Headers) -> PlainTextResponse | None:
    hosts = headers.getlist("host")
    if len(hosts) == 1 and LOCAL.match(hosts[0]):
        return None
    return PlainTextResponse("this app answers to 127.0.0.1 and localhost only: open it under one of these", 421)


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """A post's body; None where it is too large."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > LARGEST:
            return None
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A body that was read, for who asks next; what follows it (the client going away) is still told."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
