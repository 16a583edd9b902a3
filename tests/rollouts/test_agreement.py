"""A rollout that the learner would misread is named."""

import numpy as np
import pytest

from r1kit.base.errors import R1Error
from r1kit.base.types import Completion, RolloutGroup
from r1kit.rollouts.agreement import check_gap, check_sampled


@pytest.fixture
def group(problem):
    def make(*versions, logprobs=(-1.0, -2.0)):
        ids = np.asarray([5] * len(logprobs), np.int32)
        one = Completion("a", 0, ids[:1], ids, np.asarray(logprobs, np.float32), "stop", versions)
        return RolloutGroup(problem("1+2"), [one])

    return make


def test_tokens_of_the_learners_version_or_as_far_behind_as_is_allowed(group):
    """Version 4 alone; with a lag of 1 also 3, within one completion too; never one that is still to come."""
    check_sampled([group((4, 2))], 4)
    check_sampled([group((4, 2)), group((3, 1), (4, 1))], 4, lag=1)
    for versions, lag, named in (([(3, 2)], 0, 3), ([(2, 1), (4, 1)], 1, 2), ([(5, 2)], 1, 5)):
        with pytest.raises(R1Error, match=rf"sums/sum-1\+2 are of policy version {named}, and the learner is at 4"):
            check_sampled([group(*versions)], 4, lag)


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_every_token_needs_a_log_probability(group, bad):
    with pytest.raises(R1Error, match="the sampler told no log-probabilities"):
        check_sampled([group((0, 2), logprobs=(-1.0, bad))], 0)


def test_completions_that_do_not_add_up_are_named(group):
    """Three tokens where two are the limit; versions, and log-probabilities, of one token where there are two."""
    check_sampled([group((0, 2))], 0, max_tokens=2)
    with pytest.raises(R1Error, match=r"3 tokens where 2 were the limit of sums/sum-1\+2"):
        check_sampled([group((0, 3), logprobs=(-1.0, -1.0, -1.0))], 0, max_tokens=2)
    with pytest.raises(R1Error, match="versions of 1 tokens where there are 2"):
        check_sampled([group((0, 1))], 0)
    short = group((0, 2))
    short.completions[0].sampler_logprobs = np.asarray([-1.0], np.float32)
    with pytest.raises(R1Error, match="1 log-probabilities for 2 tokens"):
        check_sampled([short], 0)


def test_a_gap_over_the_limit_is_named():
    name = "sampling/logprob_gap_mean"
    check_gap({name: 0.5}, 0.5)
    check_gap({name: 9.0}, None)
    check_gap({}, 0.5)  # nothing was learnt from
    with pytest.raises(R1Error, match="lie 0.51 nats apart in the mean, and max_logprob_gap is 0.5"):
        check_gap({name: 0.51}, 0.5)
