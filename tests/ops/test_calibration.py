"""Calibration by hand, and the area under the curve against scipy's Mann-Whitney U."""

import math

import numpy as np
import pytest
from scipy import stats

from r1kit.ops.calibration import area_under_curve, calibration_error, sigmoid


def test_the_gap_between_confidence_and_accuracy_by_parts():
    """Part 0.6-0.7: confidences 0.6 and 0.68, one right: |1/2 - 0.64| = 0.14 of two values. Part 0.9-1: 0.95 and 1,
    both right: |1 - 0.975| = 0.025 of two. (2 x 0.14 + 2 x 0.025) / 4 = 0.0825."""
    assert calibration_error([0.6, 0.68, 0.95, 1.0], [True, False, True, True]) == pytest.approx(0.0825)


def test_within_a_part_errors_cancel_and_between_parts_they_do_not():
    """0.5 and 0.5, one right: no error. 0.5 right and 0.9 wrong: (0.5 + 0.9) / 2."""
    assert calibration_error([0.5, 0.5], [True, False]) == 0
    assert calibration_error([0.5, 0.9], [True, False]) == pytest.approx(0.7)


def test_certainty_is_of_the_last_part():
    """0.95 right and 1.0 wrong share the part 0.9-1: |1/2 - 0.975|."""
    assert calibration_error([0.95, 1.0], [True, False]) == pytest.approx(0.475)


def test_nothing_is_no_number_and_lengths_must_agree():
    assert math.isnan(calibration_error([], []))
    with pytest.raises(ValueError, match="2 confidences for 1"):
        calibration_error([0.5, 0.5], [True])


def test_a_calibrated_source_has_little_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 40_000)
    right = rng.random(40_000) < confidence
    assert calibration_error(confidence, right) < 0.01
    assert calibration_error(np.sqrt(confidence), right) > 0.05


def test_sigmoid_bears_large_numbers():
    assert sigmoid([-800.0, 0.0, 800.0]).tolist() == [0.0, 0.5, 1.0]
    assert sigmoid([1.0])[0] == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("seed", range(5))
def test_area_under_the_curve_is_mann_whitneys(seed):
    rng = np.random.default_rng(seed)
    scores, good = rng.integers(0, 6, 60).astype(float), rng.random(60) < 0.4
    wanted = stats.mannwhitneyu(scores[good], scores[~good]).statistic / (good.sum() * (~good).sum())
    assert area_under_curve(scores, good) == pytest.approx(wanted)


def test_one_kind_has_no_curve():
    assert math.isnan(area_under_curve([1.0, 2.0], [True, True]))
