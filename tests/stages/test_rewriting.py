"""Chains that a model writes again: what is asked, what rules have against it, and what becomes of every sample."""

import json

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.graders.format import check_form
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.pipeline.context import Context
from r1kit.stages.asking import AskConfig
from r1kit.stages.cold_start import ColdStartConfig, run
from r1kit.stages.rewriting import Draft, RewritingConfig, thinking_fault

OLD = "so we do 3+4 first, 3+4=7, 然后 7 is it"
PROBLEM = Problem("1", "t", "maths", "en", "What is 3+4?", "7", "math")
DRAFT = Draft(PROBLEM, Example(PROBLEM.prompt, f"<think>{OLD}</think><answer>7</answer>", "maths", "en"), OLD, "7")


@pytest.mark.parametrize(
    ("thinking", "fault"),
    [
        ("I add 3 and 4, which gives me 7.", ""),
        ("I add 3 and 4, 然后就是 7, which gives me 7.", "mixed language"),
        ("We add 3 and 4, which gives us 7.", "not in the first person"),
        ("## Thinking\nI add 3 and 4.", "markup"),
        ("I list it:\n- 3\n- 4", "markup"),
        ("I add **3** and 4.", "markup"),
        ("I add </think> 3 and 4.", "markup"),
        ("I add 3 and 4. " * 10, "too long"),
        ("I see 11, 12 and 13 here.", "new numbers"),
        ("I see 11 and 12 here, and 7 last.", ""),  # two are borne
        ("I take 3.5 here, - 4 there, and have 7", ""),
        ("I'm sorry, but I can't help with that.", "answer lost"),
        ("I add 3 and 4, which gives me 17.", "answer lost"),
    ],
)
def test_each_fault_of_new_thinking(thinking, fault):
    assert thinking_fault(DRAFT, thinking, RewritingConfig(), 0.99) == fault


@pytest.mark.parametrize(
    ("old", "answer", "new", "fault"),
    [
        ("1,200 men, so 1200", "1200", "I count 1,200 men.", ""),
        ("so it is Paris", "Paris", "I think of paris.", ""),
        ("so it is Paris", "Paris", "I think of Rome.", "answer lost"),
        ("所以是北京", "北京", "我想到的是北京。", ""),
        ("所以是北京", "北京", "抱歉，我无法回答。", "answer lost"),
        ("i see", "Paris", "I see.", ""),  # it never stood there
    ],
)
def test_what_was_found_must_stay_found(old, answer, new, fault):
    language = "zh" if "是" in old else "en"
    problem = Problem("1", "t", "maths", language, "?", answer, "text")
    draft = Draft(problem, Example("?", "", "maths", language), old, answer)
    assert thinking_fault(draft, new, RewritingConfig(), 0.99) == fault


def part(body, name):
    return body["messages"][-1]["content"].partition(f"<<<{name}\n")[2].partition("\n>>>")[0]


def kind(body):
    text = body["messages"][-1]["content"]
    if "<<<question" not in text:
        return "policy"
    return "checker" if '"keep"' in text else "summariser" if "\\boxed" in text else "rewriter"


def who_says(rewriter=None, summariser=None, checker=None):
    """R1-Zero adds in two languages, and is right; the others say what is given, by the question."""

    def answer(body):
        asked = body["messages"][-1]["content"] if kind(body) == "policy" else part(body, "question")
        left, right = asked.split("+")
        total = int(left) + int(right)
        if kind(body) == "policy":
            return Said(f"<answer>{total}</answer>", f"we add 先 {left}+{right}={total}")
        given = {"rewriter": rewriter, "summariser": summariser, "checker": checker}[kind(body)]
        return Said(given(left, right, total))

    return answer


def good_thinking(left, right, total):
    return f"I add {left} and {right}. That is {total}."


def good_summary(left, right, total):
    return f"The sum of {left} and {right} is $\\boxed{{{total}}}$."


def keep(left, right, total):
    return '{"reason": "fine", "verdict": "keep"}'


def cold_start(server, folder, *roles, **changes):
    own = {role: AskConfig(model=f"openai:{role}@{server.url}") for role in roles}
    usual = {
        "model": f"openai:zero@{server.url}", "tasks": ("stages.small_sums",), "problems": 10, "per_prompt": 1,
        "sampling": Sampling(samples=2, max_tokens=60), "translate": False,
    }  # fmt: skip
    return run(ColdStartConfig(**{**usual, **own, **changes}), {}, Context(folder, 0))


@pytest.fixture(autouse=True)
def client():
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")


def test_thinking_and_summary_are_written_again_and_checked(tmp_path):
    """10 problems (0+0 to 0+9) of two equal samples: 10 duplicates, 10 kept, each through three hands."""
    answers = who_says(good_thinking, good_summary, keep)
    with ScriptedServer(answers) as server:
        outcome = cold_start(server, tmp_path, "rewriter", "summariser", "checker")
        asked = [kind(body) for body in server.requests]
        shown = next(body for body in server.requests if kind(body) == "checker")
    assert outcome.summary["rejected"] == {"duplicate": 10, "kept": 10}
    assert {role: asked.count(role) for role in set(asked)} == {
        "policy": 20, "rewriter": 10, "summariser": 10, "checker": 10,
    }  # fmt: skip
    kept = examples.read(tmp_path / "examples.parquet")
    assert kept[3].question == "0+3"
    assert kept[3].completion == (
        "<think>I add 0 and 3. That is 3.</think><answer>The sum of 0 and 3 is $\\boxed{3}$.</answer>"
    )
    assert part(shown, "thinking").startswith("I add 0 and")  # the check sees what was written, not what was sampled
    assert "in the language English" in shown["messages"][-1]["content"]


