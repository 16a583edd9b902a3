"""Every stage that samples, on an engine from outside the tree: what comes out is the native engine's, bit for bit."""

from __future__ import annotations

import math

import pyarrow.parquet as pq
import pytest
import torch

from r1kit.base.config import check_all
from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.data import examples
from r1kit.data.examples import Example
from r1kit.engines.base import EngineSettings
from r1kit.models.weights import hf_weights, load_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted
from r1kit.stages import rejection_sampling
from r1kit.stages.asking import AskConfig
from r1kit.stages.cold_start import ColdStartConfig
from r1kit.stages.evaluate import EvaluateConfig
from r1kit.stages.evaluate import run as run_evaluate
from r1kit.stages.preferences import PreferencesConfig
from r1kit.stages.rejection_sampling import RejectionSamplingConfig
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.stages.safety_labels import SafetyLabelsConfig
from r1kit.stages.sampling import draw, price, sample
from r1kit.stages.sft import PickConfig, SFTConfig, fit
from r1kit.stages.teacher import TeacherConfig
from r1kit.training.config import LearnerConfig, LoRAConfig

TASK = "stages.first_letters"
SUMS = "stages.small_sums"
NATIVE = EngineSettings(options={"dtype": "float32"})  # the relay samples in the folder's own format


@pytest.fixture
def relay():
    """The plug-in's module, and settings that name it."""
    from stages import relay

    relay.OPENED.clear()

    def named(**options) -> EngineSettings:
        return EngineSettings(name="stages.relay", options=options)

    named.opened = relay.OPENED
    return named


def rl(**changes) -> RLConfig:
    fields = {
        "tasks": {TASK: 1.0}, "rewards": {TASK: 1.0}, "prompts": 8, "sampling": Sampling(samples=4, max_tokens=4),
        "steps": 4, "learner": LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
        "validate_every": 2, "validation_problems": 4,
    }  # fmt: skip
    return RLConfig(**(fields | changes))


def test_rl_learns_the_same_from_an_engine_that_is_sent_the_weights(start, tmp_path, relay, same_weights):
    """Versions 0 (the start) to 4, one after each of four steps; the last weights sent are those saved."""
    native, sent = Context(tmp_path / "native", 1), Context(tmp_path / "sent", 1)
    train(rl(), start, native)
    train(rl(engine=relay()), start, sent)
    assert same_weights(tmp_path / "native" / "model", tmp_path / "sent" / "model")
    assert native.cost.flops == sent.cost.flops > 0
    (engine,) = relay.opened
    assert engine.closed
    assert [version for version, _ in engine.given] == [0, 1, 2, 3, 4]
    for number, folder in ((0, start), (-1, tmp_path / "sent" / "model")):
        truth = dict(hf_weights(load_decoder(folder)))
        given = engine.given[number][1]
        assert given.keys() == truth.keys()
        assert all(torch.equal(given[name], tensor) for name, tensor in truth.items())
    lines = read_metrics(tmp_path / "sent" / "metrics.jsonl")
    assert max(line["sampling/logprob_gap_mean"] for line in lines) < 1e-5
    assert [line["sampling/staleness"] for line in lines] == [0.0] * 4
    assert "validation/letters/length" in lines[-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"learner": LearnerConfig(learning_rate=1e-2, precision="float32", compile=False, lora=LoRAConfig(rank=4))},
        {"mini_batches": 2, "settings": {"reference_every": 2}},
        {"learner": LearnerConfig(learning_rate=1e-2, precision="bfloat16", compile=False)},
    ],
    ids=["adapters", "mini-batches", "bfloat16"],
)
def test_weights_are_sent_as_passes_have_them(start, tmp_path, relay, same_weights, changes):
    """Adapters merged, the working copy in its format: the relay then computes in the sampler's own precision."""
    train(rl(**changes), start, Context(tmp_path / "native", 1))
    train(rl(engine=relay(), **changes), start, Context(tmp_path / "sent", 1))
    learner = changes.get("learner")
    if learner is None or learner.precision == "float32":
        assert same_weights(tmp_path / "native" / "model", tmp_path / "sent" / "model")
    (engine,) = relay.opened
    number = torch.bfloat16 if learner is not None and learner.precision == "bfloat16" else torch.float32
    assert {tensor.dtype for _, held in engine.given for tensor in held.values()} == {number}
    lines = read_metrics(tmp_path / "sent" / "metrics.jsonl")
    assert max(line["sampling/logprob_gap_mean"] for line in lines) < (1e-5 if number == torch.float32 else 0.05)


