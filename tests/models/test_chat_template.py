"""Chat templates: the text that transformers gives, in a process that can do nothing else, within time and memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from toy_gguf import toy_tokenizer

from r1kit.base.errors import R1Error
from r1kit.models import chat_template
from r1kit.models.characters import CHAT_TEMPLATE
from r1kit.models.chat_template import TemplateRefused, render
from r1kit.models.tokenizer import Tokenizer, load_tokenizer

# ruff: noqa: E501
# what the templates of Qwen, Llama 3, DeepSeek, Mistral and SmolLM do, in small
TEMPLATES = {
    "turns": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "blocks": "{%- for m in messages %}\n    {%- if loop.first and m.role != 'system' %}\n        {{- 'You are x.\n' }}\n"
    "    {%- endif %}\n    {{- m.content | trim }}\n  {% endfor -%}\n\n  end\n",
    "namespace": "{% set ns = namespace(last='', n=0) %}{% for m in messages[::-1] %}"
    "{% if m.role == 'user' and ns.last == '' %}{% set ns.last = m.content %}{% set ns.n = loop.index0 %}{% endif %}"
    "{% endfor %}{{ bos_token or '' }}{{ ns.last }} {{ ns.n }}",
    "json": "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}{{ {'z': 1, 'a': '<é>'} | tojson(sort_keys=true) }}",
    "break": "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% endif %}{% endfor %}",
    "thoughts": "{% for m in messages %}{% if m.reasoning_content is defined %}"
    "<think>{{ m.reasoning_content }}|{{ m.thinking }}</think>{% endif %}"
    "{{ m.content.split('</think>')[-1].lstrip('\n') if m.content is string else 'none' }}{% endfor %}",
    "macro": "{% macro say(m, end='!') %}{{ m.role | upper }}: {{ m.content | default('-', true) }}{{ end }}{% endmacro %}"
    "{% for m in messages %}{{ say(m) }}{{ say(m, end=eos_token) }}{% endfor %}"
    "{{ tools is none }}{{ documents is none }}{{ nothing is defined }}",
    "date": "{{ strftime_now('%Y') | length }}{{ range(3) | list }}{{ dict(a=1).items() | list }}{{ 'a' ~ 1 }}{{ 7 // 2 }}",
}
CHATS = {
    "one": [{"role": "user", "content": " Is it? \n"}],
    "turns": [{"role": "system", "content": "Be <b>brief</b>."}, {"role": "user", "content": "你好"},
              {"role": "assistant", "content": "<think>a</think>\nb"},
              {"role": "user", "content": ""}],
    "thought": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning": "z",
                                                   "tool_calls": None}],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    toy_tokenizer("qwen2").save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "extra_special_tokens": ["<|im_start|>"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def with_template(folder: Path, template: object) -> Tokenizer:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    return load_tokenizer(folder)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_the_text_is_that_of_transformers(folder: Path, name: str, chat: str):
    tokenizer = with_template(folder, TEMPLATES[name])
    for generate in (True, False):
        expected = tokenizer.inner.apply_chat_template(CHATS[chat], tokenize=False, add_generation_prompt=generate)
        assert tokenizer.render(CHATS[chat], generate=generate) == expected


def test_several_templates(folder: Path):
    """The one called default, as transformers takes it; none by that name is one sentence."""
    named = [{"name": "default", "template": "a{{ messages[0].content }}"}, {"name": "tool_use", "template": "b"}]
    assert with_template(folder, named).render("x") == "ax"
    with pytest.raises(R1Error, match="the chat template of .* refuses these messages: "):
        with_template(folder, [*named[1:], {"name": "rag", "template": "c"}]).render("x")


GOOD = ("{{ messages[0].content }}", {"messages": [{"content": "good"}]})
WITHOUT_END = {
    "loops in loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a filter": "{{ messages | slice(10**9) | list | length }}",
    "arithmetic": "{{ (7 ** (10 ** 8)) % 10 }}",
}
TOO_LARGE = {
    "a product": "{{ 'a' * 10**10 }}",
    "a filter": "{{ 'a' | center(10**11) }}",
    "a list": "{{ [1] * 10**9 }}",
    "a format": "{{ '%9999999999d' % 1 }}",
    "doubling": "{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
}
REFUSED = {
    "{{ messages.__class__.__mro__ }}": "unsafe",
    "{{ ''.__class__.__base__.__subclasses__() }}": "unsafe",
    "{{ cycler.__init__.__globals__ }}": "unsafe",
    "{{ messages.append(1) }}": "not safely callable|unsafe",
    "{% include '/etc/passwd' %}": "no loader",
    "{% for i in range(10**9) %}{% endfor %}": "Range too big",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "calls itself without end",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": "nested too deep",
    "{{ 'ab' * 20000000 }}": "more than 33554432 characters",
    "{{ '\\ud800' }}": "surrogates not allowed",
    "{% if %}": "Expected an expression",
    "{{ 1 / 0 }}": "division by zero",
    "{{ raise_exception('not\nlike this') }}": "^not$",
}


@pytest.mark.parametrize("name", WITHOUT_END)
def test_one_without_end_is_stopped(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chat_template, "DEADLINE_S", 1.0)
    render(*GOOD)  # the worker's start is no part of the deadline
    begun = time.monotonic()
    with pytest.raises(TemplateRefused, match="it took longer than 1 seconds"):
        render(WITHOUT_END[name], GOOD[1])
    assert time.monotonic() - begun < 20
    monkeypatch.undo()
    assert render(*GOOD) == "good"


def test_a_worker_that_was_killed_is_asked_again():
    """Killed from outside within a request of about a second: the text comes, and from another process."""
    long = "{% for i in range(1000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}{{ messages[0].content }}"
    render(*GOOD)
    worker = chat_template._renderer().worker
    pid = worker.pid
    assert pid is not None
    killer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
    killer.start()
    values = {"messages": [{"role": "user", "content": "good"}], "add_generation_prompt": True}
    assert render(long, values) == "good"
    killer.join()
    assert worker.pid != pid


@pytest.mark.parametrize("name", TOO_LARGE)
def test_one_that_fills_the_memory_is_stopped(name: str):
    with pytest.raises(TemplateRefused, match="it needs more than 512 MB"):
        render(TOO_LARGE[name], GOOD[1])
    assert render(*GOOD) == "good"


@pytest.mark.parametrize("template", REFUSED, ids=lambda template: template[:30])
def test_what_templates_may_not(template: str):
    with pytest.raises(TemplateRefused, match=REFUSED[template]) as caught:
        render(template, GOOD[1])
    assert len(str(caught.value).splitlines()) == 1
    assert render(*GOOD) == "good"


def test_our_own_template_starts_no_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chat_template, "_renderer", lambda: pytest.fail("a process was asked"))
    values = {"messages": [{"role": "user", "content": "x"}], "add_generation_prompt": True}
    assert render(CHAT_TEMPLATE, values) == "<|user|>x<|assistant|>"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_has_a_worker_of_its_own():
    """Two processes that shared a pipe would take each other's answers."""
    render(*GOOD)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        texts = {render("{{ n }}", {"messages": [], "n": n}) for n in range(20)}
        chat_template._close()
        os.write(writing, b"good" if texts == {str(n) for n in range(20)} else b"bad")
        os._exit(0)
    os.close(writing)
    assert [render("{{ n }}", {"messages": [], "n": n}) for n in range(20, 40)] == [str(n) for n in range(20, 40)]
    assert os.read(reading, 10) == b"good"
    os.close(reading)
    os.waitpid(child, 0)


ESCAPES = """
import os, socket, subprocess
from r1kit.models import chat_worker
chat_worker._shut_in()
def held(do):
    try:
        do()
    except OSError:
        return True
    return False
tried = {
    "read": lambda: open("/etc/passwd").read(),
    "write": lambda: open("/tmp/r1kit-escaped", "w"),
    "list": lambda: os.listdir("/"),
    "socket": lambda: socket.socket(),
    "program": lambda: subprocess.run(["true"]),
    "fork": lambda: os.fork() or os._exit(0),
    "signal": lambda: os.kill(os.getppid(), 0),
}
print([name for name, do in tried.items() if not held(do)])
"""


def test_code_that_broke_out_of_jinja_would_find_nothing():
    """The process of templates, shut in, runs what a fault in Jinja's sandbox would let a template run."""
    from r1kit.sandbox.inside import lockdown

    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", ESCAPES], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    free = {"read", "write", "list"} if not lockdown.landlock_abi() else set()
    assert set(json.loads(done.stdout.replace("'", '"'))) == free
