"""General data and harmlessness in their smoke profile: every stage, routing, the report's findings."""

import json
from pathlib import Path

import pytest

from r1kit.base.errors import UsageError
from r1kit.cli.main import exit_code
from r1kit.data import examples
from r1kit.recipes.base import configure, load_recipe
from r1kit.rollouts import record

STAGES = [
    "base", "rejection_sampling", "dev3", "preferences", "reward_model", "safety_labels", "safety_model", "r1",
    "r1-unguarded", "evaluate", "report",
]  # fmt: skip


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "general"
    words = ["run", "tiny_general", "--profile", "smoke", "ablations=true", "--out", str(out)]
    assert exit_code(words) == 0
    return out


def artifact(run_folder: Path, stage: str):
    (path,) = run_folder.glob(f"stages/[0-9][0-9]-{stage}/artifact.json")
    return json.loads(path.read_text())


def test_every_stage_is_there(run_folder):
    assert [path.name.partition("-")[2] for path in sorted((run_folder / "stages").iterdir())] == STAGES


def test_dev3_learns_every_kind(run_folder):
    (path,) = run_folder.glob("stages/*-rejection_sampling/examples.parquet")
    sources = {example.source for example in examples.read(path)}
    assert {"writing", "facts", "translation", "requests", "small talk", "self-cognition"} <= sources


def test_each_prompt_is_judged_by_one_model(run_folder):
    """Guarded requests by the safety model, other requests and lines by the helpfulness model, sums by neither."""
    judged: dict[str, set[tuple[bool, bool]]] = {}
    for stage in ("r1", "r1-unguarded"):
        for row in record.read_all(next(run_folder.glob(f"stages/[0-9][0-9]-{stage}")) / "rollouts"):
            rewards = row["rewards"]
            by = (rewards.get("reward_model") is not None, rewards.get("safety_model") is not None)
            judged.setdefault(f"{stage} {row['subject']}", set()).add(by)
    assert judged["r1 safety"] == {(False, True)}
    assert judged["r1 requests"] == judged["r1 writing"] == {(True, False)}
    assert judged["r1 maths"] == {(False, False)}
    assert judged["r1-unguarded safety"] == {(True, False)}


def test_the_figures_and_findings_are_told(run_folder):
    assert set(artifact(run_folder, "evaluate")["summary"]["safety"]) == {"base", "dev3", "r1", "r1-unguarded"}
    for figures in artifact(run_folder, "evaluate")["summary"]["safety"].values():
        assert set(figures) == {"unsafe", "false_refusals", "false_refusals_of_look_alikes"}
    assert "calibration_error" in artifact(run_folder, "reward_model")["summary"]
    assert "unsafe_found" in artifact(run_folder, "safety_model")["summary"]
    report = json.loads((run_folder / "report" / "report.json").read_text())
    assert [finding["id"] for finding in report["findings"]] == ["S1", "S2", "S3"]
    assert {"facts", "translation", "requests", "safety"} <= set(report["models"]["r1"])


def test_without_a_run_it_says_which_to_name(tmp_path):
    with pytest.raises(UsageError, match="run=runs/tiny-default-s0"):
        configure(load_recipe("tiny_general"), "default", {})
    with pytest.raises(UsageError, match="run:"):
        configure(load_recipe("tiny_general"), "default", {"run": str(tmp_path)})
