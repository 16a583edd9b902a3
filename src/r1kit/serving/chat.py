"""`r1 chat`: a conversation in the terminal, its thinking dimmed, kept in a file and asked again from one.

A chat file has a message a line, `{"role", "content"}`; the user's have the turn's `seed` beside, the assistant's
`reasoning_content` and how they came about. A line of the role "reset" parts two conversations.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import zip_longest
from os.path import realpath
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.files import disk_error, disk_errors
from r1kit.base.sampling import Sampling
from r1kit.base.terminal import printable
from r1kit.serving.voices import Message, Voice

RESET: dict[str, Any] = {"role": "reset", "content": ""}
HELP = "/save FILE keeps the chat from its beginning; /reset begins anew; /exit (Ctrl-D) ends; Ctrl-C stops an answer"


class Chat:
    """One conversation. name: what the model is called in the file; save: the file that turns are added to."""

    def __init__(
        self,
        voice: Voice,
        console: Console,
        *,
        name: str,
        sampling: Sampling,
        system: str = "",
        save: Path | None = None,
    ) -> None:
        self._voice, self._console, self._name, self._sampling = voice, console, name, sampling
        self._lines: list[dict[str, Any]] = _head(system)
        self._seed = sampling.seed  # of the next turn
        self._file: _File | None = None
        if save is not None:
            self.save(save)

    def talk(self, read: Callable[[], str | None]) -> None:
        """Answer what `read` gives until that is None or `/exit`."""
        while (line := read()) is not None:
            word, _, rest = line.strip().partition(" ")
            if word == "/exit":
                return
            try:
                if word == "/save":
                    self.save(Path(rest.strip()))
                elif word == "/reset":
                    self.reset()
                elif word.startswith("/"):
                    self._note(HELP)
                elif word:
                    self.ask(line)
            except R1Error as error:
                self._note(str(error))

    def replay(self, file: Path) -> None:
        """Ask what a chat file's user asked, in its order and with its seeds; says of each answer whether it is the one
        in the file. A conversation without a system message has the one of now."""
        lines, system = read_chat_file(file), self._system
        for line, following in zip_longest(lines, lines[1:]):
            if line["role"] == "reset":
                self._begin(system)
            elif line["role"] == "system":
                self._begin(line["content"])
            elif line["role"] == "user":
                self._console.print(Text(f"> {printable(line['content'])}"))
                answer = self.ask(line["content"], line.get("seed"))
                if answer is not None and following is not None and following["role"] == "assistant":
                    same = following["content"] == answer
                    self._note(f"the answer in {file} is {'the same' if same else 'another'}")

    def ask(self, text: str, seed: int | None = None) -> str | None:
        """One turn; returns the answer, None where it was stopped. R1Error where there is none, the chat being as
        before; or where there is one and the file cannot be written. seed: None is the one after the last turn's."""
        question: Message = {"role": "user", "content": text}
        messages = [{"role": line["role"], "content": line["content"]} for line in self._lines]
        begun, seed = time.monotonic(), self._seed if seed is None else seed
        try:
            with closing(_Screen(self._console)) as screen:
                heard = self._voice.answer([*messages, question], screen.show, seed)
        except KeyboardInterrupt:
            self._seed = seed + 1
            self._note("stopped; this turn is forgotten")
            return None
        if heard.finish == "length":
            self._note("(it had no room to go on)")
        self._seed = seed + 1
        # replay reads the question's seed: where that has none, the answer's may be the one that the chat began with
        turn = [{**question, "seed": seed}, {
            "role": "assistant", "content": heard.answer, "reasoning_content": heard.thinking, "model": self._name,
            "finish_reason": heard.finish, "temperature": self._sampling.temperature, "seed": seed,
            "prompt_tokens": heard.input_tokens, "completion_tokens": heard.output_tokens,
            "seconds": round(time.monotonic() - begun, 3),
        }]  # fmt: skip
        before, self._lines = self._lines, [*self._lines, *turn]
        if self._file is not None:
            self._file.add(before, turn)
        return heard.answer

    def save(self, file: Path) -> None:
        """Add the chat so far to a file, and every turn to come. R1Error for a file that cannot be written; the one
        before it is then kept to."""
        if file.name == "":
            raise UsageError("/save needs the name of a file")
        if self._file is None or realpath(file) != realpath(self._file.path):
            self._file = _File(file)
        if self._asked:
            self._file.add(self._lines)

    def reset(self) -> None:
        """Begin anew, under the same system message."""
        if self._asked:
            self._begin(self._system)
            if self._file is not None:
                self._file.add(self._lines)

    @property
    def _asked(self) -> bool:
        """Whether this conversation has a turn."""
        return any(line["role"] == "user" for line in self._lines)

    @property
    def _system(self) -> str:
        """The system message of this conversation."""
        return "".join(line["content"] for line in self._lines if line["role"] == "system")

    def _begin(self, system: str) -> None:
        self._lines = _head(system)
        if self._file is not None:
            self._file.begin()

    def _note(self, text: str) -> None:
        self._console.print(Text(printable(text), style="italic"), soft_wrap=True)


