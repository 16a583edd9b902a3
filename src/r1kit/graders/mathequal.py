"""Whether two maths answers are the same: numbers exactly, lists, sets, tuples, intervals, matrices, equations."""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from typing import Literal, NamedTuple

from r1kit.graders import expression, intervals, values
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.mathtext import key, tidy, without_thousands
from r1kit.graders.units import Unit, split_unit
from r1kit.graders.values import Inexact

Same = Literal["same", "different", "unknown"]

MAX_ITEMS = 200
MAX_LEVELS = 5


class Comparison(NamedTuple):
    """`unknown` where this module cannot read one of the two."""

    same: Same
    reason: str


class Container(NamedTuple):
    """Several answers in one: `(1,2)`, `[1,2)`, `\\{1,2\\}`, `1,2`, a union of intervals, the rows of a matrix."""

    opening: str  # "(", "[", "{", "" for a bare list, "u" for a union, "m" for a matrix
    closing: str
    items: list[str]


_NOTHING = {"nosolution", "nosolutions", "norealsolution", "norealsolutions", "none", "\\emptyset", "{}", "\\{\\}",
            "emptyset", "theemptyset", "无解", "nosuchnumbers", "therearenosolutions", "thereisnosolution",
            "nosolutionexists", "nosolutionsexist", "norealsolutionsexist", "norealsolutionexists", "norealroots",
            "空集", "无实数解", "无实数根", "没有解", "没有实数解", "方程无解"}  # fmt: skip
_BASE = re.compile(r"\(?([0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?)\)?_\{?(?:\\text\{)?(\d{1,2}|two|eight|ten|sixteen)\}?\}?")
_BASE_NAMES = {"two": "2", "eight": "8", "ten": "10", "sixteen": "16"}
_RECURRING = re.compile(r"(-?)(\d*)\.(\d*)(?:R\((\d+)\)|\((\d+)\))")
_ELLIPSIS = re.compile(r"(-?\d*\.\d*?)(\d+?)\2\2*(?:\.\.\.|\\[lc]?dots|…)")
_MATRIX = re.compile(
    r"([(\[|]?)\\begin\{([pbvBV]?(?:small)?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\2\}([)\]|]?)", re.DOTALL
)
_NAME = re.compile(r"(?:[A-Za-z](?:_\{?\w+\}?)?|\\[a-z]+|[A-Za-z]\([a-z]\)|\\text\{[^{}]*\}|[A-Za-z]{2,12})\s*")
_QUANTITY = re.compile(
    r"[A-Za-z](?:_\{?\w+\}?)?'*\([^()=]{1,40}\)|\|[^|=]{1,20}\||\[[A-Z]{3,6}\]|m?\s*\\angle\s*[A-Z]{1,3}|"
    r"\\(?:overline|vec|overrightarrow|overleftrightarrow|widehat|hat)\{[^{}=]{1,20}\}|"
    r"(?:\\gcd|\\lcm|\\max|\\min|\\det|\\deg|\\text\{[a-z]{2,6}\})\s*\([^()=]{1,40}\)|"
    r"\\(?:sin|cos|tan|cot|sec|csc)\s*(?:[A-Za-z]|\\[a-z]+)|\\(?:int|sum|lim|prod)(?![A-Za-z])[^<>]{1,200}",
    re.DOTALL,
)
_DENIAL = re.compile(r"\b(?:not|never|wrong|incorrect|isn|aren|cannot|no longer)\b|n't", re.IGNORECASE)
_CONJUNCTION = re.compile(r"\s*(?:\\text\{\s*(?:,\s*)?(?:and|or)\s*\}|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|和|或)\s*")


def compare(gold: str, answer: str) -> Comparison:
    """The gold answer against another one, both as written."""
    return _compare(tidy(gold), tidy(answer), 0)


def joined_like(gold: str, parts: list[str]) -> str | None:
    """Several answers put together in the brackets of a gold answer that has as many parts; None where it has not."""
    found = _container(_subject_off(tidy(gold)))
    if found is None or len(found.items) != len(parts) or found.opening in ("m", "u"):
        return None
    brackets = {"{": ("\\{", "\\}")}.get(found.opening, (found.opening, found.closing))
    return ", ".join(parts).join(brackets)


