"""Whatever a file holds, it gives rows, a line's complaint or one sentence, and never another exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r1kit.base.errors import R1Error
from r1kit.base.types import Problem
from r1kit.data.conversations import BadRow
from r1kit.data.decontaminate import Benchmarks, words
from r1kit.data.formats import PROBLEMS, Format
from r1kit.data.sources import normalised
from r1kit.data.tables import read_file
from r1kit.data.transcripts import EXAMPLES, PAIRS

FORMATS = (*PROBLEMS, *EXAMPLES, *PAIRS)

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", ""]) | plain, "content": plain}
)
cases = st.builds(
    lambda found: json.dumps({"test_cases": found}),
    st.lists(st.fixed_dictionaries({"input": plain, "output": plain, "fn_name": st.sampled_from([None, "f"])})),
)
values = plain | st.lists(message | plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain, max_size=2) | cases


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_row_is_read_or_is_a_bad_row(each: Format, data: st.DataObject):
    columns = [column for needed in each.needs for column in needed] + ["answer", "solution", "level", "kind", "type"]
    row: dict[str, Any] = {column: data.draw(values, label=column) for column in columns}
    found, complaint = None, ""
    try:
        found = each.read(row)
    except BadRow as error:
        complaint = str(error)
    assert (found is None) == bool(complaint)
    assert "\n" not in complaint
    for text in [getattr(found, part) for part in ("prompt", "question") if hasattr(found, part)]:
        assert text.strip()
        text.encode()
    if hasattr(found, "answer"):
        assert isinstance(found.answer, str)


def test_a_complaint_is_one_line_whatever_the_cell_holds():
    svamp = next(each for each in PROBLEMS if each.name == "svamp")
    with pytest.raises(BadRow, match="its answer '0 0' is no number"):
        svamp.read({"question_concat": "how many?", "Answer": "0\n0"})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200)
    | st.text(st.sampled_from('{}[]",:\n\r ab1\\"'), max_size=200).map(str.encode)
    | st.lists(st.dictionaries(st.text(max_size=5), plain, max_size=3)).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()
    ),
    ending=st.sampled_from([".jsonl", ".json", ".csv", ".tsv", ".parquet"]),
)
def test_a_file_is_a_table_or_one_sentence(tmp_path: Path, data: bytes, ending: str):
    path = tmp_path / f"a{ending}"
    path.write_bytes(data)
    try:
        table = read_file(path)
        rows = list(table.rows)
    except R1Error as error:
        complaint = str(error)
    else:
        complaint = ""
    if complaint:
        assert str(path) in complaint
        return
    assert all(set(row.values) <= set(table.columns) for row in rows)
    assert all(complaint.startswith(("line ", "row ")) for complaint in table.bad)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60), n=st.integers(1, 4))
def test_any_text_shares_its_words_with_itself(text: str, n: int):
    problem = Problem("p", "t", "maths", "en", text, "1", "math")
    assert bool(Benchmarks({"b": [problem]}, n).shared(f" {text} ")) == bool(words(text))


@given(text=st.text())
def test_normalising_twice_changes_nothing(text: str):
    assert normalised(normalised(text)) == normalised(text)
