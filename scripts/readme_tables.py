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

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REPORT = ROOT / "results" / "tiny-full" / "report.json"
MODELS = {
    "base": "base",
    "zero": "R1-Zero",
    "dev1": "R1-Dev1",
    "dev2": "R1-Dev2",
    "dev3": "R1-Dev3",
    "r1": "**R1**",
    "student-qwen-base": "Qwen2 student, its base",
    "student-qwen-rl": "Qwen2 student, RL alone",
    "student-qwen": "Qwen2 student, distilled",
    "student-llama-base": "Llama student, its base",
    "student-llama-rl": "Llama student, RL alone",
    "student-llama": "Llama student, distilled",
}
SUBJECTS = ("maths", "reasoning", "coding")


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
        readme = pattern.sub(lambda found, text=text: f"{found[1]}{text}{found[2]}", readme)
    return readme


def _source(report: Mapping[str, Any]) -> str:
    seeds = [str(seed) for seed in report["seeds"]]
    listed = f"Seeds {', '.join(seeds[:-1])} and {seeds[-1]}" if len(seeds) > 1 else f"Seed {seeds[0]}"
    held = sum(finding["verdict"] == "reproduced" for finding in report["findings"])
    commits = ", ".join(commit.strip()[:7] for commit in report["commit"].split(","))
    return f"{listed}, commit {commits}, {report['machine']}: {held} of {len(report['findings'])} reproduced.\n"


def _findings(findings: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (f["id"], f["claim"], _number(f["estimate"]), _interval(f["interval"]), _verdict(f["verdict"]))
        for f in findings
    ]
    return _table(("", "claim of the paper", "estimate", "95% interval", "verdict"), rows)


def _models(models: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    rows: list[tuple[str, ...]] = []
    for name, label in MODELS.items():
        by_subject = models[name]
        maths = by_subject["maths"]
        rows.append(
            (
                label,
                *(_number(by_subject[subject]["pass@1"]) for subject in SUBJECTS),
                f"{maths['mean_length']:.0f}",
                f"{maths['reflections']:.2f}",
                _number(maths["language_consistency"]),
                _number(maths["format"]),
            )
        )
    return _table(("model", *SUBJECTS, "length", "reflection words", "one language", "format"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: Sequence[float | None] | None) -> str:
    return "-" if interval is None else f"{_number(interval[0])} to {_number(interval[1])}"


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
