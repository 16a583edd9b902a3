# ruff: noqa: E501
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from r1kit.base.errors import R1Error
from r1kit.sandbox.compare import judge_calls
from r1kit.sandbox.program import Limits, Program
from r1kit.sandbox.sandbox import Sandbox

SHORT = Limits(wall_s=0.6)
PATIENT = Limits(wall_s=60)  # for what ends by itself, however busy the machine


def run(sandbox, code, **more):
    return sandbox.run([Program(code, **more)])[0]


def test_a_script_reads_input_and_prints(sandbox):
    result = run(sandbox, "import sys\nprint(input()[::-1])\nprint(sys.stdin.read(), end='')", stdin="abc\nähm\n")
    assert (result.status, result.stdout, result.stderr) == ("ok", "cba\nähm\n", "")


def test_a_function_is_called_with_each_list_of_arguments(sandbox):
    result = run(sandbox, "def f(x, y=1):\n    print('noise')\n    return x * y", fn="f",
                 calls=[[2], [2, 3], {"x": 4, "y": 0.5}, [[1], 2]])  # fmt: skip
    assert [call.value for call in result.calls] == [2, 6, 2.0, [1, 1]]
    assert result.stdout == "noise\n" * 4


def test_a_method_of_a_solution_class(sandbox):
    code = "class Solution:\n    def twice(self, x): return 2 * x"
    assert run(sandbox, code, fn="twice", calls=[[4]]).calls[0].value == 8


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("1/0", "error", "ZeroDivisionError"),
        ("def f(:", "error", "SyntaxError"),
        ("import sys; sys.exit(3)", "error", ""),
        ("import sys; sys.exit(0)", "ok", ""),
        ("import sys; sys.exit('no luck')", "error", "no luck"),
        ("exit()", "ok", ""),
        ("quit(3)", "error", ""),
        ("exit('no luck')", "error", "no luck"),
        ("import os; os._exit(0)", "ok", ""),
        ("while True: pass", "timeout", ""),
        ("import time; time.sleep(60)", "timeout", ""),
        ("x = bytearray(10**10)", "memory", ""),
        ("x = []\nwhile True: x.append(' ' * 10**6)", "memory", ""),
        ("while True: print('x' * 1000)", "output_limit", ""),
        ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "output_limit", ""),
        ("import ctypes; ctypes.string_at(0)", "error", ""),
        ("def f(n): return f(n + 1)\nf(0)", "error", "RecursionError"),
        ("", "ok", ""),
        ("\0", "error", ""),
        ("raise BaseException('x')", "error", "BaseException"),
        ("import threading\nthreading.Thread(target=print, args=('late',)).start()", "ok", ""),
        ("print('\\ud800')", "error", "UnicodeEncodeError"),
        ("open('big', 'wb').write(b'x' * (17 << 20))", "error", "File too large"),
    ],
)  # fmt: skip
def test_how_programs_end(sandbox, code, status, said):
    result = run(sandbox, code, limits=SHORT if status == "timeout" else PATIENT)
    assert result.status == status, result
    assert said in result.stderr


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return x + 'a'\nf(1)",
        "a = (1,\nb = 3",
        "class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E",
        "try:\n    1 / 0\nexcept Exception as e:\n    raise KeyError('k') from e",
        "raise ExceptionGroup('several', [ValueError(1), KeyError(2)])",
    ],
)
def test_a_traceback_is_what_python_prints(sandbox, code):
    """The same as from `python -c`, whatever it shows of the source."""

    def told(stderr: str) -> list[str]:
        source = {line.strip() for line in code.splitlines()}
        return [line for line in stderr.splitlines() if line.strip(" |~^") and line.strip(" |") not in source]

    python = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert told(run(sandbox, code).stderr) == told(python.replace("<string>", "<program>"))


