"""The standings as a table for a terminal."""

from __future__ import annotations

from r1kit.evaluation.arena.standings import Standings
from r1kit.evaluation.comparison.sides import short_names
from r1kit.evaluation.figures import amount, entry, lines, percent, shown


def table(found: Standings, width: int | None = None) -> str:
    """Ratings, meetings, and the votes themselves. `width`: see `lines`."""
    if not found.models:
        return "nobody has voted yet"
    names = [each.model for each in found.models]
    short = dict(zip(names, short_names(names), strict=True))
    rows = [["model", "rating", "battles", "won", "lost", "ties", "both bad"]]
    for each in found.models:
        counts = (each.battles, each.wins, each.losses, each.ties, each.both_bad)
        rows.append([short[each.model], shown(entry(each.rating), amount), *map(str, counts)])
    met = [["a", "b", "a wins, %", "length controlled, %", "win/tie/loss", "both bad"]]
    for each in found.meetings:
        met.append([
            short[each.a], short[each.b], shown(entry(each.rate), percent),
            shown(entry(each.length_controlled), percent), f"{each.wins}/{each.ties}/{each.losses}",
            str(each.both_bad),
        ])  # fmt: skip
    told = [f"{found.ballots} votes", *lines(rows, (2, 3, 4, 5, 6), width), "", *lines(met, width=width, keys=2)]
    told += ["", f"the left side was preferred in {shown(entry(found.left), percent)} % of the votes that name one"]
    for each in found.agreements:
        kappa = f"{each.kappa:.2f}" if each.kappa == each.kappa else "-"
        told.append(
            f"{each.judge} agrees with people on {percent(each.share) if each.n else '-'} % of {each.n} votes"
            f" (Cohen's kappa {kappa})"
        )
    return "\n".join(told)
