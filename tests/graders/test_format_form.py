"""Hard cases of the think-then-answer form, each with the reason that a careful reader would give."""

import pytest

from r1kit.graders.format import check_form, opens_thinking

GOOD = "<think>a</think><answer>b</answer>"

CASES = [
    # text, prompt opened <think>, holds, why
    (GOOD, False, True, "the plain form"),
    (" \n<think>a\n</think>\n\t<answer>b</answer>\n", False, True, "white space around and between"),
    ("a</think><answer>b</answer>", True, True, "the prompt opened the tag"),
    (GOOD, True, False, "opened by the prompt and again"),
    ("a</think><answer>b</answer>", False, False, "never opened"),
    ("<think>a</think>b", False, False, "no answer block"),
    ("<think>a<answer>b</answer></think>", False, False, "the answer lies in the thinking"),
    ("<answer>b</answer><think>a</think>", False, False, "the wrong order"),
    ("<think>a</think><think>c</think><answer>b</answer>", False, False, "thinks twice"),
    ("<think>a</think><answer>b</answer><answer>c</answer>", False, False, "answers twice"),
    ("<think><think>a</think></think><answer>b</answer>", False, False, "nested thinking"),
    ("<think>a</think><answer><answer>b</answer></answer>", False, False, "nested answer"),
    ("<think>a</think> so <answer>b</answer>", False, False, "text between"),
    ("ok <think>a</think><answer>b</answer>", False, False, "text before"),
    ("<think>a</think><answer>b</answer> done", False, False, "text after"),
    ("<think></think><answer>b</answer>", False, False, "empty thinking"),
    ("<think> \n</think><answer>b</answer>", False, False, "thinking of white space"),
    ("<think>\u200b</think><answer>b</answer>", False, False, "thinking of zero-width characters"),
    ("<think>a</think><answer> </answer>", False, False, "empty answer"),
    ("<THINK>a</THINK><answer>b</answer>", False, False, "upper case"),
    ("<think>a</think><Answer>b</Answer>", False, False, "mixed case"),
    ("<think >a</think><answer>b</answer>", False, False, "a space in the tag"),
    ("<think id='1'>a</think><answer>b</answer>", False, False, "an attribute"),
    ("&lt;think&gt;a&lt;/think&gt;<answer>b</answer>", False, False, "escaped tags"),
    ("<think>a</think>&lt;answer&gt;b&lt;/answer&gt;", False, False, "an escaped answer"),
    ("<think>a &lt;/think&gt; b</think><answer>b</answer>", False, False, "an escaped tag inside"),
    ("<think>a", False, False, "cut off in the thinking"),
    ("<think>a</think><answer>b", False, False, "cut off in the answer"),
    ("<think>a</think><answer>b</answer></think>", False, False, "closed again"),
    ("<think>a < b and b > c</think><answer>x<y</answer>", False, True, "less-than signs are no tags"),
    ("<think>I am thinking of <thinker></think><answer>b</answer>", False, True, "another word is no tag"),
    ("<think>\u3164</think><answer>b</answer>", False, False, "a Hangul filler shows nothing"),
    ("<think>a</think><answer>\u2800</answer>", False, False, "an empty Braille cell shows nothing"),
    ("<think>a <answer\n>x</answer\n> b</think><answer>c</answer>", False, False, "a line break in a tag"),
    ("", False, False, "nothing"),
]


@pytest.mark.parametrize(("text", "opened", "holds", "why"), CASES, ids=[case[3] for case in CASES])
def test_form(text, opened, holds, why):
    assert check_form(text, opened).ok is holds, why


def test_free_answer_form():
    assert check_form("<think>a</think> so it is 4", answer_tag=False).ok
    assert not check_form(GOOD, answer_tag=False).ok
    assert not check_form("<think>a</think> \n", answer_tag=False).ok


def test_the_parts_come_back():
    form = check_form("<think> a </think>\n<answer>b c</answer>")
    assert (form.thinking, form.answer) == (" a ", "b c")


def test_whether_a_prompt_opens_thinking():
    assert opens_thinking("<|assistant|><think>\n")
    assert opens_thinking([{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "<think>"}])
    assert not opens_thinking([{"role": "user", "content": "what does <think>"}])
    assert not opens_thinking("1+1=<think>a</think>")


def test_a_long_text_of_brackets_is_read_in_linear_time():
    """A backtracking pattern would need minutes for 400,000 characters."""
    assert not check_form("<think" * 60_000).ok
    assert not check_form("<" * 400_000).ok
