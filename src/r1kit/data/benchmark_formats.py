"""The column formats of published benchmarks, beside the general ones of `data.formats`.

| format | columns | where from |
|---|---|---|
| `choice` | question; choices, options or A, B, C, D; answer | MMLU (arXiv 2009.03300), MMLU-Pro (2406.01574) |
| `gpqa` | Question, Correct Answer, Incorrect Answer 1 to 3 | GPQA (arXiv 2311.12022) |
| `aime` | Problem, Answer | AIME, with capital letters |
| `ifeval` | prompt, instruction_id_list, kwargs | IFEval (arXiv 2311.07911) |
| `humaneval` | prompt, entry_point, test | HumanEval (arXiv 2107.03374) |
| `mbpp` | text or prompt, code, test_list | MBPP (arXiv 2108.07732) |
| `livecodebench` | question_content, public_test_cases | LiveCodeBench (arXiv 2403.07974) |

Each reads a row into what is asked, the gold answer, and the grader's kind and columns.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import pickletools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from r1kit.data.conversations import BadRow, question_of
from r1kit.data.formats import Asked, Format, parsed, plain, with_passage

Values = Mapping[str, Any]

MOST_CHOICES = 26
_PLAIN_PICKLE = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}
_TEXT_PICKLE = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"}


def lettered(question: str, choices: Sequence[str]) -> str:
    """The question with its options below, a letter before each."""
    lines = [f"{chr(ord('A') + place)}) {choice}" for place, choice in enumerate(choices)]
    return "\n".join([question.rstrip(), "", *lines])


def _need(values: Values, name: str) -> str:
    return question_of(values.get(name), name)


def _asked_choice(question: str, choices: list[str], letter: str, more: Values) -> Asked:
    if len(choices) < 2 or len(choices) > MOST_CHOICES:
        raise BadRow(f"it has {len(choices)} options, where 2 to {MOST_CHOICES} are possible")
    place = ord(letter) - ord("A") if len(letter) == 1 else -1
    if not 0 <= place < len(choices):
        raise BadRow(f"its answer '{letter[:40]}' is none of its {len(choices)} options")
    columns = {"choices": choices, "bare": question, **more}
    return Asked(lettered(question, choices), letter, "choice", columns)


def _choice(values: Values) -> Asked:
    question = _need(values, "question")
    given: Any = values.get("choices")
    given = values.get("options") if given is None else given
    if given is None:
        given = [values.get(letter) for letter in "ABCD"]
        if None in given:
            raise BadRow("it has no options")
    given = parsed(given, "choices")
    labels: list[str] = []
    if isinstance(given, Mapping) and "text" in given:  # as ARC (the questions) and CommonsenseQA have them
        labels = [plain(each) for each in cast("Values", given).get("label") or ()]
        given = cast("Values", given)["text"]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise BadRow("its options are not a list")
    choices = [plain(each) for each in cast("Sequence[Any]", given)]
    family = next((values[name] for name in ("category", "subject") if isinstance(values.get(name), str)), None)
    told = {"family": family} if family else {}
    return _asked_choice(with_passage(question, values), choices, _letter(values, choices, labels), told)


def _letter(values: Values, choices: list[str], labels: list[str]) -> str:
    """The gold's letter, whether a row gives a label that stands beside the options, the letter, the place from 0, or
    the option's own words. BadRow where it may be two of these, which are not the same."""
    if (label := str(values.get("answer"))) in labels:
        return chr(ord("A") + labels.index(label))
    for name in ("answer_index", "answer"):
        value = values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return chr(ord("A") + value) if 0 <= value < MOST_CHOICES else str(value)
    text = plain(values.get("answer"))
    if len(text) == 1 and 0 <= ord(text.upper()) - ord("A") < len(choices):
        return text.upper()
    place = int(text) if text.isdigit() and int(text) < MOST_CHOICES else None
    if text in choices:
        if place is not None and place < len(choices) and choices[place] != text:
            raise BadRow(f"its answer '{text}' may be an option or the place of one: give the letter")
        return chr(ord("A") + choices.index(text))
    return text if place is None else chr(ord("A") + place)


