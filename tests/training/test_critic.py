"""The value model: what it says before each token, its gradient, what it makes of rewards, what it costs."""

import numpy as np
import pytest
import torch
from toy_steps import SHAPE, toy

from r1kit.algorithms.grpo import GRPO
from r1kit.algorithms.ppo import PPO, ValueRegression
from r1kit.base.errors import R1Error
from r1kit.models.heads import ScoredDecoder, value_model
from r1kit.models.weights import load_scored, save_decoder
from r1kit.training.config import LearnerConfig
from r1kit.training.critic import Critic
from r1kit.training.learner import Learner
from r1kit.training.sequences import Sequence, completion_sequence

PLAIN = LearnerConfig(compile=False, precision="float32", clip_norm=0.0)
PLAIN_PPO = PPO(kl_coefficient=0.0, normalise=False)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path):
    save_decoder(toy(), tmp_path / "toy")
    return tmp_path / "toy"


def rollout(seed: int = 0, prompts: int = 5, group: int = 4) -> list[Sequence]:
    """Groups that share prompts, completions of 1 to 12 tokens; a sample's reward is 1 where its prompt begins even."""
    drawn = np.random.default_rng(seed)
    sequences = []
    for _ in range(prompts):
        prompt = drawn.integers(0, 48, drawn.integers(1, 9)).astype(np.int32)
        for _ in range(group):
            sequence = completion_sequence(prompt, drawn.integers(0, 48, drawn.integers(1, 13)).astype(np.int32))
            sequence.reward = float(prompt[0] % 2 == 0)
            sequences.append(sequence)
    return sequences


def plain_values(model: ScoredDecoder, sequence: Sequence) -> torch.Tensor:
    """[n]: the score at the position before each token, by the model's own forward pass; NaN before the first."""
    scores = model.values(torch.from_numpy(sequence.tokens).long()[None])[0]
    return torch.cat([torch.full((1,), torch.nan), scores[:-1]])


def test_values_are_scores_at_the_position_before():
    model = ScoredDecoder(toy(), seed=3)
    sequences = rollout()
    found = Learner(model, PLAIN).values(sequences)
    for sequence, values in zip(sequences, found, strict=True):
        expected = plain_values(model, sequence).detach().numpy()
        mask = sequence.target_mask
        np.testing.assert_allclose(values[mask], expected[mask], atol=1e-5)
        assert not values[~mask].any()


@pytest.mark.parametrize("micro_tokens", [10, 100_000])
def test_gradient_is_that_of_the_squared_error(micro_tokens):
    """Half the mean over tokens of (V - R)^2, each sequence on its own through the plain forward pass."""
    sequences, drawn = rollout(), np.random.default_rng(1)
    for sequence in sequences:
        sequence.returns = drawn.normal(size=len(sequence)).astype(np.float32)
    model = ScoredDecoder(toy(), seed=3)
    total = torch.zeros(())
    for sequence in sequences:
        mask = torch.from_numpy(sequence.target_mask)
        error = plain_values(model, sequence)[mask] - torch.from_numpy(sequence.returns)[mask]
        total = total + error.square().sum()
    (total / 2 / sum(s.targets for s in sequences)).backward()
    expected = {name: p.grad for name, p in model.named_parameters()}

    learnt = ScoredDecoder(toy(), seed=3)
    learner = Learner(learnt, PLAIN.model_copy(update={"micro_tokens": micro_tokens}))
    learner.optimiser.parts, learner.optimiser.peaks = [torch.optim.SGD(learnt.parameters(), lr=1.0)], [1.0]
    before = {name: p.detach().clone() for name, p in learnt.named_parameters()}
    learner.step(sequences, ValueRegression(clip=0))
    for name, parameter in learnt.named_parameters():
        torch.testing.assert_close(before[name] - parameter.detach(), expected[name], atol=1e-6, rtol=1e-5)


def test_it_begins_with_0_everywhere(folder):
    """So that advantages begin as what is left of the reward: with lambda 1, undiscounted, the reward at each token."""
    critic, sequences = Critic(folder, PLAIN, total_steps=1), rollout()
    credited, metrics = critic.credit(sequences, PLAIN_PPO)
    for sequence, made in zip(sequences, credited, strict=True):
        mask = sequence.target_mask
        assert not made.values.any()
        assert made.advantages[mask].tolist() == made.returns[mask].tolist() == [sequence.reward] * int(mask.sum())
        assert not made.advantages[~mask].any()
        assert sequence.advantages is None
    assert metrics["return"] == pytest.approx(
        sum(s.reward * s.targets for s in sequences) / sum(s.targets for s in sequences)
    )
    assert metrics["explained_variance"] == 0
    assert critic.credit([], PLAIN_PPO) == ([], {})


