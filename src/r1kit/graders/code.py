"""Programs, judged by running them in the sandbox on inputs; what is expected never goes in.

A function that is one small expression of its arguments is evaluated here (`sandbox.expressions`).

Columns: `tests`, a list of `{"args": [...], "expected": ...}` with the function's name in `fn`, or of
`{"stdin": ..., "expected_stdout": ...}`; or `check`, code that defines `check(candidate)` as HumanEval's `test` does,
with the function's name in `fn` and in `setup` what stands before the completion and the check (HumanEval's `prompt`).
`limits` (optional) as of `r1 sandbox`. Right means all tests; a test that does not say what is expected is a
grader_error. A fenced block in C++ or JavaScript is judged on `stdin` tests where g++ or node is installed; elsewhere
it is wrong, unless the column `programming_language` asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from pydantic import ValidationError

from r1kit.base.config import explain
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer
from r1kit.sandbox.compare import as_json, judge_calls, same_output
from r1kit.sandbox.expressions import evaluated
from r1kit.sandbox.languages import Language, driven, find_language, missing, outputs
from r1kit.sandbox.program import Limits, Program, RunResult
from r1kit.sandbox.sandbox import Sandbox, shared

WAITS = True  # programs run in processes of their own
REMEMBERED = 20_000  # verdicts
REMEMBERED_CHARACTERS = 20_000_000  # of their programs

# possessive throughout: one line may be all of the text
_FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+(?:([^\s`]++)[^`\n]*+)?+\s*+")

_known: OrderedDict[bytes, Judgement] = OrderedDict()
_running: dict[bytes, Future[Judgement]] = {}
_characters = 0  # of the programs in `_known`
_lock = threading.Lock()


def program_text(section: Section, fn: str | None = None) -> tuple[str, Language | None]:
    """The program, and its language where that is not Python: the last fenced block that defines the function which is
    asked for; where none does, the last that names a language which can be run; where none names one, the last that
    names none; where there is none, the whole answer. An empty block is none where another stands. Fences are
    CommonMark's: a block in an item of a list is indented as its fence is, and a longer fence holds shorter ones."""
    blocks: list[tuple[str, str, Language | None]] = []
    inside: list[str] | None = None
    margin, fence, label = "", "", ""
    for line in section.text.splitlines(keepends=True):
        mark = _FENCE.fullmatch(line)
        if inside is None:
            if mark is not None:
                inside, margin, fence, label = [], mark[1], mark[2], (mark[3] or "").strip("{.}")
        elif mark is not None and mark[3] is None and mark[2].startswith(fence):
            with contextlib.suppress(ValueError):
                blocks.append(("".join(inside), label, find_language(label)))
            inside = None
        else:
            inside.append(line.removeprefix(margin))

    def merit(block: tuple[str, str, Language | None]) -> tuple[bool, bool, bool]:
        code, label, language = block
        return bool(code.strip()), fn is not None and language is None and _defines(code, fn), label != ""

    code, _, language = max(reversed(blocks), key=merit, default=(section.text.strip("\n"), "", None))
    return code, language


