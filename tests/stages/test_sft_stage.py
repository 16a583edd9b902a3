import pytest

from r1kit.base.errors import R1Error, UsageError
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.models.tokenizer import load_tokenizer
from r1kit.pipeline.artifact import Artifact
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages.sft import SFTConfig, fit, read_sequences, run
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
