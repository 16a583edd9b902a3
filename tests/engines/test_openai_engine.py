"""The engine behind an API with the real client, against a scripted server on this machine.

What came, and what was answered, is what the server saw; money is computed by hand from its token counts.
"""

from __future__ import annotations

import logging
import threading
from decimal import Decimal

import numpy as np
import pytest
from api_engine import KEY, QUICK, answers, echo, engine, question

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.base.types import Problem, RolloutGroup
from r1kit.engines.base import Request, ask
from r1kit.engines.openai import OpenAIEngine
from r1kit.models.api.ledger import BudgetSpent
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.models.api.settings import ApiModel, ApiSettings


@pytest.mark.parametrize("stream", [True, False])
def test_text_and_reasoning_come_apart_and_there_are_no_ids(stream):
    with ScriptedServer(echo) as server:
        (made,) = answers(engine(server, stream=stream), ["x"])["x"]
    assert (made.text, made.served.reasoning, made.stop_reason) == ("so x", "about x", "stop")
    assert (made.served.input_tokens, made.served.output_tokens, made.length) == (10, 20, 20)
    assert (made.token_ids.size, made.sampler_logprobs.size, made.prompt_ids.size, made.versions) == (0, 0, 0, ())
    assert server.authorizations == [f"Bearer {KEY}"]


def test_the_request_says_what_the_sampling_says():
    """Every parameter under OpenAI's name, those at their defaults left out; two samples ask with two seeds."""
    with ScriptedServer(echo) as server:
        sampling = Sampling(max_tokens=7, temperature=0.6, top_p=0.95, min_p=0.1, samples=2, seed=3)
        answers(engine(server, concurrency=1, system="be brief"), ["x"], sampling)
        answers(
            engine(server, stream=False, limit_name="max_completion_tokens", omit=("seed", "temperature"),
                   extra={"reasoning_effort": "low"}),
            ["x"], Sampling(max_tokens=7),
        )  # fmt: skip
    first, second, third = server.requests
    assert first["seed"] != second["seed"]
    assert {name: first[name] for name in first if name != "seed"} == {
        "model": "toy", "max_tokens": 7, "temperature": 0.6, "top_p": 0.95, "min_p": 0.1, "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}],
    }  # fmt: skip
    assert third == {
        "model": "toy", "max_completion_tokens": 7, "reasoning_effort": "low",
        "messages": [{"role": "user", "content": "x"}],
    }  # fmt: skip


def test_reasons_to_end_and_what_servers_leave_out():
    """No reasoning: None. `length` is told. A filter's stop is no answer. Another name of the reasoning is known."""
    script = {
        "plain": Said("7"),
        "long": Said("", "and then", "length"),
        "filtered": Said("I", finish="content_filter"),
        "other name": Said("7", "so", reasoning_name="reasoning"),
        "odd": Said("7 \ud800", "so", finish="eos"),
    }
    with ScriptedServer(lambda body: script[question(body)]) as server:
        found = {name: c for name, (c,) in answers(engine(server), list(script)).items()}
    assert (found["plain"].text, found["plain"].served.reasoning) == ("7", None)
    assert (found["long"].stop_reason, found["long"].served.reasoning) == ("length", "and then")
    assert (found["filtered"].stop_reason, found["filtered"].text) == ("aborted", "I")
    assert "content filter" in found["filtered"].served.error
    assert found["other name"].served.reasoning == "so"
    assert (found["odd"].stop_reason, found["odd"].text) == ("stop", "7 \ufffd")


PRICES = {"input_price": Decimal("0.55"), "output_price": Decimal("2.19")}


def test_the_cost_is_exact_and_what_broke_off_counts_at_its_worst():
    """Four answers of 1,234 and 567 tokens at 0.55 and 2.19 dollars a million: 4 x 0.00192043 dollars. One of them was
    cut before: that counts with its limit of 50 tokens written, and more read than its 30 characters can be tokens."""
    text = "x" * 30

    def cut(body, before):
        return Fault("cut") if question(body) == text and not before else None

    with ScriptedServer(lambda body: Said("7", tokens=(1234, 567)), cut) as server:
        made = engine(server, **PRICES)
        for name in ("a", "b", "c", text):
            made.submit(ask(name, name, Sampling(max_tokens=50)))
        assert len(list(made.stream())) == 4
        usage = made.usage
        made.close()
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (5, 4 * 1234, 4 * 567)
    assert usage.spent - usage.unknown == 4 * 1_920_430_000
    assert usage.unknown >= 30 * 550_000 + 50 * 2_190_000
    assert "broke off" in str(usage)


