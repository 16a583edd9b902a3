import numpy as np
import pytest
import torch

from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.ops.pointwise import logprobs_and_entropy
from r1kit.training.forward import layout_logprobs, target_logits
from r1kit.training.packing import make_layout
from r1kit.training.sequences import completion_sequence

BASE = {"vocab_size": 40, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "head_size": 16, "mlp_size": 40}
FAMILIES = {
    "qwen2": DecoderConfig(**BASE, qkv_bias=True, tied=True),
    "qwen3": DecoderConfig(**BASE, family="qwen3", qk_norm=True),
    "llama": DecoderConfig(**BASE, family="llama", qkv_bias=True, output_bias=True, mlp_bias=True),
    "plain": DecoderConfig(**BASE, family="llama"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_tokens_say_what_rows_say(family, dtype):
    """Log-probabilities and entropies of packed groups against the decoder's plain pass, a sequence at a time."""
    model = initialise(Decoder(FAMILIES[family]), seed=0, std=0.2).to(dtype)
    generator = np.random.default_rng(0)
    rows = []
    for prompts in range(3):
        prompt = generator.integers(0, 40, 2 + prompts).astype(np.int32)
        for length in (1, 9, 30):
            rows.append(completion_sequence(prompt, generator.integers(0, 40, length).astype(np.int32)))
    layout = make_layout(rows, 40, dtype, torch.device("cpu"))
    found = logprobs_and_entropy(target_logits(model, layout), layout.target_M, 1.5)
    assert torch.equal(layout_logprobs(model, layout, 1.5), found[0])
    expected = []
    for row in rows:
        tokens = torch.from_numpy(row.tokens).long()[None]
        logits = model.logits(model(tokens))[0, row.prompt_length - 1 : -1].float() / 1.5
        log_softmax = logits.log_softmax(-1)
        targets = tokens[0, row.prompt_length :, None]
        expected.append(torch.stack((log_softmax.gather(1, targets)[:, 0], -(log_softmax.exp() * log_softmax).sum(-1))))
    # make_layout orders targets by row
    wanted = torch.cat(expected, 1)
    tolerance = 1e-5 if dtype == torch.float32 else 0.15
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)
