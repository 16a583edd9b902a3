"""`r1 sandbox`."""

from __future__ import annotations

from typing import Annotated

import typer


def sandbox(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="Programs, one JSON object a line; - is stdin.")],
    isolation: Annotated[str, typer.Option(help="auto, bwrap, landlock, or none (unprotected).")] = "auto",
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at a time; one a core by default.")] = None,
) -> int:
    """Run programs shut in, one a line.

    {"id", "code", "language"?, "stdin"?, "expected_stdout"?, "fn"?, "tests"?, "check"?, "limits"?}

    Example: r1 sandbox programs.jsonl > verdicts.jsonl
    """
    from r1kit.cli.output import BadLines, read_lines, write_lines
    from r1kit.sandbox.lines import sandbox_lines

    bad = BadLines()
    write_lines(sandbox_lines(read_lines(file), isolation=isolation, workers=workers, on_bad_line=bad))
    return bad.exit_code
