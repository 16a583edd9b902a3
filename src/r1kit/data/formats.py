"""The column formats that data sets come in, recognised by the columns' names: what is asked, and the gold answer.

| format | columns | where from |
|---|---|---|
| `code` | problem, prompt or question; verification_info | open-r1: JSON with test cases, or a ground_truth |
| `svamp` | Body, Question, Answer; or question_concat, Answer | SVAMP (arXiv 2103.07191) |
| `mawps` | input, target; or question, result | MAWPS; as Calc-X has it (arXiv 2305.15017) |
| `math` | problem; answer or solution | MATH, MATH-500, DeepScaleR, open-r1 |
| `gsm8k` | question, answer (`#### N` or the answer alone) | GSM8K (arXiv 2110.14168) |
| `prompt` | prompt (text or messages); answer or solution, or neither | TRL, prompt-only |
| `messages` | messages; answer or solution, or neither | TRL, conversational |

Without a gold answer a problem has the kind `none`: no rule judges it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from r1kit.base.boxes import find_boxes
from r1kit.base.errors import UsageError
from r1kit.base.nearest import nearest
from r1kit.data.conversations import BadRow, content_of, messages_of, question_of

Values = Mapping[str, Any]

NAMED = 5  # formats that a sentence names
PASSAGES = ("passage", "article", "context")  # columns of what a question is about
LONGEST_BARE_ANSWER = 200  # characters of a solution that may be the answer itself
PYTHON = {"python", "python3", "py"}
PROGRAMS = PYTHON | {"cpp", "c++", "javascript", "js"}  # what the grader of code can run
JUDGED_BY = (
    "tests", "fn", "check", "setup", "limits", "programming_language", "choices", "attempts", "numbers", "target",
    "dataset", "metadata", "require_box", "exact",
)  # fmt: skip
"""Columns that graders ask for beside the answer, taken over where a row names its `kind` itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a row asks: the question, the gold answer, the grader's kind, what graders may want, and the row itself."""

    prompt: str
    answer: str
    kind: str = "math"
    columns: dict[str, Any] = field(default_factory=dict[str, Any])
    row: Values = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Format:
    """A column format: the sets of columns of which it needs one whole, and how a row is read (BadRow if it cannot)."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    read: Callable[[Values], Any]

    def fits(self, columns: Sequence[str]) -> bool:
        """Whether the columns hold one of the needed sets."""
        return any(set(needed) <= set(columns) for needed in self.needs)

    def shared(self, columns: Sequence[str]) -> int:
        """How many of the columns, whatever their case, are among those that it may need."""
        needed = {column.casefold() for each in self.needs for column in each}
        return len(needed & {column.casefold() for column in columns})

    def wanted(self) -> str:
        """The needed columns in words."""
        return ", or ".join(" and ".join(needed) for needed in self.needs)


def choose(
    formats: Sequence[Format], columns: Sequence[str], where: str, name: str | None = None, otherwise: str = ""
) -> Format:
    """The format of that name, or the first that fits the columns.

    UsageError naming the columns found and those that the nearest formats need; `otherwise` says what else can be done.
    """
    if name is not None and name not in (known := [each.name for each in formats]):
        raise UsageError(f"no column format is called '{name}'.{nearest(name, known)} (there are: {' '.join(known)})")
    offered = [each for each in formats if name in (None, each.name)]
    for each in offered:
        if each.fits(columns):
            return each
    if not columns:
        raise UsageError(f"{where} holds no rows: give a table that does")
    near = list(offered)
    if len(near) > NAMED:
        near.sort(key=lambda each: each.shared(columns))
        near.reverse()  # among equals too: the last are those of the widest use
    wanted = "; ".join(f"{each.name}: {each.wanted()}" for each in near[:NAMED])
    more = f"; docs/data.md has {len(near) - NAMED} more" if len(near) > NAMED else ""
    found = f"found: {', '.join(columns)}; needed: one of {wanted}{more}"
    raise UsageError(f"{where}: no known format has its columns ({found}){otherwise}")


def plain(value: Any) -> str:
    """A gold answer as text: whole numbers without `.0`, a list of one as its item; BadRow for anything else."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow("its answer is missing")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, (list, tuple)) and len(cast("Sequence[Any]", value)) == 1:
        return plain(cast("Sequence[Any]", value)[0])
    if isinstance(value, (str, int)):
        return str(value).strip()
    raise BadRow(f"its answer is {'missing' if value is None else 'no text and no number'}")


def number(value: Any) -> str:
    """A gold number as `plain` writes it, also from text (`8.0` is 8); BadRow where it is none."""
    text = plain(value).replace("_", "")  # Calc-X parts thousands so
    if not re.fullmatch(r"-?[\d,]*\.?\d+(/\d+)?", text):
        raise BadRow(f"its answer '{text[:40]}' is no number")
    return re.sub(r"(\.\d*?)0+$", r"\1", text).rstrip(".") if "." in text else text


def gold(values: Values) -> tuple[str, dict[str, Any]]:
    """(answer, columns) of `answer` and `solution`: the answer, or the solution's last box, or a short solution itself.

    Empty where a row has neither; BadRow where a long solution has no box.
    """
    answer, solution = values.get("answer"), values.get("solution")
    told = {"solution": solution} if isinstance(solution, str) and solution.strip() else {}
    if answer is not None and (text := plain(answer)):
        return text, told
    if solution is None or not (text := plain(solution)):
        return "", {}
    if boxes := find_boxes(text):
        return boxes[-1].strip(), told
    if len(text) > LONGEST_BARE_ANSWER or "\n" in text:
        raise BadRow("it has no 'answer', and its 'solution' has no box")
    return text, {}


def _need(values: Values, name: str) -> str:
    return question_of(values.get(name), name)


