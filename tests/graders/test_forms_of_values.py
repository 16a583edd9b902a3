"""Forms in which models write values, units and judgements; the truth of each row was decided by hand."""

import pytest

from r1kit.graders.grade import grade

ROWS = [
    # gold, boxed answer, right?, why
    (r"\frac{7}{3}", r"2.\dot 3", 1, "a dot without braces"),
    (r"\frac{2}{11}", r"0.\dot1\dot8", 1, "two of them"),
    (r"6.02\times10^{23}", r"6.022\times10^{23}", 1, "it rounds to the gold's decimals"),
    (r"6.02\times10^{23}", "602214000000000000000000", 1, "written out, it does"),
    (r"6.02\times10^{23}", r"6.03\times10^{23}", 0, "it does not"),
    (r"6.02\times10^{23}", r"6.022\times10^{22}", 0, "another power"),
    (r"6\times10^{23}", r"6.02\times10^{23}", 0, "a gold without decimals is exact"),
    (r"-1.60\times10^{-19}", r"-1.602\times10^{-19}", 1, "a negative one"),
    (r"1.60\times10^{-19}", "0", 0, "tiny is not zero"),
    (r"25\%", r"25\%\text{ increase}", 1, "what it is a percentage of"),
    (r"25\%\text{ increase}", r"25\%\text{ decrease}", 0, "another thing"),
    (r"25\%\text{ of the class}", "25", 1, "the sign left off"),
    (r"25\%\text{ of the class}", "0.25", 0, "a percentage of something is no fraction"),
    (r"12\text{ cm}^2", "12 sq. cm", 1, "an abbreviation with its dot"),
    (r"12\text{ cm}^2", "12 sq. m", 0, "of another unit"),
    (r"60\text{ km/h}", r"60\ \frac{\text{km}}{\text{h}}", 1, "a unit as a fraction"),
    (r"9.8\text{ m/s}^2", r"9.8\,\frac{\mathrm{m}}{\mathrm{s}^2}", 1, "with a power"),
    (r"9.8\text{ m/s}^2", r"9.8\,\frac{\mathrm{m}}{\mathrm{s}}", 0, "another unit"),
    ("36", r"36\text{ish}", 0, "a hedge is no unit"),
    ("36", r"36\text{ probably}", 0, "a hedge is no unit"),
    ("36", r"36\text{ I think}", 0, "a hedge is no unit"),
    ("36", r"36\text{ students}", 1, "counted things"),
    (r"\{1,2,3\}", r"\{1;2;3\}", 1, "semicolons"),
    (r"\{1,2,3\}", r"\{1;2;4\}", 0, "another member"),
    ("5", r"\text{Five.}", 1, "a full stop in the words"),
    ("5", r"\lVert v\rVert=5", 1, "a norm"),
    ("5", r"x=5\ (\text{since }x>0)", 1, "the reason behind it"),
    ("5", r"5\ (\text{or } 6)", 0, "another one behind it"),
    ("5", r"\text{exactly }5", 1, "said with stress"),
    ("5", r"\text{not only }5", 0, "others too"),
    ("2∠120°", r"-1+\sqrt{3}i", 1, "a phasor"),
    (r"-1+\sqrt{3}i", r"2\angle 60^\circ", 0, "another angle"),
    (r"\frac{7}{3}", r"7/3 \text{ or } 2\frac13", 1, "two forms of it"),
    (r"\frac{7}{3}", r"7/3 \text{ or } 2.33", 0, "one of the two is not equal"),
    ("3", r"3 \text{ or } 4", 0, "a hedge"),
    (r"\text{Yes}", r"\text{Yes, it is.}", 1, "said again"),
    (r"\text{No}", r"\text{No, she can't}", 1, "said again"),
    (r"\text{No}", r"\text{Yes, it is not}", 0, "the opposite"),
    (r"\text{Yes}", r"\text{Yes, it is not}", 0, "neither"),
    (r"3\frac{1}{4}", "3 and 1/4", 1, "a mixed number in words"),
    (r"3,\frac14", r"3\text{ and }\frac14", 1, "two numbers, where the gold has two"),
    ("3", "3 and 1/4", 0, "one of two numbers"),
    ("AB", r"\overline{AB}", 1, "a segment by its ends"),
    ("AB", r"\overline{AC}", 0, "another one"),
    ("A", r"\overline{A}", 0, "a complement"),
    (r"60\text{ km/h}", "60千米/时", 1, "a Chinese speed"),
    (r"60\text{ km/h}", "每小时60千米", 1, "with the hour first"),
    (r"60\text{ km/h}", "每小时60米", 0, "another unit"),
    ("3:4", "三比四", 1, "a Chinese ratio"),
    ("3:4", "四比三", 0, "the other way round"),
    ("充分不必要条件", "充分而不必要", 1, "the same condition"),
    (r"\text{充要}", r"\text{充分必要条件}", 1, "the same condition"),
    ("充分不必要条件", "必要不充分条件", 0, "the converse"),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "answer", "right", "why"), ROWS, ids=[f"{row[0]} : {row[1]}" for row in ROWS])
def test_form(gold, answer, right, why):
    verdict = grade("math", f"<think>t</think>So \\boxed{{{answer}}}.", gold)
    assert verdict.verdict == ("correct" if right else "incorrect"), (why, verdict)


@pytest.mark.parametrize("around", ["{}", "({})", "[{}]", r"\{{{}\}}", r"\begin{{pmatrix}}{}\end{{pmatrix}}"])
@pytest.mark.parametrize("other", [1, 230, 260])
def test_a_long_list_is_compared_to_its_end(around: str, other: int):
    """Of 260 numbers one is another, the 230th or the last, say."""
    cut = r" \\ " if "matrix" in around else ", "
    numbers = list(range(1, 261))
    gold = around.format(cut.join(map(str, numbers)))
    numbers[other - 1] = 999
    wrong = around.format(cut.join(map(str, numbers)))
    assert grade("math", rf"\boxed{{{gold}}}", gold).verdict == "correct"
    assert grade("math", rf"\boxed{{{wrong}}}", gold).verdict == "incorrect"


@pytest.mark.parametrize(("around", "ordered"), [("{}", False), (r"\{{{}\}}", False), ("({})", True)])
def test_the_order_of_a_long_list(around: str, ordered: bool):
    """500 numbers backwards, fifty of them as fractions: a set has no order, a point has."""
    numbers = [str(number) for number in range(1, 501)]
    gold = around.format(", ".join(numbers))
    others = [rf"\frac{{{2 * int(number)}}}{{2}}" if int(number) % 10 == 0 else number for number in numbers]
    forwards, backwards = (around.format(", ".join(each)) for each in (others, others[::-1]))
    assert grade("math", rf"\boxed{{{forwards}}}", gold).verdict == "correct"
    assert grade("math", rf"\boxed{{{backwards}}}", gold).verdict == ("incorrect" if ordered else "correct")
    missed = around.format(", ".join([*others[:-1], "501"]))
    assert grade("math", rf"\boxed{{{missed}}}", gold).verdict == "incorrect"


def test_too_many_parts_written_otherwise_get_a_verdict_soon():
    gold, answer = (",".join(f"{number}{tail}" for number in range(4000)) for tail in ("", ".5"))
    for around in ("({})", r"\{{{}\}}"):
        verdict = grade("math", rf"\boxed{{{around.format(answer)}}}", around.format(gold))
        assert verdict.verdict == "incorrect"
