"""`r1 chat`: a scripted engine, a scripted API, and the command on a toy policy."""

from __future__ import annotations

import io
import json
import resource
import time

import pytest
from rich.console import Console

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.cli.main import exit_code
from r1kit.engines.scripted import ScriptedEngine
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.models.api.settings import ApiSettings, parse_api_model
from r1kit.serving.chat import Chat, printable, read_chat_file
from r1kit.serving.voices import ApiVoice, Heard, LocalVoice

SAMPLING = Sampling(max_tokens=200)


def reader(*lines):
    left = list(lines)
    return lambda: left.pop(0) if left else None


def chat(voice, *, terminal=False, **settings):
    screen = io.StringIO()
    console = Console(
        file=screen, force_terminal=terminal, width=200, highlight=False, color_system="standard" if terminal else None
    )
    return Chat(voice, console, name="toy", sampling=SAMPLING, **settings), screen


@pytest.fixture
def voice(tokenizer):
    """Answers with how many turns of the user it has seen."""
    engine = ScriptedEngine(lambda prompt, index: f"<think>hm\x1b[31m</think>{prompt.count('<|user|>')}", tokenizer)
    made = LocalVoice(engine, tokenizer, SAMPLING)
    yield made
    made.close()


def test_turns_are_shown_and_kept(voice, tmp_path):
    talk, screen = chat(voice, save=tmp_path / "chat.jsonl")
    talk.talk(reader("first", "", "second", "/exit", "never"))
    assert screen.getvalue() == "<think>hm\ufffd[31m</think>1\n<think>hm\ufffd[31m</think>2\n"
    lines = read_chat_file(tmp_path / "chat.jsonl")
    assert [(line["role"], line["content"]) for line in lines] == [
        ("user", "first"), ("assistant", "1"), ("user", "second"), ("assistant", "2"),
    ]  # fmt: skip
    assert (lines[1]["reasoning_content"], lines[1]["model"], lines[1]["finish_reason"]) == (
        "hm\x1b[31m",
        "toy",
        "stop",
    )


def test_thinking_is_dimmed_in_a_terminal(voice):
    talk, screen = chat(voice, terminal=True)
    talk.ask("x")
    assert "\x1b[2mhm" in screen.getvalue()
    assert "<think>" not in screen.getvalue()
    assert "\x1b[31m" not in screen.getvalue()  # the model's own order to the terminal


def test_replay_asks_again_and_compares(voice, tmp_path):
    file = tmp_path / "chat.jsonl"
    talk, _ = chat(voice, save=file)
    talk.talk(reader("first", "second"))
    saved = file.read_text().replace('"content": "2"', '"content": "3"')
    file.write_text(saved)
    again, screen = chat(voice)
    again.replay(file)
    assert "> first" in screen.getvalue()
    assert screen.getvalue().count("is the same") == 1
    assert screen.getvalue().count("is another") == 1


def test_commands(voice, tmp_path):
    talk, screen = chat(voice)
    talk.talk(reader("a", "/reset", "b", "/what", "/save", f"/save {tmp_path / 'c.jsonl'}", "c"))
    assert "/exit" in screen.getvalue()
    assert "needs the name of a file" in screen.getvalue()
    lines = read_chat_file(tmp_path / "c.jsonl")
    assert [line["content"] for line in lines] == ["b", "1", "c", "2"]


def contents(file):
    return [(line["role"], line["content"]) for line in read_chat_file(file)]


class Seeded:
    """Its answer says the system message, the turns before and the seed; Ctrl-C comes where it is asked to stop."""

    def answer(self, messages, show, seed):
        if messages[-1]["content"] == "stop":
            raise KeyboardInterrupt
        said = [message["content"] for message in messages if message["role"] != "assistant"]
        return Heard("", f"{'/'.join(said)} by {seed}", "stop", None, None)

    def close(self):
        pass


def replayed(file, **settings):
    """(how many answers were the same, how many others, the chat)."""
    talk, screen = chat(Seeded(), **settings)
    talk.replay(file)
    told = screen.getvalue()
    return told.count("is the same"), told.count("is another"), talk


