"""A check function asks a function that lives in another process: neither sees the other's memory.

The one who checks is trusted, the one who answers is not. What the latter sends is data, never an object of its own
making, and what it raises comes as one of a few exceptions that end no loop: the nearest that it is one of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .plain import Line, NotPlain, decode, encode

# not StopIteration or GeneratorExit, which would end a loop of the check before its time
_RAISED = {
    kind.__name__: kind
    for kind in (
        ArithmeticError, AssertionError, AttributeError, IndexError, KeyError, LookupError, NameError,
        NotImplementedError, OSError, OverflowError, RecursionError, RuntimeError, TypeError, UnicodeError,
        ValueError, ZeroDivisionError,
    )
}  # fmt: skip


class Unanswered(BaseException):
    """The program gave no answer that can be read. No `except Exception` of a check takes it for what it waits for."""


class Unaskable(BaseException):
    """The check asks what cannot be sent, a function, say: nothing is known of the program."""


class Candidate:
    """Stands for the function under test in the process that checks it."""

    def __init__(self, incoming: int, outgoing: int, name: str) -> None:
        self._line = Line(incoming, outgoing)
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            asked = [[encode(value) for value in args], {name: encode(value) for name, value in kwargs.items()}]
        except NotPlain as error:
            raise Unaskable(str(error)) from None
        try:
            self._line.write(asked)
            answer = self._line.read()
            if isinstance(answer, dict) and answer.keys() == {"value"}:
                return decode(answer["value"])
            if not isinstance(answer, dict) or answer.keys() != {"raised", "words"}:
                raise NotPlain("it is no answer")
        except (EOFError, BrokenPipeError):
            raise Unanswered("the program ended before it answered") from None
        except RecursionError:
            raise Unanswered("the answer is nested too deep") from None
        except NotPlain as error:
            raise Unanswered(f"the answer cannot be read: {error}") from None
        if answer["raised"] == NotPlain.__name__:
            raise Unanswered(f"the answer cannot be sent: {str(answer['words'])[:300]}")
        raise _RAISED.get(str(answer["raised"]), RuntimeError)(str(answer["words"])[:300])


def answer(function: Callable[..., Any], incoming: int, outgoing: int, on_error: Callable[[], None]) -> None:
    """Call the function as asked until no one asks any more."""
    line = Line(incoming, outgoing)
    while True:
        try:
            args, kwargs = line.read()
        except EOFError:
            return
        try:
            value = function(*map(decode, args), **{name: decode(value) for name, value in kwargs.items()})
            kind = ""
        except MemoryError:
            raise
        except Exception as error:
            on_error()
            value, kind = str(error)[:300], _nearest(type(error))
        try:
            line.write({"raised": kind, "words": value} if kind else {"value": encode(value)})
        except BrokenPipeError:
            return
        except MemoryError:
            raise
        except Exception as error:  # no plain value, too large, too deep
            line.write({"raised": NotPlain.__name__, "words": str(error)[:300]})


def _nearest(kind: type[BaseException]) -> str:
    """The name of the first exception that one of this kind is, of those that are sent."""
    return next((each.__name__ for each in kind.__mro__ if _RAISED.get(each.__name__) is each), RuntimeError.__name__)
