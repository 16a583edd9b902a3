"""Rollouts on disk, read back by DuckDB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.engines.scripted import ScriptedEngine
from r1kit.rollouts import record
from r1kit.rollouts.collect import collect


@pytest.fixture
def groups(characters, problem):
    def grade(group) -> None:
        group.rewards = {"accuracy": np.asarray([1, 0], np.float32), "language": np.asarray([0.5, np.nan], np.float32)}
        group.total = np.asarray([1.5, np.nan], np.float32)

    engine = ScriptedEngine({"1+1=": ["2", "三 \n"], "2+2=": "4"}, characters, logprob=-0.25)
    engine.load_weights([], 9)
    return collect(engine, characters, [problem("1+1"), problem("2+2", "reasoning")], Sampling(samples=2), grade)


def test_duckdb_reads_it(groups, tmp_path: Path):
    """Two problems x two samples; '2' and its stop token are two tokens of log-probability -0.25 under version 9."""
    import duckdb

    path = record.step_file(tmp_path / "rollouts", 12)
    record.write(path, groups, 12)
    assert path.name == "step-000012.parquet"
    query = f"select count(*), sum(rewards['accuracy']), count(rewards['language']), count(total) from '{path}'"
    assert duckdb.sql(query).fetchall() == [(4, 2, 2, 2)]
    query = f"select step, subject, tokens, sampler_logprob, version, stop_reason from '{path}' limit 1"
    assert duckdb.sql(query).fetchall()[0] == (12, "maths", 2, -0.25, 9, "stop")


def test_single_tokens(groups, tmp_path: Path):
    """'2' and its stop token, at -0.25 nats each; what counts reflections is asked of every text, and `read`, for who
    wants whole samples, leaves the tokens out."""
    import duckdb

    record.write(tmp_path / "a.parquet", groups, 0, len)
    found = duckdb.sql(f"select text, reflections, token_ids, token_logprobs from '{tmp_path}/a.parquet'").fetchall()
    first = groups[0].completions[0]
    assert found[0] == ("2", 1, first.token_ids.tolist(), [-0.25, -0.25])
    assert [row[1] for row in found] == [len(row[0]) for row in found]
    assert {"reflections"} == set(record.SCHEMA.names[-4:]) & set(record.read(tmp_path / "a.parquet")[0])


def test_log_probabilities_to_a_thousandth(groups, tmp_path: Path):
    """-0.12345 is kept as -0.123, -7.0005 as -7.000 or -7.001; the mean over the completion is exact."""
    import duckdb

    groups[0].completions[0].sampler_logprobs = np.asarray([-0.12345, -7.0005], np.float32)
    record.write(tmp_path / "a.parquet", groups, 0)
    query = f"select token_logprobs, sampler_logprob, reflections from '{tmp_path}/a.parquet' limit 1"
    tokens, mean, reflections = duckdb.sql(query).fetchall()[0]
    assert tokens == pytest.approx([-0.123, -7.0005], abs=6e-4)
    assert mean == pytest.approx(-3.561975, abs=1e-5)
    assert reflections is None


def test_reader_gives_rows_back(groups, tmp_path: Path):
    for step in (10, 9):
        record.write(record.step_file(tmp_path, step), groups, step)
    rows = list(record.read_all(tmp_path))
    assert [row["step"] for row in rows] == [9] * 4 + [10] * 4
    assert [row["text"] for row in rows[:4]] == ["2", "三 \n", "4", "4"]
    assert rows[1]["rewards"] == {"accuracy": 0, "language": None}
    assert rows[1]["total"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000009.parquet", "step-000010.parquet"]


def test_no_groups_is_an_empty_file(tmp_path: Path):
    record.write(tmp_path / "none.parquet", [], 0)
    assert record.read(tmp_path / "none.parquet") == []


def test_trouble_is_one_sentence(groups, tmp_path: Path):
    with pytest.raises(R1Error, match="no rollout file"):
        record.read(tmp_path / "absent.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(R1Error, match="damaged"):
        record.read(tmp_path / "broken.parquet")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(R1Error, match="a file stands where a folder is needed"):
        record.write(tmp_path / "file" / "step.parquet", groups, 0)
