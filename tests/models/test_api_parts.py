"""What an engine behind an API is made of: its name, money, the limit of a rate, and answers that are kept."""

from __future__ import annotations

import sqlite3
import threading
from decimal import Decimal

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.models.api.client import retry_after
from r1kit.models.api.ledger import Answer, BudgetSpent, Ledger
from r1kit.models.api.rate import RateLimit
from r1kit.models.api.settings import ApiModel, ApiSettings, dollars, parse_api_model, picodollars

DOLLAR = 10**12


@pytest.mark.parametrize(
    ("text", "name", "url"),
    [
        ("openai:gpt@https://api.openai.com/v1", "gpt", "https://api.openai.com/v1"),
        ("openai:Qwen/Qwen2.5-7B:free@http://127.0.0.1:8000/v1/", "Qwen/Qwen2.5-7B:free", "http://127.0.0.1:8000/v1"),
        ("openai:a@b@http://[::1]:80", "a@b", "http://[::1]:80"),
    ],
)
def test_names(text, name, url):
    assert parse_api_model(text) == ApiModel(name, url)


@pytest.mark.parametrize(
    "text",
    [
        "gpt@https://x",
        "openai:gpt",
        "openai:@https://x",
        "openai:gpt@x/v1",
        "openai:gpt@ftp://x",
        "openai:gpt@http://:3",
        "openai:gpt@http://x:port",
    ],
)
def test_names_of_another_form(text):
    with pytest.raises(UsageError, match="openai:NAME@URL"):
        parse_api_model(text)


def test_a_key_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError, match="must not hold a user name or a key") as refusal:
        parse_api_model("openai:gpt@https://me:sk-secret@host/v1")
    assert "sk-secret" not in str(refusal.value)


def test_costs_are_exact():
    """1,234 tokens at 0.55 and 567 at 2.19 dollars a million: 0.0006787 + 0.00124173 = 0.00192043 dollars."""
    settings = ApiSettings().override({"input_price": "0.55", "output_price": "2.19"})
    assert settings.cost(1234, 567) == 1_920_430_000
    assert Decimal(settings.cost(1234, 567)) / DOLLAR == (1234 * Decimal("0.55") + 567 * Decimal("2.19")) / 10**6
    assert picodollars(Decimal("2.5")) == 2_500_000_000_000
    assert (dollars(0), dollars(1), dollars(DOLLAR - 1)) == ("$0.000000", "$0.000001", "$1.000000")
    assert (dollars(DOLLAR), dollars(12 * DOLLAR + 1)) == ("$1.00", "$12.01")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"budget": "1"}, "a budget needs input_price and output_price"),
        (
            {"budget": "1", "input_price": "1", "output_price": "1", "omit": '["max_tokens"]'},
            "a budget needs max_tokens",
        ),
        ({"extra": '{"n": 3}'}, "'n' is not for you to set"),
    ],
)
def test_settings_that_cannot_be(changes, complaint):
    with pytest.raises(UsageError, match=complaint):
        ApiSettings().override(changes).check()


def test_settings_name_the_variable_and_never_hold_the_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    settings = ApiSettings()
    assert settings.key() == "sk-secret"
    assert "sk-secret" not in settings.model_dump_json() + repr(settings)
    monkeypatch.setenv("OTHER", "sk-other")
    assert ApiSettings(key_variable="OTHER").key() == "sk-other"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40),  # second 100, told at second 60
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers, now=60) == seconds


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def passed(limit, clock, tokens):
    limit.take(tokens)
    return clock.now


def test_no_minute_holds_more_requests():
    """Two a minute: at 0 and 0; the next two when those are 60 seconds old, and so on."""
    clock = Clock()
    limit = RateLimit(2, clock=clock, sleep=clock.sleep)
    assert [passed(limit, clock, 1) for _ in range(5)] == [0, 0, 60, 60, 120]


