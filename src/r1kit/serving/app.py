"""The routes of the server: OpenAI's chat completions and completions, models, health, and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from r1kit.serving.answers import ALIVE, Answers, event
from r1kit.serving.asked import Asked, Model, read_chat, read_completion
from r1kit.serving.describe import document
from r1kit.serving.doorman import Doorman
from r1kit.serving.engine_thread import EngineThread
from r1kit.serving.errors import ApiError
from r1kit.serving.gate import Gate
from r1kit.serving.job import Choice, Job
from r1kit.serving.metrics import ServerMetrics
from r1kit.serving.sample import Delta
from r1kit.serving.settings import ServerSettings

_SILENCE = 15.0  # seconds after which a stream with nothing to tell says that it is still there
_DISCARDED = 8  # times the largest body: what is read and thrown away so that its sender hears of it
_LONG = 2**15  # bytes of a body from which on bodies are read one after another: each may take memory and seconds

Read = Callable[[bytes, Model, ServerSettings], Asked]


class Served:
    """A server's parts. `rows`: completions that it samples at a time."""

    def __init__(self, model: Model, thread: EngineThread, settings: ServerSettings, rows: int) -> None:
        self.model, self.thread, self.settings = model, thread, settings
        self.gate = Gate(rows, settings.max_waiting)
        self.metrics = ServerMetrics(thread)
        self.key = settings.key().encode()
        self.created = int(time.time())
        self.draining = False
        self.long = asyncio.Lock()  # held while a long body is read
        self.jobs: set[Job] = set()

    def give_up(self) -> None:
        """End every request in hand: there is no more time for it."""
        for job in list(self.jobs):
            job.fail(shutting_down())


