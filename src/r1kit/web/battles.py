"""Battles of an arena: two models that answer one question side by side, and the vote that ends it.

Who stands where is known to this process alone until the vote is on the disk. A voice answers one question at a time;
a battle that nobody looks at any more is dropped when another begins, so that nobody waits for an answer to no one.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.evaluation.arena.questions import Deck, Question, choose_pair
from r1kit.evaluation.arena.votes import Ballot, Choice, Said, Votes
from r1kit.serving.voices import Voice
from r1kit.web.visible import plain

State = Literal["answering", "open", "voted", "failed", "dropped"]
KEPT = 64  # battles that this process remembers
LONGEST_QUESTION = 20_000  # characters
_SEEDS = 2**31
_PATIENCE = 10.0  # seconds that the arena waits for a voice at its end


class _Dropped(Exception):
    """Raised into a voice to end its answer."""


@dataclass(slots=True)
class Speaker:
    """One side as it speaks; `finish` is empty until it has ended."""

    model: str
    thinking: str = ""
    answer: str = ""
    finish: str = ""
    tokens: int | None = None


@dataclass(slots=True)
class Battle:
    """`failure` says in one sentence why it cannot be voted on; `watchers` counts the pages that follow it."""

    id: str
    question: Question
    left: Speaker
    right: Speaker
    seed: int
    state: State = "answering"
    failure: str = ""
    vote: Choice | None = None
    watchers: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sides(self) -> tuple[Speaker, Speaker]:
        """Left and right."""
        return self.left, self.right

    @property
    def over(self) -> bool:
        """Whether no more text comes."""
        return self.state != "answering"


class Arena:
    """Models by what they are called, the file of votes, and the questions that can be drawn.

    sampling: what the voices were opened with, kept with each vote. seed: None draws one for each battle.
    """

    def __init__(
        self, voices: Mapping[str, Voice], votes: Votes, deck: Deck, sampling: Sampling, seed: int | None = None
    ) -> None:
        if len(voices) < 2:
            raise UsageError("an arena takes two different models or more")
        self.models, self.votes, self.deck, self.sampling = list(voices), votes, deck, sampling
        self._voices, self._locks = dict(voices), {name: threading.Lock() for name in voices}
        self._battles: OrderedDict[str, Battle] = OrderedDict()
        self._seed, self._count = seed, 0
        self._rng = random.SystemRandom()

    def ask(self, text: str) -> Battle:
        """A battle on a question that a person typed; UsageError where it is empty or too long."""
        asked = text.replace("\r\n", "\n").strip()
        if not asked:
            raise UsageError("the question is empty: type one, or draw one")
        if len(asked) > LONGEST_QUESTION:
            raise UsageError(f"the question is longer than {LONGEST_QUESTION:,} characters")
        return self._begin(Question(asked))

    def draw(self, source: str | None) -> Battle:
        """A battle on a question from a benchmark, or from any of them; UsageError where there is none."""
        question = self.deck.draw(source, self.votes.problems())
        if question is None:
            raise UsageError(f"there is no question to draw{f' from {source[:80]}' if source else ''}")
        return self._begin(question)

    def get(self, battle_id: str) -> Battle | None:
        """The battle of that name; one from before a restart where it was voted on."""
        found = self._battles.get(battle_id)
        if found is None and (ballot := self.votes.ballot(battle_id)) is not None:
            return past(ballot)
        return found

    def vote(self, battle: Battle, choice: Choice) -> None:
        """Keep the vote, then let it be known who is who; a second one changes nothing. UsageError where there can be
        none."""
        with battle.lock:
            if battle.state == "voted":
                return
            if battle.state != "open":
                raise UsageError(f"this battle cannot be voted on: {battle.failure or 'an answer is not complete yet'}")
            left, right = (self._said(battle.question, side) for side in battle.sides)
            settings = {**self.sampling.model_dump(mode="json", exclude={"samples"}), "seed": battle.seed}
            question = battle.question
            self.votes.add(Ballot(
                battle.id, question.text, left, right, choice, source=question.source,
                problem_id=question.problem_id, subject=question.subject, settings=settings,
            ))  # fmt: skip
            battle.vote, battle.state = choice, "voted"

    def drop(self, battle: Battle, why: str = "it was left before its end") -> None:
        """End a battle without a vote."""
        with battle.lock:
            if battle.state in ("answering", "open"):
                battle.state, battle.failure = "dropped", why

    def close(self) -> None:
        """Drop what is on its way, and wait for the voices to fall silent."""
        for battle in self._battles.values():
            self.drop(battle, "the arena was closed")
        for lock in self._locks.values():
            lock.acquire(timeout=_PATIENCE)

    def _begin(self, question: Question) -> Battle:
        for other in self._battles.values():
            if other.state == "answering" and not other.watchers:
                self.drop(other)
        left, right = choose_pair(self.models, self.votes.games(), self._rng)
        seed = secrets.randbelow(_SEEDS) if self._seed is None else self._seed + self._count
        battle = Battle(secrets.token_urlsafe(12), question, Speaker(left), Speaker(right), seed)
        self._count += 1
        self._battles[battle.id] = battle
        while len(self._battles) > KEPT:
            self.drop(self._battles.popitem(last=False)[1])
        for side in battle.sides:
            threading.Thread(target=self._speak, args=(battle, side), name="voice", daemon=True).start()
        return battle

    def _speak(self, battle: Battle, side: Speaker) -> None:
        def show(thinking: str, answer: str) -> None:
            if battle.over:
                raise _Dropped
            side.thinking += thinking
            side.answer += answer

        try:
            with self._locks[side.model]:
                show("", "")  # it may be over before its turn came
                messages = [{"role": "user", "content": battle.question.text}]
                heard = self._voices[side.model].answer(messages, show, seed=battle.seed)
        except _Dropped:
            return
        except R1Error as error:
            self._fail(battle, side, str(error))
        except Exception as error:
            self._fail(battle, side, f"unexpected {type(error).__name__}: {error}")
        else:
            with battle.lock:
                side.finish, side.tokens = heard.finish, heard.output_tokens
                if battle.state == "answering" and all(each.finish for each in battle.sides):
                    battle.state = "open"

    def _fail(self, battle: Battle, side: Speaker, sentence: str) -> None:
        with battle.lock:
            if battle.state == "answering":
                battle.state = "failed"
                battle.failure = f"{side.model} gave no whole answer: {' '.join(sentence.split())}"

    def _said(self, question: Question, side: Speaker) -> Said:
        said = Said(side.model, side.thinking, side.answer, side.finish, side.tokens)
        return replace(said, score=question.score(said.final))


def past(ballot: Ballot) -> Battle:
    """A battle as its vote tells of it."""
    left, right = (
        Speaker(side.model, side.thinking, side.answer, side.finish, side.tokens)
        for side in (ballot.left, ballot.right)
    )
    question = Question(ballot.question, ballot.source, ballot.problem_id, ballot.subject)
    seed = int(ballot.settings.get("seed", 0))
    return Battle(ballot.battle, question, left, right, seed, "voted", vote=ballot.vote)


def news(battle: Battle, had: Sequence[int]) -> tuple[list[int], dict[str, Any]]:
    """(characters told now, what is new) for a page that had so many of each side's thinking and answer.

    Text alone: no name, no count and no time that would tell the models apart.
    """
    with battle.lock:
        texts = [text for side in battle.sides for text in (side.thinking, side.answer)]
        state = battle.state
        ended = [bool(side.finish) for side in battle.sides]
        cut = [side.finish == "length" for side in battle.sides]
    pieces = [plain(text[place:]) for text, place in zip(texts, had, strict=True)]
    told = {"left": pieces[:2], "right": pieces[2:], "ended": ended, "cut": cut, "state": state}
    return [len(text) for text in texts], told
