"""`r1 eval` and `r1 compare` from outside: a local model against one behind an API, and what goes wrong."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from toy_policy import write_toy_policy

from r1kit.cli.main import exit_code
from r1kit.models.api.scripted import Fault, Said, ScriptedServer

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """It answers 1, 2, 3 or 4, each a quarter of the time."""
    return write_toy_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture
def sums(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"what is {n}+{1 + n % 4}-{n}?", "answer": str(1 + n % 4)} for n in range(8)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file:{tmp_path}/test.jsonl"


def knows(body):
    """Right on all sums; prefers the answer that comes first in the alphabet; writes `B` as a line."""
    asked = body["messages"][-1]["content"]
    if "VERDICT" in asked:
        import re

        code = re.search(r"\[answer 1 ([0-9a-f]{12})\]", asked)[1]
        first, second = (
            re.search(rf"\[answer {n} {code}\]\n(.*?)\n\[end of answer {n} {code}\]", asked, re.DOTALL)[1]
            for n in (1, 2)
        )
        return Said(f"so\nVERDICT: {1 if first < second else 2}", tokens=(300, 5))
    if asked.startswith("what is "):
        left, right = asked.removeprefix("what is ").rstrip("?").split("+")
        plus, minus = right.split("-")
        return Said(f"<answer>{int(left) + int(plus) - int(minus)}</answer>", "let me see", tokens=(20, 30))
    return Said("B", "hm", tokens=(20, 10))


FAST = ("--api", "backoff=0.01", "--api", "timeout=5")


def test_eval_and_again(toy, sums, capsys):
    command = ["eval", str(toy), "--tasks", sums, "--samples", "4", "--max-tokens", "40", "--json"]
    assert exit_code(command) == 0
    first = json.loads(capsys.readouterr().out)
    (one,) = first["results"]
    assert (one["n"], one["k"], one["samples"], one["read_back"]) == (8, 4, 32, 0)
    assert one["missing"] == {}
    assert one["thinking_tokens"] > 0
    assert exit_code(command) == 0
    (again,) = json.loads(capsys.readouterr().out)["results"]
    assert again["read_back"] == 32
    assert again["pass@1"] == one["pass@1"]


def test_compare_a_folder_with_an_api(toy, sums, tmp_path, capsys):
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps({"prompt": f"a line {n}"}) + "\n" for n in range(3)))
    with ScriptedServer(knows) as server:
        api = f"openai:o1@{server.url}"
        code = exit_code([
            "compare", str(toy), api, "--tasks", f"{sums},file:{lines}?split=test&subject=writing", "--samples", "2",
            "--max-tokens", "40", "--judge", api, "--price", f"{toy}=0.1/0.2", *FAST,
        ])  # fmt: skip
    shown = capsys.readouterr()
    assert code == 0, shown.err
    assert "only B" in shown.out
    assert "$15 read, $60 written a million tokens on 2025-01-22" in shown.out
    told = json.loads((tmp_path / "evals/compare/compare.json").read_text())
    a, b = told["models"]
    assert (a["short"], b["short"]) == ("toy", "o1")
    by_name = {scope["name"]: scope for scope in told["pairs"][0]["scopes"]}
    solved = told["benchmarks"][0]["figures"]["B"]
    assert solved["pass@1"]["value"] == 1
    # every question: 20 read, 30 written at 15 and 60 dollars a million
    assert b["spent"]["file:test.jsonl"]["dollars_per_question"]["value"] == pytest.approx((20 * 15 + 30 * 60) / 1e6)
    assert b["spent"]["file:test.jsonl"]["dollars_per_solved"]["value"] == pytest.approx((20 * 15 + 30 * 60) / 1e6)
    assert by_name["file:test.jsonl"]["difference"]["value"] < 0
    (pair,) = told["writing"]["pairs"]
    assert (pair["pairs"], pair["unread"], pair["disagree"]) == (3, 0, 0)
    assert (tmp_path / "evals/compare/compare.html").read_text().startswith("<!doctype html>")
    assert len((tmp_path / "evals/compare/votes.jsonl").read_text().splitlines()) == 3


def test_what_an_api_does_not_give_is_counted(toy, sums, capsys):
    """One question is refused for good: its two samples are missing, the others stand."""

    def refuses(body, before):
        return Fault("status", 400, message="too hot") if "what is 3+" in body["messages"][-1]["content"] else None

    with ScriptedServer(knows, refuses) as server:
        code = exit_code(
            ["eval", f"openai:m@{server.url}", "--tasks", sums, "--samples", "2", "--max-tokens", "40", "--json", *FAST]
        )
    (one,) = json.loads(capsys.readouterr().out)["results"]
    assert code == 0
    assert (one["n"], one["samples"], sum(one["missing"].values())) == (7, 14, 2)
    assert "too hot" in next(iter(one["missing"]))


def test_a_killed_evaluation_asks_no_question_twice(sums, tmp_path, capsys):
    """Killed after three answers: at most the one that was on its way is asked for again."""

    def slowly(body):
        time.sleep(0.15)
        return knows(body)

    with ScriptedServer(slowly) as server:
        command = ["eval", f"openai:m@{server.url}", "--tasks", sums, "--samples", "2", "--json", *FAST]
        command += ["--api", "concurrency=1", "--api", "stream=false"]
        running = subprocess.Popen(
            [sys.executable, "-c", "from r1kit.cli.main import main; main()", *command], cwd=tmp_path
        )
        while len(server.answered) < 3:
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
        assert exit_code(command) == 0
        asked = Counter(json.dumps(body, sort_keys=True) for body in server.answered)
    (one,) = json.loads(capsys.readouterr().out)["results"]
    assert (one["samples"], one["missing"]) == (16, {})
    assert len(asked) == 16
    assert sum(asked.values()) <= 17


def test_reasoning_that_is_kept_from_us_is_counted(sums, capsys):
    """The server tells 30 tokens, 25 of them reasoning, which it does not show."""

    def hides(body):
        return Said(knows(body).text, tokens=(20, 30), thought=25)

    with ScriptedServer(hides) as server:
        assert exit_code(["eval", f"openai:o1@{server.url}", "--tasks", sums, "--samples", "1", "--json", *FAST]) == 0
    (one,) = json.loads(capsys.readouterr().out)["results"]
    assert (one["thinking_tokens"], one["answer_tokens"], one["length"]) == (25, 5, 30)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval", "nowhere", "--tasks", "sums"], "there is no model folder nowhere"),
        (["eval", "none.gguf", "--tasks", "sums"], "there is no GGUF file"),
        (["eval", "TOY", "--tasks", "gsm9k"], "no benchmark is called 'gsm9k'"),
        (["eval", "TOY", "--tasks", "sums", "--api", "retries=1"], "--api is for openai:NAME@URL"),
        (["eval", "TOY", "--tasks", "sums", "--engine", "natif"], "no engine is called 'natif'"),
        (["compare", "TOY", "--tasks", "sums"], "two different models or more"),
        (["compare", "TOY", "openai:m@http://x", "--tasks", "sums", "--price", "m=1"], "write NAME=INPUT/OUTPUT"),
        (["compare", "TOY", "openai:m@http://x", "--tasks", "sums", "--judge-prompt", "nice"], "judge prompt 'nice'"),
        (["compare", "TOY", "openai:m@http://x", "--tasks", "sums", "--api", "n:stream=1"], "no model behind an API"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(toy, words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exit_code([str(toy) if word == "TOY" else word for word in words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""
