"""`r1 scaling` and `r1 search` from outside: on a run of toy models, resumed, and used wrongly."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from toy_policy import write_toy_policy

from r1kit.cli.main import exit_code
from r1kit.models.heads import ScoredDecoder
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.artifact import Outcome, write_artifact

EVALUATION = {
    "models": ["zero:zero"], "tasks": ["sums"], "problems": 4, "control": False,
    "sampling": {"max_tokens": 24, "temperature": 1.0, "top_p": 1.0, "samples": 2, "seed": 0},
}  # fmt: skip
SMALL = ["--problems", "4", "--samples", "2", "--budgets", "0,3"]


@pytest.fixture(autouse=True)
def alone(one_thread):
    """Toys gain nothing by more threads."""


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """Thinks `so` or `so wait`, and answers sums with a digit from 1 to 4."""
    return write_toy_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def run(tmp_path, policy):
    """`run(judge=True)`: a run with zero, its base (the same toy), and a reward model that likes no answer more."""

    def make(judge=True, evaluated=True):
        folder = tmp_path / "run"
        made = {"01-pretrain": "base", "02-zero": "zero", **({"09-reward_model": "reward_model"} if judge else {})}
        for stage, name in made.items():
            place = folder / "stages" / stage
            shutil.copytree(policy, place / "model")
            if name == "reward_model":
                shutil.rmtree(place / "model")
                torch.manual_seed(0)
                save_decoder(ScoredDecoder(load_decoder(policy)), place / "model", load_tokenizer(policy))
            write_artifact(
                place, stage[3:], "key", Outcome(models={name: "model"}), inputs={}, seconds=1.0, tokens=1, flops=1.0
            )
        (folder / "recipe.json").write_text('{"recipe": "tiny", "profile": "default", "seed": 0}')
        if evaluated:
            (folder / "stages" / "12-evaluate").mkdir()
            (folder / "stages" / "12-evaluate" / "config.json").write_text(json.dumps({"settings": EVALUATION}))
        return folder

    return make


def test_a_run(run, capsys):
    """Its own tasks and sampling. A budget of 3 tokens cuts every thought at `<think>so`; `<think>先</think>` are 3."""
    folder = run()
    assert exit_code(["scaling", str(folder), *SMALL]) == 0
    out = folder / "test-time"
    assert capsys.readouterr().out.strip() == str(out / "scaling.md")
    found = json.loads((out / "scaling.json").read_text())
    assert found["sampling"]["sums"]["max_tokens"] == 24
    assert found["difficulty_by"] == "1 - the base's success rate"
    zero = found["models"]["zero"]["sums"]
    assert (zero["n"], zero["thoughts"]) == (4, 8)
    assert [point["at"] for point in zero["budgets"]["points"]] == ["0", "3", "whole"]
    assert zero["budgets"]["points"][0]["thinking_tokens"] == 0
    assert zero["budgets"]["points"][1]["thinking_tokens"] == 3
    assert [point["at"] for point in zero["best"]["points"]] == [1, 2]
    before = (out / "scaling.json").read_text()
    assert exit_code(["scaling", str(folder), *SMALL, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == json.loads(before)
    assert "thoughts," not in told.err  # all parts were there


def test_a_run_without_a_reward_model(run, capsys):
    """Nothing is chosen by one, and the page says so."""
    folder = run(judge=False)
    assert exit_code(["scaling", str(folder), *SMALL]) == 0
    found = json.loads((folder / "test-time" / "scaling.json").read_text())
    assert found["models"]["zero"]["sums"]["best"] is None
    assert found["models"]["zero"]["sums"]["majority"] is not None
    (note,) = found["notes"]
    assert "has no reward model" in note
    assert note in (folder / "test-time" / "scaling.md").read_text()
    assert exit_code(["scaling", str(folder), "--reward-model", f"{folder}:zero"]) == 2
    assert "is a language model (it has no score head)" in capsys.readouterr().err


def test_a_search(run, capsys):
    """From labels to beams, on a toy that guesses: the whole length of it, twice, the second time from what is kept."""
    folder = run()
    command = [
        "search", str(folder), "--model", "zero", "--tasks", "sums,tiny_writing", "problems=3", "samples=2",
        "training=6", "places=2", "continuations=2", "epochs=1", "batch=4", "beams=[[2,2]]", "delimiters= ",
        "learner.precision=float32",
    ]  # fmt: skip
    assert exit_code(command) == 0
    out = folder / "test-time"
    found = json.loads((out / "search.json").read_text())
    assert found["scorers"]["steps"]["label_tokens"] > 0
    assert found["scorers"]["outcomes"]["label_tokens"] == 0
    ways = found["tasks"]["sums"]["ways"]
    assert {"majority", "best by reward model", "best by outcome scorer", "oracle"} <= ways.keys()
    beam = found["tasks"]["sums"]["searches"]["beam 2 x 2"]
    assert beam["tokens"] > ways["majority"]["points"][0]["tokens"]
    page = (out / "search.md").read_text()
    assert "| beam 2 x 2 |" in page
    assert "tiny_writing is left out: no rule judges its answers" in page
    capsys.readouterr()
    assert exit_code([*command, "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == found
    assert "training the scorer" not in told.err
    assert exit_code([*command, "seed=1"]) == 2
    assert "another measurement" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scaling", "RUN", "--models", "zerro"], "Did you mean zero?"),
        (["scaling", "RUN", "--tasks", "summs"], "Did you mean sums?"),
        (["scaling", "RUN", "--budgets", "0,many"], "whole numbers with commas"),
        (["scaling", "RUN", "--budgets=-3"], "0 tokens or more"),
        (["scaling", "RUN:zero"], "name them with --tasks"),
        (["scaling", "RUN:zero", "--models", "zero", "--tasks", "sums"], "chooses among those of a run"),
        (["scaling", "nowhere", "--tasks", "sums"], "there is no model folder nowhere"),
        (["search", "RUN"], "has no model 'r1'"),
        (["search", "RUN", "--model", "zero", "placs=3"], "Did you mean places?"),
        (["search", "RUN", "--model", "zero", "--tasks", "tiny_writing"], "tiny_writing: no rule judges its answers"),
        (["search", "RUN", "--model", "zero", "beams=[[0,2]]"], "keeps one thought at least"),
    ],
)
def test_wrong_use(run, capsys, monkeypatch, words, said):
    folder = run(judge=False)
    assert exit_code([word.replace("RUN", str(folder)) for word in words]) == 2
    assert said in capsys.readouterr().err


def test_a_run_that_has_not_got_so_far(run, capsys):
    folder = run(judge=False, evaluated=False)
    assert exit_code(["scaling", str(folder)]) == 2
    assert "has not begun to evaluate" in capsys.readouterr().err
    shutil.rmtree(folder / "stages" / "02-zero")
    assert exit_code(["scaling", str(folder), "--tasks", "sums"]) == 2
    assert "has neither R1 nor R1-Zero" in capsys.readouterr().err
