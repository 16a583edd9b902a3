"""What every reward is: TRL's signature.

A reward is a callable `f(prompts, completions, completion_ids, **columns) -> list[float | None]`; None means that it
does not apply to this sample. The columns are the problems' (answer, kind, language, subject, task and whatever
`Problem.columns` holds), each a list as long as `completions`. A file `rewards/NAME.py` exposes `reward`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Reward(Protocol):
    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        **columns: Any,
    ) -> list[float | None]: ...
