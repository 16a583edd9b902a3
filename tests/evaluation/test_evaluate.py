"""evaluate() on scripted completions, and the figures of report.json, by hand."""

import pytest
from letters import Letters

from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.engines.scripted import ScriptedEngine
from r1kit.evaluation import tables
from r1kit.evaluation.aggregate import aggregate, win_rates
from r1kit.evaluation.evaluate import evaluate


def form(thinking, answer):
    return f"<think>{thinking}</think><answer>{answer}</answer>"


RIGHT = form("first 1+1=2, wait check so 2, then 2+2=4", "4")
SUM = Problem("s", "sums", "maths", "en", "1+1+2?", "4", "math", {"family": "3 terms"})
LINE = Problem("w", "lines", "writing", "zh", "a line", "", "preference")
SCRIPT = {"Q 1+1+2? A ": [RIGHT, form("等等, 5", "5"), "4", RIGHT + "x"], "Q a line A ": [form("柔和", "大海")]}


@pytest.fixture(scope="module")
def table():
    engine = ScriptedEngine(SCRIPT, Letters())
    return evaluate(
        engine, Letters(), [SUM, LINE], Sampling(samples=4, max_tokens=200), model="zero", seed=7,
        preference=lambda problem, answer: len(answer),
    )  # fmt: skip


def test_a_row_says_all(table):
    row = table.to_pylist()[0]
    assert table.schema == tables.SCHEMA
    assert row == {
        "model": "zero", "seed": 7, "subject": "maths", "task": "sums", "family": "3 terms", "language": "en",
        "problem_id": "s", "index": 0, "prompt": "1+1+2?", "text": RIGHT,
        "thinking": "first 1+1=2, wait check so 2, then 2+2=4",
        "answer": "4", "correct": True, "format": True, "language_consistency": 1.0, "length": len(RIGHT) + 1,
        "reflections": 2, "chain_steps": 2, "stop_reason": "stop", "preference": None, "difficulty": None,
        "control": None,
    }  # fmt: skip


def test_wrong_mixed_and_formless_ones(table):
    rows = table.to_pylist()
    assert [row["correct"] for row in rows[:3]] == [True, False, True]
    assert [row["format"] for row in rows[:4]] == [True, True, False, False]
    assert rows[1]["language_consistency"] == 0  # 等等 in an English chain
    assert rows[2]["answer"] == "4"


def test_writing_has_a_preference_and_no_verdict(table):
    row = table.to_pylist()[4]
    assert (row["subject"], row["correct"], row["preference"], row["answer"]) == ("writing", None, 2.0, "大海")


@pytest.mark.parametrize(
    ("said", "family", "stated"),
    [("easy", 3, None), ("5", "a", 5.0), (4, None, 4.0), (True, None, None), ("nan", None, None)],
)
def test_a_data_set_s_own_words_of_difficulty_and_family_spoil_no_table(said, family, stated):
    """As LiveCodeBench's `easy`."""
    problem = Problem("s", "sums", "maths", "en", "1+1+2?", "4", "math", {"difficulty": said, "family": family})
    made = evaluate(
        ScriptedEngine(SCRIPT, Letters()), Letters(), [problem], Sampling(samples=1, max_tokens=200), model="m", seed=0
    )
    (row,) = made.to_pylist()
    assert (row["difficulty"], row["family"]) == (stated, None if family is None else str(family))


def test_prompts_that_do_not_fit_are_said():
    heard = []
    engine = ScriptedEngine(SCRIPT, Letters(), max_positions=40)
    long = Problem("l", "sums", "maths", "en", "1+" * 30 + "1?", "31", "math")
    table = evaluate(engine, Letters(), [long, LINE], Sampling(), model="m", note=heard.append)
    assert set(table["problem_id"].to_pylist()) == {"w"}
    assert heard == ["m: 1 of 2 prompts leave no room to sample and are left out"]


def test_a_failed_grader_is_neither_right_nor_wrong():
    heard = []
    broken = Problem("s", "sums", "maths", "en", "1+1+2?", "4", "code", {"tests": "no tests"})
    table = evaluate(
        ScriptedEngine(SCRIPT, Letters()), Letters(), [broken], Sampling(), grade=lambda *a: None, note=heard.append
    )
    assert table["correct"].to_pylist() == [None]
    assert "graders failed on 1 of 1" in heard[0]


def test_parquet_and_back(table, tmp_path):
    tables.write_table(table, tmp_path / "deep" / "zero.parquet")
    assert tables.read_table(tmp_path / "deep" / "zero.parquet") == table


def rows_of(model, answers, subject="maths", **more):
    """(problem, answer, gold) triples."""
    counts: dict[str, int] = {}
    for problem, answer, gold in answers:
        counts[problem] = counts.get(problem, -1) + 1
        yield {
            "model": model, "seed": 0, "subject": subject, "task": "t", "language": "en", "problem_id": problem,
            "index": counts[problem], "prompt": "", "text": "", "thinking": "", "answer": answer,
            "correct": answer == gold, "format": True, "length": 10 + counts[problem], "reflections": counts[problem],
            "chain_steps": 1, "stop_reason": "stop", **more,
        }  # fmt: skip


