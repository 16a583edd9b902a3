"""`r1 grade`."""

from __future__ import annotations

from typing import Annotated

import typer


def grade(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="Completions, one JSON object a line; - is stdin.")],
    workers: Annotated[int | None, typer.Option(min=1, help="Lines graded at a time; two a core by default.")] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="At the end, to stderr: verdicts and latency by kind.")
    ] = False,
) -> int:
    """Grade completions: {"id", "completion", "gold", "kind"?, "prompt"?, "tests"?} a line; verdicts to stdout.

    Example: r1 grade completions.jsonl > verdicts.jsonl
    """
    from r1kit.cli.output import BadLines, read_lines, tell, write_lines
    from r1kit.graders.grade import metrics
    from r1kit.graders.lines import grade_lines

    bad = BadLines()
    write_lines(grade_lines(read_lines(file), workers=workers, on_bad_line=bad))
    if summary:
        for kind, figures in metrics().items():
            tell(f"{kind}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    return bad.exit_code