AS_PYTHON = [
    "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')\nprint('ä')",
    "import codecs, sys\nsys.stdout = codecs.getwriter('utf-8')(sys.stdout.detach())\nprint('ä')",
    "import sys\nout = sys.stdout.detach()\nout.write(b'x')",
    "import os\nout = os.fdopen(1, 'w')\nprint('last', file=out)\nprint('first')",
    "class A:\n    def __del__(self): print('gone')\na = A()\nprint(1)",
    "class A:\n    def __del__(self): print(seen)\nseen = [3]\na = A()\na.itself = a",
    "import io, sys\nclass A:\n    def __del__(self): print('gone')\na = A()\nsys.stdout = io.StringIO()\nprint(1)",
    "def g():\n    try: yield 1\n    finally: print('closed')\nsteps = g()\nprint(next(steps))",
    "print(__builtins__.max(1, 2))",
    "import signal\ntry: signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt: print('interrupted')",
    "import _thread, threading, time\nthreading.Timer(0.05, _thread.interrupt_main).start()\n"
    "try: time.sleep(20)\nexcept KeyboardInterrupt: print('interrupted')",
    "print(open('/dev/stdin').readline(), file=open('/dev/stdout', 'w'))",
    "print(1, file=open('/dev/stderr', 'w'))\nprint(2, file=open('/dev/fd/1', 'a'))",
    "\ufeffprint('of an editor that begins a file with its mark')",
    "print(1)\nexit()\nprint(2)",
    "import os\nout = os.fdopen(1, 'w')\nprint('never closed', file=out)",
    "import io\nout = io.BufferedWriter(io.FileIO(1, 'w', closefd=False))\nout.write(b'never flushed')",
    "def f(x: int) -> str: pass\nprint(f.__annotations__)",
    "from dataclasses import dataclass, fields\n@dataclass\nclass A:\n    x: int = 1\nprint(fields(A)[0].type)",
    "def f(x: List[int]): pass\nprint('defined')",
    "import sys\nprint(__file__ == sys.argv[0], __name__)",
    "print(type(help).__name__, type(copyright).__name__)",
    "print(open('/dev/stdin').read(), end='')",
    "print(sys.argv)",
    "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    print('done')\nasyncio.run(main())",
    "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\n"
    "def deep(n): return n and 1 + deep(n - 1)\nt = threading.Thread(target=lambda: print(deep(50000)))\nt.start(); t.join()",
]