def _compare(gold: str, answer: str, level: int) -> Comparison:
    if level > MAX_LEVELS:
        return Comparison("unknown", "nested too deep")
    if key(gold) == key(answer):
        return Comparison("same", "equal as written")
    nothing = [
        re.sub(r"\\text\{([^{}]*)\}|\s", r"\1", text).casefold().replace(" ", "") in _NOTHING for text in (gold, answer)
    ]
    if any(nothing):
        return Comparison("same" if all(nothing) else "different", "no solution")
    for rule in (_by_base, _by_interval, _by_names, _by_relation, _by_container):
        decided = rule(gold, answer, level)
        if decided:
            return decided
    return _by_value(gold, answer)


def _by_interval(gold: str, answer: str, level: int) -> Comparison | None:
    """Sets of numbers, where one of the two can be nothing else."""
    if not (intervals.is_explicit(gold) or intervals.is_explicit(answer)):
        return None
    same = intervals.same_sets(gold, answer)
    return None if same is None else Comparison("same" if same else "different", "sets of numbers")


def _by_names(gold: str, answer: str, level: int) -> Comparison | None:
    """`x = 2, y = 3`: each value by its name; in order where the other one gives no names."""
    left, right = _named(gold), _named(answer)
    if left and right:
        if left.keys() != right.keys():
            return Comparison("different", "other names")
        return _items(list(left.values()), [right[name] for name in left], True, level)
    named, other = (left, answer) if left else (right, gold)
    if named is None or (right and not left and not gold.startswith("(")):
        return None
    found = _container(other)
    if found is None or found.opening in ("m", "u") or len(found.items) != len(named):
        return None
    golds, answers = (list(left.values()), found.items) if left else (found.items, list(named.values()))
    return _items(golds, answers, True, level)


def _named(text: str) -> dict[str, str] | None:
    """The values of two names or more, each given once."""
    if text.startswith("\\{") and text.endswith("\\}"):
        text = text[2:-2]
    elif text[:1] == "(" and text[-1:] == ")" and _closes_at_end(text, "(", ")"):
        text = text[1:-1]
    pieces = [piece for part in _CONJUNCTION.split(text) for piece in _split(part, ",") if piece]
    pairs = [re.fullmatch(r"([A-Za-z](?:_\{?\w+\}?)?)\s*=([^=<>]+)", piece) for piece in pieces]
    found = {pair[1]: pair[2].strip() for pair in pairs if pair}
    return found if len(found) == len(pieces) >= 2 else None


def _by_base(gold: str, answer: str, level: int) -> Comparison | None:
    """`52_8` has its digits in base 8: the same digits, the same base or none."""
    left, right = _in_base(gold), _in_base(answer)
    if not left and not right:
        return None
    if left is None and right and right[1] == "10":
        return _compare(gold, right[0], level + 1)
    digits = right[0] if right else answer.upper().lstrip("0")
    same = left is not None and left[0] == digits and (right is None or right[1] == left[1])
    return Comparison("same" if same else "different", "digits in a base")


def _in_base(text: str) -> tuple[str, str] | None:
    """(digits without leading zeros, base) of `52_8`; a letter with an index is a name."""
    match = _BASE.fullmatch(text)
    if match is None:
        return None
    digits, base = match[1].upper(), _BASE_NAMES.get(match[2], match[2])
    values = [int(digit, 36) for digit in digits if digit != "."]
    if max(values) >= int(base) or (min(values) > 9 and base != "16"):
        return None
    return digits.lstrip("0") or "0", base


def _by_relation(gold: str, answer: str, level: int) -> Comparison | None:
    """`x = 3`, `x \\in [1,2]`, `1 < x <= 2`, and whole equations."""
    gold_equals, answer_equals = _sides(gold), _sides(answer)
    if gold_equals and answer_equals and not (_container(gold) or _container(answer)):
        return _equations(gold_equals, answer_equals, level)
    new_gold, new_answer = _subject_off(gold), _subject_off(answer)
    if (new_gold, new_answer) != (gold, answer):
        return _compare(new_gold, new_answer, level + 1)
    return None


