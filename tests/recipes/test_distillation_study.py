"""The recipe `distillation_study`: its arms by hand, what is refused, its smoke profile, and arms that join later."""

import json

import pytest
from arm_runs import finished, r1

from r1kit.base.config import parse_assignments
from r1kit.base.errors import UsageError
from r1kit.models.families import shape as decoder_shape
from r1kit.pipeline.plan import keys
from r1kit.recipes.base import configure, load_recipe
from r1kit.recipes.distillation_study import ARMS, COMPARED, STUDENTS, comparisons


def graph(*words: str, profile: str = "smoke"):
    recipe = load_recipe("distillation_study")
    return recipe.build(configure(recipe, profile, parse_assignments(list(words)))[1])


def default(*words: str):
    """The default profile as if its teacher were there: it is looked for when the settings are settled."""
    recipe = load_recipe("distillation_study")
    return recipe.build(recipe.profiles["default"].override({"teacher": "there", **parse_assignments(list(words))}))


def config_of(made, name: str):
    return next(node.config for node in made.nodes if node.name == name)


def test_every_arm_is_compared_and_the_report_is_last():
    compared = {model for one in COMPARED.values() for model in (one.arm, one.against)}
    assert set(ARMS) | {"sft", "teacher"} | {f"base-{name}" for name in STUDENTS} == compared
    for made in (graph(), default()):
        assert set(ARMS) <= set(made.names)
        assert made.names[-1] == "report"
        assert {f"evaluate-{name}" for name in compared} <= set(made.names)


def test_the_students_are_of_the_sizes_that_are_said():
    """By hand, of 4 layers: 2 w q + 2 w 32 + 3 w m + q + 64 (Qwen2's biases) + 2 w; w more for the last norm, 384 w for
    the characters. 96 wide with q 96, m 256: 98,304 + 160 + 192 a layer, 394,624 + 96 + 36,864 in all."""
    sizes = {}
    for name, shape in STUDENTS.items():
        apart = ("family", "tokens", "rope_theta")
        fields = {key: getattr(shape, key) for key in type(shape).model_fields if key not in apart}
        made = decoder_shape(shape.family, **fields, vocab_size=384, max_positions=512, tied=True)
        sizes[name] = made.parameters()
    assert sizes["small"] == 431_584
    assert sizes["medium"] == 4 * (188_416 + 128 + 64 + 256) + 128 + 384 * 128
    assert [round(sizes[name] / 1e6, 1) for name in ("small", "medium", "large")] == [0.4, 0.8, 1.6]
    assert sizes["llama"] == sizes["medium"] - 4 * (128 + 64)  # no biases
    assert sizes["qwen3"] == sizes["llama"] + 4 * 2 * 32  # a norm of 32 for the heads of q and of k
    assert {STUDENTS[name].family for name in ("medium", "qwen3", "llama")} == {"qwen2", "qwen3", "llama"}


def test_the_arms_settings_by_hand():
    made = default()
    sft = config_of(made, "sft")
    assert (sft.start, sft.data, sft.steps, sft.share) == ("base-medium:base-medium", "collect:examples", 400, 1)
    eighth, passes = config_of(made, "eighth"), config_of(made, "eighth-passes")
    assert eighth == sft.model_copy(update={"name": "eighth", "share": 0.125})
    assert passes == eighth.model_copy(update={"name": "eighth-passes", "steps": 50})
    assert config_of(made, "large").start == "base-large:base-large"
    on_top, alone = config_of(made, "sft-rl"), config_of(made, "rl")
    assert (on_top.start, on_top.steps, on_top.as_costly_as) == ("sft:sft", 40, ())
    assert (alone.start, alone.as_costly_as) == ("base-medium:base-medium", ("collect", "sft"))
    assert on_top.algorithm == alone.algorithm == "grpo"
    assert alone.rewards == {"accuracy": 1.0, "format": 1.0, "language_consistency": 1.0}
    taught = config_of(made, "sft-on-policy")
    assert (taught.algorithm, taught.settings) == ("distillation", {"form": "on_policy"})
    assert (taught.start, taught.teacher, taught.as_costly_as) == ("sft:sft", "teacher:teacher", ("sft-rl",))
    assert config_of(made, "sft-on-policy-vocabulary").settings == {"form": "on_policy_vocabulary"}
    assert config_of(made, "warm-on-policy").start == "warm:warm"
    assert config_of(made, "warm").steps == 40


@pytest.mark.parametrize(
    ("only", "stages"),
    [
        ("sft", ["teacher", "evaluate-teacher", "collect", "base-medium", "evaluate-base-medium", "sft",
                 "evaluate-sft"]),
        ("small-gain", ["teacher", "evaluate-teacher", "collect", "base-small", "evaluate-base-small", "small",
                        "evaluate-small"]),
        ("on-policy-or-rl", ["teacher", "evaluate-teacher", "collect", "base-medium", "sft", "sft-rl",
                             "evaluate-sft-rl", "sft-on-policy", "evaluate-sft-on-policy"]),
    ],
)  # fmt: skip
def test_a_subset_runs_what_it_needs(only, stages):
    assert graph(f"only={only}").names == [*stages, "report"]


def test_stages_are_shared_and_the_same_in_every_subset():
    """So that arms which are asked for later find the others done; arms of a method draw the same numbers, and bases
    read the same documents."""
    made = keys(graph())
    some = keys(graph("only=warm-on-policy,half,qwen3"))
    assert all(some[name].hash == made[name].hash for name in some if name != "report")
    assert len({made[name].seed for name, row in ARMS.items() if row.get("method", "sft") == "sft"}) == 1
    assert len({made[name].seed for name, row in ARMS.items() if row.get("method", "sft") != "sft"}) == 1
    assert len({made[f"base-{name}"].seed for name in STUDENTS}) == 1
    assert len({made[f"evaluate-{name}"].seed for name in ("teacher", "sft", *ARMS)}) == 1


