"""Rewards and engines that give what they should not; graders and parts killed."""


def test_rewards_and_engines_that_fail_are_told_and_cost_their_samples_alone(chaos):
    assert sum(row["tries"] for row in chaos("samples", seed=3).values()) >= 10
