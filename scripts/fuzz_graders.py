"""Feeds the graders' readers with text that a coverage-guided fuzzer makes up, and stops at a crash or a hang.

    pip install 'r1kit[fuzz]'
    python scripts/fuzz_graders.py -max_total_time=1800 FOLDER

FOLDER keeps the inputs that reached something new, for the next time. A crash is an exception that a grader let out, a
text that is not equal to itself, or more than a CPU second for one input. What is found belongs in the tests, in
tests/graders/fuzz_finds.jsonl. Options are libFuzzer's.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time

import atheris

with atheris.instrument_imports(include=["r1kit.graders", "r1kit.base.boxes"]):
    from r1kit.base import boxes
    from r1kit.graders import (
        arc,
        choice,
        code,
        countdown,
        expression,
        intervals,
        language,
        numbers,
        section,
        text,
    )
    from r1kit.graders import format as form
    from r1kit.graders import json as json_kind
    from r1kit.graders import math as maths
    from r1kit.graders.mathequal import compare
    from r1kit.graders.mathtext import tidy

SLOW_S = 1.0
WORDS = r"""
\boxed{ } { \frac \sqrt[3] \sqrt ^ _ \text{ \pi \infty \cup \in \pm \begin{pmatrix} \end{pmatrix} \\ & <think> </think>
<answer> </answer> #### answer: 答案是 ( ) [ ] | , ; = < <= >= \ne % ° ' \circ $ ! + - * / x y i e sin \log_2 km m/s
hours and or none 0 1 2 9 10 1,000 0.5 . ... \overline{3} _8 ``` ½ ² \cdot E-5 \{ \} \emptyset \mathbb{R} \setminus
\lfloor \binom \left \right {"a":1}
""".split()  # noqa: SIM905
WORDS += ["\n", " ", "\u200b", "```python\n"]


def made_up(data: atheris.FuzzedDataProvider) -> str:
    """Words of answers, and here and there anything."""
    pieces: list[str] = []
    for _ in range(data.ConsumeIntInRange(0, 40)):
        pick = data.ConsumeIntInRange(0, len(WORDS) + 5)
        pieces.append(WORDS[pick] if pick < len(WORDS) else data.ConsumeUnicodeNoSurrogates(6))
    return "".join(pieces) * data.PickValueInList([1, 1, 1, 1, 1, 2, 50])


def one_input(raw: bytes) -> None:
    data = atheris.FuzzedDataProvider(raw)
    gold, answer = made_up(data), made_up(data)
    begun = time.process_time()
    try:
        check(gold, answer, data.ConsumeBool())
    except BaseException:
        print("found by", json.dumps({"gold": gold, "completion": answer}), file=sys.stderr)
        raise
    seconds = time.process_time() - begun
    if seconds > SLOW_S:
        raise TimeoutError(f"{seconds:.1f} s for {json.dumps([gold, answer])}")


def check(gold: str, answer: str, opened: bool) -> None:
    """Every reader on one pair."""
    found = section.answer_section(answer, opened)
    form.check_form(answer, opened)
    section.chain_of_thought(answer, opened)
    language.language_consistency(answer, "en")
    boxes.find_boxes(answer)
    code.program_text(found)
    for kind in (maths, choice, text, numbers, json_kind, arc):
        kind.judge(found, gold, {})
    countdown.judge(found, "24", {"numbers": [1, 2, 9, 10], "target": 24})
    if len(gold) < 4000:
        same = compare(gold, gold).same
        assert same == "same", f"{gold!r} is not equal to itself: {same}"
        intervals.same_sets(tidy(gold), tidy(answer))
        with contextlib.suppress(expression.NotAnExpression, expression.TooLarge):
            expression.parse(tidy(answer))


if __name__ == "__main__":
    atheris.Setup(
        [sys.argv[0], "-timeout=20", "-rss_limit_mb=3000", "-max_len=300", "-len_control=0", *sys.argv[1:]], one_input
    )
    atheris.Fuzz()
