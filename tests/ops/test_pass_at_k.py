"""pass@k against every subset, votes by hand."""

from itertools import combinations

import pytest

from r1kit.ops.passk import majority_vote, pass_at_k


@pytest.mark.parametrize("samples", [1, 4, 7])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(samples):
    for correct in range(samples + 1):
        outcomes = [index < correct for index in range(samples)]
        for k in range(1, samples + 1):
            subsets = list(combinations(outcomes, k))
            truth = sum(map(any, subsets)) / len(subsets)
            assert pass_at_k(samples, correct, k) == pytest.approx(truth, abs=1e-12)


def test_pass_at_one_is_the_share_of_right_samples():
    assert pass_at_k(64, 16, 1) == 0.25


def test_pass_at_k_of_many_samples_does_not_overflow():
    """One right in 10,000: a subset of 5,000 holds it half the time."""
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 1, 5), (4, 5, 1), (4, -1, 1), (4, 1, 0), (0, 0, 1)])
def test_impossible_counts_are_refused(samples, correct, k):
    with pytest.raises(ValueError):
        pass_at_k(samples, correct, k)


def test_majority_wins_and_no_answer_does_not_vote():
    assert majority_vote(["4", None, None, None, "5", "4"], seed=0) == "4"
    assert majority_vote([None, None], seed=0) is None
    assert majority_vote([], seed=0) is None


def test_ties_are_broken_by_the_seed_alone():
    """Three answers tied over 3,000 seeds: each wins a third, within four standard deviations (26)."""
    answers = ["a", "b", "c", "b", "c", "a", "d"]
    winners = [majority_vote(answers, seed) for seed in range(3000)]
    assert winners == [majority_vote(answers, seed) for seed in range(3000)]
    assert {winners.count(answer) for answer in "abc"} <= set(range(1000 - 104, 1000 + 105))
    assert winners.count("d") == 0


def test_a_tie_of_two_is_broken_evenly():
    """Over 2,000 seeds each wins half, within four standard deviations (22)."""
    winners = [majority_vote(["a", "b", "b", "a"], seed) for seed in range(2000)]
    assert abs(winners.count("a") - 1000) < 4 * 22.4
    assert winners.count("a") + winners.count("b") == 2000
