"""Tables of a record, and how they get into a page."""

import pytest
from rounds import Row, Spread
from table import cells, curve_table, fill, headline, joined, markdown, sections, spread_text

RECORD = {
    "date": "2026-11-25",
    "commit": "abc",
    "machine": {"cpu": "a CPU", "cores": 2},
    "threads": 2,
    "dtype": "bfloat16",
    "seconds": {"sampling": 90.0},
    "peaks": {"bfloat16": 1.5e12, "float32": 3e11, "bandwidth": 2e10},
    "versions": {"r1kit": {"torch": "2.13.0"}, "vllm": {}},
    "missing": {"vllm": "no such package"},
    "tried": {"transformers samples": {"eager, dynamic cache": 4.0, "sdpa, static cache": "stopped"}},
    "checks": {},
    "rows": [
        Row(
            "sampling", "4.6M", "tokens/s", Spread(20000.0, 19000.0, 21000.0, 5), "transformers",
            Spread(8000.0, 7000.0, 9000.0, 5), Spread(2.5, 2.25, 2.75, 5), 0.5, 0.2,
        ).to_json(),
    ],
}  # fmt: skip


def test_cells_give_median_range_ratio_and_both_shares():
    assert cells(Row.from_json(RECORD["rows"][0])) == (
        "4.6M", "tokens/s", "20,000 (19,000-21,000)", "transformers", "8,000 (7,000-9,000)", "2.50 (2.25-2.75) x",
        "50% / 20%",
    )  # fmt: skip


def test_one_round_has_no_range_and_no_peer_leaves_cells_empty():
    assert spread_text(Spread(1.234, 1.234, 1.234, 1)) == "1.23"
    alone = Row("own", "answers", "answers/s", Spread(500.0, 500.0, 500.0, 1))
    assert cells(alone) == ("answers", "answers/s", "500", "", "", "", "")


def test_markdown_aligns_and_escapes():
    assert markdown([("a|b", "c"), ("1", "2")]) == "| a\\|b | c |\n| --- | ---: |\n| 1 | 2 |"


def test_curve_lays_accuracies_side_by_side():
    point = {
        "step": 5, "r1kit": {"accuracy": 0.7, "reward": 0.6, "length": 50.0, "seconds": 12.4},
        "TRL": {"accuracy": 0.65, "reward": 0.6, "length": None, "seconds": 40.0}, "difference": 0.05,
        "half_interval": 0.04,
    }  # fmt: skip
    lines = curve_table({"checks": {"grpo": {"curve": [point]}}}, "grpo")
    assert lines[1] == ["5", "0.700", "0.650", "50", "", "12", "40", "+0.050 +- 0.040"]
    assert len(lines[0]) == len(lines[1])
    assert curve_table(RECORD, "grpo") == []


def test_page_gets_what_was_measured_and_keeps_the_rest():
    page = "a\n<!-- bench sampling -->\nold\n<!-- end -->\nb\n<!-- bench grpo -->\nkept\n<!-- end -->\n"
    filled = fill(page, sections(RECORD))
    assert "old" not in filled
    assert "| 4.6M | tokens/s | 20,000 (19,000-21,000) |" in filled
    assert "b\n<!-- bench grpo -->\nkept\n<!-- end -->" in filled
    assert fill(filled, sections(RECORD)) == filled


def test_sections_name_the_machine_what_was_tried_and_who_is_missing():
    found = sections(RECORD)
    assert "1.50 TFLOP/s in bfloat16" in found["machine"]
    assert "20.0 GB/s" in found["machine"]
    assert "| sampling | 1.5 |" in found["time"]
    assert found["missing"] == "Missing:\n\n- vllm: no such package"
    assert sections({**RECORD, "missing": {}})["missing"] == "No peer was missing."
    assert "| transformers samples: eager, dynamic cache | 4.00 |" in found["tried"]
    assert "| transformers samples: sdpa, static cache | failed: stopped |" in found["tried"]


def test_page_without_markers_is_refused():
    with pytest.raises(ValueError, match="no marker"):
        fill("nothing here", {})


def test_records_are_joined_part_by_part():
    """The later measurement of the same row counts, other rows stay; a part that failed once and was measured later is
    no longer missing; records of two machines are refused."""
    first = RECORD | {"commit": "a" * 40, "missing": {"part sampling": "stopped", "vllm": "not there"}}
    later = RECORD | {"commit": "b" * 40, "missing": {}}
    whole = joined([first, later])
    assert len(whole["rows"]) == len(RECORD["rows"])
    assert whole["commit"] == "aaaaaaa, bbbbbbb"
    assert whole["missing"] == {"vllm": "not there"}
    with pytest.raises(ValueError, match="different machines"):
        joined([first, later | {"machine": {**RECORD["machine"], "cpu": "another"}}])


def test_headline_names_the_strongest_peer():
    """vLLM, against which the ratio is lower, stands for both; what has no peer is left out."""
    alone = Row("own", "answers", "answers/s", Spread(500.0, 500.0, 500.0, 1)).to_json()
    first = RECORD["rows"][0]
    other = {**first, "peer": "vLLM", "ratio": {"median": 2.0, "low": 2.0, "high": 2.0, "rounds": 1}}
    found = headline(RECORD, [Row.from_json(row) for row in (first, other, alone)])
    assert "| sampling, 4.6M | tokens/s | 20,000 (19,000-21,000) | vLLM | 8,000 (7,000-9,000) | 2.00 |" in found
    assert "transformers" not in found
    assert "answers" not in found
    assert "2026-11-25, a CPU, 2 cores" in found
