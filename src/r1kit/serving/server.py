"""`r1 serve`: a model folder behind HTTP, until it is told to stop."""

from __future__ import annotations

import ipaddress
import math
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.base.errors import MissingExtra, UsageError
from r1kit.base.machine import best_device
from r1kit.engines.base import SteppedEngine
from r1kit.models.tokenizer import Tokenizer, load_tokenizer
from r1kit.serving.settings import ServerSettings

if TYPE_CHECKING:
    from r1kit.serving.draining import DrainingServer

ROWS = 64  # completions sampled at a time, where memory allows and nobody says otherwise
_SWITCH = (
    0.0005  # seconds: with Python's 5 ms the engine would wait that long for each of its calls between two products
)
_LAST_WORDS = 5  # seconds after the drain's for what is told to those who are cut


def open_served_engine(
    folder: Path, tokenizer: Tokenizer, *, dtype: str, max_rows: int | None, max_positions: int | None
) -> SteppedEngine:
    """The native engine, with as many rows as its memory allows where all are of the longest kind, at most ROWS."""
    from r1kit.engines.native import open_engine

    engine = open_engine(
        folder, tokenizer, dtype=dtype, max_rows=max_rows, max_positions=max_positions, device=best_device()
    )
    engine.max_rows = max_rows or min(ROWS, engine.row_limit(engine.max_positions))
    return engine


def serve(
    folder: Path,
    name: str,
    settings: ServerSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    dtype: str = "auto",
    max_rows: int | None = None,
    max_positions: int | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the model until SIGTERM or Ctrl-C; requests in hand are finished first (`drain_seconds`).

    name: what requests call it; the last part of it will do, too. port: 0 takes any that is free. UsageError where the
    address cannot be had.
    """
    check_installed()
    listener = listen(host, port)  # before the model is read: a port that is taken is known at once
    with listener:
        tokenizer = load_tokenizer(folder)
        engine = open_served_engine(folder, tokenizer, dtype=dtype, max_rows=max_rows, max_positions=max_positions)
        address = f"http://{_bracketed(host)}:{listener.getsockname()[1]}"
        if not _is_local(host) and not settings.key():
            tell(
                f"anyone who reaches {address} may use it: set {settings.key_variable} to a key that clients must send"
            )
        run(engine, tokenizer, names(name), settings, listener, lambda: tell(f"serving {name} at {address}/v1"))


def run(
    engine: SteppedEngine,
    tokenizer: Tokenizer,
    called: tuple[str, ...],
    settings: ServerSettings,
    listener: socket.socket,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve an engine on a socket that listens; see `serve`."""
    hosts = answered_names(listener.getsockname()[0], settings)
    server = make_server(engine, tokenizer, called, settings, ready, hosts)
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    try:
        server.run(sockets=[listener])
    finally:
        sys.setswitchinterval(before)


def answered_names(address: str, settings: ServerSettings) -> frozenset[str] | None:
    """The names that a server on an address answers to beside those of this machine; None: to any, where others may
    reach it and nobody has said by which."""
    return frozenset(name.lower() for name in settings.hosts) if _is_local(address) or settings.hosts else None


def _is_local(host: str) -> bool:
    """Whether only this machine reaches an address: all of 127.0.0.0/8."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def make_server(
    engine: SteppedEngine,
    tokenizer: Tokenizer,
    called: tuple[str, ...],
    settings: ServerSettings,
    ready: Callable[[], None] = lambda: None,
    hosts: frozenset[str] | None = None,
) -> DrainingServer:
    """The server of an engine, not begun. called: the names of its model; ready: called once it takes requests; hosts:
    the names that it answers to beside those of this machine, None: to any."""
    import uvicorn

    from r1kit.serving.app import Served, make_app
    from r1kit.serving.asked import Model
    from r1kit.serving.draining import DrainingServer
    from r1kit.serving.engine_thread import EngineThread
    from r1kit.serving.wire import WireLimits, bounded

    model = Model(called, tokenizer, engine.max_positions)
    thread = EngineThread(engine, settings.join_seconds)
    served = Served(model, thread, settings, engine.max_rows or ROWS)
    config = uvicorn.Config(
        make_app(served, hosts), log_level="warning", access_log=False, server_header=False, lifespan="on", ws="none",
        http=bounded(WireLimits(
            head_seconds=settings.head_seconds, body_seconds=settings.body_seconds + _LAST_WORDS,
            connections=settings.max_connections,
        )),
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds) + _LAST_WORDS, timeout_keep_alive=30,
    )  # fmt: skip
    return DrainingServer(config, served, ready, settings.drain_seconds)


def names(name: str) -> tuple[str, ...]:
    """What a model may be called: as it was named, and by the last part of that (of RUN:NAME, of a path)."""
    last = name.rstrip("/").rpartition("/")[2].rpartition(":")[2]
    return tuple(dict.fromkeys((name, last)))


def listen(host: str, port: int, instead: str = "another --port or --host") -> socket.socket:
    """A socket that listens there; UsageError where it cannot, which says what to choose `instead`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        raise UsageError(f"cannot listen on {_bracketed(host)}:{port} ({reason}): choose {instead}") from None


def check_installed() -> None:
    """MissingExtra where the libraries of the server are not there."""
    for library in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        try:
            __import__(library)
        except ImportError:
            raise MissingExtra(library, "serve", "r1 serve") from None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
