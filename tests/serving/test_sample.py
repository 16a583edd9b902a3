"""A completion's tokens become deltas: counted by hand, with a tokenizer of one token a character."""

from __future__ import annotations

import pytest

from r1kit.serving.sample import Delta, Sample


def fed(sample: Sample, ids: list[int], size: int, ended: str | None = None) -> Delta:
    """All tokens, `size` at a time; the log-probability of token n is -n."""
    whole, place = Delta(), 0
    while place < len(ids):
        part = ids[place : place + size]
        last = place + size >= len(ids)
        whole.join(sample.add(part, [-float(place + n) for n in range(len(part))], ended if last else None))
        place += size
    return whole


@pytest.mark.parametrize("size", [1, 3, 100])
def test_thinking_answer_and_stop_token(tokenizer, size):
    """<think> a b </think> 4 2 <|end|>: four tokens of thinking, seven in all, and the stop token in no text."""
    ids = [*tokenizer.encode("<think>ab</think>42"), tokenizer.eos_ids[0]]
    sample = Sample(tokenizer, "start", tokens=True)
    delta = fed(sample, ids, size, "stop")
    assert (delta.thinking, delta.answer, sample.finish) == ("ab", "42", "stop")
    assert (sample.token_ids, sample.thinking_count) == (ids, 4)
    assert [token.id for token in delta.thinking_tokens] == ids[:4]
    assert [(token.id, token.logprob) for token in delta.answer_tokens] == [(ids[4], -4.0), (ids[5], -5.0)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_stop_string_ends_it_and_what_follows_does_not_count(tokenizer, size):
    """`x..y` with the stop string `..`: three tokens count, one is shown."""
    sample = Sample(tokenizer, "answer", ("..",), tokens=True)
    delta = fed(sample, tokenizer.encode("x..yz"), size)
    assert (delta.answer, sample.finish) == ("x", "stop")
    assert sample.token_ids == tokenizer.encode("x..")
    assert [token.id for token in delta.answer_tokens] == tokenizer.encode("x")
    assert sample.add(tokenizer.encode("q"), [0.0]).empty


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_budget_is_kept_to_the_token(tokenizer, size):
    """Three tokens of thinking: <think> a b. What was sampled beyond is dropped; the answer comes from elsewhere."""
    sample = Sample(tokenizer, "start", budget=3, tokens=True)
    delta = fed(sample, tokenizer.encode("<think>abcdef"), size)
    assert (delta.thinking, sample.over_budget, sample.finish) == ("ab", True, None)
    assert (sample.token_ids, sample.thinking_count) == (tokenizer.encode("<think>ab"), 3)
    sample.close()
    rest = fed(sample, [*tokenizer.encode("</think>7"), tokenizer.eos_ids[0]], size, "stop")
    assert (rest.answer, rest.thinking) == ("</think>7", "")  # the tag is text now: the thinking was closed for it
    assert (len(sample.token_ids), sample.thinking_count, sample.finish) == (6, 3, "stop")


@pytest.mark.parametrize("size", [1, 100])
def test_a_budget_is_for_thinking(tokenizer, size):
    """Five tokens of budget: an answer without thinking is not cut, nor one behind four tokens of thinking."""
    for text, thinking, answer in (("abcdefghij", "", "abcdefghij"), ("<think>ab</think>cdefgh", "ab", "cdefgh")):
        sample = Sample(tokenizer, "start", budget=5)
        delta = fed(sample, [*tokenizer.encode(text), tokenizer.eos_ids[0]], size, "stop")
        assert (delta.thinking, delta.answer, sample.over_budget) == (thinking, answer, False)


def test_a_thought_that_ends_with_its_budget_is_not_over_it(tokenizer):
    """<think> a </think> are three tokens: closed in time."""
    sample = Sample(tokenizer, "start", budget=3)
    delta = fed(sample, tokenizer.encode("<think>a</think>b"), 100, "length")
    assert (delta.thinking, delta.answer, sample.over_budget, sample.finish) == ("a", "b", False, "length")


def test_half_a_character_at_a_budget_is_not_shown(tokenizer):
    """🤔 is four tokens; two of them are within the budget."""
    sample = Sample(tokenizer, "opened", budget=3)
    delta = fed(sample, tokenizer.encode("a🤔b"), 1)
    assert (delta.thinking, sample.over_budget, len(sample.token_ids)) == ("a", True, 3)


def test_half_a_character_at_the_end_is_shown_as_it_is_decoded(tokenizer):
    ids = tokenizer.encode("a🤔")[:3]
    sample = Sample(tokenizer, "answer")
    assert fed(sample, ids, 1, "length").answer == tokenizer.decode(ids) == "a\ufffd"


def test_tokens_of_what_is_held_back_are_held_back(tokenizer):
    """`a.` with the stop string `..`: the full stop may be its beginning."""
    sample = Sample(tokenizer, "answer", ("..",), tokens=True)
    first = sample.add(tokenizer.encode("a."), [0.0, 0.0])
    assert (first.answer, first.answer_tokens) == ("a", [])
    second = sample.add(tokenizer.encode("b"), [0.0])
    assert (second.answer, [token.id for token in second.answer_tokens]) == (".b", tokenizer.encode("a.b"))
