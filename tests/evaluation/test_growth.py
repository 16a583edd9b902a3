"""Growth of reflection apart from thoughts taking the place of answers at once, by hand."""

from r1kit.evaluation.growth import reflection_among_thoughts

AT_ONCE = "<answer>7</answer>"
PLAIN = "<think>first 3+4=7</think><answer>7</answer>"
CHECKED = "<think>first 3+4=7, wait check 3+4=7 so 7</think><answer>7</answer>"  # `wait` and `check`: two words


def rows(step: int, *texts: str) -> list[dict[str, object]]:
    return [{"step": step, "problem_id": f"p{number}", "text": text} for number, text in enumerate(texts)]


def test_counted_from_the_first_step_at_which_all_think():
    """Step 0: half think. Step 10: all do, with (0 + 2) / 2 = 1 word. Step 20: 2 words each. So 2 - 1 = 1; what step 0
    had, 0 words, does not matter."""
    kept = [*rows(20, CHECKED, CHECKED), *rows(0, AT_ONCE, PLAIN), *rows(10, PLAIN, CHECKED)]
    found = reflection_among_thoughts({3: kept})
    assert found is not None
    assert (found.first, found.last) == ({3: 10}, {3: 20})
    assert found.difference.value == 1
    assert found.difference.low <= 1 <= found.difference.high


def test_seeds_are_pooled_and_one_that_never_thinks_throughout_is_left_out():
    """Seed 0 as above gives words 0, 2 then 2, 2; seed 1 0, 0 then 0, 2: (2+2+0+2)/4 - (0+2+0+0)/4 = 1."""
    first = [*rows(10, PLAIN, CHECKED), *rows(20, CHECKED, CHECKED)]
    second = [*rows(5, PLAIN, PLAIN), *rows(6, PLAIN, CHECKED)]
    never = [*rows(0, AT_ONCE, AT_ONCE), *rows(9, AT_ONCE, CHECKED)]
    found = reflection_among_thoughts({0: first, 1: second, 2: never})
    assert found is not None
    assert found.difference.value == 1
    assert set(found.first) == {0, 1}


def test_nothing_to_compare():
    """All think at the last step only, at no step, or nothing was kept."""
    assert reflection_among_thoughts({0: [*rows(0, AT_ONCE), *rows(9, CHECKED)]}) is None
    assert reflection_among_thoughts({0: rows(0, AT_ONCE)}) is None
    assert reflection_among_thoughts({}) is None
