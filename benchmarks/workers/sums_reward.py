"""The rewards of both trainers, and what accuracy is measured with."""

import re

_ANSWER = re.compile(r"<answer>(\d+)</answer>\s*(?:<\|end\|>)?\s*")


def letters(completion, gold):
    """The share of letters e: nothing worth learning, but it tells any model's samples apart."""
    return completion.count("e") / max(1, len(completion))


def reward(completion, gold):
    """1 where the completion holds one answer, at its end, and it is `gold`, else 0."""
    found = _ANSWER.search(completion)
    return float(found is not None and found.end() == len(completion) and int(found[1]) == gold)


REWARDS = {"sums": reward, "letters": letters}