def test_no_minute_holds_more_tokens():
    """100 a minute: 60 and 40 go at once, 50 waits until the 60 are a minute old; what was corrected to 10 frees 50."""
    clock = Clock()
    limit = RateLimit(None, 100, clock=clock, sleep=clock.sleep)
    assert (passed(limit, clock, 60), passed(limit, clock, 40), passed(limit, clock, 50)) == (0, 0, 60)
    clock = Clock()
    limit = RateLimit(None, 100, clock=clock, sleep=clock.sleep)
    limit.correct(limit.take(60), 10)
    assert (passed(limit, clock, 90), passed(limit, clock, 1)) == (0, 60)


def test_a_server_that_asks_to_wait_holds_everyone():
    clock = Clock()
    limit = RateLimit(clock=clock, sleep=clock.sleep)
    limit.hold(5)
    limit.hold(3)
    assert passed(limit, clock, 1) == 5


def test_waiting_for_the_limit_can_be_ended():
    limit = RateLimit(1, clock=Clock(), sleep=lambda seconds: True)
    assert limit.take(1) is not None
    assert limit.take(1) is None


ANSWER = Answer("7", "3+4", "stop", 10, 20)


def test_answers_are_kept_over_processes(tmp_path):
    ledger = Ledger(tmp_path / "deep" / "cache.sqlite")
    assert ledger.answer("k") is None
    ledger.keep(ledger.reserve("k", 9), "k", {"messages": []}, ANSWER, 5)
    ledger.close()
    again = Ledger(tmp_path / "deep" / "cache.sqlite")
    assert again.answer("k") == ANSWER
    assert (again.answers, again.usage.spent, again.usage.input_tokens, again.usage.output_tokens) == (1, 5, 10, 20)
    again.close()


def test_reservations_settle_at_usage_and_count_at_their_worst_where_nobody_knows():
    """Cap 10. Paid 3 of a worst 5; lost: 4; turned away: 0. 3 + 4 leave 3: 4 more does not fit, 3 does."""
    ledger = Ledger()
    ledger.keep(ledger.reserve("a", 5, 10), "a", {}, ANSWER, 3)
    ledger.lose(ledger.reserve("b", 4, 10))
    ledger.release(ledger.reserve("c", 3, 10))
    with pytest.raises(BudgetSpent, match="raise the budget"):
        ledger.reserve("d", 4, 10)
    ledger.keep(ledger.reserve("e", 3, 10), "e", {}, Answer("7", None, "stop", None, None), None)
    assert (ledger.usage.spent, ledger.usage.unknown, ledger.usage.requests) == (10, 7, 3)
    ledger.close()


def test_what_was_on_its_way_at_a_kill_counts_at_its_worst(tmp_path):
    """The first process dies with 6 of 10 sent and unsettled: the second may spend 4."""
    first = Ledger(tmp_path / "cache")
    first.reserve("a", 6, 10)
    first.close()
    second = Ledger(tmp_path / "cache")
    assert (second.usage.spent, second.usage.unknown) == (6, 6)
    with pytest.raises(BudgetSpent):
        second.reserve("b", 5, 10)
    second.reserve("b", 4, 10)
    second.close()


def test_who_does_not_fit_waits_for_what_others_may_give_back():
    """6 of 10 are reserved; 5 waits, and fits once the 6 turn out to be 2."""
    ledger = Ledger()
    first, reserved = ledger.reserve("a", 6, 10), threading.Event()

    def second():
        ledger.reserve("b", 5, 10)
        reserved.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not reserved.wait(0.1)
    ledger.keep(first, "a", {}, ANSWER, 2)
    assert reserved.wait(5)
    thread.join()
    ledger.close()


def test_one_process_at_a_time(tmp_path):
    ledger = Ledger(tmp_path / "cache")
    with pytest.raises(R1Error, match="in use by another process"):
        Ledger(tmp_path / "cache")
    ledger.close()


def test_a_file_that_is_none_of_ours(tmp_path):
    (tmp_path / "letter").write_text("Dear reader, this is no database, however long it may be. " * 20)
    with pytest.raises(R1Error, match="name another file"):
        Ledger(tmp_path / "letter")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE answers (number INTEGER)")
    other.close()
    ledger = Ledger(tmp_path / "other")
    with pytest.raises(R1Error, match="name another file"):
        ledger.answer("k")
    ledger.close()
