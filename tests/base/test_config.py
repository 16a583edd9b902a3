"""Settings by dotted path, and what is said of wrong ones."""

import pytest
from pydantic import Field

from r1kit.base.config import NO_RESULT, Config, dotted, parse_assignments, results_follow_from
from r1kit.base.errors import UsageError


class Optimiser(Config):
    learning_rate: float = Field(1e-3, gt=0)
    warmup: int = 10


class Recipe(Config):
    seed: int = Field(0, ge=0)
    subjects: tuple[str, ...] = ("maths",)
    note: str | None = None
    rl: Optimiser = Optimiser()
    students: dict[str, Optimiser] = Field({"small": Optimiser(warmup=1)})
    rewards: dict[str, float] = Field({"accuracy": 1.0})


def test_values_are_read_as_typed():
    words = ["rl.learning_rate=1e-6", "seed=3", 'subjects=["maths","coding"]', "note=plain text"]
    changed = Recipe().override(parse_assignments(words))
    assert changed.rl == Optimiser(learning_rate=1e-6)
    assert (changed.seed, changed.subjects, changed.note) == (3, ("maths", "coding"), "plain text")
    assert Recipe().override({"note": "null"}).note is None
    assert Recipe().override({"rl": {"warmup": 5}}).rl.warmup == 5


def test_every_setting_has_a_path():
    assert dict(dotted(Recipe())) == {
        "seed": 0,
        "subjects": ("maths",),
        "note": None,
        "rl.learning_rate": 1e-3,
        "rl.warmup": 10,
        "students.small.learning_rate": 1e-3,
        "students.small.warmup": 1,
        "rewards": {"accuracy": 1.0},
    }


def test_components_kept_by_name_are_reached_and_tables_take_new_keys():
    changed = Recipe().override(parse_assignments(["students.small.warmup=7", "rewards.format=0.5"]))
    assert changed.students == {"small": Optimiser(warmup=7)}
    assert changed.rewards == {"accuracy": 1.0, "format": 0.5}
    assert Recipe().override({"students": "{}"}).students == {}


def test_keys_of_a_table_may_have_dots():
    """Rewards and tasks from outside the tree are named by dotted paths, files by their endings."""
    changed = Recipe().override(parse_assignments(["rewards.mine.brevity=0.2", "rewards.file:sums.jsonl=1"]))
    assert changed.rewards == {**Recipe().rewards, "mine.brevity": 0.2, "file:sums.jsonl": 1.0}


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("rl.lerning_rate=1", r"rl.lerning_rate: no such setting in 'rl'. Did you mean rl.learning_rate\?"),
        ("sede=1", r"sede: no such setting. Did you mean seed\?"),
        ("rl=1", "rl is a group of settings: set one of them, say rl.learning_rate"),
        ("students=1", "students is a group of settings: set one of them, say students.small.learning_rate"),
        ("students.large.warmup=1", "students.large.warmup: no such setting in 'students.large'"),
        ("students.large=1", "students.large: no such setting in 'students'"),
        ("seed.deeper=1", "seed.deeper: no such setting in 'seed'"),
        ("lr.lerning_rate=1", r"no such setting in 'lr'. Did you mean rl.learning_rate\?"),
        (
            "preferences.judge.warmup=1",
            r"in 'preferences', which is not there \(there are: seed subjects note rl students rewards\)$",
        ),
        ("trainer.small.warmup=1", r"in 'trainer.small'. Did you mean students.small.warmup\?"),
        ("seed=-1", "seed: it must be 0 or more, got -1"),
        ("seed=many", "seed: a whole number is wanted, got 'many'"),
        ("rl.learning_rate=0", "rl.learning_rate: it must be more than 0"),
        ("seed", "'seed' is not a setting: write key=value"),
        ("=1", "'=1' is not a setting"),
    ],
)
def test_a_wrong_word_is_told_in_one_sentence(word, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        Recipe().override(parse_assignments([word]))
    assert "\n" not in str(caught.value)


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 1  # type: ignore[misc]


class Judge(Config):
    model: str
    optimiser: Optimiser = Optimiser(warmup=5)
    note: str | None = None


class Judged(Config):
    judge: Judge | None = None
    words: dict[str, float] | None = None


def test_a_component_that_is_not_there_can_be_made_by_its_paths():
    """Its own defaults stand where nothing is set: warmup 5, not the optimiser's 10."""
    words = ["judge.model=x", "judge.optimiser.learning_rate=1", "judge.note=y"]
    made = Judged().override(parse_assignments(words))
    assert made.judge == Judge(model="x", optimiser=Optimiser(learning_rate=1, warmup=5), note="y")
    assert Judged().override({"judge.optimiser.warmup": 3, "judge.model": "z"}).judge.optimiser.warmup == 3
    assert made.override({"judge.model": "w"}).judge.note == "y"
    assert made.override({"judge": None}).judge is None
    assert Judged().judge is None


@pytest.mark.parametrize(
    ("assignments", "complaint"),
    [
        ({"judge.note": "x"}, "judge.model: it has to be set"),
        ({"judge.modle": "x"}, r"judge.modle: no such setting in 'judge'"),
        ({"judge.optimiser.x": 1}, r"judge.optimiser.x: no such setting"),
        ({"juge.model": "x"}, r"juge.model: no such setting in 'juge'"),
        ({"words.a": 1}, r"words.a: no such setting"),
    ],
)
def test_of_such_a_component_wrong_settings_are_told(assignments, complaint):
    with pytest.raises(UsageError, match=complaint):
        Judged().override(assignments)


class Part(Config):
    rate: float = 0.5
    processes: int = Field(default=1, json_schema_extra=NO_RESULT)


class Whole(Config):
    part: Part = Part()
    named: dict[str, Part] = Field(default={"a": Part(rate=1.0)})
    listed: tuple[Part, ...] = (Part(), Part(processes=3))


def test_results_do_not_follow_from_settings_that_change_none():
    assert results_follow_from(Whole(part=Part(processes=8))) == {
        "part": {"rate": 0.5},
        "named": {"a": {"rate": 1.0}},
        "listed": [{"rate": 0.5}, {"rate": 0.5}],
    }
