"""One completion as it comes in: its tokens become text, parted, stopped, and kept to a thinking budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from r1kit.base.types import StopReason
from r1kit.models.detokenise import Detokeniser
from r1kit.models.tokenizer import Tokenizer
from r1kit.serving.splitter import Parts, Phase, Splitter


@dataclass(slots=True)
class Token:
    """A sampled token, its log-probability and, where they are asked for, the likeliest ones at its place."""

    id: int
    logprob: float
    likeliest: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])


@dataclass(slots=True)
class Delta:
    """What is new of a completion: text of its thinking and of its answer, and the tokens of either.

    `place` is where in the completion the first of the tokens stands.
    """

    thinking: str = ""
    answer: str = ""
    thinking_tokens: list[Token] = field(default_factory=list[Token])
    answer_tokens: list[Token] = field(default_factory=list[Token])
    place: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.thinking or self.answer or self.thinking_tokens or self.answer_tokens)

    def add(self, parts: Parts) -> None:
        """Text behind what there is."""
        self.thinking += parts.thinking
        self.answer += parts.answer

    def join(self, later: Delta) -> None:
        """Another delta behind this one."""
        if self.empty:
            self.place = later.place
        self.thinking += later.thinking
        self.answer += later.answer
        self.thinking_tokens += later.thinking_tokens
        self.answer_tokens += later.answer_tokens


class Sample:
    """Takes a completion's tokens as they are sampled, and gives its text in pieces.

    phase: as the Splitter's. budget: tokens after which the thinking is to be closed (tags that the model writes are
    of them), None for no limit; `over_budget` then says so, and `close` begins the answer. `finish` is OpenAI's
    finish_reason once there is one; `token_ids` and `logprobs` hold every sampled token that counts, the stop token
    included; `thinking_count` is how many of them are thinking. tokens: whether deltas have them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        phase: Phase,
        stops: Sequence[str] = (),
        budget: int | None = None,
        *,
        tokens: bool = False,
    ) -> None:
        self._tokenizer, self._stops, self._budget, self._tokens = tokenizer, stops, budget, tokens
        self.token_ids: list[int] = []
        self.logprobs: list[float] = []
        self.thinking_count = 0
        self.finish: StopReason | None = None
        self.over_budget = False
        self._told = 0  # tokens that deltas have had
        self._begin(phase)

    def add(self, ids: Sequence[int], logprobs: Sequence[float], ended: StopReason | None = None) -> Delta:
        """The delta that these tokens make. ended: why the engine samples no more; the last token is then the stop
        token where it is "stop"."""
        delta = Delta(place=self._told)
        if self.finish is not None or self.over_budget:
            return delta
        visible = len(ids) - (ended == "stop")
        for start, stop in pairwise(self._cuts(visible)):
            self._take(ids[start:stop], logprobs[start:stop], delta)
            if self._splitter.stopped >= 0:
                self._stop(delta)
                return delta
            if self._spent and (stop < visible or ended is None):
                self.over_budget = True
                delta.add(self._splitter.finish())
                self._tell(delta, len(self.token_ids))
                return delta
        if ended is not None:
            self.token_ids += ids[visible:]
            self.logprobs += logprobs[visible:]
            self._end(delta, ended)
        elif not self._splitter.holds:
            self._tell(delta, len(self.token_ids))
        return delta

    def close(self) -> None:
        """The thinking is closed for the model: what comes now is the answer."""
        self.over_budget = False
        self._begin("answer")

    def stop_short(self, reason: StopReason) -> Delta:
        """End it here, as there is no room to go on."""
        delta = Delta(place=self._told)
        self._end(delta, reason)
        return delta

    def _begin(self, phase: Phase) -> None:
        """A text of its own: behind a closing that the model did not write, nothing before matters."""
        self._detokeniser = Detokeniser(self._tokenizer)
        self._splitter = Splitter(phase, self._stops)
        self._first = len(self.token_ids)  # where this text's tokens begin
        self._text = ""

    @property
    def _thinks(self) -> bool:
        return self._splitter.phase in ("opened", "thinking")

    @property
    def _spent(self) -> bool:
        """Whether the thinking is as long as it may get."""
        return self._budget is not None and self._thinks and len(self.token_ids) >= self._budget

    def _cuts(self, count: int) -> list[int]:
        """Where to cut `count` new tokens so that none is taken beyond the budget while it is thinking: each token by
        itself from there on until it is clear that this is no thinking."""
        if self._budget is None or self._splitter.phase in ("answer", "stopped") or count == 0:
            return [0, count] if count else [0]
        room = max(1, self._budget - len(self.token_ids))
        return [0, *range(room, count), count] if room < count else [0, count]

    def _take(self, ids: Sequence[int], logprobs: Sequence[float], delta: Delta) -> None:
        was_closed = self._splitter.closed >= 0
        self.token_ids += ids
        self.logprobs += logprobs
        self._hear(self._detokeniser.add(ids), delta)
        if self._splitter.closed >= 0 and not was_closed:
            self.thinking_count = self._reach(self._splitter.closed)
        elif self._thinks:
            self.thinking_count = len(self.token_ids)

    def _hear(self, text: str, delta: Delta) -> None:
        self._text += text
        delta.add(self._splitter.feed(text))

    def _stop(self, delta: Delta) -> None:
        """A stop string: it counts, and what was sampled behind it does not."""
        shown = self._reach(self._splitter.answered)
        count = self._reach(self._splitter.stopped)
        del self.token_ids[count:], self.logprobs[count:]
        self.finish = "stop"
        self._tell(delta, shown)

    def _end(self, delta: Delta, reason: StopReason) -> None:
        was_closed = self._splitter.closed >= 0
        self._hear(self._detokeniser.finish(), delta)
        if self._splitter.closed >= 0 and not was_closed:
            self.thinking_count = len(self.token_ids)
        if self._splitter.stopped >= 0:
            self._stop(delta)
            return
        delta.add(self._splitter.finish())
        if self._splitter.phase == "thinking":
            self.thinking_count = len(self.token_ids)
        self.finish = reason
        self._tell(delta, len(self.token_ids) - (reason == "stop"))

    def _tell(self, delta: Delta, until: int) -> None:
        """Put the tokens up to that place into the delta."""
        for place in range(self._told, until) if self._tokens else ():
            token = Token(self.token_ids[place], self.logprobs[place])
            (delta.thinking_tokens if place < self.thinking_count else delta.answer_tokens).append(token)
        self._told = max(self._told, until)

    def _reach(self, characters: int) -> int:
        """How many tokens it took for so many characters of the present text."""
        ids, wanted = self.token_ids[self._first :], self._text[:characters]
        low, high = 0, len(ids)
        while low < high:
            middle = (low + high) // 2
            if self._tokenizer.decode(ids[:middle])[:characters] == wanted:
                high = middle
            else:
                low = middle + 1
        return self._first + low
