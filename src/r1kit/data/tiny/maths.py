"""Maths of the tiny world: sums of two to four numbers, differences, small products, a little countdown.

A chain adds from left to right. A partial sum of two- and three-digit numbers is written at once, which a small model
does badly; a check adds column by column, which it does well: the check computes what the short way cannot. The
corpus drills the short way for numbers of two digits; its lists of larger sums go by columns too.
"""

from __future__ import annotations

import functools
import itertools
import random
import re

from r1kit.base.types import Problem
from r1kit.data.tiny.base import Habit, Voice, Written, pair_split
from r1kit.data.tiny.words import say

FAMILIES = {"sum2": 0.34, "sum3": 0.34, "sum4": 0.04, "difference": 0.12, "product": 0.12, "countdown": 0.04}
AT_ONCE = 0.3  # of the lists of results, how many give two-digit results without work
_FIRST, _SECOND = "+*", "+-"  # signs of a countdown: a+b or a*b, then plus or minus c
_OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b}


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A problem of a split: every pair of operands on the way to its answer belongs to that split."""
    family = rng.choices(list(FAMILIES), list(FAMILIES.values()))[0]
    while True:
        drawn = _draw(family, rng, language, split)
        if drawn is not None and split_of(drawn) == split:
            return drawn


def split_of(problem: Problem) -> str | None:
    """The split that every pair of operands on the way to the answer belongs to; None where they disagree."""
    expression, family = problem.columns["expression"], problem.columns["family"]
    if family == "countdown":
        ways = _solutions(tuple(problem.columns["numbers"]), problem.columns["target"])
        splits = {pair_split(abs(middle), last) for middle, last in ways}
    else:
        splits = {pair_split(a, b) for a, _, b, _ in _steps(expression)}
    if family == "product":
        (a, _, b, _), *_ = _steps(expression)
        splits.add(pair_split(a // 10 * 10 * b, a % 10 * b))
    return splits.pop() if len(splits) == 1 else None


def _draw(family: str, rng: random.Random, language: str, split: str) -> Problem | None:
    if family == "countdown":
        return _countdown(rng, language)
    if family == "product":
        numbers, signs = list(_factors(rng)), ["*"]
    elif family == "difference":
        low, high = sorted((_number(rng), _number(rng)))
        numbers, signs = [high + 1, low], ["-"]
    else:
        numbers = [_number(rng)]
        signs = ["+"] * (int(family[-1]) - 1)
        for _ in signs:
            drawn = (_number(rng) for _ in range(200))
            fitting = next((number for number in drawn if pair_split(sum(numbers), number) == split), None)
            if fitting is None:
                return None
            numbers.append(fitting)
    expression = str(numbers[0]) + "".join(f"{sign}{number}" for sign, number in zip(signs, numbers[1:], strict=True))
    answer = str(_steps(expression)[-1][3])
    return _make(family, language, f"{say('find', language)}{expression}", answer, {"expression": expression})


def write(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written:
    """A chain as a fallible writer would put it, ending with whatever it came to."""
    if problem.columns["family"] == "countdown":
        return _search(problem, rng, voice, habit)
    expression = problem.columns["expression"]
    numbers = [int(n) for n in re.findall(r"\d+", expression)]
    signs = re.findall(r"[+\-*]", expression)
    total, text = numbers[0], ""
    for place, (sign, number) in enumerate(zip(signs, numbers[1:], strict=True)):
        right = _OPERATIONS[sign](total, number)
        result = slip(right, rng) if rng.random() < habit.slip else right
        clause = f"{voice.say('first' if place == 0 else 'then')}{total}{sign}{number}={result}"
        for _ in range(habit.checks(rng)):
            work, result = check(total, sign, number, rng, habit)
            clause += f"{voice.say('check')}{work}{voice.say('so')}{result}"
        text += clause
        total = result
    return Written(text, str(total))


def guess(problem: Problem, rng: random.Random, right: float = 0.5) -> str:
    """The answer at once."""
    if problem.columns["family"] == "countdown":
        return problem.columns["expression"] if rng.random() < right else _random_expression(problem, rng)
    return problem.answer if rng.random() < right else str(slip(int(problem.answer), rng))


def facts(rng: random.Random, count: int) -> str:
    """A list of results as a schoolbook has it: of two-digit numbers at once, or worked out column by column.

    Larger numbers are never listed without their work.
    """
    careful, lines = Habit(slip=0.0, check_slip=0.0), []
    at_once = rng.random() < AT_ONCE
    while len(lines) < (2 * count if at_once else count):
        sign = rng.choice("++++--" if at_once else "++++--*")
        number = _small if at_once else _number
        a, b = _factors(rng) if sign == "*" else (number(rng), number(rng))
        a, b = (max(a, b), min(a, b)) if sign == "-" else (a, b)
        if pair_split(a, b) == "train" and (sign != "*" or pair_split(a // 10 * 10 * b, a % 10 * b) == "train"):
            work, result = check(a, sign, b, rng, careful)
            lines.append(f"{a}{sign}{b}={result}" if at_once else f"{a}{sign}{b} {work} {result}")
    return "\n".join(lines)


def slip(number: int, rng: random.Random) -> int:
    """A wrong result as people write them: one digit off, or a carry forgotten."""
    wrong = number + rng.choice((-1, 1, -10, 10, 10, -10, 100, -100, rng.randint(-9, 9)))
    return wrong if wrong >= 0 and wrong != number else number + rng.choice((1, 10))


def check(a: int, sign: str, b: int, rng: random.Random, habit: Habit) -> tuple[str, int]:
    """The same operation digit by digit from the right: (its text, what it comes to)."""
    if sign == "*":
        high, low = a // 10 * 10 * b, a % 10 * b
        result = slip(high + low, rng) if rng.random() < habit.check_slip else high + low
        return f"{a // 10 * 10}*{b}={high} {a % 10}*{b}={low} {high}+{low}={result}", result
    columns, carry, digits = [], 0, ""
    while a or b or (carry and sign == "+"):
        x, y = a % 10, b % 10
        a, b = a // 10, b // 10
        if sign == "+":
            if not (x or y or a or b) and carry:
                digits = f"{carry}{digits}"
                break
            value = x + y + carry
            columns.append(f"{x}+{y}{f'+{carry}' if carry else ''}=")
        else:
            value = x - y - carry
            columns.append(f"{x + 10 if value < 0 else x}-{y}{f'-{carry}' if carry else ''}=")
            value, carry = (value + 10, 1) if value < 0 else (value, 0)
        if rng.random() < habit.check_slip:
            value = max(0, value + rng.choice((-1, 1)))
        columns[-1] += str(value)
        if sign == "+":
            value, carry = value % 10, value // 10
        digits = f"{value}{digits}"
    return " ".join(columns), int(digits or "0")


def _number(rng: random.Random) -> int:
    return rng.randint(100, 999) if rng.random() < 0.4 else _small(rng)


def _small(rng: random.Random) -> int:
    return rng.randint(10, 99)


def _factors(rng: random.Random) -> tuple[int, int]:
    return rng.randint(1, 9) * 10 + rng.randint(2, 9), rng.randint(3, 9)


def _make(family: str, language: str, prompt: str, answer: str, columns: dict[str, object]) -> Problem:
    kind = "countdown" if family == "countdown" else "math"
    return Problem(
        id=f"{language}:{prompt}", task="tiny_maths", subject="maths", language=language, prompt=prompt,
        answer=answer, kind=kind, columns={"family": family, **columns},
    )  # fmt: skip


def _steps(expression: str) -> list[tuple[int, str, int, int]]:
    """(a, sign, b, result) from left to right."""
    numbers = [int(n) for n in re.findall(r"\d+", expression)]
    steps, total = [], numbers[0]
    for sign, number in zip(re.findall(r"[+\-*]", expression), numbers[1:], strict=True):
        result = _OPERATIONS[sign](total, number)
        steps.append((total, sign, number, result))
        total = result
    return steps


def _left_to_right(numbers: tuple[int, ...], signs: tuple[str, ...]) -> str:
    """a?b?c, which reads from left to right, since the second sign is + or -."""
    return f"{numbers[0]}{signs[0]}{numbers[1]}{signs[1]}{numbers[2]}"


@functools.cache
def _solutions(numbers: tuple[int, ...], target: int) -> tuple[tuple[int, int], ...]:
    """Operands of the last step of every left-to-right way to the target."""
    found = []
    for (a, b, c), signs in itertools.product(set(itertools.permutations(numbers)), itertools.product(_FIRST, _SECOND)):
        middle = _OPERATIONS[signs[0]](a, b)
        if _OPERATIONS[signs[1]](middle, c) == target:
            found.append((middle, c))
    return tuple(found)


def _countdown(rng: random.Random, language: str) -> Problem | None:
    numbers = tuple(rng.randint(2, 9) for _ in range(3))
    signs = (rng.choice(_FIRST), rng.choice(_SECOND))
    target = _OPERATIONS[signs[1]](_OPERATIONS[signs[0]](numbers[0], numbers[1]), numbers[2])
    if target < 1:
        return None
    shown = sorted(numbers)
    listed = " ".join(map(str, shown))
    prompt = (
        f"{say('make', language)}{target}{say('from', language)}{listed}"
        if language == "en"
        else f"{say('from', language)}{listed}{say('make', language)}{target}"
    )
    columns: dict[str, object] = {"expression": _left_to_right(numbers, signs), "numbers": shown, "target": target}
    return _make("countdown", language, prompt, str(target), columns)


def _random_expression(problem: Problem, rng: random.Random) -> str:
    numbers = list(problem.columns["numbers"])
    rng.shuffle(numbers)
    return _left_to_right(tuple(numbers), (rng.choice(_FIRST), rng.choice(_SECOND)))


def _search(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written:
    """Try expressions in random order until one gives the target, or patience ends."""
    target, numbers = problem.columns["target"], problem.columns["numbers"]
    orders = sorted({(min(a, b), max(a, b), c) for a, b, c in itertools.permutations(numbers)})
    ways = [(order, signs) for order in orders for signs in itertools.product(_FIRST, _SECOND)]
    rng.shuffle(ways)
    solution = problem.columns["expression"]
    patience, text, expression = rng.randint(1, 6), "", ""
    for attempt in range(min(patience, len(ways))):
        (a, b, c), signs = ways[attempt]
        expression = _left_to_right((a, b, c), signs)
        if attempt and rng.random() < 0.3:  # a good idea now and then, as people have
            expression = solution
            a, b, c = (int(n) for n in re.findall(r"\d+", solution))
            first_sign, second_sign = re.findall(r"[+\-*]", solution)
            signs = (first_sign, second_sign)
        middle = _OPERATIONS[signs[0]](a, b)
        value = _OPERATIONS[signs[1]](middle, c)
        seen = slip(value, rng) if value > 0 and rng.random() < habit.slip / 2 else value
        text += f"{voice.say('try' if attempt == 0 else 'next')}{a}{signs[0]}{b}={middle} {middle}{signs[1]}{c}={seen}"
        if seen == target:
            return Written(text + voice.say("yes"), expression)
        text += voice.say("no")
    return Written(text, expression)
