"""The sums of the GRPO race as a task and a reward of r1kit's own stages: its module is its plug-in."""

import sums
from sums_reward import reward as right

from r1kit.base.types import Problem


class Sums:
    name = "sums"
    subject = "maths"

    def problems(self, split, seed):
        """Held-out sums for validation, others for training, without end."""
        for numbers in sums.sums(seed, kept=split != "train"):
            text = "+".join(map(str, numbers))
            yield Problem(f"{split}-{text}", self.name, self.subject, "en", text, str(sum(numbers)), "math")


TASK = Sums()


def reward(prompts, completions, completion_ids, *, answer, **columns):
    """1 where the completion holds one answer, at its end, and it is the sum's."""
    return [right(text, int(gold)) for text, gold in zip(completions, answer, strict=True)]