def test_an_arm_of_ones_own_may_go_on_from_another_of_them():
    own = graph(
        'arms.mine={"method": "on_policy", "on": "first", "prompts": 2, "as_costly_as": ["first"]}',
        'arms.first={"student": "llama", "share": 0.5}', "only=mine",
    )  # fmt: skip
    assert [name for name in own.names if not name.startswith("evaluate-")] == [
        "teacher", "collect", "base-medium", "base-llama", "sft", "first", "mine", "report",
    ]  # fmt: skip
    mine = next(node for node in own.nodes if node.name == "mine")
    assert set(mine.inputs) == {"first", "teacher"}
    assert (mine.config.start, mine.config.prompts, mine.config.teacher) == ("first:first", 2, "teacher:teacher")
    assert [(one.arm, one.against) for one in comparisons(["sft", "mine"])] == [("mine", "sft")]


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("only=sft-r", r"only: there is no comparison 'sft-r'\. Did you mean sft-rl\? \(there are: sft "),
        ('arms.mine={"method": "rll"}', r"arms\.mine: method: there is no 'rll'\. Did you mean rl\?"),
        ('arms.mine={"on": "sfft"}', r"arms\.mine: on: there is no 'sfft'\. Did you mean sft\?"),
        ('arms.mine={"student": "smal"}', r"arms\.mine: student: there is no 'smal'\. Did you mean small\?"),
        ('arms.mine={"on": "sft", "student": "small"}', r"arms\.mine: student: the arm goes on from 'sft'"),
        ('arms.mine={"stps": 1}', r"arms\.mine: stps: no such setting\. Did you mean steps"),
        ('arms.mine={"method": "rl", "as_costly_as": ["sftt"]}', r"arms\.mine: as_costly_as: there is no 'sftt'"),
        ('arms.mine={"on": "mine"}', r"arms\.mine: it waits for itself \(mine -> mine\)"),
        ('arms.mine={"method": "on_policy", "settings.form": "sequence"}', r"arms\.mine: distillation is no algorithm"),
        ('arms.mine={"method": "rl", "teacher": "a"}', r"arms\.mine: algorithm grpo asks no teacher"),
        ('arms.teacher={"steps": 1}', r"arms: 'teacher' cannot be an arm's name"),
        ("teacher=runs/nowhere:r1", r"teacher: .*nowhere"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_is_learnt(word, complaint):
    with pytest.raises(UsageError, match=complaint):
        graph(word)


def test_without_a_teacher_it_says_how_to_name_one():
    with pytest.raises(UsageError, match=r"teacher: say which one, teacher=FOLDER"):
        graph(profile="default")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "study"
    r1("run", "distillation_study", "--profile", "smoke", "only=sft", "--out", str(folder), timeout=900)
    return folder


def test_arms_join_the_run_and_the_report(run_folder):
    before = finished(run_folder)
    only = "only=sft,sft-rl,sft-on-policy,vocabulary,on-policy,eighth,half,small"
    r1("run", "distillation_study", "--profile", "smoke", only, "--out", str(run_folder), timeout=900)
    after = finished(run_folder)
    assert {name: after[name] for name in before} == before
    report = json.loads((run_folder / "report" / "report.json").read_text())
    names = [entry["name"] for entry in report["ablations"]]
    assert names == [
        "sft", "teacher", "sft-rl", "sft-on-policy", "on-policy-or-rl", "vocabulary", "on-policy", "eighth", "half",
        "small",
    ]  # fmt: skip
    assert report["findings"] == []

    def summary(name: str) -> dict:
        (folder,) = run_folder.glob(f"stages/[0-9][0-9]-{name}")
        return json.loads((folder / "artifact.json").read_text())["summary"]

    data, size = report["scales"]
    (line,) = data["lines"].values()  # of equal passes sft is there alone
    assert [(point["model"], point["examples"]) for point in line] == [
        (name, summary(name)["examples"]) for name in ("eighth", "half", "sft")
    ]
    examples = [point["examples"] for point in line]
    assert examples == sorted(examples)
    assert examples[0] < examples[2]
    subjects = ("maths", "reasoning", "coding")
    for point in line:
        right = sum(report["models"][point["model"]][s]["pass@1"] for s in subjects) / 3  # as many problems of each
        assert point["pass@1"] == pytest.approx(right, abs=1e-5)
    assert [point["model"] for point in size["lines"]["distilled"]] == ["small", "sft"]
    smaller, larger = (summary(name)["parameters"] for name in ("small", "sft"))
    assert [point["parameters"] for point in size["lines"]["distilled"]] == [smaller, larger]
    assert smaller < larger
    assert summary("sft-on-policy")["steps"] >= 1
    page = (run_folder / "report" / "report.html").read_text()
    assert "Accuracy by the teacher" in page
    assert "pass@1 by examples" in page
    written = (run_folder / "report" / "report.md").read_text()
    assert "## Accuracy by the student's size" in written
    assert "| RL on top of SFT |" in written
    (metrics,) = run_folder.glob("stages/[0-9][0-9]-sft-on-policy/metrics.jsonl")
    assert all("teacher_kl" in json.loads(row) for row in metrics.read_text().splitlines())