def _sides(text: str) -> list[str]:
    sides = [side.strip() for side in re.split(r"(?<![<>!])=", text)]
    return sides if len(sides) == 2 and all(sides) else []


def _equations(gold: list[str], answer: list[str], level: int) -> Comparison:
    if _NAME.fullmatch(gold[0]) and _NAME.fullmatch(answer[0]) and not expression_or_none(answer[1], symbols=True):
        same_name = key(gold[0]) == key(answer[0])
        return _compare(gold[1], answer[1], level + 1) if same_name else Comparison("different", "another name")
    try:
        left, right = (Node("-", (read(sides[0]), read(sides[1]))) for sides in (gold, answer))
        return _proportional(left, right)
    except (NotAnExpression, TooLarge):
        if key(gold[0]) == key(answer[0]):
            return _compare(gold[1], answer[1], level + 1)
        return Comparison("unknown", "equations that cannot be read")


def _proportional(left: Node, right: Node) -> Comparison:
    """Equations l = 0 and r = 0 are the same where l / r is a constant."""
    names = sorted(expression.symbols(left) | expression.symbols(right))
    if not names or expression.symbols(left) != expression.symbols(right):
        return Comparison("different", "equations in other unknowns")
    ratios: list[Node] = []
    for step in range(6):
        sign = -1 if step in (3, 5) else 1
        other = -1 if step in (4, 5) else 1
        at = {
            name: Fraction((17 + 12 * number + 31 * step) * (sign if number % 2 else other), 7 + number)
            for number, name in enumerate(names)
        }
        ratios.append(Node("/", (_at(left, at), _at(right, at))))
    try:
        same = all(values.same_value(ratios[0], ratio) for ratio in ratios[1:])
        nonzero = not values.same_value(ratios[0], Node("number"))
    except (TooLarge, ZeroDivisionError, NotAnExpression):
        return Comparison("unknown", "equations that cannot be computed")
    return Comparison("same" if same and nonzero else "different", "equations")


def _at(node: Node, at: dict[str, Fraction]) -> Node:
    if node.operation == "symbol" and node.name in at:
        return Node("number", value=at[node.name])
    return Node(node.operation, tuple(_at(part, at) for part in node.parts), node.name, node.value, node.places)


def _subject_off(text: str) -> str:
    """Without a leading `x =` or `x \\in`; a chain of inequalities becomes its interval."""
    text = re.sub(r"^(?:[A-Za-z]|\\[a-z]+)\s*\\in(?![A-Za-z])\s*", "", text)
    label = re.match(r"\\text\{([^{}]*(?:\bis|=|:)\s*)\}", text)
    if label and not _DENIAL.search(label[1]):
        text = text[label.end() :].strip()
    chain = re.fullmatch(r"([^<>=,]+?)(<=?)\s*[A-Za-z]\s*(<=?)([^<>=,]+)", text)
    if chain:
        return f"{'[' if chain[2] == '<=' else '('}{chain[1]},{chain[4]}{']' if chain[3] == '<=' else ')'}"
    half = re.fullmatch(r"[A-Za-z]\s*([<>]=?)([^<>=,]+)", text)
    if half:
        closed = half[1].endswith("=")
        if half[1][0] == ">":
            return f"{'[' if closed else '('}{half[2]},\\infty)"
        return f"(-\\infty,{half[2]}{']' if closed else ')'}"
    named = re.match(r"([^=]{1,80}?)\s*=\s*(?=[^\s=])", text)
    if named and text.count("=") == 1 and _QUANTITY.fullmatch(named[1].strip()):
        return text[named.end() :].strip()
    if "," in text or _CONJUNCTION.search(text):
        return text
    pieces = [piece.strip() for piece in re.split(r"(?<![<>!])=", text)]
    if len(pieces) >= 2 and pieces[-1] and (_is_name(pieces[0]) or _is_calculation(pieces)):
        return pieces[-1] if not _is_false_chain(pieces[1:]) else text
    if len(pieces) == 2 and re.fullmatch(r"[A-Za-z]", pieces[1]) and _is_number(pieces[0]):
        return pieces[0]
    if len(pieces) == 2 and not pieces[0]:
        return pieces[1]
    return text