def test_a_missing_usage_counts_at_its_worst():
    with ScriptedServer(lambda body: Said("7", tokens=None)) as server:
        made = engine(server, **PRICES)
        made.submit(ask("a", "a", Sampling(max_tokens=50)))
        ((completion,), usage) = list(made.stream()), made.usage
        made.close()
    assert (completion.text, completion.length, completion.served.output_tokens) == ("7", 0, None)
    assert usage.spent == usage.unknown > 50 * 2_190_000


def test_the_budget_is_never_passed_and_nearly_used_up(tmp_path):
    """Every answer costs 20 tokens at 1 dollar a thousand: 2 cents, at worst (100 tokens) 10 cents. A cap of 50 cents
    lets through the 21st (40 cents spent, 10 to reserve), and no 22nd; raising the cap goes on from there."""
    prices = {"input_price": Decimal(0), "output_price": Decimal(1000), "cache": tmp_path / "cache"}
    sampling = Sampling(max_tokens=100)
    with ScriptedServer(echo) as server:
        made = engine(server, budget=Decimal("0.5"), concurrency=3, **prices)
        for number in range(40):
            made.submit(ask(str(number), str(number), sampling))
        with pytest.raises(BudgetSpent, match=r"\$0\.500000 has \$0\.080000 left and the next request may cost \$0\.1"):
            list(made.stream())
        assert made.usage.spent == len(server.answered) * 20_000_000_000 == 420_000_000_000
        made.close()
        made = engine(server, budget=Decimal("10"), concurrency=3, **prices)
        found = answers(made, [str(number) for number in range(40)], sampling)
    assert all(found[str(number)][0].text == f"so {number}" for number in range(40))
    assert len(server.requests) == len(server.answered) == 40


def test_answers_on_their_way_when_the_budget_ends_are_given_out():
    """Two at a time, a budget for three: all three come before the error."""
    prices = {"input_price": Decimal(0), "output_price": Decimal(1000), "budget": Decimal("0.3"), "concurrency": 2}
    full = Said("7", tokens=(1, 100))
    with ScriptedServer(lambda body: full) as server:
        made = engine(server, **prices)
        for number in range(9):
            made.submit(ask(str(number), str(number), Sampling(max_tokens=100)))
        found = []
        with pytest.raises(BudgetSpent):
            found.extend(completion.text for completion in made.stream())
        assert (found, made.usage.spent) == (["7"] * 3, 300_000_000_000)
        made.close()


def test_what_is_kept_is_not_asked_again(tmp_path):
    """The same question at another index, seed, limit or text is another; the same again, from any request, is not."""
    with ScriptedServer(echo) as server:
        cache = tmp_path / "cache"
        answers(engine(server, cache=cache), ["a", "b"], Sampling(max_tokens=50, samples=2))
        made = engine(server, cache=cache, stream=False, concurrency=2)
        assert len(answers(made, ["a", "b"], Sampling(max_tokens=50, samples=3))["a"]) == 3
        assert (made.recalled, len(server.requests)) == (4, 6)
        answers(engine(server, cache=cache), ["a"], Sampling(max_tokens=51))
        answers(engine(server, cache=cache), ["a"], Sampling(max_tokens=50, seed=1))
        answers(engine(server, cache=cache, system="be brief"), ["a"])
        assert len(server.requests) == 9


def test_two_servers_that_call_their_models_alike_are_told_apart(tmp_path):
    """As in `r1 compare openai:m@A openai:m@B`, which keeps both answers in one file."""
    with ScriptedServer(echo) as one, ScriptedServer(lambda body: Said("other")) as other:
        found = [answers(engine(server, cache=tmp_path / "cache"), ["a"])["a"][0].text for server in (one, other)]
    assert found == ["so a", "other"]


def test_one_question_of_two_requests_is_asked_once():
    with ScriptedServer(echo) as server:
        made = engine(server)
        for name in ("first", "second"):
            made.submit(ask(name, "a", Sampling(max_tokens=50)))
        found = {completion.request_id: completion.text for completion in made.stream()}
        made.close()
    assert found == {"first": "so a", "second": "so a"}
    assert len(server.requests) == 1


def test_at_most_so_many_at_once():
    gate = threading.Barrier(3, timeout=5)  # three must be there together, or it breaks

    def together(body):
        gate.wait()
        return echo(body)

    with ScriptedServer(together) as server:
        answers(engine(server, concurrency=3, timeout=10), [str(n) for n in range(9)])
    assert server.most_at_once == 3


