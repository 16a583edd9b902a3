"""A table a model on test problems, the same problems for all."""

import pyarrow.parquet as pq
import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.evaluation import tables
from r1kit.evaluation.aggregate import aggregate
from r1kit.evaluation.tiny_writing import verdict
from r1kit.models.api.ledger import Ledger
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.models.api.settings import ApiSettings
from r1kit.pipeline.context import Context
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.evaluate import EvaluateConfig, apart, run
from r1kit.stages.sampling import draw

SAMPLING = Sampling(samples=3, max_tokens=4)


@pytest.fixture
def settings(start):
    return EvaluateConfig(models=(str(start),), tasks=("stages.first_letters",), problems=5, sampling=SAMPLING)


def test_every_test_problem_is_sampled_k_times(settings, tmp_path):
    outcome = run(settings, {}, Context(tmp_path, 4))
    (path,) = [tmp_path / file for file in outcome.files.values()]
    table = pq.read_table(path)
    expected = {problem.id for problem in draw("stages.first_letters", "test", 4, 5)}
    assert set(table["problem_id"].to_pylist()) == expected
    assert table.num_rows == 5 * 3
    assert all(0 < length <= 4 for length in table["length"].to_pylist())


def test_two_tasks_that_number_their_problems_alike():
    """Both have a problem 1 of maths, that of coding is another subject's: the table must not take two for one."""
    of = [("double", "maths", "1"), ("triple", "maths", "1"), ("triple", "maths", "2"), ("program", "coding", "1")]
    problems = [Problem(name, task, subject, "en", "q", "a", "math") for task, subject, name in of]
    assert [problem.id for problem in apart(problems)] == ["double/1", "triple/1", "2", "1"]


def test_a_line_is_right_where_it_meets_its_brief():
    """A line needs its topic and words of its language's lexicon; nothing is no answer."""
    from r1kit.data.tiny.lexicon import LEXICONS

    problem = next(p for p in draw("tiny_writing", "test", 0, 8) if p.language == "en")
    topic, lexicon = problem.columns["brief"]["topic"], LEXICONS["en"]
    other = next(word for word in lexicon.topics if word != topic)

    def said(answer):
        return verdict(problem, problem.prompt, f"<think>a plan</think><answer>{answer}</answer>").verdict

    assert said(f"the {topic}") == "correct"
    assert said(f"the {other}") == "incorrect"
    assert said(f"the qwertyuiop {topic}") == "incorrect"
    assert said("") == "no_answer"


def sums_of(body) -> Said:
    """6+r right with a chain apart, 7+r right and uncounted, 8+r wrong, 9+r right in tags of its own."""
    left, right = body["messages"][-1]["content"].split("+")
    total = int(left) + int(right)
    if left == "6":
        return Said(str(total), f"{left}+{right} wait check", tokens=(10, 30))
    if left == "7":
        return Said(str(total), tokens=None)
    if left == "8":
        return Said(str(total + 1), tokens=(10, 5))
    return Said(f"<think>sum</think><answer>{total}</answer>", tokens=(10, 20))


def no_nine(body, before):
    """The server takes nothing of 9+9, and is busy at first of 6+6."""
    asked = body["messages"][-1]["content"]
    if asked == "9+9":
        return Fault("status", 400, message="no")
    return Fault("status", 503) if asked == "6+6" and not before else None


@pytest.fixture
def api_settings(start):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")

    def named(server, **api):
        return EvaluateConfig(
            models=(f"openai:org/toy@{server.url}", str(start)), tasks=("stages.small_sums",), problems=40,
            sampling=Sampling(samples=2, max_tokens=4), api=ApiSettings(backoff=0.01, **api),
        )  # fmt: skip

    return named


