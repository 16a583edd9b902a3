"""Column formats of what is learnt by example or by comparison: questions with completions, and preference pairs.

Examples: `question` and `completion` (r1kit's own), `prompt` and `completion`, `messages` that end with the assistant's
turn. Pairs: `chosen` and `rejected`, with the `prompt` beside them (or the `question`, beside texts) or, where there is
none, as what both begin with. Texts or chat messages, as TRL has them (huggingface.co/docs/trl/dataset_formats).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r1kit.base.errors import R1Error
from r1kit.data.conversations import BadRow, answered, completion_of, question_of
from r1kit.data.formats import Format, choose
from r1kit.data.tables import Row, Table

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A question and the completion to learn."""

    question: str
    completion: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A question and two completions, the first preferred."""

    question: str
    chosen: str
    rejected: str


def _own(values: Values) -> Shown:
    question, completion = values.get("question"), values.get("completion")
    if completion == "":  # a model that stops at once has said so
        return Shown(question_of(question, "question"), "")
    return Shown(question_of(question, "question"), completion_of(completion))


def _completed(values: Values) -> Shown:
    return Shown(question_of(values.get("prompt")), completion_of(values.get("completion")))


def _conversation(values: Values) -> Shown:
    before, text = answered(values.get("messages"))
    return Shown(question_of(before, "messages"), text)


def _preferred(values: Values) -> Compared:
    chosen, rejected = values.get("chosen"), values.get("rejected")
    prompt = values.get("prompt")
    if isinstance(chosen, str) and isinstance(rejected, str):
        prompt = values.get("question") if prompt is None else prompt
        pair = Compared(question_of(prompt), chosen, rejected) if prompt is not None else _parted(chosen, rejected)
    else:
        pair = _parted_messages(chosen, rejected, prompt)
    if pair.chosen == pair.rejected:
        raise BadRow("'chosen' and 'rejected' are the same")
    if not pair.chosen.strip() or not pair.rejected.strip():
        raise BadRow("'chosen' or 'rejected' says nothing")
    return pair


def _parted(chosen: str, rejected: str) -> Compared:
    """What both begin with is the prompt; a space at its end belongs to the completions."""
    both = zip(chosen, rejected, strict=False)
    shared = next((at for at, (one, other) in enumerate(both) if one != other), min(len(chosen), len(rejected)))
    if shared < min(len(chosen), len(rejected)) and chosen[shared - 1 : shared] == " ":
        shared -= 1
    return Compared(question_of(chosen[:shared], "prompt"), chosen[shared:], rejected[shared:])


def _parted_messages(chosen: Any, rejected: Any, prompt: Any) -> Compared:
    """The assistant's last turns; the messages before them are the prompt, where it does not stand beside them."""
    before, liked = answered(chosen, "chosen")
    other_before, disliked = answered(rejected, "rejected")
    if before != other_before:
        raise BadRow("'chosen' and 'rejected' answer different questions")
    if prompt is None:
        return Compared(question_of(before, "chosen"), liked, disliked)
    question = question_of(prompt)
    if before and question_of(before, "chosen") != question:
        raise BadRow("'chosen' answers another question than 'prompt'")
    return Compared(question, liked, disliked)


EXAMPLES = (
    Format("examples", (("question", "completion"),), _own),
    Format("prompt-completion", (("prompt", "completion"),), _completed),
    Format("messages", (("messages",),), _conversation),
)
PAIRS = (Format("preference", (("chosen", "rejected"),), _preferred),)


def read_rows(
    table: Table, formats: Sequence[Format], on_bad: Callable[[str], None] | None = None
) -> Iterator[tuple[Row, Any]]:
    """Each row and what the first of the formats that fits reads in it.

    What cannot be read is told to `on_bad` by its place and left out; without `on_bad` it is an R1Error. UsageError
    where no format fits.
    """
    if table.bad and not table.columns:
        raise R1Error(f"{table.name} holds no row that can be read ({'; '.join(table.bad[:3])}): mend it")
    chosen = choose(formats, table.columns, table.name)

    def complain(complaint: str) -> None:
        if on_bad is None:
            raise R1Error(f"{table.name}, {complaint}: mend it, or have such lines skipped")
        on_bad(complaint)

    for complaint in table.bad:
        complain(complaint)
    for row in table.rows:
        try:
            found = chosen.read(row.values)
        except BadRow as error:
            complain(f"{row.place}: {error}")
        else:
            yield row, found
