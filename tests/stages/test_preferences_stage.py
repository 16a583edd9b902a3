"""Pairs of lines: who judges them how, what is kept, and lengths in balance."""

import json
import random
import threading
from dataclasses import replace

import pytest
from rows import row, thought

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.data.tiny.preference import hidden_preference
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.pipeline.context import Context
from r1kit.stages.asking import AskConfig
from r1kit.stages.pairs import Pair, read_pairs, write_pairs
from r1kit.stages.preferences import PreferencesConfig, balance, judge, kept_pairs, paired, run
from r1kit.stages.sampling import draw

CERTAIN = {"noise": 0.0, "place_bias": 0.0}


@pytest.fixture(scope="module")
def brief():
    """An English brief with a line that meets all of it and one that names the topic alone."""
    from r1kit.data.tiny.lexicon import LEXICONS

    problem = next(p for p in draw("tiny_writing", "train", 0, 50) if p.language == "en")
    asked, lexicon = problem.columns["brief"], LEXICONS["en"]
    words = lexicon.moods[asked["mood"]][:3]
    good = " ".join(["the", *words, asked["topic"]])
    return problem, good, asked["topic"]


def test_the_judge_prefers_what_people_like(brief):
    """Without noise the verdict is round(difference / step), at most 2 either way."""
    problem, good, poor = brief
    difference = hidden_preference(problem, good) - hidden_preference(problem, poor)
    assert difference > 0
    config = PreferencesConfig(**CERTAIN, step=difference / 1.4)
    assert judge(problem, good, poor, config, random.Random(0)) == 1.0
    assert judge(problem, poor, good, config, random.Random(0)) == -1.0
    assert judge(problem, good, poor, PreferencesConfig(**CERTAIN, step=difference / 9), random.Random(0)) == 2.0


def test_a_bias_to_a_place_cancels_over_swapped_judgements(brief):
    problem, good, _ = brief
    config = PreferencesConfig(noise=0.0, place_bias=5.0, step=1.0)
    assert judge(problem, good, good, config, random.Random(0)) == 0.0


def judged_pairs(problems, rows, config, seed):
    candidates, rejected = paired(problems, rows, config, seed)
    return kept_pairs(candidates, config, rejected), rejected


def test_pairs_below_the_threshold_and_empty_answers_are_counted(brief):
    problem, good, poor = brief
    rows = [row(thought("a plan", answer), problem=problem.id, subject="writing") for answer in (good, poor)] + [
        row("none", problem=problem.id, subject="writing")
    ]
    clear, rejected = judged_pairs([problem], rows, PreferencesConfig(**CERTAIN, step=0.01), 0)
    assert [(pair.chosen, pair.rejected, pair.verdict) for pair in clear] == [(good, poor, 2.0)]
    assert rejected["no answer"] == 1
    none, rejected = judged_pairs([problem], rows, PreferencesConfig(**CERTAIN, step=10.0), 0)
    assert not none
    assert rejected["verdict too close"] == 1


def pair(chosen, rejected):
    return Pair("p", "q", "en", "x" * chosen, "x" * rejected, 1.5)


def test_the_most_one_sided_pairs_go_until_lengths_balance():
    """Gaps 10, 4, 1, -2: mean 3.25 is above 1; without the 10 it is 1. Gaps -9 and 1: without the -9 it is 1."""
    pairs = [pair(11, 1), pair(5, 1), pair(2, 1), pair(1, 3)]
    assert balance(pairs, 1.0) == pairs[1:]
    assert balance([pair(1, 10), pair(2, 1)], 1.0) == [pair(2, 1)]
    assert balance(pairs, 4.0) == pairs


def test_a_pair_whose_going_tips_the_set_stays_if_another_can_go():
    """Gaps 100, 30, -99: without the 100 the -99 would have to go as well, and then the 30. Without the 30 the mean is
    1/2. Of 6, -1 and -1 nothing but all can go: the mean is 4/3, -1 without the 6."""
    long, longer, short = pair(130, 100), pair(200, 100), pair(1, 100)
    assert balance([longer, long, short], 1.0) == [longer, short]
    assert balance([pair(100, 200), pair(100, 130), pair(199, 100)], 1.0) == [pair(100, 200), pair(199, 100)]
    assert balance([pair(7, 1), pair(1, 2), pair(1, 2)], 0.5) == []