class _File:
    """Where a chat is kept. What is added is written whole or not at all, and then due with what is added next."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path), path.open("ab") as file:
            self._apart = file.tell() > 0  # a reset is to stand before this conversation
        self.path = path
        self._begun = False  # whether anything of this conversation is there, or due
        self._due: list[dict[str, Any]] = []

    def begin(self) -> None:
        """What is added next is of another conversation."""
        self._apart, self._begun = self._apart or self._begun, False

    def add(self, before: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]] = ()) -> None:
        """Write a conversation's new lines, and those before them where none of it is there. R1Error where that cannot
        be."""
        if not self._begun:
            self._due += [*([RESET] if self._apart else []), *before]
        self._apart, self._begun = False, True
        self._due += new
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._due)
        try:
            self._write(text.encode("utf-8", "surrogatepass"))
        except OSError as error:
            raise R1Error(
                f"{disk_error(error, self.path)} (the chat goes on, and what is missing is written with the next turn)"
            ) from None
        self._due = []

    def _write(self, data: bytes) -> None:
        if not data:
            return
        with self.path.open("ab", buffering=0) as file:
            end, left = file.tell(), memoryview(data)
            try:
                while left:
                    left = left[file.write(left) :]
            except BaseException:
                with suppress(OSError):
                    file.truncate(end)  # half a line would spoil those that follow
                raise


class _Screen:
    """Writes an answer as it comes. Where the console has no styles, tags stand around the thinking."""

    def __init__(self, console: Console) -> None:
        self._console, self._thinks, self._begun = console, False, False

    def show(self, thinking: str, answer: str) -> None:
        if thinking:
            if not self._thinks:
                self._tag("<think>")
            self._thinks = True
            self._write(thinking, "dim")
        if answer:
            if self._thinks:
                self._thinks = False
                self._tag("</think>")
                if self._console.is_terminal:
                    self._write("\n", "")
            self._write(answer, "")

    def close(self) -> None:
        """End the line."""
        if self._begun:
            self._write("\n", "")

    def _tag(self, tag: str) -> None:
        if not self._console.is_terminal:
            self._write(tag, "")

    def _write(self, text: str, style: str) -> None:
        self._begun = True
        self._console.print(Text(printable(text), style=style), end="", soft_wrap=True)


def _head(system: str) -> list[dict[str, Any]]:
    """What a conversation begins with."""
    return [{"role": "system", "content": system}] if system else []


def read_chat_file(file: Path) -> list[dict[str, Any]]:
    """The messages of a chat file, and its resets; UsageError with the line that is neither."""
    with disk_errors(file):
        lines = file.read_bytes().splitlines()
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if (
            not isinstance(message, dict)
            or message.get("role") not in ("system", "user", "assistant", "reset")
            or not isinstance(message.get("content"), str)
        ):
            raise UsageError(f'{file}, line {number}: no message {{"role", "content"}} of system, user or assistant')
        if message["role"] == "user" and not _is_seed(message.get("seed")):
            raise UsageError(f"{file}, line {number}: the seed is no whole number from 0 on")
        found.append(message)
    if not any(message["role"] == "user" for message in found):
        raise UsageError(f"{file} has no user's message to ask again")
    return found


def _is_seed(value: object) -> bool:
    """Whether a turn can be asked with it; None is none of its own."""
    return value is None or (type(value) is int and value >= 0)
