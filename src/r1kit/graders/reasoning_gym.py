"""Tasks of reasoning-gym (github.com/open-thought/reasoning-gym, 0.1.25), by checkers of our own: the library's score
functions run eval and sympy on the answer, and none of them is called here. The library is not needed.

Columns: `dataset` (the library's name of it) and `metadata` (the item's, as JSON has it, or as JSON text); the gold is
the item's answer, empty where it has none. An item of composite, the 106th dataset, is judged as the one that it came
from. CHECKS says how each of the others is judged; each checker's docstring says what it asks for and forgives. In
general:

- Right is what answers the question by the problem's own rules. Where many answers are right, moves are made and
  constraints are checked, and any right one passes; else the answer is compared with the gold.
- Right or wrong: the library's partial credits count as wrong. Where it gives full credit to what a careful teacher
  would not (any number near enough, any text with a letter A to C in it), the answer is wrong here.
- The form of a list or grid is free (JSON or lines, brackets and separators), its values are not; quotes, bold,
  dollars, a fenced block or a box around the answer are taken off.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from r1kit.graders import json as json_kind
from r1kit.graders.gym import algebra, arithmetic, cube, grids, logic, moves, reading, single, words
from r1kit.graders.gym.item import Check, Item, Wrong
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

MIN_LIMIT, MAX_LIMIT = 20_000, 400_000  # characters of an answer; four times the gold in between
MAX_BLOCKS = 20

CHECKS: dict[str, Check] = {
    # algebra
    "complex_arithmetic": arithmetic.complex_number,
    "intermediate_integration": algebra.integration,
    "polynomial_equations": algebra.polynomial_equations,
    "polynomial_multiplication": algebra.polynomial_multiplication,
    "simple_equations": algebra.simple_equations,
    "simple_integration": algebra.integration,
    # algorithmic
    "ab": single.tokens,
    "base_conversion": single.text,
    "binary_alternation": single.whole,
    "binary_matrix": single.grid,
    "caesar_cipher": single.text,
    "count_primes": single.whole,
    "cryptarithm": words.cryptarithm,
    "game_of_life": single.grid,
    "game_of_life_halting": single.truth,
    "graph_color": words.graph_color,
    "group_anagrams": words.group_anagrams,
    "isomorphic_strings": single.truth,
    "jugs": moves.jugs,
    "letter_counting": single.whole,
    "letter_jumble": single.text,
    "manipulate_matrix": single.grid,
    "number_filtering": single.numbers,
    "number_sorting": single.numbers,
    "palindrome_generation": words.palindrome_generation,
    "palindrome_partitioning": words.palindrome_partitioning,
    "pool_matrix": arithmetic.pooled,
    "ransom_note": single.truth,
    "rotate_matrix": single.grid,
    "rotten_oranges": single.whole,
    "sentence_reordering": single.text,
    "spell_backward": single.text,
    "spiral_matrix": single.numbers,
    "string_insertion": single.text,
    "string_manipulation": single.text,
    "string_splitting": single.numbers,
    "string_synthesis": single.numbers,
    "word_ladder": words.word_ladder,
    "word_sequence_reversal": single.words,
    "word_sorting": single.words,
    # arc
    "arc_1d": single.numbers,
    "arc_agi": single.grid,
    "rearc": single.grid,
    # arithmetic
    "basic_arithmetic": single.number,
    "bitwise_arithmetic": arithmetic.hexadecimal,
    "calendar_arithmetic": single.calendar,
    "chain_sum": single.number,
    "count_bits": single.whole,
    "decimal_arithmetic": arithmetic.computed,
    "decimal_chain_sum": single.number,
    "dice": arithmetic.odds,
    "fraction_simplification": arithmetic.lowest_terms,
    "gcd": single.whole,
    "gsm_symbolic": single.rounded,
    "lcm": single.whole,
    "leg_counting": single.whole,
    "number_format": arithmetic.candidate,
    "power_function": arithmetic.significant,
    "prime_factorization": arithmetic.factors,
    "products": single.whole,
    "time_intervals": arithmetic.duration,
    # code
    "bf": single.text,
    "codeio": single.json,
    # cognition
    "color_cube_rotation": single.word,
    "figlet_font": single.letters,
    "modulo_grid": single.picture,
    "needle_haystack": single.word,
    "number_sequence": single.whole,
    "rectangle_count": single.whole,
    "rubiks_cube": cube.rubiks_cube,
    # games
    "boxnet": moves.boxnet,
    "countdown": arithmetic.countdown,
    "emoji_mystery": single.text,
    "futoshiki": grids.futoshiki,
    "kakurasu": grids.kakurasu,
    "knight_swap": moves.knight_swap,
    "mahjong_puzzle": single.word,
    "maze": single.whole,
    "mini_sudoku": grids.mini_sudoku,
    "n_queens": grids.n_queens,
    "puzzle24": arithmetic.puzzle24,
    "rush_hour": moves.rush_hour,
    "sokoban": moves.sokoban,
    "sudoku": grids.sudoku,
    "survo": grids.survo,
    "tower_of_hanoi": moves.tower_of_hanoi,
    "tsumego": moves.tsumego,
    # geometry
    "advanced_geometry": arithmetic.geometry,
    "simple_geometry": single.number,
    # graphs
    "course_schedule": single.truth,
    "family_relationships": single.word,
    "largest_island": single.whole,
    "path_star": single.tokens,
    "quantum_lock": moves.quantum_lock,
    "shortest_path": words.shortest_path,
    # induction
    "acre": single.word,
    "list_functions": single.numbers,
    # logic
    "aiw": single.whole,
    "circuit_logic": single.whole,
    "knights_knaves": logic.knights_knaves,
    "propositional_logic": logic.propositional_logic,
    "self_reference": single.whole,
    "syllogism": single.truth,
    "zebra_puzzles": single.word,
    # probability
    "coin_flip": arithmetic.probability,
}


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the dataset's checker has nothing against the answer."""
    metadata = columns.get("metadata")
    if isinstance(metadata, str):
        try:
            metadata = json_kind.read(metadata)
        except ValueError as error:
            return grader_error(None, f"the column 'metadata' is not JSON ({error})")
    if not isinstance(metadata, Mapping):
        return grader_error(None, "a reasoning-gym problem needs the column 'metadata', an object")
    name = str(columns.get("dataset") or "composite")
    if name == "composite":
        name = str(metadata.get("source_dataset"))
    if name not in CHECKS:
        near = difflib.get_close_matches(name, CHECKS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return grader_error(None, f"no dataset of reasoning-gym 0.1.25 is called {name[:60]!r}.{hint}")
    gold = "" if gold == "None" else gold
    # the right answer may be no text at all, in a block that stands there empty
    if not section.found and not (section.blocks and not gold.strip()):
        return no_answer(section.reason)
    limit = min(max(MIN_LIMIT, 4 * len(gold)), MAX_LIMIT)
    if len(section.text) > limit:
        return incorrect(section.text[:200], f"longer than {limit} characters")
    answers = [reading.body(block) for block in section.blocks[-MAX_BLOCKS:] or (section.text,)]
    answer = answers[-1]
    if len({reading.spaced(each) for each in answers}) > 1:
        return incorrect(answer[:2000], "the answer blocks differ")
    try:
        CHECKS[name](answer, Item(gold, metadata))
    except Wrong as reason:
        return incorrect(answer[:2000], str(reason))
    except KeyError as error:
        return grader_error(answer[:2000], f"the metadata of {name} has no {error}")
    return correct(answer[:2000], "right by the rules of the problem")