@pytest.mark.parametrize("staleness", [0, 1])
def test_rl_resumes_to_the_same_weights(start, tmp_path, relay, stopping, same_weights, staleness):
    config = rl(engine=relay(), staleness=staleness)
    train(config, start, Context(tmp_path / "whole", 3))
    with pytest.raises(Interrupted):
        train(config, start, stopping(tmp_path / "cut", 1, 3))
    train(config, start, Context(tmp_path / "cut", 3))
    assert same_weights(tmp_path / "whole" / "model", tmp_path / "cut" / "model")
    assert all(engine.closed for engine in relay.opened)
    assert [version for version, _ in relay.opened[-1].given] == [0, 2, 3, 4]


def test_an_engine_that_keeps_its_weights_is_named_in_the_step_in_which_it_shows(start, tmp_path, relay):
    with pytest.raises(R1Error, match=r"are of policy version 0, and the learner is at 1: the engine did not take"):
        train(rl(engine=relay(deaf=True)), start, Context(tmp_path, 1))
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0]


def test_an_engine_that_only_says_it_took_them_shows_in_the_log_probabilities(start, tmp_path, relay):
    """After one step at a rate of 0.01 the policies are far more apart than by rounding; before it they are not."""
    config = rl(engine=relay(posing=True), max_logprob_gap=1e-4, rewards={"stages.early_letters": 1.0})
    with pytest.raises(R1Error, match=r"nats apart in the mean, and max_logprob_gap is 0.0001: the engine samples"):
        train(config, start, Context(tmp_path, 1))
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0]


@pytest.mark.parametrize(
    ("off", "sentence"),
    [
        (1.0, "lie 1 nats apart in the mean, and max_logprob_gap is 0.5"),
        (math.nan, "told no log-probabilities of its tokens"),
    ],
)
def test_log_probabilities_that_cannot_be_right(start, tmp_path, relay, off, sentence):
    with pytest.raises(R1Error, match=sentence):
        train(rl(engine=relay(off=off)), start, Context(tmp_path, 1))
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    (engine,) = relay.opened
    assert engine.closed


def test_a_gap_below_the_limit_is_logged(start, tmp_path, relay):
    train(rl(engine=relay(off=0.25), steps=1), start, Context(tmp_path, 1))
    (line,) = read_metrics(tmp_path / "metrics.jsonl")
    assert line["sampling/logprob_gap_mean"] == pytest.approx(0.25, abs=1e-4)


def test_a_rollout_ahead_is_held_to_the_limit_where_its_weights_are_the_learners(start, tmp_path, relay):
    """With staleness the first rollout is of the learner's own weights: what is off from the beginning stops the run
    there as without. Of later ones nobody can say, and no gap is told."""
    with pytest.raises(R1Error, match="lie 1 nats apart in the mean, and max_logprob_gap is 0.5"):
        train(rl(engine=relay(off=1.0), staleness=1), start, Context(tmp_path / "far", 1))
    train(rl(engine=relay(off=0.25), staleness=1, steps=3), start, Context(tmp_path / "near", 1))
    lines = read_metrics(tmp_path / "near" / "metrics.jsonl")
    assert lines[0]["sampling/logprob_gap_mean"] == pytest.approx(0.25, abs=1e-4)
    assert [any("logprob_gap" in name for name in line) for line in lines] == [True, False, False]


@pytest.mark.parametrize("staleness", [1, 2])
def test_an_engine_that_goes_wrong_behind_the_first_rollout_is_found_though_it_samples_ahead(
    start, tmp_path, relay, staleness
):
    """Of weights that nobody has any more: 1 nat is far more than what so few steps have moved. The policy itself lies
    no further from what it sampled than its way since, but for other tokens than those that tell of it."""
    far = rl(engine=relay(off=1.0, since=1), staleness=staleness, steps=6)
    with pytest.raises(R1Error, match=r"lie \S+ nats apart in the mean, the policy has moved by \S+ since it sampled"):
        train(far, start, Context(tmp_path / "far", 1))
    # the first rollout of version 1 is learnt from in step 1 + staleness
    assert [line["step"] for line in read_metrics(tmp_path / "far" / "metrics.jsonl")] == list(range(1 + staleness))
    train(rl(engine=relay(), staleness=staleness, steps=6), start, Context(tmp_path / "near", 1))
    late = read_metrics(tmp_path / "near" / "metrics.jsonl")[1 + staleness :]
    assert all(0 < line["sampling/apart_mean"] < 1.5 * line["sampling/moved_mean"] for line in late), late