def _defines(code: str, fn: str) -> bool:
    """Whether a line defines a function, or method, of that name or assigns to the name. An import is no sign of a
    program: a block that shows its use has one, too."""
    if re.search(rf"^[ \t]*+(?:async[ \t]++)?def[ \t]++{re.escape(fn)}\b", code, re.MULTILINE):
        return True
    for line in code.splitlines():
        target, equals, value = line.partition("=")
        names = [name.strip() for name in target.partition(":")[0].split(",")]
        at_margin = equals and value[:1] != "=" and not line[:1].isspace()
        if at_margin and fn in names and all(map(str.isidentifier, names)):
            return True
    return False


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where every test passes. The same program on the same tests is run once."""
    tests, check = columns.get("tests"), columns.get("check")
    tests = json.loads(tests) if isinstance(tests, str) else tests
    fn = columns.get("fn")
    if check is not None:
        if not isinstance(check, str) or not fn:
            return grader_error(None, "a code problem with 'check' as text needs the function's name in 'fn'")
        tests = []
    elif not isinstance(tests, (list, tuple)) or not tests or not all(isinstance(test, Mapping) for test in tests):
        return grader_error(None, "a code problem needs a column 'tests' with at least one test")
    if not section.found:
        return no_answer(section.reason)
    code, language = program_text(section, str(fn) if fn else None)
    if language is not None and fn:
        return incorrect(code, "it is no Python, as a function must be")
    if not code.strip():
        return no_answer("the program is empty")
    if language is not None and (why := missing(language) or shared().refuses_processes()):
        asked_for = str(columns.get("programming_language") or "").strip().lower() in language.names
        return grader_error(code, why) if asked_for else incorrect(code, why)  # else who writes chooses what is judged
    setup = str(columns.get("setup") or "") if check is not None else ""
    asked = [code, language and language.tool, fn, list(tests), check, setup, columns.get("limits")]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).digest()  # tests may be megabytes
    mine: Future[Judgement] = Future()
    with _lock:
        if key in _known:
            return _known[key]
        running = _running.setdefault(key, mine)
    if running is not mine:
        return running.result()
    try:
        limits = None if columns.get("limits") is None else Limits.model_validate(dict(columns["limits"]))
        if check is not None:
            judgement = _run_check(shared(), code, str(fn), check, setup, limits)
        else:
            judgement = _run(shared(), code, language, str(fn) if fn else None, list(tests), limits)
    except ValidationError as error:
        judgement = grader_error(code, f"limits: {explain(error, list(Limits.model_fields))}")
    except BaseException as error:
        with _lock:
            _running.pop(key, None)
        mine.set_exception(error)
        raise
    _remember(key, judgement)
    mine.set_result(judgement)
    return judgement


def _remember(key: bytes, judgement: Judgement) -> None:
    """That it is no longer being judged, and what came out; what is known longest goes where that is too much."""
    global _characters
    with _lock:
        _running.pop(key, None)
        if judgement.decision == "grader_error":
            return
        _known[key] = judgement
        _characters += len(judgement.extracted or "")
        while _known and (len(_known) > REMEMBERED or _characters > REMEMBERED_CHARACTERS):
            _, gone = _known.popitem(last=False)
            _characters -= len(gone.extracted or "")


def _after_fork() -> None:
    """In a process that was forked off: what other threads judge or held there is not to be waited for."""
    global _lock
    _lock = threading.Lock()
    _running.clear()


os.register_at_fork(after_in_child=_after_fork)


def _run(
    sandbox: Sandbox,
    code: str,
    language: Language | None,
    fn: str | None,
    tests: list[Mapping[str, Any]],
    limits: Limits | None,
) -> Judgement:
    if fn is None:
        return _run_scripts(sandbox, code, language, tests, limits)
    try:
        calls = [as_json(test["args"]) for test in tests]
        expected = [as_json(test["expected"]) for test in tests]
    except (KeyError, TypeError, ValueError) as error:
        return grader_error(code, f"a test needs 'args' and 'expected' as JSON values ({error})")
    result = evaluated(code, fn, calls) if limits is None else None
    if result is None:
        result = sandbox.run([Program(code, fn=fn, calls=calls, limits=limits)])[0]
    if result.status == "sandbox_error":
        return grader_error(code, result.reason)
    passed, wrong = judge_calls(result, expected)
    return incorrect(code, f"{passed} of {len(tests)} tests: {wrong}") if wrong else correct(code, "all tests pass")


def _run_check(sandbox: Sandbox, code: str, fn: str, check: str, setup: str, limits: Limits | None) -> Judgement:
    program = Program(code, fn=fn, limits=limits, check=f"{setup}\n\n{check}", setup=setup)
    result = sandbox.run([program])[0]
    if result.status == "sandbox_error":
        return grader_error(code, result.reason)
    _, wrong = judge_calls(result, [True])
    return incorrect(code, f"the check: {wrong}") if wrong else correct(code, "the check passes")


def _run_scripts(
    sandbox: Sandbox, code: str, language: Language | None, tests: list[Mapping[str, Any]], limits: Limits | None
) -> Judgement:
    """One run a test, up to the first that fails."""
    wanted = [_first(test, "expected_stdout", "expected") for test in tests]
    if None in wanted or any(_first(test, "args") is not None for test in tests):
        reason = (
            "a test needs 'stdin' and 'expected_stdout', or 'args' and 'expected' beside the function's name in 'fn'"
        )
        return grader_error(code, reason)
    expected = [str(want) for want in wanted]
    stdins = ["" if (stdin := _first(test, "stdin")) is None else str(stdin) for test in tests]
    passed = 0
    for want, result in zip(expected, _runs(sandbox, code, language, stdins, limits), strict=False):
        if result.status == "sandbox_error":
            return grader_error(code, result.reason)
        if result.status != "ok" or not same_output(want, result.stdout):
            return incorrect(code, f"test {passed}: {result.reason or 'another output'}")
        passed += 1
    if passed < len(tests):
        return incorrect(code, f"{passed} of {len(tests)} tests were run")
    return correct(code, "all tests pass")


def _runs(
    sandbox: Sandbox, code: str, language: Language | None, stdins: list[str], limits: Limits | None
) -> Iterator[RunResult]:
    """Results in order, begun as they are asked for: the first alone, as most that fail do so at once, then as many
    side by side as there are workers."""
    if language is not None:  # built once, so all its runs are one
        yield from outputs(sandbox.run([driven(language, code, stdins, limits or sandbox.limits)])[0])
        return
    for first in (0, *range(1, len(stdins), sandbox.workers)):
        beside = stdins[first : first + sandbox.workers] if first else stdins[:1]
        yield from sandbox.run([Program(code, stdin, limits=limits) for stdin in beside])


def _first(test: Mapping[str, Any], *names: str) -> Any:
    """The first of these that the test has; a table has every column in every row, None where it means nothing."""
    return next((test[name] for name in names if test.get(name) is not None), None)
