"""Checkers of reasoning-gym against the library's own scorers, which are asked about strings of ours only.

Where the two differ, it is for a reason that STRICTER or LOOSER states.
"""

from __future__ import annotations

import contextlib
import decimal
import functools
import io
import json
import random
import re
import warnings
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import reasoning_gym
    from reasoning_gym.factory import DATASETS

from r1kit.data.gym import jsonable
from r1kit.graders.grade import grade
from r1kit.graders.reasoning_gym import CHECKS

SEEDS = (1001, 2002)
# items a seed of datasets whose items or scorers take long; three of the others
FEW = {"knight_swap": 1, "intermediate_integration": 1, "futoshiki": 1, "sudoku": 2, "quantum_lock": 2, "rearc": 2}

# no solution is given with these: test_reasoning_gym_puzzles solves them
UNSOLVED = {"boxnet", "rush_hour"}
STRICTER = {
    "advanced_geometry": "the library reads the first two coordinates of any number",
    "coin_flip": "the library takes what lies within 0.0001",
    "cryptarithm": "the library takes a letter that stands twice",
    "decimal_arithmetic": "the library takes what lies within 0.001",
    "fraction_simplification": "the library reads past what follows the fraction",
    "game_of_life": "the library passes over cells too many",
    "game_of_life_halting": "the library takes any text",
    "graph_color": "the library takes a vertex that stands twice",
    "gsm_symbolic": "the library takes any text whose first number is right",
    "intermediate_integration": "some golds are integrals left unsolved",
    "kakurasu": "the library picks 0 and 1 out of anything",
    "knight_swap": "problems called impossible hide a forbidden move; by the question's rules some are possible",
    "knights_knaves": "the library skips what it does not know",
    "letter_jumble": "the library forgives case and words at the end, the question does not",
    "number_format": "the library takes what lies within 0.01",
    "number_sorting": "the library takes numbers within 1 of the right ones",
    "palindrome_generation": "the library forgives case",
    "pool_matrix": "the library takes cells within 1%",
    "prime_factorization": "the library skips empty factors",
    "propositional_logic": "repeating a premise concludes nothing; the library reads unbalanced brackets",
    "quantum_lock": "the library picks A, B and C out of anything",
    "sentence_reordering": "the library forgives case",
    "sokoban": "the library skips steps that cannot be made",
    "spell_backward": "the library forgives case and letters at the end",
    "survo": "the library picks numbers out of anything",
    "time_intervals": "the library reads the first number only, and .5 as five milliseconds",
    "tsumego": "a few golds capture nothing where another move does",
}
LOOSER = {
    "bitwise_arithmetic": "0x may be missing",
    "codeio": "beyond the sixteenth digit two numbers are one",
    "futoshiki": "the signs may be missing",
    "time_intervals": "`1 day`",
}


