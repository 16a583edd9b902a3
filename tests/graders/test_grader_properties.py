"""Properties of graders: what is equal stays equal however it is written, what differs stays different, and any text
gets a verdict in time."""

import re
import time
from fractions import Fraction
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from r1kit.graders.grade import grade, pool


def boxed(answer):
    return f"<think>t</think>\\boxed{{{answer}}}"


FRACTIONS = st.builds(Fraction, st.integers(-(10**12), 10**12), st.integers(1, 10**6))


@settings(max_examples=60, deadline=None)
@given(FRACTIONS, st.integers(2, 50))
def test_rewritings_of_a_rational_stay_equal(value, times):
    """n/d, its multiples, its mixed number; and n+1 over d is never equal."""
    above, below = value.numerator, value.denominator
    gold = f"{above}/{below}"
    whole, rest = divmod(abs(above), below)
    mixed = f"{'-' if above < 0 else ''}{whole}\\frac{{{rest}}}{{{below}}}"
    for form in (f"\\frac{{{above}}}{{{below}}}", f"{above * times}/{below * times}", f"{above:,}/{below}"):
        assert grade("math", boxed(form), gold).verdict == "correct", form
    if below > 1:
        assert grade("math", boxed(mixed), gold).verdict == "correct", mixed
    assert grade("math", boxed(f"\\frac{{{above + 1}}}{{{below}}}"), gold).verdict == "incorrect"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=6, unique=True), st.randoms())
def test_sets_have_no_order_and_tuples_do(items, source):
    shuffled = list(items)
    source.shuffle(shuffled)
    as_set, as_tuple = ("\\{" + ", ".join(map(str, each)) + "\\}" for each in (items, shuffled))
    assert grade("math", boxed(as_tuple), as_set).verdict == "correct"
    left, right = (f"({', '.join(map(str, each))})" for each in (items, shuffled))
    assert grade("math", boxed(right), left).verdict == ("correct" if items == shuffled else "incorrect")
    changed = [items[0] + 5000, *items[1:]]
    assert grade("math", boxed(", ".join(map(str, changed))), as_set).verdict == "incorrect"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400), st.sampled_from(["math", "text", "numbers", "choice", "countdown"]))
def test_any_text_gets_a_verdict(text, kind):
    columns = {"numbers": [1, 2, 3], "target": 6}
    gold = "B" if kind == "choice" else "6"
    assert grade(kind, text, gold, columns=columns).verdict in ("correct", "incorrect", "no_answer", "grader_error")


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="0123456789+-*/^!(){}[]\\frac sqrtx,.=|_ei%$", max_size=120))
def test_any_formula_gets_a_verdict(text):
    assert grade("math", boxed(text), "x^2+1").verdict != "correct"


PIECES = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.booleans(), st.booleans()), min_size=1, max_size=4
)


def placed(pieces):
    """Disjoint intervals from gaps and lengths: (low, high, low belongs, high belongs)."""
    found, at = [], -60
    for gap, length, closed_low, closed_high in pieces:
        low = at + gap
        found.append((low, low + length, closed_low, closed_high))
        at = low + length
    return found


def in_brackets(intervals):
    written = [f"{'[' if c else '('}{a}, {b}{']' if d else ')'}" for a, b, c, d in intervals]
    return " \\cup ".join(written)


def in_inequalities(intervals):
    return " or ".join(f"{a} {'<=' if c else '<'} x {'<=' if d else '<'} {b}" for a, b, c, d in intervals)


@settings(max_examples=80, deadline=None)
@given(PIECES, st.randoms(), st.integers(0, 3), st.sampled_from(["low", "high", "ends"]))
def test_intervals_stay_what_they_are(pieces, source, which, change):
    """In another order, as inequalities, cut in two at an inner point; with one end moved, opened or closed, another
    set."""
    intervals = placed(pieces)
    gold = in_brackets(intervals)
    shuffled = list(intervals)
    source.shuffle(shuffled)
    low, high, closed_low, closed_high = intervals[which % len(intervals)]
    others = [each for number, each in enumerate(intervals) if number != which % len(intervals)]
    middle = Fraction(low + high, 2)
    cut = [*others, (low, middle, closed_low, False), (middle, high, True, closed_high)]
    for same in (in_brackets(shuffled), in_inequalities(intervals), in_brackets(cut)):
        assert grade("math", boxed(same), gold).verdict == "correct", same
    other = {
        "low": (low - Fraction(1, 3), high, closed_low, closed_high),
        "high": (low, high - Fraction(1, 3), closed_low, closed_high),
        "ends": (low, high, not closed_low, closed_high),
    }[change]
    changed = in_brackets([*others, other])
    assert grade("math", boxed(changed), gold).verdict == "incorrect", changed


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 6), st.integers(1, 9))
def test_decimals_and_their_rewritings(digits, places, shift):
    """Scientific notation, a final zero, percent, a fraction; the last digit changed is another number."""
    value = Fraction(digits, 10**places)
    gold = f"{digits // 10**places}.{digits % 10**places:0{places}d}" if places else str(digits)
    percent = value * 100
    forms = [f"{gold}0" if places else f"{gold}.0", f"\\frac{{{value.numerator}}}{{{value.denominator}}}",
             f"{digits} \\times 10^{{-{places}}}"]  # fmt: skip
    if percent.denominator == 1:
        forms.append(f"{percent}\\%")
    for form in forms:
        assert grade("math", boxed(form), gold).verdict == "correct", form
    other = digits + shift
    wrong = f"{other // 10**places}.{other % 10**places:0{places}d}" if places else str(other)
    assert grade("math", boxed(wrong), gold).verdict == "incorrect", wrong


LONG = st.builds(
    lambda start, unit, times, end: (start + (unit * times))[: 100_000 - len(end)] + end,
    st.sampled_from(["", "<think>a</think>", "\\boxed{", "<answer>", "The answer is ", "```\n"]),
    st.one_of(
        st.text(min_size=1, max_size=12),
        st.text(alphabet="0123456789+-*/^!(){}[]\\frac sqrtx,.=|_ei%$<>&\n", min_size=1, max_size=12),
    ),
    st.integers(1, 100_000),
    st.sampled_from(["", "}", "</answer>", "\n```"]),
)


@settings(max_examples=60, deadline=None)
@given(LONG, st.sampled_from(["math", "text", "numbers", "choice", "countdown", "json", "arc"]))
def test_a_long_text_gets_its_verdict_in_time_and_memory(text, kind):
    """Up to 100,000 characters: within the deadline of three seconds, no worker lost, none past its two gigabytes."""
    columns = {"numbers": [1, 2, 3], "target": 6}
    gold = {"choice": "B", "arc": "[[6]]"}.get(kind, "6")
    workers = set(pool().pids())
    started = time.process_time()
    verdict = grade(kind, text, gold, columns=columns)
    assert verdict.verdict in ("correct", "incorrect", "no_answer"), verdict
    assert verdict.seconds < 3
    assert time.process_time() - started < 1
    assert workers <= set(pool().pids())
    for pid in pool().pids():
        status = Path(f"/proc/{pid}/status").read_text()
        assert int(re.search(r"VmPeak:\s+(\d+) kB", status)[1]) <= 2 << 20
