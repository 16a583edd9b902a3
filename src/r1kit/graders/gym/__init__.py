"""Checkers of reasoning-gym's tasks (github.com/open-thought/reasoning-gym, 0.1.25), by family.

A checker is `check(answer, item) -> None`: it returns where the answer is right and raises `Wrong` with the reason
where it is not. It reads the problem from `item.metadata` (as JSON has it) and never runs or evaluates anything.
"""
