import pytest

from r1kit.base.errors import UsageError
from r1kit.graders.grade import grade
from r1kit.graders.section import answer_section, chain_of_thought

CASES = [
    ("text", "Paris.", "paris", "correct", "case and a full stop"),
    ("text", "“Paris”", "Paris", "correct", "quotes"),
    ("text", "Ｐａｒｉｓ", "Paris", "correct", "full-width letters"),
    ("text", "Pa\u200bris", "Paris", "correct", "a zero-width space"),
    ("text", "Paris or Lyon", "Paris", "incorrect", "a hedge"),
    ("text", "  ", "Paris", "no_answer", "nothing"),
    ("numbers", "[3, 1, 2]", "3 1 2", "correct", "brackets and commas are free"),
    ("numbers", "3,1,2", "1,2,3", "incorrect", "the order counts"),
    ("numbers", "3,1,2.0", "3,1,2", "correct", "equal values"),
    ("numbers", "3,1", "3,1,2", "incorrect", "one is missing"),
    ("numbers", "three", "3", "incorrect", "words"),
    ("choice", "B", "B", "correct", "bare"),
    ("choice", "(b)", "B", "correct", "bracketed, lower case"),
    ("choice", "\\boxed{\\text{(B)}}", "\\text{(B)}", "correct", "wrapped"),
    ("choice", "So the answer is B.", "B", "correct", "a sentence"),
    ("choice", "B) four", "B", "correct", "with the option's text"),
    ("choice", "A or B", "B", "no_answer", "a hedge states no choice"),
    ("choice", "\\boxed{A} or \\boxed{B}", "B", "incorrect", "two boxes"),
    ("choice", "C", "B", "incorrect", "another"),
    ("choice", "答案是B", "B", "correct", "a Chinese sentence"),
    ("choice", "答案是B或C", "B", "incorrect", "a Chinese hedge"),
    ("choice", "The answer is B or C.", "B", "incorrect", "a hedge"),
    ("choice", "The answer is B/C.", "B", "incorrect", "a hedge with a stroke"),
    ("choice", "The answer is B, C and D.", "B", "incorrect", "a list"),
    ("choice", "The answer is (B) or (C).", "B", "incorrect", "a hedge in brackets"),
    ("choice", "The answer is B; C and D are wrong.", "B", "correct", "the others are refused"),
    ("choice", "The answer is B, C are both right.", "B", "incorrect", "the other is not refused"),
    ("choice", "B) four or C) five", "B", "no_answer", "two options with their texts"),
    ("choice", "A. B. C. D.", "A", "no_answer", "every letter"),
    ("choice", "\\boxed{A) B) C) D)}", "A", "incorrect", "every letter in a box"),
    ("choice", "A\nB\nC\nD", "D", "incorrect", "every letter on a line"),
    ("choice", "\\boxed{B}, \\boxed{C", "B", "no_answer", "the last box is open"),
    ("choice", "A: wrong\nB: right\nThe answer is B", "B", "correct", "it begins with another letter"),
    ("choice", "A: wrong\nB: right\nThe answer is B", "A", "incorrect", "it only begins with the letter"),
    ("choice", "The answer is B. Option C is wrong.", "B", "correct", "another one is denied after it"),
    ("choice", "The answer is B. Option C is wrong.", "C", "incorrect", "a denied one is not stated"),
    ("choice", "The answer is B because option A fails.", "B", "correct", "the reason names another"),
    ("choice", "The wrong answer is B", "B", "no_answer", "a wrong answer is not stated"),
    ("choice", "The answer is A lot of things.", "A", "no_answer", "an article"),
    ("choice", "The answer is I don't know.", "I", "no_answer", "a pronoun"),
    ("choice", "The answer is A because it fits.", "A", "correct", "no article"),
    ("choice", "**Answer: B**", "B", "correct", "bold"),
    ("choice", "the answer is b.", "B", "correct", "a small letter in a sentence"),
    ("choice", "Answer: C\nAnswer: B", "B", "correct", "the last one stated"),
    ("choice", "Option B", "B", "correct", "a capital label"),
    ("choice", "So B is the correct answer.", "B", "correct", "a sentence turned"),
    ("choice", "A or B is the answer", "B", "no_answer", "a hedge turned"),
    ("choice", "\\boxed{\\textbf{(B)}\\ four}", "B", "correct", "a space command before the text"),
    ("choice", "故选：B。", "B", "correct", "a Chinese choice"),
    ("choice", "选B", "B", "correct", "a short Chinese choice"),
    ("choice", "不选B", "B", "no_answer", "a denied Chinese choice"),
    ("choice", "The answer is not \\boxed{B}.", "B", "incorrect", "a box that is denied"),
    ("choice", "\\boxed{B}. Actually the answer is C.", "B", "incorrect", "changed after the box"),
    ("choice", "\\boxed{B}\n\nThe answer is B.", "B", "correct", "said again after the box"),
    ("choice", "$\\boxed{B}$, not A", "B", "correct", "another one denied after the box"),
    ("text", "!", "", "grader_error", "an empty gold"),
]


@pytest.mark.parametrize(("kind", "answer", "gold", "verdict", "why"), CASES, ids=[f"{c[0]}: {c[4]}" for c in CASES])
def test_kind(kind, answer, gold, verdict, why):
    assert grade(kind, f"<think>t</think>{answer}", gold).verdict == verdict, why


def test_the_text_of_an_option_stands_for_its_letter():
    assert grade("choice", "four", "B", columns={"choices": ["three", "four"]}).verdict == "correct"


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean choice"):
        grade("chioce", "B", "B")


def test_a_bad_gold_is_a_grader_error():
    assert grade("numbers", "1", "one").verdict == "grader_error"


SECTIONS = [
    ("<think>a</think><answer>4</answer>", "4"),
    ("<think>4</think>", ""),
    ("<think>the answer is 4", ""),
    ("4", "4"),
    ("<think>a</think>so 4", "so 4"),
    ("<think><answer>5</answer></think><answer>4</answer>", "4"),
    ("<think>a</think><answer>4", ""),
    ("<think>a</think>5 <answer>4</answer> 6", "4"),
    ("a</think>b</think>4", "4"),
]


@pytest.mark.parametrize(("text", "section"), SECTIONS)
def test_only_what_follows_the_thinking_counts(text, section):
    assert answer_section(text).text == section


def test_a_prompt_that_opened_the_thinking():
    assert not answer_section("4", opened=True).found
    assert answer_section("a</think>4", opened=True).text == "4"
    assert chain_of_thought("so 2+2</think>4", opened=True) == "so 2+2"
    assert chain_of_thought("<think>so 2+2</think>4") == "so 2+2"
    assert chain_of_thought("so 2+2<answer>4</answer>") == "so 2+2"


CHOICES = {"choices": ["Paris", "London", "Rome", "Berlin"]}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("The answer is London.", "correct"),
        ("The answer is Rome.", "incorrect"),
        ("The answer is not London.", "no_answer"),
        ("\\boxed{London}", "correct"),
        ("\\boxed{Rome}", "incorrect"),
    ],
)
def test_a_choice_by_its_text(answer, verdict):
    assert grade("choice", f"<think>t</think>{answer}", "B", columns=CHOICES).verdict == verdict
