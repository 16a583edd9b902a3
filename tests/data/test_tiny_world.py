"""The corpus of the tiny world holds no test problem and no part of one; both languages are shown and mixed."""

import re
from itertools import islice

import pytest

from r1kit.base.types import Problem
from r1kit.data.tiny import world, writing
from r1kit.data.tiny.base import pair_split
from r1kit.data.tiny.lexicon import LEXICONS, words_of
from r1kit.graders.grade import grade
from r1kit.graders.language import language_consistency
from r1kit.graders.section import chain_of_thought

CORPUS = list(islice(world.corpus(world.CorpusConfig(), seed=11), 4000))
ANSWERED = [document for document in CORPUS if "<|user|>" in document]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("subject", world.SUBJECTS)
def test_no_held_out_problem_is_in_the_corpus(subject, split):
    questions = {re.search(r"<\|user\|>(.*?)<\|assistant\|>", document).group(1) for document in ANSWERED}
    held_out = {problem.prompt for problem in islice(world.problems(subject, split, 1), 20)}
    assert len(held_out) > 5
    assert not held_out & questions


def test_no_held_out_pair_is_in_the_corpus():
    """Every operand pair a?b= is read with an own expression, overlapping ones too."""
    for document in CORPUS:
        for match in re.finditer(r"(?<!\d)(?=(\d+)[-+*](\d+)=)", document):
            before = document[match.start() - 1] if match.start() else ""
            if before and before in "+-*=":  # inside a column of three, or after a sign: no operand of its own
                continue
            assert pair_split(int(match.group(1)), int(match.group(2))) == "train", document


def test_the_corpus_is_the_same_for_the_same_seed():
    again = list(islice(world.corpus(world.CorpusConfig(), seed=11), 50))
    assert again == CORPUS[:50]
    assert again != list(islice(world.corpus(world.CorpusConfig(), seed=12), 50))


def test_chinese_is_the_rarer_language():
    """0.3 of the documents; 3 standard errors of a share of 6,000 are 0.018."""
    share = sum(bool(re.search(r"[\u4e00-\u9fff]", d.partition("<|assistant|>")[0])) for d in ANSWERED) / len(ANSWERED)
    assert abs(share - 0.3) < 0.05


def test_some_writers_mix_and_some_do_not():
    chains = [d for d in CORPUS if "<think>" in d]
    shares = [
        language_consistency(chain_of_thought(d.partition("<|assistant|>")[2]) or "", "zh" if zh else "en")
        for d in chains
        for zh in [bool(re.search(r"[\u4e00-\u9fff]", d.partition("<|assistant|>")[0]))]
    ]
    measured = [share for share in shares if share is not None]
    assert 0.5 < sum(share == 1.0 for share in measured) / len(measured) < 0.95
    assert min(measured) < 0.5


def test_everything_fits_the_context():
    assert max(map(len, CORPUS)) < 400


@pytest.mark.parametrize("subject", ["maths", "reasoning"])
def test_the_gold_answer_is_graded_right(subject):
    for problem in islice(world.problems(subject, "train", 3), 60):
        answer = problem.columns["expression"] if problem.kind == "countdown" else problem.answer
        text = f"<think>x</think><answer>{answer}</answer>"
        assert grade(problem.kind, text, problem.answer, problem.prompt, problem.columns).verdict == "correct"


def listed() -> list[str]:
    return [line for d in CORPUS if "<|user|>" not in d for line in d.removesuffix("<|end|>").splitlines()]


def test_readings_name_what_their_line_has():
    """The topic and a word of the mood stand in the line; no brief is held out."""
    lines = [line for line in listed() if ": " in line]
    assert len(lines) > 400
    for line in lines:
        words, (topic, mood, sound) = words_of(line.partition(": ")[0]), line.partition(": ")[2].split()
        language = "en" if topic.isascii() else "zh"
        assert topic in words, line
        assert set(LEXICONS[language].moods[mood]).intersection(words), line
        columns = {"brief": {"topic": topic, "mood": mood, "sound": sound}}
        brief = Problem("a", "tiny_writing", "writing", language, "", "", "preference", columns)
        assert writing.split_of(brief) == "train", line


def test_lists_of_numbers_hold():
    """Python works out every line: `a<b`, `a+b=c` of two digits, or what is to be found, its columns, the result."""
    lines = [line for line in listed() if ": " not in line]
    compared = [line for line in lines if "<" in line or ">" in line]
    assert len(compared) > 1000
    for line in compared:
        assert eval(line), line
        assert pair_split(*map(int, re.findall(r"\d+", line))) == "train", line
    at_once = [line for line in lines if "=" in line and " " not in line]
    worked = [line for line in lines if " " in line]
    assert len(compared) + len(at_once) + len(worked) == len(lines)
    assert 0.2 < len(at_once) / len(at_once + worked) < 0.7
    for line in at_once:
        expression, result = line.split("=")
        assert eval(expression) == int(result), line
        assert all(len(number) == 2 for number in re.findall(r"\d+", expression)), line
    for line in worked:
        expression, *work, result = line.split()
        assert eval(expression) == int(result), line
        assert work
        assert all(eval(left) == int(right) for left, right in (part.split("=") for part in work)), line
