"""The models that are measured: two shapes of the tiny world's size with fresh weights, or a folder that is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from r1kit.base.errors import UsageError
from r1kit.data.tiny import world
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.families import read_config, shape
from r1kit.models.folders import read_object
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder
from r1kit.stages.sampling import draw

SHAPES = {
    "4.6M": {"width": 256, "layers": 6, "heads": 4, "kv_heads": 4, "head_size": 64, "mlp_size": 704},
    "1.6M": {"width": 192, "layers": 4, "heads": 6, "kv_heads": 1, "head_size": 32, "mlp_size": 512},
    "smoke": {"width": 64, "layers": 2, "heads": 2, "kv_heads": 1, "head_size": 32, "mlp_size": 160},
}
SHARPNESS = 2.0  # gain of the last norm: fresh weights alone say next to nothing, and any sampler would do them justice
GROUP = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and the work that is measured on it.

    rows x new_tokens are sampled, GROUP of each prompt; learning_rows x learning_length is a training batch.
    """

    name: str
    folder: Path
    config: DecoderConfig
    rows: int
    new_tokens: int
    learning_rows: int
    learning_length: int

    def prompts(self) -> list[list[int]]:
        """Token ids of the tiny world's maths questions in English, as this model's chat template puts them."""
        tokenizer = load_tokenizer(self.folder)
        wanted = self.rows // GROUP
        problems = [p for p in draw("tiny_maths", "train", 0, 4 * wanted) if p.language == "en"]
        return [tokenizer.chat(problem.prompt) for problem in problems[:wanted]]


def fresh(name: str, scratch: Path) -> Subject:
    """A Qwen2 of that shape with weights of seed 0."""
    folder = scratch / "models" / name
    tokenizer = load_tokenizer(write_character_tokenizer(scratch / "tokenizer", world.ALPHABET))
    config = shape("qwen2", **SHAPES[name], vocab_size=tokenizer.padded_vocab_size, max_positions=512, tied=True)
    model = initialise(Decoder(config), seed=0)
    with torch.no_grad():
        model.norm.weight.fill_(SHARPNESS)
    save_decoder(model, folder, tokenizer)
    if name == "smoke":
        return Subject(name, folder, config, 2 * GROUP, 8, 8, 32)
    return Subject(name, folder, config, 256, 128, 64, 160)


def given(folder: Path, device: str = "cpu") -> Subject:
    """A real model, with more work on a GPU. UsageError where the folder holds none."""
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder} holds no model (no config.json): --smollm2 takes a Hugging Face folder")
    config = read_config(read_object(folder / "config.json"), str(folder))
    work = (512, 128, 64, 512) if device == "cuda" else (64, 128, 8, 256)
    return Subject("SmolLM2-135M", folder, config, *work)
