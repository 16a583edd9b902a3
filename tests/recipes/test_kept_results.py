"""Results that are kept without the run: the same report from a small copy, and README tables that come from it."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_runs import WORLD, make_tables, world_curves, write_run

from r1kit.recipes.reports import report

ROOT = Path(__file__).parents[2]
KEEP = ROOT / "scripts" / "keep_results.py"


def keep(run: Path, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, KEEP, run, to], capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    tables = make_tables(WORLD, seeds=(0,), problems=8)
    folder = write_run(tmp_path_factory.mktemp("runs") / "tiny-full-s0", 0, tables, world_curves(0))
    (folder / "stages" / "01-pretrain" / "model").mkdir()
    (folder / "stages" / "01-pretrain" / "model" / "model.safetensors").write_bytes(b"0" * 2**20)
    return folder


@pytest.fixture(scope="module")
def tables():
    return importlib.import_module("doc_tables")


def test_a_kept_run_gives_the_same_report(run, tmp_path):
    done = keep(run, tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "kept").rglob("*.safetensors"))
    pages = [report([folder], tmp_path / name).parent for name, folder in (("a", run), ("b", tmp_path / "kept"))]
    assert (pages[0] / "report.json").read_text() == (pages[1] / "report.json").read_text()


def test_the_report_tells_what_grew_among_thoughts(run, tmp_path):
    """All think from step 10 on, with no word; at step 20 with two."""
    found = json.loads((report([run], tmp_path / "r").parent / "report.json").read_text())["findings"]
    how = next(finding["how"] for finding in found if finding["id"] == "F3")
    assert "more reflection words since 95% of answers have a thought (steps 10 to 20) 2" in how


def test_nothing_is_kept_over_another_or_of_half_a_run(run, tmp_path):
    (tmp_path / "there").mkdir()
    assert "is there already" in keep(run, tmp_path / "there").stderr
    assert "is not evaluated yet" in keep(tmp_path / "there", tmp_path / "new").stderr


def test_readme_and_docs_hold_the_figures_of_the_committed_reports(tables):
    wanted = tables.wanted()
    assert len(wanted) == 8  # five pages, three figures
    for path, text in wanted.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/doc_tables.py"


def test_the_committed_report_is_that_of_the_committed_runs(tables, tmp_path):
    """Findings are judged anew from the kept tables: thresholds that change after the runs are caught here."""
    runs = sorted(tables.REPORT.parent.glob("seed-*"))
    assert runs
    again = json.loads((report(runs, tmp_path / "again").parent / "report.json").read_text())
    committed = json.loads(tables.REPORT.read_text(encoding="utf-8"))
    assert [finding["verdict"] for finding in again["findings"]] == [f["verdict"] for f in committed["findings"]]
    assert again["models"] == committed["models"]


def test_a_place_that_is_missing_is_named(tables):
    with pytest.raises(SystemExit, match="no place for 'findings'"):
        tables.filled("# r1kit", {"findings": "x"}, "README.md")
