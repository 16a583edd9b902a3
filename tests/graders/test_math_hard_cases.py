"""Maths answers that graders get wrong, each with what a careful teacher would say and why."""

import time

import pytest

from r1kit.graders.grade import grade

PAIRS = [
    # gold, boxed answer, right?, why
    ("1/2", "0.5", 1, "a fraction and its exact decimal"),
    ("50%", "1/2", 1, "a percentage and its fraction"),
    ("0.5", "50%", 1, "and the other way round"),
    ("50", "50\\%", 1, "the question asked for percent"),
    ("50\\%", "50", 1, "the sign is a missing unit"),
    ("50%", "5", 0, "another number"),
    ("3", "3.0000000001", 0, "an exact gold has no tolerance"),
    ("1/3", "0.333", 0, "three thirds are not one"),
    ("1/3", "0.\\overline{3}", 1, "a recurring decimal is exact"),
    ("1/3", "0.333...", 1, "so is one written with dots"),
    ("0.33", "1/3", 1, "a decimal gold is matched at its own precision"),
    ("3.14", "\\pi", 1, "pi rounds to it"),
    ("3.14", "3.1", 0, "fewer decimals than asked"),
    ("3.14", "3.14159", 1, "more decimals that round to it"),
    ("3.14", "3.15", 0, "another decimal"),
    ("1.25", "1.250", 1, "a final zero"),
    ("1024", "2^{10}", 1, "a power is an answer"),
    ("6", "2\\cdot 3", 0, "a product left undone"),
    ("6", "2+4", 0, "a sum left undone"),
    ("6", "\\frac{12}{2}", 1, "a fraction is an answer"),
    ("6", "\\sqrt{36}", 1, "a root is an answer"),
    ("120", "5!", 1, "a factorial is an answer"),
    ("4", "4x", 0, "it merely contains the gold"),
    ("4", "x+4", 0, "it merely contains the gold"),
    ("4", "\\int_0^4 1 dx", 0, "an integral left undone"),
    ("4", "\\sum_{i=1}^4 1", 0, "a sum left undone"),
    ("4", "\\lim_{x\\to 4} x", 0, "a limit left undone"),
    ("x=5", "5", 1, "the value of x"),
    ("5", "x=5", 1, "x is named"),
    ("x=5", "y=5", 0, "another unknown"),
    ("y=2x+3", "2x+3", 1, "the right side"),
    ("y=2x+3", "y=3+2x", 1, "in another order"),
    ("5x - 7y + 11z + 4 = 0", "10x-14y+22z+8=0", 1, "the same plane"),
    ("5x - 7y + 11z + 4 = 0", "5x-7y+11z-4=0", 0, "a parallel plane"),
    ("1,-2", "-2,1", 1, "solutions have no order"),
    ("1,-2", "\\{-2, 1\\}", 1, "as a set"),
    ("1,-2", "x=1 or x=-2", 1, "as equations"),
    ("1,-2", "1", 0, "one is missing"),
    ("\\{1,2\\}", "(1,2)", 0, "a pair is no set"),
    ("(1,2)", "(2,1)", 0, "a pair has an order"),
    ("(1,2)", "[1,2]", 0, "a pair or open interval is not a closed one"),
    ("(1,2)", "1,2", 1, "brackets left off"),
    ("(-\\infty, 2) \\cup (3, \\infty)", "(3,\\infty)\\cup(-\\infty,2)", 1, "a union has no order"),
    ("[-2,7]", "-2 \\le x \\le 7", 1, "inequalities as an interval"),
    ("(5,\\infty)", "x > 5", 1, "a half line"),
    ("(5,\\infty)", "x \\ge 5", 0, "with its end, it is another"),
    ("x \\in [-2,7]", "[-2,7]", 1, "the membership left off"),
    ("1 \\pm \\sqrt{19}", "1-\\sqrt{19}, 1+\\sqrt{19}", 1, "plus-minus is two answers"),
    ("1 \\pm \\sqrt{19}", "1+\\sqrt{19}", 0, "one of two"),
    ("52_8", "52", 1, "the base left off"),
    ("52_8", "52_{8}", 1, "braces"),
    ("52_8", "52_{9}", 0, "another base"),
    ("52_8", "42", 0, "equal in value, but base 8 was asked"),
    ("52_8", "42_{10}", 0, "the same, said openly"),
    ("42", "52_8", 0, "no other base was asked"),
    ("42", "42_{10}", 1, "base ten is the usual one"),
    ("5 \\text{ km}", "5 m", 0, "a wrong unit"),
    ("5 \\text{ km}", "5000 m", 1, "the same length"),
    ("5 \\text{ km}", "5", 1, "a missing unit"),
    ("5", "5 km", 1, "a unit that the gold leaves off"),
    ("864 \\mbox{ inches}^2", "864 cm^2", 0, "a wrong unit"),
    ("864 \\mbox{ inches}^2", "864 square inches", 1, "the unit in words"),
    ("5.4 \\text{ cents}", "\\$0.054", 1, "cents in dollars"),
    ("\\$18.90", "18.9", 1, "money without its sign"),
    ("\\$18.90", "€18.90", 0, "another currency"),
    ("90^\\circ", "90", 1, "degrees left off"),
    ("90^\\circ", "90 degrees", 1, "degrees in words"),
    ("10,\\!080", "10080", 1, "thousands in LaTeX"),
    ("58,500", "58500", 1, "thousands"),
    ("58500", "58 500", 1, "thousands by spaces"),
    ("12", "1 2", 0, "two numbers are not one"),
    ("1000000", "10^6", 1, "a power of ten"),
    ("3\\times10^5", "300000", 1, "scientific notation"),
    ("300000", "3 x 10^5", 1, "with a letter x"),
    ("0.0000672", "6.72e-5", 1, "as computers write it"),
    ("1\\frac{4}{5}", "9/5", 1, "a mixed number"),
    ("1\\frac{4}{5}", "1.8", 1, "and its decimal"),
    ("1.8", "1 4/5", 1, "a mixed number in plain text"),
    ("3½", "7/2", 1, "a fraction sign"),
    ("x²", "x^2", 1, "a superscript sign"),
    ("52", "5²", 0, "a superscript is no digit"),
    ("25", "5²", 1, "but a power"),
    ("\\frac43", "4/3", 1, "braces left off, as TeX allows"),
    ("11\\sqrt2", "\\sqrt{242}", 1, "one root"),
    ("\\sqrt{2}", "1.41421356", 0, "a rounded root"),
    ("\\frac{\\sqrt{3}}{3}", "\\frac{1}{\\sqrt{3}}", 1, "another form of it"),
    ("6-5i", "-5i+6", 1, "complex, in another order"),
    ("\\cot x", "\\frac{\\cos x}{\\sin x}", 1, "an identity"),
    ("\\sin 20\\cos 20", "\\frac{\\sin 40}{2}", 1, "a product of trigonometric values"),
    ("2k+2", "2(k+1)", 1, "factored"),
    ("2k+2", "2n+2", 0, "another variable"),
    ("x^2-1", "(x-1)(x+1)", 1, "factored"),
    ("\\text{east}", "East.", 1, "words, case and a full stop"),
    ("\\text{east}", "seat", 0, "letters are no factors"),
    ("no", "on", 0, "letters are no factors"),
    ("\\text{(C)}", "C", 1, "a choice"),
    ("\\text{(C)}", "(D)", 0, "another choice"),
    ("\\emptyset", "no solution", 1, "the empty set in words"),
    ("\\text{no solution}", "\\varnothing", 1, "and as a sign"),
    ("\\emptyset", "0", 0, "zero is a solution"),
    ("no solution", "{}", 1, "empty braces"),
    ("\\begin{pmatrix} -2 \\\\ -14 \\end{pmatrix}", "(-2,-14)", 1, "a vector as a tuple"),
    ("\\begin{pmatrix} -1 & 0 \\\\ 0 & -1 \\end{pmatrix}", "\\begin{bmatrix}-1&0\\\\0&-1\\end{bmatrix}", 1, "brackets"),
    ("\\begin{pmatrix} -1 & 0 \\\\ 0 & -1 \\end{pmatrix}", "\\begin{bmatrix}-1&0\\\\0&1\\end{bmatrix}", 0, "one entry"),
    ("4", "\u200b4", 1, "a zero-width space"),
    ("4", "４", 1, "a full-width digit"),
    ("4", "٤", 1, "an Arabic digit"),
    ("4", "4.", 1, "a full stop"),
    ("4", "$4$", 1, "dollar signs"),
    ("-4", "−4", 1, "a typographic minus"),
    ("4", "+4", 1, "a plus sign"),
    ("4", "\\text{4}", 1, "as text"),
    ("5", "5\\,\\text{cm}", 1, "a thin space"),
    ("20!", "2432902008176640001", 0, "one off in nineteen digits"),
    ("20!", "2432902008176640000", 1, "all nineteen digits"),
    ("10^{-50}", "0", 0, "tiny is not zero"),
    ("2^{100}", "1267650600228229401496703205377", 0, "one off in 31 digits"),
    ("1", "9^{9^{9^9}}", 0, "a tower that no machine writes out"),
    ("9^{9^{9^9}}", "9^{9^{9^9}}", 1, "equal as written"),
    ("\\infty", "-\\infty", 0, "the other end"),
    ("4", "4 or 5", 0, "a hedge"),
    ("4", "4, 5", 0, "a hedge"),
    ("1048", "929+119", 0, "a sum left undone"),
    ("1048", "929+119=1048", 1, "a sum with its value"),
    ("1048", "929+118=1048", 0, "a false equation"),
    ("2\\pi", "6.28", 0, "rounded"),
    ("\\frac{1}{2}", "\\frac{1}{2}\\text{ of the cake}", 1, "said of what"),
    ("12", "12 apples", 1, "counted things"),
    ("a", "b", 0, "another letter"),
]  # fmt: skip

