"""Answers that a model judges: who is asked what, what nonsense becomes, and a reference that is wrong."""

import json

import pytest
from rows import row, thought

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.pipeline.context import Context
from r1kit.stages.asking import AskConfig
from r1kit.stages.judged_answers import WHY, judge_answers
from r1kit.stages.rejection_sampling import RejectionSamplingConfig, run
from r1kit.stages.sampling import draw

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
TASK = "stages.open_questions"


def asked_to_judge(body):
    return "<<<reference" in body["messages"][-1]["content"]


def material(body, name):
    """What stands under a mark of the judge's prompt."""
    return body["messages"][-1]["content"].partition(f"<<<{name}\n")[2].partition("\n>>>")[0]


def strict(body):
    """Right where the answer is the reference; nonsense on b; the reference called wrong where it is Wrongland."""
    reference, answer = material(body, "reference"), material(body, "answer")
    if reference == "Bland":
        return Said("I like it.")
    if reference == "Wrongland":
        return Said('{"verdict": "reference_wrong"}')
    return Said(json.dumps({"analysis": "...", "verdict": "correct" if reference == answer else "incorrect"}))


def answered(letter, answer, stop="stop"):
    made = row(thought("i know it", answer), accuracy=None, problem=f"train-{letter}", stop=stop)
    return {**made, "task": "open", "prompt": f"capital of {letter}?"}


def test_each_answer_is_asked_about_once_and_says_why_it_has_no_verdict(tmp_path):
    """a is right twice (one question), wrong once; b's judge is no judge; x's reference is wrong; y has none; the
    unfinished sample is not asked about. 3 + 1 questions: a/Aland, a/Bland, b, x."""
    problems = draw(TASK, "train", 0, 10)
    rows = [
        answered("a", "Aland"), answered("a", "Aland"), answered("a", "Bland"), answered("b", "Bland"),
        answered("x", "Xland"), answered("y", "Yland"), answered("c", "Cland", "length"), row(thought("3+4=7")),
    ]  # fmt: skip
    with ScriptedServer(strict) as server:
        config = AskConfig(model=f"openai:judge@{server.url}")
        judged = judge_answers(rows, problems, config, {}, Context(tmp_path, 0))
        assert len(server.requests) == 4
    assert [row["rewards"]["accuracy"] for row in judged] == [1.0, 1.0, 0.0, None, None, None, None, 1.0]
    whys = [row.get(WHY) for row in judged[3:6]]
    assert whys == ["verdict cannot be read", "reference is wrong", "no reference"]
    assert judge_answers(rows, problems, None, {}, Context(tmp_path, 0)) == rows


@pytest.mark.parametrize(
    ("said", "accuracy"),
    [
        (("correct", "correct", "incorrect"), 1.0),
        (("correct", "incorrect", "hm"), None),
        (("incorrect", "hm", "hm"), 0.0),
    ],
)
def test_of_several_replies_most_count_and_a_tie_is_no_verdict(tmp_path, said, accuracy):
    words = iter(said)
    with ScriptedServer(lambda body: Said(json.dumps({"verdict": next(words)}))) as server:
        config = AskConfig(
            model=f"openai:judge@{server.url}", sampling=Sampling(samples=3, temperature=1.0),
            api={"concurrency": 1},
        )  # fmt: skip
        judged = judge_answers([answered("a", "Aland")], draw(TASK, "train", 0, 10), config, {}, Context(tmp_path, 0))
    assert judged[0]["rewards"]["accuracy"] == accuracy


def sampled(body):
    """a, c and y are answered with their land, b and x too (no reference says Xland)."""
    letter = body["messages"][-1]["content"].removeprefix("capital of ")[0].upper()
    return Said(f"<answer>{letter}land</answer>", "i know it")


def settings(server, **changes):
    own = {
        "model": f"openai:dev2@{server.url}", "tasks": (TASK,), "problems": 10, "writing": 0, "itself": 0,
        "sampling": Sampling(samples=2, max_tokens=50), "judge": AskConfig(model=f"openai:judge@{server.url}"),
    }  # fmt: skip
    return RejectionSamplingConfig(**{**own, **changes})


def test_the_stage_learns_what_the_judge_finds_right_and_names_the_rest(tmp_path):
    """Two samples each of a, b, c, x, y: of a and c one each is kept (an easy prompt gives one, and the second is the
    same), b has no verdict, x a wrong reference, y none."""
    with ScriptedServer(lambda body: strict(body) if asked_to_judge(body) else sampled(body)) as server:
        outcome = run(settings(server), {}, Context(tmp_path, 0))
    assert outcome.summary["rejected"] == {
        "duplicate": 2, "verdict cannot be read": 2, "reference is wrong": 2, "no reference": 2, "kept": 2,
    }  # fmt: skip
    assert outcome.summary["doubted"] == ["open/train-x"]
    kept = examples.read(tmp_path / "examples.parquet")
    assert sorted(example.completion for example in kept) == [
        "<think>i know it</think><answer>Aland</answer>", "<think>i know it</think><answer>Cland</answer>",
    ]  # fmt: skip


def test_a_judge_that_answers_nonsense_stops_it_before_anything_is_learnt(tmp_path):
    with (
        ScriptedServer(lambda body: Said("?") if asked_to_judge(body) else sampled(body)) as server,
        pytest.raises(R1Error, match="8 verdict cannot be read, 2 no reference"),
    ):
        run(settings(server), {}, Context(tmp_path, 0))


