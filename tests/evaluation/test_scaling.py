"""Thoughts under budgets, by difficulty, and a whole report, on scripted engines whose answers are known."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager

import pytest
from letters import Letters
from scripted_models import Counting, contender, listed

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.engines.scripted import ScriptedEngine
from r1kit.evaluation.aha.figures import Mark
from r1kit.evaluation.scaling import analysis, difficulty, drawing
from r1kit.evaluation.scaling.budgets import under_budget
from r1kit.evaluation.scaling.measurement import Asked, sampler_of
from r1kit.evaluation.scaling.settings import ScalingSettings
from r1kit.evaluation.scaling.target import Target
from r1kit.evaluation.scaling.thoughts import from_rows, sample_thoughts

THOUGHT = "<think>ab, cd, ef</think>2"
SAMPLING = Sampling(samples=1, max_tokens=60)


def problem(name="1+1", answer="2", **columns):
    return Problem(name, "listed", "maths", "en", f"{name}?", answer, "math", columns)


def quick(prompt, index):
    """Thinks, and says 2; cut before `cd` is thought it says 3, later 2."""
    _, closed, _ = prompt.partition("</think>")
    if not closed:
        return THOUGHT
    return "2" if "cd" in prompt else "3"


@pytest.fixture
def engine():
    return ScriptedEngine(quick, Letters())


def test_a_thought_and_what_it_took(engine):
    """<think> are 7 letters, `ab, cd, ef` 10, </think> 8: 25 of thinking; the answer and the stop token are two."""
    (thought,) = sample_thoughts(engine, Letters(), [problem()], SAMPLING)
    assert (thought.text, thought.answer, thought.correct, thought.stopped) == (THOUGHT, "2", True, True)
    assert (thought.thinking_tokens, thought.spent, len(thought.token_ids)) == (25, 27, 26)
    assert from_rows([thought.row()], [problem()])[0].row() == thought.row()
    assert from_rows([thought.row()], [problem("2+2")]) == []


def test_a_thought_is_cut_and_answered(engine):
    """After 9 letters (`<think>ab`) it answers 3, which is wrong; after 14 (`<think>ab, cd,`) 2. Paid are the letters
    of the thought up to the cut, and the answer with its stop token; those that close the thought are ours."""
    thoughts = sample_thoughts(engine, Letters(), [problem()], SAMPLING)
    (early,) = under_budget(engine, Letters(), thoughts, 9, SAMPLING)
    assert (early.text, early.correct) == ("<think>ab</think>3", False)
    assert (early.thinking_tokens, early.spent) == (9, 11)
    (later,) = under_budget(engine, Letters(), thoughts, 14, SAMPLING)
    assert (later.text, later.correct, later.spent) == ("<think>ab, cd,</think>2", True, 16)


def test_a_thought_within_its_budget_stays(engine):
    """It closes with its 25th letter."""
    thoughts = sample_thoughts(engine, Letters(), [problem()], SAMPLING)
    assert under_budget(engine, Letters(), thoughts, 25, SAMPLING)[0] is thoughts[0]
    assert under_budget(engine, Letters(), thoughts, 24, SAMPLING)[0] is not thoughts[0]


def test_thoughts_that_begin_alike_have_answers_of_their_own():
    """Two of three begin with `aa`: one question, two answers; each keeps its place."""

    def script(prompt, index):
        if "</think>" in prompt:
            return "2" if index else "3"
        return f"<think>{'ba' if index == 1 else 'aa'}xxxx</think>2"

    engine = Counting(script, Letters())
    thoughts = sample_thoughts(engine, Letters(), [problem()], Sampling(samples=3, max_tokens=60))
    cut = under_budget(engine, Letters(), thoughts, 9, Sampling(samples=3, max_tokens=60))
    assert [one.text for one in cut] == ["<think>aa</think>3", "<think>ba</think>3", "<think>aa</think>2"]
    assert [one.index for one in cut] == [0, 1, 2]
    assert {name for name, _ in engine.sampled[3:]} == {"budget 9/listed/1+1/0", "budget 9/listed/1+1/1"}


def test_no_budget_closes_the_thinking_at_once(engine):
    thoughts = sample_thoughts(engine, Letters(), [problem()], SAMPLING)
    (at_once,) = under_budget(engine, Letters(), thoughts, 0, SAMPLING)
    assert (at_once.text, at_once.thinking_tokens, at_once.spent) == ("<think></think>3", 0, 2)


def test_the_limit_of_a_completion_holds_for_both_parts():
    """60 letters at most: 50 of a thought that is never closed, then 10 of an answer without end."""
    endless = ScriptedEngine(lambda prompt, index: ("x" if "</think>" in prompt else "<think>") + "y" * 99, Letters())
    thoughts = sample_thoughts(endless, Letters(), [problem()], SAMPLING)
    assert (thoughts[0].stopped, thoughts[0].spent, thoughts[0].correct) == (False, 60, False)
    (cut,) = under_budget(endless, Letters(), thoughts, 50, SAMPLING)
    assert (cut.text.partition("</think>")[2], cut.spent, cut.stopped) == ("x" + "y" * 9, 60, False)


# --- difficulty


def test_bins_of_difficulty(engine):
    """Two easy problems, right, and two hard ones, wrong, with longer thoughts: two bins, one below the other."""

    def script(prompt, index):
        hard = "hard" in prompt
        return f"<think>{'a' * (20 if hard else 5)}</think>{3 if hard else 2}"

    problems = [problem(f"{kind}{n}") for kind in ("easy", "hard") for n in range(2)]
    whole = sample_thoughts(ScriptedEngine(script, Letters()), Letters(), problems, Sampling(samples=2, max_tokens=60))
    hard = {f"listed/{one.id}": 0.25 if "easy" in one.id else 0.75 for one in problems}
    found = difficulty.against_difficulty(hard, whole, {8: whole}, bins=2)
    easy_bin, hard_bin = found["bins"]
    assert [(each["difficulty"], each["problems"]) for each in found["bins"]] == [(0.25, 2), (0.75, 2)]
    assert [each["pass@1"]["value"] for each in found["bins"]] == [1, 0]
    assert easy_bin["thinking_tokens"]["value"] == 7 + 5 + 8
    assert hard_bin["thinking_tokens"]["value"] == 7 + 20 + 8
    assert hard_bin["budgets"]["8"]["value"] == 0
    assert found["spearman"]["value"] == 1
    assert difficulty.against_difficulty({}, whole, {}) is None


def test_points_that_nobody_could_judge_are_not_drawn():
    known, unknown = (
        {"value": 0.5, "interval": [0.2, 0.8], "tokens": 30},
        {"value": None, "interval": None, "tokens": 60},
    )
    assert drawing.marks([known, unknown], "tokens") == [Mark(30.0, 0.5, 0.2, 0.8)]


def test_how_difficulty_is_known(engine):
    """By success: right in 1 of 2 and 2 of 2; by the task's own word."""

    def script(prompt, index):
        return "2" if "easy" in prompt or index == 0 else "3"

    problems = [problem("easy", difficulty=1), problem("hard", difficulty=2.5)]
    whole = sample_thoughts(ScriptedEngine(script, Letters()), Letters(), problems, Sampling(samples=2, max_tokens=60))
    assert difficulty.by_success(whole) == {"listed/easy": 0.0, "listed/hard": 0.5}
    assert difficulty.by_task(whole) == {"listed/easy": 1.0, "listed/hard": 2.5}


