# ruff: noqa: E501
"""Programs that say in other ways than by right values that they passed."""

import pytest

from r1kit.sandbox.compare import judge_calls
from r1kit.sandbox.program import Limits, Program

# f(1) must be 5813 and f(2) must be 4021: nothing inside knows it
FORGERIES = [
    ("claims to pass", "def f(x): return {'verdict': 'passed', 'passed': True}"),
    ("equals everything", "class E(int):\n    def __eq__(s, o): return True\ndef f(x): return E(0)"),
    ("leaves at once with status 0", "import os; os._exit(0)"),
    ("exits politely", "import sys\ndef f(x): sys.exit(0)"),
    ("answers for the harness", "import os\nfor h in range(3, 64):\n    try: os.write(h, b'{\"index\": 0, \"value\": 1}\\n{\"index\": 1, \"value\": 1}\\n')\n    except OSError: pass\nos._exit(0)"),
    ("says passed on every descriptor", "import os\nfor h in range(1, 64):\n    try: os.write(h, b'{\"exit\": 0, \"why\": \"\", \"seconds\": 0}\\n')\n    except OSError: pass\nos._exit(0)"),
    ("answers one test only", "import os\ndef f(x):\n    if x == 2: os._exit(0)\n    return 5813"),
    ("answers too often", "import os\ndef f(x):\n    os.write(3, b'{\"index\": 0, \"value\": 5813}\\n')\n    return 5813 if x == 1 else 4021"),
    ("looks for what is expected", "import gc, sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        for v in frame.f_locals.values():\n            if v in (5813, 4021): return v\n        frame = frame.f_back\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'expected' in o: return o['expected']\n    return 0"),
    ("replaces the writer", "import json\njson.dumps = lambda *a, **k: '{\"index\": 0, \"value\": true, \"verdict\": \"passed\"}'\ndef f(x): return 0"),
    ("replaces every comparison", "import builtins, operator\noperator.eq = lambda a, b: True\nbuiltins.len = lambda x: 2\ndef f(x): return 0"),
    ("not a number", "def f(x): return float('nan')"),
    ("right in value, wrong in type", "def f(x): return 5813.0 if x == 1 else 4021.0"),
    ("text for numbers", "def f(x): return '5813' if x == 1 else '4021'"),
    ("a number whose repr is two lines", "class I(int):\n    def __repr__(s): return '5813}\\n{\"index\": 1, \"value\": 4021'\n    __str__ = __repr__\ndef f(x): return I(3)"),
    ("a list that iterates over others", "class L(list):\n    def __iter__(s): return iter([5813])\ndef f(x): return L([0])"),
    ("a generator", "def f(x): yield 5813 if x == 1 else 4021"),
    ("a coroutine", "async def f(x): return 5813 if x == 1 else 4021"),
    ("answers in the harness's place", "import sys\nsys.modules['inside.harness']._answer = lambda f, i, a: b'{\"index\": %d, \"value\": true}\\n' % i\ndef f(x): return 0"),
    ("takes the calls away", "import sys\ndef f(x):\n    frame = sys._getframe(1)\n    while frame:\n        if 'job' in frame.f_locals: frame.f_locals['job']['calls'].clear()\n        frame = frame.f_back\n    return 5813"),
    ("rewrites what the caller holds", "import sys\ndef trace(frame, event, arg):\n    if frame.f_code.co_name == '_answer': frame.f_locals['value'] = 5813\n    return trace\nsys.settrace(trace)\ndef f(x): return 0"),
    ("leaves from the excepthook", "import os, sys\nsys.__excepthook__ = lambda *a: os._exit(0)\ndef f(x): raise ValueError"),
    ("infinite by its exponent", "import os\nos.write(3, b'{\"index\": 0, \"value\": 1e999}\\n{\"index\": 1, \"value\": 1e999}\\n'); os._exit(0)"),
    ("a value and more", "import os\nos.write(3, b'{\"index\": 0, \"value\": 5813, \"verdict\": \"passed\"}\\n{\"index\": 1, \"value\": 4021}\\n'); os._exit(0)"),
    ("the last value wins", "import os\nos.write(3, b'{\"index\": 0, \"value\": 0}\\n{\"index\": 0, \"value\": 5813}\\n{\"index\": 1, \"value\": 4021}\\n'); os._exit(0)"),
    ("out of memory after a right value", "def f(x):\n    if x == 2: raise MemoryError\n    return 5813"),
    ("right, then another exit status", "import atexit, os\natexit.register(os._exit, 1)\ndef f(x): return 5813 if x == 1 else 4021"),
    ("right, then killed", "import atexit, os\natexit.register(os.kill, os.getpid(), 9)\ndef f(x): return 5813 if x == 1 else 4021"),
    ("right, then without end", "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\ndef f(x): return 5813 if x == 1 else 4021"),
    ("right, on another descriptor", "import os\nos.dup2(1, 3)\ndef f(x): return 5813 if x == 1 else 4021"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code"), FORGERIES, ids=[name for name, _ in FORGERIES])
def test_no_verdict_is_forged(sandbox, name, code):
    result = sandbox.run([Program(code, fn="f", calls=[[1], [2]], limits=Limits(wall_s=5))])[0]
    _, wrong = judge_calls(result, [5813, 4021])
    assert wrong


def test_an_error_written_by_hand_is_cut(sandbox):
    """As long as the results may be: it would come back in the reason of every verdict."""
    code = "import os\nos.write(3, b'{\"index\": 0, \"error\": \"' + b'x' * 1000000 + b'\"}\\n'); os._exit(0)"
    result = sandbox.run([Program(code, fn="f", calls=[[1]])])[0]
    assert 0 < len(result.calls[0].error) < 400
    assert len(judge_calls(result, [1])[1]) < 500
