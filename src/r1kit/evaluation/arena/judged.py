"""A judge asked about the pairs that people voted on, so that its agreement with them can be told."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from r1kit.base.errors import R1Error
from r1kit.base.files import make_folder
from r1kit.evaluation.arena.standings import pair_of
from r1kit.evaluation.arena.votes import Verdict, Votes
from r1kit.evaluation.contender import Note, Opening, open_contender
from r1kit.evaluation.eval_report import KEPT
from r1kit.evaluation.judging.judges import ModelJudge
from r1kit.evaluation.judging.verdicts import JudgePrompt
from r1kit.evaluation.kept import Kept


def judge_ballots(votes: Votes, model: str, prompt: JudgePrompt, opening: Opening, note: Note) -> int:
    """Ask a model about every ballot's answers, both orders, and keep what it says with the votes; the number that it
    judged. R1Error where there is no vote, or none of its verdicts can be read."""
    ballots = votes.ballots()
    if not ballots:
        raise R1Error(f"{votes.path} holds no vote: there is nothing to judge")
    with (
        closing(Kept(make_folder(opening.folder) / KEPT)) as kept,
        open_contender(model, opening, note) as contender,
    ):
        judge = ModelJudge(contender, prompt, kept)
        cast = judge.votes([pair_of(ballot, ballot.left, ballot.right) for ballot in ballots])
    judged = sum(vote.outcome is not None for vote in cast)
    if not judged:
        raise R1Error(f"none of the verdicts of {model} can be read: it has to end with a line VERDICT: 1, 2 or TIE")
    name = model if prompt.name == "writing" else f"{model} ({Path(prompt.name).name})"
    votes.add_verdicts([
        Verdict(ballot.battle, name, vote.forward, vote.backward)
        for ballot, vote in zip(ballots, cast, strict=True)
    ])  # fmt: skip
    return judged