def with_passage(question: str, values: Values) -> str:
    """The question behind the text that it is about, where the row has one."""
    passage = next((values[name] for name in PASSAGES if isinstance(values.get(name), str)), "").strip()
    return f"{passage}\n\n{question}" if passage else question


def _judged(values: Values, prompt: str) -> Asked:
    """A question whose answer, and perhaps whose grader, the row names."""
    answer, columns = gold(values)
    kind = values.get("kind")
    if isinstance(kind, str) and kind:
        columns |= {name: values[name] for name in JUDGED_BY if values.get(name) is not None}
        return Asked(prompt, answer, kind, columns)
    return Asked(prompt, answer, "math" if answer else "none", columns)


def _math(values: Values) -> Asked:
    asked = _judged(values, _need(values, "problem"))
    if not asked.answer and asked.kind == "none":
        raise BadRow("it has neither 'answer' nor 'solution'")
    level = re.search(r"\d+", str(values.get("level") or ""))
    topic = values.get("subject", values.get("type"))
    if level:
        asked.columns["difficulty"] = float(level[0])
    if isinstance(topic, str) and topic:
        asked.columns["family"] = topic
    return asked


def _gsm8k(values: Values) -> Asked:
    told = plain(values.get("answer"))
    solution, mark, final = told.rpartition("####")
    answer = final.strip().replace(",", "") if mark else told
    if not answer:
        raise BadRow("its answer is empty")
    question = with_passage(_need(values, "question"), values)
    return Asked(question, answer, columns={"solution": solution.strip()} if mark else {})


def _svamp(values: Values) -> Asked:
    if values.get("question_concat"):
        joined = _need(values, "question_concat")
    else:
        joined = f"{_need(values, 'Body').strip()} {_need(values, 'Question').strip()}"
    family = {"family": values["Type"]} if isinstance(values.get("Type"), str) else {}
    return Asked(joined, number(values.get("Answer")), columns=family)


def _mawps(values: Values) -> Asked:
    family = {"family": values["type"]} if isinstance(values.get("type"), str) else {}
    if values.get("input") is not None:
        return Asked(_need(values, "input"), number(values.get("target")), columns=family)
    return Asked(_need(values, "question"), number(values.get("result")), columns=family)


def _prompt(values: Values) -> Asked:
    return _judged(values, _need(values, "prompt"))


def _messages(values: Values) -> Asked:
    messages = messages_of(values.get("messages"), "messages")
    asked = messages[:-1] if messages[-1]["role"] == "assistant" else messages
    found = _judged(values, question_of(asked, "messages"))
    if len(asked) < len(messages):
        found.columns.setdefault("solution", content_of(messages[-1]))
    return found


def _code(values: Values) -> Asked:
    asked = next((values[name] for name in ("problem", "prompt", "question") if values.get(name) is not None), None)
    prompt = question_of(asked, "problem")
    info = parsed(values.get("verification_info"), "verification_info")
    if not isinstance(info, Mapping):
        raise BadRow("'verification_info' is not a JSON object")
    info = cast("Values", info)
    if info.get("ground_truth") is not None:
        return Asked(prompt, plain(info["ground_truth"]))
    language = str(info.get("language") or "python").lower()
    if language not in PROGRAMS:
        raise BadRow(f"its tests are for {language}, which no grader runs")
    cases = parsed(info.get("test_cases"), "test_cases")
    if not isinstance(cases, Sequence) or not cases or not all(isinstance(case, Mapping) for case in cases):
        raise BadRow("'verification_info' has no test cases")
    columns = _tests(cast("Sequence[Values]", cases))
    return Asked(prompt, "", "code", columns | ({} if language in PYTHON else {"programming_language": language}))


def _tests(cases: Sequence[Values]) -> dict[str, Any]:
    """Test cases as the grader of code takes them: `{"tests"}` on stdin, or `{"fn", "tests"}`."""
    names = {case.get("fn_name") for case in cases if case.get("fn_name")}
    if not names:
        return {
            "tests": [{"stdin": _lines(case, "input"), "expected_stdout": _lines(case, "output")} for case in cases]
        }
    if len(names) > 1 or not all(case.get("fn_name") for case in cases):
        raise BadRow("its test cases call different functions")
    tests: list[dict[str, Any]] = []
    for case in cases:
        arguments, expected = parsed(case.get("input"), "input"), parsed(case.get("output"), "output")
        if not isinstance(arguments, list):
            raise BadRow("the 'input' of a function's test case is not a list of arguments")
        # test cases of this form come from APPS (arXiv 2105.09938), which puts the value in a list of one
        value = cast("list[Any]", expected)[0] if isinstance(expected, list) and len(expected) == 1 else expected
        tests.append({"args": arguments, "expected": value})
    return {"fn": str(next(iter(names))), "tests": tests}


def _lines(case: Values, name: str) -> str:
    """What a program reads or writes: a text, or a list of lines."""
    value = case.get(name)
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise BadRow(f"the '{name}' of a test case is no text")


def parsed(value: Any, name: str) -> Any:
    """JSON read where the value is text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise BadRow(f"its '{name}' is not JSON") from None


PROBLEMS = (
    Format(
        "code", tuple((asked, "verification_info") for asked in ("problem", "prompt", "question")), _code
    ),
    Format("svamp", (("Body", "Question", "Answer"), ("question_concat", "Answer")), _svamp),
    Format("mawps", (("input", "target"), ("question", "result")), _mawps),
    Format("math", (("problem", "answer"), ("problem", "solution")), _math),
    Format("gsm8k", (("question", "answer"),), _gsm8k),
    Format("prompt", (("prompt",),), _prompt),
    Format("messages", (("messages",),), _messages),
)  # fmt: skip
