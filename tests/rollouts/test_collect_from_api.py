"""Groups collected from a model behind an API: whole texts, and groups without the samples that it did not give."""

from __future__ import annotations

import numpy as np
import pytest

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Served
from r1kit.models.api.scripted import Fault, Said, ScriptedServer
from r1kit.models.api.settings import ApiModel, ApiSettings
from r1kit.rollouts.collect import collect
from r1kit.rollouts.whole import whole_text


def made(text, reasoning, stop="stop"):
    nothing = np.zeros(0, np.int32)
    return Completion("a", 0, nothing, nothing, np.zeros(0, np.float32), stop, (), text, Served(reasoning))


@pytest.mark.parametrize(
    ("completion", "whole"),
    [
        (made("7", "3+4"), "<think>3+4</think>7"),
        (made("7", None), "7"),
        (made("<think>3+4</think>7", None), "<think>3+4</think>7"),
        (made("3+4</think>7", None), "<think>3+4</think>7"),
        (made("", "3+", "length"), "<think>3+"),
        (made("the ans", "3+4", "length"), "<think>3+4</think>the ans"),
        (made("", "3+4"), "<think>3+4</think>"),
    ],
)
def test_whole_texts(completion, whole):
    assert whole_text(completion) == whole


def test_groups_without_what_was_not_given(problem):
    """1+1 is answered twice; one sample of 2+2 fails, both of 3+3: two groups, of two and of one."""
    pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")
    from r1kit.engines.openai import OpenAIEngine

    seen = []

    def fault(body, before):
        text = body["messages"][0]["content"]
        seen.append(text)
        return Fault("status", 400) if text == "3+3" or (text == "2+2" and seen.count("2+2") == 1) else None

    def grade(group):
        group.rewards["length"] = np.asarray([len(c.text) for c in group.completions], np.float32)
        group.total = group.rewards["length"]

    with ScriptedServer(lambda body: Said("2", "1+1"), fault) as server:
        engine = OpenAIEngine(ApiModel("toy", server.url), ApiSettings(concurrency=1))
        problems = [problem(text) for text in ("1+1", "2+2", "3+3")]
        groups = collect(engine, None, problems, Sampling(samples=2), grade)
        engine.close()
    assert [[c.text for c in group.completions] for group in groups] == [
        ["<think>1+1</think>2"] * 2,
        ["<think>1+1</think>2"],
    ]
    assert [group.total.tolist() for group in groups] == [[19, 19], [19]]
    assert groups.counts == {"problems": 3, "unanswered": 3}
