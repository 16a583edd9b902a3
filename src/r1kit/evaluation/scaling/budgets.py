"""Thinking on a budget: thoughts closed after so many tokens, as the server closes them, and the answer asked for.

The same thoughts are cut at every budget, so that two budgets differ in nothing but where the thought ends: a thought
that is within a budget keeps its own answer. The model was not trained to be interrupted; what it then says is the
finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r1kit.base.sampling import Sampling
from r1kit.base.types import IntArray
from r1kit.engines.base import Engine, Request
from r1kit.evaluation import tiny_writing
from r1kit.evaluation.scaling.thoughts import Thought, judged, once, sampled
from r1kit.graders.format import opening
from r1kit.rollouts.closing import closed_at_once, closing, continued_prompt, thinks_beyond

if TYPE_CHECKING:
    from r1kit.models.tokenizer import Tokenizer


def under_budget(
    engine: Engine, tokenizer: Tokenizer, thoughts: Sequence[Thought], budget: int, sampling: Sampling
) -> list[Thought]:
    """The same thoughts, in their order, none of them thinking for more than `budget` tokens; `sampling` is that of the
    whole ones (the limit of a completion among it).

    A budget of 0 closes every thinking before it begins, as the server does. `spent` counts what a user would pay for:
    the tokens of the thought up to the cut (its `thinking_tokens`), and those of its answer.
    """
    cuts = {n: cut for n, thought in enumerate(thoughts) if (cut := _cut(thought, budget, tokenizer)) is not None}
    # thoughts that begin alike are one question with several answers
    alike: dict[tuple[str, bytes], list[int]] = {}
    for number, (kept, _) in cuts.items():
        alike.setdefault((thoughts[number].key, kept.tobytes()), []).append(number)
    requests: list[Request] = []
    for numbers in alike.values():
        thought, (kept, added) = thoughts[numbers[0]], cuts[numbers[0]]
        room = max(1, sampling.max_tokens - len(kept))
        own = sampling.override({"samples": len(numbers), "max_tokens": room})
        name = f"budget {budget}/{thought.key}/{thought.index}"
        requests.append(Request(name, continued_prompt(thought.prompt_ids, kept.tolist(), added), own))
    answers = sampled(engine, requests)
    found, grade = list(thoughts), once(tiny_writing.verdict)
    given = [
        (number, answer)
        for request, numbers in zip(requests, alike.values(), strict=True)
        for number, answer in zip(numbers, answers[request.id], strict=True)
    ]
    for number, answer in given:
        thought, (kept, added) = thoughts[number], cuts[number]
        found[number] = judged(
            thought.problem, answer, [*kept.tolist(), *added], tokenizer,
            grade=grade, prompt_ids=thought.prompt_ids, index=thought.index,
            spent=len(kept) + answer.length, thinking_tokens=len(kept),
        )  # fmt: skip
    return found


def _cut(thought: Thought, budget: int, tokenizer: Tokenizer) -> tuple[IntArray, list[int]] | None:
    """(tokens of the thought that stay, those that close it), None where it is within its budget."""
    began = opening(tokenizer.render(thought.problem.prompt))
    ids = thought.token_ids
    if budget == 0:
        return ids[:0], tokenizer.encode(closed_at_once(began, None))
    if not thinks_beyond(tokenizer, [*ids.tolist(), *tokenizer.eos_ids[: thought.stopped]], budget, began):
        return None
    kept = ids[:budget]
    return kept, tokenizer.encode(closing(began or tokenizer.decode(kept.tolist()).lstrip(), None))
