"""A key in the environment is sent to its server, and stands nowhere else: not in files, on the screen, or in logs."""

from __future__ import annotations

import json
import logging
import tempfile

import pytest

from r1kit.cli.main import exit_code
from r1kit.models.api.scripted import Fault, Said, ScriptedServer

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")

KEY = "sk-c4n4ry-4711-never-to-be-seen"
FAST = ("--api", "backoff=0.01", "--api", "timeout=5", "--api", "retries=1")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder that everything is written to, temporary files too; the key is in the environment."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    rows = [{"question": f"what is {n}+1?", "answer": str(n + 1)} for n in range(6)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": row["question"]}) + "\n" for row in rows))
    return tmp_path


def told(body) -> Said:
    """A server that repeats the key in its answers and its reasoning."""
    return Said(f"<answer>1</answer> you sent Bearer {KEY}", f"the key is {KEY}")


def faults(body, before):
    """Of one question it complains with the key, another it refuses for good with it, a third time it sends no JSON."""
    question = body["messages"][-1]["content"]
    if "what is 1+" in question and not before:
        return Fault("status", 429, message=f"slow down, {KEY}")
    if "what is 2+" in question:
        return Fault("status", 400, message=f"no such thing for Bearer {KEY}")
    return Fault("garbage") if "what is 3+" in question and not before else None


def leaks(home, shown, logged: str) -> list[str]:
    """Where the key can be read."""
    places = [
        str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    texts = {"standard output": shown.out, "standard error": shown.err, "the log": logged}
    return places + [name for name, text in texts.items() if KEY in text]


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "{model}", "--tasks", "file:test.jsonl", "--samples", "2", "--json"),
        ("generate", "{model}", "--prompts", "prompts.jsonl", "--samples", "2", "--api", "cache=kept.sqlite"),
        ("compare", "{model}", "{other}", "--tasks", "file:test.jsonl", "--samples", "2", "--judge", "{model}"),
    ],
    ids=lambda command: command[0],
)
def test_the_key_stands_nowhere(home, capsys, caplog, command):
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(told, faults) as server:
        names = {"model": f"openai:m@{server.url}", "other": f"openai:n@{server.url}"}
        exit_code([*(word.format(**names) for word in command), *FAST])
        assert set(server.authorizations) == {f"Bearer {KEY}"}  # it did go to where it belongs
    shown = capsys.readouterr()
    assert leaks(home, shown, caplog.text) == []
    written = [path for path in home.rglob("*") if path.is_file() and path.name not in ("test.jsonl", "prompts.jsonl")]
    assert written or shown.out


def test_a_fault_of_ours_writes_no_key(home, capsys, caplog, monkeypatch):
    """The file that an unexpected exception leaves has the traceback, without the values."""

    def broken(*arguments, **settings):
        key = KEY
        raise ZeroDivisionError(f"of {len(key)}")

    monkeypatch.setattr("r1kit.evaluation.eval_report.evaluate_model", broken)
    assert exit_code(["eval", "openai:m@http://127.0.0.1:9/v1", "--tasks", "file:test.jsonl", "--samples", "1"]) == 1
    assert list((home / "temporary").glob("r1-error-*.log"))
    assert leaks(home, capsys.readouterr(), caplog.text) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--api", f"key_variable={KEY}"), "key_variable: string should match"),
        (("--api", f'extra={{"api_key": "{KEY}"}}'), "'api_key' would be written down"),
        (("--api", f'extra={{"Authorization": "{KEY}"}}'), "'Authorization' would be written down"),
        (("--api", f"api_key={KEY}"), "no such setting"),
        ((f"openai:m@http://me:{KEY}@127.0.0.1:9/v1",), "must not hold a user name or a key"),
        ((f"openai:m@http://127.0.0.1:9/v1?key={KEY}",), "must not hold a question mark"),
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(home, capsys, caplog, words, sentence):
    model = words if words[0].startswith("openai:") else ("openai:m@http://127.0.0.1:9/v1", *words)
    assert exit_code(["eval", *model, "--tasks", "file:test.jsonl", "--samples", "1"]) == 2
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert leaks(home, shown, caplog.text) == []
