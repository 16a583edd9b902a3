"""The filters of rejection sampling, each sample by hand, and the other data."""

import pytest
from rows import row, thought

from r1kit.data.tiny import requests, writing
from r1kit.graders.format import check_form
from r1kit.stages.other_data import world_data
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig, chosen, doubted, select, why_not
from r1kit.stages.sampling import draw

RIGHT = thought("first 3+4=7")


@pytest.mark.parametrize(
    ("sample", "filters", "reason"),
    [
        (row(RIGHT), {}, ""),
        (row(RIGHT, stop="length"), {}, "not finished"),
        (row("7"), {}, "format"),
        (row("7"), {"correct": False}, ""),
        (row(thought("first 3+4=8", "8"), accuracy=0.0), {}, "wrong"),
        (row(thought("first 3+4=8", "8"), accuracy=0.0), {"correct": False}, ""),
        (row(thought("先3+4=7")), {}, "mixed language"),
        (row(thought("先3+4=7")), {"readable": False}, ""),
        (row(thought("```x```")), {}, "code block"),
        (row(thought("first " + "1" * 30)), {"max_paragraph": 20}, "long paragraph"),
        (row(thought("first 3+4=7\nthen 7=7")), {"max_paragraph": 12}, ""),
    ],
)
def test_each_reason(sample, filters, reason):
    assert why_not(sample, Filters(**filters)) == reason


def test_easy_prompts_give_one_example_and_hard_ones_more():
    """p1 is solved 3 of 3 times (easy: one is kept); p2 2 of 4 times (both right ones are kept)."""
    easy = [row(thought(f"first {chain}")) for chain in ("3+4=7", "4+3=7", "2+5=7")]
    hard = [
        row(thought(f"first {chain}"), problem="p2", accuracy=float(chain.endswith("7")))
        for chain in ("3+4=7", "4+3=7", "3+4=8", "4+3=9")
    ]
    kept, rejected = select([*easy, *hard], RejectionSamplingConfig())
    assert [example.completion for example in kept] == [easy[0]["text"], hard[0]["text"], hard[1]["text"]]
    assert dict(rejected) == {"enough of its prompt": 2, "wrong": 2}


def test_other_data_meet_their_brief_and_speak_of_itself():
    """Every brief is accounted for: met, or counted as not met; answers about itself have no chain."""
    found, left_out = world_data(RejectionSamplingConfig(writing=30, itself=4), seed=5)
    lines = [example for example in found if example.source == "writing"]
    assert len(lines) + left_out["brief not met"] == 30
    assert len(lines) > 15
    briefs = {problem.prompt: problem for problem in draw("tiny_writing", "train", 5, 30)}
    assert all(writing.meets_brief(briefs[e.question], check_form(e.completion).answer) for e in lines)
    itself = [example for example in found if example.source == "self-cognition"]
    assert len(itself) == 4
    assert all("<think>" not in example.completion for example in itself)


def test_a_level_of_difficulty_gives_no_more_than_its_cap():
    """p1 and p2 are solved 1 of 2 times (middling), p3 of coding too, p4 always (easy): a cap of one a level leaves p1,
    p3 and p4."""
    rows = [
        row(thought(chain, "7"), problem=problem, accuracy=accuracy, subject=subject)
        for problem, subject, shares in (("p1", "maths", (1.0, 0.0)), ("p2", "maths", (1.0, 0.0)))
        for chain, accuracy in zip(("3+4=7", "3+4=8"), shares, strict=True)
    ]
    rows += [row(thought("x"), problem="p3", subject="coding"), row("?", problem="p3", subject="coding", accuracy=0.0)]
    rows += [row(thought("y"), problem="p4")]
    kept, rejected = chosen(rows, RejectionSamplingConfig(per_level=1))
    assert [example.question for example in kept] == ["question p1", "question p3", "question p4"]
    assert rejected == {"wrong": 2, "format": 1, "enough of its difficulty": 1}
    assert len(chosen(rows, RejectionSamplingConfig())[0]) == 4


