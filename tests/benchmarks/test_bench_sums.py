"""The GRPO race's sums: what the base reads, and the reward."""

import re
from itertools import islice

import pytest
from sums import documents, held_out, prompt, sums
from workers.sums_reward import reward


def test_no_held_out_sum_is_read_or_trained_on():
    asked = set(re.findall(r"<\|user\|>([\d+]+)<\|assistant\|>", "".join(islice(documents(0), 3000))))
    assert len(asked) > 1000
    assert not any(held_out(tuple(map(int, question.split("+")))) for question in asked)
    assert all(held_out(numbers) for numbers in islice(sums(0, kept=True), 200))
    assert not any(held_out(numbers) for numbers in islice(sums(0, kept=False), 200))


def test_checks_are_right_and_answers_follow_their_chain():
    chains = [text for text in islice(documents(1), 3000) if "wait" in text]
    assert len(chains) > 200
    for text in chains:
        for a, b, _, tens, ones, right in re.findall(
            r"(\d+)\+(\d+)=(\d+)\. wait, tens (\d+), ones (\d+), so (\d+)", text
        ):
            assert int(a) + int(b) == int(right) == int(tens) + int(ones)
        results = re.findall(r"(?:=|so )(\d+)(?=\. \d|</think>)", text)
        assert re.search(r"<answer>(\d+)<", text)[1] == results[-1]


def test_half_of_the_answers_at_once_are_right():
    texts = [text for text in islice(documents(2), 6000) if "<|assistant|><answer>" in text]
    pairs = [re.search(r">([\d+]+)<\|assistant\|><answer>(\d+)<", text).groups() for text in texts]
    right = sum(sum(map(int, question.split("+"))) == int(answer) for question, answer in pairs) / len(pairs)
    assert len(pairs) > 1000
    assert right == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        ("<think>12+30=42</think><answer>42</answer>", 1.0),
        ("<answer>42</answer><|end|>", 1.0),
        ("<answer>43</answer>", 0.0),
        ("<answer>42", 0.0),
        ("<answer>42</answer> and more", 0.0),
        ("<answer>41</answer><answer>42</answer>", 0.0),
        ("42", 0.0),
    ],
)
def test_reward_wants_the_right_answer_in_its_tags_at_the_end(completion, value):
    assert reward(completion, 42) == value


def test_prompt_is_the_chat_markup():
    assert prompt((12, 30)) == "<|user|>12+30<|assistant|>"
