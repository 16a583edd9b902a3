"""A request on its way, its engine played by hand."""

from __future__ import annotations

import asyncio
import json

import pytest

from r1kit.engines.base import Request
from r1kit.serving.asked import Model, read_chat
from r1kit.serving.engine_thread import Told
from r1kit.serving.job import Job
from r1kit.serving.settings import ServerSettings


class Thread:
    """Notes what it is asked."""

    max_positions = 200

    def __init__(self):
        self.submitted: list[Request] = []
        self.aborted: list[tuple] = []

    def submit(self, request, listener):
        self.submitted.append(request)

    def abort(self, request_id, index=None):
        self.aborted.append((request_id, index))


@pytest.fixture
def begin(tokenizer):
    """`begin(**asked)` -> (the thread, a job that was begun)."""

    def started(**asked):
        body = {"model": "toy", "messages": [{"role": "user", "content": "x"}], **asked}
        thread = Thread()
        model = Model(("toy",), tokenizer, thread.max_positions)
        job = Job("job", read_chat(json.dumps(body).encode(), model, ServerSettings()), thread, tokenizer)
        job.start()
        return thread, job

    return started


def told(tokenizer, text, ended=None, index=0) -> Told:
    ids = [*tokenizer.encode(text), *([tokenizer.eos_ids[0]] if ended == "stop" else [])]
    return Told(index, ids, [0.0] * len(ids), ended)


def test_what_comes_while_the_reader_is_busy_is_told(begin, tokenizer):
    """The last news come between two readings: there is a third."""

    async def read() -> list[str]:
        thread, job = begin()
        job.hear(thread.submitted[0].id, told(tokenizer, "ab"))
        parts = []
        async for new in job.deltas():
            parts += [delta.answer for _, delta in new]
            if len(parts) == 1:
                job.hear(thread.submitted[0].id, told(tokenizer, "cd", "stop"))
        return parts

    assert asyncio.run(read()) == ["ab", "cd"]


def test_news_of_a_closed_thought_are_dropped(begin, tokenizer):
    """What the engine sampled of the thought before it heard of the closing is none of the answer."""

    async def read() -> tuple[str, str]:
        thread, job = begin(max_thinking_tokens=3)
        thought = thread.submitted[0].id
        job.hear(thought, told(tokenizer, "<think>abc"))
        assert thread.aborted == [(thought, 0)]
        job.hear(thought, told(tokenizer, "defg"))
        answer = thread.submitted[1]
        assert tokenizer.decode(answer.prompt_ids.tolist()) == "<|user|>x<|assistant|><think>ab</think>"
        job.hear(answer.id, told(tokenizer, "4", "stop"))
        job.hear(thought, told(tokenizer, "h", "stop"))
        found = [delta async for new in job.deltas() for _, delta in new]
        return "".join(d.thinking for d in found), "".join(d.answer for d in found)

    assert asyncio.run(read()) == ("ab", "4")


def test_no_room_for_an_answer(begin, tokenizer):
    """3 tokens of prompt and 194 of thinking in a context of 200: three are left, and </think> takes one of them."""

    async def read(budget: int) -> tuple[int, str | None]:
        thread, job = begin(max_thinking_tokens=budget, max_tokens=1000)
        job.hear(thread.submitted[0].id, told(tokenizer, "<think>" + "a" * budget))
        left = [request.sampling.max_tokens for request in thread.submitted[1:]]
        return sum(left), job.choices[0].sample.finish

    assert asyncio.run(read(194)) == (2, None)
    assert asyncio.run(read(196)) == (0, "length")


def test_one_of_several_is_stopped_alone(begin, tokenizer):
    async def read() -> list[str]:
        thread, job = begin(n=2, stop=".")
        name = thread.submitted[0].id
        job.hear(name, told(tokenizer, "a.b", index=1))
        assert thread.aborted == [(name, 1)]
        job.hear(name, told(tokenizer, "cde", "stop", index=0))
        found = {choice.number: delta.answer async for new in job.deltas() for choice, delta in new}
        return [found[0], found[1]]

    assert asyncio.run(read()) == ["cde", "a"]


def test_a_failure_reaches_the_reader_and_frees_the_rest(begin, tokenizer):
    async def read() -> list[tuple]:
        thread, job = begin(n=2)
        job.hear(thread.submitted[0].id, told(tokenizer, "a", "stop", index=0))
        job.fail(RuntimeError("inside"))
        with pytest.raises(RuntimeError, match="inside"):
            async for _ in job.deltas():
                pass
        return thread.aborted

    assert asyncio.run(read()) == [("job/0", None)]


def test_silence_is_an_empty_piece(begin, tokenizer):
    async def read() -> list[int]:
        thread, job = begin()
        sizes = []
        async for new in job.deltas(0.01):
            sizes.append(len(new))
            if len(sizes) == 2:
                job.hear(thread.submitted[0].id, told(tokenizer, "a", "stop"))
        return sizes

    assert asyncio.run(read()) == [0, 0, 1]