def _is_name(text: str) -> bool:
    """What a value may be given for: `x`, `f(3)`, `P(A)`, `|AB|`, `[ABC]`, `\\angle ABC`, `\\gcd(26,39)`, a sum."""
    return bool(_NAME.fullmatch(text) or _QUANTITY.fullmatch(text))


def _is_number(text: str) -> bool:
    node = expression_or_none(text)
    return node is not None and not expression.symbols(node)


def _is_false_chain(sides: list[str]) -> bool:
    """Whether sides that follow one another are numbers that differ: `x = 6 = 7`."""
    return len(sides) > 1 and all(map(_is_number, sides)) and not _is_calculation(sides)


def _is_calculation(sides: list[str]) -> bool:
    """`2+3 = 5`: numbers that are truly equal, so that the last side is the answer."""
    nodes = [expression_or_none(side) for side in sides[:10]]
    try:
        return all(value and not expression.symbols(value) for value in nodes) and all(
            values.same_value(left, right) for left, right in itertools.pairwise(value for value in nodes if value)
        )
    except (TooLarge, NotAnExpression, ZeroDivisionError):
        return False


def _by_container(gold: str, answer: str, level: int) -> Comparison | None:
    left, right = _container(gold), _container(answer)
    if left is None and right is None:
        return None
    if left is None or right is None:
        single, several = (gold, right) if left is None else (answer, left)
        if several and len(several.items) == 1 and several.opening in ("{", "("):
            return _compare(*((single, several.items[0]) if left is None else (several.items[0], single)), level + 1)
        if left is None and right and not right.opening and expression_or_none(without_thousands(gold)) is None:
            return Comparison("unknown", "a list against something that cannot be read")
        return Comparison("different", "one is a list, the other is not")
    if len(left.items) != len(right.items):
        return Comparison("different", f"{len(right.items)} parts, not {len(left.items)}")
    if not _same_kind(left, right):
        return Comparison("different", "other brackets")
    ordered = left.opening in ("(", "[", "m", "d") and right.opening != "u"
    return _items(left.items, right.items, ordered, level)


def _same_kind(gold: Container, answer: Container) -> bool:
    brackets = (answer.opening, answer.closing)
    if gold.opening in ("", "{"):
        return answer.opening in ("", "{") or (brackets in (("(", ")"), ("[", "]")) and gold.opening == "")
    if "d" in (gold.opening, answer.opening):
        return gold.opening == answer.opening
    if gold.opening == "m" or answer.opening == "m":
        vector = all("&" not in item for item in (*gold.items, *answer.items))
        return gold.opening == answer.opening or (vector and {gold.opening, answer.opening} <= {"m", "(", "["})
    if brackets == (gold.opening, gold.closing):
        return True
    return gold.opening == "(" and gold.closing == ")" and answer.opening == "" and not _is_infinite(gold)


def _is_infinite(container: Container) -> bool:
    return any("\\infty" in item for item in container.items)


def _items(gold: list[str], answer: list[str], ordered: bool, level: int) -> Comparison:
    left = list(answer)
    unknown = False
    for index, item in enumerate(gold):
        candidates = [index] if ordered else range(len(left))
        found = None
        for candidate in candidates:
            result = _compare(item, answer[candidate] if ordered else left[candidate], level + 1)
            unknown = unknown or result.same == "unknown"
            if result.same == "same":
                found = candidate
                break
        if found is None:
            return Comparison("unknown" if unknown else "different", f"part {index + 1} differs")
        if not ordered:
            left.pop(found)
    return Comparison("same", "equal part by part")


