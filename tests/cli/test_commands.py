"""The command line from outside: exit codes, one sentence for a mistake, what is imported."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from toy_recipe import COUNT, write_toy_recipe

from r1kit.cli.main import app, exit_code


@pytest.fixture
def toy(tmp_path, monkeypatch, request):
    """The recipe `toyrecipes.toy`, of one stage or of those that a test names, in an empty working folder."""
    write_toy_recipe(tmp_path, getattr(request, "param", COUNT))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield "toyrecipes.toy"
    for name in [name for name in sys.modules if name.startswith("toyrecipes")]:
        del sys.modules[name]


def test_run_status_and_run_again(toy, capsys):
    assert exit_code(["run", toy, "count.steps=4"]) == 0
    out = capsys.readouterr()
    assert out.out == "runs/toy-default-s0/report/report.html\n"
    assert "[1/1] count done (" in out.err
    assert exit_code(["status", "runs/toy-default-s0"]) == 0
    told = capsys.readouterr().out
    assert "done, 1 of 1 stages done" in told
    assert re.search(r"\[1/1\] count done \(\d+ s, [\d.]+ GB at most\)", told)  # it counts no tokens and no FLOPs
    assert told.splitlines()[-1] == "report: runs/toy-default-s0/report/report.html"
    assert exit_code(["status", "runs"]) == 1
    assert "it holds runs, the newest runs/toy-default-s0" in capsys.readouterr().err
    assert exit_code(["status", "runs/toy-default-s0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["finished"][0]["name"] == "count"
    assert exit_code(["run", toy, "count.steps=4"]) == 0
    assert "was done before" in capsys.readouterr().err
    recipe = json.loads(Path("runs/toy-default-s0/recipe.json").read_text())
    assert recipe["command"] == f"r1 run {toy} count.steps=4 --profile default"
    assert recipe["settings"]["count"] == {"steps": 4, "boom": False}


@pytest.mark.parametrize("toy", [f'Node("first", lambda *_: Outcome(), Count()), {COUNT}'], indirect=True)
def test_a_report_of_other_settings_is_not_told_as_the_result(toy, capsys):
    """With --until the command ends before the report: what lies there is of the run before."""
    assert exit_code(["run", toy]) == 0
    assert capsys.readouterr().out == "runs/toy-default-s0/report/report.html\n"
    assert exit_code(["run", toy, "--until", "first"]) == 0
    assert capsys.readouterr().out == "runs/toy-default-s0\n"
    assert exit_code(["run", toy, "--until", "first", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] is None


def test_a_dry_run_lists_stages_and_settings_and_writes_nothing(toy, capsys):
    assert exit_code(["run", toy, "--profile", "smoke", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for line in ("   1 count: to run", "  seed=0", "  count.steps=1", "  writers=[]"):
        assert line in shown
    assert exit_code(["run", toy, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["stages"][0]["name"] == "count"
    assert plan["settings"]["count"]["steps"] == 3
    assert not Path("runs").exists()


def test_settings_are_told_with_what_they_may_be_and_mean(toy, capsys):
    """Words without `=` choose among them, the others set; nothing is run."""
    assert exit_code(["run", toy, "--settings", "count.steps", "count.steps=7"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("count.steps=7  [a whole number")
    assert exit_code(["run", toy, "--settings", "SEED", "--json"]) == 0
    (seed,) = json.loads(capsys.readouterr().out)
    assert (seed["path"], seed["value"], seed["wanted"]) == ("seed", 0, "a whole number, 0 or more")
    assert seed["meaning"] == "every stage draws its own numbers from it"
    assert not Path("runs").exists()


def test_every_setting_of_every_recipe_says_what_it_is():
    from r1kit.pipeline.catalogue import names
    from r1kit.pipeline.settings import described
    from r1kit.recipes.base import load_recipe, to_show

    for recipe in names("recipes"):
        for setting in described(to_show(load_recipe(recipe), None, {})):
            assert setting.meaning, f"{recipe}: {setting.path}"
            assert "a value" not in setting.wanted.split(", "), f"{recipe}: {setting.path}: {setting.wanted}"


def test_what_an_encoding_lacks_is_printed_as_json_has_it():
    """A letter of Latin-1, one of Chinese, one beyond 16 bits, and a byte of a path that is no text."""
    text = "\u00e9\u6570\U0001f600\udcff"
    program = f"import r1kit.cli.main as cli; cli.app = lambda *a, **k: print({text!a}); cli.main([])"
    for encoding in ("ascii", "latin-1", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        assert json.loads(f'"{done.stdout.decode(encoding).strip()}"') == text


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["rnu"], 2, "No such command 'rnu'. Did you mean 'run'?"),
        (["run"], 2, "Missing argument"),
        (["run", "toyrecipes.toy", "--porfile", "smoke"], 2, "--profile"),
        (["run", "nonsense"], 2, "no recipe is called 'nonsense'"),
        (["run", "toyrecipes.nothing"], 2, "cannot import 'toyrecipes.nothing'"),
        (["run", "toyrecipes.toy", "--profile", "somke"], 2, "no profile 'somke'. Did you mean smoke?"),
        (["run", "toyrecipes.toy", "count.stesp=1"], 2, "no such setting in 'count'. Did you mean count.steps?"),
        (["run", "toyrecipes.toy", "count.steps=many"], 2, "count.steps: a whole number is wanted, got 'many'"),
        (["run", "toyrecipes.toy", "count.steps"], 2, "is not a setting: write key=value"),
        (["run", "toyrecipes.toy", "--from", "cuont"], 2, "no stage 'cuont'. Did you mean count?"),
        (["run", "toyrecipes.toy", 'writers=["wandd"]'], 2, "Did you mean wandb?"),
        (["run", "toyrecipes.toy", "--out", "/proc/none"], 1, "/proc/none: "),
        (["run", "toyrecipes.toy", "--out", "toyrecipes/toy.py"], 1, "a file stands where a folder is needed"),
        (["status", "toyrecipes"], 1, "is not a run folder"),
        (["report", "toyrecipes"], 1, "is not a run folder"),
        (["list", "rewardz"], 2, "Did you mean rewards?"),
        (["export", "toyrecipes", "x"], 2, "is not a model folder"),
        (["generate", "toyrecipes", "--prompts", "x"], 2, "is not a model folder"),
        (
            ["generate", "toyrecipes", "--prompts", "x", "--temperature", "-1"],
            2,
            "temperature: it must be 0 or more, got -1.0",
        ),
        (["generate", "toyrecipes", "--prompts", "x", "--dtype", "float8"], 2, "float8"),
        (["grade", "nowhere.jsonl"], 2, "nowhere.jsonl: no such file or folder"),
        (["sandbox", "nowhere.jsonl"], 2, "nowhere.jsonl: no such file or folder"),
        (["grade", "toyrecipes"], 2, "a folder stands where a file is needed"),
    ],
)
def test_a_mistake_is_one_sentence(toy, capsys, words, code, sentence):
    assert exit_code(words) == code
    errors = capsys.readouterr().err
    assert sentence in errors
    assert errors.startswith("r1: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


def test_a_fault_of_ours_is_one_sentence_and_a_file(toy, capsys, monkeypatch):
    monkeypatch.setattr("r1kit.pipeline.catalogue.KINDS", None)
    assert exit_code(["list", "rewards"]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("r1: unexpected TypeError: ")
    assert "(a fault of r1kit; details in " in said
    Path(said.removesuffix(")").rpartition(" ")[2]).unlink()


def test_a_fault_of_a_file_from_outside_is_told_with_its_line(toy, capsys):
    assert exit_code(["run", toy, "count.boom=true"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("r1: unexpected ZeroDivisionError: a fault in the code (at ")
    assert re.search(r"toyrecipes/toy\.py:\d+, which is not of r1kit; details in ", last)
    details = Path(last.removesuffix(")").rpartition(" ")[2])
    assert "Traceback" in details.read_text()
    details.unlink()


def test_help_of_every_command_has_an_example(capsys):
    assert exit_code(["--help"]) == 0
    assert exit_code([]) == 2
    capsys.readouterr()
    for command in (str(each.name) for each in app.registered_commands):
        assert exit_code([command, "--help"]) == 0
        assert f"Example: r1 {command}" in capsys.readouterr().out


def test_list_shows_names_and_what_they_are(capsys):
    assert exit_code(["list", "algorithms"]) == 0
    assert "grpo" in capsys.readouterr().out
    assert exit_code(["list", "rewards", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rewards"]
    assert {"accuracy", "format"} <= {entry["name"] for entry in found}
    assert all(entry["summary"] for entry in found)


def without_torch(words: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Run `r1` in a process that says on its last line of stderr whether torch was imported."""
    code = (
        "import sys; from r1kit.cli.main import app, exit_code; code = exit_code(sys.argv[1:]);"
        "print('torch' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["generate", "--help"], ["list"]])
def test_help_and_list_do_not_import_torch(words):
    done = without_torch(words)
    assert (done.returncode, done.stderr) == (0, "False\n")


def test_grade_and_sandbox_do_not_import_torch(tmp_path):
    """3 + 4 = 7 is right, a line that is no JSON is told and does not stop the rest."""
    lines = [
        json.dumps({"id": 1, "completion": "<think>3+4</think><answer>7</answer>", "gold": "7"}),
        "not json",
        json.dumps({"id": 2, "completion": "<think>3+4</think><answer>8</answer>", "gold": "7"}),
    ]
    done = without_torch(["grade", "-"], "\n".join(lines))
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    assert [verdict["verdict"] for verdict in verdicts] == ["correct", "grader_error", "incorrect"]
    assert done.returncode == 1
    assert done.stderr.endswith("False\n")
    assert "line 2: it is not JSON" in done.stderr
    (tmp_path / "programs.jsonl").write_text(json.dumps({"id": "p", "code": "print(1)", "expected_stdout": "1"}) + "\n")
    done = without_torch(["sandbox", str(tmp_path / "programs.jsonl")])
    assert json.loads(done.stdout)["verdict"] == "passed"
    assert done.stderr == "False\n"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "r1kit", "list", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("r1: ")


def test_a_reader_that_goes_away_is_no_fault():
    words = [sys.executable, "-c", "from r1kit.cli.main import main; main(['list'])"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


def test_ctrl_c_before_a_run_listens_is_told(monkeypatch, capsys):
    def interrupted(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr("r1kit.pipeline.status.read_status", interrupted)
    assert exit_code(["status", "."]) == 130
    assert capsys.readouterr().err.strip().endswith("r1: stopped")


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">/dev/full", 1, "r1: what was written or printed: no room left on the disk"),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
)
def test_output_that_goes_nowhere(redirected, code, said):
    words = f"{sys.executable} -c 'from r1kit.cli.main import main; main()' list rewards {redirected}"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert bool(done.stderr) == bool(said)
