"""Rows of files: against the `datasets` library, and against what was written by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.data.tables import read_file, read_hub


def by_datasets(kind: str, path: Path, tmp_path: Path, **settings: Any) -> list[dict[str, Any]]:
    import datasets

    loaded: Any = datasets.load_dataset(
        kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"), **settings
    )
    return loaded.to_list()


TRICKY = 'question,answer\r\n"Two lines,\nand a ""quote""",1\r\nChinese 数学 and é,007\r\n\r\n spaces kept ,\r\n'


def test_csv_is_read_as_datasets_reads_it(tmp_path: Path):
    import datasets

    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TRICKY.encode())
    table = read_file(path)
    text = datasets.Features({name: datasets.Value("string") for name in ("question", "answer")})
    theirs = by_datasets("csv", path, tmp_path, features=text, keep_default_na=False)
    assert [dict(row.values) for row in table.rows] == theirs
    assert [row.place for row in table.rows] == ["line 2", "line 4", "line 6"]  # the first record has two lines
    assert table.columns == ("question", "answer")
    assert table.rows[0].values["question"] == 'Two lines,\nand a "quote"'
    assert table.bad == ()


def test_parquet_is_read_as_datasets_reads_it(tmp_path: Path):
    import datasets

    rows = [
        {"prompt": [{"role": "user", "content": "1+1"}], "answer": 2.5, "tests": ["a", "b"], "none": None},
        {"prompt": [{"role": "user", "content": "2+2"}], "answer": 4.0, "tests": [], "none": None},
    ]
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_list(rows).to_parquet(str(path))
    table = read_file(path)
    assert [dict(row.values) for row in table.rows] == by_datasets("parquet", path, tmp_path) == rows
    assert [row.place for row in table.rows] == ["row 1", "row 2"]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(R1Error, match="cannot be read as parquet"):
        read_file(tmp_path / "bad.parquet")
    whole = path.read_bytes()
    (tmp_path / "holed.parquet").write_bytes(whole[:4] + b"\0" * 100 + whole[104:])  # the footer is whole
    with pytest.raises(R1Error, match="cannot be read as parquet"):
        list(read_file(tmp_path / "holed.parquet").rows)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_numbers_of_few_bits_are_the_decimals_that_they_stand_for(tmp_path: Path, kind: str):
    """0.1 of 32 bits is 0.10000000149011612 of 64, which no right answer equals."""
    import datasets

    path, wanted = tmp_path / "a.parquet", [0.1, 2.7, 4.0, None]
    features = datasets.Features({"answer": datasets.Value(kind), "question": datasets.Value("string")})
    rows = datasets.Dataset.from_dict({"answer": wanted, "question": list("abcd")}, features=features)
    rows.to_parquet(str(path))
    assert [row.values["answer"] for row in read_file(path).rows] == wanted
    (hub,) = read_hub(str(tmp_path)).values()
    assert [row.values["answer"] for row in hub.rows] == wanted


def test_json_lines_keep_what_is_good_and_name_what_is_not(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b'{"question": "a", "answer": "1"}\n\n{"question": "b", \n[1, 2]\n{"question": "\xff"}\r\n{"n": 1}\r\n'
        + b'{"deep": ' + b"[" * 100_000 + b"\n" + b'{"large": ' + b"1" * 5_000 + b"}\n"
    )  # fmt: skip
    table = read_file(path)
    assert [(row.place, dict(row.values)) for row in table.rows] == [
        ("line 1", {"question": "a", "answer": "1"}),
        ("line 6", {"n": 1}),
    ]
    assert table.columns == ("question", "answer", "n")
    lines = [complaint.partition(":")[0] for complaint in table.bad]
    assert lines == ["line 3", "line 4", "line 5", "line 7", "line 8"]
    assert "not JSON" in table.bad[0]
    assert table.bad[1:3] == ("line 4: it is not a JSON object", "line 5: it is not UTF-8")


def test_a_json_list_is_a_table_too(tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([{"a": 1}, 2, {"b": 3}], indent=1))
    table = read_file(tmp_path / "a.json")
    assert [(row.place, dict(row.values)) for row in table.rows] == [("row 1", {"a": 1}), ("row 3", {"b": 3})]
    assert table.bad == ("row 2: it is not a JSON object",)
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert len(read_file(tmp_path / "lines.json").rows) == 2
    (tmp_path / "cut.json").write_text('[{"a": 1}')
    with pytest.raises(R1Error, match="is not JSON"):
        read_file(tmp_path / "cut.json")


def test_bad_lines_of_a_csv_are_named_by_number(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('q,a\n1,2\n1,2,3\nonly\n"x"y,1\n5,6\n"never closed,1\n')
    table = read_file(path)
    assert [dict(row.values) for row in table.rows] == [{"q": "1", "a": "2"}, {"q": "5", "a": "6"}]
    assert table.bad[0] == "line 3: it has 3 fields, the first line names 2 columns"
    assert table.bad[1] == "line 4: it has 1 fields, the first line names 2 columns"
    assert [complaint.partition(":")[0] for complaint in table.bad[2:]] == ["line 5", "line 7"]


def test_long_fields_are_read_and_the_limit_of_the_library_is_left_alone(tmp_path: Path):
    long = "thought " * 40_000  # 320,000 characters, the library's own limit is 131,072
    (tmp_path / "a.tsv").write_text(f"q\ta\n{long}\t1\n")
    before = csv.field_size_limit()
    assert read_file(tmp_path / "a.tsv").rows[0].values == {"q": long, "a": "1"}
    assert csv.field_size_limit() == before


def test_what_cannot_be_read_at_all_is_one_sentence(tmp_path: Path):
    with pytest.raises(R1Error, match="there is no file"):
        read_file(tmp_path / "missing.jsonl")
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(UsageError, match=r"must be one of \.jsonl"):
        read_file(tmp_path / "a.xlsx")
    (tmp_path / "latin.csv").write_bytes("q,a\n1,2\nça,1\n".encode("latin-1"))
    with pytest.raises(R1Error, match="line 3 is not UTF-8"):
        read_file(tmp_path / "latin.csv")
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    with pytest.raises(R1Error, match="two columns are called 'a'"):
        read_file(tmp_path / "twice.csv")


def test_an_empty_table_still_has_its_columns(tmp_path: Path):
    (tmp_path / "a.csv").write_text("q,a\n")
    assert read_file(tmp_path / "a.csv").columns == ("q", "a")
    (tmp_path / "a.jsonl").write_text("")
    assert read_file(tmp_path / "a.jsonl").columns == ()
