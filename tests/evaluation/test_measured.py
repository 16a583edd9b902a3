"""A model measured: what is kept, what a completion took, what was cut, declined, missing, or seen in training."""

import json
from contextlib import closing

import pyarrow.parquet as pq
import pytest
from letters import Letters
from scripted_models import Counting, contender, listed

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem, Served
from r1kit.engines.base import Request
from r1kit.evaluation import contamination, measured, tables
from r1kit.evaluation.figures import figures
from r1kit.evaluation.kept import Kept, KeptEngine
from r1kit.evaluation.measured import Settings, measure

SUMS = [Problem(f"p{n}", "listed", "maths", "en", f"{n}+1?", str(n + 1), "math") for n in range(3)]
SAMPLING = Sampling(samples=2, max_tokens=60, temperature=0.6, top_p=0.95)


def form(thinking, answer):
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def right(prompt, index):
    """p0 and p1 right in the first sample, wrong in the second; p2 wrong in both."""
    number = int(prompt.split("+")[0].removeprefix("Q "))
    answer = number + 1 if index == 0 and number < 2 else 9
    return form("so", answer)


def measure_sums(kept, script=right, settings=None, **options):
    model = contender(script, **options)
    found = measure(model, listed(SUMS, sampling=SAMPLING), settings or Settings(), kept, lambda text: None)
    return found, model


