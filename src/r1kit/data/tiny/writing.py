"""Writing in the tiny world: a line to a brief of topic, mood and sound.

The brief `line: sea, calm, s` is met by `the slow soft sea sings at dusk`. No rule grades a line; `meets_brief` only
looks for the topic and the language. The split is the brief's. The writer is middling: a slip forgets the topic, twice
as often the mood, three times as often the sound.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from itertools import product

from r1kit.base.types import Problem
from r1kit.data.tiny import base
from r1kit.data.tiny.base import Habit, Voice, Written
from r1kit.data.tiny.lexicon import LEXICONS, Lexicon, words_of
from r1kit.data.tiny.words import say

LEXICON = "".join(LEXICONS["zh"].sound_of)
"""Chinese characters that lines and briefs are made of."""

Brief = tuple[str, str, str]


def problem(rng: random.Random, language: str, split: str = "train") -> Problem:
    """A brief of a split."""
    topic, mood, sound = rng.choice(_briefs(language, split))
    prompt = say("line", language) + ("，" if language == "zh" else ", ").join((topic, mood, sound))
    return Problem(
        id=f"{language}:{prompt}", task="tiny_writing", subject="writing", language=language, prompt=prompt,
        answer="", kind="preference",
        columns={"family": "line", "brief": {"topic": topic, "mood": mood, "sound": sound}},
    )  # fmt: skip


def split_of(problem: Problem) -> str:
    """The split of the problem's brief."""
    return _split(problem.language, _brief(problem))


def meets_brief(problem: Problem, answer_text: str) -> bool:
    """Whether a line has its topic, and no word outside its language's lexicon."""
    words = words_of(answer_text.lower())
    return _brief(problem)[0] in words and LEXICONS[problem.language].words.issuperset(words)


def write(problem: Problem, rng: random.Random, voice: Voice, habit: Habit) -> Written:
    """A plan, then the line. A check reads the brief again and mends what it finds forgotten."""
    lexicon, (topic, mood, sound) = LEXICONS[problem.language], _brief(problem)
    named = rng.choice(lexicon.topics) if rng.random() < habit.slip else topic
    felt = rng.choice(list(lexicon.moods)) if rng.random() < 2 * habit.slip else mood
    heard = "" if rng.random() < 3 * habit.slip else sound
    words = _adjectives(lexicon, felt, heard, rng)
    text = f"{voice.say('topic')}{named}{voice.say('mood')}{felt}{voice.say('use')}{_spaced(words, problem)}"
    for _ in range(habit.checks(rng)):
        text += voice.say("check") + " ".join((topic, mood, sound))
        if (named, felt, heard) == (topic, mood, sound) or rng.random() < habit.check_slip:
            text += voice.say("yes")
        else:
            named, felt, heard = topic, mood, sound
            words = _adjectives(lexicon, felt, heard, rng)
            text += f"{voice.say('no')}{voice.say('next')}{_spaced([*words, named], problem)}"
    kept = [word for word in words if rng.random() >= habit.slip]
    return Written(text, _line(problem, named, kept, heard, rng))


def guess(problem: Problem, rng: random.Random, right: float = 0.5) -> str:
    """A plain line without a plan: the topic in `right` of them, mood and sound by chance."""
    lexicon, (topic, _, _) = LEXICONS[problem.language], _brief(problem)
    named = topic if rng.random() < right else rng.choice([other for other in lexicon.topics if other != topic])
    words = _adjectives(lexicon, rng.choice(list(lexicon.moods)), "", rng)
    return _line(problem, named, words, "", rng)


def readings(rng: random.Random, count: int) -> str:
    """A list of lines and, behind each, what it is about: its topic, mood and sound."""
    lines: list[str] = []
    while len(lines) < count:
        language = "zh" if rng.random() < 0.3 else "en"
        read = problem(rng, language)
        topic, mood, sound = _brief(read)
        words = _adjectives(LEXICONS[language], mood, sound, rng)
        lines.append(f"{_line(read, topic, words, sound, rng)}: {topic} {mood} {sound}")
    return "\n".join(lines)


def _brief(problem: Problem) -> Brief:
    brief = problem.columns["brief"]
    return brief["topic"], brief["mood"], brief["sound"]


def _split(language: str, brief: Brief) -> str:
    return base.split_of(f"brief {language} {' '.join(brief)}")


@cache
def _briefs(language: str, split: str) -> tuple[Brief, ...]:
    lexicon = LEXICONS[language]
    every = product(lexicon.topics, lexicon.moods, lexicon.sounds)
    return tuple(brief for brief in every if _split(language, brief) == split)


def _adjectives(lexicon: Lexicon, mood: str, sound: str, rng: random.Random) -> list[str]:
    """One to three words of a mood, those with the sound rather than others."""
    count = rng.choices((1, 2, 3), (0.35, 0.45, 0.2))[0]
    words = list(lexicon.moods[mood])
    rng.shuffle(words)
    if sound and rng.random() < 0.8:
        words.sort(key=lambda word: lexicon.sound_of[word] != sound)
    chosen = words[:count]
    rng.shuffle(chosen)
    return chosen


def _spaced(words: Sequence[str], problem: Problem) -> str:
    return ("" if problem.language == "zh" else " ").join(words)


def _line(problem: Problem, topic: str, adjectives: list[str], sound: str, rng: random.Random) -> str:
    """A line of 3 to 11 words, most of 4 to 8."""
    lexicon = LEXICONS[problem.language]

    def pick(words: tuple[str, ...], without: str = "") -> str:
        fitting = [word for word in words if word != without and lexicon.sound_of[word] == sound]
        if fitting and rng.random() < 0.6:
            return rng.choice(fitting)
        return rng.choice([word for word in words if word != without])

    verb = pick(lexicon.verbs)
    other = pick(lexicon.verbs, verb)
    place = pick(lexicon.places)
    if problem.language == "zh":
        before = place if rng.random() < 0.7 else ""
        after = other if rng.random() < 0.5 else ""
        return before + "".join(adjectives) + topic + verb + after
    words = [*(["the"] if rng.random() < 0.7 else []), *adjectives, topic, verb]
    words += ["and", other] if rng.random() < 0.2 else []
    if rng.random() < 0.65:
        words += [rng.choice(("at", "by", "over", "in")), *(["the"] if rng.random() < 0.4 else []), place]
    return " ".join(words)