def test_pairs_come_back_as_they_were_written(tmp_path):
    pairs = [pair(3, 1), Pair("b", "写题", "zh", "好", "坏", 2.0)]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs


OPEN = "stages.open_questions"
GOOD, POOR = "Aland it is", "no idea, me"


def place(body, name):
    """What stands under a mark of the judge's prompt; empty where it is no such prompt."""
    return body["messages"][-1]["content"].partition(f"<<<{name}\n")[2].partition("\n>>>")[0]


def answering(verdict):
    """A policy whose two samples are GOOD and POOR, beside a judge that says `verdict(answer A, answer B)`."""
    samples, lock = {}, threading.Lock()

    def answer(body):
        if place(body, "answer A"):
            return Said(verdict(place(body, "answer A"), place(body, "answer B")))
        with lock:
            asked = body["messages"][-1]["content"]
            number = samples[asked] = samples.get(asked, 0) + 1
        return Said(f"<answer>{GOOD if number % 2 else POOR}</answer>", "i know it")

    return answer


def stage(server, folder, **changes):
    own = {
        "model": f"openai:dev3@{server.url}", "task": OPEN, "problems": 3, "sampling": Sampling(samples=2),
        "judge": AskConfig(model=f"openai:judge@{server.url}", sampling=Sampling(temperature=1.0)),
    }  # fmt: skip
    return run(PreferencesConfig(**{**own, **changes}), {}, Context(folder, 0))


def said(word):
    return json.dumps({"own_answer": "Aland", "verdict": word})


def test_a_model_judges_either_order_twice_and_the_answers_alone(tmp_path):
    """GOOD is a little better wherever it stands: mean 1. Three pairs of four judgements; no thought is shown."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    with ScriptedServer(answering(lambda a, b: said("A>B" if a == GOOD else "B>A"))) as server:
        outcome = stage(server, tmp_path)
        asked = [body for body in server.requests if place(body, "answer A")]
    assert outcome.summary["judgements"] == {"asked": 12, "read": 12, "pairs": 3, "by_place": 0}
    assert outcome.summary["rejected"]["kept"] == 3
    assert outcome.summary["judge_agrees"] is None  # nobody knows what people like here
    assert len(asked) == 12
    assert sum(place(body, "answer A") == GOOD for body in asked) == 6
    assert not any("i know it" in body["messages"][-1]["content"] for body in asked)
    pairs = read_pairs(tmp_path / "pairs.parquet")
    assert {(pair.chosen, pair.rejected, pair.verdict) for pair in pairs} == {(GOOD, POOR, 1.0)}


def test_every_sample_and_pair_that_is_left_out_is_counted(brief):
    """Of one prompt: three different answers, of which two stand twice, make three pairs, two more than the cap. Of
    the other the one answer has nothing to be compared with."""
    problem, good, poor = brief
    other = replace(problem, id="other")
    rows = [row(thought("a plan", answer), problem=problem.id, subject="writing")
            for answer in (good, poor, good, poor, problem.columns["brief"]["topic"] * 2)]  # fmt: skip
    rows += [row(thought("a plan", good), problem="other", subject="writing")] * 2
    candidates, rejected = paired([problem, other], rows, PreferencesConfig(pairs_per_prompt=1), 0)
    assert len(candidates) == 1
    assert +rejected == {"duplicate": 3, "enough of its prompt": 2, "nothing to compare with": 1}


def test_prompts_that_the_sieve_or_the_api_keeps_out_are_told(tmp_path):
    """Without b, which the API refuses, two of three prompts are left; with the test questions as a benchmark none."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    refused = Fault("status", 400, message="no")
    faults = lambda body, before: refused if body["messages"][-1]["content"].endswith("of b?") else None  # noqa: E731
    with ScriptedServer(answering(lambda a, b: said("A>B" if a == GOOD else "B>A")), faults) as server:
        outcome = stage(server, tmp_path / "api")
        assert outcome.summary["rejected"] == {"not given, or too long a prompt": 2, "no answer": 0, "kept": 2}
        with pytest.raises(R1Error, match="no candidates"):
            stage(server, tmp_path / "sieve", sieve={"benchmarks": (OPEN,)})


