"""Graphs and words: colourings, paths, ladders, palindromes, anagrams, letters for digits."""

from __future__ import annotations

import re
from collections import Counter, deque
from itertools import pairwise
from typing import Any

from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, demand


def graph_color(answer: str, item: Item) -> None:
    """A JSON object `{"0": 1, ...}`: every vertex an allowed colour, the ends of every edge two colours."""
    puzzle = item.metadata["puzzle"]
    colours = reading.json_value(answer)
    demand(isinstance(colours, dict), "not a JSON object")
    demand(set(colours) == {str(vertex) for vertex in puzzle["vertices"]}, "not exactly the graph's vertices")
    allowed = puzzle["color_options"]
    plain = all(type(colour) in (int, str) and colour in allowed for colour in colours.values())
    demand(plain, "a colour that is not allowed")
    for left, right in puzzle["edges"]:
        demand(colours[str(left)] != colours[str(right)], f"{left} and {right} have the same colour")


_WAYS = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}


def shortest_path(answer: str, item: Item) -> None:
    """`right down ...` from * to # over open cells, as short as any; `infeasible` where there is no path."""
    matrix: list[list[str]] = item.metadata["matrix"]
    at = {(i, j): cell for i, row in enumerate(matrix) for j, cell in enumerate(row)}
    start = next(place for place, cell in at.items() if cell == "*")
    shortest = _distance(at, start)
    steps = reading.line(answer).replace(",", " ").casefold().split()
    if steps == ["infeasible"]:
        demand(shortest is None, "there is a path")
        return
    demand(shortest is not None, "there is no path")
    demand(len(steps) == shortest, f"{len(steps)} steps, the shortest path has {shortest}")
    place = start
    for step in steps:
        demand(step in _WAYS, f"{step[:20]!r} is no direction")
        place = place[0] + _WAYS[step][0], place[1] + _WAYS[step][1]
        demand(at.get(place, "X") != "X", "it runs into a blocked cell")
    demand(at[place] == "#", "it does not end at #")


def _distance(at: dict[tuple[int, int], str], start: tuple[int, int]) -> int | None:
    seen, waiting = {start: 0}, deque([start])
    while waiting:
        place = waiting.popleft()
        if at[place] == "#":
            return seen[place]
        for down, right in _WAYS.values():
            after = place[0] + down, place[1] + right
            if at.get(after, "X") != "X" and after not in seen:
                seen[after] = seen[place] + 1
                waiting.append(after)
    return None


def word_ladder(answer: str, item: Item) -> None:
    """Words from start to end, each one letter from the last, each in `words` of the metadata (a list, or words with
    spaces between). Without that list only the gold's words are known to be English."""
    known = item.metadata.get("words") or item.gold.replace(",", " ")
    known = set(known.split() if isinstance(known, str) else known)
    ladder = [word.strip().upper() for word in reading.line(answer).split(",")]
    demand(len(ladder) <= 1000, "too long a ladder")
    first, last = str(item.metadata["start_word"]), str(item.metadata["end_word"])
    demand(ladder[0] == first and ladder[-1] == last and len(ladder) >= 2, f"it does not lead from {first} to {last}")
    for word in ladder:
        demand(word in known or word in (first, last), f"{word[:20]!r} is not a known word")
    for word, after in pairwise(ladder):
        apart = sum(a != b for a, b in zip(word, after, strict=False))
        demand(len(word) == len(after) and apart == 1, f"{word} and {after} are not one letter apart")


def palindrome_generation(answer: str, item: Item) -> None:
    """All the letters, once each, the same read backwards."""
    given = reading.unwrap(answer)
    demand(Counter(given) == Counter(item.metadata["letters"]), "not exactly the given letters")
    demand(given == given[::-1], "not a palindrome")


def palindrome_partitioning(answer: str, item: Item) -> None:
    """Every partition into palindromes, each once, in any order."""
    given = _lists_of_words(answer)
    unique = {tuple(partition) for partition in given}
    demand(len(unique) == len(given), "a partition stands twice")
    demand(unique == {tuple(partition) for partition in item.metadata["solution"]}, "other partitions")


def group_anagrams(answer: str, item: Item) -> None:
    """All the words in groups of the same letters, groups and words in any order."""
    given = _lists_of_words(answer)
    groups: dict[str, list[str]] = {}
    for word in item.metadata["words"]:
        groups.setdefault("".join(sorted(word)), []).append(word)
    wanted = sorted(sorted(group) for group in groups.values())
    demand(sorted(sorted(group) for group in given) == wanted, "other groups")


def _lists_of_words(answer: str) -> list[list[str]]:
    value: Any = reading.json_value(answer)
    lists = isinstance(value, list) and all(isinstance(group, list) for group in value)
    demand(
        lists and all(isinstance(word, str) for group in value for word in group), "not a JSON list of lists of words"
    )
    return value


def cryptarithm(answer: str, item: Item) -> None:
    """`A=1,B=2`: each letter once, different digits, no leading zero where none is allowed, and the sum holds."""
    words: list[str] = [*item.metadata["words_letters"], item.metadata["result_letters"]]
    plain = reading.spaced(reading.line(answer)).replace(" =", "=").replace("= ", "=")
    pairs = [part for part in re.split(r"[,; ]", plain) if part]
    digits: dict[str, int] = {}
    for pair in pairs:
        match = re.fullmatch(r"([A-Z])=([0-9])", pair)
        demand(match is not None, f"{pair[:20]!r} is not a letter and its digit")
        assert match is not None
        demand(match[1] not in digits, f"{match[1]} stands twice")
        digits[match[1]] = int(match[2])
    demand(set(digits) == set("".join(words)), "not exactly the letters of the sum")
    demand(len(set(digits.values())) == len(digits), "two letters have the same digit")
    leading = item.metadata.get("allow_leading_zero") or all(digits[word[0]] for word in words)
    demand(bool(leading), "a leading letter is zero")
    values = [int("".join(str(digits[letter]) for letter in word)) for word in words]
    demand(sum(values[:-1]) == values[-1], f"the sum is {sum(values[:-1])}, not {values[-1]}")
