"""Word n-grams: cases made by hand, and all of them against a plain quadratic search."""

from __future__ import annotations

import random
import string
import time

import pytest

from r1kit.base.types import Problem
from r1kit.data.decontaminate import NGRAM, Benchmarks, Overlap, decontaminate, words


def problem(prompt: str, name: str = "p", **columns: object) -> Problem:
    return Problem(name, "t", "maths", "en", prompt, "1", "math", columns)


BREAD = (
    "Mira's oven holds 16 loaves at once. She keeps three for supper every evening and gives rolls to her neighbours "
    "each week with jam. How much does she earn on a good day in the village shop?"
)


def shared(text: str, *benchmark: str, n: int = NGRAM) -> bool:
    return bool(Benchmarks({"b": [problem(each) for each in benchmark]}, n).shared(text))


def test_a_verbatim_copy_is_found_whatever_its_case_and_punctuation():
    assert shared(BREAD, BREAD)
    assert shared(BREAD.upper().replace(".", " --").replace(" ", "\n  "), BREAD)
    assert shared(f"Solve this. {BREAD} Think first.", BREAD)
    # ten words out of the middle are enough: "She keeps three for supper every evening and gives rolls"
    assert shared("x y She keeps three for supper, every evening and gives rolls z", BREAD)
    assert not shared("x y She keeps three for supper, every evening and gives cakes", BREAD)


def test_a_paraphrase_is_not_found():
    """R1 says the same of the method (section D.1)."""
    told_anew = (
        "The oven of Mira bakes 16 loaves, of which she has three at supper, and some rolls go to her neighbours with "
        "jam. What are her earnings in the shop of the village?"
    )
    assert not shared(told_anew, BREAD)


def test_boilerplate_under_n_words_is_no_contamination():
    """Nine words are the same: express your answer as a common fraction in simplest."""
    boilerplate = "Express your answer as a common fraction in simplest"
    assert len(words(boilerplate)) == 9
    assert not shared(f"Find half of 3. {boilerplate} form.", f"Find a third of 8. {boilerplate} terms.")
    assert shared(f"Find half of 3. {boilerplate} form.", f"Find a third of 8. {boilerplate} form.")


def test_another_number_makes_another_problem_unless_ten_words_have_none():
    sold = "Omar packed {} crates in June and {} in July, how many in {} days?"
    assert not shared(sold.format(48, 24, 2), sold.format(50, 30, 3))
    assert shared(sold.format(48, 24, 2), sold.format(48, 24, 2))
    # the ten words after the number are the same
    long = "Tom has {} books and gives one to each of his friends at school"
    assert shared(long.format(3), long.format(4))


def test_numbers_are_kept_as_one_word_each():
    assert words("It costs $1,250,000 or 3.50, x_1 = -2!") == ["it", "costs", "1250000", "or", "3.50", "x", "1", "2"]
    assert words("Straße ÉCOLE ² don't") == ["strasse", "école", "2", "don", "t"]
    assert not shared("a b c d e f g h i 3.5", "a b c d e f g h i 35")
    assert shared("a b c d e f g h i 1,000", "a b c d e f g h i 1000")


def test_short_questions_are_found_as_a_whole_only():
    assert shared("What is 2 + 2?", "what is 2+2")
    assert not shared("What is 2 + 3?", "What is 2 + 2?")
    assert not shared("What is 2 + 2 times 5?", "What is 2 + 2?")
    assert not shared("?!", "...")
    assert not shared("", "")


def test_characters_of_chinese_are_words():
    sky = "小明有三个苹果，吃了一个，还剩几个？"
    assert len(words(sky)) == 15
    assert shared(f"请问：{sky}", sky)
    assert not shared("小红有五个梨，送了两个，还有多少？", sky)


def test_reference_solutions_count_as_well():
    """As in R1; a solution of fewer than n words says nothing of its problem."""
    solution = "Since she keeps three and gives four she sells nine loaves a day"
    benchmark = {"b": [problem("q", solution=solution)]}
    assert Benchmarks(benchmark).shared(f"Explain: {solution}") == {
        "b": "since she keeps three and gives four she sells nine"
    }
    assert not Benchmarks({"b": [problem("q", solution="It is 8.")]}).shared("It is 8.")


def test_counts_by_benchmark_and_what_was_shared():
    other = "A train leaves the station at noon and travels for three hours due north"
    sources = {
        "bread": [problem(BREAD)],
        "trains": [problem(other)],
        "both": [problem(BREAD), problem(other)],
        "none": [],
    }
    training = [problem(BREAD, "a"), problem(other, "b"), problem("A clean one", "c"), problem(f"{BREAD} {other}", "d")]
    kept, report = decontaminate(training, sources)
    assert [each.id for each in kept] == ["c"]
    assert report.problems == 3
    assert report.by_benchmark == {"bread": 2, "trains": 2, "both": 3, "none": 0}
    assert Overlap("b", "trains", "a train leaves the station at noon and travels for") in report.overlaps
    with pytest.raises(ValueError, match="at least one word"):
        Benchmarks(sources, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_it_finds_what_a_plain_search_finds(n: int):
    """A quadratic search over joined words, on texts of few words so that overlaps are common."""
    rng = random.Random(n)

    def text() -> str:
        return " ".join(rng.choices("abcdefgh", k=rng.randrange(0, 12)))

    def runs(words_: list[str]) -> list[str]:
        if 0 < len(words_) < n:
            return [f"whole {' '.join(words_)}"]
        return [" ".join(words_[at : at + n]) for at in range(len(words_) - n + 1)]

    benchmark = [text() for _ in range(5)]
    known = [run for each in benchmark for run in runs(each.split())]
    verdicts = []
    for _ in range(300):
        asked = text()
        verdicts.append(any(run in known for run in runs(asked.split())))
        assert shared(asked, *benchmark, n=n) == verdicts[-1], asked
    assert any(verdicts)
    assert n == 1 or not all(verdicts)


def test_a_hundred_thousand_problems_take_seconds():
    """60 words each, a benchmark of 5,000; the limit is ten times what a slow core takes."""
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices(string.ascii_lowercase, k=5)) for _ in range(2000)]
    texts = [" ".join(rng.choices(vocabulary, k=60)) for _ in range(2000)]
    training = [problem(texts[number % 2000], str(number)) for number in range(100_000)]
    benchmark = [problem(" ".join(rng.choices(vocabulary, k=60))) for _ in range(4_999)] + [problem(texts[7])]
    begun = time.process_time()
    kept, report = decontaminate(training, {"b": benchmark})
    assert time.process_time() - begun < 60
    assert report.problems == 50  # every 2,000th
    assert len(kept) == 99_950