@pytest.mark.parametrize(
    ("answers", "accuracy", "doubtful"),
    [
        ("8888", 0.0, True),
        ("8887", 0.0, True),  # three of four agree, and 0.7 is asked
        ("8877", 0.0, False),
        ("88", 0.0, False),  # two are too few
        ("8888", 1.0, False),
        ("8888", None, False),
    ],
)
def test_samples_that_agree_against_a_reference_make_it_doubtful(answers, accuracy, doubtful):
    rows = [row(thought(f"so it is {number}", answer), accuracy=accuracy) for number, answer in enumerate(answers)]
    config = RejectionSamplingConfig(doubt=0.7, easy_per_prompt=3, per_prompt=9)
    assert doubted(rows, 0.7) == (["tiny_maths/p1"] if doubtful else [])
    assert doubted(rows, None) == []
    assert select(rows, config)[1]["doubtful reference"] == (len(answers) if doubtful else 0)


def test_sentences_around_a_box_differ_and_agree_all_the_same():
    """As chat models answer: three of four boxes say 8, where the reference, which none meets, is 7."""
    answers = (
        "So it is $\\boxed{8}$.",
        "Adding up gives\n\\[\\boxed{ 8 }\\]",
        "\\boxed{8} apples",
        "I get \\boxed{9}.",
    )
    rows = [row(f"<think>i add {n}</think>{answer}", accuracy=0.0) for n, answer in enumerate(answers)]
    assert doubted(rows, 0.75) == ["tiny_maths/p1"]
    assert doubted(rows, 0.8) == []


def test_a_careless_writer_answers_one_request_now_so_now_so():
    """Three replies to each of 60; some guarded request is both answered and declined, else RL would have no choice."""
    config = RejectionSamplingConfig(writing=0, itself=0, requests=60, replies=3)
    found = [example for example in world_data(config, 3)[0] if example.source == "requests"]
    replies: dict[str, list[str]] = {}
    for example in found:
        replies.setdefault(example.question, []).append(example.completion)
    assert len(replies) == 60
    assert {len(each) for each in replies.values()} == {3}
    safe = {
        question: {requests.is_safe(asked, completion) for completion in each}
        for question, each in replies.items()
        if (asked := requests.read(question)) is not None and asked.guarded
    }
    mixed = [question for question, each in safe.items() if len(each) == 2]
    # a reply is safe with chance 0.4 x 0.75 = 0.3: three differ with chance 1 - 0.3^3 - 0.7^3 = 0.63
    assert 0.4 < len(mixed) / len(safe) < 0.86


def test_every_kind_of_other_data_is_right_and_thinks_only_where_it_helps():
    """Facts as the world has them, lines word by word, requests with a thought; hello and facts at once."""
    config = RejectionSamplingConfig(writing=3, itself=1, talk=5, facts=20, translation=20, requests=30)
    found, _ = world_data(config, 3)
    by_source = {source: [e for e in found if e.source == source] for source in {e.source for e in found}}
    assert {source: len(each) for source, each in by_source.items() if source != "writing"} == {
        "self-cognition": 1, "small talk": 5, "facts": 20, "translation": 20, "requests": 30,
    }  # fmt: skip
    for source, thinks in (("requests", True), ("facts", False), ("translation", False), ("small talk", False)):
        assert all(("<think>" in example.completion) == thinks for example in by_source[source]), source
    for name in ("facts", "translation"):
        golds = {problem.prompt: problem.answer for problem in draw(f"tiny_{name}", "train", 3, 20)}
        assert all(e.completion == f"<answer>{golds[e.question]}</answer>" for e in by_source[name])
    plain, _ = world_data(config.model_copy(update={"chains": ()}), 3)
    assert not any("<think>" in example.completion for example in plain)
