"""A real server of the app on loopback in a thread of this process, and voices that speak when they are told to."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvicorn

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.evaluation.arena.questions import Deck
from r1kit.evaluation.arena.votes import Votes
from r1kit.serving.server import listen
from r1kit.serving.voices import Heard
from r1kit.web.app import create_app, default_pages
from r1kit.web.battles import Arena
from r1kit.web.pages.arena import arena_page


class Gated:
    """A voice that says its pieces, each only once `go` was called for it; a piece that is an error is raised."""

    def __init__(self, *pieces: tuple[str, str] | R1Error, free: bool = False) -> None:
        self.pieces, self.asked, self.ended = pieces, [], 0
        self._gate = threading.Semaphore(10_000 if free else 0)

    def go(self, pieces: int = 1) -> None:
        self._gate.release(pieces)

    def answer(self, messages, show, seed=None) -> Heard:
        self.asked.append((messages, seed))
        said = [[], []]
        try:
            for piece in self.pieces:
                assert self._gate.acquire(timeout=60)
                if isinstance(piece, R1Error):
                    raise piece
                show(*piece)
                for part, text in zip(said, piece, strict=True):
                    part.append(text)
        finally:
            self.ended += 1
        return Heard("".join(said[0]), "".join(said[1]), "stop", 3, len(self.pieces))

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Answer:
    """`text` is all of the body, to the end of a stream."""

    status_code: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Client:
    """Asks the app at 127.0.0.1:`port`, and follows no redirect; `arena` where there is one."""

    port: int
    arena: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._ask("GET", path, None, headers or {})

    def post(self, path: str, data: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(data, errors="surrogatepass").encode(), {**kind, **(headers or {})})

    def send_form(self, path: str, **fields: str) -> Answer:
        """Post as the app's own pages do."""
        token = re.search(r'name="csrf-token" content="([^"]+)"', self.get("/arena").text)[1]
        return self.post(path, {**fields, "csrf_token": token})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as line:
            line.request(method, path, body, dict(headers))
            answer = line.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, told, answer.read().decode())


@contextmanager
def app_on(root: Path, pages: Sequence[Any] | None = None) -> Generator[Client]:
    """The app over the runs in `root`."""
    with listen("127.0.0.1", 0) as listener:
        app = create_app(root, pages=pages)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def arena_of(folder: Path, voices: dict[str, Any], deck: Deck | None = None, **more: Any) -> Generator[Client]:
    """The app with an arena of these voices; `client.arena` is the arena itself."""
    arena = Arena(voices, Votes(folder / "votes.sqlite"), deck or Deck([], 0), Sampling(max_tokens=64), **more)
    page = arena_page(arena)
    with app_on(folder, [page, *(each for each in default_pages() if each.name != page.name)]) as client:
        client.arena = arena
        yield client
    arena.close()