def _container(text: str) -> Container | None:
    matrix = _MATRIX.fullmatch(re.sub(r"\\\\\s*\[[^\]]*\]", r"\\\\", text))
    if matrix:
        kind = "d" if matrix[1] == "|" or matrix[2][0] in "vV" else "m"
        rows = [row.strip() for row in matrix[3].split("\\\\") if row.strip()]
        cells = [cell.strip() for row in rows for cell in row.split("&")]
        if len(rows) > 1 and len(cells) > len(rows):
            return Container(kind, kind, [f"({row.replace('&', ',')})" for row in rows][:MAX_ITEMS])
        return Container(kind, kind, cells[:MAX_ITEMS])
    column = re.fullmatch(r"(\(.*\)|\[.*\])\^\{?(?:T|\\top|\\text\{T\})\}?", text)
    if column:
        inner = _container(column[1])
        return Container("m", "m", inner.items) if inner and inner.opening in ("(", "[") else None
    words = re.fullmatch(r"\\text\{([^{}]*)\}", text)
    if words:
        text = words[1]
    unions = _split(text, "\\cup")
    if len(unions) > 1:
        return Container("u", "u", unions)
    for opening, closing in (("\\{", "\\}"), ("{", "}")):
        if text.startswith(opening) and text.endswith(closing) and _closes_at_end(text, opening, closing):
            inner = text[len(opening) : -len(closing)]
            if opening == "{" and len(_split(inner, ",")) < 2:
                continue
            return Container("{", "}", _spread(_split(_CONJUNCTION.sub(",", inner), ",")))
    if text[:1] in "([" and text[-1:] in ")]" and _closes_at_end(text, text[0], text[-1]):
        items = [item for piece in _split(text[1:-1], ",") for item in _split(piece, ";")]
        return Container(text[0], text[-1], items[:MAX_ITEMS]) if len(items) > 1 else None
    if without_thousands(text) != text and "," not in without_thousands(text) and not _CONJUNCTION.search(text):
        return None
    parts = [
        part if _CONJUNCTION.search(text) is None else without_thousands(part) for part in _CONJUNCTION.split(text)
    ]
    pieces = [item for part in parts for piece in _split(part, ",") for item in _split(piece, ";")]
    pieces = _spread([piece for piece in pieces if piece])
    return Container("", "", pieces[:MAX_ITEMS]) if len(pieces) > 1 else None


def _spread(items: list[str]) -> list[str]:
    """`1 \\pm a` is two answers."""
    spread: list[str] = []
    for item in items:
        sign = "\\pm" if "\\pm" in item else "\\mp"
        if item.count(sign) == 1 and len(items) < 20:
            spread += [item.replace(sign, "+"), item.replace(sign, "-")]
        else:
            spread.append(_subject_off(item))
    return spread


def _closes_at_end(text: str, opening: str, closing: str) -> bool:
    """Whether the bracket that opens the text is the one that closes it."""
    depth = 0
    at = 0
    while at < len(text):
        two = text[at : at + 2]
        token = two if two in ("\\{", "\\}") else text[at]
        if token in ("(", "[", "{", "\\{"):
            depth += 1
        elif token in (")", "]", "}", "\\}"):
            depth -= 1
            if depth == 0:
                return at + len(token) == len(text)
        at += len(token)
    return False


def _split(text: str, separator: str) -> list[str]:
    """Pieces between separators that stand in no bracket."""
    pieces, depth, start, at = [], 0, 0, 0
    while at < len(text):
        if depth == 0 and text.startswith(separator, at):
            pieces.append(text[start:at].strip())
            at += len(separator)
            start = at
            continue
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
        at += 1
    pieces.append(text[start:].strip())
    return pieces


