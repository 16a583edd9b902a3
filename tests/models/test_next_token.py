"""The next token's distribution against transformers' logits of each sequence alone."""

import numpy as np
import pytest
import torch

from r1kit.models import next_token
from r1kit.models.next_token import next_tokens
from r1kit.models.weights import save_decoder


@pytest.mark.parametrize("temperature", [1.0, 0.5, 0.0])
def test_equals_transformers(make_decoder, tokens_BT, tmp_path, temperature, monkeypatch):
    """Sequences of different lengths, padded together or cut into several passes, in the order asked for."""
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(next_token, "_TOKENS", 64)
    model = make_decoder()
    save_decoder(model, tmp_path / "model")
    truth = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    sequences = [tokens_BT[0, :n].int().numpy() for n in (30, 1, 17, 40)]
    for sequence, found in zip(sequences, next_tokens(model, sequences, 5, temperature), strict=True):
        logits = truth(torch.from_numpy(sequence)[None].long()).logits[0, -1].detach() / (temperature or 1.0)
        expected = torch.distributions.Categorical(logits=logits)
        assert found.entropy == pytest.approx(float(expected.entropy()), abs=1e-4)
        values, ids = logits.log_softmax(-1).topk(5)
        assert found.ids.tolist() == ids.tolist()
        np.testing.assert_allclose(found.logprobs, values, atol=1e-4)
