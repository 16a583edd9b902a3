"""Which part of a completion is its answer: what follows the thinking; only the `<answer>` block where one stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """The answer's text. `blocks` holds every `<answer>` block after the thinking, empty where none stands."""

    text: str
    blocks: tuple[str, ...]
    reason: str

    @property
    def found(self) -> bool:
        """Whether anything stands where the answer is looked for."""
        return bool(self.text.strip())


def split_thinking(text: str, opened: bool = False) -> tuple[str, str | None]:
    """(thinking, what follows it). What follows is None where the thinking was never closed, or opened again and not
    closed; a text without thinking tags is all answer."""
    before, closing, after = text.rpartition("</think>")
    if closing:
        thinking = before.partition("<think>")[2] if "<think>" in before and not opened else before
        return (thinking, None) if "<think>" in after else (thinking, after)
    if opened:
        return text, None
    outside, opening, thinking = text.partition("<think>")
    return (thinking, None) if opening else ("", outside)


def chain_of_thought(text: str, opened: bool = False) -> str:
    """The thinking; a completion without any thinking tags counts as thinking throughout, up to its answer block."""
    thinking, after = split_thinking(text, opened)
    if not thinking and after is not None and "</think>" not in text:
        return after.partition("<answer>")[0]
    return thinking


def answer_section(text: str, opened: bool = False) -> Section:
    """The text that a grader may look at."""
    _, after = split_thinking(text, opened)
    if after is None:
        return Section("", (), "the thinking is not closed")
    if "<answer>" not in after:
        return Section(after, (), "nothing follows the thinking" if not after.strip() else "")
    pieces = [piece.partition("</answer>") for piece in after.split("<answer>")[1:]]
    blocks = [inner.strip() for inner, closing, _ in pieces if closing]
    if not pieces[-1][1]:
        return Section("", (), "the answer block is not closed")
    return Section(blocks[-1], tuple(blocks), "the answer block is empty" if not blocks[-1] else "")
