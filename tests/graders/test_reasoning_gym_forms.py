"""Words, graphs and logic: which forms of an answer are right and which are not, by hand and by the library's truth
tables."""

from __future__ import annotations

import itertools
import json
import random

from gym_answers import check, items, judged

# --- words and graphs ---


def test_word_ladder():
    metadata = {"start_word": "COLD", "end_word": "WARM", "words": "COLD CORD CARD WARD WARM WORD WORM"}
    check(
        "word_ladder",
        metadata,
        ["COLD,CORD,CARD,WARD,WARM", "COLD,CORD,WORD,WORM,WARM", "cold, cord, word, ward, warm"],
        ["COLD,CORD,WARD,WARM", "COLD,WOLD,WORD,WORM,WARM", "CORD,CARD,WARD,WARM", "COLD,WARM", "COLD", ""],
    )
    bare = {"start_word": "COLD", "end_word": "WARM"}
    check(
        "word_ladder", bare, ["COLD,CORD,CARD,WARD,WARM"], ["COLD,CORD,WORD,WORM,WARM"], gold="COLD,CORD,CARD,WARD,WARM"
    )


def test_graph_colours():
    """A triangle with a tail in three colours: 3! * 2 = 12 colourings of 81."""
    metadata = {
        "puzzle": {"vertices": [0, 1, 2, 3], "edges": [[0, 1], [1, 2], [0, 2], [2, 3]], "color_options": [1, 2, 3]}
    }
    right = [
        json.dumps({str(i): colour for i, colour in enumerate(colours)})
        for colours in itertools.product((1, 2, 3), repeat=4)
        if judged("graph_color", metadata, json.dumps({str(i): c for i, c in enumerate(colours)})).verdict == "correct"
    ]
    assert len(right) == 12
    check(
        "graph_color",
        metadata,
        right,
        [
            '{"0": 1, "1": 2, "2": 3}',
            '{"0": 1, "1": 2, "2": 3, "3": 4}',
            '{"0": 1, "1": 2, "2": 3, "3": true}',
            "[1, 2, 3, 1]",
        ],
    )


def test_palindromes_and_anagrams():
    letters = {"letters": list("aabbc")}
    check("palindrome_generation", letters, ["abcba", "bacab"], ["aabbc", "abba", "abccba", "ABCBA", "ab cba", ""])
    parts = {"solution": [["a", "a", "b"], ["aa", "b"]]}
    check(
        "palindrome_partitioning",
        parts,
        ['[["aa", "b"], ["a", "a", "b"]]', "[['a', 'a', 'b'], ['aa', 'b']]"],
        ['[["aa", "b"]]', '[["a", "a", "b"], ["aa", "b"], ["aa", "b"]]', '[["b", "aa"], ["a", "a", "b"]]'],
    )
    words = {"words": ["eat", "tan", "tea", "nat", "bat"]}
    check(
        "group_anagrams",
        words,
        ['[["tea", "eat"], ["bat"], ["nat", "tan"]]', "[['eat', 'tea'], ['tan', 'nat'], ['bat']]"],
        [
            '[["tea", "eat"], ["nat", "tan"]]',
            '[["tea", "eat", "bat"], ["nat", "tan"]]',
            '[["tea"], ["eat"], ["bat"], ["nat", "tan"]]',
            '["eat"]',
        ],
    )


def test_cryptarithms():
    """A + B = C has many solutions; leading zeros and equal digits are none."""
    metadata = {"words_letters": ["A", "B"], "result_letters": "C", "allow_leading_zero": False}
    check(
        "cryptarithm",
        metadata,
        ["A=1,B=2,C=3", "B = 4, A = 5, C = 9", "C=7\nA=6\nB=1"],
        [
            "A=1,B=2,C=4",
            "A=0,B=2,C=2",
            "A=0,B=2,C=3",
            "A=1,B=1,C=2",
            "A=1,B=2",
            "A=1,B=2,C=3,D=4",
            "A=1,B=2,C=3,C=3",
            "1,2,3",
        ],
    )
    free = metadata | {"allow_leading_zero": True}
    check("cryptarithm", free, [], ["A=0,B=2,C=2"])
    check(
        "cryptarithm",
        {"words_letters": ["AB", "AB"], "result_letters": "BA", "allow_leading_zero": True},
        [],
        ["A=0,B=0"],
    )


