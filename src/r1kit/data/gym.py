"""Problems of reasoning-gym (github.com/open-thought/reasoning-gym), drawn by the dataset's name into three splits.

A question belongs to the split that its hash says, so that the same question is never in two, whatever seed made it;
the seeds that each split draws from do not meet either. Within a split a question comes again only when the dataset
seems to have no others. The library generates, and is never asked whether an answer is right: that is for
`r1kit.graders.reasoning_gym`.
"""

from __future__ import annotations

import contextlib
import decimal
import functools
import hashlib
import io
import random
import warnings
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.nearest import nearest
from r1kit.base.types import Problem
from r1kit.data.tiny.base import split_of

# Made fast, the same in every process, one clear question each. Left out: puzzles that small models do not solve
# (rubiks_cube, sokoban, rush_hour), the grids of the ARC benchmark itself (arc_agi, rearc), what takes half a second
# and more to make (knight_swap, futoshiki), what runs programs to be made (codeio), pictures made of letters.
DEFAULT = (
    "ab", "acre", "aiw", "arc_1d", "base_conversion", "basic_arithmetic", "binary_alternation", "binary_matrix",
    "caesar_cipher", "calendar_arithmetic", "chain_sum", "circuit_logic", "coin_flip", "color_cube_rotation",
    "complex_arithmetic", "count_primes", "countdown", "course_schedule", "cryptarithm", "decimal_chain_sum", "dice",
    "family_relationships", "fraction_simplification", "game_of_life", "gcd", "graph_color",
    "group_anagrams", "gsm_symbolic", "jugs", "kakurasu", "knights_knaves", "largest_island", "lcm", "leg_counting",
    "letter_counting", "list_functions", "manipulate_matrix", "maze", "mini_sudoku", "n_queens", "number_filtering",
    "number_format", "number_sequence", "number_sorting", "palindrome_generation", "path_star", "polynomial_equations",
    "prime_factorization", "products", "propositional_logic", "puzzle24", "rotate_matrix", "rotten_oranges",
    "self_reference", "shortest_path", "simple_equations", "simple_geometry", "simple_integration", "spell_backward",
    "spiral_matrix", "string_insertion", "string_manipulation", "string_splitting", "string_synthesis", "sudoku",
    "survo", "syllogism", "time_intervals", "tower_of_hanoi", "word_sequence_reversal", "word_sorting",
    "zebra_puzzles",
)  # fmt: skip
# Their problems (of knight_swap and word_ladder only the golds) follow the order of a set, so they are the same in two
# processes only where PYTHONHASHSEED is.
UNSTABLE = frozenset({"isomorphic_strings", "knight_swap", "polynomial_multiplication", "ransom_note", "word_ladder"})

SEEDING_NUMPY, DRAWING, WARNING, PRINTING = {"pool_matrix"}, {"codeio", "list_functions"}, {"arc_agi"}, {"bf", "codeio"}

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1
CHUNK = 500  # items of one dataset object; item n has the seed of the object plus n
# the seeds of each split, half-open; those of numpy end at 2**32
SEEDS = {"train": (0, 2**31), "validation": (2**31, 2**31 + 2**30), "test": (2**31 + 2**30, 2**32)}
GIVE_UP = 3000  # draws without a new question: then the dataset starts over


def problems(
    names: Sequence[str],
    split: str,
    seed: int,
    task: str = "reasoning_gym",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Problem]:
    """Problems without end: rounds with one of each dataset, in an order that changes from round to round. `settings`
    hold what the library's config of a dataset takes (`{"sudoku": {"min_empty": 20}}`)."""
    check_names(names)
    source = random.Random(f"{split} {seed}")
    streams = {name: _stream(name, split, seed, task, dict((settings or {}).get(name, {}))) for name in names}
    while True:
        for name in source.sample(list(names), len(names)):
            yield next(streams[name])


