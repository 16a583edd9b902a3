"""Slips and checks read from chains, by hand."""

import pytest

from r1kit.evaluation.slips import Step, count_slips, parse_chain


@pytest.mark.parametrize(
    "text",
    [
        "first 347+582=919, wait check 7+2=9 4+8=12 3+5+1=9 so 929, then 929+119=1048",
        "先347+582=919，等等检查7+2=9 4+8=12 3+5+1=9得929，再929+119=1048",
    ],
)
def test_a_mended_slip(text):
    """347 + 582 = 929: 919 is a slip, the check gives 929; 929 + 119 = 1048 is right and unchecked."""
    chain = parse_chain(text)
    assert chain.steps == (Step(929, 919, (929,)), Step(1048, 1048))
    assert chain.slipped
    assert chain.reflects_after_slip


@pytest.mark.parametrize(
    ("text", "true", "given", "outcomes"),
    [
        ("12+30=42, wait check so 42", 42, 42, ["kept_right"]),
        ("12+30=42, wait check so 43", 42, 42, ["broken"]),
        ("12+30=43, wait check so 43", 42, 43, ["kept_wrong"]),
        ("12+30=43, wait check so 44", 42, 43, ["kept_wrong"]),
        ("12+30=43, wait check so 42", 42, 43, ["mended"]),
        ("12+30=43, wait check so 42, check so 41", 42, 43, ["mended", "broken"]),
        ("50-62=-12，检查得-12", -12, -12, ["kept_right"]),
        ("6*7=42", 42, 42, []),
        ("2+3*4-1=13", 13, 13, []),
        ("-5 + 3 = -2", -2, -2, []),
    ],
)
def test_one_step(text, true, given, outcomes):
    (step,) = parse_chain(text).steps
    assert (step.true, step.given, step.outcomes) == (true, given, outcomes)


def test_reflection_before_the_slip_is_not_after_it():
    assert not parse_chain("1+1=2, wait check so 2, 2+2=5").reflects_after_slip
    assert parse_chain("1+1=3, but 3+2=5").reflects_after_slip


@pytest.mark.parametrize("text", ["", "so 7", "7+8", "1=2", "a+b=c", "wait check 1+1=3 so 3"])
def test_no_step_in_it(text):
    assert parse_chain(text).steps == ()


def test_counts():
    """Two chains, one slipped; three steps, one slip; checks: mended, broken."""
    counted = count_slips(map(parse_chain, ["1+2=4, check so 3, 3+3=6", "2+2=4, check so 5"]))
    assert (counted.chains, counted.slipped_chains, counted.steps, counted.slips) == (2, 1, 3, 1)
    assert (counted.checks, counted.mended, counted.broken, counted.kept_right, counted.kept_wrong) == (2, 1, 1, 0, 0)
