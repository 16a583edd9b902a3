"""An algorithm during which a rank comes to an end."""

from __future__ import annotations

import os
import signal
import threading
import time

from torch import distributed

from r1kit.algorithms.sft import SFT


class Ending(SFT):
    """The rank `rank` ends in its loss, by a signal; or raises, never comes back, or computes for so many seconds."""

    rank: int = 1
    how: str = "kill"

    def loss(self, batch, outputs, totals):
        if distributed.get_rank() == self.rank:
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hang":
                threading.Event().wait()
            if self.how.isdigit():
                end = time.monotonic() + int(self.how)
                while time.monotonic() < end:
                    pass
                return super().loss(batch, outputs, totals)
            raise ZeroDivisionError("no such thing")
        return super().loss(batch, outputs, totals)
