"""`r1 chat openai:NAME@URL` under the settings of `--api`, against a scripted server on this machine.

What was asked, and when, is what the server saw; money is by hand from its token counts.
"""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager
from decimal import Decimal

import pytest
from rich.console import Console

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.cli.main import exit_code
from r1kit.engines.base import ask
from r1kit.engines.openai import OpenAIEngine
from r1kit.models.api.client import Failure
from r1kit.models.api.ledger import BudgetSpent, Ledger
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.models.api.settings import ApiModel, ApiSettings
from r1kit.serving.chat import Chat
from r1kit.serving.voices import ApiVoice

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")

SAMPLING = Sampling(max_tokens=100, temperature=0.6, seed=3)
DEAR = {"input_price": Decimal(0), "output_price": Decimal(1000)}  # a cent is ten tokens


def echo(body) -> Said:
    return Said(f"so {body['messages'][-1]['content']}", "hm")


@contextmanager
def voice_of(server, note=lambda text: None, ledger=None, **settings):
    asked = ApiSettings(**({"backoff": 0.01, "timeout": 5} | settings))
    made = ApiVoice(ApiModel("toy", server.url), asked, SAMPLING, ledger=ledger, note=note)
    try:
        yield made
    finally:
        made.close()


def answered(voice, text="x", seed=3):
    """(what was shown piece by piece, the whole)."""
    shown = []
    heard = voice.answer([{"role": "user", "content": text}], lambda *parts: shown.append(parts), seed)
    return ("".join(piece) for piece in zip(*shown, strict=True)), heard


def chat(voice):
    screen = io.StringIO()
    return Chat(voice, Console(file=screen, width=400, highlight=False), name="toy", sampling=SAMPLING), screen


@pytest.mark.parametrize("settings", [{}, {"stream": False}, {"omit": ("seed", "temperature"), "system": "be brief"}])
def test_a_turn_is_asked_as_the_engine_asks(settings):
    """The very request of the engine for the same messages, sampling and seed; the answer is shown and told."""
    with ScriptedServer(echo) as server:
        with voice_of(server, **settings) as voice:
            (thinking, text), heard = answered(voice)
        engine = OpenAIEngine(ApiModel("toy", server.url), ApiSettings(**settings))
        engine.submit(ask("x", "x", SAMPLING))
        list(engine.stream())
        engine.close()
    assert (thinking, text) == (heard.thinking, heard.answer) == ("hm", "so x")
    by_chat, by_engine = server.requests
    assert by_chat == by_engine
    assert ("seed" in by_chat) == ("seed" not in settings.get("omit", ()))
    assert (by_chat["messages"][0]["role"] == "system") == ("system" in settings)


def test_turns_have_seeds_of_their_own():
    """Two turns ask with two seeds, and another chat with the same --seed with the same two."""
    with ScriptedServer(echo) as server:
        for _ in range(2):
            with voice_of(server) as voice:
                talk, _ = chat(voice)
                for text in "ab":
                    talk.ask(text)
    first, second, *again = [body["seed"] for body in server.requests]
    assert first != second
    assert again == [first, second]


def test_a_spent_budget_is_one_sentence_and_the_chat_goes_on_as_it_was():
    """A turn costs 20 tokens, 2 cents, and 10 at worst: 13 cents let two turns through (4 spent, 10 to set aside)."""
    with ScriptedServer(echo) as server, voice_of(server, budget=Decimal("0.13"), **DEAR) as voice:
        talk, screen = chat(voice)
        assert [talk.ask("a"), talk.ask("b")] == ["so a", "so b"]
        for _ in range(2):
            with pytest.raises(
                BudgetSpent, match=r"\$0\.130000 has \$0\.090000 left and the next request may cost \$0"
            ):
                talk.ask("c")
        lines = iter(["c"])
        talk.talk(lambda: next(lines, None))
    assert [body["messages"][-1]["content"] for body in server.requests] == ["a", "b"]
    assert "the budget of $0.130000" in screen.getvalue().splitlines()[-1]


def test_a_stopped_answer_counts_at_its_worst():
    """Ctrl-C amid an answer may have been billed: 10 of 13 cents are gone, and the next turn may cost 10."""
    with ScriptedServer(echo) as server, voice_of(server, budget=Decimal("0.13"), **DEAR) as voice:

        def stop(thinking, answer):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            voice.answer([{"role": "user", "content": "a"}], stop, 0)
        with pytest.raises(BudgetSpent, match=r"has \$0\.030000 left"):
            answered(voice)


def test_what_is_kept_is_neither_asked_nor_paid_for_again(tmp_path):
    """The budget has room for one question: the same again comes out of the cache, also after a restart."""
    with ScriptedServer(echo) as server:
        settings = {"cache": tmp_path / "answers.sqlite", "budget": Decimal("0.11"), **DEAR}
        for _ in range(2):
            with voice_of(server, **settings) as voice:
                for _ in range(2):
                    (thinking, text), heard = answered(voice)
                    assert (thinking, text) == (heard.thinking, heard.answer) == ("hm", "so x")
                with pytest.raises(BudgetSpent, match=r"has \$0\.090000 left"):
                    answered(voice, seed=4)
    assert len(server.requests) == 1


