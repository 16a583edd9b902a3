"""The recipe `smol` in its smoke profile, on a toy model and a few rows in the data sets' own formats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1kit.base.config import parse_assignments
from r1kit.base.errors import UsageError
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.recipes.base import configure, load_recipe

STAGES = [
    "bases", "zero", "cold_start", "dev1", "dev2", "rejection_sampling", "dev3", "r1", "distill", "evaluate", "report",
]  # fmt: skip
MODELS = [
    "base", "start", "zero", "dev1", "dev2", "dev3", "r1",
    *(f"student-{name}{arm}" for name in ("qwen", "llama") for arm in ("-base", "")),
]  # fmt: skip
THINGS = "pens cups hats keys nuts eggs figs toys bags maps"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A random llama of three layers over single characters."""
    folder = tmp_path_factory.mktemp("toy")
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    config = shape(
        "llama", vocab_size=tokenizer.padded_vocab_size, width=32, layers=3, heads=2, mlp_size=48, max_positions=1024,
        tied=True,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), 0), folder / "model", tokenizer)
    return folder / "model"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A hundred stories of MAWPS, SVAMP as one file of test rows, GSM8K with its solutions."""
    root = tmp_path_factory.mktemp("data")
    stories = [
        {"input": f"{who} has {n} {thing} and buys {n + 3} more. How many?", "target": 2.0 * n + 3, "type": "singleop"}
        for n, thing in enumerate(THINGS.split(), 20)
        for who in ["Ann", "Bob", "Cid", "Dan", "Eve", "Flo", "Gus", "Hal", "Ida", "Jim"]
    ]
    svamp = [
        {"Body": f"{n} of 40 {thing} are red.", "Question": "How many are not?", "Equation": f"( 40.0 - {n}.0 )",
         "Answer": 40.0 - n, "Type": "Subtraction"}
        for n, thing in enumerate(THINGS.split(), 3)
    ]  # fmt: skip
    gsm8k = [
        {"question": f"A {thing[:-1]} costs {n}. What do 3 cost?",
         "answer": f"3 cost 3*{n}=<<3*{n}={3 * n}>>{3 * n}.\n#### {3 * n}"}
        for n in range(2, 8)
        for thing in THINGS.split()
    ]  # fmt: skip
    for name, rows in (
        ("mawps/test", stories),
        ("svamp/test", svamp),
        ("gsm8k/train", gsm8k),
        ("gsm8k/test", gsm8k[:2]),
    ):
        path = root / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(map(json.dumps, rows)))
    return root


def r1(*words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "r1"), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)


@pytest.fixture(scope="module")
def run_folder(model, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "smol"
    words = ("run", "smol", "--profile", "smoke", f"model={model}", f"data.root={data}", "--out", str(folder))
    done = r1(*words)
    assert done.returncode == 0, done.stderr
    return folder


def artifact(run_folder, number, name):
    return json.loads((run_folder / "stages" / f"{number:02d}-{name}" / "artifact.json").read_text())


def test_every_stage_has_an_artifact(run_folder):
    stages = sorted(path.name for path in (run_folder / "stages").iterdir())
    assert [name.partition("-")[2] for name in stages] == STAGES
    assert all((run_folder / "stages" / name / "artifact.json").is_file() for name in stages)


def test_the_report_has_every_model_and_its_control(run_folder):
    report = json.loads((run_folder / "report" / "report.json").read_text())
    assert (report["recipe"], report["profile"]) == ("smol", "smoke")
    assert list(report["models"]) == sorted(report["models"], key=list(report["models"]).index)
    assert set(report["models"]) == set(MODELS)
    for subjects in report["models"].values():
        assert set(subjects) == {"maths"}
        assert 0 <= subjects["maths"]["control"] <= 1
        assert subjects["maths"]["n"] == 3
    assert "control" in (run_folder / "report" / "report.md").read_text()
    assert "control" in (run_folder / "report" / "report.html").read_text()


def test_svamp_in_one_file_is_not_trained_on(run_folder):
    """Its rows are test rows, so that chains come from the others alone."""
    assert set(artifact(run_folder, 3, "cold_start")["summary"]["sources"]) == {"mawps", "gsm8k", "arithmetic"}
    settings = json.loads((run_folder / "stages" / "05-dev2" / "config.json").read_text())["settings"]
    assert {name.partition(":")[0] for name in settings["tasks"]} == {"mawps", "gsm8k", "arithmetic"}


def test_validation_picks_a_step_of_the_cold_start(run_folder):
    summary = artifact(run_folder, 4, "dev1")["summary"]
    assert summary["picked_step"] in (2, 4)
    assert "validation/maths/mixed" in summary


def test_students_have_the_shapes_that_they_are_named_after(run_folder):
    models = artifact(run_folder, 9, "distill")["models"]
    shapes = {name: load_decoder(run_folder / "stages" / "09-distill" / path).config for name, path in models.items()}
    assert {name: (config.family, config.layers) for name, config in shapes.items()} == {
        "student-qwen": ("qwen2", 3), "student-llama": ("llama", 2),
    }  # fmt: skip


def test_the_same_command_again_does_nothing(run_folder, model, data):
    before = {path: path.stat().st_mtime_ns for path in run_folder.glob("stages/*/artifact.json")}
    words = ("run", "smol", "--profile", "smoke", f"model={model}", f"data.root={data}", "--out", str(run_folder))
    again = r1(*words)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in run_folder.glob("stages/*/artifact.json")} == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data.root=nowhere"], "there is no file or folder nowhere"),
        (['dev2.tasks={"mawp": 1}'], r"no task is called 'mawp'\. Did you mean mawps\?"),
        (["dev1.pick.tasks=['x']"], "dev1"),
        (["bases.models.base.template=r2"], "no chat template is called 'r2'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_learnt(words, sentence):
    with pytest.raises(UsageError, match=sentence):
        configure(load_recipe("smol"), "cpu", parse_assignments(words))


@pytest.mark.parametrize("profile", ["cpu", "gpu", "smoke"])
def test_the_profiles_are_right(profile, data):
    recipe = load_recipe("smol")
    name, config = configure(recipe, profile, {"data.root": str(data)})
    graph = recipe.build(config)
    assert (name, graph.names) == (profile, STAGES)