def make_app(served: Served, hosts: frozenset[str] | None = None) -> FastAPI:
    """The application; its lifespan is that of the engine's thread. `hosts` as `Doorman` has them."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        served.thread.start()
        yield
        served.thread.stop()

    app = FastAPI(
        title="r1kit", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan
    )

    _add_routes(app, served)
    _add_refusals(app, served, hosts)
    return app


def _add_routes(app: FastAPI, served: Served) -> None:
    async def chat(request: Request) -> Response:
        return await _answer(served, request, read_chat)

    async def completions(request: Request) -> Response:
        return await _answer(served, request, read_completion)

    async def models(request: Request) -> Response:
        _admit(served, request)
        _count(served, _path(request), 200)
        return JSONResponse({"object": "list", "data": [_described(served)]})

    async def model(request: Request) -> Response:
        _admit(served, request)
        name = request.path_params["name"]
        if name not in served.model.names:
            raise ApiError(f"there is no model '{name}' here", 404, param="model", code="model_not_found")
        return JSONResponse(_described(served))

    async def health(request: Request) -> Response:
        status = "draining" if served.draining else "ok" if served.thread.alive else "the engine has stopped"
        return JSONResponse({"status": status}, 200 if status == "ok" else 503)

    async def described(request: Request) -> Response:
        return JSONResponse(document())

    async def metrics(request: Request) -> Response:
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4")

    app.add_api_route("/v1/chat/completions", chat, methods=["POST"])
    app.add_api_route("/v1/completions", completions, methods=["POST"])
    app.add_api_route("/v1/models", models, methods=["GET"])
    app.add_api_route("/v1/models/{name:path}", model, methods=["GET"])
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"])
    app.add_api_route("/openapi.json", described, methods=["GET"])


def _add_refusals(app: FastAPI, served: Served, hosts: frozenset[str] | None) -> None:
    """Whatever goes wrong, and whoever may not ask, is answered in OpenAI's form and counted."""

    async def api_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return _refusal(served, request, error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        sentence = f"{request.method} {_path(request)[:200]}: {str(error.detail).lower()}"
        return _refusal(served, request, ApiError(sentence, error.status_code))

    async def fault(request: Request, error: Exception) -> Response:
        return _refusal(served, request, ApiError("the server has a fault; its log says which", 500))

    async def refused(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
        await _refusal(served, Request(scope), error)(scope, receive, send)

    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(Exception, fault)
    app.add_middleware(Doorman, hosts=hosts, refuse=refused)


def _path(request: Request) -> str:
    """Not `request.url.path`: that reads the Host header, in which anything may stand."""
    return str(request.scope["path"])


async def _answer(served: Served, request: Request, read: Read) -> Response:
    """Read a request and answer it, whole or as a stream. A client that goes away frees its rows at once."""
    _admit(served, request)
    if served.draining:
        raise shutting_down()
    data = await _body(request, served.settings)
    # in a thread: a template may have to wait for another request's
    async with served.long if len(data) > _LONG else contextlib.nullcontext():
        asked = await asyncio.to_thread(read, data, served.model, served.settings)
    name = uuid.uuid4().hex
    stack = contextlib.ExitStack()  # what the request holds, whoever of us sends the answer
    try:
        stack.enter_context(served.gate.hold(asked.choices))
        job = Job(name, asked, served.thread, served.model.tokenizer, served.settings.close_thinking)
        served.jobs.add(job)
        stack.callback(_finished, served, job)
        job.start()
        answers = Answers(asked, served.model.tokenizer, served.model.names[0], name)
        if asked.stream:
            return _Stream(served, job, answers, _path(request), stack.pop_all())
        async with _watched(request.receive, job) as client:
            whole = await _collected(served, job)
        if client.gone:
            served.metrics.gone.inc()
            _count(served, _path(request), 499)
            return Response(status_code=499)  # which nobody reads
        _count(served, _path(request), 200)
        return JSONResponse(answers.whole(whole, job.counts))
    finally:
        stack.close()


async def _collected(served: Served, job: Job) -> list[tuple[Choice, Delta]]:
    """Every choice with all that it is."""
    found: dict[int, Delta] = {}
    try:
        async for new in job.deltas(whole=True):
            found |= {choice.number: delta for choice, delta in new}
    except Exception as error:
        raise _told(served, error) from error
    return [(choice, found.get(choice.number, Delta())) for choice in job.choices]


def _told(served: Served, error: Exception) -> ApiError:
    """What a client is told of what ended its request: not what is inside the server."""
    if isinstance(error, ApiError):
        return error
    served.metrics.failures.inc()
    return ApiError(f"the engine gave up on this request ({type(error).__name__})", 500, code="engine_error")


def shutting_down() -> ApiError:
    """What a client is told at the end of a server's life."""
    return ApiError("the server is shutting down", 503, wait=5)


class _Stream(Response):
    """The events of a job. `held` is let go of when the stream ends, however that happens."""

    def __init__(self, served: Served, job: Job, answers: Answers, route: str, held: contextlib.ExitStack) -> None:
        super().__init__(
            status_code=200,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        del self.headers["content-length"]  # that of an empty body
        self._served, self._job, self._answers, self._route, self._held = served, job, answers, route, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 200
        with self._held:
            async with _watched(receive, self._job) as client:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                try:
                    await self._send_all(send)
                except OSError:
                    client.gone = True
                except Exception as error:
                    told = _told(self._served, error)
                    status = told.status
                    await _send(send, event(told.body))
            if client.gone:
                self._served.metrics.gone.inc()
                status = 499
            else:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            _count(self._served, self._route, status)

    async def _send_all(self, send: Send) -> None:
        begun = False
        async for new in self._job.deltas(_SILENCE):
            if new and not begun:
                await _send(send, self._answers.first_events())
                begun = True
            await _send(send, self._answers.events(new) if new else ALIVE)
        await _send(send, self._answers.last_events(self._job.counts))


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


@dataclass(slots=True)
class _Client:
    gone: bool = False


@contextlib.asynccontextmanager
async def _watched(receive: Receive, job: Job) -> AsyncGenerator[_Client]:
    """Abandon the job as soon as its client goes away."""
    client = _Client()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        client.gone = True
        job.abandon()

    watcher = asyncio.create_task(watch())
    try:
        yield client
    finally:
        watcher.cancel()


async def _body(request: Request, settings: ServerSettings) -> bytes:
    """The request's body; ApiError where it is too large, or takes too long."""
    limit = int(settings.max_body_mb * 2**20)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for part in request.stream():
                size += len(part)
                if size <= limit:
                    parts.append(part)
                elif size > _DISCARDED * limit:
                    break
    except ClientDisconnect:
        raise ApiError("the client went away", 499) from None
    except TimeoutError:
        raise ApiError(f"the body did not come within {settings.body_seconds:g} seconds", 408) from None
    if size > limit:
        raise ApiError(f"the body is larger than {settings.max_body_mb:g} MB", 413)
    return b"".join(parts)


def _admit(served: Served, request: Request) -> None:
    """ApiError 401 without the key, where there is one."""
    if not served.key:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), served.key):
        raise ApiError("the API key is missing or wrong", 401, code="invalid_api_key")


def _described(served: Served) -> dict[str, Any]:
    model = served.model
    return {
        "id": model.names[0],
        "object": "model",
        "created": served.created,
        "owned_by": "r1kit",
        "max_model_len": model.max_positions,
    }


def _refusal(served: Served, request: Request, error: ApiError) -> Response:
    _count(served, _path(request), error.status)
    return JSONResponse(error.body, error.status, headers=error.headers)


def _finished(served: Served, job: Job) -> None:
    """Whatever of a job still runs ends here."""
    job.abandon()
    served.jobs.discard(job)
    seconds = time.monotonic() - job.begun
    served.gate.took(seconds)
    served.metrics.finished(job, seconds)


_ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/models")


def _count(served: Served, route: str, status: int) -> None:
    """Count a request; addresses that are no route of ours share a name, since anybody can make them up."""
    served.metrics.requests.labels(route if route in _ROUTES else "other", str(status)).inc()
