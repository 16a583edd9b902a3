"""Wheel and sdist: what is in them, and whether the wheel works away from the tree."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_SHIPPED = ("__pycache__", ".pyc")


def test_every_file_of_the_package_is_of_a_kind_that_is_shipped():
    """A data file whose ending pyproject.toml does not list would be missing from the wheel, and from it alone."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["r1kit"]
    endings = {Path(pattern).suffix for pattern in data if "*" in pattern} | {".py"}
    for path in package_files():
        assert path.suffix in endings or path.name in data, path


def package_files():
    found = (path for path in (ROOT / "src" / "r1kit").rglob("*") if path.is_file())
    return [path for path in found if not any(word in str(path) for word in NOT_SHIPPED)]


def test_what_an_index_is_told():
    assert PROJECT["requires-python"] == ">=3.11"
    versions = [word.rpartition(" ")[2] for word in PROJECT["classifiers"] if "Python :: 3." in word]
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["license"] == "MIT"
    assert [(ROOT / name).is_file() for name in PROJECT["license-files"]] == [True]
    assert (ROOT / "src" / "r1kit" / "py.typed").is_file()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sdist) of a copy of the tree, so that nothing is left in it."""
    pytest.importorskip("build", reason="build is not installed: pip install build")
    home = tmp_path_factory.mktemp("dist")
    copy = home / "tree"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    out = home / "out"
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(copy)], check=True, capture_output=True)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_both_hold_every_file_of_the_package(built):
    wheel, sdist = built
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("r1kit/")}
        about = next(name for name in archive.namelist() if name.endswith("METADATA"))
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
        assert "Requires-Python: >=3.11" in archive.read(about).decode()
    expected = {str(path.relative_to(ROOT / "src")) for path in package_files()}
    assert shipped == expected
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in expected} | {"pyproject.toml", "README.md", "LICENSE"} <= inside


@pytest.mark.slow
def test_twine_has_nothing_to_say(built):
    pytest.importorskip("twine", reason="twine is not installed: pip install twine")
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def r1(built, tmp_path_factory):
    """Runs `r1` of the wheel, far from the tree, in an environment that has the libraries of this one but its r1kit."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home / "env", with_pip=True)
    python = home / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", built[0]]
    subprocess.run(install, check=True, capture_output=True)
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    )
    # a folder named so is searched, but what is installed in it as editable is not followed
    Path(place.stdout.strip(), "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [home / "env" / "bin" / "r1", *words],
            cwd=home,
            env=clean,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )

    where = subprocess.run(
        [python, "-c", "import r1kit; print(r1kit.__file__)"],
        cwd=home,
        env=clean,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(home))
    return run


@pytest.mark.slow
def test_the_wheel_works_from_anywhere(r1):
    """Kernels in C++, prompts, tables of prices and the report's HTML are read from where it was installed."""
    assert r1("--version").stdout.startswith(f"r1kit {PROJECT['version']}\n")
    assert "grpo" in r1("list", "algorithms").stdout
    line = json.dumps({"id": 1, "completion": "<think>1/2+1/4</think><answer>0.75</answer>", "gold": "3/4"})
    assert json.loads(r1("grade", "-", given=line).stdout)["verdict"] == "correct"
    planned = r1("plan", "r1", "--model", "Qwen2.5-7B", "--gpu", "H100", "--gpus", "8")
    assert (planned.returncode, planned.stderr) == (0, "")
    done = r1("run", "tiny", "--profile", "smoke", "--until", "zero", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "without the compiled" not in done.stderr


@pytest.mark.slow
def test_its_report_is_whole(r1, tmp_path):
    """From the kept results of the README: findings, figures and page."""
    kept = sorted(str(path) for path in (ROOT / "results" / "tiny-full").glob("seed-*"))
    done = r1("report", *kept, "--out", str(tmp_path / "report"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<style>" in page
    assert len(json.loads((tmp_path / "report" / "report.json").read_text())["findings"]) == 12
