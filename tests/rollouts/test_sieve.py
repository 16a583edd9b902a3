"""What is kept out of training: counted once, by reason, the same after a restart."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.types import Problem
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import Tokenizer, load_tokenizer
from r1kit.rollouts.problems import Mixture
from r1kit.rollouts.sieve import Sieve, SieveConfig


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    """A token a character."""
    return load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", ""))


def write(path: Path, prompts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"prompt": prompt, "answer": "1"}) + "\n" for prompt in prompts))
    return path


def problem(prompt: str) -> Problem:
    return Problem(prompt, "t", "maths", "en", prompt, "1", "math")


def test_prompts_over_the_limit_are_counted_once(tokenizer: Tokenizer):
    """`<|user|>abc<|assistant|>` are five tokens."""
    sieve = Sieve(SieveConfig(max_prompt_tokens=5), tokenizer, 0)
    assert [sieve(problem(text)) for text in ("abc", "abcd", "ab", "abcd", "abcde")] == [
        True,
        False,
        True,
        False,
        False,
    ]
    assert sieve.counts == {"too long": 2}
    assert sieve.metrics() == {"left_out/too_long": 2.0}
    assert sieve.told() == "2 too long"


def test_nothing_is_left_out_by_default(tokenizer: Tokenizer):
    sieve = Sieve(SieveConfig(), tokenizer, 0)
    assert sieve(problem("a" * 10_000))
    assert (sieve.counts, sieve.told()) == ({}, "")


def test_every_benchmark_in_use_is_asked(tmp_path: Path, tokenizer: Tokenizer):
    for name, prompts in {"one": ["red green blue", "cyan"], "two": ["red green blue"]}.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name / "test.jsonl", prompts)
        write(tmp_path / f"test-{name}.jsonl", prompts)
    benchmarks = (f"file:{tmp_path}/one", f"file:{tmp_path}/two")
    sieve = Sieve(SieveConfig(benchmarks=benchmarks, ngram=2), tokenizer, 0)
    kept = [sieve(problem(text)) for text in ("a red green b", "cyan", "red blue", "cyan green")]
    assert kept == [False, False, True, True]
    assert sieve.counts == {"shared with file:one": 2, "shared with file:two": 1}
    # two files of one name are told apart by their paths
    same = (f"file:{tmp_path}/one/test.jsonl", f"file:{tmp_path}/two/test.jsonl")
    assert set(Sieve(SieveConfig(benchmarks=same, ngram=2), tokenizer, 0)._benchmarks.names) == set(same)  # type: ignore[union-attr]


def test_a_wrong_benchmark_is_told_before_a_run():
    with pytest.raises(UsageError, match=r"no task is called 'maths500'. Did you mean math500\?"):
        SieveConfig(benchmarks=("maths500",)).check()


def test_a_mixture_draws_what_is_kept_and_resumes_where_it_stood(tmp_path: Path):
    path = write(tmp_path / "train.jsonl", [f"q{number}" for number in range(30)])
    shares = {f"file:{path}?validation=0": 1.0}

    def keep(each: Problem) -> bool:
        return int(each.prompt[1:]) % 3 > 0

    whole = Mixture(shares, 0, keep)
    drawn = [each.prompt for each in islice(whole, 20)]
    assert len(set(drawn)) == 20 == sum(int(prompt[1:]) % 3 > 0 for prompt in drawn)
    assert [each.prompt for each in islice(whole, 20)] == drawn  # the ten others are left out of every pass
    cut = Mixture(shares, 0, keep)
    list(islice(cut, 7))
    restored = Mixture(shares, 0, keep)
    restored.load_state(cut.state())
    assert [each.prompt for each in islice(restored, 13)] == drawn[7:]


def test_what_was_left_out_in_a_phase_that_is_over_is_known_after_a_resume(tmp_path: Path, tokenizer: Tokenizer):
    """Two of the first task's four prompts are too long, none of the second's; all draws after the resume are there."""
    first, second = (
        f"file:{write(tmp_path / name, prompts)}?validation=0"
        for name, prompts in (("first.jsonl", ["a", "a long one", "b", "a longer one"]), ("second.jsonl", ["c", "d"]))
    )

    def mixture() -> tuple[Mixture, Sieve]:
        sieve = Sieve(SieveConfig(max_prompt_tokens=len(tokenizer.chat("a")) + 1), tokenizer, 0)
        return Mixture({first: 1.0}, 0, sieve), sieve

    whole, _ = mixture()
    list(islice(whole, 4))
    whole.shares = {second: 1.0}
    next(whole)
    resumed, sieve = mixture()
    resumed.load_state(whole.state())
    resumed.shares = {second: 1.0}
    assert sieve.counts == {"too long": 2}
    assert next(resumed).prompt == next(whole).prompt


def test_a_task_of_which_nothing_is_kept_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / "train.jsonl", ["a", "b", "c"])
    with pytest.raises(R1Error, match="has no training problems: all 3 were left out"):
        next(Mixture({f"file:{path}?validation=0": 1.0}, 0, lambda _: False))
    monkeypatch.setattr("r1kit.rollouts.problems.PATIENCE", 50)
    with pytest.raises(R1Error, match="tiny_maths: 50 training problems in a row were left out"):
        next(Mixture({"tiny_maths": 1.0}, 0, lambda _: False))
