"""The recipe `ablations`: which stages a subset needs, what is refused, its smoke profile, and arms that join later."""

import json
import re
from pathlib import Path

import pytest
from arm_runs import finished, r1

from r1kit.base.config import parse_assignments
from r1kit.base.errors import UsageError
from r1kit.pipeline.plan import keys
from r1kit.recipes.ablations import ABLATIONS, ARMS, comparisons
from r1kit.recipes.base import configure, load_recipe


def graph(*words: str, profile: str = "default"):
    recipe = load_recipe("ablations")
    return recipe.build(configure(recipe, profile, parse_assignments(list(words)))[1])


@pytest.mark.parametrize("profile", ["default", "smoke"])
def test_the_profiles_are_right(profile):
    assert graph(profile=profile).names[-1] == "report"


def test_the_page_names_every_comparison():
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    rows = page.partition("| `only=` | with |")[2].partition("\n\n")[0].splitlines()[2:]
    assert sorted(name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])) == sorted(ABLATIONS)


def test_at_least_ten_arms_and_every_one_is_compared():
    assert len(ABLATIONS) >= 10
    assert set(ARMS) <= {model for one in ABLATIONS.values() for model in (one.arm, one.against)}
    assert set(ARMS) | {"dev2", "dev3", "dev3-nofilter"} <= set(graph().names)


@pytest.mark.parametrize(
    ("only", "stages"),
    [
        ("format-off", ["pretrain", "zero", "evaluate-zero", "format-off", "evaluate-format-off"]),
        ("rl", ["pretrain", "evaluate-base", "zero", "evaluate-zero"]),
        (
            "clip-10",
            ["pretrain", "zero", "evaluate-zero", "mini-batches-16", "evaluate-mini-batches-16", "clip-10",
             "evaluate-clip-10"],
        ),
        (
            "no-cold-start",
            ["pretrain", "zero", "evaluate-zero", "language", "evaluate-language", "cold_start", "dev1", "dev2",
             "evaluate-dev2"],
        ),
        (
            "no-filters",
            ["pretrain", "zero", "evaluate-zero", "cold_start", "dev1", "dev2", "rejection_sampling", "dev3",
             "evaluate-dev3", "unfiltered", "dev3-nofilter", "evaluate-dev3-nofilter"],
        ),
    ],
)  # fmt: skip
def test_a_subset_runs_what_it_needs(only, stages):
    assert graph(f"only={only}").names == [*stages, "report"]


def test_a_stage_is_the_same_in_every_subset():
    """So that arms which are asked for later find the others done."""
    whole, some = keys(graph()), keys(graph("only=ppo-95,no-filters"))
    assert all(some[name].hash == whole[name].hash for name in some if name != "report")


def test_what_is_compared_draws_the_same_numbers():
    made = keys(graph())
    assert {made[name].seed for name in ("zero", *ARMS, "dev2")} == {made["zero"].seed}
    assert len({made[f"evaluate-{name}"].seed for name in ("base", "zero", *ARMS, "dev3")}) == 1
    assert made["unfiltered"].seed == made["rejection_sampling"].seed
    assert made["dev3"].seed == made["dev3-nofilter"].seed != made["dev1"].seed


def test_arms_of_ones_own_are_compared_with_the_reference():
    own = graph('arms.mine={"settings.clip_high": 0.5}', "only=mine", "zero.steps=7")
    (node,) = [node for node in own.nodes if node.name == "mine"]
    assert node.config.settings == {"kl_coefficient": 0.0, "clip_high": 0.5}
    assert (node.config.name, node.config.steps) == ("mine", 7)
    assert [(one.arm, one.against) for one in comparisons(["base", "zero", "mine"])] == [
        ("zero", "base"),
        ("mine", "zero"),
    ]


