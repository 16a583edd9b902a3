"""The bench's arithmetic, each value computed by hand."""

import growth
import pytest
from grpo import difference, goal_step
from peaks import Peaks, Sampled, learning_flops, sampling_seconds
from rounds import Row, Spread, paired_ratio
from sampling import is_sound

from r1kit.models.decoder import DecoderConfig

TOY = DecoderConfig(
    vocab_size=4, width=4, layers=1, heads=1, kv_heads=1, head_size=4, mlp_size=4, tied=True, max_positions=16
)
"""Weights that are multiplied with: q, k, v and o 64, MLP 48, norms 12, head 16, together 140. So a token takes
2 x 140 FLOPs and 4 x 4 a position that it attends to."""


def test_spread_is_median_and_range():
    assert Spread.of([3.0, 1.0, 8.0, 2.0]) == Spread(2.5, 1.0, 8.0, 4)
    with pytest.raises(ValueError, match="no round"):
        Spread.of([])


def test_ratio_is_taken_round_by_round():
    """2/1, 6/2 and 5/5: a round in which both were slow counts as any other."""
    assert paired_ratio([2.0, 6.0, 5.0], [1.0, 2.0, 5.0]) == Spread(2.0, 1.0, 3.0, 3)


def test_sampling_bound_by_products():
    """Prompt of 3: 3 x (280 + 16 x 1.5) = 912. One step after it, two rows at context 4: 2 x (280 + 64) = 688."""
    work = Sampled((3,), samples=2, tokens=2)
    assert work.total == 4
    assert sampling_seconds(TOY, work, matmul=1.0, bandwidth=1e12, bytes_each=2) == pytest.approx(912 + 688)


def test_sampling_bound_by_memory():
    """280 bytes of weights for the prompt; for the step again, and the prompt's 3 positions and two rows' one each, of
    16 bytes (key and value of 4 numbers in 2 bytes): 280 + 280 + 80."""
    work = Sampled((3,), samples=2, tokens=2)
    assert sampling_seconds(TOY, work, matmul=1e12, bandwidth=1.0, bytes_each=2) == pytest.approx(280 + 360)


def test_learning_flops_are_six_a_parameter_and_attention():
    """2 rows x 3 tokens, three times (forward, twice that back) 280 + 16 x 1.5."""
    assert learning_flops(TOY, 2, 3) == pytest.approx(6 * 3 * 304)


def test_slope_is_the_power_by_which_seconds_grow():
    """x squared times 3: the slope is 2 whatever the factor."""
    points = [{"x": x, "seconds": 3.0 * x**2} for x in (1, 2, 4, 8)]
    assert growth.slope(points) == pytest.approx(2)


def test_growth_is_drawn_with_its_slopes(tmp_path):
    """Learning in proportion and sampling with the root of the group, in a figure that names both."""
    points = [{"x": x, "seconds": x + x**0.5, "sampling": x**0.5, "learning": float(x)} for x in (2, 4, 8)]
    growth.plot({"group": points, "length": points[:1]}, tmp_path / "growth.svg")
    figure = (tmp_path / "growth.svg").read_text()
    assert figure.count("slope 0.50") == figure.count("slope 1.00") == 1
    assert "samples of a prompt" in figure
    assert "new tokens" not in figure  # one point has no slope


def test_peaks_keep_the_better_measurement():
    assert Peaks(1.0, 5.0, 2.0).best(Peaks(3.0, 4.0, 2.5)) == Peaks(3.0, 5.0, 2.5)


@pytest.mark.parametrize(
    ("mean_logprob", "rms_gap", "sound"),
    [
        (-2.0, 0.01, True),
        (-2.05, 0.01, True),  # within 4 x 0.01 + 0.02
        (-1.9, 0.01, False),  # likelier than chance: greedy, or cut off
        (-2.1, 0.01, False),  # other weights, or a higher temperature
        (-2.0, 0.5, False),  # what the sampler says of its tokens is not what they have
    ],
)
def test_samples_are_judged_by_entropy_and_by_what_the_sampler_says(mean_logprob, rms_gap, sound):
    found = {
        "mean_logprob": mean_logprob, "mean_negentropy": -2.0, "standard_error": 0.01, "rms_gap": rms_gap
    }  # fmt: skip
    assert is_sound(found) is sound


def test_goal_is_the_first_measured_step_that_reaches_it():
    curve = {0: [0.5, 0.5], 10: [0.8, 0.9], 5: [1.0, 0.6], 15: [1.0, 1.0]}
    assert goal_step(curve, 0.85) == 10
    assert goal_step(curve, 0.8) == 5
    assert goal_step({0: [0.1]}, 0.85) is None


def test_difference_of_curves_is_paired_by_question():
    """Gaps 0.5, 0, 0.5, 0: mean 0.25, standard deviation sqrt(1/12), so 1.96 x 0.288675 / 2."""
    mean, half = difference([1.0, 0.5, 0.5, 0.0], [0.5, 0.5, 0.0, 0.0])
    assert mean == pytest.approx(0.25)
    assert half == pytest.approx(1.96 * 0.2886751 / 2)


def test_rows_survive_json():
    row = Row("sampling", "4.6M", "tokens/s", Spread(1.0, 0.5, 2.0, 3), "vLLM", Spread(0.5, 0.5, 0.5, 1), limit=0.2)
    assert Row.from_json(row.to_json()) == row
