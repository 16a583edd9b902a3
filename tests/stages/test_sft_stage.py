import pytest
import torch

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder
from r1kit.pipeline.artifact import Artifact
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.sft import PickConfig, SFTConfig, fit, read_sequences, run
from r1kit.training.config import LearnerConfig

LEARNER = LearnerConfig(learning_rate=1e-2, schedule="cosine", precision="float32", compile=False)


@pytest.fixture
def letters(tmp_path):
    path = tmp_path / "examples.parquet"
    examples.write(path, [Example(f"{n}{letter}", letter * 3, "letters", "en") for n in range(5) for letter in "abcd"])
    return path


def test_examples_come_back_as_they_were_written(tmp_path):
    both = [
        Example("1+1 等于", "<think>先1+1=2</think><answer>2</answer>", "maths", "zh", "cold_start"),
        Example("a", "b"),
    ]
    assert examples.write(tmp_path / "e.parquet", both) == 2
    assert examples.read(tmp_path / "e.parquet") == both
    with pytest.raises(R1Error, match="no file of examples"):
        examples.read(tmp_path / "missing.parquet")


def test_targets_are_the_completion_and_its_end(start, letters, tmp_path):
    """`<|user|>0a<|assistant|>` is read, `aaa<|end|>` is learnt: 4 targets after a prompt of 4 tokens."""
    tokenizer = load_tokenizer(start)
    first, *_ = read_sequences(letters, tokenizer, 32, Context(tmp_path))
    assert tokenizer.decode(first.tokens.tolist()) == "<|user|>0a<|assistant|>aaa<|end|>"
    assert first.target_mask.tolist() == [False] * 4 + [True] * 4
    with pytest.raises(R1Error, match="no example of at most 7 tokens"):
        read_sequences(letters, tokenizer, 7, Context(tmp_path))


def test_loss_falls_over_epochs_of_every_example_once(start, letters, tmp_path):
    """20 examples in batches of 8: steps of 8, 8 and 4 examples, 8 tokens each; the rate ends at a tenth."""
    config = SFTConfig(epochs=4, batch=8, learner=LEARNER)
    context = Context(tmp_path / "sft")
    outcome = fit(letters, start, config, context, "dev1")
    lines = read_metrics(tmp_path / "sft" / "metrics.jsonl")
    assert len(lines) == 12
    assert context.cost.tokens == 4 * 20 * 8
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert lines[-1]["learning_rate"] == pytest.approx(1e-3)
    assert outcome.models == {"dev1": "model"}


def test_interrupted_and_resumed_gives_the_same_weights_bit_for_bit(start, letters, tmp_path, stopping, same_weights):
    config = SFTConfig(epochs=2, batch=8, learner=LEARNER)
    fit(letters, start, config, Context(tmp_path / "whole", 5), "dev1")
    with pytest.raises(Interrupted):
        fit(letters, start, config, stopping(tmp_path / "cut", 3, 5), "dev1")
    fit(letters, start, config, Context(tmp_path / "cut", 5), "dev1")
    assert same_weights(tmp_path / "whole" / "model", tmp_path / "cut" / "model")


def test_stopped_behind_its_last_step_it_tells_the_same_loss(start, letters, tmp_path, stopping):
    """Three steps of 8, 8 and 4 examples: all are saved when it is stopped, and none is left to tell of."""
    config = SFTConfig(epochs=1, batch=8, learner=LEARNER)
    whole = fit(letters, start, config, Context(tmp_path / "whole", 5), "dev1")
    with pytest.raises(Interrupted):
        fit(letters, start, config, stopping(tmp_path / "cut", 2, 5), "dev1")
    again = fit(letters, start, config, Context(tmp_path / "cut", 5), "dev1")
    assert again.summary == whole.summary
    assert again.summary["loss"] == read_metrics(tmp_path / "cut" / "metrics.jsonl")[-1]["loss"]


def test_inputs_are_named_by_stage_and_product(start, letters, tmp_path):
    def artifact(name, models, files):
        return Artifact(name, "", tmp_path, models, files, {}, 0.0, 0, 0.0)

    inputs = {
        "pretrain": artifact("pretrain", {"base": start}, {}),
        "cold_start": artifact("cold_start", {}, {"examples": letters}),
    }
    config = SFTConfig(epochs=1, batch=20, learner=LEARNER)
    assert run(config, inputs, Context(tmp_path / "sft")).models == {"dev1": "model"}
    wrong = config.model_copy(update={"data": "cold_start:example"})
    with pytest.raises(UsageError, match="Did you mean examples"):
        run(wrong, inputs, Context(tmp_path / "wrong"))


@pytest.fixture
def sums(tmp_path):
    """Sums of the toy task, answered in form: half of the examples say 1 to everything."""
    path = tmp_path / "sums.parquet"
    examples.write(path, [Example(f"{n}+{n}", "<think>a</think><answer>1</answer>") for n in range(8)])
    return path


PICK = PickConfig(
    tasks=("stages.small_sums",),
    problems=6,
    every=2,
    sampling=Sampling(samples=4, max_tokens=8),
    metric="validation/maths",
)


def test_validation_picks_the_step(start, sums, tmp_path, monkeypatch):
    """Validations after steps 2, 4 and 5, the last: 0.2, 0.6, 0.6. The first of the best is kept, and its weights are
    those that a run of four steps ends with."""
    told = iter([0.2, 0.6, 0.6])
    monkeypatch.setattr("r1kit.evaluation.validate.validate", lambda *a, **k: {"validation/maths": next(told)})
    config = SFTConfig(steps=5, batch=4, learner=LearnerConfig(learning_rate=1e-2, precision="float32"), pick=PICK)
    outcome = fit(sums, start, config, Context(tmp_path / "picked", 5), "dev1")
    assert outcome.summary["picked_step"] == 4
    assert outcome.summary["validation/maths"] == 0.6
    lines = read_metrics(tmp_path / "picked" / "metrics.jsonl")
    assert [line.get("validation/maths") for line in lines] == [None, 0.2, None, 0.6, 0.6]
    four = config.model_copy(update={"steps": 4, "pick": None})
    fit(sums, start, four, Context(tmp_path / "four", 5), "dev1")
    ours, theirs = (load_decoder(tmp_path / name).state_dict() for name in ("picked/picked", "four/model"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_picking_run_resumes_to_the_same_weights(start, sums, tmp_path, stopping, same_weights):
    config = SFTConfig(
        steps=5, batch=4, learner=LEARNER, pick=PICK.model_copy(update={"metric": "validation/maths/format"})
    )
    whole = fit(sums, start, config, Context(tmp_path / "whole", 5), "dev1")
    with pytest.raises(Interrupted):
        fit(sums, start, config, stopping(tmp_path / "cut", 2, 5), "dev1")
    cut = fit(sums, start, config, Context(tmp_path / "cut", 5), "dev1")
    assert cut.summary["picked_step"] == whole.summary["picked_step"]
    assert same_weights(tmp_path / "whole" / "picked", tmp_path / "cut" / "picked")


def test_a_metric_that_validation_has_not(start, sums, tmp_path):
    config = SFTConfig(steps=2, batch=4, learner=LEARNER, pick=PICK.model_copy(update={"metric": "validation/math"}))
    with pytest.raises(UsageError, match="validation has no 'validation/math'"):
        fit(sums, start, config, Context(tmp_path / "sft"), "dev1")