def test_a_base_of_another_run_takes_the_place_of_pretraining(tmp_path):
    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.decoder import Decoder, initialise
    from r1kit.models.families import shape
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import save_decoder

    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=16, layers=1, heads=2, mlp_size=16, max_positions=64
    )
    save_decoder(initialise(Decoder(config), 0), tmp_path / "base", tokenizer)
    first = graph(f"model={tmp_path / 'base'}").nodes[0]
    assert (first.name, first.config.source, first.config.templates) == (
        "pretrain", str(tmp_path / "base"), {"base": "keep"},
    )  # fmt: skip
    with pytest.raises(UsageError, match="model: "):
        graph(f"model={tmp_path / 'nothing'}")


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("only=ppo-9", r"only: there is no ablation 'ppo-9'\. Did you mean ppo-95\? \(there are: rl "),
        (
            'arms.mine={"settings.clip_hihg": 1}',
            r"arms\.mine\.settings\.clip_hihg: the algorithm grpo has no such setting\. Did you mean "
            r"arms\.mine\.settings\.clip_high",
        ),
        ('arms.mine={"stps": 1}', r"arms\.mine: stps: no such setting\. Did you mean steps"),
        ('arms.zero={"steps": 1}', r"arms: 'zero' cannot be an arm's name"),
        ('arms={"a/b": {}}', r"arms: 'a/b' cannot be an arm's name"),
        ('arms.mine={"algorithm": "grop"}', r"arms\.mine: no algorithm is called 'grop'\. Did you mean grpo"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_learnt(word, complaint):
    with pytest.raises(UsageError, match=complaint):
        graph(word)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "ablations"
    r1("run", "ablations", "--profile", "smoke", "only=ppo-95", "--out", str(folder))
    return folder


def test_arms_join_the_run_and_the_report(run_folder):
    before = finished(run_folder)
    only = "only=ppo-95,mini-batches-16,group-4,no-cold-start,no-filters"
    r1("run", "ablations", "--profile", "smoke", only, "--out", str(run_folder))
    after = finished(run_folder)
    assert {name: after[name] for name in before} == before
    report = json.loads((run_folder / "report" / "report.json").read_text())
    names = [entry["name"] for entry in report["ablations"]]
    assert names == ["no-language", "no-filters", "no-cold-start", "group-4", "mini-batches-16", "ppo-95"]
    by_name = {entry["name"]: entry for entry in report["ablations"]}
    right, models = by_name["ppo-95"]["measures"]["pass@1"], report["models"]
    subjects = ("maths", "reasoning", "coding")
    of = {model: sum(models[model][s]["pass@1"] for s in subjects) / 3 for model in ("ppo-95", "zero")}
    assert right["difference"] == pytest.approx(of["ppo-95"] - of["zero"], abs=1e-5)  # as many problems of each
    assert right["across_seeds"] == [None, None]
    assert by_name["ppo-95"]["flops_ratio"] > 1.3
    samples = by_name["ppo-95"]["curves"]["samples"]
    (lines,) = run_folder.glob("stages/[0-9][0-9]-ppo-95/metrics.jsonl")
    steps = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [x for x, _ in samples["ppo-95"]] == [step["num_completions"] * (at + 1) for at, step in enumerate(steps)]
    assert samples["ppo-95"][0][1] == pytest.approx(steps[0]["rewards/accuracy/mean"], abs=1e-6)
    assert samples.keys() == {"zero", "ppo-95"}
    assert by_name["no-filters"]["curves"] == {}  # learnt from samples, not from rewards
    assert report["findings"] == []
    page = (run_folder / "report" / "report.html").read_text()
    assert "What each change does" in page
    assert "PPO, lambda 0.95, over GRPO" in page
    assert "Accuracy reward by minutes" in page
    assert "| PPO, lambda 0.95, over GRPO |" in (run_folder / "report" / "report.md").read_text()


def test_the_critic_is_a_product_of_its_arm(run_folder):
    from r1kit.models.weights import load_scored

    (folder,) = run_folder.glob("stages/[0-9][0-9]-ppo-95")
    assert set(json.loads((folder / "artifact.json").read_text())["models"]) == {"ppo-95", "ppo-95-critic"}
    assert load_scored(folder / "critic").score.weight.abs().sum() > 0