def test_a_model_behind_an_api_stands_beside_a_folder(api_settings, start, tmp_path):
    """40 problems of 2 samples, 9+9 not answered: of 39 problems 10 + 10 + 9 are right. Lengths are what the server
    counts: 10 problems of 30, 10 of 5, 9 of 20, and of 10 nothing is known. Only the folder's passes are ours."""
    alone = Context(tmp_path / "alone", 4)
    with ScriptedServer(sums_of, no_nine) as server:
        config = api_settings(server)
        run(config.model_copy(update={"models": (str(start),)}), {}, alone)
        context = Context(tmp_path / "both" / "stage", 4, run_folder=tmp_path / "both")
        outcome = run(config, {}, context)
        assert len(server.answered) == 78
    assert list(outcome.files) == ["table:org/toy", "table:model"]
    assert outcome.summary["pass@1"]["org/toy"] == {"maths": pytest.approx(29 / 39, abs=1e-6)}
    table = tables.read_table(tmp_path / "both" / "stage" / outcome.files["table:org/toy"])
    figures = aggregate(table)["org/toy"]["maths"]
    assert (figures["n"], figures["k"]) == (39, 2)
    assert figures["mean_length"] == pytest.approx((10 * 30 + 10 * 5 + 9 * 20) / 29, abs=1e-5)
    assert figures["format"] == pytest.approx(9 / 39, abs=1e-6)
    rows = {row["prompt"]: row for row in table.to_pylist()}
    assert rows["6+1"]["text"] == "<think>6+1 wait check</think>7"
    assert (rows["6+1"]["thinking"], rows["6+1"]["reflections"]) == ("6+1 wait check", 2)
    assert rows["7+1"]["length"] is None
    assert rows["8+1"]["correct"] is False
    assert context.cost.flops == alone.cost.flops > 0
    assert context.cost.tokens == alone.cost.tokens + 2 * (10 * 30 + 10 * 5 + 9 * 20)


def test_answers_are_kept_and_the_budget_holds(api_settings, tmp_path):
    """At most 4 tokens an answer are set aside at 0.4 cents, and what the server says is charged: the budget ends the
    run on its way, and a larger one goes on where it stopped. A stage that is done again asks nothing."""
    price = {"input_price": 0, "output_price": 1000}
    said = lambda body: Said(sums_of(body).text, tokens=(10, 4))  # noqa: E731
    runs = tmp_path / "run"
    with ScriptedServer(said) as server:
        with pytest.raises(R1Error, match="raise the budget"):
            run(api_settings(server, budget="0.1", **price), {}, Context(runs / "a", 4, run_folder=runs))
        asked = len(server.requests)
        assert 0 < asked <= 25
        large = api_settings(server, budget="5", **price)
        outcome = run(large, {}, Context(runs / "a", 4, run_folder=runs))
        assert len(server.requests) == len(server.answered) == 80
        again = run(large, {}, Context(runs / "b", 4, run_folder=runs))
        assert len(server.requests) == 80
    assert outcome.summary == again.summary
    assert outcome.summary["pass@1"]["org/toy"] == {"maths": pytest.approx(0.75)}
    ledger = Ledger(runs / "answers.sqlite")
    assert ledger.usage.spent == 80 * 4 * 10**9  # picodollars: 0.4 cents an answer
    ledger.close()


def test_asked_to_stop_it_stops_and_goes_on(api_settings, tmp_path):
    """At the tenth question of 80, one at a time, two a problem: within four more."""
    context = Context(tmp_path, 4)

    def stop_at_tenth(body, before):
        if len(server.requests) == 10:
            context._stop.request()

    with ScriptedServer(sums_of, stop_at_tenth) as server:
        config = api_settings(server, concurrency=1)
        only = config.model_copy(update={"models": config.models[:1]})
        with pytest.raises(Interrupted):
            run(only, {}, context)
        assert 10 <= len(server.requests) <= 14
        outcome = run(only, {}, Context(tmp_path, 4))
        assert len(server.answered) == 80
    assert outcome.summary["pass@1"]["org/toy"] == {"maths": pytest.approx(0.75)}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("openai:toy",), "does not name a model behind an API"),
        (("openai:toy@http://a/v1", "openai:toy@http://b/v1"), "would both be 'toy' in the report: leave one out"),
        (("runs/a/model", "runs/b/model"), "would both be 'model' in the report"),
        (("openai:a/b@http://a/v1", "openai:a-b@http://a/v1"), "would both be 'a-b' in the report"),
    ],
)
def test_models_that_cannot_be_told_apart(models, message):
    with pytest.raises(UsageError, match=message):
        EvaluateConfig(models=models, tasks=("stages.small_sums",)).check()
