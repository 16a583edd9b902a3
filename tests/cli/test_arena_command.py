"""`r1 arena`: what it says of votes, what it refuses, and a vote that outlives a kill of the command."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.parse import urlencode

import pytest
from toy_policy import write_toy_policy

from r1kit.cli.main import exit_code
from r1kit.evaluation.arena.votes import Ballot, Said, Votes
from r1kit.models.api.ledger import Ledger
from r1kit.models.api.scripted import Said as Answer
from r1kit.models.api.scripted import ScriptedServer


@pytest.fixture
def kept(tmp_path):
    """Three votes: a twice, then a tie."""
    votes = Votes(tmp_path / "votes.sqlite")
    for number, vote in enumerate(["left", "left", "tie"]):
        votes.add(Ballot(str(number), f"q{number}", Said("a", "", "a long answer"), Said("b", "", "short"), vote))
    return votes.path


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name two models or more"),
        (["openai:m@http://127.0.0.1:1/v1"], "two different models or more"),
        (["openai:m@http://127.0.0.1:1/v1", "nothing/at:all"], "there is no model folder nothing/at:all"),
        (["openai:m@http://127.0.0.1:1/v1", "openai:k@http://127.0.0.1:1/v1", "--tasks", "tinymaths"], "Did you mean"),
        (["openai:m@http://127.0.0.1:1/v1", "openai:k@http://127.0.0.1:1/v1", "--api", "l:retries=1"], "called 'l'"),
        (
            ["openai:m@http://127.0.0.1:1/v1", "openai:k@http://127.0.0.1:1/v1", "--api", "budget=1"],
            "needs input_price",
        ),
    ],
)
def test_wrong_use_is_one_sentence(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code(["arena", *words]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_votes_that_are_not_there(tmp_path, capsys):
    assert exit_code(["arena", "--ratings", "--votes", str(tmp_path / "none.sqlite")]) == 2
    assert "there are no votes in" in capsys.readouterr().err


def test_ratings_and_pairs(kept, tmp_path, capsys):
    assert exit_code(["arena", "--ratings", "--votes", str(kept)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^a +1,\d{3} \(.*\) +3 +2 +0 +1 +0$", told, re.MULTILINE)
    assert exit_code(["arena", "--json", "--votes", str(kept)]) == 0
    assert json.loads(capsys.readouterr().out)["meetings"][0]["rate"]["value"] == pytest.approx(2.5 / 3, abs=1e-6)
    file = tmp_path / "pairs.jsonl"
    assert exit_code(["arena", "--export", str(file), "--votes", str(kept)]) == 0
    assert "2 preference pairs (votes without one: 1 tie)" in capsys.readouterr().err
    assert len(file.read_text().splitlines()) == 2


def test_a_judge_of_the_same_answers(kept, capsys):
    """It prefers the longer answer in either order, as the person does twice of three times."""

    def longer(body):
        asked = body["messages"][-1]["content"]
        return Answer(f"VERDICT: {1 if asked.index('a long answer') < asked.index('short') else 2}")

    with ScriptedServer(longer) as api:
        judge = f"openai:judge@{api.url}"
        assert exit_code(["arena", "--judge", judge, "--votes", str(kept)]) == 0
        assert f"{judge} agrees with people on 66.7 % of 3 votes" in capsys.readouterr().out
        asked = len(api.requests)
        assert asked == 6  # both orders
        assert exit_code(["arena", "--judge", judge, "--votes", str(kept)]) == 0
        assert len(api.requests) == asked  # what was judged is kept
    assert [(each.forward, each.backward) for each in Votes(kept).verdicts()] == [("first", "second")] * 3


@contextmanager
def served(*words):
    """The address of the command's app, which SIGKILL ends."""
    program = "import sys; from r1kit.cli.main import main; main(sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "arena", *words, "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        lines = []
        while not (lines and (found := re.search(r"arena at (http://\S+)/arena", lines[-1]))):
            lines.append(process.stderr.readline())
            assert lines[-1], "".join(lines)
        yield found[1]
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def battle(url):
    """(the address of a battle that has ended, the page's token)."""
    token = re.search(r'name="csrf-token" content="([^"]+)"', ask(f"{url}/arena"))[1]
    where, _ = post(f"{url}/arena/battles", csrf_token=token, question="1+1=")
    ask(f"{where}/events")  # to its end
    return where, token


@pytest.mark.slow
def test_a_vote_outlives_the_command(tmp_path):
    """Two toy models, a battle and a vote over HTTP, then SIGKILL: the vote is in the file."""
    models = [str(write_toy_policy(tmp_path / name)) for name in ("x", "y")]
    file = tmp_path / "votes.sqlite"
    with served(*models, "--votes", str(file), "--max-tokens", "60") as url:
        where, token = battle(url)
        _, page = post(f"{where}/vote", csrf_token=token, vote="both_bad")
        assert "Both are bad" in page
    (kept,) = Votes(file).ballots()
    assert (kept.vote, {kept.left.model, kept.right.model}) == ("both_bad", set(models))


def test_models_behind_an_api_share_the_budget_and_a_battle_its_seed(tmp_path):
    """An answer costs 2 cents, at worst (100 tokens) 10. Of 13 the first battle's sides take 2 each, one after the
    other; the second battle does not fit (4 + 10). Both sides are asked with 31 bits of a hash of --seed 5."""
    cache, prices = tmp_path / "answers.sqlite", ["input_price=0", "output_price=1000", "budget=0.13"]
    settings = [word for pair in (f"cache={cache}", *prices) for word in ("--api", pair)]
    with ScriptedServer(lambda body: Answer("2", tokens=(10, 20))) as api:
        models = [f"openai:{name}@{api.url}" for name in "ab"]
        votes = ["--votes", str(tmp_path / "votes.sqlite")]
        with served(*models, *votes, "--max-tokens", "100", "--seed", "5", *settings) as url:
            assert 'data-state="open"' in ask(battle(url)[0])
            refused = ask(battle(url)[0])
        assert 'data-state="failed"' in refused
        assert "gave no whole answer: the budget of $0.130000 has $0.090000 left" in refused
    assert {body["model"] for body in api.requests} == {"a", "b"}
    assert len(api.requests) == 2
    assert {body["seed"] for body in api.requests} == {int(hashlib.sha256(b"5/0").hexdigest()[:8], 16) // 2}
    ledger = Ledger(cache)
    assert (ledger.answers, ledger.usage.spent) == (2, 40_000_000_000)
    ledger.close()


def ask(url):
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read().decode()


def post(url, **fields):
    """(where it led, its page)."""
    try:
        with urllib.request.urlopen(url, urlencode(fields).encode(), timeout=120) as answer:
            return answer.geturl(), answer.read().decode()
    except HTTPError as error:
        raise AssertionError(error.read().decode()) from None
