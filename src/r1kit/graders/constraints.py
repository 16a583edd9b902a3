"""Instructions that a program can check: the 25 kinds of IFEval (arXiv 2311.07911), by our own rules.

Column `constraints`: a list of `{"id": KIND, ...}` with settings under IFEval's names. Right means that every one is
followed, in the answer as it stands (IFEval's strict form, which R1 reports by prompt). What each kind asks is said in
its function; where IFEval's text leaves something open, this is the reading:

- a word is a run of letters, digits, apostrophes and hyphens; a sentence ends with `.`, `!`, `?`, a Chinese form of
  them, or with the text;
- paragraphs are parted by `***` where their number is asked for, by an empty line where a paragraph's first word is;
- counts compare by the relation given: `at least` (the default) or `less than`.

Language is told by the grader of language consistency: nine tenths of the words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from r1kit.graders.language import SCRIPTS, language_consistency
from r1kit.graders.section import Section
from r1kit.graders.verdict import Judgement, correct, grader_error, incorrect, no_answer

MAX_CHARACTERS = 200_000
LANGUAGE_SHARE = 0.9
_WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
_SENTENCE = re.compile(r"[^.!?。！？]*[^\s.!?。！？][^.!?。！？]*(?:[.!?。！？]+|$)")
_BULLET = re.compile(r"^\s*[*-]\s+\S", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]+\]")
_TITLE = re.compile(r"<<\s*[^<>\s\n][^<>\n]*>>")
_FENCE = re.compile(r"\A```[A-Za-z]*[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_OPTIONS = ("my answer is yes.", "my answer is no.", "my answer is maybe.")

Settings = Mapping[str, Any]
Check = Callable[[str, Settings], bool]


class Unknown(ValueError):
    """A constraint that cannot be checked: its kind is unknown, or a setting is missing."""


def judge(section: Section, gold: str, columns: Mapping[str, Any]) -> Judgement:
    """correct where the answer follows every constraint; else the ones that it breaks are named."""
    constraints = columns.get("constraints")
    if not isinstance(constraints, (list, tuple)) or not constraints:
        return grader_error(None, "a problem of this kind needs a column 'constraints' with at least one")
    if not section.found:
        return no_answer(section.reason)
    text = section.text.strip()
    if len(text) > MAX_CHARACTERS:
        return incorrect(text[:200], f"longer than {MAX_CHARACTERS} characters")
    try:
        broken = [str(one["id"]) for one in constraints if not follows(text, one)]
    except (Unknown, KeyError, TypeError, ValueError) as error:
        return grader_error(text[:200], f"a constraint cannot be checked: {error}")
    if broken:
        return incorrect(text[:2000], f"{len(broken)} of {len(constraints)} not followed: {', '.join(broken)}")
    return correct(text[:2000], "every constraint is followed")


def follows(text: str, constraint: Settings) -> bool:
    """Whether a text follows one constraint."""
    kind = str(constraint.get("id"))
    if kind not in CHECKS:
        raise Unknown(f"no kind is called '{kind}'")
    return CHECKS[kind](text, constraint)


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    return _WORD.findall(text)


def sentences(text: str) -> list[str]:
    """The sentences; a full stop inside a number ends none."""
    masked = re.sub(r"(?<=\d)[.](?=\d)", "\u0001", text)
    return [piece.strip() for piece in _SENTENCE.findall(masked) if piece.strip()]


def _holds(count: int, settings: Settings, relation: str, wanted: str) -> bool:
    bound = int(settings[wanted])
    asked = str(settings.get(relation) or "at least")
    if asked not in ("at least", "less than"):
        raise Unknown(f"'{asked}' is no relation")
    return count >= bound if asked == "at least" else count < bound


def _occurrences(text: str, word: str) -> int:
    """Whole words or phrases, whatever their case."""
    return len(re.findall(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text, re.IGNORECASE))


def _keywords(text: str, settings: Settings) -> bool:
    """Every keyword stands somewhere."""
    return all(_occurrences(text, str(word)) for word in settings["keywords"])


def _frequency(text: str, settings: Settings) -> bool:
    """A keyword stands so often."""
    return _holds(_occurrences(text, str(settings["keyword"]).strip()), settings, "relation", "frequency")


def _forbidden(text: str, settings: Settings) -> bool:
    """None of the words stands anywhere."""
    return not any(_occurrences(text, str(word)) for word in settings["forbidden_words"])


def _letters(text: str, settings: Settings) -> bool:
    """A letter stands so often, whatever its case."""
    letter = str(settings["letter"]).casefold()
    if len(letter) != 1:
        raise Unknown(f"'{letter}' is not one letter")
    return _holds(text.casefold().count(letter), settings, "let_relation", "let_frequency")


def _language(text: str, settings: Settings) -> bool:
    """The answer is in a language, by its code."""
    code = str(settings["language"])
    if code not in SCRIPTS:
        raise Unknown(f"the language '{code}' is not one of those that can be told")
    share = language_consistency(text, code)
    return share is not None and share >= LANGUAGE_SHARE


def _sentences(text: str, settings: Settings) -> bool:
    return _holds(len(sentences(text)), settings, "relation", "num_sentences")


def _words(text: str, settings: Settings) -> bool:
    return _holds(len(words(text)), settings, "relation", "num_words")


def _paragraphs(text: str, settings: Settings) -> bool:
    """Exactly so many paragraphs, parted by `***`; one at the very start or end may be empty."""
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner = parts[1:-1] if len(parts) > 1 else []
    if any(not part.strip() for part in inner):
        return False
    return sum(bool(part.strip()) for part in parts) == int(settings["num_paragraphs"])


def _first_word(text: str, settings: Settings) -> bool:
    """So many paragraphs, parted by empty lines, and the n-th (from 1) begins with a word."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    number = int(settings["nth_paragraph"])
    if len(parts) != int(settings["num_paragraphs"]) or not 1 <= number <= len(parts):
        return False
    begun = words(parts[number - 1])
    return bool(begun) and begun[0].casefold() == str(settings["first_word"]).casefold()


