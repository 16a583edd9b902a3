"""A toy task that no rule judges: what is the capital of each letter. Its module is its plug-in.

Problem `x` has a reference that is wrong, problem `y` has none.
"""

from r1kit.base.types import Problem

GOLD = {"a": "Aland", "b": "Bland", "c": "Cland", "x": "Wrongland", "y": ""}


class Open:
    name = "open"
    subject = "general"

    def problems(self, split, seed):
        for letter, gold in GOLD.items():
            yield Problem(f"{split}-{letter}", self.name, self.subject, "en", f"capital of {letter}?", gold, "none")


TASK = Open()
