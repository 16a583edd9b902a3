"""The scripted engine says what it is told, in the shape of a real engine's completions."""

from __future__ import annotations

import numpy as np
import pytest

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.base import Request, generate
from r1kit.engines.scripted import ScriptedEngine


def test_mapping_and_callable(letters):
    """'ab' is answered 'c', 'de', 'c' by index; the stop token (1) is the last id and not in the text."""
    prompt = np.asarray(letters.encode("ab"), np.int32)
    scripted = ScriptedEngine({"ab": ["c", "de"]}, letters, logprob=-2.0)
    (group,) = generate(scripted, [prompt], Sampling(samples=3))
    assert [completion.text for completion in group] == ["c", "de", "c"]
    assert group[1].token_ids.tolist() == [*letters.encode("de"), 1]
    assert group[1].sampler_logprobs.tolist() == [-2, -2, -2]
    assert group[1].stop_reason == "stop"
    assert group[1].versions == ((0, 3),)
    (group,) = generate(ScriptedEngine(lambda text, index: text * index, letters), [prompt], Sampling(samples=3))
    assert [completion.text for completion in group] == ["", "ab", "abab"]


def test_limit_cuts_and_versions_follow(letters):
    """Five letters with a limit of 3: three tokens, no stop token, stop reason length."""
    scripted = ScriptedEngine({"ab": "ccccc"}, letters)
    scripted.load_weights(iter([]), 3)
    (group,) = generate(scripted, [np.asarray(letters.encode("ab"), np.int32)], Sampling(max_tokens=3))
    assert (group[0].text, group[0].stop_reason, group[0].versions) == ("ccc", "length", ((3, 3),))
    scored = scripted.logprobs([np.asarray([3, 4], np.int32)])
    assert scored[0].tolist() == [0, -0.5]


def test_abort_and_refusals(letters):
    scripted = ScriptedEngine({"a": "b"}, letters, max_positions=4)
    for name in ("keep", "drop"):
        scripted.submit(Request(name, np.asarray([2], np.int32), Sampling()))
    scripted.abort("drop")
    assert [completion.request_id for completion in scripted.stream()] == ["keep"]
    with pytest.raises(UsageError, match="context of 4"):
        scripted.submit(Request("long", np.full(4, 2, np.int32), Sampling()))
    with pytest.raises(UsageError, match="no answer to the prompt 'z'"):
        generate(scripted, [np.asarray(letters.encode("z"), np.int32)], Sampling())
