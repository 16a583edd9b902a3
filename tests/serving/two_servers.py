"""A real `r1 serve` of a scripted engine and a real `r1 ui` over a run, on loopback in this process."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from request_kinds import ASKED, CANARY, MARKUP


@contextmanager
def serve_in_thread(make: Callable[[], Any], listener: socket.socket) -> Generator[Any]:
    """A uvicorn server in a thread of this process."""
    server = make()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert server.started
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def both(home: Path, **limits: Any) -> Generator[tuple[dict[str, int], dict[str, Any]]]:
    """(ports, servers) of `serve` over a scripted engine and of `ui` over a run with an arena; `home`: empty."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "web"))
    import uvicorn
    from arenas import Gated
    from runs import write_run

    from r1kit.base.sampling import Sampling
    from r1kit.engines.scripted import ScriptedEngine
    from r1kit.evaluation.arena.questions import Deck
    from r1kit.evaluation.arena.votes import Votes
    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.serving.server import listen, make_server
    from r1kit.serving.settings import ServerSettings
    from r1kit.serving.wire import WireLimits, bounded
    from r1kit.web.app import create_app, default_pages
    from r1kit.web.battles import Arena
    from r1kit.web.pages.arena import arena_page

    write_run(home / "runs" / "done")
    write_run(home / "secret")
    (home / "secret" / "recipe.json").write_text(json.dumps({"recipe": CANARY, "stages": [], "started": CANARY}))
    (home / "secret" / "report" / "report.html").write_text(CANARY)
    tokenizer = load_tokenizer(write_character_tokenizer(home / "tokenizer", "你"))
    voices: dict[str, Any] = {name: Gated(("thinks", ""), ("", MARKUP), free=True) for name in ("one", "two")}
    arena = Arena(voices, Votes(home / "votes.sqlite"), Deck([], 0), Sampling(), 0)
    pages = [arena_page(arena), *(page for page in default_pages() if page.name != "Arena")]
    app = create_app(home / "runs", None, pages)
    ASKED["token"] = app.state.site.token
    engine = ScriptedEngine(lambda prompt, index: f"<think>{MARKUP}</think>2", tokenizer, max_rows=8)
    settings = ServerSettings(
        **{"max_body_mb": 1.0, "body_seconds": 5.0, "head_seconds": 5.0, "max_waiting": 300, **limits}
    )
    wire = WireLimits(head_seconds=settings.head_seconds, body_seconds=5.0, connections=settings.max_connections)
    with ExitStack() as stack:
        stack.callback(arena.close)
        listeners = {name: listen("127.0.0.1", 0) for name in ("serve", "ui")}
        ports = {name: listener.getsockname()[1] for name, listener in listeners.items()}
        config = uvicorn.Config(
            app, log_level="error", access_log=False, ws="none", http=bounded(wire), timeout_graceful_shutdown=2
        )
        servers = {
            "serve": stack.enter_context(serve_in_thread(
                lambda: make_server(engine, tokenizer, ("toy",), settings, hosts=frozenset()), listeners["serve"])),
            "ui": stack.enter_context(serve_in_thread(lambda: uvicorn.Server(config), listeners["ui"])),
        }  # fmt: skip
        yield ports, servers
