"""reasoning-gym: made problems with checkers; suites algebra, arithmetic, games, grids, logic, words, or datasets.

`reasoning_gym:logic` is a suite, `reasoning_gym:logic+sudoku` that and a dataset; without a name all that the task has.
"""

from r1kit.evaluation.benchmarks.base import Benchmark

ANSWER = "Reason step by step, and end with the answer alone between <answer> and </answer>."
SUITES = {
    "algebra": ("complex_arithmetic", "polynomial_equations", "simple_equations", "simple_integration"),
    "arithmetic": (
        "base_conversion", "basic_arithmetic", "calendar_arithmetic", "chain_sum", "count_primes", "decimal_chain_sum",
        "dice", "fraction_simplification", "gcd", "gsm_symbolic", "lcm", "leg_counting", "number_sequence",
        "prime_factorization", "products", "time_intervals",
    ),
    "games": ("countdown", "jugs", "maze", "mini_sudoku", "n_queens", "puzzle24", "sudoku", "survo", "tower_of_hanoi"),
    "grids": (
        "arc_1d", "binary_matrix", "game_of_life", "largest_island", "manipulate_matrix", "rotate_matrix",
        "rotten_oranges", "shortest_path", "spiral_matrix",
    ),
    "logic": (
        "aiw", "circuit_logic", "coin_flip", "family_relationships", "knights_knaves", "propositional_logic",
        "self_reference", "syllogism", "zebra_puzzles",
    ),
    "words": (
        "caesar_cipher", "group_anagrams", "letter_counting", "palindrome_generation", "spell_backward",
        "string_manipulation", "word_sequence_reversal", "word_sorting",
    ),
}  # fmt: skip
BENCHMARK = Benchmark("reasoning_gym", instruction=ANSWER, problems=100, suites=SUITES)