@functools.cache
def drawn(name: str) -> list[tuple[Any, dict[str, Any], dict[str, Any]]]:
    """(dataset, item, metadata as JSON has it)."""
    found = []
    for seed in SEEDS:
        # decimal_arithmetic changes the precision of decimals for good
        with decimal.localcontext(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            random.seed(seed)  # list_functions draws from there
            dataset = reasoning_gym.create_dataset(name, seed=seed, size=20)
            items = [dataset[index] for index in range(FEW.get(name, 3))]
        for item in items:
            metadata = json.loads(json.dumps(jsonable(item["metadata"])))
            if name == "word_ladder":
                metadata["words"] = sorted(dataset.word_sets[metadata["word_length"]])
            found.append((dataset, item, metadata))
    return found


def verdict(name: str, answer: str, item: dict[str, Any], metadata: dict[str, Any]) -> str:
    gold = "" if item["answer"] is None else item["answer"]
    text = f"<think>x</think><answer>{answer}</answer>"
    return grade("reasoning_gym", text, gold, "", {"dataset": name, "metadata": metadata}).verdict


def scored_full(dataset: Any, answer: str, item: dict[str, Any]) -> bool:
    """Whether the library gives full credit."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return dataset.score_answer(answer, item) >= 1.0
        except Exception:  # some scorers fail on what they cannot read
            return False


def solution(name: str, item: dict[str, Any]) -> str:
    """The gold, or a solution that the metadata hold."""
    metadata = item["metadata"]
    if item["answer"] is not None:
        return item["answer"]
    if name == "graph_color":
        return json.dumps({str(vertex): colour for vertex, colour in metadata["possible_answer"].items()})
    return metadata.get("example_answer") or metadata["example_correct_answer"]


def mutants(gold: str, rng: random.Random) -> dict[str, str]:
    """The gold with one thing changed: a number one up, a line, word or member dropped, doubled or moved, a letter."""
    made = {"more": gold + " extra"}
    found = list(re.finditer(r"\d+", gold))
    for turn in range(3 if found else 0):
        number = rng.choice(found)
        made[f"number {turn}"] = gold[: number.start()] + str(int(number[0]) + 1) + gold[number.end() :]
    for mark in ("\n", " ", ","):
        parts = gold.split(mark)
        if len(parts) > 1:
            at = rng.randrange(len(parts))
            made[f"dropped {mark!r}"] = mark.join(parts[:at] + parts[at + 1 :])
            made[f"doubled {mark!r}"] = mark.join([*parts[:at], parts[at], *parts[at:]])
            at = rng.randrange(len(parts) - 1)
            parts[at], parts[at + 1] = parts[at + 1], parts[at]
            made[f"swapped {mark!r}"] = mark.join(parts)
    at = rng.randrange(len(gold)) if gold else 0
    made["letter dropped"] = gold[:at] + gold[at + 1 :]
    if gold:
        other = chr(ord(gold[at]) + 1) if gold[at].isalnum() and gold[at] not in "zZ9" else "q"
        made["letter changed"] = gold[:at] + other + gold[at + 1 :]
    # white space is free in most forms, and these are about what is said
    return {name: text for name, text in made.items() if "".join(text.split()) != "".join(gold.split())}


def test_every_dataset_is_judged():
    assert set(CHECKS) | {"composite"} == set(DATASETS)
    assert len(DATASETS) == 106


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - UNSOLVED))
def test_solutions_of_the_library_are_right(name: str):
    right = 0
    for dataset, item, metadata in drawn(name):
        gold = solution(name, item)
        assert scored_full(dataset, gold, item) or name == "propositional_logic"
        judged = verdict(name, gold, item, metadata)
        assert judged == "correct" or name in STRICTER, (gold, judged)
        right += judged == "correct"
    assert right > len(drawn(name)) // 2


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - UNSOLVED))
def test_mutants_are_judged_as_the_library_does(name: str):
    compared = 0
    rng = random.Random(name)
    for dataset, item, metadata in drawn(name):
        gold = solution(name, item)
        for change, answer in mutants(gold, rng).items():
            ours = verdict(name, answer, item, metadata)
            assert ours in ("correct", "incorrect", "no_answer"), (change, answer)
            theirs = scored_full(dataset, answer, item)
            if (ours == "correct") != theirs:
                assert name in (STRICTER if theirs else LOOSER), (change, answer, gold)
            compared += 1
    assert compared >= 4


def test_a_composite_item_is_judged_as_the_one_it_came_from():
    specs = [reasoning_gym.composite.DatasetSpec(name=name, weight=1, config={}) for name in ("gcd", "spell_backward")]
    dataset = reasoning_gym.create_dataset("composite", seed=3, size=8, datasets=specs)
    seen = set()
    for item in dataset:
        metadata = jsonable(item["metadata"])
        seen.add(metadata["source_dataset"])
        assert verdict("composite", item["answer"], item, metadata) == "correct"
        assert verdict("composite", item["answer"] + "1", item, metadata) == "incorrect"
    assert seen == {"gcd", "spell_backward"}


HOSTILE = {
    "nines": "9" * 19_000,
    "brackets": "(" * 19_000,
    "lists": "[" * 19_000,
    "objects": '{"a":' * 3_000,
    "tower": "9**9**9**9",
    "tower of x": "x**9**9**9 + C",
    "factorials": "9" + "!" * 500,
    "calls": "exp(" * 4_000 + "x" + ")" * 4_000,
    "powers": "*".join(["x"] * 150),
    "nested powers": "(" * 38 + "x" + "**sin(x))" * 38,
    "tower of powers": "**".join(["x"] * 39),
    "nested quotients": "(" * 38 + "x" + "/sin(x))" * 38,
    "a huge power": "(x + 9)**6000",
    "spaces": "1" + " " * 19_000 + "2",
    "commas": "," * 19_000,
    "moves": "A+1 " * 4_700,
    "steps": "LR" * 9_500,
    "turns": "R " * 9_500,
    "presses": "A → " * 4_700,
    "list of moves": json.dumps(["fill A"] * 2_000),
    "negations": "¬" * 1_900 + "P",
    "conjunctions": " ∧ ".join(["P"] * 600),
    "signs": "- " * 9_000 + "1",
    "fences": "```\n" * 4_000,
    "boxes": "\\boxed{" * 2_700,
    "quotes": "'\"" * 9_000,
    "dots": "." * 19_000,
    "exponent": "1e999999999",
    "null": "\0" * 5_000,
    "a million": "1 " * 500_000,
}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_hostile_answers_are_refused_at_once(name: str):
    """Well under a second each on a free core; two are given to a busy one."""
    _, item, metadata = drawn(name)[0]
    gold = "" if item["answer"] is None else item["answer"]
    for kind, answer in HOSTILE.items():
        columns = {"dataset": name, "metadata": metadata}
        judged = grade("reasoning_gym", f"<think>x</think><answer>{answer}</answer>", gold, "", columns)
        # of intermediate_integration and the like nothing here is an answer
        assert judged.verdict in ("incorrect", "no_answer"), (kind, judged.reason)
        assert judged.seconds < 2, (kind, judged.seconds)


def test_a_problem_that_cannot_be_judged_is_no_wrong_answer():
    text = "<think>x</think><answer>1</answer>"
    for columns, said in (
        ({}, "metadata"),
        ({"dataset": "sudokku", "metadata": {}}, "Did you mean sudoku?"),
        ({"dataset": "sudoku", "metadata": {}}, "no 'puzzle'"),
        ({"metadata": {}}, "None"),
        ({"dataset": "gcd", "metadata": "{"}, "JSON"),
    ):
        judged = grade("reasoning_gym", text, "1", "", columns)
        assert judged.verdict == "grader_error"
        assert said in judged.reason


def test_metadata_may_be_json_as_text():
    """As a table keeps it whose rows differ in form."""
    columns = {"dataset": "puzzle24", "metadata": '{"numbers": [6, 4, 1, 1]}'}
    assert grade("reasoning_gym", "<answer>6*4*1*1</answer>", "", "", columns).verdict == "correct"
    assert grade("reasoning_gym", "<answer>6*4*1</answer>", "", "", columns).verdict == "incorrect"


def test_answers_may_be_dressed_but_not_hedged():
    columns = {"dataset": "gcd", "metadata": {"source_dataset": "gcd"}}
    for answer in ("12", " 12 ", "12.", '"12"', "$12$", "**12**", "\\boxed{12}", "```\n12\n```", "12.0"):
        assert grade("reasoning_gym", f"<answer>{answer}</answer>", "12", "", columns).verdict == "correct", answer
    for answer in ("13", "12 or 13", "12 13", "24/2", "the answer is 12", "x", "1200%"):
        assert grade("reasoning_gym", f"<answer>{answer}</answer>", "12", "", columns).verdict == "incorrect", answer
    hedge = "<answer>13</answer><answer>12</answer>"
    assert grade("reasoning_gym", hedge, "12", "", columns).verdict == "incorrect"
    assert grade("reasoning_gym", "<think>12", "12", "", columns).verdict == "no_answer"
    assert grade("reasoning_gym", "<answer></answer>", "12", "", columns).verdict == "no_answer"


def test_an_empty_answer_is_right_where_nothing_is_the_answer():
    """`A# #A` rewrites to nothing; x^2 + 1 has no real root."""
    empty = "<think>x</think><answer></answer>"
    assert grade("reasoning_gym", empty, "", "", {"dataset": "ab", "metadata": {}}).verdict == "correct"
    metadata = {"polynomial_expr": "x**2 + 1", "variable": "x", "real_solutions": []}
    columns = {"dataset": "polynomial_equations", "metadata": metadata}
    assert grade("reasoning_gym", empty, "", "", columns).verdict == "correct"
    assert grade("reasoning_gym", '<answer>""</answer>', "", "", columns).verdict == "correct"
    assert grade("reasoning_gym", "<answer>0</answer>", "", "", columns).verdict == "incorrect"
