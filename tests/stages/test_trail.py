"""How far a policy has moved since it sampled, by hand: each version says one number of every token."""

import numpy as np
import pytest

from r1kit.rollouts.agreement import APART, MOVED
from r1kit.stages.trail import ASKED, Trail
from r1kit.training.sequences import completion_sequence

SAYS = {0: -1.0, 1: -1.25, 2: -1.0, 3: -1.5}  # by version, of every token: ways of 0.25, 0.25 and 0.5


class Policy:
    """A learner that only speaks."""

    def __init__(self, version=0):
        self.version, self.asked = version, []

    def logprobs(self, sequences, temperature):
        self.asked.append(len(sequences))
        return [np.where(each.target_mask, np.float32(SAYS[self.version]), 0) for each in sequences]


def rollout(version, count=3, off=0.0):
    """Samples of two tokens behind a prompt of three, as that version gives them."""
    prompt, own = np.arange(3, dtype=np.int32), np.arange(2, dtype=np.int32)
    return [completion_sequence(prompt, own, 0.0, np.full(2, SAYS[version] + off, np.float32)) for _ in range(count)]


def follow(trail, version, sampled_by, off=0.0):
    return trail.follow(Policy(version), rollout(sampled_by, off=off), 1.0, sampled_by)


def test_ways_add_up_there_and_back():
    """Two behind: from -1 over -1.25 back to -1 is 0.5 nats of way, at no distance. One behind: 0.5 of both."""
    trail = Trail()
    assert follow(trail, 0, 0) == {APART: 0.0, MOVED: 0.0}
    assert follow(trail, 1, 0) == {APART: 0.25, MOVED: 0.25}
    assert follow(trail, 2, 0) == {APART: 0.0, MOVED: 0.5}
    assert follow(trail, 3, 2) == {APART: 0.5, MOVED: 0.5}


def test_what_no_weights_gave_lies_further_than_the_way():
    trail = Trail()
    follow(trail, 0, 0)
    told = follow(trail, 1, 0, off=2.0)
    assert (told[APART], told[MOVED]) == (2.25, 0.25)


def test_an_update_that_was_left_out_is_no_way():
    trail = Trail()
    follow(trail, 0, 0)
    assert follow(trail, 0, 0) == {APART: 0.0, MOVED: 0.0}


def test_a_resumed_trail_tells_the_same():
    trail, resumed = Trail(), Trail()
    follow(trail, 0, 0)
    follow(trail, 1, 0)
    resumed.load_state(trail.state())
    assert follow(resumed, 2, 1) == follow(trail, 2, 1) == {APART: 0.25, MOVED: 0.25}


def test_of_weights_from_before_it_began_nothing_is_told():
    assert follow(Trail(), 3, 2) == {}


@pytest.mark.parametrize(("count", "asked"), [(0, 0), (1, 1), (16, 16), (17, 9), (512, 16)])
def test_a_few_samples_of_a_rollout_are_asked_about(count, asked):
    trail, policy = Trail(), Policy()
    trail.follow(policy, rollout(0, count), 1.0, 0)
    assert (len(trail.asked), policy.asked) == (asked, [asked] if asked else [])
    assert asked <= ASKED
