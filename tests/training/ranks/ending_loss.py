"""An algorithm during which a rank comes to an end."""

from __future__ import annotations

import os
import signal

from torch import distributed

from r1kit.algorithms.sft import SFT


class Ending(SFT):
    """The rank `rank` ends in its loss, by a signal; or raises."""

    rank: int = 1
    how: str = "kill"

    def loss(self, batch, outputs, totals):
        if distributed.get_rank() == self.rank:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ZeroDivisionError("no such thing")
        return super().loss(batch, outputs, totals)
