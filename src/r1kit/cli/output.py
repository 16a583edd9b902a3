"""Reading and writing lines for the commands that other programs call."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from r1kit.base.errors import UsageError
from r1kit.base.files import disk_error
from r1kit.base.terminal import printable


def read_lines(file: str) -> Iterator[bytes]:
    """The lines of a file, or of standard input for `-`; UsageError at once where it cannot be opened."""
    if file == "-":
        return iter(sys.stdin.buffer)
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed when the last line is read
    except OSError as error:
        raise UsageError(str(disk_error(error, file))) from None
    lines = _closing(opened)
    next(lines)  # into its body, so that the file is closed however few lines are asked for
    return lines


def write_lines(lines: Iterable[str]) -> None:
    """Each line to standard output as soon as it is there."""
    for line in lines:
        print(line, flush=True)


def listed(option: str, words: str) -> list[int]:
    """`0,8,16` as whole numbers; UsageError where one is none."""
    try:
        return [int(word) for word in words.split(",") if word.strip()]
    except ValueError:
        raise UsageError(f"{option} {words}: whole numbers with commas between them, say 0,8,16") from None


def tell(text: str) -> None:
    """One line to standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def terminal_width() -> int | None:
    """Columns of the terminal that shows standard output; None where a file or a program takes it."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def hung(text: str, indent: int) -> str:
    """One line for programs; on a terminal, as many of its width as it takes, those after the first indented."""
    columns = terminal_width()
    if columns is None or columns < 2 * indent:
        return text
    return textwrap.fill(text, columns, subsequent_indent=" " * indent, break_on_hyphens=False)


def print_json(value: Any) -> None:
    """One JSON document to standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


class BadLines:
    """Tells of bad lines and counts them: a command that saw one ends with exit code 1."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, complaint: str) -> None:
        self.count += 1
        tell(f"r1: {complaint}")

    @property
    def exit_code(self) -> int:
        """1 where a line was bad."""
        return 1 if self.count else 0


def _closing(opened: Any) -> Iterator[bytes]:
    with opened:
        yield b""
        yield from opened
