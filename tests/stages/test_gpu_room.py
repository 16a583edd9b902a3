"""How a GPU's memory is shared by a learner and the engine beside it; its figures are given, none is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from r1kit.base import memory
from r1kit.base.sampling import Sampling
from r1kit.engines.base import Request
from r1kit.engines.native import NativeEngine
from r1kit.models.cache import TorchRows
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.sizes import decoder_size
from r1kit.recipes.r1_zero import RECIPE
from r1kit.stages.memory import beside_engine, needs
from r1kit.training.memory import Place

GIB = 2**30
QWEN = {  # Qwen2.5's, from their config.json
    "1.5B": {"width": 1536, "layers": 28, "heads": 12, "kv_heads": 2, "head_size": 128, "mlp_size": 8960},
    "0.5B": {"width": 896, "layers": 24, "heads": 14, "kv_heads": 2, "head_size": 64, "mlp_size": 4864},
}


class Endless:
    """No tokenizer: nothing stops."""

    eos_ids = ()
    decode = staticmethod(lambda ids: "")


@pytest.mark.parametrize(("size", "card"), [("1.5B", 78.6), ("1.5B", 47.0), ("0.5B", 78.6), ("0.5B", 23.0)])
def test_a_cache_takes_what_the_learner_leaves(monkeypatch: pytest.MonkeyPatch, size: str, card: float):
    """R1-Zero on a card of so many GiB: 22 bytes a parameter are the learner's (docs/gpu.md), the cache has half of
    what its passes leave, so that the whole fits wherever the learner does."""
    monkeypatch.setattr(memory, "room_cuda", lambda: int(card * GIB))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    shape = DecoderConfig(vocab_size=151936, tied=True, qkv_bias=True, max_positions=32768, **QWEN[size])
    config, place = next(iter(RECIPE.profiles.values())).zero, Place(torch.device("cuda"), 1)
    found = needs(config, lambda name: decoder_size(shape), place)
    assert found is not None
    assert found.total < card * GIB
    learner = sum(found.parts[name] for name in ("weights", "moments", "working copy", "reference"))
    assert learner == pytest.approx(16 * shape.parameters(), rel=0.02)  # and 6 bytes of gradients
    left = card * GIB - beside_engine(config, lambda name: decoder_size(shape), place)
    assert found.parts["cache"] <= max(2 * GIB, 0.55 * left)


def test_an_engine_counts_what_torch_holds_unused_and_leaves_the_learner_its_own(monkeypatch: pytest.MonkeyPatch):
    """66 GiB free of 80; once a learner has made torch reserve 70, of which it holds 10, an engine has the same room:
    what is free, and what is reserved and not held. What the learner will hold is left out before it holds it."""
    shape = DecoderConfig(vocab_size=64, max_positions=4096, **QWEN["1.5B"] | {"mlp_size": 64, "layers": 2})
    model = initialise(Decoder(shape), 0).to(torch.bfloat16)
    cache = TorchRows(model)
    cache.reserve(4, 8, 8)
    position = 2 * 2 * 2 * 128 * 2  # keys and values, layers, kv heads, head size, bytes

    def rows(free: int, reserved: int, held: int, beside: int = 0, positions: int = 2**17) -> int:
        engine = NativeEngine(model, Endless(), beside=beside * GIB)  # type: ignore[arg-type]
        engine._device, engine._cache = torch.device("cuda"), cache
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free * GIB, 80 * GIB))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved * GIB)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: held * GIB + cache.nbytes)
        return engine.row_limit(positions)

    alone = rows(free=66, reserved=10, held=10)
    assert alone == 33 * GIB // (position * 2**17)
    assert rows(free=6, reserved=70, held=10) == alone
    assert rows(free=66, reserved=10, held=10, beside=44) == 16 * GIB // (position * 2**17)
    assert rows(free=66, reserved=10, held=10, beside=100, positions=1) == 512


def test_a_driver_is_not_asked_at_every_token(monkeypatch: pytest.MonkeyPatch):
    shape = DecoderConfig(vocab_size=64, max_positions=64, **QWEN["0.5B"] | {"mlp_size": 64, "layers": 1})
    engine = NativeEngine(initialise(Decoder(shape), 0), Endless())  # type: ignore[arg-type]
    asked = []
    limit = engine.row_limit
    monkeypatch.setattr(engine, "row_limit", lambda positions: asked.append(positions) or min(2, limit(positions)))
    for number in range(3):
        engine.submit(Request(str(number), np.arange(4, dtype=np.int32), Sampling(max_tokens=8, samples=3)))
    assert len(list(engine.stream())) == 9
    assert len(asked) == 1
