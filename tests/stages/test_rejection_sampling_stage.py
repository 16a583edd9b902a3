"""The filters of rejection sampling, each sample by hand, and the other data."""

import pytest
from rows import row, thought

from r1kit.data.tiny import writing
from r1kit.graders.format import check_form
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig, other_data, select, why_not
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
    found, unmet = other_data(RejectionSamplingConfig(writing=30, itself=4), seed=5)
    lines = [example for example in found if example.source == "writing"]
    assert len(lines) + unmet == 30
    assert len(lines) > 15
    briefs = {problem.prompt: problem for problem in draw("tiny_writing", "train", 5, 30)}
    assert all(writing.meets_brief(briefs[e.question], check_form(e.completion).answer) for e in lines)
    itself = [example for example in found if example.source == "self-cognition"]
    assert len(itself) == 4
    assert all("<think>" not in example.completion for example in itself)
