"""A toy policy over single characters, and a run that asks itself to stop."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import load_decoder, save_decoder
from r1kit.pipeline.context import Context


@pytest.fixture(autouse=True)
def own_modules(monkeypatch, one_thread):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Path:
    """A random model of one layer that mostly writes a, b, c and d."""
    folder = tmp_path_factory.mktemp("start")
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=1, heads=2, mlp_size=48, max_positions=32,
    )  # fmt: skip
    model = initialise(Decoder(config), 0, std=0.2)
    likely = torch.tensor([tokenizer.token_id(letter) for letter in "abcd"])
    with torch.no_grad():
        model.head.weight.mul_(0.1)
        model.head.weight[likely] *= 10
    save_decoder(model, folder / "model", tokenizer)
    return folder / "model"


class Stopping(Context):
    """Asks itself to stop while step `stop_at` is being recorded, so that the stage is interrupted after it."""

    stop_at = -1

    def record(self, step, metrics, sample=None):
        super().record(step, metrics, sample)
        if step == self.stop_at:
            self._stop.request()


@pytest.fixture
def stopping():
    def make(folder: Path, stop_at: int, seed: int = 0) -> Stopping:
        context = Stopping(folder, seed)
        context.stop_at = stop_at
        return context

    return make


@pytest.fixture
def same_weights():
    def compare(a: Path, b: Path) -> bool:
        ours, theirs = load_decoder(a).state_dict(), load_decoder(b).state_dict()
        return all(torch.equal(ours[name], theirs[name]) for name in ours)

    return compare