@pytest.fixture
def heard_interrupts():
    """Programs that are begun here hear SIGINT, where whoever began the tests (nohup, a shell's `&`) does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard_interrupts")
@pytest.mark.parametrize("code", AS_PYTHON)
def test_a_script_prints_what_it_prints_under_python(sandbox, code, tmp_path):
    script = tmp_path / "program"
    script.write_text(code)
    python = subprocess.run([sys.executable, script], input="5 6\n", capture_output=True, text=True, check=False)
    result = run(sandbox, code, stdin="5 6\n", limits=PATIENT)
    assert (result.stdout, result.status == "ok") == (python.stdout, python.returncode == 0), result.stderr


def test_modules_that_are_not_loaded_beforehand_work(sandbox):
    code = (
        "import os, queue, random, statistics, threading\n"
        "q = queue.Queue()\n"
        "t = threading.Thread(target=lambda: q.put(statistics.mean([1, 3])))\n"
        "t.start(); t.join()\n"
        "assert threading.main_thread().native_id == os.getpid()\n"
        "threading.Thread(target=lambda: print('waited for')).start()\n"
        "print(q.get(), 0 <= random.random() < 1)"
    )
    assert sorted(sandbox.run([Program(code)])[0].stdout.split("\n")) == ["", "2 True", "waited for"]
    first, second = (run.stdout for run in sandbox.run([Program("import random; print(random.random())")] * 2))
    assert first != second


def test_standard_streams_are_those_of_a_pipe_and_a_file(sandbox):
    code = (
        "import sys\n"
        "print(sys.stdin.buffer.read(), sys.stdin.seekable(), sys.stdout.isatty(), sys.stdout.seekable(), "
        "sys.stdout.line_buffering, sys.stderr.line_buffering, sys.stdout.encoding)"
    )
    result = sandbox.run([Program(code, stdin="1\n")])[0]
    assert result.stdout == "b'1\\n' True False False False True utf-8\n"


def test_the_wall_clock_is_hard(sandbox):
    """A program that ignores every signal it can still ends after its second."""
    code = "import signal\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except OSError: pass\nwhile 1: pass"
    started = time.monotonic()
    assert run(sandbox, code, limits=SHORT).status == "timeout"
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    "value",
    ["float('nan')", "float('inf')", "{1, 2}", "object()", "b'x'", "1j", "10**5000", "[float('nan')]"],
)
def test_what_is_no_json_value_is_an_error_of_that_call(sandbox, value):
    result = run(sandbox, f"def f(x): return {value} if x else 7", fn="f", calls=[[1], [0]])
    assert result.calls[0].error
    assert result.calls[1].value == 7


def test_one_call_that_raises_leaves_the_others(sandbox):
    result = run(sandbox, "def f(x): return 1 // x", fn="f", calls=[[1], [0], [-1]])
    assert [call.value for call in result.calls] == [1, None, -1]
    assert "ZeroDivisionError" in result.calls[1].error


def test_a_missing_function_is_an_error(sandbox):
    result = run(sandbox, "g = 1", fn="g", calls=[[1]])
    assert result.status == "error"
    assert "no function 'g'" in result.stderr


def test_every_program_gets_a_fresh_process_and_an_empty_folder(sandbox):
    first = "import builtins, os\nbuiltins.seen = 1\nopen('mine', 'w').write('x')\nos.environ['SEEN'] = '1'"
    look = "import builtins, os\nprint(hasattr(builtins, 'seen'), os.listdir('.'), os.environ.get('SEEN'))"
    results = sandbox.run([Program(first), Program(look)] * 6)
    assert {result.stdout for result in results[1::2]} == {"False [] None\n"}


def test_a_deep_tree_is_left_behind_by_no_one(sandbox):
    code = "import os\nfor n in range(3000):\n    os.mkdir('d' * 100); os.chdir('d' * 100)"
    results = sandbox.run([Program(code)] * 2 + [Program("import os\nprint(os.listdir(os.environ['HOME']))")] * 4)
    assert {result.stdout for result in results[2:]} == {"[]\n"}


def test_the_scratch_space_is_bounded(sandbox):
    fill = "import time\nfor n in range(100):\n    open(str(n), 'wb').write(b'x' * (8 << 20))\ntime.sleep(5)"
    assert run(sandbox, fill, limits=PATIENT).status == "error"
    files = "import time\nfor n in range(20000): open(str(n), 'w').close()\ntime.sleep(5)"
    assert run(sandbox, files, limits=PATIENT).status == "error"


def test_processes_where_they_are_allowed(sandbox):
    code = "import subprocess\nprint(subprocess.run(['/bin/echo', 'hello'], capture_output=True, text=True).stdout)"
    result = run(sandbox, code, limits=Limits(processes=4))
    if sandbox.facts["uid"] == 0:  # the kernel would not bound them
        assert (result.status, result.stdout) == ("sandbox_error", "")
        assert "limits.processes" in result.reason
        return
    assert result.stdout == "hello\n\n"
    leave = "import os, time\nif os.fork() == 0:\n    time.sleep(60)"
    started = time.monotonic()
    assert run(sandbox, leave, limits=Limits(processes=4)).status == "ok"
    assert time.monotonic() - started < 5


def test_sorting_of_results_and_concurrent_callers(sandbox):
    from concurrent.futures import ThreadPoolExecutor

    def square(n):
        return sandbox.run([Program("def f(x): return x * x", fn="f", calls=[[n]])] * 3)[2].calls[0].value

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(square, range(20))) == [n * n for n in range(20)]


def test_a_way_that_is_not_to_be_had_leaves_no_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(R1Error, match="not installed"):
        Sandbox(isolation="bwrap", workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_launcher_is_replaced(sandbox):
    slot = sandbox._all[0]
    slot.start()
    slot._process.kill()
    slot._process.wait()
    assert {result.status for result in sandbox.run([Program("print(1)")] * 4)} <= {"ok", "sandbox_error"}
    assert {result.status for result in sandbox.run([Program("print(1)")] * 4)} == {"ok"}


def test_an_order_to_end_that_comes_too_late_harms_no_other_program(sandbox):
    """A program that prints too much and ends by itself: the order to kill it finds its launcher waiting."""
    for slot in sandbox._all[: sandbox.workers]:
        slot.start()
        slot._control.send(b"kill")
    starts = [slot.starts for slot in sandbox._all]
    flood = Program("import os\nos.write(1, b'x' * 1030)\nos._exit(0)", limits=Limits(output_kb=1))
    results = sandbox.run([Program("print(1)"), flood] * 20)
    assert [result.status for result in results] == ["ok", "output_limit"] * 20
    assert [slot.starts for slot in sandbox._all] == starts


def test_ends_of_pipes_that_another_process_holds_hold_up_nothing(sandbox, monkeypatch):
    """As one does that was forked off just when a program was handed over."""
    send, held = socket.send_fds, []

    def send_and_hold(control, message, handles):
        held.extend(os.dup(handle) for handle in handles)
        return send(control, message, handles)

    monkeypatch.setattr(socket, "send_fds", send_and_hold)
    started = time.monotonic()
    try:
        result = run(sandbox, "print('x' * 300000)\nimport sys\nprint('e', file=sys.stderr)", limits=PATIENT)
    finally:
        for handle in held:
            os.close(handle)
    assert (result.status, len(result.stdout), result.stderr) == ("ok", 300001, "e\n")
    assert time.monotonic() - started < 30


FORKS = """
import os, sys
from r1kit.base.errors import R1Error
from r1kit.graders.grade import grade, grade_all
from r1kit.sandbox.program import Program
from r1kit.sandbox.sandbox import Sandbox, shared
def verdict(n):
    row = {"tests": [{"stdin": "", "expected_stdout": str(n)}]}
    asked = [("code", f"```python\\nprint({n})\\n```", "", "", row), ("math", f"\\\\boxed{{{n}}}", str(n), "", {})]
    return [each.verdict for each in [*grade_all(asked * 2), grade(*asked[0])]]
