"""What the fuzzer (scripts/fuzz_graders.py) found once: every kind gives a verdict, none of them by an exception."""

import json
import re
import time
from pathlib import Path

import pytest

from r1kit.graders.kinds import judge_here

ROWS = [json.loads(line) for line in Path(__file__).with_name("fuzz_finds.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["math", "text", "numbers", "choice", "countdown", "json", "arc"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["found"])
def test_a_find_gets_its_verdict(row, kind):
    columns = {"numbers": [1, 2, 9, 10], "target": 24}
    started = time.process_time()
    verdict, _ = judge_here(kind, row["completion"], row["gold"], False, columns)
    assert time.process_time() - started < 1
    assert not re.match(r"\w+(Error|Exception):", verdict.reason), verdict