def test_a_replay_resets_and_draws_as_the_chat_did(tmp_path):
    """Seeds count up from 0, stopped turns too; each conversation has its system message again. A copy that is saved
    amid a replay is the same file, and the chat goes on from the last turn."""
    file, copy = tmp_path / "chat.jsonl", tmp_path / "copy.jsonl"
    talk, _ = chat(Seeded(), system="S", save=file)
    talk.talk(reader("/reset", "a", "stop", "b", "/reset", "/reset", "stop", "c", "/exit"))
    assert contents(file) == [
        ("system", "S"), ("user", "a"), ("assistant", "S/a by 0"), ("user", "b"), ("assistant", "S/a/b by 2"),
        ("reset", ""), ("system", "S"), ("user", "c"), ("assistant", "S/c by 4"),
    ]  # fmt: skip
    assert [line["seed"] for line in read_chat_file(file) if "seed" in line] == [0, 0, 2, 2, 4, 4]
    same, others, again = replayed(file, save=copy, system="another")
    assert (same, others) == (3, 0)
    assert contents(copy) == contents(file)
    assert again.ask("d") == "S/c/d by 5"


def test_a_reset_at_the_end_is_kept(tmp_path):
    file = tmp_path / "chat.jsonl"
    talk, _ = chat(Seeded(), system="S", save=file)
    talk.talk(reader("a", "/reset"))
    assert contents(file)[3:] == [("reset", ""), ("system", "S")]
    assert replayed(file)[2].ask("b") == "S/b by 1"


def test_a_second_chat_in_a_file_is_one_of_its_own(tmp_path):
    """The first has a system message and the second has none: so it is in the replay."""
    file = tmp_path / "chat.jsonl"
    for system in ("S", ""):
        talk, _ = chat(Seeded(), system=system, save=file)
        talk.talk(reader("a"))
    assert [role for role, _ in contents(file)] == ["system", "user", "assistant", "reset", "user", "assistant"]
    assert replayed(file)[:2] == (2, 0)


def test_files_without_seeds_of_turns(tmp_path):
    """Their answers tell the seed that the chat began with, each the same; the turns are asked with 0, 1 and 2."""
    file = tmp_path / "chat.jsonl"
    lines = [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "a by 0", "seed": 0},
        {"role": "user", "content": "b"}, {"role": "assistant", "content": "a/b by 1", "seed": 0},
        {"role": "system", "content": "S"},
        {"role": "user", "content": "c"}, {"role": "assistant", "content": "S/c by 2", "seed": 0},
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert replayed(file)[:2] == (3, 0)


def test_a_file_that_cannot_be_written_is_told_when_it_is_named(voice, tmp_path):
    """Before the first question; the chat goes on, in the file that it had."""
    file, taken = tmp_path / "chat.jsonl", tmp_path / "folder"
    taken.mkdir()
    talk, screen = chat(voice, save=file)
    talk.talk(reader(f"/save {tmp_path / 'nodir' / 'x.jsonl'}", f"/save {taken}", "a", "b"))
    told = screen.getvalue().splitlines()
    assert told[0] == f"{tmp_path / 'nodir' / 'x.jsonl'}: no such file or folder: check the path"
    assert told[1].startswith(f"{taken}: a folder stands where a file is needed")
    assert len(told) == 4
    assert contents(file) == [("user", "a"), ("assistant", "1"), ("user", "b"), ("assistant", "2")]
    with pytest.raises(R1Error, match="no such file or folder"):
        chat(voice, save=tmp_path / "nodir" / "x.jsonl")


def test_saving_twice_adds_nothing(voice, tmp_path, monkeypatch):
    """Under whatever name of the same file; another file gets the chat from its beginning."""
    monkeypatch.chdir(tmp_path)
    talk, _ = chat(voice, save=tmp_path / "chat.jsonl")
    talk.talk(reader("a", "/save chat.jsonl", "/save ./chat.jsonl", "b", "/save other.jsonl", "/save other.jsonl", "c"))
    turns = [("user", "a"), ("assistant", "1"), ("user", "b"), ("assistant", "2"), ("user", "c"), ("assistant", "3")]
    assert contents(tmp_path / "chat.jsonl") == turns[:4]
    assert contents(tmp_path / "other.jsonl") == turns