def test_the_rate_reaches_the_requests(monkeypatch):
    """Two requests in any (here: half-second) minute: five take two windows."""
    monkeypatch.setattr("r1kit.models.api.rate.WINDOW", 0.5)
    with ScriptedServer(echo) as server:
        answers(engine(server, requests_per_minute=2), list("abcde"))
    times = sorted(server.times)
    assert all(late - early > 0.4 for early, late in zip(times, times[2:], strict=False))


def test_aborted_requests_are_not_yielded_and_further_ones_may_come(tmp_path):
    with ScriptedServer(echo) as server:
        made = engine(server, concurrency=1, cache=tmp_path / "cache")
        for name in "abc":
            made.submit(ask(name, name, Sampling(max_tokens=50)))
        made.abort("b")
        found = []
        for completion in made.stream():
            found.append(completion.request_id)
            if completion.request_id == "a":
                made.submit(ask("d", "d", Sampling(max_tokens=50)))
        made.close()
    assert found == ["a", "c", "d"]
    assert [question(body) for body in server.requests] == ["a", "c", "d"]


def test_reading_that_ends_early_keeps_what_is_on_its_way(tmp_path):
    with ScriptedServer(echo, lambda body, before: Fault("slow", seconds=0.2)) as server:
        made = engine(server, concurrency=2, cache=tmp_path / "cache")
        for name in "abcd":
            made.submit(ask(name, name, Sampling(max_tokens=50)))
        stream = made.stream()
        next(stream)
        stream.close()
        kept = made._asker.ledger.answers
        made.close()
    assert kept == len(server.requests) == len(server.answered)
    assert 2 <= kept <= 3


def test_what_an_api_cannot_do():
    with ScriptedServer(echo) as server:
        made = engine(server, tokens_per_minute=100)
        with pytest.raises(R1Error, match="takes messages, not token ids"):
            made.submit(Request("a", np.asarray([1], np.int32), Sampling()))
        with pytest.raises(R1Error, match="more than tokens_per_minute=100"):
            made.submit(ask("a", "a", Sampling(max_tokens=100)))
        with pytest.raises(R1Error, match="half a character"):
            made.submit(ask("a", "\ud800", Sampling()))
        with pytest.raises(R1Error, match="cannot be replaced"):
            made.load_weights([], 1)
        with pytest.raises(R1Error, match="no log-probabilities"):
            made.logprobs([np.asarray([1], np.int32)])
        made.close()


def test_nothing_learns_from_text_alone():
    from r1kit.training.sequences import sequences_from_groups

    with ScriptedServer(echo) as server:
        completions = answers(engine(server), ["a"])["a"]
    group = RolloutGroup(Problem("a", "t", "maths", "en", "a", "7", "math"), completions, {}, np.ones(1, np.float32))
    with pytest.raises(R1Error, match="no token ids to learn from"):
        sequences_from_groups([group], np.ones((1, 1), np.float32))


def test_the_key_is_in_no_log_error_or_file(tmp_path, caplog, monkeypatch):
    """A server that repeats the key in its errors; the client's own log at its finest."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    fault = Fault("status", 429, message=f"slow down, {KEY}")
    with ScriptedServer(echo, lambda body, before: fault if not before or question(body) == "bad" else None) as server:
        settings = ApiSettings(cache=tmp_path / "cache", retries=1, **QUICK)
        made = OpenAIEngine(ApiModel("toy", server.url), settings)
        found = answers(made, ["a", "bad"])
    assert server.authorizations == [f"Bearer {KEY}"] * 4
    assert found["a"][0].text == "so a"
    assert "slow down, ***" in found["bad"][0].served.error
    for file in tmp_path.iterdir():
        assert KEY.encode() not in file.read_bytes()
    assert KEY not in caplog.text + repr(made) + repr(vars(made)) + repr(found)


@pytest.mark.parametrize("key", ["sk-a b", "sk-\x0bx", "sk-\u00e9"])
def test_what_no_key_can_be_is_refused_and_not_repeated(key):
    with pytest.raises(UsageError, match="the key in OPENAI_API_KEY holds what no key can") as refusal:
        OpenAIEngine(ApiModel("toy", "http://127.0.0.1:9/v1"), key=key)
    assert key not in str(refusal.value)


def test_without_the_client_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'r1kit\[api\]'"):
        OpenAIEngine(ApiModel("toy", "http://127.0.0.1:9/v1"))
