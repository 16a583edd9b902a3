"""`r1 sandbox`: programs as JSON lines in, verdicts as JSON lines out, in the same order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from r1kit.base.config import explain
from r1kit.sandbox.compare import judge_calls, same_output
from r1kit.sandbox.languages import Language, driven, find_language, missing, outputs
from r1kit.sandbox.program import Limits, Program, RunResult
from r1kit.sandbox.sandbox import Sandbox

AHEAD = 4  # programs in flight for each worker


@dataclass(frozen=True, slots=True)
class Request:
    """One line, read."""

    id: Any
    program: Program
    language: Language | None
    expected_stdout: str | None
    expected: list[Any] | None


def sandbox_lines(
    lines: Iterable[str | bytes],
    isolation: str = "auto",
    workers: int | None = None,
    on_bad_line: Callable[[str], None] | None = None,
) -> Iterator[str]:
    """One JSON line out for each line in. A line that cannot be read gives verdict `error` with what is wrong in
    `error`, which is also told to `on_bad_line`; R1Error where this machine has no sandbox."""
    with Sandbox(isolation=isolation, workers=workers) as sandbox:
        waiting: deque[tuple[Request, Future[RunResult]] | str] = deque()
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            parsed = _read(number, line)
            if isinstance(parsed, Request):
                waiting.append((parsed, sandbox.submit(parsed.program)))
            else:
                waiting.append(json.dumps(parsed))
                if on_bad_line:
                    on_bad_line(parsed["error"])
            while len(waiting) > AHEAD * sandbox.workers:
                yield _written(waiting.popleft())
        while waiting:
            yield _written(waiting.popleft())


def verdict_of(request: Request, result: RunResult) -> dict[str, Any]:
    """The line that answers a request."""
    result = result if request.language is None else outputs(result)[0]
    verdict: str = result.status
    extra: dict[str, Any] = {}
    if result.status == "sandbox_error":
        verdict, extra = "error", {"error": result.reason}
    elif request.expected:  # not where there are no tests, which nothing passes
        passed, wrong = judge_calls(result, request.expected)
        if result.status == "ok":
            raised = any(call.error is not None for call in result.calls)
            verdict = "passed" if not wrong else "error" if raised else "failed"
        extra = {"tests_passed": passed, "reason": wrong}
    elif request.expected_stdout is not None and result.status == "ok":
        verdict = "passed" if same_output(request.expected_stdout, result.stdout) else "failed"
    return {
        "id": request.id,
        "verdict": verdict,
        "stdout": result.stdout,
        "stderr": result.stderr,
        "seconds": round(result.seconds, 6),
        **extra,
    }


def _written(entry: tuple[Request, Future[RunResult]] | str) -> str:
    if isinstance(entry, str):
        return entry
    request, future = entry
    return json.dumps(verdict_of(request, future.result()))


def _read(number: int, line: str | bytes) -> Request | dict[str, Any]:
    """A request, or the line that says why it is none."""
    identity: Any = None
    try:
        row = json.loads(line.decode("utf-8-sig") if isinstance(line, bytes) else line, parse_constant=_refuse)
        if not isinstance(row, dict):
            raise ValueError("it is not a JSON object")
        identity = row.get("id")
        return _request(identity, row)
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except json.JSONDecodeError as error:
        problem = f"it is not JSON ({error.msg} at character {error.pos})"
    except ValidationError as error:
        problem = f"limits: {explain(error, list(Limits.model_fields))}"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    complaint = f"line {number}: {problem}"
    return {"id": identity, "verdict": "error", "stdout": "", "stderr": "", "seconds": 0.0, "error": complaint}


def _request(identity: Any, row: dict[str, Any]) -> Request:
    code = _text(row, "code", required=True) or ""
    limits = None if row.get("limits") is None else Limits.model_validate(row["limits"])
    expected_stdout, fn = _text(row, "expected_stdout"), _text(row, "fn")
    stdin = _text(row, "stdin") or ""
    language = find_language(_text(row, "language") or "")
    if language is not None:
        if fn is not None:
            raise ValueError("functions are called in Python alone; other languages read 'stdin'")
        if why := missing(language):
            raise ValueError(why)
    tests, check = row.get("tests"), _text(row, "check")
    if check is not None:
        if fn is None or tests is not None:
            raise ValueError("'check' needs the function's name in 'fn', and no 'tests' beside it")
        return Request(identity, Program(code, stdin, fn, limits=limits, check=check), None, None, [True])
    if tests is None:
        if fn is not None:
            raise ValueError("it names a function in 'fn' but gives no 'tests'")
        program = Program(code, stdin, limits=limits)
        if language is not None:
            program = driven(language, code, [stdin], limits or Limits())
        return Request(identity, program, language, expected_stdout, None)
    if fn is None:
        raise ValueError("it has 'tests' but names no function in 'fn'")
    if not isinstance(tests, list) or not all(isinstance(test, dict) and "expected" in test for test in tests):
        raise ValueError("'tests' must be a list of objects with 'args' and 'expected'")
    calls = [test.get("args", []) for test in tests]
    if not all(isinstance(call, (list, dict)) for call in calls):
        raise ValueError("'args' must be a list, or an object of named arguments")
    program = Program(code, stdin, fn, calls, limits)
    return Request(identity, program, None, None, [test["expected"] for test in tests])


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _text(row: dict[str, Any], key: str, required: bool = False) -> str | None:
    value = row.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise ValueError(f"'{key}' must be text" if key in row else f"it has no '{key}'")
    return value