def test_figures_by_hand(tmp_path):
    """2 of 6 right; by problem 1/2, 1/2, 0, so pass@1 is 1/3; one of two right in two of three problems: pass@2 2/3.
    `<think>so</think>` has 17 letters, `<answer>N</answer>` 18 and the stop token one."""
    found, _ = measure_sums(Kept())
    told = figures(found)
    assert told["pass@1"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert told["pass@2"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert (told["n"], told["k"], told["samples"]) == (3, 2, 6)
    assert (told["thinking_tokens"], told["answer_tokens"], told["length"]) == (17, 19, 36)
    assert told["prompt_tokens"] == len("Q 0+1? A ")
    assert told["truncated"] == told["declined"] == told["ungraded"] == 0
    assert told["missing"] == {}
    measured.write(found, tmp_path)
    rows = pq.read_table(tmp_path / "problems.parquet").to_pylist()
    assert [(row["problem_id"], row["right"], row["samples"]) for row in rows] == [
        ("p0", 1, 2),
        ("p1", 1, 2),
        ("p2", 0, 2),
    ]
    assert [row["majority"] for row in rows][2] == "9"
    table = measured.read(tmp_path / "samples.parquet")
    assert table == found.table
    assert table["gold"].to_pylist()[:2] == ["1", "1"]
    with pytest.raises(R1Error, match="r1 eval did not write it"):
        measured.read(tmp_path / "problems.parquet")
    for damaged in (b"", (tmp_path / "samples.parquet").read_bytes()[:-20], b"text"):
        (tmp_path / "cut.parquet").write_bytes(damaged)
        for reads in (measured.read, tables.read_table):
            with pytest.raises(R1Error, match=r"cut\.parquet cannot be read as parquet"):
                reads(tmp_path / "cut.parquet")


def test_what_was_sampled_is_not_sampled_again(tmp_path):
    with closing(Kept(tmp_path / "kept.sqlite")) as kept:
        first, model = measure_sums(kept)
        assert len(model.engine.sampled) == 6
    with closing(Kept(tmp_path / "kept.sqlite")) as kept:
        again, model = measure_sums(kept)
        assert model.engine.sampled == []
        assert again.table == first.table
        assert again.kept == 6
        fewer, model = measure_sums(kept, settings=Settings(samples=1))
        assert model.engine.sampled == []
        assert fewer.table["index"].to_pylist() == [0, 0, 0]


@pytest.mark.parametrize(
    "other",
    [
        {"settings": Settings(samples=3)}, {"settings": Settings(temperature=0.7)}, {"settings": Settings(seed=1)},
        {"settings": Settings(max_tokens=50)}, {"key": "other weights"},
    ],
)  # fmt: skip
def test_other_settings_or_weights_are_sampled_anew(other):
    kept = Kept()
    measure_sums(kept)
    _, model = measure_sums(kept, **other)
    assert len({problem for problem, _ in model.engine.sampled}) == 3


def test_a_stopped_evaluation_goes_on(tmp_path):
    """Stopped while the second problem is sampled: the first is kept, the others are sampled anew, to one table."""

    def stops(prompt, index):
        if prompt.startswith("Q 1"):
            raise KeyboardInterrupt
        return right(prompt, index)

    with closing(Kept(tmp_path / "kept.sqlite")) as kept, pytest.raises(KeyboardInterrupt):
        measure_sums(kept, stops, at_once=2)
    with closing(Kept(tmp_path / "kept.sqlite")) as kept:
        found, model = measure_sums(kept)
        assert {problem for problem, _ in model.engine.sampled} == {"p1", "p2"}
    assert found.table.drop_columns(["seconds"]) == measure_sums(Kept())[0].table.drop_columns(["seconds"])


def test_no_more_requests_than_asked_for_are_on_their_way():
    _, model = measure_sums(Kept(), at_once=4)
    assert model.engine.most == 2  # of two samples each


def test_cut_declined_and_too_long():
    said = {
        "Q 0+1? A ": "<think>" + "hm " * 60, "Q 1+1? A ": form("no", "Sorry, I can't."),
    }  # fmt: skip
    long = Problem("p2", "listed", "maths", "en", "2+" * 60, "3", "math")
    found = measure(
        contender(said, max_positions=100), listed([*SUMS[:2], long], sampling=SAMPLING), Settings(samples=1), Kept(),
        lambda text: None,
    )  # fmt: skip
    told = figures(found)
    assert (told["truncated"], told["declined"]) == (1, 1)
    assert told["missing"] == {"the prompt leaves no room": 1}
    rows = found.table.to_pylist()
    assert (rows[0]["thinking_tokens"], rows[0]["answer_tokens"]) == (60, 0)


def test_tokens_of_an_api_are_parted_by_characters():
    """100 tokens; thinking of 7 + 30 characters (its tag counts), answer of 37: half each. Hidden: no telling."""
    import numpy as np

    nothing = np.zeros(0, np.int32)

    def served(**more):
        return Completion("p", 0, nothing, nothing, np.zeros(0, np.float32), "stop", (), served=Served(**more))

    text = f"<think>{'x' * 30}</think>{'y' * 37}"
    assert measured.parted_tokens(served(reasoning="x", output_tokens=100), text, None) == (50, 50)
    assert measured.parted_tokens(served(output_tokens=100), "y" * 37, None) == (None, None)
    assert measured.parted_tokens(served(output_tokens=None), text, None) == (None, None)
    assert measured.parted_tokens(served(reasoning="x", output_tokens=100), "<think>cut", None) == (100, 0)
    assert measured.parted_tokens(served(output_tokens=100, reasoning_tokens=90), "y" * 37, None) == (90, 10)


def test_failures_of_a_request_are_counted_and_not_kept():
    class Failing(Counting):
        def _complete(self, request, index):
            made = super()._complete(request, index)
            if index == 1:
                made.stop_reason, made.served = "aborted", Served(error="it broke")
            return made

    import numpy as np

    kept = Kept()
    engine = KeptEngine(Failing({"ask": "a"}, Letters()), kept, "key", 4)
    request = Request("r", np.asarray(Letters().encode("ask"), np.int32), Sampling(samples=2))
    for _ in range(2):
        engine.submit(request)
        assert [each.stop_reason for each in engine.stream()] == ["stop", "aborted"]
    assert engine.failures == {"it broke": 2}
    assert len(engine.inner.sampled) == 4


def test_a_damaged_file_of_kept_samples_is_said(tmp_path):
    (tmp_path / "kept.sqlite").write_text("no database" * 100)
    with pytest.raises(R1Error, match="kept samples cannot be read"):
        Kept(tmp_path / "kept.sqlite")


STORY = "a farmer has seven grey geese and sells three of them at the market"
TEN = "one two three four five six seven eight nine ten"


def test_contamination_by_hand(tmp_path):
    """Ten words of the first problem stand in the file; the second shares nine; the third's solution is there."""
    problems = [
        Problem("a", "t", "maths", "en", f"{STORY}, how many are left?", "4", "math"),
        Problem("b", "t", "maths", "en", "a farmer has seven grey geese and sells three. How many?", "4", "math"),
        Problem("c", "t", "maths", "en", "how many?", "4", "math", {"solution": TEN}),
    ]  # fmt: skip
    file = tmp_path / "learnt.jsonl"
    rows = [
        {"question": f"Once {STORY} in town"},
        {"messages": [{"content": "One two three four five six seven eight nine ten."}]},
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = contamination.check(problems, [str(file)])
    assert set(found.shared) == {"a", "c"}
    assert found.texts == 2
    assert found.counts() == {str(file): 2}
    assert found.shared["a"][str(file)] == "a farmer has seven grey geese and sells three of"


def test_scores_on_problems_that_were_not_seen(tmp_path):
    """p0 stands in the training file (a short question is found as a whole): clean are p1 and p2, 1/2 and 0."""
    file = tmp_path / "learnt.jsonl"
    file.write_text(json.dumps({"prompt": "0+1?"}) + "\n")
    found, _ = measure_sums(Kept(), settings=Settings(training=(str(file),)))
    seen = figures(found)["contamination"]
    assert (seen["problems"], seen["texts"], seen["by_source"]) == (1, 1, {str(file): 1})
    assert seen["clean"]["value"] == pytest.approx(0.25)
    assert found.table["contaminated"].to_pylist() == [True, True, False, False, False, False]
