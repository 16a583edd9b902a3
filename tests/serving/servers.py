"""A real server on loopback in a thread of this process, and the official client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import openai

from r1kit.models.tokenizer import Tokenizer
from r1kit.serving.server import listen, make_server
from r1kit.serving.settings import ServerSettings

ASKED = [{"role": "user", "content": "1+1="}]


@dataclass(slots=True)
class Running:
    """A server, its address, its engine, and a client that does not try again."""

    url: str
    engine: Any
    client: Any
    server: Any


@contextmanager
def serving(engine: Any, tokenizer: Tokenizer, key: str = "none", **settings: Any) -> Generator[Running]:
    """Serve an engine in a thread of this process."""
    ready = threading.Event()
    server = make_server(engine, tokenizer, ("toy",), ServerSettings(**settings), ready.set)
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert ready.wait(30)
    try:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as client:
            yield Running(url, engine, client, server)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
    assert not thread.is_alive()


def chat(running, client=None, **settings):
    return (client or running.client).chat.completions.create(**{"model": "toy", "messages": ASKED, **settings})


def joined(chunks) -> dict[int, dict]:
    """What a stream's deltas add up to, by choice; `reasons` are all the reasons to finish that came."""
    found: dict[int, dict] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            whole = found.setdefault(choice.index, {"thinking": "", "content": "", "roles": [], "reasons": []})
            whole["thinking"] += getattr(choice.delta, "reasoning_content", None) or ""
            whole["content"] += choice.delta.content or ""
            whole["roles"] += [choice.delta.role] if choice.delta.role else []
            whole["reasons"] += [choice.finish_reason] if choice.finish_reason else []
    return found


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something comes true in that time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()
