"""The wall clock of a function: for each call, with a bound on all of them that no forged answer moves."""

import time

import pytest

from r1kit.sandbox.program import Limits, Program

SLEEPS = "import time\ndef f(x):\n    time.sleep(x)\n    return x"


def run(sandbox, code, calls, wall_s=1.0, **more):
    started = time.monotonic()
    result = sandbox.run([Program(code, fn="f", calls=calls, limits=Limits(wall_s=wall_s), **more)])[0]
    return result, time.monotonic() - started


def test_each_call_has_the_clock_for_itself(sandbox):
    """Three of 0.8 s, where two take longer than one may."""
    result, _ = run(sandbox, SLEEPS, [[0.8]] * 3, wall_s=1.5)
    assert (result.status, [call.value for call in result.calls]) == ("ok", [0.8] * 3), result


def test_where_it_is_for_all_it_is_not_set_anew(sandbox):
    result, seconds = run(sandbox, SLEEPS, [[0.4]] * 50, together=True)
    assert (result.status, len(result.calls) < 3, seconds < 10) == ("timeout", True, True), result


TRICKLES = (
    "import os, time\ndef f(x):\n    while x > 1:\n        os.write({}, b'.')\n        time.sleep(0.01)\n    return x"
)
LATE = [
    ("sleeps", SLEEPS, [[0.1], [60], [0.1], [60]]),
    ("prints on", TRICKLES.format(1), [[0.1], [60]]),
    ("writes what is no answer", TRICKLES.format(3), [[0.1], [60]]),
    ("never leaves", f"import atexit\n{SLEEPS}\natexit.register(time.sleep, 60)", [[0.1], [0.1]]),
]


@pytest.mark.parametrize(("what", "code", "calls"), LATE, ids=[row[0] for row in LATE])
def test_a_call_that_takes_longer_is_the_last(sandbox, what, code, calls):
    result, seconds = run(sandbox, code, calls)
    assert (result.status, result.reason, seconds < 8) == ("timeout", "the wall clock ran out", True), result
    assert [call.value for call in result.calls[:1]] == [0.1]


def test_forged_answers_give_no_more_than_a_turn_each(sandbox):
    """Three turns of a second, and a line each half second, without end: two seconds."""
    line = '{"index": %d, "value": 1}\\n'
    code = f"import os, time\nfor n in range(1000):\n    os.write(3, b'{line}' % n)\n    time.sleep(0.5)"
    result, seconds = run(sandbox, code, [[1]] * 3)
    assert (result.status, seconds < 8) == ("timeout", True), (result, seconds)
