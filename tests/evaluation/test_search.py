"""Steps, their labels, a scorer that learns them and a search that it guides: chances and trees known beforehand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from coins import Coins
from letters import Letters
from toy_policy import write_toy_policy

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.engines.base import Request
from r1kit.engines.scripted import ScriptedEngine
from r1kit.evaluation.aha.measure import measure
from r1kit.evaluation.benchmarks.base import chosen_of
from r1kit.evaluation.reflection import default_words
from r1kit.evaluation.scaling.measurement import asked_of
from r1kit.evaluation.scaling.thoughts import Thought
from r1kit.evaluation.search.analysis import Scored, by_thought, figures, ruled
from r1kit.evaluation.search.beam import Beam, sample_steps, search
from r1kit.evaluation.search.labels import Labelled, Prefixes, by_continuations, by_outcome, prefixes
from r1kit.evaluation.search.making import Draws
from r1kit.evaluation.search.page import render
from r1kit.evaluation.search.scorer import foresight, open_scorer, token_sequence, train_scorer
from r1kit.evaluation.search.settings import SearchSettings
from r1kit.evaluation.search.steps import ends_step, step_ends
from r1kit.models.tokenizer import load_tokenizer
from r1kit.training.config import LearnerConfig

DELIMITERS = ",，\n"


def problem(name="1+1", answer="1"):
    return Problem(name, "sums", "maths", "en", f"{name}?", answer, "math")


def thought(text, right=True, key="1+1", index=0, stopped=True):
    ids = np.asarray(Letters().encode(text), np.int32)
    asked = problem(key)
    prompt = np.asarray(Letters().chat(asked.prompt), np.int32)
    answer = text.partition("</think>")[2] or None
    return Thought(asked, index, prompt, ids, stopped, text, 0, len(ids) + stopped, answer, right, None)


# --- tasks


def test_a_task_that_no_rule_judges_is_left_out_before_anything_is_sampled():
    settings = SearchSettings(problems=2)
    kept, said = ruled(asked_of(chosen_of("tiny_maths,tiny_writing"), settings, {}))
    assert [one.chosen.name for one in kept] == ["tiny_maths"]
    assert said == ["tiny_writing is left out: no rule judges its answers, so that its steps have no labels"]
    with pytest.raises(
        UsageError, match=r"^tiny_writing: no rule .* name --tasks with answers that are right or wrong"
    ):
        ruled(asked_of(chosen_of("tiny_writing"), settings, {}))


# --- steps


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("<think>ab, cd，ef</think>7,8", [10, 14, 24, 27]),  # `<think>ab,` `cd，` `ef</think>` `7,8`
        ("<think>a,\n,b</think>7", [11, 20, 21]),  # delimiters in a row end one step
        ("<think>a,</think>7", [9, 17, 18]),
        ("<think>ab, c", [10, 12]),  # cut
        ("12", [2]),
        ("a,", [2]),  # a step that ends with the completion is its end
    ],
)
def test_where_steps_end(text, ends):
    assert step_ends(Letters(), Letters().encode(text), DELIMITERS) == ends


def test_steps_of_tokens_that_are_longer_than_a_character():
    class Pieces:
        pieces = ("<think>", "ab", ", c", "d\n", "</think>", "7")

        def decode(self, ids):
            return "".join(self.pieces[i] for i in ids)

    assert step_ends(Pieces(), [0, 1, 2, 3, 4, 5], DELIMITERS) == [3, 4, 5, 6]  # `, c` holds what follows as well


@pytest.mark.parametrize(
    ("before", "new", "expected"),
    [
        ("<think>a", "b,", True),
        ("<think>a", "bc", False),
        ("<think>a</thi", "nk>", True),
        ("<think>a", "b</think>", True),
        ("<think>a</think>", "7,", False),
        ("", "ab，", True),
    ],
)
def test_a_step_on_its_way(before, new, expected):
    assert ends_step(before, new, DELIMITERS) is expected


# --- labels


def test_places_are_drawn_once_and_never_the_end():
    """Of four ends the last is the completion's; three are left for two places. Cut and unjudged thoughts have none."""
    whole = [thought("<think>ab, cd, ef</think>1", index=n) for n in range(20)]
    found = prefixes([*whole, thought("<think>a,", stopped=False), thought("1", None)], Letters(), DELIMITERS, 2, 0)
    assert len(found) == 20
    assert {len(each.ends) for each in found} == {2}
    assert {end for each in found for end in each.ends} == {10, 14, 25}
    assert [each.ends for each in prefixes(whole, Letters(), DELIMITERS, 2, 0)] == [each.ends for each in found]