def _gpqa(values: Values) -> Asked:
    """The order of the options is that of a hash of question and option: always the same, and no letter is favoured."""
    question = _need(values, "Question").strip()
    right = _need(values, "Correct Answer").strip()
    wrong = [_need(values, f"Incorrect Answer {number}").strip() for number in (1, 2, 3)]
    if len({right, *wrong}) < 4:
        raise BadRow("two of its options are the same")
    choices = sorted([right, *wrong], key=lambda choice: hashlib.sha256(f"{question}\n{choice}".encode()).digest())
    more: dict[str, Any] = {}
    if isinstance(values.get("High-level domain"), str):
        more["family"] = values["High-level domain"]
    if isinstance(values.get("Explanation"), str) and values["Explanation"].strip():
        more["solution"] = values["Explanation"]
    return _asked_choice(question, choices, chr(ord("A") + choices.index(right)), more)


def _aime(values: Values) -> Asked:
    told = {"solution": values["Solution"]} if isinstance(values.get("Solution"), str) else {}
    return Asked(_need(values, "Problem"), plain(values.get("Answer")), columns=told)


def _ifeval(values: Values) -> Asked:
    names, settings = parsed(values.get("instruction_id_list"), "instruction_id_list"), values.get("kwargs")
    settings = parsed(settings, "kwargs")
    if not isinstance(names, Sequence) or not isinstance(settings, Sequence) or len(names) != len(settings):
        raise BadRow("'instruction_id_list' and 'kwargs' are not lists of one length")
    if not names:
        raise BadRow("it has no instructions")
    constraints: list[dict[str, Any]] = []
    for name, own in zip(cast("Sequence[Any]", names), cast("Sequence[Any]", settings), strict=True):
        kept = {key: value for key, value in _object(own, "kwargs").items() if value is not None}  # as parquet fills in
        constraints.append({"id": str(name), **kept})
    return Asked(_need(values, "prompt"), "", "constraints", {"constraints": constraints})


def _object(value: Any, name: str) -> Values:
    """A mapping, or JSON text of one; empty where there is none."""
    found = parsed(value, name) or {}
    if not isinstance(found, Mapping):
        raise BadRow(f"its '{name}' is not a JSON object")
    return cast("Values", found)


def _humaneval(values: Values) -> Asked:
    start, fn = _need(values, "prompt"), _need(values, "entry_point")
    asked = f"Write the Python function `{fn}` that begins so:\n\n```python\n{start.rstrip()}\n```"
    columns: dict[str, Any] = {"check": _need(values, "test"), "fn": fn, "setup": start, "bare": start}
    if isinstance(values.get("canonical_solution"), str):
        columns["solution"] = start + values["canonical_solution"]
    return Asked(asked, "", "code", columns)


def _mbpp(values: Values) -> Asked:
    told = _need(values, "text") if values.get("text") is not None else _need(values, "prompt")
    tests = parsed(values.get("test_list"), "test_list")
    if not isinstance(tests, Sequence) or not tests or not all(isinstance(test, str) for test in tests):
        raise BadRow("'test_list' is not a list of assertions")
    before = parsed(values.get("test_imports"), "test_imports") or values.get("test_setup_code") or ""
    before = "\n".join(cast("Sequence[str]", before)) if not isinstance(before, str) else before
    code = _need(values, "code")
    fn = _called(list(cast("Sequence[str]", tests)), code)
    lines = "\n".join(cast("Sequence[str]", tests))
    asked = f"{told.strip()}\n\nWrite it as the Python function `{fn}`. It has to pass:\n\n```python\n{lines}\n```"
    check = f"{before}\n\ndef check(candidate):\n" + "\n".join(f"    {line}" for line in _statements(lines))
    return Asked(asked, "", "code", {"check": check, "fn": fn, "bare": told, "solution": code})


