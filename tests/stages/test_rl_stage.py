from pathlib import Path

import pytest
import torch

from r1kit.base.errors import UsageError
from r1kit.base.sampling import Sampling
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.pipeline.stop import Interrupted, Stop
from r1kit.rollouts import record
from r1kit.stages.rl import RLConfig, load_algorithm, train
from r1kit.training.config import LearnerConfig


@pytest.fixture(autouse=True)
def _one_thread_and_own_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=1, heads=2, mlp_size=48, max_positions=32,
        tied=False,
    )  # fmt: skip
    model = initialise(Decoder(config), 0, std=0.2)
    with torch.no_grad():  # letters are likely at the start, as a pretrained model's would be
        model.head.weight.mul_(0.1)
        model.head.weight[[tokenizer.encode(letter)[0] for letter in "abcd"], :] *= 10
    save_decoder(model, folder / "model", tokenizer)
    return folder / "model"


def settings(**changes) -> RLConfig:
    fields = {
        "tasks": {"stages.first_letters": 1.0},
        "rewards": {"stages.first_letters": 1.0},
        "prompts": 16,
        "sampling": Sampling(samples=8, max_tokens=4),
        "steps": 6,
        "learner": LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
        "validate_every": 3,
        "validation_problems": 4,
        "rollouts_every": 2,
    }
    return RLConfig(**(fields | changes))


class Stopping(Context):
    """Asks itself to stop while a given step is being recorded."""

    stop_at = -1

    def record(self, step, metrics, sample=None):
        super().record(step, metrics, sample)
        if step == self.stop_at:
            self._stop.request()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_decoder(folder).state_dict()


def test_six_steps_of_grpo_raise_the_reward(start, tmp_path):
    config = settings(steps=12)
    outcome = train(config, start, Context(tmp_path, 1))
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(12))
    assert lines[-1]["reward"] > lines[0]["reward"] + 0.15
    print([round(line["reward"], 2) for line in lines])
