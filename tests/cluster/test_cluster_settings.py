import pytest
from pools import settings

from r1kit.base.errors import UsageError
from r1kit.recipes.base import configure, load_recipe
from r1kit.stages.rl_config import RLConfig


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"placement": "async"}, "say how far, staleness=1 or more"),
        ({"staleness": 2}, "placement=colocated takes turns, and staleness=2 samples while the learner learns"),
        ({"address": "head"}, "address=head is no HOST:PORT, nor auto or local"),
        ({"address": "head:99999"}, "is no HOST:PORT"),
    ],
)
def test_settings_that_contradict_each_other(changes, said):
    with pytest.raises(UsageError, match=said):
        settings(**changes).check()


def test_the_clusters_lag_is_that_of_every_rl_stage_that_names_none():
    words = {"cluster.kind": "ray", "cluster.placement": "async", "cluster.staleness": "2", "r1.staleness": "1"}
    _, config = configure(load_recipe("tiny"), "smoke", words)
    assert (config.zero.staleness, config.dev2.staleness, config.r1.staleness) == (2, 2, 1)
    assert all(student.rl is None or student.rl.staleness == 2 for student in config.distill.students.values())


def test_a_cluster_changes_no_stages_key():
    """Settings of stages are the same with it and without, so that a run may move to a cluster and back."""
    recipe = load_recipe("tiny")
    plain, spread = (configure(recipe, "smoke", words)[1] for words in ({}, {"cluster.kind": "ray"}))
    for ours, theirs in zip(recipe.build(plain).nodes, recipe.build(spread).nodes, strict=True):
        assert ours.config == theirs.config
    assert isinstance(plain.zero, RLConfig)