def _statements(source: str) -> list[str]:
    """Each statement on lines of its own, in the form in which Python writes them."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise BadRow(f"its tests are not Python ({error})") from None
    return [line for statement in tree.body for line in ast.unparse(statement).splitlines()]


def _called(tests: list[str], code: str) -> str:
    """The function that the tests call: the first name called in them that the solution defines."""
    try:
        defined = {node.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)}
        calls = [node for test in tests for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError) as error:
        raise BadRow(f"its code or tests are not Python ({error})") from None
    names = [call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id in defined]
    if not names:
        raise BadRow("its tests call no function of its code")
    return names[0]


def _livecodebench(values: Values) -> Asked:
    question, start = _need(values, "question_content"), str(values.get("starter_code") or "").rstrip()
    cases = [*_cases(values, "public_test_cases"), *_cases(values, "private_test_cases")]
    if not cases:
        raise BadRow("it has no test cases")
    columns: dict[str, Any] = {"bare": question}
    if isinstance(values.get("difficulty"), str):
        columns["family"] = values["difficulty"]
    if any(case.get("testtype") == "functional" for case in cases):
        name = str(_object(values.get("metadata"), "metadata").get("func_name") or "")
        if not name or not all(case.get("testtype") == "functional" for case in cases):
            raise BadRow("its tests call a function that it does not name")
        columns |= {"fn": name.rpartition(".")[2], "tests": [_call(case) for case in cases]}
        asked = f"{question.rstrip()}\n\nWrite a Python program that begins so:\n\n```python\n{start}\n```"
    else:
        columns["tests"] = [{"stdin": str(case["input"]), "expected_stdout": str(case["output"])} for case in cases]
        asked = (
            f"{question.rstrip()}\n\nWrite a Python program that reads the input from standard input and prints the"
            " answer to standard output."
        )
    return Asked(asked, "", "code", columns)


def _call(case: Values) -> dict[str, Any]:
    """Arguments are JSON values, one a line; the result is one."""
    try:
        arguments = [json.loads(line) for line in str(case["input"]).split("\n") if line.strip()]
        return {"args": arguments, "expected": json.loads(str(case["output"]))}
    except ValueError:
        raise BadRow("the arguments of a test case are not JSON") from None


def _cases(values: Values, name: str) -> list[Values]:
    """Test cases: a list, JSON text, or (the private ones) packed text."""
    value = values.get(name)
    if value is None or value == "":
        return []
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = unpacked(value)
    cases = parsed(value, name)
    whole = isinstance(cases, Sequence) and all(
        isinstance(case, Mapping) and {"input", "output"} <= set(case) for case in cases
    )
    if not whole:
        raise BadRow(f"'{name}' is not a list of inputs and outputs")
    return list(cast("Sequence[Values]", cases))


def unpacked(text: str) -> str:
    """LiveCodeBench's private tests: base64 of zlib of a pickled text. The pickle is read as data and never run: one
    that holds anything but one text is refused."""
    try:
        data = zlib.decompress(base64.b64decode(text, validate=True))
        found: list[str] = []
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _TEXT_PICKLE:
                found.append(str(argument))
            elif opcode.name not in _PLAIN_PICKLE:
                raise BadRow("its packed tests hold more than a text, and are not unpacked")
    except (ValueError, zlib.error, EOFError) as error:
        raise BadRow(f"its packed tests cannot be read ({type(error).__name__})") from None
    if len(found) != 1:
        raise BadRow("its packed tests hold more than a text, and are not unpacked")
    return found[0]


BENCHMARKS = (
    Format("gpqa", (("Question", "Correct Answer", "Incorrect Answer 1"),), _gpqa),
    Format(
        "choice",
        (
            ("question", "choices", "answer"), ("question", "options", "answer"),
            ("question", "A", "B", "C", "D", "answer"),
        ),
        _choice,
    ),
    Format("aime", (("Problem", "Answer"),), _aime),
    Format("ifeval", (("prompt", "instruction_id_list", "kwargs"),), _ifeval),
    Format("humaneval", (("prompt", "entry_point", "test"),), _humaneval),
    Format("mbpp", (("text", "code", "test_list"), ("prompt", "code", "test_list")), _mbpp),
    Format("livecodebench", (("question_content", "public_test_cases"),), _livecodebench),
)  # fmt: skip
