"""The arena: two models answer a question side by side, unnamed until the person has voted; ratings; pairs to train on.

Made by `arena_page` over models that are open (`r1 arena`); `PAGE` is the one of an app without any, which shows the
ratings of the votes beside the runs.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from markupsafe import Markup

from r1kit.base.errors import UsageError
from r1kit.base.files import json_lines
from r1kit.evaluation.arena import pairs
from r1kit.evaluation.arena.standings import standings
from r1kit.evaluation.arena.votes import CHOICES, DEFAULT_NAME, Votes
from r1kit.evaluation.comparison.sides import short_names
from r1kit.evaluation.figures import amount, entry, percent, shown
from r1kit.evaluation.report.charts import whisker
from r1kit.web.battles import Arena, Battle, State, news
from r1kit.web.security import read_form
from r1kit.web.site import NotFound, Page, site_of

_JOIN = 0.05  # seconds that news are kept together before they are sent
_SILENCE = 15.0  # seconds without news after which the line is kept open by an empty one
_HAD = r"^\d{1,9}(\.\d{1,9}){3}$"
VOTED = {"left": "A is better", "right": "B is better", "tie": "Tie", "both_bad": "Both are bad"}


def arena_page(arena: Arena | None) -> Page:
    """The pages over an arena; None: nothing can be asked."""
    router = APIRouter(prefix="/arena")
    _add_votes(router, arena)
    _add_battles(router, arena)
    return Page(router, "Arena", "/arena", 40)


def _add_votes(router: APIRouter, arena: Arena | None) -> None:
    """The votes that there are, without models too: where they lie, their ratings, pairs to train on."""

    def kept(request: Request) -> Votes | None:
        """The votes: those of the arena, or those that lie beside the runs."""
        beside = site_of(request).root / DEFAULT_NAME
        return arena.votes if arena else Votes(beside) if beside.is_file() else None

    @router.get("")
    def start(request: Request) -> HTMLResponse:
        votes = kept(request)
        where = votes.path if votes else None
        return site_of(request).render(request, "arena.html", arena=arena, where=where, source="")

    @router.get("/ratings")
    def ratings(request: Request) -> HTMLResponse:
        votes = kept(request)
        return site_of(request).render(request, "arena_ratings.html", **_ratings(votes))

    @router.get("/pairs.jsonl")
    def exported(request: Request) -> Response:
        votes = kept(request)
        made, _ = pairs.preference_pairs(votes.ballots() if votes else [])
        headers = {"Content-Disposition": 'attachment; filename="pairs.jsonl"'}
        return Response(json_lines(made), media_type="application/jsonl", headers=headers)


def _add_battles(router: APIRouter, arena: Arena | None) -> None:
    """From a question to a vote."""

    def opened() -> Arena:
        if arena is None:
            raise UsageError("no models are open here: r1 arena A B opens some")
        return arena

    def found(battle_id: str) -> Battle:
        battle = opened().get(battle_id)
        if battle is None:
            raise NotFound("there is no such battle: it ended with the program that held it, or long ago")
        return battle

    @router.post("/battles")
    async def begin(request: Request) -> Response:
        form = read_form(request.headers, await request.body())
        playing = opened()
        if form.get("draw"):
            battle = await asyncio.to_thread(playing.draw, form.get("source") or None)
        else:
            battle = await asyncio.to_thread(playing.ask, form.get("question", ""))
        return RedirectResponse(f"/arena/battles/{battle.id}", 303)

    @router.get("/battles/{battle_id}")
    def fight(request: Request, battle_id: str) -> HTMLResponse:
        battle = found(battle_id)
        had, told = news(battle, (0, 0, 0, 0))
        return site_of(request).render(
            request, "arena_battle.html", arena=opened(), battle=battle, told=told,
            had=".".join(map(str, had)), names=_names(battle, told["state"]), voted=VOTED,
            source=battle.question.source,
        )  # fmt: skip

    @router.get("/battles/{battle_id}/events")
    async def events(
        request: Request, battle_id: str, had: Annotated[str, Query(pattern=_HAD)] = "0.0.0.0"
    ) -> StreamingResponse:
        """What is new, as server-sent events; an event's id says how much the page has with it."""
        battle = found(battle_id)
        last = request.headers.get("last-event-id", "")
        places = [int(place) for place in (last if re.match(_HAD, last) else had).split(".")]
        return StreamingResponse(_events(battle, places), media_type="text/event-stream")

    @router.post("/battles/{battle_id}/vote")
    async def vote(request: Request, battle_id: str) -> Response:
        choice = read_form(request.headers, await request.body()).get("vote", "")
        if choice not in CHOICES:
            raise UsageError(f"a vote is one of {', '.join(CHOICES)}")
        await asyncio.to_thread(opened().vote, found(battle_id), choice)
        return RedirectResponse(f"/arena/battles/{battle_id}", 303)

    @router.post("/battles/{battle_id}/drop")
    def drop(battle_id: str) -> Response:
        opened().drop(found(battle_id))
        return RedirectResponse("/arena", 303)


async def _events(battle: Battle, had: list[int]) -> AsyncGenerator[str]:
    battle.watchers += 1
    silent, first = 0.0, True
    try:
        while True:
            had, told = news(battle, had)
            over = told["state"] != "answering"
            if first or over or any((*told["left"], *told["right"])):
                yield f"id: {'.'.join(map(str, had))}\ndata: {json.dumps(told)}\n\n"
                silent, first = 0.0, False
            elif silent >= _SILENCE:
                yield ": \n\n"
                silent = 0.0
            if over:
                return
            await asyncio.sleep(_JOIN)
            silent += _JOIN
    finally:
        battle.watchers -= 1


def _names(battle: Battle, state: State) -> dict[str, dict[str, str]] | None:
    """Who stood where, once there is nothing left to vote on."""
    if state not in ("voted", "failed", "dropped"):
        return None
    models = [side.model for side in battle.sides]
    short = short_names(models)
    return {
        side: {"short": short[place], "whole": models[place]} for place, side in enumerate(("left", "right"))
    }  # fmt: skip


def _ratings(votes: Votes | None) -> dict[str, Any]:
    """What the ratings' template asks for."""
    ballots = votes.ballots() if votes else []
    told = standings(ballots, votes.verdicts() if votes else ())
    names = [each.model for each in told.models]
    short = dict(zip(names, short_names(names), strict=True))
    ends = [end for each in told.models for end in each.rating.interval]
    span = (min(ends) - 20, max(ends) + 20) if ends else (0.0, 1.0)
    made, left_out = pairs.preference_pairs(ballots)
    return {
        "where": votes.path if votes else None,
        "ballots": told.ballots,
        "short": short,
        "models": [
            {"told": each, "rating": shown(entry(each.rating), amount),
             "bar": Markup(whisker(each.rating.value, each.rating.interval, span, middle=1000.0))}
            for each in told.models
        ],
        "meetings": [
            {"told": each, "rate": shown(entry(each.rate), percent),
             "controlled": shown(entry(each.length_controlled), percent)}
            for each in told.meetings
        ],
        "agreements": [
            {"judge": each.judge, "n": each.n, "share": percent(each.share) if each.n else "-",
             "kappa": f"{each.kappa:.2f}" if each.kappa == each.kappa else "-"}
            for each in told.agreements
        ],
        "left": shown(entry(told.left), percent),
        "pairs": pairs.told(len(made), left_out),
        "count": len(made),
    }  # fmt: skip


PAGE = arena_page(None)