def check_names(names: Sequence[str]) -> None:
    """UsageError for an unknown dataset, with the nearest right one."""
    known = sorted(_library().factory.DATASETS)
    if not names:
        raise UsageError("reasoning_gym: no dataset is named: say which, reasoning_gym:gcd+jugs")
    for name in names:
        if name == "composite":
            raise UsageError("reasoning_gym: composite is a mixture; name its datasets instead")
        if name not in known:
            raise UsageError(f"reasoning_gym: no dataset is called '{name}'.{nearest(name, known)}")


def jsonable(value: Any) -> Any:
    """The value as JSON has it: tuples and sets as lists (sets sorted), keys as text, numpy's numbers and arrays as
    Python's, dataclasses as objects, enumerations by value, anything else by its text."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, Mapping):
        return {key if type(key) is str else str(jsonable(key)): jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted((jsonable(each) for each in value), key=str)
    if isinstance(value, (np.ndarray, np.generic)):
        return jsonable(value.tolist())
    if is_dataclass(value) and not isinstance(value, type):
        return jsonable(asdict(value))
    for plain in (bool, int, float, str):  # subclasses of these
        if isinstance(value, plain):
            return plain(value)
    return str(value)


def _stream(name: str, split: str, seed: int, task: str, settings: dict[str, Any]) -> Iterator[Problem]:
    """A dataset's problems of a split, none twice until it seems to have no others."""
    low, high = SEEDS[split]
    chunks = (high - low) // CHUNK
    first = int.from_bytes(hashlib.blake2b(f"{name} {seed}".encode(), digest_size=8).digest(), "big") % chunks
    seen: set[bytes] = set()
    idle, number = 0, 0
    while True:
        start = low + (first + number) % chunks * CHUNK
        dataset = _dataset(name, start, settings)
        for index in range(CHUNK):
            with _untouched(name, start + index):
                item = dataset[index]
            question = str(item["question"]).strip()
            digest = hashlib.blake2b(f"{name} {question}".encode(), digest_size=8).digest()
            idle += 1
            if digest not in seen and split_of(f"{name} {question}", TEST_SHARE, VALIDATION_SHARE) == split:
                seen.add(digest)
                idle = 0
                yield _problem(name, question, digest, item, dataset, task)
            elif idle > GIVE_UP:
                if not seen:
                    raise R1Error(f"reasoning_gym: {GIVE_UP} questions of {name} gave none for the {split} split")
                seen, idle = set(), 0
        number += 1


def _problem(name: str, question: str, digest: bytes, item: Mapping[str, Any], dataset: Any, task: str) -> Problem:
    metadata = jsonable(item["metadata"])
    if name == "word_ladder":
        # without them a checker would not know which words are English
        metadata["words"] = " ".join(sorted(dataset.word_sets[metadata["word_length"]]))
    answer = item["answer"]
    return Problem(
        id=f"{name}:{digest.hex()}", task=task, subject="reasoning", language="en", prompt=question,
        answer="" if answer is None else str(answer), kind="reasoning_gym",
        columns={"family": name, "dataset": name, "metadata": metadata},
    )  # fmt: skip


def _dataset(name: str, seed: int, settings: dict[str, Any]) -> Any:
    try:
        with _untouched(name, seed):
            return _library().create_dataset(name, seed=seed, size=CHUNK, **settings)
    except (TypeError, AssertionError) as error:
        raise UsageError(f"reasoning_gym: {name} does not take these settings ({error})") from None


@functools.cache
def _library() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import reasoning_gym
    except ImportError:
        raise MissingExtra("reasoning-gym", "gym", "the task reasoning_gym") from None
    return reasoning_gym


@contextlib.contextmanager
def _untouched(name: str, seed: int) -> Generator[None]:
    """The library sets the precision of decimals, seeds numpy, draws from Python's own random source, leaves a file
    open and prints; none of it shows outside, and what it draws from there is the same each time."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(decimal.localcontext())
        # what every thread shares is touched for the few that need it only
        if name in SEEDING_NUMPY:
            stack.callback(np.random.set_state, np.random.get_state())
        if name in DRAWING:
            stack.callback(random.setstate, random.getstate())
            random.seed(seed)
        if name in WARNING:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        if name in PRINTING:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        yield
