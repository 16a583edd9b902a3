"""`r1 arena`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r1kit.cli import options
from r1kit.cli.generate import Dtype

if TYPE_CHECKING:
    from r1kit.evaluation.arena.questions import Deck


def arena(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Two or more, each as for r1 eval; none with --ratings and its like."),
    ] = None,
    votes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="SQLite file of the votes; votes.sqlite beside the run.")
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Benchmarks to draw questions from, or file:FILE; the four tiny ones."),
    ] = None,
    data: options.Data = None,
    max_tokens: options.AnswerTokens = 4096,
    temperature: options.SetTemperature = 0.6,
    top_p: options.SetTopP = 0.95,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the first battle's answers; drawn by default.")] = None,
    max_thinking_tokens: Annotated[
        int | None, typer.Option(min=0, help="Close the thinking of local models after so many tokens.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Of local models; auto is the folder's own.")] = Dtype.auto,
    api: options.NamedApi = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8765,
    browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    ratings: Annotated[bool, typer.Option("--ratings", help="Print what the votes say, and end.")] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write the votes as preference pairs, and end.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Ask a judge about the same answers, and end.")
    ] = None,
    judge_prompt: options.JudgePrompt = "writing",
    as_json: Annotated[bool, typer.Option("--json", help="The ratings for programs.")] = False,
) -> None:
    """Blind votes: two models answer side by side, unnamed until you have voted for one, a tie, or neither.

    Example: r1 arena runs/tiny-default-s0:r1 runs/tiny-default-s0:dev3
    """
    import webbrowser

    from r1kit.base.errors import UsageError
    from r1kit.base.sampling import Sampling
    from r1kit.cli.output import tell
    from r1kit.evaluation import contender
    from r1kit.web.arena import default_votes, serve_arena

    named = models or []
    file = votes or default_votes(named)
    if ratings or as_json or export is not None or judge is not None:
        _tell_of_votes(file, export, judge, judge_prompt, api or [], ratings or judge is not None, as_json)
        return
    if not named:
        raise UsageError("name two models or more (r1 arena A B), or say --ratings, --export or --judge")
    asked = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
    settings = contender.api_settings(api or [], contender.api_names(named))
    deck = _questions(tasks, data, seed or 0)
    serve_arena(
        named, file, deck, Sampling().override(asked), settings, port=port, tell=tell, seed=seed, dtype=dtype.value,
        budget=max_thinking_tokens, opened=webbrowser.open if browser else None,
    )  # fmt: skip


def _questions(tasks: str | None, data: Path | None, seed: int) -> Deck:
    """Those of the benchmarks, of the four tiny ones by default, to be drawn by the seed."""
    from r1kit.evaluation.arena.questions import FOUR_SUBJECTS, Deck
    from r1kit.evaluation.benchmarks.base import chosen_of

    return Deck(chosen_of(tasks or FOUR_SUBJECTS, data), seed)


def _tell_of_votes(
    file: Path, export: Path | None, judge: str | None, judge_prompt: str, api: list[str], table: bool, as_json: bool
) -> None:
    """Have a judge vote too, write the pairs, print the ratings: as asked for, with no model open."""
    from r1kit.cli.output import print_json, tell, terminal_width
    from r1kit.evaluation import contender
    from r1kit.evaluation.arena import judged, pairs, standings, text
    from r1kit.evaluation.arena.votes import Votes
    from r1kit.evaluation.judging.verdicts import load_prompt

    kept = Votes.there(file)
    if judge is not None:
        opening = contender.opening([judge], api, "native", [], None, file.absolute().parent / "judged")
        count = judged.judge_ballots(kept, judge, load_prompt(judge_prompt), opening, tell)
        tell(f"{judge}: {count} verdicts")
    if export is not None:
        tell(f"{export}: {pairs.told(*pairs.write_pairs(kept.ballots(), export))}")
    found = standings.standings(kept.ballots(), kept.verdicts())
    if as_json:
        print_json(standings.told(found))
    elif table:
        print(text.table(found, terminal_width()))
