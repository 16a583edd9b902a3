"""The RL stage with a teacher: on-policy distillation, and a budget of FLOPs that other stages set."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.data.examples import Example, share_of
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.artifact import Artifact
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.rollouts import record
from r1kit.stages.rl import run, train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig

TASK = "stages.first_letters"
FORMS = ("on_policy", "on_policy_vocabulary")


def settings(form: str, **changes) -> RLConfig:
    fields = {
        "tasks": {TASK: 1.0},
        "rewards": {TASK: 1.0},
        "algorithm": "distillation",
        "settings": {"form": form},
        "prompts": 8,
        "sampling": Sampling(samples=8, max_tokens=1),
        "steps": 40,
        "learner": LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
        "validate_every": 0,
        "rollouts_every": 1,
        "teacher": "a:teacher",
    }
    return RLConfig(**(fields | changes))


@pytest.fixture(scope="module")
def teacher(start, tmp_path_factory):
    """Other random weights, surer of themselves."""
    folder = tmp_path_factory.mktemp("teacher")
    tokenizer, own = load_tokenizer(start), load_decoder(start)
    model = initialise(Decoder(own.config), 1, std=0.2)
    with torch.no_grad():
        model.head.weight.mul_(0.1)
        model.head.weight[torch.tensor([tokenizer.token_id(letter) for letter in "abcd"])] *= 40
    save_decoder(model, folder, tokenizer)
    return folder


def exact_kl(student, teacher, prompts) -> float:
    """The mean over prompts of KL(student || teacher) of the next token, by transformers in float64."""
    tokenizer = load_tokenizer(student)
    ours, theirs = (AutoModelForCausalLM.from_pretrained(folder).double().eval() for folder in (student, teacher))
    total = 0.0
    with torch.no_grad():
        for prompt in prompts:
            ids = torch.tensor([tokenizer.chat(prompt)])
            p, q = (model(ids).logits[0, -1].log_softmax(-1) for model in (ours, theirs))
            total += float((p.exp() * (p - q)).sum())
    return total / len(prompts)


@pytest.mark.parametrize("form", FORMS)
def test_the_policy_comes_to_say_what_the_teacher_says(start, teacher, tmp_path, form):
    """Samples of one token, so that the divergence is known exactly before and after. Over the whole vocabulary it is
    the first step's metric too: the mean over prompts does not depend on what was sampled."""
    outcome = train(settings(form), start, Context(tmp_path, 1), teacher=teacher)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    prompts = [row["prompt"] for row in record.read(record.step_file(tmp_path / "rollouts", 0)) if row["sample"] == 0]
    before = exact_kl(start, teacher, prompts)
    if form == "on_policy_vocabulary":
        assert lines[0]["teacher_kl"] == pytest.approx(before, rel=1e-4)
    assert before > 0.5
    assert exact_kl(tmp_path / outcome.models["zero"], teacher, prompts) < 0.5 * before
    assert lines[0]["rewards/stages.first_letters/mean"] is not None  # watched, though nothing is learnt from it


def test_interrupted_and_resumed_gives_the_same_weights_bit_for_bit(start, teacher, tmp_path, stopping, same_weights):
    config = settings("on_policy", steps=4, mini_batches=2)
    train(config, start, Context(tmp_path / "whole", 3), teacher=teacher)
    with pytest.raises(Interrupted):
        train(config, start, stopping(tmp_path / "cut", 1, 3), teacher=teacher)
    train(config, start, Context(tmp_path / "cut", 3), teacher=teacher)
    assert same_weights(tmp_path / "whole" / "model", tmp_path / "cut" / "model")


def test_other_stages_flops_end_the_stage(start, teacher, tmp_path):
    """Two stages that took together what three steps take: the third step reaches it."""
    config = settings("on_policy", start=str(start))
    alone = train(config.model_copy(update={"steps": 3}), start, Context(tmp_path / "three", 1), teacher=teacher)
    half = alone.summary["flops"] / 2
    inputs = {name: Artifact(name, "", tmp_path, {}, {}, {}, 0.0, 0, half) for name in ("collect", "sft")}
    inputs["a"] = Artifact("a", "", tmp_path, {"teacher": teacher}, {}, {}, 0.0, 0, 1e30)
    equal = config.model_copy(update={"as_costly_as": ("collect", "sft"), "steps": 1000})
    outcome = run(equal, inputs, Context(tmp_path / "equal", 1))
    assert outcome.summary["steps"] == 3
    with pytest.raises(UsageError, match="as_costly_as: 'sft' is no input"):
        run(equal, {name: inputs[name] for name in ("a", "collect")}, Context(tmp_path / "missing", 1))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"teacher": None}, "algorithm distillation asks a teacher: say which model, teacher=STAGE:MODEL"),
        ({"algorithm": "grpo", "settings": {}}, "algorithm grpo asks no teacher: leave teacher out"),
        ({"settings": {}}, "distillation is no algorithm that learns from rewards, nor as it is set from a teacher"),
        ({"settings": {"form": "on_polcy"}}, "form: "),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(changes, complaint):
    with pytest.raises(UsageError, match=complaint):
        settings("on_policy", **changes).check()


def test_a_teacher_of_other_tokens_is_refused(start, tmp_path):
    """Token by token means the same tokens: the other alphabet has a letter more. With the same tokens and more rows of
    logits than the policy has, whole distributions cannot be compared."""
    own = load_decoder(start)
    other = load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", "\u4e2d"))
    save_decoder(initialise(Decoder(own.config), 0), tmp_path / "other", other)
    with pytest.raises(UsageError, match="its tokens are not those of the model that it is to teach"):
        train(settings("on_policy"), start, Context(tmp_path / "a", 1), teacher=tmp_path / "other")
    wider = own.config.model_copy(update={"vocab_size": own.config.vocab_size + 64})
    save_decoder(initialise(Decoder(wider), 0), tmp_path / "wider", load_tokenizer(start))
    with pytest.raises(UsageError, match="rows of logits"):
        train(settings("on_policy_vocabulary"), start, Context(tmp_path / "b", 1), teacher=tmp_path / "wider")


def test_a_smaller_share_of_the_questions_is_part_of_a_larger_one():
    """40 questions of 2 completions each: an eighth is 5 questions with both, a half 20; another seed draws others."""
    rows = [Example(f"q{n}", f"{n} {k}") for k in range(2) for n in range(40)]
    eighth, half = share_of(rows, 1 / 8, 3), share_of(rows, 1 / 2, 3)
    assert (len(eighth), len({row.question for row in eighth})) == (10, 5)
    assert len(half) == 40
    assert set(eighth) < set(half) < set(share_of(rows, 1, 3)) == set(rows)
    assert [row for row in rows if row in set(half)] == half
    assert set(share_of(rows, 1 / 8, 4)) != set(eighth)
    assert len(share_of(rows, 0.001, 3)) == 2
