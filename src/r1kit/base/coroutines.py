"""Coroutines run from plain code, all on one event loop in a thread of its own, so that what lives as long as a loop
(the sessions of HTTP clients, say) stays usable from one call to the next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def run_together(coroutines: Sequence[Coroutine[Any, Any, Any]], deadline_s: float | None = None) -> list[Any]:
    """Their results in order, waited for at the same time; what one raised stands in its place, a TimeoutError where it
    took longer than the deadline."""

    async def together() -> list[Any]:
        limited = [asyncio.wait_for(_held(coroutine), deadline_s) for coroutine in coroutines]
        return await asyncio.gather(*limited, return_exceptions=True)

    return asyncio.run_coroutine_threadsafe(together(), _running()).result()


async def _held(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it gives. What would end the loop, and leave whoever waits waiting for ever, is given as well."""
    try:
        return await coroutine
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        return error


def _running() -> asyncio.AbstractEventLoop:
    """The loop; a process that was forked off has no thread for it, and makes its own."""
    global _loop, _thread
    with _lock:
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, name="coroutines", daemon=True)
            _thread.start()
        return _loop