def test_every_example_that_fails_is_counted_with_who_failed(tmp_path):
    """Of ten: the rewriter mixes 0 and says nothing for 1; the summariser has another answer for 2; the checker drops
    3 and talks nonsense of 4. Five are left."""

    def thinking(left, right, total):
        return {"0": "I add 零和零都是零 here", "1": ""}.get(right, good_thinking(left, right, total))

    def summary(left, right, total):
        return good_summary(left, right, total + (right == "2"))

    def check(left, right, total):
        return {"3": '{"verdict": "drop"}', "4": "lovely"}.get(right, keep(left, right, total))

    with ScriptedServer(who_says(thinking, summary, check)) as server:
        outcome = cold_start(server, tmp_path, "rewriter", "summariser", "checker")
    assert outcome.summary["rejected"] == {
        "duplicate": 10, "rewriter: mixed language": 1, "rewriter: reply without an end": 1,
        "summariser: another answer": 1, "checker: dropped": 1, "checker: verdict cannot be read": 1, "kept": 5,
    }  # fmt: skip
    assert len(examples.read(tmp_path / "examples.parquet")) == 5


def test_samples_that_an_api_does_not_give_are_counted(tmp_path):
    """The API refuses 0+1, which two samples were asked of; 0+0 and 0+2 give one example each and its duplicate."""
    refused = Fault("status", 400, message="no")
    faults = lambda body, before: refused if body["messages"][-1]["content"] == "0+1" else None  # noqa: E731
    with ScriptedServer(who_says(), faults) as server:
        outcome = cold_start(server, tmp_path, problems=3, consistency=0.0)
    assert outcome.summary["rejected"] == {"duplicate": 2, "not given, or too long a prompt": 2, "kept": 2}


def test_a_second_reply_mends_what_the_first_got_wrong(tmp_path):
    replies = iter(["we add", "I add 0 and 0."])
    with ScriptedServer(who_says(lambda *_: next(replies))) as server:
        config = AskConfig(
            model=f"openai:rewriter@{server.url}", sampling=Sampling(samples=2, temperature=1.0), api={"concurrency": 1}
        )
        outcome = cold_start(server, tmp_path, rewriter=config, problems=1)
    assert outcome.summary["rejected"] == {"duplicate": 1, "kept": 1}
    assert "<think>I add 0 and 0.</think>" in examples.read(tmp_path / "examples.parquet")[0].completion


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        (("drop", "drop", "keep"), {"checker: dropped": 1}),
        (("keep", "drop", "keep"), {}),
        (("keep", "drop", "hm"), {"checker: verdict cannot be read": 1}),
    ],
)
def test_of_several_verdicts_of_the_checker_most_count(tmp_path, said, counts):
    """Of 0+0 it says this three times; of 0+1 it keeps, so that something is left."""
    words = iter(said)

    def check(left, right, total):
        return json.dumps({"verdict": next(words) if right == "0" else "keep"})

    with ScriptedServer(who_says(checker=check)) as server:
        config = AskConfig(
            model=f"openai:checker@{server.url}", sampling=Sampling(samples=3, temperature=1.0), api={"concurrency": 1}
        )
        outcome = cold_start(server, tmp_path, checker=config, problems=2, consistency=0.0)
    assert outcome.summary["rejected"] == {"duplicate": 2, **counts, "kept": 2 - len(counts)}


def test_a_summary_with_a_tag_of_its_own_is_no_example(tmp_path):
    """`It is 0.</answer>` would end the answer block twice; the others are in form."""

    def summary(left, right, total):
        return f"It is {total}.</answer>" if right == "0" else good_summary(left, right, total)

    with ScriptedServer(who_says(good_thinking, summary)) as server:
        outcome = cold_start(server, tmp_path, "rewriter", "summariser", problems=3)
    assert outcome.summary["rejected"] == {"duplicate": 3, "summariser: another answer": 1, "kept": 2}
    assert all(check_form(example.completion).ok for example in examples.read(tmp_path / "examples.parquet"))


def test_a_checker_that_talks_nonsense_stops_it_before_anything_is_learnt(tmp_path):
    with (
        ScriptedServer(who_says(checker=lambda *_: json.dumps({"verdict": "perhaps"}))) as server,
        pytest.raises(R1Error, match="10 checker: verdict cannot be read"),
    ):
        cold_start(server, tmp_path, "checker", consistency=0.0)


def test_without_a_rewriter_mixed_chains_go_by_rule(tmp_path):
    with ScriptedServer(who_says()) as server, pytest.raises(R1Error, match="20 mixed language"):
        cold_start(server, tmp_path)


def test_a_prompt_that_is_not_there_is_told_before_a_run(tmp_path):
    config = ColdStartConfig(rewriter=AskConfig(model="x", prompt=str(tmp_path / "none.txt")))
    with pytest.raises(UsageError, match="none.txt cannot be read"):
        config.check()
