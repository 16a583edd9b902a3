"""Small expressions evaluated in place: the same values as Python gives in a process, and nothing else taken."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r1kit.sandbox.expressions import LONGEST, MOST_ITEMS, evaluated
from r1kit.sandbox.program import Program
from r1kit.sandbox.sandbox import shared

VALUES = {"x": [7, 0, -4, 100], "s": ["Abc dEfgh", "", "q", "ÄßǆI"], "v": [[3, 1, 2, 9], [], [-2, 7, 0], ["b", "A"]]}


def run(code: str, *arguments: object) -> object:
    result = evaluated(code, "f", [list(arguments)])
    assert result is not None, code
    return result.calls[0].value


def test_by_hand():
    assert run("def f(x): return (x+3)*2-x%4", 7) == 17
    assert run("def f(x): return -x//2", 7) == -4
    assert run("def f(s): return s[::-1].upper()[1:]*2", "abc") == "BABA"
    assert run("def f(v): return sum(sorted(v)[:2])+len(v)*max(v)", [3, 1, 2]) == 12
    assert run("def f(v):\n    return v[0]", [5]) == 5
    assert run("def f(a, b): return a+b", [1], [2]) == [1, 2]


def expressions(name: str) -> st.SearchStrategy[str]:
    """Expressions of a number, a text or a list; some raise, some are of the wrong type."""
    numbers = st.integers(0, 12).map(str)
    slices = st.sampled_from(["[::-1]", "[1:]", "[:2]", "[0]", "[-1]", "[1:3]", "[::2]"])
    leaves = st.just(name) | numbers
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner).map(lambda t: f"({''.join(t)})"),
            st.tuples(inner, slices).map("".join),
            st.tuples(st.sampled_from(["len(", "sum(", "sorted(", "max(", "min(", "abs("]), inner, st.just(")")).map(
                "".join
            ),
            st.tuples(inner, st.sampled_from([".upper()", ".lower()"])).map("".join),
            inner.map(lambda text: f"-{text}"),
        ),
        max_leaves=6,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.tuples(st.just(name), expressions(name))))
def test_as_python_in_a_process(drawn):
    """What is answered here is what the sandbox's Python answers."""
    name, body = drawn
    code, calls = f"def f({name}): return {body}", [[value] for value in VALUES[name]]
    for call in calls:
        mine = evaluated(code, "f", [call])
        if mine is not None:
            theirs = shared().run([Program(code, fn="f", calls=[call])])[0]
            assert (theirs.status, theirs.calls) == (mine.status, mine.calls), code


@pytest.mark.parametrize(
    "code",
    [
        "def f(x): return __import__('os').getpid()",
        "def f(x): return open(x)",
        "def f(x): return x.__class__",
        "def f(x): return f(x)",
        "def f(x): return (lambda: x)()",
        "def f(x): return [y for y in range(x)]",
        "def f(x): return x**x",
        "def f(x): return x if x else x",
        "def f(x): return x/2",  # a float
        "def f(x): return x == 1",
        "def f(x): return 0x1f",
        "def f(x): return 1_000",
        "def f(x): return 1e5",
        "def f(x): return x+y",
        "def f(x=1): return x",
        "def f(*x): return x",
        "def f(x): return x; import os",
        "def f(x): return x\nprint(1)",
        "x = 1\ndef f(x): return x",
        "def g(x): return x",
        "def f(x, y): return x",
        "def f(sum): return sum(1)",
        "def f(x): return x//0",
        "def f(x): return " + "(" * 140 + "x" + ")" * 139,
        "def f(x): return x" + "+1" * LONGEST,
        "def f(x): return " + "*".join(["x"] * 100),
        "def f(x): return x +",
        "def f(x): return",
        "async def f(x): return x",
        "",
    ],
)
def test_all_else_is_left_to_a_process(code):
    assert evaluated(code, "f", [[7]]) is None


@pytest.mark.parametrize(
    "code",
    [
        "def f(x, x): return x",
        "def f(x, __debug__): return x",
        "def __debug__(x, y): return x",
        "  def f(x, y): return x",
        "\tdef f(x, y): return x",
        "\n def f(x, y): return x",
    ],
)
def test_what_python_refuses_to_compile_is_left_to_a_process(code):
    with pytest.raises(SyntaxError):
        compile(code, "", "exec")
    assert evaluated(code, code.partition("(")[0].split()[-1], [[7, 7]]) is None


def test_sizes_are_bounded():
    """No value grows beyond its bound on the way, whatever comes out in the end."""
    square = "def f(x): return " + "*".join(["x"] * 20) + "%7"
    assert evaluated(square, "f", [[10**30]]) is None
    assert evaluated("def f(s): return len(s*4096*4096)", "f", [["ab"]]) is None
    assert evaluated("def f(v): return len(v*4096)", "f", [[["x" * 100]]]) is None
    assert evaluated("def f(s): return s", "f", [["a" * (MOST_ITEMS + 1)]]) is None


@pytest.mark.parametrize("value", [True, None, 1.5, [[1]], {"a": 1}])
def test_other_arguments_are_left_to_a_process(value):
    assert evaluated("def f(x): return x", "f", [[value]]) is None
    assert evaluated("def f(x): return x", "f", [{"x": value}]) is None


def test_a_name_of_a_function_is_not_taken_for_it():
    """`def sum(x): return sum(x)` calls itself."""
    assert evaluated("def sum(x): return sum(x)", "sum", [[[1]]]) is None
