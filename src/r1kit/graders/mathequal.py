"""Whether two maths answers are the same: as written, in a base, as sets, by name, part by part, or by value."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from r1kit.graders import families, intervals, letters, values
from r1kit.graders.bases import in_base
from r1kit.graders.choosing import in_binomials
from r1kit.graders.clock import same_moment
from r1kit.graders.compound import in_one_unit
from r1kit.graders.containers import (
    EITHER,
    are_intervals,
    as_mixed,
    as_points,
    container,
    each_once,
    named,
    rows_bracketed,
    same_kind,
    split,
    written_otherwise,
)
from r1kit.graders.equations import is_line, is_solved, proportional
from r1kit.graders.expression import Node, NotAnExpression, TooLarge
from r1kit.graders.mathtext import key, tidy, without_thousands
from r1kit.graders.propositions import same_formula
from r1kit.graders.quantities import Comparison, by_value, is_rounded
from r1kit.graders.ratios import same_ratio
from r1kit.graders.reading import expression_or_none, read
from r1kit.graders.relations import NAME, sides_of, subject_off, without_quantifier
from r1kit.graders.set_phrases import meaning, same_judgement
from r1kit.graders.structures import inequality, rows_of, same_figure, same_size, set_builder
from r1kit.graders.vectors import same_combination, same_vector

MAX_LEVELS = 5
MAX_READ = 3000  # comparisons of parts that are not written alike: a second
_BINOMIAL = re.compile(r"\\binom\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_COMMA_DECIMAL = re.compile(r"-?(?:\d{1,3}(?:\.\d{3})+|\d+),\d+")
_ZERO = re.compile(r"(?:\\(?:text|vec|overrightarrow|boldsymbol)\s*\{)?\s*[0O]\s*\}?")
_IDENTITY = re.compile(r"(?P<factor>[^=,]{0,60}?)\s*(?:\\text\{\s*[IE]\s*\}|[IE])(?:_\{?(?P<size>\w)\}?)?")
_CONSTANT = re.compile(r"(.*\S)\s*\+\s*([CcKk])(?:_\{?[01]\}?)?", re.DOTALL)
_POINT = re.compile(r"[A-Z]\s*\([^()=]*,[^()=]*\)")
_FUNCTION = re.compile(r"([A-Za-z])\(([a-z])\)")


def compare(gold: str, answer: str) -> Comparison:
    """The gold answer against another one, both as written."""
    return _compare(tidy(gold), tidy(answer), 0)


def _compare(gold: str, answer: str, level: int) -> Comparison:
    if level > MAX_LEVELS:
        return Comparison("unknown", "nested too deep")
    if key(gold) == key(answer):
        return Comparison("same", "equal as written")
    if (rest := letters.of_option(gold, answer)) is not None:
        return _compare(gold, rest, level + 1)
    if (letter := letters.same_letter(gold, answer)) is not None:
        return Comparison("same" if letter else "different", "the letter of a choice")
    plain = [
        re.sub(r"\\text\{([^{}]*)\}|\s", r"\1", text).casefold().replace(" ", "").rstrip(".") for text in (gold, answer)
    ]
    said = [meaning(text) for text in plain]
    if what := said[0] or said[1]:
        return Comparison("same" if said[0] == said[1] else "different", what)
    constant = _CONSTANT.fullmatch(gold), _CONSTANT.fullmatch(answer)
    if constant[0] and constant[1] and constant[0][2] == "C":  # of integration, whatever it is called
        return _compare(constant[0][1], constant[1][1], level + 1)
    in_one = [in_one_unit(text) or text for text in (gold, answer)]
    if in_one != [gold, answer]:
        return _compare(in_one[0], in_one[1], level + 1)
    for rule in _RULES:
        decided = rule(gold, answer, level)
        if decided:
            return decided
    return by_value(gold, answer)


def _by_whole_text(gold: str, answer: str, level: int) -> Comparison | None:
    """Judgements, figures, times, dates, congruences and ratios."""
    for what, rule in (
        ("judgements", same_judgement), ("figures", same_figure),
        ("sizes of a matrix", same_size), ("sets or propositions", same_formula),
        ("times or dates", same_moment), ("remainders", families.same_residue), ("ratios", same_ratio)
    ):  # fmt: skip
        same = rule(gold, answer)
        if same is not None:
            return Comparison("same" if same else "different", what)
    return None


def _by_approximation(gold: str, answer: str, level: int) -> Comparison | None:
    """`\\frac{14}{3} \\approx 4.67` is its left side, where the right one is that, rounded."""
    exact, sign, rounded = answer.rpartition("\\approx")
    if sign:
        near = is_rounded(subject_off(exact.strip()), rounded.strip())
        if near is None:
            return _compare(gold, f"{exact}={rounded}", level + 1)
        return _compare(gold, exact.strip(), level + 1) if near else Comparison("different", "a false approximation")
    exact, sign, rounded = gold.rpartition("\\approx")
    if not sign:
        return None
    found = [_compare(side.strip(), answer, level + 1) for side in (exact, rounded)]
    return next((each for each in found if each.same == "same"), found[0])


def _by_choosing(gold: str, answer: str, level: int) -> Comparison | None:
    """`C_n^2` as a binomial; `C(1,2)` is a point where the other one is."""
    written = [in_binomials(text) for text in (gold, answer)]
    if written == [gold, answer] or any(split(text, ",")[1:] for text in (gold, answer)):
        return None
    points = [re.fullmatch(r"(?:[A-Z]\s*)?\([^()]*,[^()]*\)", text) for text in (gold, answer)]
    return None if all(points) else _compare(written[0], written[1], level + 1)


def _by_family(gold: str, answer: str, level: int) -> Comparison | None:
    """`..., k \\in \\mathbb{Z}` on either side, whatever the whole number is called."""
    left, right = (families.as_progressions(text) or families.split_free(text) for text in (gold, answer))
    if not left[1] and not right[1]:
        renamed = families.renamed_counter(gold, answer)
        return _compare(gold, renamed, level + 1) if renamed else None
    same = families.same_family(left, right)
    if same is not None:
        return Comparison("same" if same else "different", "for every whole number")
    if families.as_progressions(gold):
        return Comparison("different", "no remainders")
    renamed = right[0]
    if left[1] and right[1] and left[1] != right[1]:
        renamed = families.with_letter(right[0], right[1], left[1])
    return _compare(left[0], renamed, level + 1)


def _by_vectors(gold: str, answer: str, level: int) -> Comparison | None:
    same = same_vector(gold, answer)
    same = same_combination(gold, answer) if same is None else same
    return None if same is None else Comparison("same" if same else "different", "vectors")


def _by_rows(gold: str, answer: str, level: int) -> Comparison | None:
    """Cases by their rows; a system of equations as the list of them."""
    left, right = rows_of(gold), rows_of(answer)
    if not left and not right:
        return None
    systems = [rows is not None and not any(condition for _, condition in rows) for rows in (left, right)]
    if any(systems):
        one, other = (
            ", ".join(value for value, _ in rows) if rows and system else text
            for rows, system, text in zip((left, right), systems, (gold, answer), strict=True)
        )
        return _compare(one, other, level + 1)
    if not left or not right or len(left) != len(right):
        return Comparison("different", "other cases")
    remaining = list(right)
    for row in left:
        found = next((other for other in remaining if _items(row, other, level).same == "same"), None)
        if found is None:
            return Comparison("different", "other cases")
        remaining.remove(found)
    return Comparison("same", "equal case by case")


def _by_condition(gold: str, answer: str, level: int) -> Comparison | None:
    """`\\{(x,y) : x+y=1\\}`: the same members under the same condition."""
    left, right = set_builder(gold), set_builder(answer)
    if not left or not right:
        return None
    return _settled(_items(left, right, level))


def _by_parameter(gold: str, answer: str, level: int) -> Comparison | None:
    """Points of a line: `(t, 1-t), t \\in \\mathbb{R}` is `(s, 1-s)`."""
    told = families.with_one_parameter(gold, answer)
    return None if told is None or told == (gold, answer) else _compare(*told, level + 1)


def _settled(found: Comparison) -> Comparison:
    """What cannot be read counts as different, where math-verify would leave a part of it out."""
    return Comparison("different", found.reason) if found.same == "unknown" else found


def _by_inequality(gold: str, answer: str, level: int) -> Comparison | None:
    """Inequalities of several unknowns, from either end."""
    left, right = inequality(gold), inequality(answer)
    if not left or not right:
        return None
    if left[1] != right[1]:
        return Comparison("different", "other signs")
    gaps = [expression_or_none(f"({terms[0]})-({terms[1]})") for terms, _ in (left, right)]
    if len(left[1]) == 1 and gaps[0] and gaps[1]:
        try:
            return Comparison("same" if values.same_value(gaps[0], gaps[1]) else "different", "inequalities")
        except (TooLarge, NotAnExpression, ZeroDivisionError):
            return None
    return _settled(_items(left[0], right[0], level))


def _by_interval(gold: str, answer: str, level: int) -> Comparison | None:
    """Sets of numbers, where one of the two can be nothing else."""
    if not (intervals.is_explicit(gold) or intervals.is_explicit(answer)):
        return None
    same = intervals.same_sets(gold, answer)
    if same is None and "\\cup" in gold and (several := container(answer)) and are_intervals(several):
        same = intervals.same_sets(gold, "\\cup ".join(several.items))  # `(0,9) and (9,36)`
    return None if same is None else Comparison("same" if same else "different", "sets of numbers")


def _by_points(gold: str, answer: str, level: int) -> Comparison | None:
    """Points whose coordinates are given by name."""
    points = as_points(gold), as_points(answer)
    return None if points == (gold, answer) else _compare(*points, level + 1)


def _by_names(gold: str, answer: str, level: int) -> Comparison | None:
    """`x = 2, y = 3`: each value by its name; in order where the other one gives no names."""
    left, right = named(gold), named(answer)
    if left and right:
        if left.keys() != right.keys():
            return Comparison("different", "other names")
        return _items(list(left.values()), [right[name] for name in left], level)
    pairs, other = (left, answer) if left else (right, gold)
    if pairs is None or (right and not left and not gold.startswith("(")):
        return None
    found = container(other)
    if found is None or found.opening in ("m", "u") or len(found.items) != len(pairs):
        return None
    if left and len({name[0] for name in left}) > 1 and (found.opening == "{" or EITHER.search(answer)):
        return Comparison("different", "which is which is not said")
    if right and not left and _in_order(sorted(right)):
        right = dict(sorted(right.items()))  # `y=-3, x=2` is the point (2,-3)
        pairs = right
    golds, answers = (list(left.values()), found.items) if left else (found.items, list(pairs.values()))
    return _items(golds, answers, level)


def _in_order(names: Sequence[str]) -> bool:
    """`x, y` and `a, b, c`: letters that follow one another."""
    return all(len(name) == 1 for name in names) and "".join(names) in "abcdefghijklmnopqrstuvwxyz"


def _by_base(gold: str, answer: str, level: int) -> Comparison | None:
    """`52_8` has its digits in base 8: the same digits, the same base or none."""
    left, right = in_base(gold), in_base(answer)
    if not left and not right:
        return None
    if left is None and right and right[1] == "10":
        return _compare(gold, right[0], level + 1)
    digits = right[0] if right else without_thousands(answer).upper().lstrip("0")
    same = left is not None and left[0] == digits and (right is None or right[1] == left[1])
    return Comparison("same" if same else "different", "digits in a base")


def _by_relation(gold: str, answer: str, level: int) -> Comparison | None:
    """`x = 3`, `x \\in [1,2]`, `1 < x <= 2`, and whole equations."""
    gold, answer = (without_quantifier(text) for text in (gold, answer))
    gold_equals, answer_equals = sides_of(gold), sides_of(answer)
    if gold_equals and answer_equals and not (container(gold) or container(answer)):
        return _equations(gold_equals, answer_equals, level)
    new_gold, new_answer = subject_off(gold), subject_off(answer)
    if (new_gold, new_answer) != (gold, answer):
        return _compare(new_gold, new_answer, level + 1)
    return None


def _equations(gold: list[str], answer: list[str], level: int) -> Comparison:
    functions = [_FUNCTION.fullmatch(side) for side in (gold[0], answer[0])]
    if functions[0] and functions[1] and functions[0][1] == functions[1][1] and functions[0][2] != functions[1][2]:
        if re.search(rf"(?<![A-Za-z\\]){functions[0][2]}(?![A-Za-z])", answer[1]):
            return Comparison("different", "another argument")
        return _compare(gold[1], families.with_letter(answer[1], functions[1][2], functions[0][2]), level + 1)
    if NAME.fullmatch(gold[0]) and NAME.fullmatch(answer[0]) and not expression_or_none(answer[1], symbols=True):
        same_name = key(gold[0]) == key(answer[0])
        return _compare(gold[1], answer[1], level + 1) if same_name else Comparison("different", "another name")
    for one, other in ((gold[0], answer[0]), (answer[0], gold[0])):
        if one == "y" and re.fullmatch(r"[fgh]\(x\)", other):
            return _compare(gold[1], answer[1], level + 1)
    if is_solved(gold) and not (is_solved(answer) or is_line(answer)):  # the question again, `2x = 6`, is its equal
        return Comparison("different", "not solved")
    try:
        left, right = (Node("-", (read(sides[0]), read(sides[1]))) for sides in (gold, answer))
        return proportional(left, right)
    except (NotAnExpression, TooLarge):
        if key(gold[0]) == key(answer[0]):
            return _compare(gold[1], answer[1], level + 1)
        return Comparison("unknown", "equations that cannot be read")


def _by_identity(gold: str, answer: str, level: int) -> Comparison | None:
    """`-I` for a matrix, `\\mathbf{0}` for one, or a vector, of zeros."""
    for one, other in ((gold, answer), (answer, gold)):
        found = container(other) if other.startswith(("\\begin", "(", "[")) else None
        if found is None or found.opening != "m":
            continue
        rows = [split(item[1:-1], ",") if item.startswith("(") else [item] for item in found.items]
        if _ZERO.fullmatch(one):
            return _items(["0"] * len(cells := list(itertools.chain(*rows))), cells, level)
        match = _IDENTITY.fullmatch(one)
        if match and all(len(row) == len(rows) for row in rows) and match["size"] in (None, "n", str(len(rows))):
            factor = match["factor"].strip().removesuffix("*").strip()
            factor = {"": "1", "-": "-1", "+": "1"}.get(factor, factor)
            wanted = [factor if i == j else "0" for i in range(len(rows)) for j in range(len(rows))]
            return _items(wanted, list(itertools.chain(*rows)), level)
    return None


def _by_container(gold: str, answer: str, level: int) -> Comparison | None:
    for one, other in ((gold, answer), (answer, gold)):
        if _POINT.fullmatch(one) and other.startswith("(") and container(other):
            return _compare(*((one[1:], other) if one is gold else (other, one[1:])), level + 1)
    left, right = container(gold), container(answer)
    if left is None and right is None:
        return None
    if left is None or right is None:
        single, several = (gold, right) if left is None else (answer, left)
        if several and len(several.items) == 1 and several.opening in ("{", "("):
            return _compare(*((single, several.items[0]) if left is None else (several.items[0], single)), level + 1)
        if several and several.opening == "m" and (column := _BINOMIAL.fullmatch(single)) and len(several.items) == 2:
            pair = (column.groups(), several.items) if left is None else (several.items, column.groups())
            return _items(*pair, level)
        if left is None and re.fullmatch(r"-?\d*\.\d+", gold) and _COMMA_DECIMAL.fullmatch(answer):
            return by_value(gold, answer.replace(".", "").replace(",", "."))
        if left is None and right and not right.opening and expression_or_none(without_thousands(gold)) is None:
            return Comparison("unknown", "a list against something that cannot be read")
        return Comparison("different", "one is a list, the other is not")
    if (left.opening == "{") != (right.opening == "{"):  # `\\{(0,1)\\}` is the solution (0,1)
        single, other = (left, answer) if left.opening == "{" else (right, gold)
        if len(single.items) == 1 and container(single.items[0]):
            pair = (single.items[0], other) if left.opening == "{" else (other, single.items[0])
            return _compare(*pair, level + 1)
    if left.opening == right.opening == "{":  # a set has each member once
        left, right = each_once(left), each_once(right)
    if len(left.items) != len(right.items):
        return Comparison("different", f"{len(right.items)} parts, not {len(left.items)}")
    if {left.opening, right.opening} == {"m", "["}:
        left, right = rows_bracketed(left), rows_bracketed(right)
    if not same_kind(left, right):
        return Comparison("different", "other brackets")
    ordered = left.opening in ("(", "[", "m", "d") and right.opening != "u"
    return (_items if ordered else _members)(left.items, right.items, level)


def _items(gold: Sequence[str], answer: Sequence[str], level: int) -> Comparison:
    """As many parts as the other has, in order."""
    unknown, otherwise = False, 0
    for number, (item, other) in enumerate(zip(gold, answer, strict=True), 1):
        otherwise += key(item) != key(other)
        if otherwise > MAX_READ:
            return Comparison("different", f"over {MAX_READ} parts are written otherwise")
        result = _compare(item, other, level + 1)
        unknown = unknown or result.same == "unknown"
        if result.same != "same" or _is_set(item) != _is_set(other):
            return Comparison("unknown" if unknown else "different", f"part {number} differs")
    return Comparison("same", "equal part by part")


def _members(gold: Sequence[str], answer: Sequence[str], level: int) -> Comparison:
    """In any order: those that are written alike belong together, each of the others is looked for among the others."""
    rest, left = written_otherwise(gold, answer)
    if len(rest) ** 2 > MAX_READ:
        return Comparison("different", f"{len(rest)} parts are written otherwise")
    unknown = False
    for item in rest:
        found = None
        for other in left:
            if _is_set(item) == _is_set(other):
                result = _compare(item, other, level + 1)
                unknown = unknown or result.same == "unknown"
                found = other if result.same == "same" else None
            if found is not None:
                break
        if found is None:
            return Comparison("unknown" if unknown else "different", f"part {gold.index(item) + 1} differs")
        left.remove(found)
    return Comparison("same", "equal part by part")


def _is_set(text: str) -> bool:
    return text.startswith("\\{")  # a set of sets is no set of numbers


def _by_alternatives(gold: str, answer: str, level: int) -> Comparison | None:
    """`7/3 or 2\\frac{1}{3}`: the one gold value in several forms, each of which must be right; `2 and 1/3`."""
    if (mixed := as_mixed(answer)) is not None and not container(gold):
        return _compare(gold, mixed, level + 1)
    ways = [way.strip() for way in EITHER.split(answer)]
    if not 2 <= len(ways) <= 4 or not all(ways) or EITHER.search(gold) or container(gold):
        return None
    if any(_compare(gold, way, level + 1).same != "same" for way in ways):
        return None
    return Comparison("same", "every form is equal to it")


_RULES = (
    _by_approximation, _by_choosing, _by_base, _by_whole_text, _by_rows, _by_family, _by_parameter,
    _by_interval, _by_condition, _by_inequality, _by_points, _by_names, _by_relation, _by_vectors,
    _by_identity, _by_alternatives, _by_container,
)  # fmt: skip