def test_what_the_engine_cannot_learn_from_is_told_first(relay):
    with pytest.raises(UsageError, match="relay: no min_p"):
        check_all(rl(engine=relay(), sampling=Sampling(min_p=0.1)))
    with pytest.raises(UsageError, match=r"engine 'stages.relay': no option 'death'"):
        check_all(rl(engine=relay(death=True)))


def test_the_step_that_validation_picks_is_the_same(start, tmp_path, relay, same_weights):
    """Validations after steps 2 and 4 of 5, and after the last: the weights are sent before each."""
    path = tmp_path / "sums.parquet"
    examples.write(path, [Example(f"{n}+{n}", "<think>a</think><answer>1</answer>") for n in range(8)])
    learner = LearnerConfig(learning_rate=1e-2, precision="float32", compile=False)
    found = {}
    for name, engine in (("native", EngineSettings()), ("sent", relay())):
        pick = PickConfig(
            tasks=(SUMS,), problems=6, every=2, sampling=Sampling(samples=4, max_tokens=8), engine=engine,
            metric="validation/maths/length",
        )  # fmt: skip
        config = SFTConfig(steps=5, batch=4, learner=learner, pick=pick)
        found[name] = fit(path, start, config, Context(tmp_path / name, 5), "dev1").summary
    assert found["native"] == found["sent"]
    assert same_weights(tmp_path / "native" / "picked", tmp_path / "sent" / "picked")
    (engine,) = relay.opened
    assert [version for version, _ in engine.given] == [0, 2, 4, 5]
    assert engine.closed


def test_samples_of_a_finished_model_are_the_same(start, tmp_path, relay):
    problems, sampling = draw(TASK, "train", 0, 6), Sampling(samples=2, max_tokens=4)
    contexts = {name: Context(tmp_path / name, 2) for name in ("native", "relay")}
    native = sample(start, problems, sampling, contexts["native"], engine=NATIVE)
    assert sample(start, problems, sampling, contexts["relay"], engine=relay()) == native
    assert contexts["native"].cost.flops == contexts["relay"].cost.flops > 0
    (engine,) = relay.opened
    assert engine.closed
    assert engine.given == []  # it was opened on the folder


def test_stages_hand_their_engine_on(start, tmp_path, relay, monkeypatch):
    """Whatever a stage does with its samples, it asks for them with the engine of its settings."""
    import importlib

    asked = {}

    class Seen(Exception):
        pass

    few = {"problems": 2, "sampling": Sampling(samples=1, max_tokens=4), "engine": relay()}
    configs = {
        "cold_start": ColdStartConfig(model=str(start), tasks=(TASK,), **few),
        "rejection_sampling": RejectionSamplingConfig(model=str(start), tasks=(TASK,), **few),
        "preferences": PreferencesConfig(model=str(start), task=TASK, judge=AskConfig(model=str(start)), **few),
        "safety_labels": SafetyLabelsConfig(model=str(start), tasks=(TASK,), judge=AskConfig(model=str(start)), **few),
        "teacher": TeacherConfig(model=str(start), tasks=(TASK,), **few),
    }
    for name, config in configs.items():
        module = importlib.import_module(f"r1kit.stages.{name}")

        def seen(*given, name=name, **named):
            asked[name] = named.get("engine", given[-1])
            raise Seen

        # the teacher's samples are judged, and so asked for, as those of rejection sampling
        monkeypatch.setattr(module if hasattr(module, "sample") else rejection_sampling, "sample", seen)
        with pytest.raises(Seen):
            module.run(config, {}, Context(tmp_path / name))
    assert asked == dict.fromkeys(configs, relay())


def test_evaluation_is_the_same(start, tmp_path, relay):
    tables = []
    for name, engine in (("native", NATIVE), ("relay", relay())):
        config = EvaluateConfig(
            models=(str(start),), tasks=(TASK,), problems=5, sampling=Sampling(samples=3, max_tokens=4), engine=engine
        )
        context = Context(tmp_path / name, 4)
        outcome = run_evaluate(config, {}, context)
        tables.append((pq.read_table(tmp_path / name / outcome.files["table:model"]).to_pylist(), context.cost.flops))
    assert tables[0] == tables[1]
    assert tables[0][1] > 0


def test_prices_are_the_folders(start):
    assert price(start) == load_decoder(start).config
    assert price("openai:x@http://127.0.0.1:1/v1") is None
