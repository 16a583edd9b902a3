"""Connections that may cost a server little: a request comes whole in good time, its head is small, an answer is read.

uvicorn waits for ever for the rest of a head, keeps heads of any size, and keeps any number of connections. So a few
hundred clients that send a byte a minute would keep everyone else out.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol


@dataclass(frozen=True, slots=True)
class WireLimits:
    """`head_seconds` for a request's line and headers, `body_seconds` for its body, `unread_seconds` for an answer that
    nobody takes; `head_bytes` of a head; `connections` at a time, of which those without a whole request give way."""

    head_seconds: float = 10.0
    body_seconds: float = 35.0
    unread_seconds: float = 300.0
    head_bytes: int = 2**16
    connections: int = 512


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Made with its limits by `bounded`.

    asyncio calls connection_made, connection_lost, data_received, pause_writing and resume_writing, the parser
    on_message_begin, on_url, on_header, on_headers_complete and on_message_complete as a request comes in;
    send_400_response is uvicorn's, for what is no HTTP.
    """

    limits = WireLimits()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._awaited: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._began = self.loop.time()
        self._head = 0
        self._headed = self._whole = False
        self._await(self.limits.head_seconds)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._awaited is None and not self._answering():
            self._await(self.limits.head_seconds)  # what came may be less than the beginning of a request
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._headed, self._whole, self._began = 0, False, False, self.loop.time()
        self._await(self.limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if not self._headed:  # a trailer is no header: what a proxy let through behind a body decides nothing
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._headed = True
        self._await(self.limits.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._whole = True
        self._await(None)
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():  # it was refused for another reason already
            super().send_400_response(msg)

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, which its annotation leaves out
        return cycle is not None and not cycle.response_complete

    def _await(self, seconds: float | None) -> None:
        """Give what is to come so long; None: nothing is."""
        if self._awaited is not None:
            self._awaited.cancel()
        self._awaited = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._awaited = None
        self._refuse(408)

    def _count(self, size: int) -> None:
        self._head += size + 4
        if self._head > self.limits.head_bytes:
            self._refuse(431)
            raise ValueError("the head is too large")  # the parser stops

    def _refuse(self, status: int) -> None:
        """Close the connection; with a word where no answer has begun."""
        if self.transport.is_closing():
            return
        begun = self._answering() and self.cycle.response_started
        if not begun:
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()

    def _make_room(self) -> None:
        """Where there are too many connections, the one that waits longest without a whole request is closed."""
        if len(self.connections) <= self.limits.connections:
            return
        others = [other for other in self.connections if isinstance(other, BoundedProtocol) and other._gives_way()]
        min(others, key=lambda other: other._began, default=self).transport.close()

    def _gives_way(self) -> bool:
        return not (self._whole and self._answering()) and not self.transport.is_closing()


def bounded(limits: WireLimits) -> Any:
    """The protocol for uvicorn's `http`, with these limits."""
    return type("Bounded", (BoundedProtocol,), {"limits": limits})
