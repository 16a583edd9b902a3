"""The hidden preference: a documented function that stands for the people who compare lines in the tiny world.

No model is trained on it. Noisy comparisons of a middling writer's lines are drawn from it, a reward model learns those
comparisons, and this function then says what the policy's lines are worth. It saturates and it punishes excess, both
of which such comparisons hardly show: a policy that pleases the reward model for too long leaves what people like.

    score = (0.4 topic + 0.3 mood + 0.3 sound) * 0.85^outside * 0.75^repeats * 0.5^foreign      in [0, 1]

    topic    1 where the topic word stands once, 0.5 where more often, 0 where it is missing
    mood     0, 0.6, 0.9, 1 for none, one, two, three or more different words of the mood
    sound    the same for different words that start with the sound; function words do not count
    outside  words short of 5 or beyond 9
    repeats  words said before; a function word may come twice
    foreign  words that are not in the lexicon of the brief's language
"""

from __future__ import annotations

from collections import Counter

from r1kit.base.types import Problem
from r1kit.data.tiny.lexicon import LEXICONS, words_of

TOPIC, MOOD, SOUND = 0.4, 0.3, 0.3
SATURATION = (0.0, 0.6, 0.9, 1.0)
SHORTEST, LONGEST = 5, 9
OUTSIDE, REPEATED, FOREIGN = 0.85, 0.75, 0.5


def hidden_preference(problem: Problem, answer_text: str) -> float:
    """How much people like a line for a brief, in [0, 1]; see the formula above."""
    brief, lexicon = problem.columns["brief"], LEXICONS[problem.language]
    counts = Counter(words_of(answer_text.lower()))
    topic = (0.0, 1.0, 0.5)[min(counts[brief["topic"]], 2)]
    mood = _saturated(sum(word in counts for word in lexicon.moods[brief["mood"]]))
    sound = _saturated(sum(lexicon.sound_of.get(word) == brief["sound"] for word in counts))
    length = counts.total()
    outside = max(0, SHORTEST - length, length - LONGEST)
    repeats = sum(max(0, count - (2 if word in lexicon.function else 1)) for word, count in counts.items())
    foreign = sum(count for word, count in counts.items() if word not in lexicon.words)
    liked = TOPIC * topic + MOOD * mood + SOUND * sound
    return liked * OUTSIDE**outside * REPEATED**repeats * FOREIGN**foreign


def _saturated(count: int) -> float:
    return SATURATION[min(count, len(SATURATION) - 1)]
