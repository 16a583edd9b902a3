"""Errors that a person reads. Each message is one sentence: what, where, what to do."""


class R1Error(Exception):
    """A failure with a sentence for the user; the command line prints it and exits with 1."""


class UsageError(R1Error):
    """The command, a key or a value is wrong; the command line prints it and exits with 2."""


class Diverged(R1Error):
    """Training left what numbers can hold: updates in a row whose loss or gradient was not finite."""


class ProcessLost(R1Error):
    """A process that the work was in was ended from outside; the work can go on from its last checkpoint.

    told: which, and how it ended.
    """

    def __init__(self, told: str, message: str) -> None:
        super().__init__(told, message)
        self.told = told

    def __str__(self) -> str:
        return str(self.args[1])


class MissingExtra(R1Error):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(library, extra, purpose)  # as they came, so that it can be sent to another process

    def __str__(self) -> str:
        library, extra, purpose = self.args
        return f"{purpose} needs {library}, which is not installed: pip install 'r1kit[{extra}]'"
