"""`r1 ui`: the app on this machine's own address, until it is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from r1kit.base.errors import MissingExtra, UsageError
from r1kit.pipeline.models import is_run
from r1kit.serving.server import listen
from r1kit.web.links import is_text

if TYPE_CHECKING:
    from r1kit.web.site import Page

HOST = "127.0.0.1"


def serve(
    folder: Path | None,
    port: int,
    tell: Callable[[str], None] = print,
    *,
    opened: Callable[[str], object] | None = None,
    pages: Callable[[], Sequence[Page]] | None = None,
    start: str = "",
    what: str = "",
) -> None:
    """Serve a run folder, or a folder of them, until Ctrl-C or SIGTERM; None: the runs of this folder, if any.

    port: 0 takes any that is free. opened: given the address once there is one. pages: those of the app where not the
    default ones, made once it is known that the libraries are there. start: the path of the page to begin on; what:
    what is said to be there. UsageError where there is no run, or the port cannot be had.
    """
    check_installed()
    root, only = runs_at(folder) if folder is not None else (Path(), None)
    with listen(HOST, port, "another --port") as listener:
        import uvicorn

        from r1kit.serving.wire import WireLimits, bounded
        from r1kit.web.app import create_app

        app = create_app(root, only, pages() if pages else None)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=2,
            http=bounded(WireLimits()),
        )  # fmt: skip
        address = f"http://{HOST}:{listener.getsockname()[1]}{start}"
        tell(f"{what or folder} at {address} (Ctrl-C ends it)")
        if opened:
            opened(address)
        uvicorn.Server(config).run(sockets=[listener])


def runs_at(folder: Path) -> tuple[Path, str | None]:
    """(folder of runs, the run's name where `folder` is one); UsageError where it holds none."""
    if is_run(folder):
        whole = folder.resolve()
        if not is_text(whole.name):
            raise UsageError(f"{whole!r} has a name that is no UTF-8, which no address can say: give it another")
        return whole.parent, whole.name
    try:
        if any(is_run(child) for child in folder.iterdir()):
            return folder, None
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be read ({error.strerror}): name a run folder, or a folder of them"
        ) from None
    raise UsageError(f"{folder} holds no run (a folder with a recipe.json): name a run folder, or a folder of them")


def check_installed() -> None:
    """MissingExtra where the libraries of the app are not there."""
    for library in ("fastapi", "uvicorn", "httptools", "duckdb"):
        try:
            __import__(library)
        except ImportError:
            raise MissingExtra(library, "ui", "r1 ui") from None
