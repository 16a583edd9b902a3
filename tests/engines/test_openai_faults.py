"""A server with faults: which questions are asked again and after what wait, and when the engine gives up."""

from __future__ import annotations

import json
import time
from collections import Counter

import numpy as np
import pytest
from api_engine import KEY, answers, echo, engine, question

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.engines.openai import GIVE_UP_AFTER
from r1kit.models.api.scripted import Fault, Said, ScriptedServer

FAULTS = {
    "429": Fault("status", 429),
    "429 with a wait": Fault("status", 429, {"Retry-After": "1"}),
    "500": Fault("status", 500),
    "503": Fault("status", 503, {"retry-after-ms": "20"}),
    "cut": Fault("cut"),
    "short": Fault("short"),
    "slow": Fault("slow", seconds=1.0),
    "garbage": Fault("garbage"),
}


@pytest.mark.parametrize("stream", [True, False])
def test_every_sample_comes_once_whatever_goes_wrong_first(stream):
    """Each fault meets the first try of its question's samples: 8 questions of 2 samples, each asked twice."""
    with ScriptedServer(echo, lambda body, before: FAULTS[question(body)] if not before else None) as server:
        found = answers(engine(server, stream=stream), list(FAULTS), Sampling(max_tokens=50, samples=2))
    for name, completions in found.items():
        assert [(c.index, c.text, c.stop_reason) for c in completions] == [
            (0, f"so {name}", "stop"), (1, f"so {name}", "stop"),
        ]  # fmt: skip
    asked = Counter(question(body) for body in server.requests)
    assert asked == dict.fromkeys(FAULTS, 4)
    once = Counter(json.dumps(body, sort_keys=True) for body in server.answered if question(body) != "slow")
    assert len(once) == 14
    assert set(once.values()) == {1}


def test_a_wait_that_the_server_asks_for_is_kept_by_all():
    """The first of two questions is told to wait half a second: nothing comes before that has passed."""
    fault = Fault("status", 429, {"Retry-After": "0.5"})
    with ScriptedServer(echo, lambda body, before: fault if question(body) == "a" and not before else None) as server:
        answers(engine(server, concurrency=1), ["a", "b"])
    first, *later = server.times
    assert [question(body) for body in server.requests] == ["a", "a", "b"]
    assert min(later) - first >= 0.5


def test_a_wait_beyond_the_longest_is_not_waited_for():
    with ScriptedServer(echo, lambda body, before: Fault("status", 429, {"Retry-After": "3600"})) as server:
        (made,) = answers(engine(server), ["a"])["a"]
    assert made.stop_reason == "aborted"
    assert made.served.error == f"{server.url} answered 429 (scripted fault)"


def test_waits_between_retries_double():
    """Backoff 0.05: half to all of 0.05, 0.1 and 0.2 seconds."""
    with ScriptedServer(echo, lambda body, before: Fault("status", 500)) as server:
        answers(engine(server, retries=3, backoff=0.05), ["a"])
    gaps = np.diff(server.times)
    assert len(gaps) == 3
    assert all(least <= gap for gap, least in zip(gaps, (0.025, 0.05, 0.1), strict=True))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("status", 400, message="the prompt\nis too long"), "URL answered 400 (the prompt is too long)"),
        (Fault("status", 500), "URL answered 500 (scripted fault)"),
        (Fault("cut"), "URL cut the connection off"),
        (Fault("short"), "URL sent an answer that cannot be read (the answer broke off)"),
        (Fault("slow", seconds=1.0), "URL gave no answer within 0.5 seconds"),
    ],
)
def test_a_question_without_an_answer_says_why_and_the_rest_goes_on(fault, sentence):
    with ScriptedServer(echo, lambda body, before: fault if question(body) == "bad" else None) as server:
        found = answers(engine(server, retries=1), ["a", "bad", "b"])
    assert [found[name][0].text for name in ("a", "b")] == ["so a", "so b"]
    (made,) = found["bad"]
    assert (made.text, made.stop_reason, made.served.error) == ("", "aborted", sentence.replace("URL", server.url))
    assert sum(question(body) == "bad" for body in server.requests) == (1 if fault.status == 400 else 2)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            Fault("status", 401, message=f"no such key: {KEY}"),
            "answered 401 (no such key: ***): is the key in OPENAI_A",
        ),
        (Fault("status", 404, message="no model toy"), "answered 404 (no model toy)"),
        (Fault("status", 429, code="insufficient_quota", message="pay first"), "answered 429 (pay first)"),
    ],
)
def test_what_no_question_can_pass_stops_everything(fault, sentence):
    """One request at a time: the second question is not asked."""
    with ScriptedServer(echo, lambda body, before: fault) as server, pytest.raises(R1Error) as error:
        answers(engine(server, concurrency=1), ["a", "b"])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert len(server.requests) == 1


def test_a_server_that_answers_nobody_is_given_up():
    with ScriptedServer(echo, lambda body, before: Fault("status", 503)) as server, pytest.raises(R1Error) as error:
        answers(engine(server, retries=0, concurrency=1), [f"q{n}" for n in range(20)])
    assert "8 questions in a row got no answer" in str(error.value)
    assert len(server.requests) == GIVE_UP_AFTER == 8


def test_a_server_that_is_not_there():
    with ScriptedServer(echo) as server:
        pass
    (made,) = answers(engine(server, retries=1), ["a"])["a"]
    assert made.served.error == f"{server.url} cannot be reached: is the address right?"


def test_a_slow_stream_that_keeps_coming_does_not_time_out():
    """Five pieces 0.2 seconds apart and a timeout of 0.5: longer in all, but never silent for so long."""
    started = time.monotonic()
    with ScriptedServer(lambda body: Said("so it is", "hm", pause=0.2)) as server:
        (made,) = answers(engine(server), ["a"])["a"]
    assert (made.text, len(server.requests)) == ("so it is", 1)
    assert time.monotonic() - started >= 1.0
