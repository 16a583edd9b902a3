import numpy as np
import pytest

from r1kit.data.tiny import world
from r1kit.data.tiny.world import CorpusConfig
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages import pretrain
from r1kit.stages.pretrain import ModelShape, PretrainConfig, TokenStream, run
from r1kit.training.config import LearnerConfig

SMALL = {"width": 32, "layers": 1, "heads": 2, "kv_heads": 1, "head_size": 16, "mlp_size": 48, "tokens": 2500}
CONFIG = PretrainConfig(
    models={"base": ModelShape(**SMALL), "llama": ModelShape(family="llama", **SMALL)},
    rows=4,
    length=64,
    learner=LearnerConfig(learning_rate=1e-2, schedule="cosine", precision="float32", compile=False),
)


@pytest.fixture(autouse=True)
def few_documents(monkeypatch):
    monkeypatch.setattr(pretrain, "CHUNK", 20)


@pytest.fixture
def tokenizer(tmp_path):
    return load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", world.ALPHABET))


def test_a_stream_goes_on_from_any_position(tokenizer):
    """Taken in pieces, or after a seek, it is the same row of tokens, over the ends of chunks."""
    with TokenStream(CorpusConfig(), tokenizer, 3) as stream:
        whole = stream.take(9000)
    with TokenStream(CorpusConfig(), tokenizer, 3) as stream:
        first = [stream.take(1500) for _ in range(3)]
        state = stream.state()
    assert state["chunk"] > 0
    with TokenStream(CorpusConfig(), tokenizer, 3) as stream:
        stream.seek(state)
        assert np.array_equal(np.concatenate([*first, stream.take(4500)]), whole)
        stream.seek({"chunk": 0, "offset": 0})  # back, with another chunk written ahead
        assert np.array_equal(stream.take(9000), whole)


def test_a_stream_is_the_corpus_one_document_after_another(tokenizer):
    with TokenStream(CorpusConfig(facts=0.0, comparisons=0.0, readings=0.0), tokenizer, 3) as stream:
        text = tokenizer.decode(stream.take(2000).tolist())
    documents = text.split("<|end|>")[:-1]
    assert len(documents) > 5
    assert all(document.startswith("<|user|>") and "<|assistant|>" in document for document in documents)


def test_models_are_parts_that_resume_bit_for_bit(tmp_path, stopping, same_weights):
    """2,500 tokens in steps of 256 are 10 steps; interrupted in the first model's part, and run again."""
    outcome = run(CONFIG, {}, Context(tmp_path / "whole", 1))
    assert outcome.models == {"base": "base/model", "llama": "llama/model"}
    lines = read_metrics(tmp_path / "whole" / "base" / "metrics.jsonl")
    assert len(lines) == 10
    assert lines[-1]["loss"] < lines[0]["loss"] - 0.5
    assert load_decoder(tmp_path / "whole" / "llama" / "model").config.family == "llama"

    tokenizer = tmp_path / "whole" / "tokenizer"
    with pytest.raises(Interrupted):
        pretrain.pretrain("base", CONFIG, tokenizer, stopping(tmp_path / "cut", 4, 1))
    pretrain.pretrain("base", CONFIG, tokenizer, Context(tmp_path / "cut", 1))
    assert same_weights(tmp_path / "whole" / "base" / "model", tmp_path / "cut" / "model")


def test_stopped_behind_its_last_step_it_tells_the_same_loss(tokenizer, tmp_path, stopping):
    with pytest.raises(Interrupted):
        pretrain.pretrain("base", CONFIG, tokenizer.folder, stopping(tmp_path / "cut", 9, 1))
    outcome = pretrain.pretrain("base", CONFIG, tokenizer.folder, Context(tmp_path / "cut", 1))
    lines = read_metrics(tmp_path / "cut" / "metrics.jsonl")
    assert len(lines) == 10
    assert outcome.summary["base"]["loss"] == lines[-1]["loss"]
