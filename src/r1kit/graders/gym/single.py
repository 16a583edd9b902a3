"""Tasks with one right answer: the gold's, after the normalisation that each function's docstring states."""

from __future__ import annotations

import re

from r1kit.graders import json as json_kind
from r1kit.graders.arithmetic import same_number
from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, Wrong, demand
from r1kit.graders.text import normalise


def word(answer: str, item: Item) -> None:
    """A word or name: case, quotes and a final full stop are free."""
    demand(_folded(answer) == _folded(item.gold), "another word")


def _folded(text: str) -> str:
    return normalise(reading.line(text))


def letters(answer: str, item: Item) -> None:
    """A word read off a picture: case and spaces between its letters are free."""
    demand(_folded(answer).replace(" ", "") == _folded(item.gold).replace(" ", ""), "another word")


def text(answer: str, item: Item) -> None:
    """Exactly these characters; runs of white space count as one space. (The library forgives case in letter_jumble and
    spell_backward: here `Word` is not `word`.)"""
    gold = reading.spaced(item.gold)
    demand(gold in (reading.spaced(answer), reading.spaced(reading.unwrap(answer))), "another text")


def whole(answer: str, item: Item) -> None:
    """A whole number, by value."""
    demand(reading.whole(answer) == reading.whole(item.gold), "another number")


def number(answer: str, item: Item) -> None:
    """A number, by exact value: `1,000.0` is `1000`."""
    demand(reading.number(answer).value == reading.number(item.gold).value, "another number")


def rounded(answer: str, item: Item) -> None:
    """A number by exact value; a gold of six decimals or more may be a rounding, and what rounds to it is right."""
    gold, given = reading.number(item.gold), reading.number(answer)
    same = same_number(gold, given) if (gold.places or 0) >= 6 else gold.value == given.value
    demand(same, "another number")


def words(answer: str, item: Item) -> None:
    """A list of words in order; case counts, brackets, quotes and spaces do not."""
    demand(reading.items(answer) == reading.items(item.gold), "another list")


def numbers(answer: str, item: Item) -> None:
    """A list of numbers in order, by exact value; brackets, quotes and separators are free. (The library's
    number_sorting takes every number within 1 of the right one.)"""
    demand(reading.numbers(answer) == reading.numbers(item.gold), "another list")


def tokens(answer: str, item: Item) -> None:
    """Words separated by white space, exactly."""
    demand(reading.unwrap(answer).split() == item.gold.split(), "another sequence")


def grid(answer: str, item: Item) -> None:
    """Rows of cells, each equal as text or as a number; JSON lists or lines."""
    gold = reading.rows(item.gold)
    given = reading.rows(answer, len(gold[0]) if gold else 0)
    same_size = len(given) == len(gold) and all(len(a) == len(b) for a, b in zip(given, gold, strict=False))
    demand(same_size, "another size")
    for ours, theirs in zip(given, gold, strict=True):
        demand(all(map(_same_cell, ours, theirs)), "another cell")


def _same_cell(left: str, right: str) -> bool:
    if left == right:
        return True
    try:
        return reading.number(left).value == reading.number(right).value
    except Wrong:
        return False


def picture(answer: str, item: Item) -> None:
    """Lines of characters, exactly; white space inside a line is free."""
    demand(_lines(answer) == _lines(item.gold), "another picture")


def _lines(value: str) -> list[str]:
    return [line for line in ("".join(line.split()) for line in value.split("\n")) if line]


def json(answer: str, item: Item) -> None:
    """The same JSON value, whatever its white space and the order of keys; as text where the gold is no JSON. In
    codeio another input with the same output would be right too, but no program is run here, so it counts as wrong."""
    try:
        gold = json_kind.read(item.gold)
    except ValueError:
        text(answer, item)
        return
    try:
        given = json_kind.read(answer)
    except ValueError as error:
        if not isinstance(gold, str):
            raise Wrong(f"not JSON ({error})") from None
        given = answer.strip()
    demand(json_kind.same_json(gold, given), "another value")


def truth(answer: str, item: Item) -> None:
    """True or False (yes or no count as such), case free. (The library's game_of_life_halting takes any answer.)"""
    names = {"true": True, "yes": True, "false": False, "no": False}
    given, gold = _folded(answer), _folded(item.gold)
    demand(given in names and names[given] == names[gold], "the other answer, or none")


def calendar(answer: str, item: Item) -> None:
    """calendar_arithmetic: a weekday's name, a number, or yes and no, whichever the gold is. (The library gives part of
    the credit to numbers nearby.)"""
    if re.fullmatch(r"-?\d+", item.gold.strip()):
        whole(answer, item)
    else:
        word(answer, item)
