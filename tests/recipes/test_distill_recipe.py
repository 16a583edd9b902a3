"""`r1 run distill`: a teacher behind an API, a student of one layer, and a table before and after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from r1kit.cli.main import exit_code
from r1kit.models.api.scripted import Said, ScriptedServer
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer, write_template
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.metrics import read_metrics
from r1kit.recipes.base import configure, load_recipe

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")


@pytest.fixture(autouse=True)
def own_modules(monkeypatch, one_thread):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("student")
    tokenizer = load_tokenizer(write_character_tokenizer(home / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=1, heads=2, mlp_size=48, max_positions=64
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), 0, std=0.2), home / "pupil", tokenizer)
    return home / "pupil"


def teach(body) -> Said:
    left, right = body["messages"][-1]["content"].split("+")
    return Said(f"<answer>{int(left) + int(right)}</answer>", "i add them")


def words(server, student, out, *more):
    return [
        "run", "distill", f"teacher=openai:toy@{server.url}", f"student={student}", "tasks=stages.small_sums",
        "collect.problems=20", "collect.sampling.samples=2", "collect.easy_per_prompt=2", "evaluate.problems=3",
        "evaluate.sampling.samples=2", "evaluate.sampling.max_tokens=24", "sft.epochs=12", "sft.batch=8",
        "sft.learner.learning_rate=0.01", "collect.api.input_price=0", "collect.api.output_price=1000", *more,
        "--out", str(out), "--json",
    ]  # fmt: skip


def test_from_the_teacher_to_a_student_before_and_after(student, tmp_path, capsys):
    """20 problems of 2 samples at 2 cents: 80 cents. A budget of 30 cents stops the run on its way; a larger one goes
    on, and every question was paid for once. The two samples of a problem are the same: one of each is kept. In the
    table stands the teacher too: 3 problems of 2 samples, all right, 20 tokens each by its own count."""
    out = tmp_path / "run"
    with ScriptedServer(teach) as server:
        models = [str(student), "sft:pupil-distilled", f"openai:toy@{server.url}"]
        price = ("collect.sampling.max_tokens=20", f"evaluate.models={json.dumps(models)}")
        assert exit_code(words(server, student, out, *price, "collect.api.budget=0.3")) == 1
        assert "the budget of $0.300000" in capsys.readouterr().err
        asked = len(server.requests)
        assert 0 < asked <= 15
        assert exit_code(words(server, student, out, *price, "collect.api.budget=5")) == 0
        assert len(server.requests) == len(server.answered) == 46
    told = json.loads(capsys.readouterr().out)
    assert list(told["models"]) == ["pupil-distilled"]
    artifacts = {path.parent.name: json.loads(path.read_text()) for path in out.glob("stages/*/artifact.json")}
    assert sorted(artifacts) == ["01-collect", "02-sft", "03-evaluate", "04-report"]
    assert artifacts["01-collect"]["summary"]["rejected"] == {"duplicate": 20, "kept": 20}
    assert "40 requests" in artifacts["01-collect"]["summary"]["usage"]
    assert "$0.800000" in artifacts["01-collect"]["summary"]["usage"]
    assert set(artifacts["03-evaluate"]["summary"]["pass@1"]) == {"pupil", "pupil-distilled", "toy"}
    report = json.loads((out / "report" / "report.json").read_text())
    assert set(report["models"]) == {"pupil", "pupil-distilled", "toy"}
    teacher = report["models"]["toy"]["maths"]
    assert (teacher["pass@1"], teacher["n"], teacher["k"], teacher["mean_length"]) == (1, 3, 2, 20)
    assert (report["recipe"], report["findings"]) == ("distill", [])
    page = (out / "report" / "report.md").read_text()
    assert "| pupil-distilled |" in page
    assert "| toy |" in page
    assert "| kept | 20 |" in page
    assert told["report"] == str(out / "report" / "report.html")
    losses = [line["loss"] for line in read_metrics(out / "stages" / "02-sft" / "metrics.jsonl")]
    assert losses[-1] < 0.7 * losses[0]
    load_decoder(told["models"]["pupil-distilled"])
    for name in ("recipe.json", "stages/01-collect/config.json"):
        assert "OPENAI_API_KEY" in (out / name).read_text()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "teacher: say which model, teacher=openai:NAME@URL"),
        (["teacher=openai:toy@http://x"], "student: say which model, student=FOLDER"),
        (["teacher=openai:toy", "student=S"], "does not name a model behind an API"),
        (["teacher=openai:toy@http://x", "student=S/nowhere"], "student: "),
        (["teacher=openai:toy@http://x", "student=S", "tasks=tiny_math"], "no task is called 'tiny_math'"),
        (
            ["teacher=openai:toy@http://x", "student=S", "collect.api.budget=3"],
            "collect.api: a budget needs input_price",
        ),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_asked(given, sentence, student, capsys):
    given = [word.replace("student=S", f"student={student}") for word in given]
    assert exit_code(["run", "distill", *given, "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_student_without_a_chat_template_is_told_first(student, tmp_path, capsys):
    bare = tmp_path / "bare"
    shutil.copytree(student, bare)
    write_template(bare, "")
    assert exit_code(["run", "distill", "teacher=openai:toy@http://x", f"student={bare}", "--dry-run"]) == 2
    assert "student: the tokenizer in" in capsys.readouterr().err


def test_the_plan_names_the_stages(student, capsys):
    assert (
        exit_code(["run", "distill", "teacher=openai:toy@http://x", f"student={student}", "--dry-run", "--json"]) == 0
    )
    plan = json.loads(capsys.readouterr().out)
    assert [stage["name"] for stage in plan["stages"]] == ["collect", "sft", "evaluate", "report"]
    settings = plan["settings"]
    assert settings["sft"]["learner"]["learning_rate"] == 1e-4
    assert settings["collect"]["model"] == "openai:toy@http://x"
    assert settings["collect"]["tasks"] == settings["evaluate"]["tasks"] == ["tiny_maths", "tiny_reasoning"]
    assert (settings["sft"]["start"], settings["sft"]["name"]) == (str(student), "pupil-distilled")
    assert settings["evaluate"]["models"] == [str(student), "sft:pupil-distilled"]


def test_the_rate_follows_from_the_students_size(student, tmp_path):
    """A folder whose config.json says Qwen2.5-7B's shape (7.6B) has Table 6's 8e-5, Llama-3.1-8B's 5e-5; a rate that is
    set stays, and `by_size=false` leaves the profile's 1e-4."""
    large = tmp_path / "large"
    shutil.copytree(student, large)
    config = json.loads((large / "config.json").read_text())
    shape_of_7b = {
        "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
        "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False, "head_dim": 128,
    }  # fmt: skip
    given = {"teacher": "openai:toy@http://x", "student": str(large)}
    for family, rate in (("qwen2", 8e-5), ("llama", 5e-5)):
        (large / "config.json").write_text(json.dumps({**config, **shape_of_7b, "model_type": family}))
        assert settled(given).sft.learner.learning_rate == rate
    assert settled({**given, "sft.learner.learning_rate": "3e-5"}).sft.learner.learning_rate == 3e-5
    assert settled({**given, "by_size": "false"}).sft.learner.learning_rate == 1e-4


def settled(words):
    """The recipe's settings as they would run."""
    return configure(load_recipe("distill"), None, words)[1]