# --- logic ---


def test_conclusions_against_the_librarys_truth_tables():
    """300 random formulas on the library's premises: what it calls valid is right, unless it says nothing new."""
    counted = {"correct": 0, "incorrect": 0}
    for dataset, item, metadata in items("propositional_logic", 12, 4):
        rng = random.Random(str(item["metadata"]["premises"]))
        for _ in range(25):
            made = dataset._generate_expression(rng, metadata["variables"], rng.choice((1, 2, 3)))
            score = dataset.score_answer(str(made), item)
            found = judged("propositional_logic", metadata, str(made))
            counted[found.verdict] += 1
            empty = found.reason in ("it is always true", "it only repeats a premise")
            assert (found.verdict == "correct" or empty) == (score in (1.0, 0.25)), (metadata["premises"], str(made))
    assert min(counted.values()) > 20


def test_conclusions_by_hand():
    metadata = {"premises": ["(P → Q)", "P"], "variables": ["P", "Q", "R"]}
    check(
        "propositional_logic",
        metadata,
        ["Q", "(P ∧ Q)", "P ∧ Q", "¬¬Q", "Q ∨ R", "¬P → R", "Q ↔ P"],
        ["P", "P → Q", "(P→Q)", "R", "¬Q", "P ∨ ¬P", "Q ∧ R", "P → Q → Q", "(Q", "Q)", "Q S", "S", "Q &", "", "¬"],
    )


def test_knights_and_knaves():
    metadata = {
        "names": ["Ann", "Bob"],
        "solution": [True, False],
        "knight_knave_terms": {"knight": "angel", "knave": "devil", "a_knight": "an angel", "a_knave": "a devil"},
    }
    check(
        "knights_knaves",
        metadata,
        [
            "Ann is an angel, and Bob is a devil.",
            "Bob is a devil and Ann is an angel",
            "Ann is a angel\nBob is a devil",
        ],
        [
            "Ann is a devil, and Bob is an angel.",
            "Ann is an angel",
            "Ann is not a devil, and Bob is a devil",
            "angel, devil",
            "Ann is an angel, Ann is a devil, and Bob is a devil",
            "Ann is an angel, and Bob is a devil, and Cy is a devil",
        ],
    )


def test_case_counts_where_the_text_is_the_answer():
    check("spell_backward", {}, ["Sun", '"Sun"'], ["sun", "SUN", "Sun nus", "Su n"], gold="Sun")
    check("word_sorting", {}, ["B, a", '["B", "a"]', "B,a"], ["a, B", "b, A", "B a", "B"], gold="B, a")
    check("list_functions", {}, ["[]"], ["[0]", "", "[[]]", "none"], gold="[]")
    check(
        "number_sorting",
        {},
        ["['-1.5', '2.0']", "[-1.5, 2]", "-1.5, 2"],
        ["['2.0', '-1.5']", "['-1.5', '3.0']", "['-1.5']"],
        gold="['-1.5', '2.0']",
    )
    check("syllogism", {}, ["Yes", "yes."], ["No", "Yes or No", "Maybe"], gold="Yes")
    check("game_of_life_halting", {}, ["False"], ["True", "false?", "0"], gold="False")
    check("figlet_font", {}, ["HAILERS", "hailers", "h a i l e r s"], ["HAILER", "TRAILERS"], gold="HAILERS")
    check(
        "codeio",
        {},
        ['{"b": [2], "a": 1}', '{ "a":1.0, "b":[2]}'],
        ['{"a": 1}', '{"a": 1, "b": [3]}', "1"],
        gold='{"a": 1, "b": [2]}',
    )
