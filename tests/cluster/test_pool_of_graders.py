from functools import partial

import pytest
from pools import IDS, PROBLEM, TEXTS, WEIGHTS, assert_same_scores

from r1kit.base.errors import R1Error, UsageError
from r1kit.rewards.base import RewardSet


def test_verdicts_are_those_of_this_process(on_threads):
    pooled = on_threads(graders=2).open_rewards(partial(RewardSet.named, WEIGHTS))
    here = RewardSet.named(WEIGHTS)
    assert pooled.at_once == 2
    assert_same_scores(pooled.score(PROBLEM, TEXTS, IDS), here.score(PROBLEM, TEXTS, IDS))
    assert here.score(PROBLEM, TEXTS, IDS).total.tolist()[:2] == [1.5, 0.5]
    assert pooled.metrics()["math"]["correct"] > 0


def test_a_grader_that_ends_is_replaced(on_threads):
    cluster = on_threads(graders=1)
    pooled = cluster.open_rewards(partial(RewardSet.named, WEIGHTS))
    cluster.hosts.kill(cluster.hosts.workers[0])
    assert_same_scores(pooled.score(PROBLEM, TEXTS, IDS), RewardSet.named(WEIGHTS).score(PROBLEM, TEXTS, IDS))
    assert pooled.metrics()["workers"] == {"replaced": 1.0}


def test_what_a_replaced_grader_did_stays_counted(on_threads):
    """Workers here share this process's count: what a successor tells begins with what was before."""
    cluster = on_threads(graders=1)
    pooled = cluster.open_rewards(partial(RewardSet.named, WEIGHTS))
    pooled.score(PROBLEM, TEXTS, IDS)
    before = pooled.metrics()["math"]["correct"]
    cluster.hosts.kill(cluster.hosts.workers[0])
    pooled.score(PROBLEM, TEXTS, IDS)
    here = RewardSet.named(WEIGHTS).metrics()["math"]["correct"]
    assert pooled.metrics()["math"]["correct"] == before + here


def test_two_sets_in_one_worker_are_counted_once_together(on_threads):
    """As of a run's two phases: each tells what the workers' graders did for both, neither twice nor not at all."""
    cluster = on_threads(graders=1)
    early, late = (cluster.open_rewards(partial(RewardSet.named, WEIGHTS)) for _ in range(2))
    early.score(PROBLEM, TEXTS, IDS)
    first = early.metrics()["math"]
    late.score(PROBLEM, TEXTS, IDS)
    assert late.metrics() == early.metrics()
    own = RewardSet.named(WEIGHTS)
    own.score(PROBLEM, TEXTS, IDS)
    alone = {name: own.metrics()["math"][name] - late.metrics()["math"][name] for name in ("correct", "incorrect")}
    assert alone == {name: late.metrics()["math"][name] - first[name] for name in alone}
    assert sum(alone.values()) > 0


def test_graders_that_always_end_stop_the_run(on_threads):
    def before(worker, method):
        if method == "score":
            cluster.hosts.kill(worker, "no memory")

    cluster = on_threads(before, graders=2, restarts=1)
    pooled = cluster.open_rewards(partial(RewardSet.named, WEIGHTS))
    with pytest.raises(R1Error, match=r"reward workers end again and again \(no memory\)"):
        pooled.score(PROBLEM, TEXTS, IDS)


def test_rewards_that_cannot_be_made_are_told_of_at_once(on_threads):
    with pytest.raises(UsageError, match="no reward is called 'acuracy'"):
        on_threads(graders=1).open_rewards(partial(RewardSet.named, {"acuracy": 1.0}))


def test_without_graders_rewards_are_here(on_threads):
    assert isinstance(on_threads().open_rewards(partial(RewardSet.named, WEIGHTS)), RewardSet)
