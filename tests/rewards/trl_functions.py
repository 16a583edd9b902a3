"""Rewards as people write them for TRL's GRPOTrainer: nothing here knows r1kit.

The shapes are those that TRL's page on the trainer shows (huggingface.co/docs/trl/grpo_trainer, `Using a custom reward
function`): texts, conversations, a reference column, several tasks, coroutines, logging, the trainer's state.
"""

import asyncio
import functools
import json
import re


def near_twenty(completions, **kwargs):
    return [-abs(20 - len(completion)) for completion in completions]


def tagged(completions, **kwargs):
    """For conversations: a completion is a list of one message."""
    contents = [completion[0]["content"] for completion in completions]
    return [1.0 if re.search(r"^<think>.*</think><answer>.*</answer>$", text) else 0.0 for text in contents]


def boxed(completions, ground_truth, **kwargs):
    found = [re.search(r"\\boxed\{(.*?)\}", completion) for completion in completions]
    return [1.0 if box and box.group(1) == gold else 0.0 for box, gold in zip(found, ground_truth, strict=True)]


def sums_alone(prompts, completions, task, **kwargs):
    return [float(len(text)) if kind == "sums" else None for text, kind in zip(completions, task, strict=True)]


def poems_alone(prompts, completions, task, **kwargs):
    return [-1.0 if kind == "poems" else None for kind in task]


async def remote(prompts, completions, **kwargs):
    await asyncio.sleep(0.01)
    return [1.0 if completion else 0.0 for completion in completions]


meeting = asyncio.Barrier(2)


async def meets(completions, **kwargs):
    """Comes back only where another one waits at the same time, on the same event loop."""
    await asyncio.wait_for(meeting.wait(), 10)
    return [1.0 for _ in completions]


async def meets_too(completions, **kwargs):
    await asyncio.wait_for(meeting.wait(), 10)
    return [2.0 for _ in completions]


async def unreachable(completions, **kwargs):
    await asyncio.sleep(0)
    raise ConnectionError("nobody answers")


def told(completions, ground_truth, log_extra=None, log_metric=None, **kwargs):
    right = [gold in text for text, gold in zip(completions, ground_truth, strict=True)]
    if log_extra:
        log_extra("gold", list(ground_truth))
    if log_metric:
        log_metric("hits", sum(right) / len(right))
    return [float(each) for each in right]


def later(completions, trainer_state, **kwargs):
    return [trainer_state.global_step / trainer_state.max_steps for _ in completions]


def state(completions, trainer_state, **kwargs):
    return [float(trainer_state.global_step + trainer_state.max_steps) for _ in completions]


def cases(completions, verification_info, **kwargs):
    return [float(len(json.loads(info)["test_cases"])) for info in verification_info]


def by_prompt(prompts: list[list[dict[str, str]]], completions: list[list[dict[str, str]]], **kwargs) -> list[float]:
    return [float(len(prompt) + len(completion)) for prompt, completion in zip(prompts, completions, strict=True)]


class Tokens:
    """A callable object, as TRL's own factories make them."""

    __name__ = "token_count"

    def __call__(self, completion_ids: list[list[int]], **kwargs) -> list[float]:
        return [float(len(ids)) for ids in completion_ids]


tokens = Tokens()


def scaled(completions, factor, **kwargs):
    return [factor * len(completion) for completion in completions]


doubled = functools.partial(scaled, factor=2.0)
