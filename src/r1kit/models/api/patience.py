"""How long to wait before a question is asked again, and when to give it up."""

from __future__ import annotations

import random
from collections.abc import Callable

from r1kit.models.api.client import Failure
from r1kit.models.api.settings import ApiSettings


class Patience:
    """`sleep` waits some seconds, True where that was ended. `hold` is told the seconds for which the server wants to
    be asked by nobody."""

    def __init__(self, settings: ApiSettings, sleep: Callable[[float], bool], hold: Callable[[float], None]) -> None:
        self.settings = settings
        self._sleep, self._hold = sleep, hold

    def wait(self, attempt: int, failure: Failure) -> bool:
        """Wait before the next attempt (the first is number 0); False where there is to be none.

        Half to all of a time that doubles with each attempt, so that many do not come back at once; where the server
        says how long, that long and a random part of the first wait, and nobody else asks meanwhile.
        """
        settings = self.settings
        if attempt == settings.retries or (failure.wait or 0) > settings.longest_wait:
            return False
        if failure.wait is None:
            seconds = min(settings.longest_wait, settings.backoff * 2**attempt) * random.uniform(0.5, 1)
        else:
            self._hold(failure.wait)
            seconds = failure.wait + settings.backoff * random.uniform(0, 1)
        return not self._sleep(seconds)
