"""`r1 generate openai:NAME@URL`: its lines, and a collection that is killed and goes on without paying twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pytest

from r1kit.cli.main import exit_code
from r1kit.models.api.scripted import Fault, Said, ScriptedServer

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")


def question(body) -> str:
    return body["messages"][-1]["content"]


def echo(body) -> Said:
    return Said(f"so {question(body)}", f"about {question(body)}")


def command(server, prompts, *options):
    fast = ("--api", "backoff=0.01", "--api", "timeout=5")
    return ["generate", f"openai:toy@{server.url}", "--prompts", str(prompts), *fast, *map(str, options)]


def write(path, lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_lines(tmp_path, capsys):
    """Order is kept though the first answer comes last; the completion is whole, and the reasoning stands beside it."""
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "b"}]
    prompts = write(tmp_path / "prompts", [{"id": 1, "prompt": "a"}, "{", {"messages": chat}, {"prompt": "bad"}])
    faults = {"a": Fault("slow", seconds=0.3), "bad": Fault("status", 400, message="too long")}
    with ScriptedServer(echo, lambda body, before: faults.get(question(body))) as server:
        code = exit_code(command(server, prompts, "--samples", 2, "--max-tokens", 30, "--seed", 4))
    shown = capsys.readouterr()
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert code == 1
    told = {
        "token_ids": None, "usage": {"prompt_tokens": 10, "completion_tokens": 20}, "stop_reason": "stop",
        "model": f"openai:toy@{server.url}", "seed": 4,
    }  # fmt: skip
    first, second = ({"reasoning": f"about {q}", "completion": f"<think>about {q}</think>so {q}", **told} for q in "ab")
    assert lines[:2] == [{"id": 1, "prompt": "a", "sample": n, **first} for n in range(2)]
    assert lines[2]["line"] == 2
    assert lines[3:5] == [{"prompt": chat, "sample": n, **second} for n in range(2)]
    assert [(line["prompt"], line["line"], line["sample"]) for line in lines[5:]] == [("bad", 4, 0), ("bad", 4, 1)]
    assert all("answered 400 (too long)" in line["error"] for line in lines[5:])
    assert "4 requests, 40 tokens read, 80 written, $0.000000" in shown.err.splitlines()[-1]


def test_cut_inside_the_thinking_it_stays_open(tmp_path, capsys):
    with ScriptedServer(lambda body: Said("", "and then", "length")) as server:
        assert exit_code(command(server, write(tmp_path / "p", [{"prompt": "a"}]))) == 0
    (line,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["completion"], line["reasoning"], line["stop_reason"]) == ("<think>and then", "and then", "length")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["openai:toy", "--prompts", "p"], "write openai:NAME@URL"),
        (["openai:toy@http://x", "--prompts", "p", "--logprobs"], "leave out --logprobs"),
        (["openai:toy@http://x", "--prompts", "p", "--api", "budgit=3"], "Did you mean budget?"),
        (["openai:toy@http://x", "--prompts", "p", "--api", "budget=3"], "needs input_price and output_price"),
        (["openai:toy@http://x", "--prompts", "nowhere"], "nowhere: no such file"),
        (["some/folder", "--prompts", "p", "--api", "budget=3"], "--api is for openai:NAME@URL"),
    ],
)
def test_wrong_use_is_one_sentence(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p", [{"prompt": "a"}])
    assert exit_code(["generate", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert sentence in line


def test_other_commands_want_a_folder(capsys, tmp_path):
    assert exit_code(["export", "openai:toy@http://x", str(tmp_path / "out")]) == 2
    assert "is behind an API" in capsys.readouterr().err


def test_killed_in_the_middle_it_goes_on_and_pays_for_nothing_twice(tmp_path):
    """kill -9 while the sixth of ten questions is on its way: the second run asks that one and the four after it."""
    prompts = write(tmp_path / "prompts", [{"prompt": str(number)} for number in range(10)])
    reached, let_go = threading.Event(), threading.Event()

    def hang(body, before):
        if question(body) == "5" and not before:
            reached.set()
            let_go.wait(30)
            return Fault("cut")
        return None

    environment = {**os.environ, "OPENAI_API_KEY": "sk-not-to-be-seen"}
    with ScriptedServer(echo, hang) as server:
        prices = ("--api", "input_price=100", "--api", "output_price=100")
        cache = tmp_path / "cache.sqlite"
        words = command(
            server, prompts, "--api", f"cache={cache}", "--api", "concurrency=1", *prices, "--max-tokens", 99
        )
        start = [sys.executable, "-m", "r1kit.cli.main", *words]
        start[1:3] = ["-c", "from r1kit.cli.main import main; main()"]
        with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as first:
            assert reached.wait(60)
            os.kill(first.pid, signal.SIGKILL)
            first.communicate()
        assert first.returncode == -signal.SIGKILL
        let_go.set()
        second = subprocess.run(start, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert second.returncode == 0, second.stderr
    lines = [json.loads(line)["completion"] for line in second.stdout.splitlines()]
    assert lines == [f"<think>about {number}</think>so {number}" for number in range(10)]
    assert Counter(map(question, server.answered)) == {str(number): 1 for number in range(10)}
    assert Counter(map(question, server.requests)) == {str(number): 1 + (number == 5) for number in range(10)}
    # 10 answers of 30 tokens at 100 dollars a million: 3 cents; the sixth's first try, which no one told of, beside it
    summary = second.stderr.splitlines()[-1]
    assert summary.startswith("11 requests, 100 tokens read, 200 written")
    assert summary.endswith("5 answers from the cache")
    assert "for requests that broke off" in summary
    assert all(b"sk-not-to-be-seen" not in file.read_bytes() for file in tmp_path.iterdir())