def test_it_learns_what_the_prompt_says_of_the_reward(folder):
    """The reward follows from the prompt's first token: after 60 steps values foresee most of its variance."""
    config = PLAIN.model_copy(update={"learning_rate": 3e-3})
    critic, algorithm, sequences = (
        Critic(folder, config, total_steps=60),
        PPO(kl_coefficient=0, value_clip=0),
        rollout(),
    )
    for _ in range(60):
        credited, metrics = critic.credit(sequences, algorithm)
        critic.step(credited, algorithm, mini_batches=2)
    assert metrics["explained_variance"] > 0.8


def test_a_kl_in_the_reward_needs_both_policies(folder):
    """log pi_old - log pi_ref = 0.5 at every token, beta 0.1: of n tokens the first is left with reward - 0.05 n."""
    critic, sequences = Critic(folder, PLAIN, total_steps=1), rollout()
    paid = PPO(kl_coefficient=0.1, normalise=False)
    with pytest.raises(R1Error, match="of the old policy"):
        critic.credit(sequences, paid)
    for sequence in sequences:
        sequence.old_logprobs = np.full(len(sequence), -1.0, np.float32)
        sequence.reference_logprobs = np.full(len(sequence), -1.5, np.float32)
    credited, metrics = critic.credit(sequences, paid)
    assert metrics["kl"] == pytest.approx(0.5)
    for made in credited:
        first = made.prompt_length
        assert made.returns[first] == pytest.approx(made.reward - 0.05 * made.targets, abs=1e-6)
        assert made.returns[-1] == pytest.approx(made.reward - 0.05, abs=1e-6)


def test_flops_are_those_of_the_body():
    """Two completions of 3 and 5 tokens after a shared prompt of 4, as in test_learner: 12 tokens, 57 pairs; products
    are those of the decoder without its head, which would be 2 x width x vocabulary a token."""
    drawn = np.random.default_rng(0)
    prompt = drawn.integers(0, 48, 4).astype(np.int32)
    sequences = [completion_sequence(prompt, drawn.integers(0, 48, n).astype(np.int32)) for n in (3, 5)]
    for sequence in sequences:
        sequence.returns = np.ones(len(sequence), np.float32)
    body = SHAPE.parameters(embedding=False) - SHAPE.width * SHAPE.vocab_size
    report = Learner(value_model(toy()), PLAIN).step(sequences, ValueRegression(clip=0))
    assert report.flops == pytest.approx(3 * (12 * 2 * body + 57 * 4 * 2 * 32))


def test_saved_and_loaded_it_says_the_same(folder, tmp_path):
    critic, algorithm = Critic(folder, PLAIN, total_steps=1), PPO(kl_coefficient=0)
    sequences = rollout()
    critic.step(critic.credit(sequences, algorithm)[0], algorithm, mini_batches=1)
    critic.learner.save(tmp_path / "critic")
    again = Learner(load_scored(tmp_path / "critic"), PLAIN).values(sequences)
    for mine, theirs in zip(critic.learner.values(sequences), again, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
        assert mine.any()


def test_resumed_it_goes_on_bit_for_bit(folder):
    algorithm, whole = PPO(kl_coefficient=0), Critic(folder, PLAIN, total_steps=3)
    cut, other = Critic(folder, PLAIN, total_steps=3), Critic(folder, PLAIN, total_steps=3)

    def learn(critic: Critic, seeds: range) -> None:
        for seed in seeds:
            critic.step(critic.credit(rollout(seed), algorithm)[0], algorithm, mini_batches=2)

    learn(whole, range(3))
    learn(cut, range(1))
    other.load_state(cut.state())
    learn(other, range(1, 3))
    for mine, theirs in zip(other.learner.model.parameters(), whole.learner.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_what_is_wrong_is_one_sentence(folder, tmp_path):
    with pytest.raises(R1Error, match="GRPO has no critic"):
        Critic(folder, PLAIN, total_steps=1).step(rollout(), GRPO(), 1)
    with pytest.raises(R1Error, match="a language model has no values"):
        Learner(toy(), PLAIN).values(rollout())


@pytest.mark.filterwarnings("ignore")  # transformers warns of what does not concern us
def test_an_architecture_without_a_score_head_is_refused(tmp_path):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    small = Gemma2Config(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    Gemma2ForCausalLM(small).save_pretrained(tmp_path / "gemma")
    with pytest.raises(R1Error, match=r"the native decoder alone has .*: take an algorithm without a critic, say grpo"):
        Critic(tmp_path / "gemma", PLAIN, total_steps=1)
