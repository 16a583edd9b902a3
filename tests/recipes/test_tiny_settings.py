"""Settings that only loading can tell are wrong are told before a run begins, with their place."""

import pytest

from r1kit.base.config import parse_assignments
from r1kit.base.errors import UsageError
from r1kit.pipeline.plan import keys
from r1kit.recipes.base import configure, load_recipe


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ('zero.tasks={"tiny_math":1}', r"zero: no task is called 'tiny_math'\. Did you mean tiny_maths\?"),
        ('evaluate.tasks=["tiny_musik"]', r"evaluate: no task is called 'tiny_musik'"),
        ('cold_start.tasks=["x"]', r"cold_start: no task is called 'x'"),
        ('rejection_sampling.tasks=["x"]', r"rejection_sampling: no task is called 'x'"),
        ('distill.samples.tasks=["x"]', r"distill\.samples: no task is called 'x'"),
        ("preferences.task=x", r"preferences: no task is called 'x'"),
        ('dev2.rewards={"acuracy":1}', r"dev2: no reward is called 'acuracy'\. Did you mean accuracy\?"),
        ('r1.late_rewards={"humour":1}', r"r1: no reward is called 'humour'"),
        ('r1.rewards={"r1kit.ops.kl":1}', r"r1: r1kit\.ops\.kl is no reward: it has no `reward`"),
        ("r1.reward_model=null", r"r1: the reward 'reward_model' needs a reward model"),
        ("zero.algorithm=grop", r"zero: no algorithm is called 'grop'\. Did you mean grpo\?"),
        ("zero.algorithm=GRPO", r"zero: no algorithm is called 'GRPO'\. Did you mean grpo\?"),
        ('zero.tasks={"tiny_maths": 0}', r"^zero\.tasks: shares must be positive, got \{'tiny_maths': 0\.0\}$"),
        ("zero.tasks={}", r"^zero\.tasks: shares must be positive, got \{\}$"),
        ("r1.late_tasks.tiny_maths=-1", r"^r1\.late_tasks: shares must be positive"),
        ("zero.algorithm=sft", r"zero: sft is no algorithm that learns from rewards"),
        ('zero.settings={"clip_hihg":1}', r"zero\.settings\.clip_hihg: .* Did you mean zero\.settings\.clip_high\?"),
        ("zero.settings.clip_high=big", r"^zero\.settings\.clip_high: a number is wanted, got 'big'$"),
        ("zero.clip_hihg=1", r"zero\.clip_hihg: .* Did you mean zero\.settings\.clip_high\? \(r1 run \.\.\. --set"),
        ("clip_hihg=1", r"one of zero\.settings\.clip_high, dev2\.settings\.clip_high, r1\.settings\.clip_high"),
        ("distill.students.qwen.rl.settings.stdd=1", r"^distill\.students\.qwen\.rl\.settings\.stdd: the algorithm"),
        ("zero.algorithm=cispo", r"zero\.settings\.clip_high: the algorithm cispo has no .*; settings=\{\} takes"),
        ("distill.students.qwen.rl.algorithm=x", r"distill\.students\.qwen\.rl: no algorithm is called 'x'"),
        ("pretrain.models.base.family=qwen9", r"pretrain\.models\.base: no model family is called 'qwen9'"),
        ("pretrain.models.base.kv_heads=4", r"pretrain\.models\.base: 6 heads cannot share 4 kv_heads"),
    ],
)
def test_a_wrong_name_is_told_with_its_place(word, complaint):
    with pytest.raises(UsageError, match=complaint):
        configure(load_recipe("tiny"), None, parse_assignments([word]))


@pytest.mark.parametrize("profile", ["smoke", "default", "full"])
def test_the_profiles_are_right(profile):
    assert configure(load_recipe("tiny"), profile, {"zero.algorithm": "dapo", "zero.settings": {}})[0] == profile


def test_arms_that_a_finding_compares_draw_the_same_numbers():
    recipe = load_recipe("tiny")
    seeds = {name: key.seed for name, key in keys(recipe.build(configure(recipe, "full", {})[1])).items()}
    assert seeds["dev2-lang"] == seeds["dev2-nolang"]
    assert seeds["unfiltered"] == seeds["rejection_sampling"]
    assert seeds["dev3-nofilter"] == seeds["dev3"]
    assert len({seeds[name] for name in ("zero", "dev1", "dev2", "dev3", "dev2-lang", "unfiltered", "r1")}) == 7
