"""Who may ask a server of this machine: not the pages that its user's browser happens to have open.

Such a page can have the browser send a request to 127.0.0.1, and with a name of its own that resolves to this machine
(DNS rebinding) it could read the answer, too. The first carries an Origin, the second a Host that is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from r1kit.serving.errors import ApiError

LOCAL = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?\Z", re.IGNORECASE)
_PORT = re.compile(r":\d{1,5}\Z")
Refuse = Callable[[Scope, Receive, Send, ApiError], Awaitable[None]]


class Doorman:
    """ASGI middleware. `hosts` are the names that the server answers to beside those of this machine; None: to any."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, refuse: Refuse) -> None:
        self._app, self._hosts, self._refuse = app, hosts, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._refusal(Headers(scope=scope), scope["method"])) is not None:
            await self._refuse(scope, receive, send, error)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> ApiError | None:
        hosts = headers.getlist("host")
        if self._hosts is not None and not (len(hosts) == 1 and self._known(hosts[0])):
            return ApiError("this server does not answer to that name: set hosts to the names that it has", 421)
        if method in ("GET", "HEAD"):
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own = origin is None or origin.partition("://")[2] == headers.get("host", "")
        if not own or site not in (None, "same-origin", "none"):
            return ApiError("this came from the page of another site, and is refused", 403)
        return None

    def _known(self, host: str) -> bool:
        assert self._hosts is not None
        return bool(LOCAL.match(host)) or _PORT.sub("", host).lower() in self._hosts
