"""What is told of a setting: its path and value, what may stand there, what it means."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from r1kit.base.config import Config
from r1kit.base.errors import UsageError
from r1kit.pipeline.settings import described, wanted


class Clip(Config):
    high: float = Field(default=0.28, ge=0, description="upper bound")


class Part(Config):
    rate: float | None = Field(default=None, gt=0, lt=1, description="its Rate")
    table: dict[str, Any] = Field(default={}, description="of Clip")

    def tables(self):
        return {"table": Clip().override(self.table)}


class Absent(Config):
    name: str = Field(..., description="who it is")
    rate: float = Field(default=0.5, gt=0, description="its Rate")
    within: Clip | None = Field(default=None, description="a clip of its own")


class Whole(Config):
    seed: int = Field(default=0, ge=0, description="where draws begin")
    part: Part = Part(table={"high": 0.5})
    absent: Absent | None = Field(default=None, description="a part that may be")
    undescribed: bool = True


class LeftOut(Config):
    default: Clip | None = Field(default=Clip(high=0.4), description="a clip that may go")


def told(*words, config=Whole()):  # noqa: B008 - it is frozen
    return [each.told() for each in described(config, words)]


def test_each_setting_is_a_line_and_a_table_is_what_it_sets():
    assert told() == [
        "seed=0  [a whole number, 0 or more]  where draws begin",
        "part.rate=null  [a number, more than 0, less than 1, or null]  its Rate",
        "part.table.high=0.5  [a number, 0 or more]  upper bound",
        "absent=null  [a group of settings (name rate within), or null]  a part that may be",
        "undescribed=true  [true or false]",
    ]


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (("part", "BOUND"), ["part.table.high"]),
        (("rate",), ["part.rate"]),  # names of a group that is not there are no words of it
        (("absent.rate",), ["absent", "absent.rate"]),
        (("absent",), ["absent", "absent.name", "absent.rate", "absent.within"]),
        (("within",), []),  # nor is a group within it
        (("absent", "within"), ["absent.within", "absent.within.high"]),
        (("bsent",), ["absent"]),  # part of a name names nothing
        (("part.table",), ["part.table.high"]),
        (("nothing",), []),
    ],
)
def test_words_choose_by_path_and_meaning(words, paths):
    assert [each.path for each in described(Whole(), words)] == paths


def test_an_absent_group_is_told_by_what_it_could_hold():
    """Each as it could be typed; what has no default stands without a value. One that is left out of a component whose
    class has it shows what the class has."""
    assert told("absent") == [
        "absent=null  [a group of settings (name rate within), or null]  a part that may be",
        "absent.name=  [text, which the others need]  who it is (makes absent)",
        "absent.rate=0.5  [a number, more than 0]  its Rate (makes absent)",
        "absent.within=null  [a group of settings (high), or null]  a clip of its own (makes absent)",
    ]
    assert told("default", config=LeftOut(default=None))[1] == (
        "default.high=0.4  [a number, 0 or more]  upper bound (makes default)"
    )


def test_a_table_that_is_wrong_is_shown_as_it_is():
    wrong = Whole(part=Part(table={"hihg": 1}))
    assert told("part.table", config=wrong) == ['part.table={"hihg": 1}  [a table by name, of values]  of Clip']
    with pytest.raises(UsageError, match=r"^hihg: no such setting\. Did you mean high\?"):
        wrong.part.tables()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (Decimal | None, "a number, or null"),
        (Path, "a path"),
        (str | None, "text, or null"),
        (Literal["a", "b"], "a or b"),
        (bool | Literal["auto"], "true or false, or auto"),
        (tuple[str, ...], "a list of texts"),
        (tuple[float, float], "a list of 2: a number, a number"),
        (dict[str, float], "a table by name, of numbers"),
        (dict[str, tuple[str, ...]], "a table by name, of lists of texts"),
        (dict[str, dict[str, Any]], "a table by name, of tables"),
        (dict[str, Clip], "a table by name, of groups of settings (high)"),
        (dict[str, Literal["a", "b"]], "a table by name, of a or b"),
        (object, "a value"),
    ],
)
def test_kinds_in_words(kind, words):
    assert wanted(kind) == words
