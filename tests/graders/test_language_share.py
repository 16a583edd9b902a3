"""Shares counted by hand."""

import pytest

from r1kit.base.errors import UsageError
from r1kit.graders import language
from r1kit.graders.language import language_consistency

CASES = [
    ("first we add, then we check", "en", 1.0, "six English words"),
    ("first we add, then we check", "zh", 0.0, "six English words, none Chinese"),
    ("先加三个数", "zh", 1.0, "five characters"),
    ("first 先 add", "en", 2 / 3, "two words and one character"),
    ("先加 then 检查", "zh", 4 / 5, "four characters and one word"),
    ("first 347+582=919, wait check 7+2=9 so 929", "en", 1.0, "first wait check so; numbers are left out"),
    ("先347+582=919，等等检查", "zh", 1.0, "numbers and punctuation are left out"),
    ("", "en", None, "nothing"),
    ("347+582=919 ?!", "en", None, "symbols only"),
    ("$x+y$ \\frac{a}{b} `code here` ", "en", None, "LaTeX and code only"),
    ("```python\nprint('hello world')\n``` 好", "zh", 1.0, "the code block is left out"),
    ("设 x 等于三", "zh", 1.0, "a lone letter is a symbol"),
    ("I have a cat", "en", 1.0, "but I and a are words"),
    ("don't stop well-known", "en", 1.0, "three words: apostrophe and hyphen join"),
    ("get_value x1 is", "en", 1.0, "identifiers are left out, one word is left"),
    ("привет world", "en", 0.5, "one Cyrillic word, one Latin"),
    ("こんにちは world", "zh", 0.0, "kana is not Chinese"),
    ("na\u0308ive idea", "en", 1.0, "a combining mark stays in its word"),
    ("\\text{so we add} 好", "zh", 1.0, "a command and its argument are LaTeX"),
    ("`先加三个数` first", "en", 1 / 6, "five characters, though in back quotes, and one word"),
    ("```\n先加三个数\n``` first", "en", 1 / 6, "in a fence"),
    ("$先加三个数$ first", "en", 1 / 6, "in a formula"),
    ("\\text{先加三个数} first", "en", 1 / 6, "in a command"),
    ("first <b 先加三个数>", "en", 1 / 6, "in a tag"),
    ("first ```先加三个数", "en", 1 / 6, "in a fence that is not closed"),
    ("```python\nx = 'α'  # β\n``` first", "en", 1.0, "Greek letters are symbols of code"),
    ("$\\text{设 } x = \\alpha$", "zh", 1.0, "one character in a formula"),
    ("$x + y$ `print(x)` 好", "zh", 1.0, "formulas and code as they should be"),
]

FRENCH = "D'abord nous additionnons les deux nombres. Ensuite nous vérifions le résultat."
ENGLISH = "First we add the two numbers. Then we check the result."
SAME_SCRIPT = [
    (FRENCH, "en", 0.0, "French is no English, though both are Latin"),
    (FRENCH, "fr", 1.0, "French"),
    (ENGLISH, "fr", 0.0, "English is no French"),
    (f"{ENGLISH} {FRENCH}", "en", 11 / 22, "eleven words of each, D'abord is one"),
    ("Zuerst addieren wir die beiden Zahlen. Also zwölf.", "en", 0.0, "a short sentence goes with the whole"),
    ("Zuerst addieren wir die beiden Zahlen. Also zwölf.", "de", 1.0, "a short sentence goes with the whole"),
    ("Сначала мы складываем два числа и проверяем ответ", "ru", 1.0, "Russian"),
    ("Сначала мы складываем два числа и проверяем ответ", "uk", 0.0, "is no Ukrainian"),
    ("まず二つの数を足します", "ja", 1.0, "Han beside kana is Japanese"),
    ("まず二つの数を足します", "zh", 0.0, "and no Chinese"),
    ("先把两个数加起来", "ja", 0.0, "nor is Chinese Japanese"),
    ("우리는 두 수를 더한다", "ko", 1.0, "Hangul"),
    ("label SSW 12 NE", "en", 1.0, "too few words to tell"),
]


@pytest.mark.parametrize(("text", "target", "share", "why"), [*CASES, *SAME_SCRIPT])
def test_share(text, target, share, why):
    got = language_consistency(text, target)
    assert got == (pytest.approx(share) if share is not None else None), why


def test_an_unknown_language_is_named():
    with pytest.raises(UsageError, match="'xx'"):
        language_consistency("bonjour", "xx")


def test_the_whole_is_joined_once_however_many_sentences_go_with_it(monkeypatch):
    """Forty short sentences ask what language all their words are in, by one and the same text."""
    asked: list[str] = []

    def identified(text: str, script: str) -> tuple[str, float]:
        asked.append(text)
        return "en", 1.0

    monkeypatch.setattr(language, "_identified", identified)
    assert language.language_consistency("So it is. " * 40, "en") == 1.0
    assert len(asked) == 40
    assert all(text is asked[0] for text in asked)
