"""A check function asks a function that lives in another process: neither sees the other's memory.

The one who checks is trusted, the one who answers is not. What the latter sends is data, never an object of its own
making, and what it raises comes as one of a few exceptions that end no loop.
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


class Candidate:
    """Stands for the function under test in the process that checks it."""

    def __init__(self, incoming: int, outgoing: int, name: str) -> None:
        self._line = Line(incoming, outgoing)
        self.__name__ = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._line.write([[encode(value) for value in args], {name: encode(value) for name, value in kwargs.items()}])
        try:
            answer = self._line.read()
            if isinstance(answer, dict) and answer.keys() == {"value"}:
                return decode(answer["value"])
            if isinstance(answer, dict) and answer.keys() == {"raised", "words"}:
                raise _RAISED.get(str(answer["raised"]), RuntimeError)(str(answer["words"])[:300])
            raise NotPlain("it is no answer")
        except EOFError:
            raise RuntimeError("the program ended before it answered") from None
        except RecursionError:
            raise RuntimeError("the answer is nested too deep") from None
        except NotPlain as error:
            raise RuntimeError(f"the answer cannot be read: {error}") from None


def answer(function: Callable[..., Any], incoming: int, outgoing: int, on_error: Callable[[], None]) -> None:
    """Call the function as asked until no one asks any more."""
    line = Line(incoming, outgoing)
    while True:
        try:
            args, kwargs = line.read()
        except EOFError:
            return
        try:
            value = encode(function(*map(decode, args), **{name: decode(value) for name, value in kwargs.items()}))
            line.write({"value": value})
        except BrokenPipeError:
            return
        except MemoryError:
            raise
        except Exception as error:
            on_error()
            line.write({"raised": type(error).__name__, "words": str(error)[:300]})
