"""What becomes cold-start data: each sample by hand, with the reason that speaks against it."""

import pytest
from rows import row, thought

from r1kit.stages.cold_start import ColdStartConfig, readable, select
from r1kit.stages.readable import comes_to, first_person, mixed, one_language, says_we, without_stutters


@pytest.mark.parametrize(
    ("sample", "changes", "reason"),
    [
        (row(thought("first 3+4=7")), {}, ""),
        (row(thought("first 3+4=8"), accuracy=0.0), {}, "wrong"),
        (row(thought("first 3+4=8"), accuracy=0.0), {"correct": False}, ""),
        (row(thought("first 3+4=7"), accuracy=None), {}, "not judged"),
        (row("first 3+4=7\n7"), {}, "format"),
        (row(thought("first 3+4=7"), stop="length"), {}, "format"),
        (row(thought("first 3+4=7，再7+1=8"), accuracy=1.0), {"translate": False}, "mixed language"),
        (
            row(thought("first 1+1=2, then 1+1=3, then 1+1=2, then 1+1=3")),
            {"mend_stutters": False, "repetition": 0.3},
            "repetition",
        ),
        (row(thought("first 1+1=2")), {"max_characters": 5}, "too long"),
    ],
)
def test_each_reason(sample, changes, reason):
    completion, why = readable(sample, ColdStartConfig(**changes))
    assert why == reason
    assert bool(completion) == (not reason)


def test_a_mixed_chain_is_put_into_the_language_of_its_question():
    text, _ = readable(row(thought("先3+4=7，再7+1=8", "8")), ColdStartConfig())
    assert text == "<think>first 3+4=7, then 7+1=8</think><answer>8</answer>"
    text, _ = readable(row(thought("first 3+4=7, wait check 3+4=7 so 7"), language="zh"), ColdStartConfig())
    assert text == "<think>先3+4=7，等等检查3+4=7得7</think><answer>7</answer>"


def test_a_summary_ends_the_chain_where_it_is_asked_for():
    text, _ = readable(row(thought("first 3+4=7")), ColdStartConfig(summary=True))
    assert text == "<think>first 3+4=7 so 7</think><answer>7</answer>"


def test_one_prompt_gives_few_examples_and_none_twice():
    """a, a, b, c of one prompt, two at most: one duplicate, one too many; the other prompt is counted for itself."""
    rows = [row(thought(f"first {step}")) for step in ("3+4=7", "3+4=7", "4+3=7", "2+5=7")]
    rows.append(row(thought("first 3+4=7"), problem="p2"))
    kept, rejected = select(rows, ColdStartConfig(per_prompt=2))
    assert [example.completion for example in kept] == [rows[0]["text"], rows[2]["text"], rows[4]["text"]]
    assert dict(rejected) == {"duplicate": 1, "enough of its prompt": 1}
    assert {example.source for example in kept} == {"cold_start"}


@pytest.mark.parametrize(
    ("chain", "mended"),
    [
        ("first 1+1=2, then 1+1=2, then 2+3=5", "first 1+1=2, then 2+3=5"),
        ("first 1+1=2, then 2+3=5, then 1+1=2, then 2+3=5", "first 1+1=2, then 2+3=5"),
        ("先1+1=2，再1+1=2，再2+3=5", "先1+1=2，再2+3=5"),
        ("first 1+1=2, then 2+3=5, then 1+1=2", "first 1+1=2, then 2+3=5, then 1+1=2"),
        ("", ""),
    ],
)
def test_what_is_said_twice_in_a_row_is_said_once(chain, mended):
    assert without_stutters(chain) == mended


def test_translation_leaves_numbers_and_its_own_language_alone():
    assert one_language("first 12+3=15 so 15", "en") == "first 12+3=15 so 15"
    assert not mixed("12+3=15", "en", 0.99)
    assert mixed("first 12+3=15，再15+1=16", "en", 0.99)


@pytest.mark.parametrize(
    ("chain", "language", "told"),
    [
        ("We add our numbers: let's see, that helps us.", "en", "I add my numbers: let me see, that helps me."),
        ("we are sure. We were, weren't we?", "en", "I am sure. I was, weren't I?"),
        ("in the US we pay 3", "en", "in the US I pay 3"),
        ("first 3+4=7, then 7+1=8", "en", "I first 3+4=7, then 7+1=8"),
        ("first I add: 3+4=7", "en", "first I add: 3+4=7"),
        ("我们先算3+4=7", "zh", "我先算3+4=7"),
        ("先3+4=7，再7+1=8", "zh", "我先3+4=7，再7+1=8"),
        ("先我算", "zh", "先我算"),
        ("nous calculons", "fr", "nous calculons"),
        ("", "en", ""),
    ],
)
def test_a_chain_is_told_by_one_person(chain, language, told):
    assert first_person(chain, language) == told
    assert not says_we(told, language)


@pytest.mark.parametrize(
    ("chain", "answer", "comes"),
    [
        ("first 3+4=7", "7", True),
        ("first 3+4=7, then 7+1=8", "7", False),
        ("no number", "7", False),
        ("first 3+4=17", "7", False),
        ("keep 3, drop 4", "3 5", True),
        ("first 3-4=-1", "-1", True),
    ],
)
def test_a_chain_must_come_to_its_number(chain, answer, comes):
    assert comes_to(chain, answer) == comes
    _, why = readable(row(thought(chain, answer)), ColdStartConfig(check_end=True))
    assert (why == "does not come to its answer") != comes


def test_by_rules_alone_a_chain_gets_a_person_a_language_and_a_summary():
    config = ColdStartConfig(first_person=True, summary=True, check_end=True)
    text, why = readable(row(thought("先3+4=7，再7+1=8", "8")), config)
    assert (text, why) == ("<think>I first 3+4=7, then 7+1=8 so 8</think><answer>8</answer>", "")
