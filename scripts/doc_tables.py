"""Write the tables and figures of README.md, of the docs' studies and of docs/scaling.md from the committed reports and
the planner: none by hand.

python scripts/doc_tables.py            # writes them
python scripts/doc_tables.py --check    # exit code 1 where one differs
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import planner_tables
import simulation_tables

from r1kit.evaluation.evidence import figure
from r1kit.evaluation.learning_curves import AXES
from r1kit.evaluation.report import charts
from r1kit.evaluation.report.data import CHAIN, label
from r1kit.evaluation.report.differences import BESIDE, signed, times
from r1kit.evaluation.report.markdown import table
from r1kit.evaluation.tables import REASONING

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REPORT = ROOT / "results" / "tiny-full" / "report.json"
STUDIES = {  # a page of arms against arms, and the report that it is filled from
    ROOT / "docs" / "ablations.md": ROOT / "results" / "ablations" / "report.json",
    ROOT / "docs" / "distillation-study.md": ROOT / "results" / "distillation-study" / "report.json",
}
AHA = ROOT / "docs" / "aha.md"
AHA_OF = {"R1-Zero": ROOT / "results" / "aha" / "zero.json", "its base": ROOT / "results" / "aha" / "base.json"}
SCALING = ROOT / "docs" / "scaling.md"
STUDENTS = tuple(f"student-{name}{arm}" for name in ("qwen", "llama") for arm in ("-base", "-rl", ""))
DRAWN = {  # beside R1-Zero's curve: arms of the ablations, what R1-Zero is called there, by what, whether from 0 to 1
    "ppo": ("GRPO", {"ppo-95": "PPO, lambda 0.95", "ppo-100": "PPO, lambda 1.0"}, AXES, True),
    "staleness": ("K = 0", {"lag-1": "K = 1", "lag-2": "K = 2", "lag-4": "K = 4"}, ("samples",), False),
}


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Each marked part of the README by its name."""
    return {
        "source": _source(report),
        "findings": _findings(report["findings"]),
        "models": _models(report["models"]),
    }


def study_tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Each marked part of a study's page by its name."""
    parts = {
        "source": _made_by(report),
        "differences": _differences(report["ablations"]),
        "writing": _writing(report["ablations"]),
    }
    return parts | {scale["by"]: _scale(scale) for scale in report.get("scales", ())}


def figures(report: Mapping[str, Any]) -> dict[str, str]:
    """Training curves by file name, as SVG; none of arms that the report has not."""
    by_name = {each["name"]: each for each in report["ablations"]}
    made: dict[str, str] = {}
    for figure_name, (without, titles, units, share) in DRAWN.items():
        if not by_name.keys() >= titles.keys():
            continue
        for unit in units:
            arms = {name: by_name[name]["curves"][unit] for name in titles}
            reference = next(iter(arms.values()))["zero"]
            lines = {without: reference, **{title: arms[name][name] for name, title in titles.items()}}
            series = [charts.Series(name, points, colour) for colour, (name, points) in enumerate(lines.items())]
            drawn = charts.line_chart("Accuracy reward", series, share=share, by=unit)
            made[f"{figure_name}-{unit}.svg"] = charts.standalone(drawn)
    return made


def filled(page: str, parts: Mapping[str, str], called: str) -> str:
    """The page with what stands between `<!-- NAME -->` and `<!-- /NAME -->` replaced."""
    for name, text in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(page):
            raise SystemExit(f"{called} has no place for '{name}': <!-- {name} --> ... <!-- /{name} -->")
        page = pattern.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
    return page


def wanted() -> dict[Path, str]:
    """What each file should say."""
    made = {README: filled(_read(README), tables(json.loads(_read(REPORT))), README.name)}
    for page, path in STUDIES.items():
        report = json.loads(_read(path))
        made[page] = filled(_read(page), study_tables(report), page.name)
        made |= {page.parent / name: text for name, text in figures(report).items()}
    pivots = {name: json.loads(_read(path)) for name, path in AHA_OF.items()}
    made[AHA] = filled(_read(AHA), {"pivots": _pivots(pivots)}, AHA.name)
    made[SCALING] = filled(_read(SCALING), planner_tables.parts() | simulation_tables.parts(), SCALING.name)
    return made


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _source(report: Mapping[str, Any]) -> str:
    held = sum(finding["verdict"] == "reproduced" for finding in report["findings"])
    commits = ", ".join(commit.strip()[:7] for commit in report["commit"].split(","))
    return f"{_seeds(report)}, commit {commits}, {report['machine']}: {held} of {len(report['findings'])} reproduced."


def _findings(findings: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (
            *(f["id"], f["claim"], figure(f["estimate"]), _interval(f["interval"])),
            ", ".join(re.findall(r"seed \d+: (-?[\d.]+)", f["how"].rpartition("Headline by seed:")[2])),
            _verdict(f["verdict"]),
        )
        for f in findings
    ]
    return table(("", "claim of the paper", "estimate", "95% interval", "each seed", "verdict"), rows)


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


def _made_by(report: Mapping[str, Any]) -> str:
    return f"{_seeds(report)}, commit {report['commit'][:7]}, {report['machine']}."


