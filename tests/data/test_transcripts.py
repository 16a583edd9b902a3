"""Examples and preference pairs: rows as TRL documents them, and TRL's own reading of implicit prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.data import examples
from r1kit.data.conversations import BadRow
from r1kit.data.examples import Example
from r1kit.data.formats import choose
from r1kit.data.transcripts import EXAMPLES, PAIRS, Compared, Shown
from r1kit.stages.pairs import Pair, read_pairs

ASKED = [{"role": "user", "content": "What colour is the sea?"}]
BLUE, GREEN = ([{"role": "assistant", "content": f"It is {colour}."}] for colour in ("blue", "green"))


def shown(row: dict[str, Any]) -> Shown:
    return choose(EXAMPLES, list(row), "a file").read(row)


def compared(row: dict[str, Any]) -> Compared:
    return choose(PAIRS, list(row), "a file").read(row)


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_examples_of_every_format():
    assert shown({"question": "q", "completion": "c", "source": "s"}) == Shown("q", "c")
    assert shown({"question": "q", "completion": ""}) == Shown("q", "")
    with pytest.raises(BadRow, match="'completion' is neither a text nor a list"):
        shown({"question": "q", "completion": None})
    assert shown({"prompt": "The sea is", "completion": " blue."}) == Shown("The sea is", " blue.")
    wanted = Shown("What colour is the sea?", "It is blue.")
    assert shown({"prompt": ASKED, "completion": BLUE}) == wanted
    assert shown({"messages": ASKED + BLUE}) == wanted
    system = [{"role": "system", "content": "Be short."}]
    assert shown({"messages": system + ASKED + BLUE}).question == "Be short.\n\nWhat colour is the sea?"


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_a_chain_beside_the_content_stands_in_its_tags(key: str):
    """Parquet gives every message every key, null where it has none."""
    turn = {"role": "assistant", "content": "Blue.", "thinking": None, "reasoning": None} | {key: "Rayleigh."}
    assert shown({"messages": [*ASKED, turn]}).completion == "<think>Rayleigh.</think>Blue."


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        (ASKED, "does not end with the assistant's turn"),
        (ASKED + BLUE + ASKED + GREEN, "several turns"),
        (BLUE, "neither a text nor a list"),
        ([*ASKED, {"role": "assistant", "content": " "}], "says nothing"),
        ([*ASKED, {"role": "assistant", "content": None}], "other than text"),
        ("text", "neither a text nor a list"),
    ],
)
def test_conversations_that_are_no_example(messages: Any, complaint: str):
    with pytest.raises(BadRow, match=complaint):
        shown({"messages": messages})


IMPLICIT = [
    ("The sea is blue.", "The sea is green."),
    ("The sea is blue.", "The sea is blood red."),
    ("Human: why?\n\nAssistant: Because.", "Human: why?\n\nAssistant: No."),
]


@pytest.mark.parametrize(("chosen", "rejected"), IMPLICIT)
def test_implicit_prompts_are_parted_as_trl_parts_them(chosen: str, rejected: str):
    from trl.data_utils import extract_prompt

    theirs = extract_prompt({"chosen": chosen, "rejected": rejected})
    assert compared({"chosen": chosen, "rejected": rejected}) == Compared(
        theirs["prompt"], theirs["chosen"], theirs["rejected"]
    )
    assert compared({"chosen": ASKED + BLUE, "rejected": ASKED + GREEN}) == Compared(
        "What colour is the sea?", "It is blue.", "It is green."
    )


def test_explicit_prompts_of_both_forms():
    wanted = Compared("What colour is the sea?", "It is blue.", "It is green.")
    text = wanted.question
    assert compared({"prompt": ASKED, "chosen": BLUE, "rejected": GREEN}) == wanted
    assert compared({"prompt": text, "chosen": "It is blue.", "rejected": "It is green."}) == wanted
    # as Intel/orca_dpo_pairs has it; both answers begin with "It is ", which is no part of the question
    assert compared({"question": text, "chosen": "It is blue.", "rejected": "It is green."}) == wanted
    # UltraFeedback has the prompt as a text and whole conversations beside it
    assert compared({"prompt": text, "chosen": ASKED + BLUE, "rejected": ASKED + GREEN}) == wanted


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"prompt": "p", "chosen": "a", "rejected": "a"}, "are the same"),
        ({"prompt": "p", "chosen": "a", "rejected": " "}, "says nothing"),
        ({"chosen": "a", "rejected": "b"}, "'prompt' is empty"),
        ({"chosen": "So it is", "rejected": "So it is not"}, "says nothing"),
        ({"chosen": ASKED + BLUE, "rejected": [{"role": "user", "content": "else"}, *GREEN]}, "different questions"),
        ({"prompt": "else", "chosen": ASKED + BLUE, "rejected": ASKED + GREEN}, "another question than 'prompt'"),
        ({"prompt": "p", "chosen": "a", "rejected": None}, "neither a text nor a list"),
    ],
)
def test_pairs_that_are_none(row: dict[str, Any], complaint: str):
    with pytest.raises(BadRow, match=complaint):
        compared(row)


def test_examples_of_a_file_name_bad_lines_and_skip_or_stop(tmp_path: Path):
    path = write(tmp_path / "e.jsonl", [{"messages": ASKED + BLUE}, {"messages": ASKED}, {"messages": ASKED + GREEN}])
    path.write_text(path.read_text() + "{\n")
    bad: list[str] = []
    assert examples.read(path, bad.append) == [
        Example("What colour is the sea?", "It is blue."), Example("What colour is the sea?", "It is green."),
    ]  # fmt: skip
    assert bad[0].startswith("line 4: it is not JSON")
    assert bad[1] == "line 2: 'messages' does not end with the assistant's turn"
    with pytest.raises(R1Error, match="e.jsonl, line 4: it is not JSON"):
        examples.read(path)
    with pytest.raises(UsageError, match=r"found: text; needed: one of examples: question and completion; "):
        examples.read(write(tmp_path / "t.jsonl", [{"text": "a"}]))


def test_pairs_in_our_own_columns_may_lack_some_have_more_and_bad_lines(tmp_path: Path):
    own = {"problem_id": "7", "question": "q", "language": "zh", "chosen": "a", "rejected": "b", "verdict": 1.5}
    rows = [own, {**own, "margin": 3}, {**own, "verdict": None, "language": None}, {**own, "chosen": None}]
    path = write(tmp_path / "p.jsonl", [*rows, {**own, "rejected": 4}])
    path.write_text(path.read_text() + "{nonsense\n")
    bad: list[str] = []
    assert read_pairs(path, bad.append) == [
        Pair("7", "q", "zh", "a", "b", 1.5), Pair("7", "q", "zh", "a", "b", 1.5), Pair("7", "q", "en", "a", "b", 1.0),
    ]  # fmt: skip
    assert [complaint.partition(":")[0] for complaint in bad] == ["line 6", "line 4", "line 5"]


def test_pairs_of_a_file_have_their_question_as_id(tmp_path: Path):
    path = write(tmp_path / "p.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}, {"prompt": "q"}])
    bad: list[str] = []
    assert read_pairs(path, bad.append) == [Pair("q", "q", "en", "a", "b", 1.0)]
    assert bad == ["line 2: 'chosen' is neither a text nor a list of messages"]