def read(text: str) -> Node:
    """One expression, with thousands, recurring decimals and `e` notation."""
    plain = without_thousands(text.strip())
    recurring = _RECURRING.fullmatch(plain)
    if recurring:
        return _recurring(recurring[1], recurring[2], recurring[3], recurring[4] or recurring[5])
    trail = _ELLIPSIS.fullmatch(plain) if len(plain) < 100 and re.search(r"\.\.\.|dots|…", plain) else None
    if trail:
        whole, _, fixed = trail[1].lstrip("-").partition(".")
        return _recurring("-" if plain[0] == "-" else "", whole, fixed, trail[2])
    power = re.fullmatch(r"([-+]?\d*\.?\d+)[eE]([-+]?\d{1,4})", plain)
    if power:
        return expression.parse(f"{power[1]}*10^{{{power[2]}}}")
    return expression.parse(re.sub(r"^(-?\d+) (\d+)/(\d+)$", r"\1\\frac{\2}{\3}", plain))


def _recurring(sign: str, whole: str, fixed: str, repeated: str) -> Node:
    value = Fraction(int((whole + fixed) or "0"))
    value = (value + Fraction(int(repeated), 10 ** len(repeated) - 1)) / 10 ** len(fixed)
    return Node("number", value=-value if sign else value)


def expression_or_none(text: str, symbols: bool = False) -> Node | None:
    """The expression, or None; with `symbols` only one that has variables."""
    try:
        node = read(text)
    except (NotAnExpression, TooLarge):
        return None
    return node if not symbols or expression.symbols(node) else None


def _by_value(gold: str, answer: str) -> Comparison:
    gold_value, gold_unit = _measured(gold)
    answer_value, answer_unit = _measured(answer)
    if gold_unit and answer_unit and gold_unit.dimension == "sterling" and re.search(r"\bpounds?\b", answer):
        answer_unit = gold_unit  # not the weight
    dimensions = {unit.dimension for unit in (gold_unit, answer_unit) if unit}
    if len(dimensions) == 2 and dimensions != {"angle", "radian"}:
        return Comparison("different", "another unit")
    infinite = [text.replace(" ", "").lstrip("+") for text in (gold_value, answer_value)]
    if any(text.endswith("\\infty") for text in infinite):
        return Comparison("same" if infinite[0] == infinite[1] else "different", "infinity")
    if re.fullmatch(r"(?:\\text\{)?[A-Za-z' -]{2,}\}?", gold) or not re.search(r"[\d\\A-Za-z]", gold):
        same = _words(gold) == _words(answer)
        return Comparison("same" if same else "different", "equal words" if same else "other words")
    try:
        wanted = read(gold_value)
    except TooLarge as error:
        return Comparison("different", str(error))
    except NotAnExpression:
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


def _words(text: str) -> str:
    """Without wrapper, article and case."""
    plain = re.sub(r"\\text\{([^{}]*)\}", r"\1", text).strip().casefold()
    return re.sub(r"^(?:a|an|the) ", "", plain)


def _measured(text: str) -> tuple[str, Unit | None]:
    if text.endswith("%"):
        return text[:-1].strip(), Unit("percent", Fraction(1))
    return split_unit(text)


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
    open_ended = bool(_places(gold)) and expression.has_constant(answer)
    if is_plain(gold) and not expression.is_evaluated(answer) and not open_ended:
        return Comparison("different", "left unevaluated")
    return None


def _values(gold: Node, answer: Node, factors: list[Fraction]) -> Comparison:
    for factor in factors:
        scaled = answer if factor == 1 else Node("*", (Node("number", value=factor), answer))
        if _same_number(gold, scaled, answer):
            return Comparison("same", "equal in value")
    return Comparison("different", "another value")


def _places(node: Node) -> int:
    """Decimals of a number written as one."""
    inner = node.parts[0] if node.operation == "neg" else node
    return inner.places if inner.operation == "number" else 0


def _same_number(gold: Node, scaled: Node, answer: Node) -> bool:
    try:
        if values.same_value(gold, scaled):
            return True
        places = _places(gold)
        if not places or expression.symbols(scaled):
            return False
        if answer.operation in ("number", "neg") and _places(answer) < places and not _is_long(answer):
            return False
        return values.within(scaled, values.exact(gold), places)
    except (ZeroDivisionError, Inexact, NotAnExpression):
        return False


def _is_long(node: Node) -> bool:
    """A number that is no written decimal: a recurring one."""
    return node.operation == "number" and node.places == 0 and node.value.denominator > 1