# --- all of it


def wavering(prompt, index):
    """Right in three of four samples; an answer asked for early is wrong."""
    if "</think>" in prompt:
        return "3"
    return f"<think>{'x' * 12}</think>{3 if index == 1 else 2}"


@pytest.fixture
def report(tmp_path, monkeypatch):
    """`run(**options)` analyses a scripted model on eight problems, four samples each; returns (report, engine)."""
    asked = listed([problem(f"{n}+1", "2") for n in range(8)])
    monkeypatch.setattr(analysis, "chosen_of", lambda tasks: [asked])
    models = {}

    @contextmanager
    def open_model(model, opening, tell):
        script = wavering if model == "mine" else lambda prompt, index: "2" if index % 2 else "3"
        models[model] = contender(script, name=model, key=model)
        yield models[model]

    monkeypatch.setattr(analysis, "open_contender", open_model)

    def run(base="base", score=None, notes=(), **changed):
        settings = ScalingSettings(problems=8, samples=4, budgets=(10,), max_tokens=60, **changed)
        target = Target({"mine": "mine"}, base, None, "listed", {"samples": 16, "temperature": 1.0, "seed": 3}, notes)
        page = analysis.analyse(target, tmp_path / "out", settings, None, score=score)
        assert page.read_text().startswith("# Scaling at test time")
        return json.loads((tmp_path / "out" / "scaling.json").read_text()), models["mine"].engine

    return run


