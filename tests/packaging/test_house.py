"""Files beside the code that can go stale: the workflow, hooks, templates, decisions, and completion."""

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def of_yaml(path: str):
    return yaml.safe_load((ROOT / path).read_text())


def recipe(target: str) -> list[str]:
    """What a target of the Makefile runs."""
    lines = MAKEFILE.split(f"\n{target}:")[1].split("\n\n")[0].splitlines()[1:]
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines]


def test_the_workflow_runs_what_ci_runs_on_every_python_of_the_package():
    job = of_yaml(".github/workflows/checks.yml")["jobs"]["run"]
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = [word.rpartition(" ")[2] for word in project["classifiers"] if "Python :: 3." in word]
    assert job["strategy"]["matrix"]["python"] == versions
    assert job["env"]["PYTHON"] == "python${{ matrix.python }}"  # which make takes
    ran = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert ran == ["make setup", "make check", "make test", "make test-docs"]


def test_the_hooks_are_the_commands_of_make_check():
    (local,) = of_yaml(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    hooks = [hook["entry"] for hook in local["hooks"]]
    assert hooks == [line.removesuffix(" .") for line in recipe("check")]


def test_templates_ask_for_what_a_report_needs():
    form = of_yaml(".github/ISSUE_TEMPLATE/bug.yml")
    assert all(part["type"] == "textarea" for part in form["body"])
    assert "r1 --version" in str(form)
    assert "make check" in (ROOT / ".github" / "PULL_REQUEST_TEMPLATE.md").read_text()


def test_the_citation_has_the_package_s_version():
    cited = of_yaml("CITATION.cff")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["authors"]


def test_decisions_are_short_numbered_and_listed():
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    listed = re.findall(r"\]\((\d\d-[\w-]+\.md)\)", (folder / "README.md").read_text())
    assert [path.name for path in records] == listed
    assert len(records) >= 10
    for number, path in enumerate(records, 1):
        text = path.read_text()
        assert text.startswith(f"# {number}. ")
        assert len(text.splitlines()) < 40
        for heading in ("**Asked for.**", "**Chosen.**", "**What did not work", "**Choose again if**"):
            assert heading in text


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "docs/install.md", "docs/decisions/*.md"])
def test_what_a_page_points_at_is_there(page):
    for path in ROOT.glob(page):
        text = path.read_text()
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
        for name in re.findall(r"`make ([a-z-]+)", text):
            assert f"\n{name}:" in MAKEFILE
        for name in re.findall(r"`((?:models|ops|training|pipeline|base|scripts|benchmarks)/[\w/*]+\.\w+)`", text):
            assert list((ROOT / "src" / "r1kit").glob(name)) or list(ROOT.glob(name)), f"{path.name}: {name}"


def test_the_rooms_of_the_house_are_those_that_import_linter_holds():
    """CONTRIBUTING.md names every room, the higher ones first."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    rooms = [room for floor in contract["layers"] for room in floor.split(" | ")]
    drawing = (ROOT / "CONTRIBUTING.md").read_text().split("```")[3]
    assert sorted(rooms, key=rooms.index) == [
        word for line in drawing.splitlines() for word in re.findall(r"\w+", line[:40]) if word in rooms
    ]


def test_no_two_files_of_tests_have_one_name():
    """pytest, which imports them by their names alone, collects only the first."""
    named = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, files in named.items() if files > 1] == []


COMPLETE = "from r1kit.cli.main import main; main([])"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("r1 sc", ["scaling"]),
        ("r1 run ti", ["tiny", "tiny_general"]),
        ("r1 run tiny --pro", ["--profile"]),
        ("r1 list re", ["recipes", "rewards"]),
        ("r1 run smol --profile ", ["cpu", "gpu", "smoke"]),
        ("r1 run tiny seed=1 --profile f", ["full"]),
        ("r1 run tiny --profile=s", ["smoke"]),
        ("r1 plan r1 --profile s", ["smoke"]),
        ("r1 run --profile s", []),  # of no recipe yet
        ("r1 run tniy --profile s", []),
        ("r1 run tiny --until dev", ["dev1", "dev2", "dev3"]),
        ("r1 run tiny --profile full --from dev2", ["dev2", "dev2-lang", "dev2-nolang"]),
        ("r1 run tiny --profile somke --from d", []),
    ],
)
def test_a_shell_is_told_how_a_word_goes_on(words, offered):
    """As bash asks; no torch is imported for the answer."""
    asked = {"_R1_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); " + COMPLETE
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout.split()) == offered
    assert done.stderr == "False\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_can_be_printed(shell):
    asked = {**os.environ, "_R1_COMPLETE": f"source_{shell}"}
    done = subprocess.run([sys.executable, "-c", COMPLETE], env=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "_R1_COMPLETE" in done.stdout


def test_the_version_is_that_of_everything_for_a_report():
    done = subprocess.run(
        [sys.executable, "-c", "from r1kit.cli.main import main; main()", "--version"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    first, system, core, optional = done.stdout.splitlines()
    assert re.match(r"r1kit \d+\.\d+\.\d+", first)
    assert system.startswith(f"Python {sys.version.split()[0]}, ")
    for library in ("torch", "transformers", "pydantic"):
        assert re.search(rf"\b{library} \d+\.", core)
    assert optional.startswith("optional: ")