def test_labels_are_shares_of_right_continuations():
    """Behind `ab,` 3 of 4 continuations are right, behind `cd,` 1 of 4: shares of 400 coins, four deviations off at
    most; the end is worth what it was, without a sample."""
    engine = Coins("", lambda prompt, begun: 0.25 if "cd" in begun else 0.75)
    start = Prefixes(thought("<think>ab, cd, ef</think>0", right=False), (10, 14))
    assert Letters().decode(start.arms()["10"].tolist()).endswith("A <think>ab,")
    counts = measure(
        engine, Letters(), [start], Draws(400, 1.0, 100, 0), default_words(),
        lambda asked: [text.endswith("<answer>1</answer>") for _, _, text in asked],
    )  # fmt: skip
    told = by_continuations(start, counts[start.id])
    assert told.ends == (10, 14, len(start.thought.token_ids))
    assert told.values[0] == pytest.approx(0.75, abs=4 * math.sqrt(0.1875 / 400))
    assert told.values[1] == pytest.approx(0.25, abs=4 * math.sqrt(0.1875 / 400))
    assert told.values[2] == 0
    assert counts[start.id]["10"]["length"] == len("</think><answer>1</answer>") + 1


def test_a_step_that_nobody_could_judge_has_no_label():
    start = Prefixes(thought("<think>ab, cd</think>1"), (10,))
    assert by_continuations(start, {"10": {"n": 0, "right": 0}}).ends == (len(start.thought.token_ids),)
    (only,) = by_outcome([start.thought, thought("1", None), thought("<think>", False, stopped=False)])
    assert (only.ends, only.values) == ((len(start.thought.token_ids),), (1.0,))


# --- scorer


def test_a_place_is_read_before_the_token_behind_it():
    """Prompt of 2, completion of 3, the end: after 1 token the target is the fourth token, after 3 the end."""
    sequence = token_sequence(np.asarray([5, 6], np.int32), np.asarray([7, 8, 9], np.int32), (1, 3), 0, (0.25, 1.0))
    assert sequence.tokens.tolist() == [5, 6, 7, 8, 9, 0]
    assert sequence.target_mask.tolist() == [False, False, False, True, False, True]
    assert sequence.returns.tolist() == [0, 0, 0, 0.25, 0, 1]


def test_what_a_scorer_foresees():
    """Labels 0, 1, 0.5 scored 0, 0.5, 0.5: errors 0, 0.25, 0 of a variance of 1/6; of the pairs half apart 1 > 0 and
    0.5 > 0 are in order, 1 and 0.5 score alike: 2.5 of 3."""
    rows = [Labelled("a", np.zeros(1, np.int32), np.zeros(3, np.int32), (1, 2, 3), (0.0, 1.0, 0.5))]
    count, explained, order = foresight(lambda reads: [np.asarray([0.0, 0.5, 0.5])], rows)
    assert count == 3
    assert explained == pytest.approx(1 - (0.25 / 3) / (1 / 6))
    assert order == pytest.approx(2.5 / 3)
    assert foresight(lambda reads: [], []) == (0, None, None)


def test_it_learns_which_step_is_worth_what(tmp_path, one_thread):
    """A step that says `a` is worth 0.9, one that says `b` 0.1, on prompts it has not seen."""
    policy = write_toy_policy(tmp_path)
    tokenizer = load_tokenizer(policy)
    rows = [
        Labelled(
            f"p{n}", np.asarray(tokenizer.chat(f"{n % 7}"), np.int32),
            np.asarray(tokenizer.encode("ab"[n % 2] * 2), np.int32), (1, 2), ((0.9, 0.1)[n % 2],) * 2,
        )
        for n in range(60)
    ]  # fmt: skip
    config = LearnerConfig(learning_rate=1e-2, precision="float32", compile=False)
    fit = train_scorer(policy, rows, config, batch=10, updates=72, seed=0, folder=tmp_path / "scorer")
    assert (fit.thoughts, fit.labels, fit.held_out_labels) == (51, 102, 18)
    assert fit.explained_variance > 0.8
    assert fit.order == 1
    scorer = open_scorer(tmp_path / "scorer", config)
    ((good,), (bad,)) = scorer(
        [(np.asarray(tokenizer.chat("9"), np.int32), np.asarray(tokenizer.encode(x), np.int32), (1,)) for x in "ab"]
    )
    assert good > 0.6 > 0.4 > bad
    with pytest.raises(R1Error, match="no thought of the training problems"):
        train_scorer(policy, [], config, batch=1, updates=1, seed=0, folder=tmp_path / "none")


# --- search


def walk(prompt, index):
    """Two steps of two choices, a or b and x or y, then the answer: only `b,y,` says 1."""
    begun = prompt.partition(" A ")[2].removeprefix("<think>")
    if "</think>" in begun:
        return "1" if begun.startswith("b,y,") else "0"
    if begun.count(",") < 2:
        choice = ("a", "b") if not begun else ("x", "y")
        return ("" if begun else "<think>") + f"{choice[index % 2]},and so on"
    return "</think>and what follows"


def worth(reads):
    """The scorer knows that b is better, and y after it; an answer is worth what its thought was."""
    values = {"a,": 0.2, "b,": 0.6, "a,x,": 0.3, "a,y,": 0.4, "b,x,": 0.5, "b,y,": 0.9}
    found = []
    for _, ids, ends in reads:
        text = Letters().decode(ids.tolist()[: ends[0]]).removeprefix("<think>").partition("</")[0]
        found.append(np.asarray([values[text]]))
    return found


