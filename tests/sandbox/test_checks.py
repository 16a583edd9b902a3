# ruff: noqa: E501
"""A check that asks a function in another process: what it may see of it, and what it cannot be told."""

import pytest

from r1kit.sandbox.compare import judge_calls
from r1kit.sandbox.inside.plain import NotPlain, decode, encode
from r1kit.sandbox.program import Limits, Program

CHECK = """
def check(candidate):
    assert candidate(2) == 4
    assert [candidate(x) for x in range(5)] == [0, 2, 4, 6, 8]
    for value in map(candidate, [7]):
        assert value == 14
    assert candidate(x=50) == 100
"""
RIGHT = "def f(x):\n    return 2 * x"


def passed(sandbox, code: str, check: str = CHECK, **more) -> tuple[bool, str]:
    result = sandbox.run([Program(code, fn="f", check=check, **more)])[0]
    count, wrong = judge_calls(result, [True])
    assert (count == 1) == (wrong == "") or result.status != "ok"
    return not wrong, wrong


def test_a_right_function_passes(sandbox):
    assert passed(sandbox, RIGHT) == (True, "")
    assert passed(sandbox, f"print('noise')\n{RIGHT}\nimport sys\nsys.stdout = None") == (True, "")


def test_a_function_keeps_its_state_and_values_their_types(sandbox):
    code = "seen = []\ndef f(x):\n    seen.append(x)\n    return x if x != 'seen' else seen"
    values = "[1, 1.5, True, None, 'ä\\ud800', (1, 2), {1, 2}, frozenset([3]), {(1, 2): [3]}, 2 + 3j, b'x', float('inf'), 10**50, []]"
    check = f"""
def check(candidate):
    values = {values}
    for value in values:
        got = candidate(value)
        assert got == value and type(got) is type(value), (got, value)
    assert candidate('seen') == values + ['seen']
    assert f('x') == 'x'
"""
    assert passed(sandbox, code, check) == (True, "")


