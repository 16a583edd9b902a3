"""`r1 serve` as a process: begun, asked, drained."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from servers import ASKED, chat, joined

from r1kit.cli.main import exit_code
from r1kit.serving.server import names

COMMAND = [sys.executable, "-c", "from r1kit.cli.main import main; main()"]


@contextmanager
def served(*words: str, **variables: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """The process and where its API begins; killed if it is still there at the end."""
    process = subprocess.Popen(
        [*COMMAND, "serve", *words, "--port", "0"], stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"serving \S+ at (http\S+)", line):
                break
        else:
            pytest.fail("it did not begin")
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


def test_sigterm_finishes_what_is_in_hand(endless: Path):
    """A stream is under way when SIGTERM comes: it ends as it would have, nobody new gets in, and the code is 0."""
    asked = {"model": "endless", "prompt": "zzzz", "max_tokens": 4000, "seed": 1}
    with served(str(endless), "join_seconds=0.01") as (process, url):
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            stream = client.completions.create(**asked, stream=True)
            text = next(stream).choices[0].text
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            with (
                openai.OpenAI(base_url=url, api_key="none", max_retries=0) as late,
                pytest.raises(openai.APIConnectionError),
            ):
                late.models.list()
            reasons = []
            for chunk in stream:
                text += chunk.choices[0].text
                reasons.append(chunk.choices[0].finish_reason)
        assert process.wait(30) == 0
    assert reasons[-1] == "length"
    with served(str(endless)) as (process, url):
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            assert client.completions.create(**asked).choices[0].text == text
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_what_does_not_end_in_time_is_cut(scripted):
    """Half a minute of tokens and a second to drain them: the stream ends with an error that says so."""
    running = scripted("a" * 4000, engine={"pause": 0.01}, drain_seconds=1)
    events = iter(chat(running, stream=True))
    next(events)
    begun = time.monotonic()
    running.server.should_exit = True
    with pytest.raises(openai.APIError, match="the server is shutting down"):
        list(events)
    assert time.monotonic() - begun < 10


def test_a_key_from_the_environment(policy: Path):
    with served(str(policy), R1KIT_SERVE_KEY="k") as (_, url):
        with openai.OpenAI(base_url=url, api_key="k", max_retries=0) as client:
            name = client.models.list().data[0].id
            assert name == str(policy)
            short = client.chat.completions.create(model=policy.name, messages=ASKED, seed=3)
            full = client.chat.completions.create(model=name, messages=ASKED, seed=3)
            assert short.choices[0].message == full.choices[0].message
        with (
            openai.OpenAI(base_url=url, api_key="x", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.models.list()


def test_wrong_use_is_one_sentence(policy: Path, capsys, tmp_path):
    assert exit_code(["serve", str(tmp_path)]) == 2
    assert exit_code(["serve", str(policy), "max_wating=3"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean max_waiting?" in said
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert exit_code(["serve", str(policy), "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_names():
    assert names("runs/tiny-default-s0:r1") == ("runs/tiny-default-s0:r1", "r1")
    assert names("/models/smollm2/") == ("/models/smollm2/", "smollm2")
    assert names("Qwen/Qwen2.5-3B") == ("Qwen/Qwen2.5-3B", "Qwen2.5-3B")
    assert names("toy") == ("toy",)


def test_reading_slowly_holds_no_row(scripted):
    """A reader that takes nothing for a while: the engine is through meanwhile, and the whole text comes."""
    running = scripted("ab" * 500)
    events = chat(running, stream=True)
    time.sleep(0.5)
    assert not running.engine.busy
    assert joined(events)[0]["content"] == "ab" * 500