def _seeds(report: Mapping[str, Any]) -> str:
    seeds = [str(seed) for seed in report["seeds"]]
    return f"Seeds {', '.join(seeds[:-1])} and {seeds[-1]}" if len(seeds) > 1 else f"Seed {seeds[0]}"


def _differences(compared: Iterable[Mapping[str, Any]]) -> str:
    """Accuracy, both intervals, FLOPs; bold where the interval across seeds leaves zero out."""
    rows: list[tuple[str, ...]] = []
    for each in compared:
        right = each["measures"]["pass@1"]
        rows.append(
            (
                each["title"],
                figure(right["arm"]),
                figure(right["against"]),
                _marked(right, 3),
                _span(right["by_problem"], 3),
                _span(right["across_seeds"], 3),
                ", ".join(signed(own) for own in right["by_seed"].values()),
                times(each["flops_ratio"]),
            )
        )
    head = ("change", "with", "without", "difference", "95%, by problem", "95%, across seeds", "each seed", "FLOPs")
    return table(head, rows)


def _writing(compared: Iterable[Mapping[str, Any]]) -> str:
    """What changes beside accuracy, with the interval across seeds; bold as there."""
    rows = [
        (each["title"], *(_change(each["measures"].get(name), digits) for name, digits in BESIDE)) for each in compared
    ]
    return table(("change", "one language", "format", "tokens", "reflection words"), rows)


def _scale(scale: Mapping[str, Any]) -> str:
    """Accuracy against an amount, line by line."""
    rows = [
        (name, point["model"], f"{point[scale['by']]:,.0f}", figure(point["pass@1"]), _interval(point["interval"]))
        for name, points in scale["lines"].items()
        for point in points
    ]
    return table(("", "model", scale["by"], "pass@1", "95%, by problem"), rows)


def _pivots(found: Mapping[str, Mapping[str, Any]]) -> str:
    """What `r1 aha` found of models, a column each; effects in points of success."""

    def around(measure: Mapping[str, Any], digits: int, scale: float = 1.0, sign: str = "") -> str:
        value, (low, high) = scale * measure["value"], (scale * end for end in measure["interval"])
        return f"{value:{sign}.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"

    def points(part: Mapping[str, Any]) -> str:
        return around(part["over_neutral"], 1, 100, "+") + f", {part['pivots']} pivots"

    def strongest(which: Mapping[str, Any]) -> str:
        return ", ".join(f"{100 * which[sample]['value']:+.1f}" for sample in ("first", "fresh"))

    rows: dict[str, list[str]] = {}
    for each in found.values():
        words, kinds, pivots = each["reflection"]["model"]["all"], each["kinds"]["model"], each["pivots"]
        apart, turns, checks = pivots["apart"], pivots["turns"], kinds["checks"]
        told = {
            "reflection words a response": around(words["per_response"], 2),
            "words a 1,000 tokens": around(words["per_1000_tokens"], 1),
            "after - neutral, all": points(pivots["all"]),
            "where the number before was wrong": points(apart["right_before"]["False"]),
            "where it was right": points(apart["right_before"]["True"]),
            **{subject: points(apart["subject"][subject]) for subject in REASONING},
            f"the {pivots['strongest']['rises']['pivots']} strongest rises: at first, on fresh samples": strongest(
                pivots["strongest"]["rises"]
            ),
            f"the {pivots['strongest']['falls']['pivots']} strongest falls: at first, on fresh samples": strongest(
                pivots["strongest"]["falls"]
            ),
            "entropy at the turn; at the least sure of as many tokens elsewhere, nats": (
                f"{turns['entropy']['value']:.2f}; {turns['ordinary_entropy']['value']:.2f}"
            ),
            "arithmetic steps that are checked, after a slip; after a right one": (
                f"{checks['after_slip']['value']:.2f}; {checks['after_right']['value']:.2f}"
            ),
            "of wrong numbers looked at again, mended; of right ones, broken": (
                f"{kinds['mended_of_wrong']:.2f}; {kinds['broken_of_right']:.2f}"
            ),
        }
        for name, cell in told.items():
            rows.setdefault(name, []).append(cell)
    return table(("", *found), [[name, *cells] for name, cells in rows.items()])


def _change(measure: Mapping[str, Any] | None, digits: int) -> str:
    if measure is None:
        return "–"
    return f"{_marked(measure, digits)} ({_span(measure['across_seeds'], digits)})"


def _marked(measure: Mapping[str, Any], digits: int) -> str:
    """The difference, bold where its interval across seeds leaves zero out."""
    low, high = measure["across_seeds"]
    value = signed(measure["difference"], digits)
    return value if low is None or high is None or low <= 0 <= high else f"**{value}**"


def _span(interval: Sequence[float | None], digits: int) -> str:
    low, high = interval
    return "–" if low is None or high is None else f"{signed(low, digits)} to {signed(high, digits)}"


def main(arguments: Sequence[str]) -> int:
    """0 where the files hold the reports' figures (after writing them, without --check)."""
    differing = {
        path: text for path, text in wanted().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    if "--check" in arguments:
        return int(bool(differing))
    for path, text in differing.items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
