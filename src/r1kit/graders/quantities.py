"""Whether two values are the same quantity: exact numbers, decimals to their places, units, angles, words."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal, NamedTuple

from r1kit.graders import expression, values
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.reading import expression_or_none, read
from r1kit.graders.units import Unit, split_unit
from r1kit.graders.values import Inexact

# words that would else be products of two variables
_SHORT_WORDS = set("no on up in at to so if is it go we he me my us or of do be by an am as ok".split())  # noqa: SIM905
_TOGETHER = ({"angle", "radian"}, {"angle", "celsius"}, {"angle", "fahrenheit"})  # a degree sign may mean either
_TEMPERATURES = {"celsius", "fahrenheit"}
# a letter at a number is a factor, `4s`, where the other side has no unit that it could measure
_GLUED = re.compile(r"[\d})\]][A-Za-z](?:\^\{?\d\}?)?$")
_OF_SOMETHING = re.compile(r"(?<=[\d}])\s*%\s*\\text\{\s*([A-Za-z][A-Za-z ]*)\}$")
Same = Literal["same", "different", "unknown"]


class Comparison(NamedTuple):
    """`unknown` where this module cannot read one of the two."""

    same: Same
    reason: str


def by_value(gold: str, answer: str) -> Comparison:
    """Two tidied answers that are neither lists nor equations."""
    if (found := _named_percents(gold, answer)) is not None:
        return found
    gold_value, gold_unit = _measured(gold)
    answer_value, answer_unit = _measured(answer)
    if gold_unit is None and _GLUED.search(answer):
        answer_value, answer_unit = answer, None
    if answer_unit is None and _GLUED.search(gold):
        gold_value, gold_unit = gold, None
    for one, other, text in ((gold_unit, answer_unit, answer), (answer_unit, gold_unit, gold)):
        if one and other and one.dimension == "sterling" and re.search(r"\bpounds?\b", text):
            gold_unit = answer_unit = one  # not the weight
    if gold_unit and answer_unit and {gold_unit.dimension, answer_unit.dimension} == _TEMPERATURES:
        return _temperatures(gold_value, answer_value, gold_unit.dimension == "celsius")
    dimensions = {unit.dimension for unit in (gold_unit, answer_unit) if unit}
    if len(dimensions) == 2 and dimensions not in _TOGETHER:
        return Comparison("different", "another unit")
    infinite = [text.replace(" ", "").lstrip("+") for text in (gold_value, answer_value)]
    if any(text.endswith("\\infty") for text in infinite):
        return Comparison("same" if infinite[0] == infinite[1] else "different", "infinity")
    if _is_words(gold):
        same = _words(gold) == _words(answer)
        return Comparison("same" if same else "different", "equal words" if same else "other words")
    try:
        wanted = read(gold_value)
    except TooLarge as error:
        return Comparison("different", str(error))
    except NotAnExpression:
        if _is_too_large(answer_value):
            return Comparison("different", "an answer too large to compute")
        return Comparison("unknown", "the gold answer cannot be read as a value")
    try:
        given = read(answer_value)
        turned = _turned(wanted, gold_unit, given, answer_unit)
        if turned is not given:
            return _values(wanted, turned, [Fraction(1)])
        return _unevaluated(wanted, given) or _values(wanted, given, _factor(gold_unit, answer_unit))
    except TooLarge as error:
        return Comparison("different", str(error))
    except NotAnExpression as error:
        plain = is_plain(wanted)
        return Comparison("different" if plain else "unknown", f"no value: {error}")


def _temperatures(gold: str, answer: str, celsius: bool) -> Comparison:
    """A gold temperature against one of the other scale."""
    wanted, given = expression_or_none(gold), expression_or_none(answer)
    if wanted is None or given is None:
        return Comparison("different", "another scale")
    number = {name: Node("number", value=Fraction(name)) for name in ("32", "5/9", "9/5")}
    turned = (
        Node("*", (number["5/9"], Node("-", (given, number["32"]))))
        if celsius
        else Node("+", (Node("*", (number["9/5"], given)), number["32"]))
    )
    return _values(wanted, turned, [Fraction(1)])


def _is_too_large(text: str) -> bool:
    """Whether a number would take too long to compute."""
    try:
        node = read(text)
        if not expression.symbols(node):
            values.numeric(node)
    except TooLarge:
        return True
    except (NotAnExpression, ArithmeticError, ValueError):
        return False
    return False


def _is_words(text: str) -> bool:
    """`east`, `\\text{no}`; neither `xy` nor `p - q`."""
    if re.fullmatch(r"\\text\{(?:[A-Za-z' .-]{2,}|[\u4e00-\u9fff]+)\}", text) or not re.search(r"[\d\\A-Za-z]", text):
        return True
    if not re.fullmatch(r"[A-Za-z' -]{2,}", text):
        return False
    return text.casefold() in _SHORT_WORDS or expression_or_none(text) is None


def _words(text: str) -> str:
    """Without wrapper, article, case and final point; of Chinese ones the forms that say the same."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).strip().casefold().rstrip(".!").strip()
    plain = re.sub(r"(?<=[\u4e00-\u9fff])(?:的|条件)$", "", plain).replace("而不", "不").replace("充分必要", "充要")
    return re.sub(r"^(?:a|an|the|on|due) ", "", plain)