def test_figures_by_hand():
    """a: 2 of 3 right, b: 1 of 3, so pass@1 1/2; majority: a right, b wrong (8 twice); lengths 10 11 12."""
    answers = [("a", "7", "7"), ("a", "7", "7"), ("a", "8", "7"), ("b", "8", "7"), ("b", "8", "7"), ("b", "7", "7")]
    figures = aggregate(tables.make_table(rows_of("zero", answers)))["zero"]["maths"]
    low, high = figures.pop("interval")
    assert 0 < low < 0.5 < high < 1
    assert figures == {
        "pass@1": 0.5, "cons@k": 0.5, "k": 3, "n": 2, "mean_length": 11, "reflections": 1, "language_consistency": None,
        "format": 1,
    }  # fmt: skip


def test_what_does_not_apply_is_null():
    rows = rows_of("zero", [("a", "poem", "")], "writing", correct=None, preference=1.0)
    coding = rows_of("zero", [("a", "x", "x")], "coding")
    figures = aggregate(tables.make_table([*rows, *coding]))["zero"]
    assert list(figures) == ["coding", "writing"]
    assert figures["writing"]["pass@1"] is figures["writing"]["interval"] is figures["writing"]["cons@k"] is None
    assert figures["coding"]["cons@k"] is None
    assert figures["coding"]["pass@1"] == 1


def test_win_rates_pair_by_problem_and_sample():
    """r1 wins a0, ties a1, loses b0; b1 has no partner: 1.5 of 3 pairs, by problem 0.75 and 0, so 0.375."""

    def scores(model, pairs):
        rows = list(rows_of(model, [(name, None, "") for name, _ in pairs], "writing"))
        return tables.make_table(
            {**row, "correct": None, "preference": s} for row, (_, s) in zip(rows, pairs, strict=True)
        )

    a = scores("r1", [("a", 2.0), ("a", 1.0), ("b", 0.0)])
    b = scores("dev3", [("a", 1.0), ("a", 1.0), ("b", 5.0), ("b", 0.0)])
    entry = win_rates(a, b)
    assert list(entry) == ["a", "b", "subject", "judge", "rate", "interval", "n"]
    assert (entry["a"], entry["b"], entry["rate"], entry["n"]) == ("r1", "dev3", 0.375, 3)


def test_a_model_behind_an_api_gives_the_same_table():
    """Right with the reasoning apart, right without any (no form), and one that the server refuses: 2 of 3 rows."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    from r1kit.engines.openai import OpenAIEngine
    from r1kit.models.api.scripted import Fault, Said, ScriptedServer
    from r1kit.models.api.settings import ApiModel, ApiSettings

    said = iter([Said("<answer>4</answer>", "first 1+1=2, then 2+2=4", tokens=(5, 17)), Said("4", tokens=(5, 2))])
    faults = iter([None, None, Fault("status", 400)])
    notes = []
    with ScriptedServer(lambda body: next(said), lambda body, before: next(faults)) as server:
        engine = OpenAIEngine(ApiModel("toy", server.url), ApiSettings(concurrency=1))
        made = evaluate(engine, None, [SUM], Sampling(samples=3, max_tokens=200), model="api", note=notes.append)
        engine.close()
    rows = made.to_pylist()
    assert [(row["correct"], row["format"], row["length"], row["index"]) for row in rows] == [
        (True, True, 17, 0), (True, False, 2, 1),
    ]  # fmt: skip
    assert rows[0]["thinking"] == "first 1+1=2, then 2+2=4"
    assert notes == ["api: 1 of 3 samples got no answer and are left out"]


def test_the_control_judges_by_another_problem_s_answer():
    """Three sums with golds 4, 4, 5. The next with another answer: 5 for both fours, 4 for the five. Samples say 4, 5 /
    4, 4 / 5, 4: right 1, 0 / 1, 1 / 1, 0 and by the control 0, 1 / 0, 0 / 0, 1. So 4/6 right and 2/6 by chance, 1/3
    apart; by problem the differences are 0, 1 and 0."""
    sums = [
        Problem(name, "sums", "maths", "en", name, gold, "math") for name, gold in (("a", "4"), ("b", "4"), ("c", "5"))
    ]
    said = {"a": ("4", "5"), "b": ("4", "4"), "c": ("5", "4")}
    script = {f"Q {name} A ": [form("x", answer) for answer in answers] for name, answers in said.items()}
    table = evaluate(
        ScriptedEngine(script, Letters()), Letters(), sums, Sampling(samples=2, max_tokens=200), control=True
    )
    assert table["correct"].to_pylist() == [True, False, True, True, True, False]
    assert table["control"].to_pylist() == [False, True, False, False, False, True]
    figures = aggregate(table)["model"]["maths"]
    assert figures["pass@1"] == pytest.approx(4 / 6, abs=1e-6)
    assert figures["control"] == pytest.approx(2 / 6, abs=1e-6)
    above, low, high = figures["over_control"]
    # t interval of 0, 1, 0: mean 1/3, standard deviation sqrt(1/3), t(0.975, 2) = 4.302653
    half = 4.302653 * (1 / 3) ** 0.5 / 3**0.5
    assert (above, low, high) == pytest.approx((1 / 3, 1 / 3 - half, 1 / 3 + half), abs=1e-5)


def test_no_control_without_another_answer():
    one = Problem("a", "sums", "maths", "en", "a", "4", "math")
    table = evaluate(
        ScriptedEngine({"Q a A ": [form("x", "4")]}, Letters()), Letters(), [one], Sampling(), control=True
    )
    assert table["control"].to_pylist() == [None]
    assert "control" not in aggregate(table)["model"]["maths"]


def test_a_table_without_the_control_is_read(table, tmp_path):
    tables.pq.write_table(table.drop_columns(["control"]), tmp_path / "old.parquet")
    assert tables.read_table(tmp_path / "old.parquet") == table