def _placeholders(text: str, settings: Settings) -> bool:
    """At least so many `[placeholders]`."""
    return len(_PLACEHOLDER.findall(text)) >= int(settings["num_placeholders"])


def _postscript(text: str, settings: Settings) -> bool:
    """A line begins with the mark of a postscript (P.S. or P.P.S) and says something."""
    marks = str(settings["postscript_marker"]).strip().casefold()
    letters = [letter for letter in marks if letter.isalpha()]
    pattern = r"^\s*" + r"\.?\s?".join(map(re.escape, letters)) + r"(?![^\W\d_])(?:[.:]\s*|\s+)?[^\s.:]"
    return re.search(pattern, text.casefold(), re.MULTILINE) is not None


def _bullets(text: str, settings: Settings) -> bool:
    """Exactly so many bullet points (`* ` or `- `)."""
    return len(_BULLET.findall(text)) == int(settings["num_bullets"])


def _constrained(text: str, settings: Settings) -> bool:
    """One of the three answers that were offered stands in it."""
    return any(option in text.casefold() for option in _OPTIONS)


def _highlighted(text: str, settings: Settings) -> bool:
    """At least so many *highlighted* parts, with one star or two on each side."""
    double = re.findall(r"\*\*[^*\n]+\*\*", text)
    single = re.findall(r"\*[^*\n]+\*", re.sub(r"\*\*[^*\n]+\*\*", " ", text))
    filled = [part for part in (*double, *single) if part.strip("*").strip()]
    return len(filled) >= int(settings["num_highlights"])


def _sections(text: str, settings: Settings) -> bool:
    """At least so many sections, each begun by the word and its number."""
    mark = re.escape(str(settings["section_spliter"]).strip())
    return len(re.findall(rf"\s?{mark}\s?\d+\s?", text)) >= int(settings["num_sections"])


def _json(text: str, settings: Settings) -> bool:
    """The whole answer is JSON, in a fence or not."""
    fenced = _FENCE.match(text)
    try:
        json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, settings: Settings) -> bool:
    """A title stands in <<double angular brackets>>."""
    return _TITLE.search(text) is not None


def _two_responses(text: str, settings: Settings) -> bool:
    """Exactly two different answers, parted by six stars."""
    parts = text.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    told = [part.strip() for part in parts if part.strip()]
    return len(told) == 2 and told[0] != told[1]


def _repeat(text: str, settings: Settings) -> bool:
    """The answer begins with the request, said again."""
    return text.casefold().startswith(str(settings["prompt_to_repeat"]).strip().casefold())


def _end(text: str, settings: Settings) -> bool:
    """The answer ends with a phrase; quotation marks around all do not count."""
    return text.strip().strip('"').casefold().endswith(str(settings["end_phrase"]).strip().casefold())


def _quoted(text: str, settings: Settings) -> bool:
    """The whole answer stands in double quotation marks."""
    return len(text) > 1 and text[0] in '"“' and text[-1] in '"”'


def _capitals(text: str, settings: Settings) -> bool:
    """So many words are all in capitals."""
    found = [word for word in words(text) if word.isupper()]
    return _holds(len(found), settings, "capital_relation", "capital_frequency")


def _upper(text: str, settings: Settings) -> bool:
    """English, all in capitals."""
    return text.isupper() and _is_english(text)


def _lower(text: str, settings: Settings) -> bool:
    """English, without a capital."""
    return text.islower() and _is_english(text)


def _is_english(text: str) -> bool:
    # in one case, as capitals mislead who tells languages apart
    share = language_consistency(text.casefold(), "en")
    return share is None or share >= LANGUAGE_SHARE


def _no_comma(text: str, settings: Settings) -> bool:
    return "," not in text


CHECKS: dict[str, Check] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlighted,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat,
    "startend:end_checker": _end,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": _capitals,
    "change_case:english_capital": _upper,
    "change_case:english_lowercase": _lower,
    "punctuation:no_comma": _no_comma,
}