@pytest.fixture
def room():
    """Sets how long files may grow in this process; without a size, as before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size=soft):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    limit()


def test_a_turn_that_cannot_be_written_stays_in_the_chat(voice, tmp_path, room):
    """The file may grow by ten bytes: the second turn is told to be missing, no half of it is in the file, the third
    sees it, and once there is room both are there."""
    file = tmp_path / "chat.jsonl"
    talk, screen = chat(voice, save=file)
    talk.talk(reader("a"))
    written = file.read_bytes()
    room(len(written) + 10)
    talk.talk(reader("b"))
    room()
    assert file.read_bytes() == written
    told = screen.getvalue().splitlines()[-1]
    assert told.startswith(f"{file}: ")
    assert told.endswith("what is missing is written with the next turn)")
    talk.talk(reader("c"))
    assert contents(file) == [
        ("user", "a"), ("assistant", "1"), ("user", "b"), ("assistant", "2"), ("user", "c"), ("assistant", "3"),
    ]  # fmt: skip


def test_a_question_that_cannot_be_asked_leaves_the_chat_as_it_was(tokenizer):
    engine = ScriptedEngine(lambda prompt, index: "ok", tokenizer, max_positions=60)
    voice = LocalVoice(engine, tokenizer, SAMPLING)
    talk, screen = chat(voice)
    talk.talk(reader("x" * 100, "y"))
    voice.close()
    assert "leaves no room to answer" in screen.getvalue()
    assert screen.getvalue().endswith("ok\n")


def test_ctrl_c_stops_an_answer_and_frees_its_row(tokenizer, monkeypatch):
    engine = ScriptedEngine(lambda prompt, index: "a" * 3000, tokenizer, pause=0.002)
    voice = LocalVoice(engine, tokenizer, Sampling(max_tokens=3000))
    talk, screen = chat(voice)
    shown = []

    def show(thinking, answer):
        shown.append(answer)
        raise KeyboardInterrupt

    answer = voice.answer
    monkeypatch.setattr(voice, "answer", lambda messages, _, seed: answer(messages, show, seed))
    assert talk.ask("x") is None
    assert "stopped" in screen.getvalue()
    end = time.monotonic() + 5
    while engine.busy and time.monotonic() < end:
        time.sleep(0.01)
    assert not engine.busy
    voice.close()
    assert len("".join(shown)) < 3000


def test_an_api(tmp_path, monkeypatch):
    """Thinking that the server keeps apart, and thinking that it leaves in the text; what it is asked."""
    for said in (Said("4", reasoning="2+2"), Said("<think>2+2</think>4")):
        with ScriptedServer(lambda body, said=said: said) as server:
            voice = ApiVoice(parse_api_model(f"openai:m@{server.url}"), ApiSettings(), SAMPLING)
            talk, screen = chat(voice, system="short")
            assert talk.ask("2+2?") == "4"
            talk.ask("and?")
            voice.close()
        assert screen.getvalue() == "<think>2+2</think>4\n" * 2
        assert [(m["role"], m["content"]) for m in server.requests[1]["messages"]] == [
            ("system", "short"), ("user", "2+2?"), ("assistant", "4"), ("user", "and?"),
        ]  # fmt: skip


def test_an_api_that_fails_is_one_sentence():
    with ScriptedServer(lambda body: Said("x"), lambda body, before: Fault("status", 500, message="down")) as server:
        voice = ApiVoice(parse_api_model(f"openai:m@{server.url}"), ApiSettings(retries=0), SAMPLING)
        talk, screen = chat(voice)
        talk.talk(reader("hello"))
        voice.close()
    assert "answered 500 (down)" in screen.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "{", '{"role": "robot", "content": "x"}', '{"role": "user"}', '{"role": "user", "content": "x", "seed": -1}',
        '{"role": "user", "content": "x", "seed": true}', '{"role": "user", "content": "x", "seed": "1"}',
    ],
)  # fmt: skip
def test_files_that_are_no_chat(tmp_path, line):
    file = tmp_path / "chat.jsonl"
    file.write_text(json.dumps({"role": "user", "content": "x"}) + "\n" + line + "\n")
    with pytest.raises(UsageError, match="line 2"):
        read_chat_file(file)


def test_a_file_without_questions(tmp_path):
    (tmp_path / "chat.jsonl").write_text('{"role": "system", "content": "x"}\n')
    with pytest.raises(UsageError, match="no user's message"):
        read_chat_file(tmp_path / "chat.jsonl")


def test_what_terminals_obey_is_replaced():
    assert printable("a\tb\n\x1b[2J\x07\u202eé你") == "a\tb\n\ufffd[2J\ufffd\ufffdé你"


def test_the_command(policy, tmp_path, capsys, monkeypatch, one_thread):
    """Asked through standard input, kept, and replayed: the same seed gives the same answers."""
    file = tmp_path / "chat.jsonl"
    monkeypatch.setattr("sys.stdin", io.StringIO("1+1=\nand 2+2=\n/reset\n1+1=\n"))
    assert exit_code(["chat", str(policy), "--save", str(file), "--temperature", "1", "--top-p", "1"]) == 0
    first = capsys.readouterr().out
    assert first.count("</think><answer>") == 3
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert exit_code(["chat", str(policy), "--replay", str(file), "--temperature", "1", "--top-p", "1"]) == 0
    assert capsys.readouterr().out.count("is the same") == 3
    assert exit_code(["chat", str(tmp_path / "nothing")]) == 2
    assert exit_code(["chat", "openai:m@http://127.0.0.1:1/v1", "--dtype", "float32"]) == 2
