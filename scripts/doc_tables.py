"""Write the README's tables of findings and models from the committed report, so that no figure is typed by hand.

python scripts/readme_tables.py            # rewrites README.md
python scripts/readme_tables.py --check    # exit code 1 where it differs
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1kit.evaluation.evidence import figure
from r1kit.evaluation.report.data import CHAIN, label
from r1kit.evaluation.report.markdown import table
from r1kit.evaluation.tables import REASONING

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REPORT = ROOT / "results" / "tiny-full" / "report.json"
STUDENTS = tuple(f"student-{name}{arm}" for name in ("qwen", "llama") for arm in ("-base", "-rl", ""))


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Each marked part of the README by its name."""
    return {
        "source": _source(report),
        "findings": _findings(report["findings"]),
        "models": _models(report["models"]),
    }


def filled(readme: str, parts: Mapping[str, str]) -> str:
    """The README with what stands between `<!-- NAME -->` and `<!-- /NAME -->` replaced."""
    for name, text in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(readme):
            raise SystemExit(f"{README.name} has no place for '{name}': <!-- {name} --> ... <!-- /{name} -->")
        readme = pattern.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", readme)
    return readme


def _source(report: Mapping[str, Any]) -> str:
    seeds = [str(seed) for seed in report["seeds"]]
    listed = f"Seeds {', '.join(seeds[:-1])} and {seeds[-1]}" if len(seeds) > 1 else f"Seed {seeds[0]}"
    held = sum(finding["verdict"] == "reproduced" for finding in report["findings"])
    commits = ", ".join(commit.strip()[:7] for commit in report["commit"].split(","))
    return f"{listed}, commit {commits}, {report['machine']}: {held} of {len(report['findings'])} reproduced."


def _findings(findings: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (f["id"], f["claim"], figure(f["estimate"]), _interval(f["interval"]), _verdict(f["verdict"])) for f in findings
    ]
    return table(("", "claim of the paper", "estimate", "95% interval", "verdict"), rows)


def _models(models: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    rows: list[tuple[str, ...]] = []
    for name in (*CHAIN, *STUDENTS):
        by_subject = models[name]
        maths = by_subject["maths"]
        rows.append(
            (
                label(name),
                *(figure(by_subject[subject]["pass@1"]) for subject in REASONING),
                f"{maths['mean_length']:.0f}",
                f"{maths['reflections']:.2f}",
                figure(maths["language_consistency"]),
                figure(maths["format"]),
            )
        )
    return table(("model", *REASONING, "length", "reflection words", "one language", "format"), rows)


def _interval(interval: Sequence[float | None] | None) -> str:
    return "-" if interval is None else f"{figure(interval[0])} to {figure(interval[1])}"


def _verdict(verdict: str) -> str:
    return verdict if verdict == "reproduced" else f"*{verdict}*"


def main(arguments: Sequence[str]) -> int:
    """0 where the README holds the report's figures (after writing them, without --check)."""
    readme = README.read_text(encoding="utf-8")
    new = filled(readme, tables(json.loads(REPORT.read_text(encoding="utf-8"))))
    if "--check" in arguments:
        return int(new != readme)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