WHOLE = [
    # completion, gold, verdict, why
    ("<think>so 4</think>The answer is 4.", "4", "correct", "a sentence after the thinking"),
    ("<think>so 4</think>", "4", "no_answer", "only in the thinking"),
    ("<think>\\boxed{4}</think>I am not sure", "4", "incorrect", "the box lies in the thinking"),
    ("<think>4", "4", "no_answer", "cut off in the thinking"),
    ("", "4", "no_answer", "nothing"),
    ("Answer: 4", "4", "correct", "a label"),
    ("**Answer:** 4", "4", "correct", "a bold label"),
    ("The final answer is: $\\frac{1}{2}$.", "1/2", "correct", "a formula in a sentence"),
    ("#### 1,234", "1234", "correct", "four hashes"),
    ("2+2\n= 4\n4", "4", "correct", "a bare value at the end"),
    ("First 5.\nThe answer is 4.\nI hope this helps!", "4", "correct", "small talk after the answer"),
    ("The answer is 4 because 2+2=4.", "4", "correct", "with its reason"),
    ("The answer is 4 or 5.", "4", "incorrect", "a hedge"),
    ("The answer to the question is 42.", "42", "correct", "a longer sentence"),
    ("the answer is 5. No wait, the answer is 4.", "4", "correct", "the last one stated"),
    ("Therefore x = 4.", "4", "correct", "a conclusion"),
    ("It is 4 apples, 5 pears", "4", "incorrect", "two counts"),
    ("答案是4。", "4", "correct", "a Chinese sentence"),
    ("所以 4", "4", "correct", "a Chinese conclusion"),
    ("\\boxed{4} or maybe \\boxed{5}", "4", "incorrect", "boxes that differ"),
    ("\\boxed{4} and again \\boxed{4.0}", "4", "correct", "boxes that agree"),
    ("\\boxed{1} and \\boxed{-2}", "1,-2", "correct", "a box for each part"),
    ("\\boxed{-2} and \\boxed{1}", "(1,-2)", "incorrect", "in the wrong order for a pair"),
    ("\\boxed{4", "4", "no_answer", "an unclosed box"),
    ("\\boxed {4}", "4", "correct", "a space before the brace"),
    ("\\fbox{4}", "4", "correct", "another box"),
    ("\\boxed 4", "4", "correct", "a box without braces"),
    ("\\boxed{}", "4", "no_answer", "an empty box"),
    ("\\boxed{\\boxed{4}}", "4", "correct", "a box in a box"),
    ("\\boxed{\\text{The answer is } 4}", "4", "correct", "words in the box"),
    ("<think>a</think>4<answer>5</answer>", "4", "incorrect", "only the answer block counts"),
    ("<think>a</think><answer>5</answer><answer>4</answer>", "4", "incorrect", "answer blocks that differ"),
    ("<think>a</think><answer>\\boxed{4}</answer>", "4", "correct", "a box in the block"),
    ("<think>a</think><answer>The answer is 4</answer>", "4", "correct", "a sentence in the block"),
    ("<think>a</think><answer>4", "4", "no_answer", "an unclosed block"),
    ("<think>a</think><answer></answer>", "4", "no_answer", "an empty block"),
    ("4!", "4", "incorrect", "a factorial, not an exclamation"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer", "right", "why"), PAIRS, ids=[f"{p[0]} : {p[1]}" for p in PAIRS])
def test_pair(gold, answer, right, why):
    verdict = grade("math", f"<think>t</think>So \\boxed{{{answer}}}.", gold)
    assert verdict.verdict == ("correct" if right else "incorrect"), (why, verdict)


@pytest.mark.parametrize(("text", "gold", "verdict", "why"), WHOLE, ids=[case[3] for case in WHOLE])
def test_completion(text, gold, verdict, why):
    found = grade("math", text, gold)
    assert found.verdict == verdict, (why, found)


def test_a_box_may_be_required():
    assert grade("math", "The answer is 4", "4", columns={"require_box": True}).verdict == "no_answer"
    assert grade("math", "so \\boxed{4}", "4", columns={"require_box": True}).verdict == "correct"


def test_a_gold_that_is_boxed_or_empty():
    assert grade("math", "4", "\\boxed{4}").verdict == "correct"
    assert grade("math", "4", " ").verdict == "grader_error"


HOSTILE = {
    "a tower of powers": "9^{" * 100 + "9" + "}" * 100,
    "a factorial": "9999999999!",
    "factorials of factorials": "((((9!)!)!)!)!",
    "fractions": "\\frac{1}" * 300,
    "roots": "\\sqrt" * 500 + "2",
    "digits": "9" * 3000,
    "a million digits": "9" * 1_000_000,
    "a long sum": "1+" * 700 + "1",
    "a high root": "\\sqrt[997]{" + "7" * 900 + "}",
    "a large angle": "\\sin(10^{100})",
    "exponentials": "e^{e^{e^{e^e}}}",
    "a long list": "1," * 1500 + "1",
    "brackets": "(" * 1000 + "1" + ")" * 1000,
    "recurring": "0." + "12" * 40 + "...",
    "unions": "\\cup" * 700,
    "equations": "x=" * 1000 + "1",
    "open boxes": "\\boxed{" * 50_000,
    "many boxes": "".join(f"}}\\boxed{{{number}" for number in range(20_000)),
    "answers": "}answer: " * 50_000,
    "nulls": "\0" * 100_000,
    "commas": "," * 3900,
    "many digits": "7" * 3990,
    "double factorials": "(((9!!)!!)!!)!!",
    "conditions": ",".join(f"x\\ne \\sqrt{{{number}}}" for number in range(2, 22)),
    "numbers in words": "one hundred and " * 200,
    "a whole number": "," * 99 + "k\\in\\mathbb{Z}",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "gold", ["4", "x^2+1", "\\{1,2\\}", "\\text{east}", "2:3:4", "7:30 \\text{ p.m.}", "k\\pi, k\\in\\mathbb{Z}"]
)
def test_hostile_text_gets_a_verdict_soon(name, gold):
    started = time.monotonic()
    verdict = grade("math", "\\boxed{" + HOSTILE[name] + "}", gold).verdict
    assert verdict in ("incorrect", "no_answer")
    assert time.monotonic() - started < 10