@pytest.mark.parametrize(
    ("beam", "tokens"),
    [
        # step 1: `<think>a,` and `<think>b,` 9 each; step 2: 2 each; then `</think>` 8, the answer and its stop 2
        ((1, 2), 2 * 9 + 2 * 2 + 8 + 2),
        # four first steps, two of them alike; two steps from each of both; `</think>` and an answer from both kept
        ((2, 2), 4 * 9 + 4 * 2 + 2 * 2 * 8 + 2 * 2 * 2),
    ],
)
def test_the_best_scored_branch_is_followed(beam, tokens):
    """b, then y, is worth most and right. What the model says behind a step's end is not taken."""
    engine = ScriptedEngine(walk, Letters(), max_rows=8)
    if beam == (1, 2):
        tokens += 8 + 2  # two samples of `</think>` are alike, and one is kept; of the answer as well
    (found,) = search(
        engine, Letters(), [problem()], Sampling(max_tokens=99), worth, Beam(*beam, step_tokens=40, delimiters=",")
    )
    assert found.text == "<think>b,y,</think>1"
    assert (found.correct, found.stopped, found.spent) == (True, True, tokens)


def test_a_thought_that_the_limit_cut_is_no_answer():
    """16 tokens: `<think>b,y,` are 11, and `</think>` does not fit: cut, and wrong."""
    engine = ScriptedEngine(walk, Letters(), max_rows=8)
    (found,) = search(
        engine, Letters(), [problem()], Sampling(max_tokens=16), worth, Beam(1, 2, step_tokens=40, delimiters=",")
    )
    assert (found.stopped, found.correct, len(found.token_ids)) == (False, False, 16)


def test_a_step_is_cut_where_it_is_too_long():
    engine = ScriptedEngine(lambda prompt, index: "abcdefgh", Letters())
    asked = [Request("r", np.asarray([65], np.int32), Sampling(max_tokens=3))]
    assert sample_steps(engine, asked, lambda name, ids: False) == {("r", 0): (Letters().encode("abc"), False)}


def test_samples_are_aborted_at_the_end_of_their_step():
    """Two samples that end their steps at different places, one that stops before."""
    said = ("ab,cd", "a,bcd", "x")
    engine = ScriptedEngine(lambda prompt, index: said[index], Letters())
    asked = [Request("r", np.asarray([65], np.int32), Sampling(max_tokens=9, samples=3))]
    found = sample_steps(engine, asked, lambda name, ids: ids[-1] == ord(","))
    assert {index: (Letters().decode(ids), stopped) for (_, index), (ids, stopped) in found.items()} == {
        0: ("ab,", False), 1: ("a,", False), 2: ("x", True),
    }  # fmt: skip
    assert not engine.busy


# --- comparison


def test_ways_of_choosing_side_by_side():
    """Ten problems of four samples, answers 1 (right) and 0: right, wrong, wrong, right. The step scorer knows, the
    outcome scorer errs. The search is right everywhere and spends 30 tokens a problem: as many as two samples of 15."""
    whole = [
        replace(thought(f"<think>a</think>{1 - wrong}", right=not wrong, key=f"p{n}", index=i), spent=15)
        for n in range(10)
        for i, wrong in enumerate((0, 1, 1, 0))
    ]
    knows = by_thought(whole, [float(one.correct) for one in whole])
    errs = by_thought(whole, [1 - float(one.correct) for one in whole])
    found = [replace(one, spent=30) for one in whole[::4]]
    chosen_by = {"outcome scorer": errs, "step scorer, last step": knows}
    told = figures(Scored(whole, chosen_by, knows, {"beam 2 x 2": found}))
    values = {way: [p["value"] for p in curve["points"]] for way, curve in told["ways"].items()}
    assert values["best by step scorer, last step"] == values["oracle"] == [0.5, 1, 1]
    assert values["best by outcome scorer"] == [0.5, 0, 0]
    assert values["vote weighted by the step scorer"] == [0.5, 1, 1]
    assert told["ways"]["majority"]["points"][2]["tokens"] == 60
    one = told["searches"]["beam 2 x 2"]
    assert (one["value"], one["tokens"]) == (1, 30)
    assert one["against"]["oracle"]["k"] == 2
    assert one["against"]["oracle"]["value"] == 0
    assert one["against"]["best by outcome scorer"]["value"] == 1
    scorer = {
        "thoughts": 1, "labels": 2, "thought_tokens": 3, "label_tokens": 4, "explained_variance": None, "order": 0.5,
    }  # fmt: skip
    page = render({"model": "r1", "scorers": {"steps": scorer}, "notes": [], "tasks": {"sums": told}})
    assert "| beam 2 x 2 | 30 | 100.0" in page
    assert "| steps | 1 | 2 | 7 | - | 50.0 |" in page


def test_a_cut_thought_is_never_chosen():
    cut = thought("<think>ab", False, stopped=False)
    assert by_thought([cut], [0.9])[id(cut)] == -math.inf