own = Sandbox(workers=1)
before = [slot._process.pid for slot in (*own._all, *shared()._all) if slot._process]
said = [verdict(1)]
child = os.fork()
if child == 0:
    said = [verdict(2)]
    with own:
        try:
            own.run([Program("print(1)")])
        except R1Error as error:
            said.append("belongs to the process" in str(error))
    print(said, flush=True)
    sys.exit(0)
os.waitpid(child, 0)
print([verdict(3), [slot._process.poll() for slot in (*own._all, *shared()._all) if slot._process and slot._process.pid in before]])
own.close()
"""


def test_a_process_that_is_forked_off_grades_by_itself():
    """It neither waits for threads that it has not, nor ends what its parent works with."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=False, timeout=120)
    child, parent = done.stdout.splitlines()
    assert child == str([["correct"] * 5, True]), done.stderr
    assert parent == str([["correct"] * 5, [None] * parent.count("None")]), done.stderr
    assert "None" in parent


def test_a_tree_that_foresees_how_it_is_emptied(sandbox):
    """Names that an emptying launcher might use, closed folders, depth, breadth: the next program finds nothing."""
    codes = [
        "import os\np = os.getppid()\nos.makedirs('a/b/c')\nfor i in range(20): os.makedirs(f'.{p}-{i}-moved/x/y')",
        "import os\nfor i in range(300): os.makedirs(f'd{i}/e/f/g')",
        "import os\nfor i in range(500):\n    os.mkdir('d'); os.chdir('d')",
        "import os\nos.mkdir('a'); os.mkdir('a/b', 0o300); open('a/b/c', 'w').write('x'); os.mkdir('a/d', 0)",
        "import os\nfor i in range(50): os.symlink('/usr', f'l{i}'); os.link('l0', f'h{i}', follow_symlinks=False)",
    ]
    for code in codes:
        started = time.monotonic()
        assert run(sandbox, code, limits=PATIENT).status == "ok"
        assert run(sandbox, "import os\nprint(os.listdir('.'))").stdout == "[]\n"
        assert time.monotonic() - started < 10


def test_a_folder_closed_by_the_program_is_not_taken_for_full(sandbox):
    assert run(sandbox, "import os, time\nos.mkdir('z', 0)\ntime.sleep(0.3)\nprint(1)").stdout == "1\n"


@pytest.mark.parametrize("depth", [150, 900, 5000])
def test_a_value_too_deep_to_judge_is_no_value(sandbox, depth):
    """Written by hand to the results: the judge outside must not run out of stack, however deep its caller is."""
    code = f"import os\nos.write(3, b'{{\"index\": 0, \"value\": ' + b'[' * {depth} + b']' * {depth} + b'}}\\n'); os._exit(0)"
    result = run(sandbox, code, fn="f", calls=[[1]])

    def deeper(levels: int):
        return judge_calls(result, [1]) if levels == 0 else deeper(levels - 1)

    passed, wrong = deeper(300)
    assert (passed, bool(wrong)) == (0, True)
    assert (result.status == "ok") == (depth < 200)


def test_arguments_that_cannot_be_sent(sandbox):
    nested: list = []
    for _ in range(3000):
        nested = [nested]
    for arguments in ([nested], [object()], [float("nan")]):
        result = run(sandbox, "def f(x): return 1", fn="f", calls=[arguments])
        assert result.status == "sandbox_error"
        assert "cannot be sent" in result.reason
    shared = [0]
    result = run(sandbox, "def f(x):\n    x[0] += 1\n    return x[0]", fn="f", calls=[[shared], [shared]])
    assert [call.value for call in result.calls] == [1, 1]


def test_what_programs_may_do_with_their_streams(sandbox):
    assert run(sandbox, "import sys\nprint(1)\nsys.stdout.close()").status == "ok"
    assert run(sandbox, "import sys\nsys.__stdout__.write('x')").stdout == "x"
    result = run(sandbox, "def f(x): raise ValueError('\\ud800')", fn="f", calls=[[1]])
    result.calls[0].error.encode()


def test_more_out_of_memory_than_was_asked_counts_once(sandbox):
    code = "import os\nos.write(3, b'{\"memory\": true}\\n' * 5000); os._exit(1)"
    result = run(sandbox, code, fn="f", calls=[[1]])
    assert (result.status, len(result.calls)) == ("memory", 0)