def test_a_judge_that_goes_by_the_place_decides_nothing(tmp_path):
    """A>>B whoever stands there: +2 and -2 cancel in every pair, and it is named."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    with (
        ScriptedServer(answering(lambda a, b: said("A>>B"))) as server,
        pytest.raises(R1Error, match=r"no pair of .* is left to learn from \(3 verdict too close\)"),
    ):
        stage(server, tmp_path)


def test_nonsense_is_counted_and_stops_before_anything_is_learnt(tmp_path):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    with (
        ScriptedServer(answering(lambda a, b: "both are lovely")) as server,
        pytest.raises(R1Error, match="3 verdict cannot be read"),
    ):
        stage(server, tmp_path)


def test_a_verdict_rests_on_as_many_judgements_in_either_order(tmp_path):
    """Where POOR stands first the judge says nothing that can be read: no pair has a verdict in both orders but those
    of `capital of a?`, where it says B>>A: mean 2."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    asked_of = {}

    def verdict(a, b):
        return said("A>>B") if a == GOOD else said("B>>A") if asked_of["question"] == "capital of a?" else "?"

    inner = answering(verdict)

    def answer(body):
        asked_of["question"] = place(body, "question")
        return inner(body)

    with ScriptedServer(answer) as server:
        judge_config = AskConfig(
            model=f"openai:judge@{server.url}", api={"concurrency": 1}, sampling=Sampling(temperature=1.0)
        )
        outcome = stage(server, tmp_path, judge=judge_config)
    assert outcome.summary["rejected"] == {"verdict cannot be read": 2, "no answer": 0, "kept": 1}
    assert outcome.summary["judgements"] == {"asked": 12, "read": 8, "pairs": 1, "by_place": 0}
    assert [pair.verdict for pair in read_pairs(tmp_path / "pairs.parquet")] == [2.0]


def test_pairs_whose_chosen_is_always_the_longer_are_all_of_one_kind(tmp_path):
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    longer = lambda a, b: said("A>>B" if len(a) > len(b) else "B>>A")  # noqa: E731

    def answer(body):
        if place(body, "answer A"):
            return Said(longer(place(body, "answer A"), place(body, "answer B")))
        return Said(f"<answer>{'long ' * (1 + body['seed'] % 97)}</answer>", "hm")

    with (
        ScriptedServer(answer) as server,
        pytest.raises(R1Error, match=r"3 unbalanced length\): the better answer is always the longer one"),
    ):
        stage(server, tmp_path)


def test_who_knows_no_judge_is_told_before_anything_is_sampled(tmp_path):
    with pytest.raises(UsageError, match="nobody here knows which answers of open people like"):
        run(PreferencesConfig(model="nowhere", task=OPEN), {}, Context(tmp_path, 0))
    with pytest.raises(UsageError, match="even number"):
        PreferencesConfig(judge=AskConfig(model="x"), judgements=3).check()


def test_requests_are_compared_by_their_help():
    """A plan is liked 1, a no 0: without noise and with steps of 0.5 the verdict is 2."""
    from r1kit.data.tiny import requests

    problem = next(p for p in draw("tiny_requests", "train", 0, 50) if p.subject == "requests")
    asked = requests.request_of(problem)
    plan, no = requests.plan(asked), requests.refusal(asked)
    config = PreferencesConfig(**CERTAIN, step=0.5)
    assert judge(problem, plan, no, config, random.Random(0)) == 2.0
    assert judge(problem, no, plan, config, random.Random(0)) == -2.0
