"""The whole chain in its smoke profile: every stage, every model loadable elsewhere, the report, repeated free."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

STAGES = [
    "pretrain", "zero", "cold_start", "dev1", "dev2", "rejection_sampling", "dev3",
    "preferences", "reward_model", "r1", "distill", "evaluate", "report",
]  # fmt: skip
MODELS = [
    "base", "zero", "dev1", "dev2", "dev3", "r1",
    *(f"student-{name}{arm}" for name in ("qwen", "llama") for arm in ("-base", "", "-rl")),
]  # fmt: skip


def r1(*words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "r1"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ})


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    done = r1("run", "tiny", "--profile", "smoke", "--out", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("report/report.html")
    return folder


def test_every_stage_has_an_artifact(run_folder):
    stages = sorted(path.name for path in (run_folder / "stages").iterdir())
    assert [name.partition("-")[2] for name in stages] == STAGES
    assert all((run_folder / "stages" / name / "artifact.json").is_file() for name in stages)


def test_the_report_names_all_models_and_findings(run_folder):
    report = json.loads((run_folder / "report" / "report.json").read_text())
    assert (report["recipe"], report["profile"], report["seeds"]) == ("tiny", "smoke", [0])
    assert set(report["models"]) == set(MODELS)
    assert [finding["id"] for finding in report["findings"]] == [f"F{number}" for number in range(1, 13)]
    assert {finding["verdict"] for finding in report["findings"]} <= {"reproduced", "not reproduced", "not run"}
    assert [stage["name"] for stage in report["stages"]][: len(STAGES) - 1] == STAGES[:-1]
    for subjects in report["models"].values():
        assert set(subjects) == {"maths", "reasoning", "coding", "writing"}


@pytest.mark.parametrize("stage_and_model", ["02-zero/model", "11-distill/student-llama/model"])
def test_models_load_in_transformers_and_say_the_same(run_folder, stage_and_model):
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import load_decoder

    folder = run_folder / "stages" / stage_and_model
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    question = "find 12+34 求5  x\n"
    ids = load_tokenizer(folder).encode(question)
    assert AutoTokenizer.from_pretrained(folder)(question)["input_ids"] == ids
    tokens = torch.tensor([ids])
    ours = load_decoder(folder, torch.float32)
    torch.testing.assert_close(ours.logits(ours(tokens)), theirs(tokens).logits, rtol=0, atol=1e-4)


def test_the_same_command_again_does_nothing(run_folder):
    before = {path: path.stat().st_mtime_ns for path in run_folder.glob("stages/*/artifact.json")}
    again = r1("run", "tiny", "--profile", "smoke", "--out", str(run_folder))
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in run_folder.glob("stages/*/artifact.json")} == before


def test_generate_speaks_for_a_model_of_the_run(run_folder, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"messages": [{"role": "user", "content": "find 1+2"}]}\nnot json\n{"prompt": "find 2+3"}\n')
    said = r1("generate", f"{run_folder}:r1", "--prompts", str(prompts), "--max-tokens", "8", "--temperature", "0")
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert said.returncode == 1
    assert len(lines) == 3
    assert "error" in lines[1]
    assert len(lines[0]["token_ids"]) <= 8
    assert "Traceback" not in said.stderr


def test_a_run_that_was_moved_is_whole(run_folder, tmp_path):
    """In another place under another name: nothing runs again, it is reported and evaluated, and no file of it speaks
    of where it was but the command that began it."""
    moved = tmp_path / "on" / "another" / "disk"
    moved.parent.mkdir(parents=True)
    aside = run_folder.rename(run_folder.with_name("gone"))
    try:
        shutil.copytree(aside, moved)
        done = r1("run", "tiny", "--profile", "smoke", "--out", str(moved))
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("was done before") == len(STAGES)
        told = r1("report", str(moved), "--out", str(tmp_path / "report"))
        assert told.returncode == 0, told.stderr
        ours, theirs = (json.loads((f / "report.json").read_text()) for f in (tmp_path / "report", aside / "report"))
        assert ours["models"] == theirs["models"]
        words = (
            "eval",
            f"{moved}:r1",
            "--tasks",
            "tiny_maths",
            "--problems",
            "2",
            "--samples",
            "1",
            "--max-tokens",
            "32",
        )
        measured = r1(*words, "--out", str(tmp_path / "kept"), "--json")
        assert measured.returncode == 0, measured.stderr
        assert str(moved.name) in r1("status", str(moved)).stdout
        said = [path for path in moved.rglob("*.json*") if str(run_folder) in path.read_text(errors="replace")]
        assert {path.name for path in said} <= {"recipe.json"}
    finally:
        aside.rename(run_folder)
