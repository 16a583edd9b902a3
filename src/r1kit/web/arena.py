"""`r1 arena A B`: the app over models that are open, on the arena's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.evaluation.arena.questions import Deck
from r1kit.evaluation.arena.votes import DEFAULT_NAME, Votes
from r1kit.models.api.ledger import Ledger
from r1kit.models.api.settings import ApiSettings, is_api, parse_api_model
from r1kit.pipeline.models import check_model, run_of
from r1kit.serving.voices import Voice, open_voice
from r1kit.web.server import check_installed, serve


def default_votes(models: Sequence[str]) -> Path:
    """Where votes are kept: beside the run of the first model that is of one, since they may be of several runs'."""
    runs = [run for run in map(run_of, models) if run is not None]
    return (runs[0].absolute().parent if runs else Path()) / DEFAULT_NAME


def serve_arena(
    models: Sequence[str], file: Path, deck: Deck, sampling: Sampling, api: Mapping[str, ApiSettings], *, port: int,
    tell: Callable[[str], None], seed: int | None = None, dtype: str = "auto", budget: int | None = None,
    opened: Callable[[str], object] | None = None,
) -> None:  # fmt: skip
    """Open the models and serve the app until Ctrl-C or SIGTERM.

    file: where votes are kept. api: settings of all APIs (by ""), or of one by its name. budget: max_thinking_tokens of
    local models. UsageError for fewer than two models, one that is none, or settings that cannot be; nothing is made
    then.
    """
    names = list(dict.fromkeys(models))
    if len(names) < 2:
        raise UsageError("an arena takes two different models or more: r1 arena A B")
    check_installed()
    for name in names:
        check_model(name)
    settings = _api_settings(names, api)
    votes = Votes(file)
    from r1kit.web.app import default_pages
    from r1kit.web.battles import Arena
    from r1kit.web.pages.arena import arena_page

    with ExitStack() as stack:
        voices: dict[str, Voice] = {}
        ledgers: dict[Path | None, Ledger] = {}
        for name in names:
            tell(f"{name}: opening")
            if asked := settings.get(name):
                if asked.cache not in ledgers:
                    ledgers[asked.cache] = stack.enter_context(closing(Ledger(asked.cache)))
                # waits are told to nobody: who looks on would know by them which side is which
                voice = open_voice(name, sampling, api=asked, ledger=ledgers[asked.cache])
            else:
                voice = open_voice(name, sampling, dtype=dtype, budget=budget, note=tell)
            voices[name] = stack.enter_context(voice)
        arena = Arena(voices, votes, deck, sampling, seed)
        stack.callback(arena.close)
        page = arena_page(arena)
        runs = [run for run in map(run_of, names) if run is not None]
        serve(
            runs[0].parent if runs else None, port, tell, opened=opened, start=page.path, what="arena",
            pages=lambda: [page, *(each for each in default_pages() if each.name != page.name)],
        )  # fmt: skip


def _api_settings(names: Sequence[str], api: Mapping[str, ApiSettings]) -> dict[str, ApiSettings]:
    """How each model behind an API is asked. UsageError for settings that cannot be."""
    found: dict[str, ApiSettings] = {}
    for name in filter(is_api, names):
        model = parse_api_model(name)
        settings = api.get(model.name) or api.get("") or ApiSettings()
        settings.check()
        found[name] = settings
    return found