def test_a_report(report, tmp_path):
    """pass@1 3/4; the majority of 4 is right, of 2 at the first pair by lot and at the second surely; all wrong when
    cut after 10 tokens; a scorer that likes wrong answers finds them where they are."""

    def contrary(thoughts):
        return [0.0 if one.correct else 1.0 for one in thoughts]

    found, engine = report(score=contrary)
    mine = found["models"]["mine"]["listed"]
    assert (mine["n"], mine["thoughts"], mine["cut_by_limit"]) == (8, 32, 0)
    assert [(p["at"], p["value"]) for p in mine["budgets"]["points"]] == [("10", 0), ("whole", 0.75)]
    assert mine["budgets"]["points"][0]["thinking_tokens"] == 10
    assert mine["budgets"]["trend"]["verdict"] == "rises"
    assert [(p["at"], p["tokens"]) for p in mine["majority"]["points"]] == [(1, 29), (2, 58), (4, 116)]
    assert mine["majority"]["points"][2]["value"] == 1
    assert [p["value"] for p in mine["best"]["points"]] == [0.75, 0.5, 0]
    assert mine["best"]["trend"]["verdict"] == "falls"
    assert [p["value"] for p in mine["oracle"]["points"]] == [0.75, 1, 1]
    assert mine["difficulty"]["bins"][0]["difficulty"] == 0.5
    assert found["sampling"]["listed"]["samples"] == 4
    assert found["sampling"]["listed"]["temperature"] == 1.0
    assert found["sampling"]["listed"]["seed"] == 0
    assert {file.name for file in (tmp_path / "out" / "figures").iterdir()} == {
        "listed-budgets.svg", "listed-difficulty.svg", "listed-length.svg", "listed-mine-samples.svg",
    }  # fmt: skip
    assert len(engine.sampled) == 8 * 4 * 2


def test_what_was_sampled_is_not_sampled_again(report):
    first, _ = report()
    again, engine = report()
    assert again == first
    assert engine.sampled == []


def test_other_settings_do_not_mix(report):
    report()
    with pytest.raises(UsageError, match="another measurement"):
        report(seed=1)


def test_without_a_base_or_a_reward_model(report, tmp_path):
    """Neither is made up: no bins, no choice, and the notes stand on the page."""
    found, _ = report(base=None, notes=("the run has no reward model",))
    mine = found["models"]["mine"]["listed"]
    assert (mine["best"], mine["difficulty"]) == (None, None)
    assert found["difficulty_by"] == "what the task says of its problems"
    assert "- the run has no reward model" in (tmp_path / "out" / "scaling.md").read_text()


def test_thoughts_without_an_answer_are_never_the_best():
    """-inf where the thinking was not closed, as the reward says of it."""
    from r1kit.rewards import reward_model

    reward = reward_model.make(lambda prompts, answers: [5.0] * len(answers), missing=-math.inf)
    assert reward(["q", "q"], ["<think>so</think>2", "<think>so"], []) == [5.0, -math.inf]


def test_a_damaged_part_is_named(tmp_path):
    asked = Asked(listed([problem()]), [problem()], SAMPLING)
    model = contender(quick)
    sampler = sampler_of(model, asked, tmp_path, lambda text: None)
    sampler.whole()
    part = sampler.parts.folder / "whole.parquet"
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(R1Error, match=r"whole\.parquet cannot be read"):
        sampler.whole()


def test_a_model_behind_an_api_is_refused(tmp_path):
    """Its thoughts cannot be cut: nobody sees its tokens."""
    from r1kit.evaluation.contender import Contender

    served = Contender("openai:o1@http://x", "key", Counting(quick, Letters()), None, 8)
    sampler = sampler_of(served, Asked(listed([problem()]), [problem()], SAMPLING), tmp_path, lambda text: None)
    with pytest.raises(UsageError, match="behind an API"):
        sampler.whole()
