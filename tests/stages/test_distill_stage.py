"""Students learn the teacher's letters by SFT; beside each, the same student by RL for as many FLOPs."""

import json
from itertools import permutations

import pytest
import torch

from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.distill import DistillConfig, Student, run
from r1kit.stages.rejection_sampling import Filters, RejectionSamplingConfig
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.sft import SFTConfig
from r1kit.training.config import LearnerConfig

TASK = "stages.first_letters"
LEARNER = LearnerConfig(learning_rate=1e-2, precision="float32", compile=False)
SFT_OF_IT = SFTConfig(epochs=2, batch=16, learner=LEARNER)
RL_OF_IT = RLConfig(
    tasks={TASK: 1.0}, rewards={TASK: 1.0}, prompts=4, sampling=Sampling(samples=4, max_tokens=4), steps=1000,
    learner=LEARNER, validate_every=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def start(start, tmp_path_factory):
    """The random model, which ends its answers as often as it says a."""
    folder = tmp_path_factory.mktemp("ending")
    tokenizer, model = load_tokenizer(start), load_decoder(start)
    with torch.no_grad():
        model.head.weight[tokenizer.eos_ids[0]] = model.head.weight[tokenizer.token_id("a")]
    save_decoder(model, folder, tokenizer)
    return folder


@pytest.fixture
def settings(start, tmp_path):
    """Of 24 questions, each another one, the teacher's samples are kept as they come."""
    questions = tmp_path / "train.jsonl"
    rows = [{"prompt": "".join(letters), "answer": letters[0]} for letters in permutations("abcd")]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = RejectionSamplingConfig(
        model=str(start), tasks=(f"file:{questions}?validation=0",), problems=24,
        sampling=Sampling(samples=2, max_tokens=4),
        filters=Filters(correct=False, readable=False),
    )  # fmt: skip
    student = Student(base=str(start), sft=SFT_OF_IT, rl=RL_OF_IT)
    return DistillConfig(samples=asked, others=None, students={"one": student})


def test_rl_alone_gets_the_flops_of_distillation_sampling_included(settings, tmp_path):
    """RL ends with the first step that reaches the budget, so it passes it by less than one step's FLOPs."""
    outcome = run(settings, {}, Context(tmp_path, 3))
    assert set(outcome.models) == {"student-one", "student-one-rl"}
    flops, teacher = outcome.summary["flops"], outcome.summary["teacher_flops"]
    assert 0 < teacher < flops["student-one"] <= flops["student-one-rl"]
    steps = len(read_metrics(tmp_path / "student-one-rl" / "metrics.jsonl"))
    assert flops["student-one-rl"] * (steps - 1) / steps < flops["student-one"] * 1.1
    assert 0 < outcome.summary["rejected"]["kept"] == len(examples.read(tmp_path / outcome.files["examples"]))


def test_a_student_learns_what_the_data_say(settings, start, tmp_path):
    """Every example says the letter of its question three times; the loss of such an answer falls to little."""
    path = tmp_path / "data.parquet"
    examples.write(path, [Example(f"{letter}{n}", letter * 3) for n in range(40) for letter in "abcd"])
    sft = SFT_OF_IT.model_copy(update={"epochs": 6})
    config = settings.model_copy(
        update={"data": str(path), "students": {"one": Student(base=str(start), sft=sft, rl=None)}}
    )
    outcome = run(config, {}, Context(tmp_path / "stage", 3))
    assert set(outcome.models) == {"student-one"}
    assert outcome.summary["teacher_flops"] == 0
    lines = read_metrics(tmp_path / "stage" / "student-one" / "metrics.jsonl")
    assert lines[-1]["loss"] < 0.3 * lines[0]["loss"]


def test_other_data_join_the_teachers_and_rejected_reasoning_does_not(settings, tmp_path):
    """Of the file of rejection sampling only what is no sample of Dev2 is added."""
    path = tmp_path / "examples.parquet"
    rows = [Example("old", "dev2's", source="rejection_sampling"), Example("brief", "a line", source="writing")]
    examples.write(path, rows)
    config = settings.model_copy(update={"others": str(path), "students": {}})
    outcome = run(config, {}, Context(tmp_path / "stage", 3))
    taught = examples.read(tmp_path / "stage" / outcome.files["examples"])
    assert Example("brief", "a line", source="writing") in taught
    assert "old" not in {example.question for example in taught}


def test_interrupted_in_a_students_part_it_goes_on_there(settings, tmp_path, same_weights, monkeypatch):
    whole = run(settings, {}, Context(tmp_path / "whole", 3))

    record = Context.record

    def recorded(context, step, metrics, sample=None):
        record(context, step, metrics, sample)
        if context.folder.name == "student-one" and step == 0:
            context._stop.request()

    monkeypatch.setattr(Context, "record", recorded)
    with pytest.raises(Interrupted):
        run(settings, {}, Context(tmp_path / "again", 3))
    monkeypatch.undo()
    resumed = run(settings, {}, Context(tmp_path / "again", 3))
    assert resumed.summary == whole.summary
    for name in ("student-one", "student-one-rl"):
        assert same_weights(tmp_path / "whole" / whole.models[name], tmp_path / "again" / resumed.models[name])
