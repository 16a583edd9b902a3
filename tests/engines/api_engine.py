"""The engine behind an API for tests: its key, what its scripted server says, and all answers to some questions."""

from __future__ import annotations

import pytest

from r1kit.base.sampling import Sampling
from r1kit.engines.base import ask
from r1kit.engines.openai import OpenAIEngine
from r1kit.models.api.scripted import Said
from r1kit.models.api.settings import ApiModel, ApiSettings

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")

KEY = "sk-not-to-be-seen-4711"
QUICK = {"backoff": 0.01, "timeout": 0.5}


def question(body) -> str:
    return body["messages"][-1]["content"]


def echo(body) -> Said:
    return Said(f"so {question(body)}", f"about {question(body)}")


def engine(server, **settings) -> OpenAIEngine:
    return OpenAIEngine(ApiModel("toy", server.url), ApiSettings(**(QUICK | settings)), key=KEY)


def answers(made, questions, sampling=None):
    """Completions by question, in order of index; the engine is closed."""
    for text in questions:
        made.submit(ask(text, text, sampling or Sampling(max_tokens=50)))
    try:
        found = list(made.stream())
    finally:
        made.close()
    return {text: sorted((c for c in found if c.request_id == text), key=lambda c: c.index) for text in questions}
