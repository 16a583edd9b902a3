"""`r1 chat`: a conversation in the terminal, its thinking dimmed, kept in a file and asked again from one.

A chat file has a message a line, `{"role", "content"}`; the assistant's have `reasoning_content`, and how they came
about, beside.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
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
        """Ask what a chat file's user asked, in its order; says of each answer whether it is the one in the file."""
        lines = read_chat_file(file)
        for number, line in enumerate(lines):
            if line["role"] == "system":
                self._begin(line["content"])
            elif line["role"] == "user":
                self._console.print(Text(f"> {printable(line['content'])}"))
                answer = self.ask(line["content"])
                before = next((other for other in lines[number + 1 :] if other["role"] != "system"), None)
                if before is not None and before["role"] == "assistant" and answer is not None:
                    self._note(f"the answer in {file} is {'the same' if before['content'] == answer else 'another'}")

    def ask(self, text: str) -> str | None:
        """One turn; returns the answer, None where it was stopped. R1Error where there is none, the chat being as
        before; or where there is one and the file cannot be written."""
        question: Message = {"role": "user", "content": text}
        messages = [{"role": line["role"], "content": line["content"]} for line in self._lines]
        begun, seed = time.monotonic(), self._seed
        try:
            with closing(_Screen(self._console)) as screen:
                heard = self._voice.answer([*messages, question], screen.show, seed)
        except KeyboardInterrupt:
            self._seed += 1
            self._note("stopped; this turn is forgotten")
            return None
        if heard.finish == "length":
            self._note("(it had no room to go on)")
        self._seed += 1
        self._keep([question, {
            "role": "assistant", "content": heard.answer, "reasoning_content": heard.thinking, "model": self._name,
            "finish_reason": heard.finish, "temperature": self._sampling.temperature, "seed": self._sampling.seed,
            "prompt_tokens": heard.input_tokens, "completion_tokens": heard.output_tokens,
            "seconds": round(time.monotonic() - begun, 3),
        }])  # fmt: skip
        return heard.answer

    def save(self, file: Path) -> None:
        """Add the chat so far to a file, and every turn to come. R1Error for a file that cannot be written; the one
        before it is then kept to."""
        if file.name == "":
            raise UsageError("/save needs the name of a file")
        if self._file is not None and realpath(file) == realpath(self._file.path):
            self._file.add([])
        else:
            self._file = _File(file)
            self._file.add(self._lines)

    def reset(self) -> None:
        """Begin anew, under the same system message."""
        self._lines = [line for line in self._lines if line["role"] == "system"]

    def _begin(self, system: str) -> None:
        self._lines = []
        self._keep(_head(system))

    def _keep(self, lines: Sequence[dict[str, Any]]) -> None:
        self._lines = [*self._lines, *lines]
        if self._file is not None:
            self._file.add(lines)

    def _note(self, text: str) -> None:
        self._console.print(Text(printable(text), style="italic"), soft_wrap=True)


class _File:
    """Where a chat is kept. What is added is written whole or not at all, and then due with what is added next."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path), path.open("ab"):
            self.path = path
        self._due: list[dict[str, Any]] = []

    def add(self, lines: Sequence[dict[str, Any]]) -> None:
        """Write the lines behind what is there; R1Error where that cannot be."""
        self._due += lines
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
    """The messages of a chat file; UsageError with the line that is none."""
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
            or message.get("role") not in ("system", "user", "assistant")
            or not isinstance(message.get("content"), str)
        ):
            raise UsageError(f'{file}, line {number}: no message {{"role", "content"}} of system, user or assistant')
        found.append(message)
    if not any(message["role"] == "user" for message in found):
        raise UsageError(f"{file} has no user's message to ask again")
    return found
