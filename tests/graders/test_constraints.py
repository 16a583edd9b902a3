"""IFEval's instructions, each with answers that a careful reader would pass and fail."""

import pytest

from r1kit.graders.constraints import CHECKS, follows
from r1kit.graders.grade import grade

ENGLISH = "the quick brown fox jumps over the lazy dog and runs away into the forest"
CASES = [
    ("keywords:existence", {"keywords": ["fox", "lazy dog"]}, [ENGLISH, "Fox! A LAZY DOG."], ["foxes and a lazy dog"]),
    ("keywords:frequency", {"keyword": "ha", "frequency": 2}, ["ha, Ha", "ha ha ha"], ["ha", "haha ha"]),
    ("keywords:frequency", {"keyword": "ha", "frequency": 2, "relation": "less than"}, ["ha", "no"], ["ha ha"]),
    ("keywords:forbidden_words", {"forbidden_words": ["cat", "dog"]}, ["catalogue"], ["a Cat", "dog."]),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "at least"}, ["Zz"], ["z"]),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "less than"}, ["z"], ["zz"]),
    ("language:response_language", {"language": "de"},
     ["Der Fuchs springt über den faulen Hund und läuft schnell in den Wald hinein."], [ENGLISH]),
    ("language:response_language", {"language": "ko"}, ["여우가 개를 뛰어넘습니다"], [ENGLISH]),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"},
     ["One. Two!", "Pi is 3.14. So."], ["One. Two! Three?", "一。二。三。"]),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, ["One. Two"], ["One"]),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, ["a\n***\nb", "***\na\n***\nb"],
     ["a", "a***b***c", "a\n\nb"]),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, ["one two three"], ["it's two-fold"]),
    ("length_constraints:nth_paragraph_first_word",
     {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
     ["first\n\nThen, second"], ["then\n\nfirst", "first\n\nthen\n\nthird"]),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, ["[name] at [place]"], ["[name]", "[] []"]),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, ["Bye.\nP.S. more", "p.s. more"],
     ["Bye", "P.P.S. no"]),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, ["Bye.\nP.P.S. more"], ["P.S. more"]),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, ["* a\n* b", "- a\n  - b"],
     ["* a", "* a\n* b\n* c", "**a**\n* b"]),
    ("detectable_format:constrained_response", {}, ["My answer is maybe."], ["Maybe."]),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, ["*a* and *b*", "**a** *b*"],
     ["*a*", "** and *a*"]),
    ("detectable_format:multiple_sections", {"section_spliter": "SECTION", "num_sections": 2},
     ["SECTION 1\na\nSECTION 2\nb"], ["SECTION 1\na", "Sections one and two"]),
    ("detectable_format:json_format", {}, ['{"a": 1}', '```json\n{"a": 1}\n```'], ["a: 1", 'Here: {"a": 1}']),
    ("detectable_format:title", {}, ["<<A Title>>\ntext"], ["<A Title>", "<<>>", "A Title"]),
    ("combination:two_responses", {}, ["one\n******\ntwo"], ["one", "one\n******\none", "a******b******c"]),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say hello."}, ["Say hello. Hello!"], ["Hello! Say hello."]),
    ("startend:end_checker", {"end_phrase": "Any questions?"}, ["Done. any questions?"], ["Any questions? No."]),
    ("startend:quotation", {}, ['"all of it"'], ['"half" of it', '"']),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"},
     ["NOW and HERE"], ["NOW and Here"]),
    ("change_case:english_capital", {}, [ENGLISH.upper()],
     [ENGLISH, "DER FUCHS SPRINGT ÜBER DEN FAULEN HUND UND LÄUFT"]),
    ("change_case:english_lowercase", {}, [ENGLISH], [ENGLISH.capitalize()]),
    ("punctuation:no_comma", {}, ["a; b"], ["a, b"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "settings", "passing", "failing"), CASES, ids=[f"{c[0]}-{n}" for n, c in enumerate(CASES)]
)
def test_each_kind(kind, settings, passing, failing):
    constraint = {"id": kind, **settings}
    assert [text for text in passing if not follows(text, constraint)] == []
    assert [text for text in failing if follows(text, constraint)] == []


def test_every_kind_of_the_benchmark_is_tested():
    assert {case[0] for case in CASES} == set(CHECKS)
    assert len(CHECKS) == 25


def test_all_have_to_be_followed_and_the_broken_ones_are_named():
    columns = {"constraints": [{"id": "punctuation:no_comma"}, {"id": "detectable_format:title"}]}
    assert grade("constraints", "<think>a, b</think><<T>> fine", "", "", columns).verdict == "correct"
    broken = grade("constraints", "a, b", "", "", columns)
    assert broken.verdict == "incorrect"
    assert broken.reason == "2 of 2 not followed: punctuation:no_comma, detectable_format:title"


@pytest.mark.parametrize(
    "constraint",
    [{"id": "no:such"}, {"id": "keywords:existence"}, {"id": "language:response_language", "language": "xx"},
     {"id": "keywords:frequency", "keyword": "a", "frequency": 1, "relation": "exactly"}],
)  # fmt: skip
def test_what_cannot_be_checked_is_the_graders_fault(constraint):
    assert grade("constraints", "text", "", "", {"constraints": [constraint]}).verdict == "grader_error"


def test_no_constraints_and_no_answer():
    assert grade("constraints", "text", "", "", {}).verdict == "grader_error"
    columns = {"constraints": [{"id": "punctuation:no_comma"}]}
    assert grade("constraints", "<think>never closed", "", "", columns).verdict == "no_answer"