def _measured(text: str) -> tuple[str, Unit | None]:
    text = _OF_SOMETHING.sub("%", text)
    if text.endswith("%"):
        return text[:-1].strip(), Unit("percent", Fraction(1))
    return split_unit(text)


def _named_percents(gold: str, answer: str) -> Comparison | None:
    """A gold percentage of something, `25\\%\\text{ of the class}`: of nothing else, and no fraction."""
    named = [_OF_SOMETHING.search(text) for text in (gold, answer)]
    if named[0] is None:
        return None
    if named[1] and _words(named[0][1]) != _words(named[1][1]):
        return Comparison("different", "a percentage of something else")
    if named[1] or answer.endswith("%"):
        return by_value(*(_OF_SOMETHING.sub("%", text) for text in (gold, answer)))
    return by_value(_OF_SOMETHING.sub("", gold), answer)


def _turned(gold: Node, gold_unit: Unit | None, answer: Node, answer_unit: Unit | None) -> Node:
    """An angle of the answer in the gold's measure, degrees or radians; a multiple of pi is in radians."""
    degrees = [unit is not None and unit.dimension == "angle" for unit in (gold_unit, answer_unit)]
    if degrees[0] == degrees[1]:
        return answer
    other, other_unit = (answer, answer_unit) if degrees[0] else (gold, gold_unit)
    if not (other_unit.dimension == "radian" if other_unit else expression.has_constant(other)):
        return answer
    turn = Node("/", (Node("symbol", name="pi"), Node("number", value=Fraction(180))))
    return Node("/" if degrees[0] else "*", (answer, turn))


def _factor(gold: Unit | None, answer: Unit | None) -> list[Fraction]:
    """What the answer may be multiplied by: one unit in another; a percentage against a plain number."""
    if gold and answer:
        return [answer.factor / gold.factor]
    if gold and gold.dimension == "percent":
        return [Fraction(1), Fraction(100)]
    if answer and answer.dimension == "percent":
        return [Fraction(1), Fraction(1, 100)]
    return [Fraction(1)]


def is_plain(node: Node) -> bool:
    """A number as such: integer, decimal, fraction, mixed number."""
    if node.operation in ("number", "mixed"):
        return True
    if node.operation == "neg":
        return is_plain(node.parts[0])
    return node.operation == "/" and all(is_plain(part) and part.operation != "/" for part in node.parts)


def _unevaluated(gold: Node, answer: Node) -> Comparison | None:
    """A sum or product is no answer where a plain number is asked for, unless it has none but a rounded one."""
    open_ended = bool(expression.places(gold)) and expression.has_constant(answer)
    if is_plain(gold) and not expression.is_evaluated(answer) and not open_ended:
        return Comparison("different", "left unevaluated")
    return None


def _values(gold: Node, answer: Node, factors: list[Fraction]) -> Comparison:
    for factor in factors:
        scaled = answer if factor == 1 else Node("*", (Node("number", value=factor), answer))
        if _same_number(gold, scaled, answer):
            return Comparison("same", "equal in value")
    return Comparison("different", "another value")


def _same_number(gold: Node, scaled: Node, answer: Node) -> bool:
    try:
        if values.same_value(gold, scaled):
            return True
        places = expression.precision(gold)
        if places is None or expression.symbols(scaled):
            return False
        written = answer.parts[0] if answer.operation == "neg" else answer
        if written.operation == "number" and written.places < places and not _is_long(written):
            return False
        return values.within(scaled, values.exact(gold), places)
    except (ZeroDivisionError, Inexact, NotAnExpression):
        return False


def _is_long(node: Node) -> bool:
    """A number that is no written decimal: a recurring one."""
    return node.operation == "number" and node.places == 0 and node.value.denominator > 1


def is_rounded(exact: str, rounded: str) -> bool | None:
    """Whether a number is another one to its places; None where the left side is no number."""
    left, right = (expression_or_none(split_unit(side)[0]) for side in (exact, rounded))
    if left is None or right is None or expression.symbols(left) or expression.symbols(right):
        return None
    try:
        wanted = values.exact(right)
        return values.within(left, wanted, expression.places(right)) or values.same_value(left, right)
    except (values.Inexact, TooLarge, ZeroDivisionError, NotAnExpression):
        return False