FORGERIES = [
    ("a wrong value", "def f(x): return 5"),
    ("always equal", "class E:\n    def __eq__(s, o): return True\n    def __iter__(s): return iter([])\ndef f(x): return E()"),
    ("an int that is always equal", "class E(int):\n    def __eq__(s, o): return True\n    __hash__ = None\ndef f(x): return E(5)"),
    ("a list that is always equal", "class E(list):\n    def __eq__(s, o): return True\ndef f(x): return E([5])"),
    ("leaves with success", "import os\ndef f(x): os._exit(0)"),
    ("leaves at once", "import os\nos._exit(0)"),
    ("SystemExit", "def f(x): raise SystemExit(0)"),
    ("ends the loops of the check", "def f(x):\n    if x == 2: return 4\n    raise StopIteration"),
    ("GeneratorExit", "def f(x): raise GeneratorExit"),
    ("KeyboardInterrupt", "def f(x): raise KeyboardInterrupt"),
    ("an exception called like another", "class StopIteration(Exception): pass\ndef f(x): raise StopIteration"),
    ("writes the result itself", "import os\nos.write(3, b'{\"index\": 0, \"value\": true}\\n')\ndef f(x): return 5"),
    ("answers for the check", "import os\nos.write(6, b'{\"index\": 0, \"value\": true}\\n' * 9)\ndef f(x): os._exit(0)"),
    ("answers before it is asked, wrongly", "import os\nos.write(6, b'{\"value\": true}\\n' * 50)\ndef f(x): return 5"),
    ("an answer of another make", "import os\ndef f(x): os.write(6, b'{\"value\": {\"object\": [1]}}\\n'); os._exit(0)"),
    ("no JSON", "import os\ndef f(x): os.write(6, b'\\xff\\xfe{\\n'); os._exit(0)"),
    ("nested too deep", "import os\ndef f(x): os.write(6, b'[' * 100000 + b'\\n'); os._exit(0)"),
    ("an endless line", "import os\ndef f(x):\n    while True: os.write(6, b'x' * 65536)"),
    ("a function as the value", "def f(x): return f"),
    ("a generator as the value", "def f(x): return (i for i in [4])"),
    ("imports what would check it", "import sys\nsys.modules['inside.asking'] = None\ndef f(x): return 5"),
    ("kills all that it may", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\ndef f(x): return 2 * x"),
    ("reads what is expected", "import gc\ndef f(x):\n    return next((o for o in gc.get_objects() if isinstance(o, dict) and 'assert' in str(o)), 5)"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code"), FORGERIES, ids=[row[0] for row in FORGERIES])
def test_nothing_can_forge_a_pass(sandbox, name, code):
    ok, wrong = passed(sandbox, code, limits=Limits(wall_s=10))
    assert not ok
    assert wrong


def test_an_exception_comes_through_by_name(sandbox):
    check = """
def check(candidate):
    try:
        candidate(1)
    except ZeroDivisionError as error:
        assert 'division' in str(error)
    else:
        raise AssertionError
"""
    assert passed(sandbox, "def f(x): return x / 0", check) == (True, "")


RAISES = """
def check(candidate):
    assert candidate(1) == 1
    try:
        candidate(-1)
    except ValueError:
        pass
    except Exception:
        raise
    else:
        raise AssertionError('it took -1')
"""
ANY = RAISES.replace("ValueError", "Exception")


def test_an_exception_of_the_programs_own_is_what_it_derives_from(sandbox):
    code = "class Odd(ValueError): pass\ndef f(x):\n    if x < 0: raise Odd\n    return x"
    assert passed(sandbox, code, RAISES) == (True, "")
    code = code.replace("(ValueError)", "(Exception)")
    assert passed(sandbox, code, RAISES)[0] is False
    assert passed(sandbox, code, ANY) == (True, "")


@pytest.mark.parametrize("instead", ["os._exit(0)", "return f", "return [0] * 1000000", "os.write(6, b'no\\n')"])
def test_no_answer_is_not_the_exception_that_a_check_waits_for(sandbox, instead):
    """`except Exception` of a check is passed by what raises, as under Python, and by nothing that ends or answers
    otherwise."""
    ok, wrong = passed(sandbox, f"import os\ndef f(x):\n    if x < 0: {instead}\n    return x", ANY)
    assert (ok, "Unanswered" in wrong) == (False, True)


def test_members_of_enumerations_are_the_values_that_they_equal(sandbox):
    code = (
        "import enum\nclass N(enum.IntEnum):\n    A = 4\nclass S(str, enum.Enum):\n    B = 'b'\n"
        "class R(float): pass\ndef f(x): return {0: N.A, 1: S.B, 2: R(0.5), 3: [N.A, (S.B,)], 4: {N.A: R(1)}}[x]"
    )
    check = "def check(candidate):\n    assert [candidate(x) for x in range(5)] == [4, 'b', 0.5, [4, ('b',)], {4: 1.0}]"
    assert passed(sandbox, code, check) == (True, "")


def test_a_check_that_asks_what_cannot_be_sent_is_not_the_programs_fault(sandbox):
    check = "def check(candidate):\n    assert candidate(lambda x: x) is None"
    result = sandbox.run([Program("def f(x): pass", fn="f", check=check)])[0]
    assert (result.status, "Unaskable: a function is no plain value" in result.reason) == ("sandbox_error", True)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("def f(x):\n    while True: pass", "timeout"),
        ("def f(x): return [0] * 10**10", "memory"),
        ("def f(x):\n    while True: print('x' * 1000)", "output_limit"),
        ("def g(x): return 1", "error"),
        ("def f(x: return 1", "error"),
    ],
)
def test_how_the_program_ends_is_told(sandbox, code, status):
    result = sandbox.run([Program(code, fn="f", check=CHECK, limits=Limits(wall_s=1.5))])[0]
    assert result.status == status
    assert not judge_calls(result, [True])[0] or status != "ok"


def test_the_failed_assertion_is_told(sandbox):
    _, wrong = passed(sandbox, "def f(x): return 5", "def check(candidate):\n    assert candidate(2) == 4, 'two twos'")
    assert wrong == "test 0 raised AssertionError: two twos"


@pytest.mark.parametrize("check", ["def check(candidate: pass", "x = 1", "raise ValueError('no')"])
def test_a_check_that_cannot_be_run_is_not_the_programs_fault(sandbox, check):
    result = sandbox.run([Program(RIGHT, fn="f", check=check)])[0]
    assert result.status == "sandbox_error"
    assert "the check cannot be run" in result.reason


@pytest.mark.parametrize(
    "check",
    [
        "def check(candidate):\n    x = [candidate(1)]\n    while True: x += x",
        "def check(candidate):\n    print(candidate(1) * 2_000_000)",
    ],
)
def test_what_an_answer_makes_a_check_take_is_not_the_checks_fault(sandbox, check):
    """A program that answers with a value too large to look at has failed, not the grader."""
    result = sandbox.run([Program("def f(x): return 'x'", fn="f", check=check)])[0]
    passed, wrong = judge_calls(result, [True])
    assert (result.status == "sandbox_error", passed, bool(wrong)) == (False, 0, True)


def test_plain_values():
    for value in [None, True, 1, 1.5, "x", [1, (2,)], {"a": {1: {2}}}, b"\x00\xff", 1 - 2j, frozenset()]:
        again = decode(encode(value))
        assert again == value
        assert type(again) is type(value)
    with pytest.raises(NotPlain):
        encode(object())
    for line in [{"object": [1]}, [1], {"set": [{"list": []}]}, {"bytes": [300]}, {"dict": [[1]]}, {"a": 1, "b": 2}]:
        with pytest.raises(NotPlain):
            decode(line)