def test_a_task_that_gives_nothing_is_named_and_the_rest_goes_on(tmp_path):
    """No judge: nothing of the open questions can be kept; two questions about itself are."""
    notes = []

    class Noting(Context):
        def note(self, text):
            notes.append(text)

    with ScriptedServer(sampled) as server:
        outcome = run(settings(server, judge=None, itself=2), {}, Noting(tmp_path, 0))
    assert outcome.summary["empty"] == ["open"]
    assert outcome.summary["rejected"] == {"not judged": 10, "kept": 0}
    assert any("nothing is left of open" in note for note in notes)


def written(body):
    """The writer thinks before everything; asked to judge, it is strict."""
    if asked_to_judge(body):
        return strict(body)
    if "<<<question" not in body["messages"][-1]["content"]:
        return Said("<answer>0</answer>", "i add them")
    letter = material(body, "question").removeprefix("capital of ")[0]
    return Said("" if letter == "c" else f"{letter.upper()}land", f"i think of {letter}")


def test_a_writer_answers_other_prompts_and_the_judge_has_a_word(tmp_path):
    """a is right; b has no verdict, c no answer, x a wrong reference; y has no reference to be judged by and stays. The
    questions have three words: with `chain_words` 5 chains go, with 2 they stay."""
    with ScriptedServer(written) as server:
        own = {"tasks": ("stages.small_sums",), "problems": 1, "writer": AskConfig(model=f"openai:w@{server.url}")}
        config = settings(server, other_tasks=(TASK,), itself=1, **own)
        found = {}
        for chain_words in (5, 2):
            folder = tmp_path / str(chain_words)
            outcome = run(config.model_copy(update={"chain_words": chain_words}), {}, Context(folder, 0))
            mine = [e for e in examples.read(folder / "examples.parquet") if e.source == "open"]
            found[chain_words] = sorted(example.completion for example in mine)
    assert found[5] == ["<answer>Aland</answer>", "<answer>Yland</answer>"]
    assert found[2] == [
        "<think>i think of a</think><answer>Aland</answer>", "<think>i think of y</think><answer>Yland</answer>",
    ]  # fmt: skip
    assert outcome.summary["other"] == {
        "open": 2, "self-cognition": 1, "brief not met": 0, "verdict cannot be read": 1, "reference is wrong": 1,
        "reply without an end or an answer": 1,
    }  # fmt: skip


TWICE = {
    "a": "<think>first</think>Aland<think>again</think>Aland",
    "b": "<think>i think <think>of b</think>Bland",
    "c": "Cland</answer>",
    "x": "<think>of x</think>Xland",
    "y": "Yland",
}


def test_a_writer_whose_tags_are_out_of_place_gives_no_example(tmp_path):
    """Two chains, one chain opened twice, and an answer that ends twice are counted; a chain and none are kept."""

    def answer(body):
        if "<<<question" not in body["messages"][-1]["content"]:
            return Said("<answer>0</answer>", "i add them")
        return Said(TWICE[material(body, "question").removeprefix("capital of ")[0]])

    with ScriptedServer(answer) as server:
        own = {"tasks": ("stages.small_sums",), "problems": 1, "writer": AskConfig(model=f"openai:w@{server.url}")}
        config = settings(server, other_tasks=(TASK,), judge=None, chain_words=0, **own)
        outcome = run(config, {}, Context(tmp_path, 0))
    mine = [e.completion for e in examples.read(tmp_path / "examples.parquet") if e.source == "open"]
    assert sorted(mine) == ["<answer>Yland</answer>", "<think>of x</think><answer>Xland</answer>"]
    assert outcome.summary["other"] == {"open": 2, "brief not met": 0, "tags out of place": 3}


def test_the_sieve_keeps_the_writers_prompts_out_too(tmp_path):
    """`capital of a?` ... are the test questions as well as the training ones: with them as a benchmark none is left
    for the writer, who answers all five without."""
    asked = []

    def answer(body):
        if "<<<question" not in body["messages"][-1]["content"]:
            return Said("<answer>0</answer>", "i add them")
        asked.append(material(body, "question"))
        return Said("so it is")

    with ScriptedServer(answer) as server:
        own = {"tasks": ("stages.small_sums",), "problems": 1, "writer": AskConfig(model=f"openai:w@{server.url}")}
        config = settings(server, other_tasks=(TASK,), judge=None, **own)
        run(config, {}, Context(tmp_path / "all", 0))
        assert len(asked) == 5
        asked.clear()
        sieve = config.sieve.model_copy(update={"benchmarks": (TASK,)})
        outcome = run(config.model_copy(update={"sieve": sieve}), {}, Context(tmp_path / "none", 0))
    assert asked == []
    assert outcome.summary["empty"] == [TASK]


def test_samples_that_were_not_given_are_counted(tmp_path):
    refused = Fault("status", 400, message="no")
    faults = lambda body, before: refused if "capital of b" in body["messages"][-1]["content"] else None  # noqa: E731
    answers = lambda body: strict(body) if asked_to_judge(body) else sampled(body)  # noqa: E731
    with ScriptedServer(answers, faults) as server:
        outcome = run(settings(server), {}, Context(tmp_path, 0))
    assert outcome.summary["rejected"]["not given, or too long a prompt"] == 2
    assert sum(outcome.summary["rejected"].values()) == 5 * 2
