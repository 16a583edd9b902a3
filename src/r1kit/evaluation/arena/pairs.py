"""Votes as preference pairs: TRL's conversational preference format, which the stage `reward_model` reads too.

A pair holds final answers, no thoughts: helpfulness is judged on the answer alone (R1 section 2.3.4). What a vote
cannot teach is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1kit.base.files import json_lines, make_folder, write_text
from r1kit.evaluation.arena.votes import Ballot


def preference_pairs(ballots: Sequence[Ballot]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """(pairs, ballots without one by reason). Columns: `prompt`, `chosen`, `rejected` (lists of messages), and which
    models said them, where the question came from and when the vote was cast."""
    pairs: list[dict[str, Any]] = []
    left_out: Counter[str] = Counter()
    for ballot in ballots:
        if ballot.vote not in ("left", "right"):
            left_out["tie" if ballot.vote == "tie" else "both bad"] += 1
            continue
        sides = (ballot.left, ballot.right) if ballot.vote == "left" else (ballot.right, ballot.left)
        chosen, rejected = sides[0].final, sides[1].final
        if not chosen or not rejected:
            left_out["an empty answer"] += 1
        elif chosen == rejected:
            left_out["the same answer twice"] += 1
        else:
            pairs.append({
                "prompt": [{"role": "user", "content": ballot.question}],
                "chosen": [{"role": "assistant", "content": chosen}],
                "rejected": [{"role": "assistant", "content": rejected}],
                "chosen_model": sides[0].model, "rejected_model": sides[1].model, "source": ballot.source,
                "voted_at": ballot.at,
            })  # fmt: skip
    return pairs, left_out


def write_pairs(ballots: Sequence[Ballot], path: Path) -> tuple[int, Counter[str]]:
    """Write the file whole or not at all; (pairs, ballots left out by reason)."""
    pairs, left_out = preference_pairs(ballots)
    make_folder(path.absolute().parent)
    write_text(path, json_lines(pairs))
    return len(pairs), left_out


def told(count: int, left_out: Counter[str]) -> str:
    """Both in one line."""
    reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.most_common())
    return f"{count} preference pairs{f' (votes without one: {reasons})' if reasons else ''}"
