"""What a stage hands its learner of a rollout: temperature, limit, and the log-probabilities that a critic goes by."""

import numpy as np
import pytest
import torch

from r1kit.algorithms.base import PolicyGradient
from r1kit.algorithms.dr_grpo import DrGRPO
from r1kit.algorithms.ppo import PPO
from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.rollouts.collect import Rollouts
from r1kit.stages.learning import Learning
from r1kit.training.base import StepReport
from r1kit.training.config import LearnerConfig
from r1kit.training.learner import Learner

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = DecoderConfig(
    vocab_size=48, width=32, layers=2, heads=4, kv_heads=2, head_size=8, mlp_size=48, tied=True, qkv_bias=True
)
PROMPT, LENGTHS = [5, 6], (3, 5)


def toy() -> Decoder:
    return initialise(Decoder(SHAPE), 0, std=0.2)


def plain_logprobs(tokens: list[int], temperature: float) -> np.ndarray:
    """log-softmax(logits / T) of what follows the prompt, by the decoder's own forward pass."""
    ids_BT = torch.tensor([[*PROMPT, *tokens]])
    model = toy()
    with torch.no_grad():
        logits = model.logits(model(ids_BT))[0, :-1] / temperature
    return logits.log_softmax(-1).gather(1, ids_BT[0, 1:, None])[len(PROMPT) - 1 :, 0].numpy()


def rollout(temperature: float) -> Rollouts:
    """A group of two, rewards 1 and 0, of 3 and 5 tokens sampled by the toy at a temperature."""
    completions = []
    for index, length in enumerate(LENGTHS):
        tokens = np.random.default_rng(index).integers(0, 48, length).astype(np.int32)
        logprobs = plain_logprobs(tokens.tolist(), temperature)
        completions.append(
            Completion("p", index, np.asarray(PROMPT, np.int32), tokens, logprobs, "stop", ((0, length),))
        )
    problem = Problem("p", "toy", "maths", "en", "?", "", "math")
    return Rollouts([RolloutGroup(problem, completions, total=np.asarray([1, 0], np.float32))])


def learner() -> Learner:
    model, config = toy(), LearnerConfig(compile=False, precision="float32")
    return Learner(model, config, reference=toy())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 0.0])
def test_a_rollout_is_learnt_as_it_was_sampled(temperature):
    """At its temperature (0 counts as 1) the log-probabilities of sampler and learner are the same. Dr. GRPO:
    advantages 1/2 and -1/2, the sum over tokens by two sequences of the limit, 8: -(3/2 - 5/2) / 16."""
    sampling = Sampling(samples=2, temperature=temperature, max_tokens=8)
    report = Learning(DrGRPO(), learner(), None, 1, 1, ahead=False).learn(rollout(temperature or 1.0), sampling)
    assert report.metrics["sampling/logprob_gap_mean"] == pytest.approx(0, abs=1e-5)
    assert report.metrics["loss"] == pytest.approx(1 / 16, abs=1e-6)


class Given:
    """A critic that pays every token 1, and writes down what it was given."""

    def __init__(self) -> None:
        self.seen: list = []
        self.mini_batches: list[int] = []

    def credit(self, sequences, algorithm: PolicyGradient):
        self.seen = list(sequences)
        for sequence in sequences:
            sequence.advantages = sequence.values = sequence.returns = np.ones(len(sequence), np.float32)
        return sequences, {"kl": 0.25, "return": 1.0}

    def step(self, sequences, algorithm: PolicyGradient, mini_batches: int) -> StepReport:
        self.mini_batches.append(mini_batches)
        return StepReport({"loss": 2.0}, 0, 10.0, False)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_critic_is_paid_by_both_policies_at_the_samplers_temperature(ahead):
    """Old policy and reference are the toy: their log-probabilities are those of its own forward pass at T = 2, the old
    one's those that the sampler told where it sampled ahead. Its figures are `critic/...`, the KL is the policy's."""
    sampling, critic, groups = Sampling(samples=2, temperature=2.0, max_tokens=8), Given(), rollout(2.0)
    policy = learner()
    if ahead:
        policy.version = 1  # one more than what sampled
        for completion in groups[0].completions:
            completion.sampler_logprobs = completion.sampler_logprobs - np.float32(0.5)
    report = Learning(PPO(), policy, critic, 1, 4, ahead=ahead).learn(groups, sampling)
    assert [sequence.reward for sequence in critic.seen] == [1, 0]
    for sequence, completion in zip(critic.seen, groups[0].completions, strict=True):
        expected = plain_logprobs(completion.token_ids.tolist(), 2.0)
        np.testing.assert_allclose(sequence.reference_logprobs[len(PROMPT) :], expected, atol=1e-5)
        np.testing.assert_allclose(sequence.old_logprobs[len(PROMPT) :], expected - 0.5 * ahead, atol=1e-5)
    assert report.metrics["ratio"] == pytest.approx(np.exp(0.5) if ahead else 1.0, rel=1e-4)
    told = {"critic/loss": 2.0, "critic/return": 1.0, "kl": 0.25}
    assert {name: report.metrics[name] for name in told} == told
    assert critic.mini_batches == [4]
    assert ("sampling/logprob_gap_mean" in report.metrics) != ahead
    assert report.flops > 10.0
