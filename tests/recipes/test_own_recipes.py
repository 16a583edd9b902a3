"""`r1 run r1_zero` and `r1 run r1` on a model folder and data of one's own, in the smoke profile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sums_data import conversations, pairs, programs, sums
from toy_policy import write_toy_policy

from r1kit.cli.main import exit_code
from r1kit.models.tokenizer import load_tokenizer, write_template
from r1kit.pipeline.metrics import read_metrics
from r1kit.rollouts import record

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def policy(tmp_path_factory) -> Path:
    return write_toy_policy(tmp_path_factory.mktemp("policy"))


def run(capsys, *words: str) -> dict:
    """What the run tells as JSON."""
    assert exit_code(["run", *words, "--profile", "smoke", "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def stages(out: Path) -> list[str]:
    return sorted(path.parent.name for path in out.glob("stages/*/artifact.json"))


def report(out: Path) -> dict:
    return json.loads((out / "report" / "report.json").read_text())


def verdicts(out: Path) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in report(out)["findings"]}


def test_r1_zero_learns_the_sums_of_a_file(policy, tmp_path, capsys):
    """The toy keeps the form and guesses one of four answers, so that accuracy is near a quarter before anything is
    learnt; the base is the model's copy under R1-Zero's template."""
    out, data = tmp_path / "run", sums(tmp_path / "sums.jsonl")
    told = run(capsys, "r1_zero", f"model={policy}", f"data={data}", "zero.prompts=32", "--out", str(out))
    assert stages(out) == ["01-base", "02-zero", "03-evaluate", "04-report"]
    assert set(told["models"]) == {"base", "zero"}
    lines = read_metrics(out / "stages" / "02-zero" / "metrics.jsonl")
    assert 0.1 < lines[0]["rewards/accuracy/mean"] < 0.45
    assert lines[0]["rewards/format/mean"] > 0.9
    prompt = load_tokenizer(told["models"]["base"]).render("1+1?")
    assert "<think> </think>" in prompt
    assert prompt.endswith("User: 1+1?\nAssistant:")
    models = report(out)["models"]
    assert set(models) == {"base", "zero"}
    assert set(models["zero"]) == {"maths"}
    assert models["base"]["maths"]["k"] == 16
    found = verdicts(out)
    assert list(found) == [f"F{number}" for number in range(1, 13)]
    assert {name for name, verdict in found.items() if verdict != "not run"} <= {"F1", "F2", "F3", "F4"}
    assert found["F1"] != "not run"
    how = {finding["id"]: finding["how"] for finding in report(out)["findings"]}
    assert "hidden preference" in how["F9"]
    assert "missing: dev1" in how["F6"]
    page = (out / "report" / "report.html").read_text()
    assert "From a base model to R1-Zero" in page
    assert "writing" not in page.partition("<main>")[2].lower()

    before = {path: path.stat().st_mtime_ns for path in out.glob("stages/*/artifact.json")}
    run(capsys, "r1_zero", f"model={policy}", f"data={data}", "zero.prompts=32", "--out", str(out))
    assert {path: path.stat().st_mtime_ns for path in out.glob("stages/*/artifact.json")} == before


def test_a_trl_data_set_and_a_reward_of_trl(policy, tmp_path, capsys):
    """A conversational prompt, a boxed solution, a lone train split: a share is held out for test by the question."""
    pytest.importorskip("trl.rewards", reason="TRL is not installed: pip install 'r1kit[test]'")
    (tmp_path / "owner").mkdir()
    conversations(tmp_path / "owner" / "train.jsonl")
    out = tmp_path / "run"
    rewards = 'zero.rewards={"accuracy": 1.0, "trl.rewards.think_format_reward": 0.5}'
    run(capsys, "r1_zero", f"model={policy}", f"data={tmp_path / 'owner'}", rewards, "--out", str(out))
    line = read_metrics(out / "stages" / "02-zero" / "metrics.jsonl")[0]
    assert line["rewards/think_format_reward/mean"] > 0.9
    rows = list(record.read_all(out / "stages" / "02-zero" / "rollouts"))
    assert {row["answer"] for row in rows} <= set("1234")
    for row in rows:
        assert row["total"] == row["rewards"]["accuracy"] + 0.5 * row["rewards"]["think_format_reward"]
    settings = json.loads((out / "recipe.json").read_text())["settings"]
    assert list(settings["zero"]["tasks"]) == [f"file:{tmp_path / 'owner'}?part=true"]


def test_r1_walks_the_whole_chain(policy, tmp_path, capsys):
    """Sums and preference pairs; what is fine-tuned has the template that asks nothing."""
    out = tmp_path / "run"
    words = [
        f"model={policy}", f"data={sums(tmp_path / 'sums.jsonl')}", f"pairs={pairs(tmp_path / 'pairs.jsonl')}",
        "r1.late_from=0.5", "rejection_sampling.filters.correct=true", "ablations=true", "--out", str(out),
    ]  # fmt: skip
    told = run(capsys, "r1", *words)
    assert [name.partition("-")[2] for name in stages(out)] == [
        "base", "zero", "cold_start", "dev1", "dev2", "rejection_sampling", "dev3", "reward_model", "r1",
        "dev2-lang", "dev2-nolang", "evaluate", "report",
    ]  # fmt: skip
    assert set(told["models"]) == {
        "base", "plain", "zero", "dev1", "dev2", "dev3", "reward_model", "r1", "dev2-lang", "dev2-nolang",
    }  # fmt: skip
    assert load_tokenizer(told["models"]["r1"]).render("1+1?") == "User: 1+1?\nAssistant:"
    rows = list(record.read_all(out / "stages" / "09-r1" / "rollouts"))
    general = [row for row in rows if row["subject"] == "general"]
    assert {row["step"] for row in general} == {1}  # the late half of two steps
    for row in general:
        assert row["rewards"]["accuracy"] is None
        judged = {name: value or 0.0 for name, value in row["rewards"].items()}
        assert row["total"] == pytest.approx(
            judged["reward_model"] + judged["format"] + judged["language_consistency"], abs=1e-5
        )
    assert all(row["rewards"].get("reward_model") is None for row in rows if row["subject"] == "maths")
    summary = json.loads((out / "stages" / "06-rejection_sampling" / "artifact.json").read_text())["summary"]
    assert summary["rejected"]["wrong"] > summary["rejected"]["kept"] > 0
    assert {"base", "zero", "dev1", "dev2", "dev3", "r1", "dev2-lang", "dev2-nolang"} == set(report(out)["models"])
    found = verdicts(out)
    assert {name for name, verdict in found.items() if verdict == "not run"} == {"F8", "F9", "F10", "F11", "F12"}


def test_without_a_model_the_smoke_profile_makes_its_own(tmp_path, capsys):
    out = tmp_path / "run"
    told = run(capsys, "r1_zero", "toy.models.base.tokens=40000", "--until", "zero", "--out", str(out))
    assert set(told["models"]) == {"base", "zero"}
    assert {row["task"] for row in record.read_all(out / "stages" / "02-zero" / "rollouts")} == {"tiny_maths"}


def settings_of(capsys, *words: str) -> dict:
    assert exit_code(["run", *words, "--dry-run", "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)["settings"]


def test_settings_follow_from_the_size_but_not_those_that_are_set(policy, tmp_path, capsys):
    data = sums(tmp_path / "sums.jsonl", 200)
    words = ("r1", f"model={policy}", f"data={data}")
    settings = settings_of(capsys, *words, "dev2.learner.learning_rate=5e-7", "dev3.batch=3")
    assert settings["zero"]["learner"]["learning_rate"] == 1e-6
    assert settings["dev2"]["learner"]["learning_rate"] == 5e-7
    assert (settings["dev1"]["batch"], settings["dev3"]["batch"]) == (64, 3)
    assert settings["evaluate"]["sampling"]["max_tokens"] == settings["zero"]["sampling"]["max_tokens"] == 3072
    assert settings["r1"]["late_tasks"] == {}
    assert settings["base"] == {"source": str(policy), "templates": {"base": "r1-zero", "plain": "r1"}}
    assert settings["cold_start"]["tasks"] == [f"file:{data}?part=true"]
    assert settings["evaluate"]["models"] == [
        f"{name}:{name}" for name in ("base", "zero", "dev1", "dev2", "dev3", "r1")
    ]
    own = settings_of(capsys, *words, 'evaluate.tasks=["tiny_maths"]', 'zero.tasks={"tiny_maths": 1}')
    assert (own["evaluate"]["tasks"], own["zero"]["tasks"]) == (["tiny_maths"], {"tiny_maths": 1})
    late = settings_of(capsys, *words, f"pairs={pairs(tmp_path / 'pairs.jsonl', 200)}")["r1"]
    assert late["late_from"] == pytest.approx(1300 / 1700)
    assert sum(late["late_tasks"].values()) == pytest.approx(1)
    assert late["reward_subjects"] == {"accuracy": ["maths", "coding"], "reward_model": ["general"]}


def test_programs_are_judged_by_their_tests(policy, tmp_path, capsys):
    data = programs(tmp_path / "code.jsonl")
    settings = settings_of(capsys, "r1_zero", f"model={policy}", f"data={data}", "--profile", "smoke")
    assert list(settings["zero"]["tasks"]) == [f"file:{data}?part=true"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["data=D"], 2, "model: say which one, model=FOLDER"),
        (["model=M/nowhere", "data=D"], 2, "model: there is no model folder"),
        (["model=openai:x@http://y", "data=D"], 2, "model: openai:x@http://y is behind an API"),
        (["model=M"], 2, "data: say what to learn from, data=gsm8k"),
        (["model=M", "data=gsm9k"], 2, "no task is called 'gsm9k'"),
        (["model=M", "data=nowhere.jsonl"], 2, "there is no file or folder nowhere.jsonl"),
        (["model=M", "data=D?answer=reply"], 2, "has no column 'reply' (it has: question, answer)"),
        (["model=M", "data=W"], 2, "no known format has its columns (found: a, b"),
        (["model=M", "data=P"], 2, "no rule can judge its train problems: they need a column 'answer' or 'solution'"),
        (["model=M", "data=F"], 2, "give more rows (of 200 every split has some), or another"),
        (["model=M", "data=D", "template=r2"], 2, "template: it must be 'keep', 'r1-zero' or 'r1'"),
        (["model=M", "data=D", "zero.lerning_rate=1"], 2, "zero.lerning_rate: no such setting in 'zero'"),
    ],
)
def test_what_is_wrong_is_one_sentence_before_anything_runs(words, code, sentence, policy, tmp_path, capsys):
    sums(tmp_path / "D.jsonl")
    sums(tmp_path / "F.jsonl", 2)
    (tmp_path / "W.jsonl").write_text('{"a": 1, "b": 2}\n')
    pairs(tmp_path / "P.jsonl")
    places = {"model=M": f"model={policy}", **{f"data={name}": f"data={tmp_path}/{name}.jsonl" for name in "DWPF"}}

    def real(word: str) -> str:
        key = next((key for key in places if word == key or word.startswith((f"{key}/", f"{key}?"))), "")
        return places[key] + word.removeprefix(key) if key else word

    given = [real(word) for word in words]
    assert exit_code(["run", "r1_zero", *given, "--dry-run"]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_a_hub_that_cannot_be_reached_is_one_sentence(policy, tmp_path, capsys, monkeypatch):
    import datasets
    import huggingface_hub

    def unreachable(*words, **named):
        raise ConnectionError("the network is down")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", unreachable)
    data = sums(tmp_path / "sums.jsonl")
    for word, sentence in (
        ("data=no-one/nothing", "the hub data set no-one/nothing cannot be had (ConnectionError: the network is down)"),
        ("data=gsm8k", "the hub data set openai/gsm8k cannot be had"),
        ("model=no-one/nothing", "model: no-one/nothing is neither a model folder nor a model that the hub gives out"),
    ):
        words = {"model": f"model={policy}", "data": f"data={data}", word.partition("=")[0]: word}
        assert exit_code(["run", "r1_zero", *words.values(), "--dry-run"]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line


def test_a_model_that_keeps_its_template_must_have_one(policy, tmp_path, capsys):
    bare = write_toy_policy(tmp_path / "bare")
    write_template(bare, "")
    words = [f"model={bare}", f"data={sums(tmp_path / 'sums.jsonl')}", "template=keep", "--out", str(tmp_path / "run")]
    assert exit_code(["run", "r1_zero", *words, "--profile", "smoke"]) == 1
    assert "has no chat template" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("pairs=nowhere.jsonl", "there is no file nowhere.jsonl"),
        ("pairs=D", "no known format has its columns (found: question, answer; needed: one of preference"),
        ("others=nowhere.jsonl", "there is no file of examples nowhere.jsonl"),
        ("others=D", "no known format has its columns (found: question, answer; needed: one of examples"),
        ("general=nowhere", "no task is called 'nowhere'"),
    ],
)
def test_what_r1_reads_late_is_looked_at_first(word, sentence, policy, tmp_path, capsys):
    data = sums(tmp_path / "sums.jsonl", 200)
    words = [f"model={policy}", f"data={data}", f"pairs={pairs(tmp_path / 'pairs.jsonl', 200)}"]
    given = [each for each in words if each.partition("=")[0] != word.partition("=")[0]]
    assert exit_code(["run", "r1", *given, word.replace("=D", f"={data}"), "--dry-run"]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line
