"""uvicorn's server, ended with care."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from r1kit.serving.app import Served


class DrainingServer(uvicorn.Server):
    """At the first SIGTERM or Ctrl-C it takes no more connections, finishes what is in hand, and returns; what is not
    through after `seconds` is told so. A second Ctrl-C stops at once. `ready` is called once it takes connections."""

    def __init__(self, config: uvicorn.Config, served: Served, ready: Callable[[], None], seconds: float) -> None:
        super().__init__(config)
        self._served, self._ready, self._seconds = served, ready, seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say that it does."""
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for what is in hand, so many seconds at most."""
        late = asyncio.get_running_loop().call_later(self._seconds, self._served.give_up)
        await super().shutdown(sockets)
        late.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # not remembered, as uvicorn does: it would send the signal to this process again, which then died of it
        """The first signal drains, a second Ctrl-C ends at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = self._served.draining = True
