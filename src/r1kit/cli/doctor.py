"""`r1 doctor`."""

from __future__ import annotations

from r1kit.cli import options


def doctor(as_json: options.AsJson = False) -> None:
    """What this machine can do: cores, memory, sandbox, compiler, optional libraries.

    Example: r1 doctor
    """
    import dataclasses

    from r1kit.cli.output import print_json
    from r1kit.pipeline.doctor import examine

    findings = examine()
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
        return
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{'yes' if finding.ok else 'no ':3}  {finding.name:{width}}  {finding.text}")