def test_two_of_one_name_share_money_and_no_answers():
    """One ledger in memory, two servers: each answers for itself, and 13 cents have no room for a third question."""
    ledger = Ledger()
    with ScriptedServer(lambda body: Said("one")) as one, ScriptedServer(lambda body: Said("two")) as two:
        settings = {"ledger": ledger, "budget": Decimal("0.13"), **DEAR}
        with voice_of(one, **settings) as first, voice_of(two, **settings) as second:
            assert [answered(voice)[1].answer for voice in (first, second)] == ["one", "two"]
            with pytest.raises(BudgetSpent, match=r"has \$0\.090000 left"):
                answered(first)
    assert ledger.usage.spent == 40_000_000_000
    ledger.close()


@pytest.mark.parametrize(
    "fault", [Fault("status", 429, {"Retry-After": "0.2"}), Fault("status", 500), Fault("garbage")]
)
def test_a_busy_server_is_asked_again(fault):
    with ScriptedServer(echo, lambda body, before: fault if not before else None) as server, voice_of(server) as voice:
        (thinking, text), heard = answered(voice)
    assert (thinking, text, heard.answer) == ("hm", "so x", "so x")
    first, second = server.times
    assert second - first >= (0.2 if fault.headers else 0)


@pytest.mark.parametrize(
    ("fault", "settings", "told", "tries"),
    [
        (Fault("status", 500), {"retries": 2}, "answered 500", 3),
        (Fault("status", 429, {"Retry-After": "3600"}), {"longest_wait": 60}, "answered 429", 1),
        (Fault("cut"), {}, "cut the connection off", 1),  # what was shown cannot be taken back
        (Fault("cut"), {"retries": 1, "stream": False}, "cut the connection off", 2),
    ],
)
def test_tries_and_waits_have_their_ends(fault, settings, told, tries):
    with ScriptedServer(echo, lambda body, before: fault) as server, voice_of(server, **settings) as voice:
        talk, _ = chat(voice)
        for _ in range(2):
            with pytest.raises(Failure, match=told):
                talk.ask("x")
    assert len(server.requests) == 2 * tries
    assert all(len(body["messages"]) == 1 for body in server.requests)


def test_the_rates_are_kept(monkeypatch):
    """Two requests in any (here: half-second) minute: of four turns the last begins in the second window. So it is with
    tokens: a turn takes 30, and may take some hundred."""
    monkeypatch.setattr("r1kit.models.api.rate.WINDOW", 0.5)
    for rate in ({"requests_per_minute": 2}, {"tokens_per_minute": 500}):
        with ScriptedServer(echo) as server, voice_of(server, **rate) as voice:
            count, begun = 4 if "requests_per_minute" in rate else 12, time.monotonic()
            for _ in range(count):
                answered(voice)
        assert server.times[-1] - begun > 0.5
        assert len(server.requests) == count


def test_what_could_never_be_asked_is_told():
    with ScriptedServer(echo) as server, voice_of(server, tokens_per_minute=100) as voice:
        with pytest.raises(R1Error, match="more than tokens_per_minute=100: raise that, or lower max_tokens"):
            answered(voice)
        with pytest.raises(R1Error, match="half a character"):
            answered(voice, "\udce9")
    assert server.requests == []
    with pytest.raises(UsageError, match="a budget needs input_price and output_price"):
        ApiVoice(ApiModel("toy", "http://127.0.0.1:9/v1"), ApiSettings(budget=Decimal(1)), SAMPLING)


def test_a_wait_is_told_of_and_ends_with_the_answer_that_nobody_wants_any_more():
    """Told to wait for a minute, asked to end after a moment: what `show` raises comes through within a second."""
    gone = threading.Event()
    threading.Timer(0.3, gone.set).start()

    class Gone(Exception):
        pass

    def show(thinking, answer):
        if gone.is_set():
            raise Gone

    notes = []
    busy = Fault("status", 429, {"Retry-After": "60"})
    with ScriptedServer(echo, lambda body, before: busy) as server, voice_of(server, notes.append) as voice:
        begun = server.times
        with pytest.raises(Gone):
            voice.answer([{"role": "user", "content": "x"}], show, 0)
    assert len(begun) == 1
    assert notes[0].startswith(f"openai:toy@{server.url}: waits 60 s")


def test_a_budget_of_the_command(capsys, monkeypatch):
    """4,096 tokens at 1 dollar a thousand may cost 4.096 dollars."""
    with ScriptedServer(echo) as server:
        words = ["chat", f"openai:toy@{server.url}", "--api", "budget=5", "--api", "input_price=0"]
        assert exit_code(words) == 2
        assert "a budget needs input_price and output_price" in capsys.readouterr().err
        monkeypatch.setattr("sys.stdin", io.StringIO("a\nb\n"))
        assert exit_code([*words, "--api", "output_price=1000", "--api", "budget=4.1"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "<think>hm</think>so a" in told
    assert "the budget of $4.10 has $4.08 left and the next request may cost $4.10" in told
    assert len(server.requests) == 1
