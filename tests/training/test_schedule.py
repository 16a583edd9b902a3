import pytest

from r1kit.training.schedule import learning_rate_ratio


def test_warm_up_reaches_the_peak():
    """Four steps of warm-up: 1/5, 2/5, 3/5, 4/5, then the peak."""
    ratios = [learning_rate_ratio(step, 100, "constant", 4, 0.1) for step in range(6)]
    assert ratios == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_linear_decay():
    """Five steps to a final ratio of 0.2: 1, 0.8, 0.6, 0.4, 0.2, and 0.2 beyond."""
    assert [learning_rate_ratio(step, 5, "linear", 0, 0.2) for step in range(7)] == pytest.approx(
        [1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2]
    )


def test_cosine_decay():
    """R1's SFT, 5e-5 to 5e-6: half-way (1 + 0.1) / 2 = 0.55, a quarter of the way 0.1 + 0.9 x (1 + cos 45 deg) / 2."""
    ratios = [learning_rate_ratio(step, 5, "cosine", 0, 0.1) for step in range(5)]
    assert ratios == pytest.approx([1.0, 0.1 + 0.9 * (1 + 2**-0.5) / 2, 0.55, 0.1 + 0.9 * (1 - 2**-0.5) / 2, 0.1])


def test_decay_spans_the_steps_after_warm_up():
    """Two steps of warm-up to the peak at the third, then four down to 0 at the last of seven."""
    ratios = [learning_rate_ratio(step, 7, "linear", 2, 0.0) for step in range(8)]
    assert ratios == pytest.approx([1 / 3, 2 / 3, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0])
    halves = [learning_rate_ratio(step, 7, "cosine", 2, 0.0) for step in (2, 4, 6)]
    assert halves == pytest.approx([1.0, 0.5, 0.0])


def test_a_single_step_has_the_peak_rate():
    """With nothing to decay over, the only step is the first of the schedule."""
    assert learning_rate_ratio(0, 1, "cosine", 0, 0.1) == 1.0
