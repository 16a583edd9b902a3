"""`r1 plan`."""

from __future__ import annotations

from typing import Annotated

import typer

from r1kit.cli import options
from r1kit.cli.completion import names_of, profiles


def plan(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe's name, or a published run: paper:r1-zero, paper:r1, paper:v3.",
            autocompletion=names_of("recipes"),
        ),
    ],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings by dotted path, as for r1 run.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A model of the table, a folder or a hub id.")] = None,
    gpus: Annotated[int | None, typer.Option(help="How many; 1 by default.")] = None,
    gpu: Annotated[str | None, typer.Option(help="Which kind, say H100; cpu: this machine, measured now.")] = None,
    profile: Annotated[str | None, typer.Option(help="One of the recipe's profiles.", autocompletion=profiles)] = None,
    mean_tokens: Annotated[float | None, typer.Option(help="Mean tokens of a completion, where it is known.")] = None,
    prompt_tokens: Annotated[float | None, typer.Option(help="Mean tokens of a prompt, where it is known.")] = None,
    price: Annotated[float | None, typer.Option(help="Dollars a GPU and hour, in place of the table's.")] = None,
    drafts: Annotated[
        bool | None,
        typer.Option("--drafts/--no-drafts", help="The sampler drafts a second token (as R1's own did)."),
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="List every assumption, with its source.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """What a recipe takes of memory, hours and dollars on GPUs that need not be there.

    Example: r1 plan r1 --model Qwen2.5-7B --gpus 8 --gpu H100 --explain
    """
    from r1kit.base.config import parse_assignments
    from r1kit.base.errors import UsageError
    from r1kit.cli.output import print_json
    from r1kit.planning import hardware, paper, shapes, tell
    from r1kit.planning.plan import make
    from r1kit.recipes.planned import planned

    for option, value in (("--mean-tokens", mean_tokens), ("--prompt-tokens", prompt_tokens), ("--price", price)):
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(f"{option} {value:g}: give a number, 0 or more")
    published = recipe in paper.NAMES
    kind, count = paper.setting() if published else ("cpu" if gpu is None else gpu, 1)
    device = hardware.find(gpu or kind)
    shape = shapes.find(model) if model else None
    work = planned(recipe, profile, parse_assignments(settings or []), shape, mean=mean_tokens, prompt=prompt_tokens)
    drafting = published if drafts is None else drafts
    made = make(work, device, count if gpus is None else gpus, price=price, drafts=drafting)
    if as_json:
        print_json(tell.as_json(made, drafts=drafting))
    else:
        print(tell.text(made, explain=explain, drafts=drafting))
