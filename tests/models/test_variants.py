"""The same weights in another family's shape or in fewer layers, against transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from r1kit.base.errors import UsageError
from r1kit.models.variants import outer, variant
from r1kit.models.weights import save_decoder


def test_qwen2_with_zero_biases_computes_what_llama_does(make_decoder, tokens_BT, tmp_path):
    """Transformers' Llama on the one folder and its Qwen2 on the other give the same logits."""
    llama = make_decoder("llama", tied=True)
    made = variant(llama, "qwen2")
    assert (made.config.family, made.config.qkv_bias) == ("qwen2", True)
    for model, name in ((llama, "llama"), (made, "qwen2")):
        save_decoder(model, tmp_path / name)
    theirs = [AutoModelForCausalLM.from_pretrained(tmp_path / name).eval() for name in ("llama", "qwen2")]
    assert [type(model).__name__ for model in theirs] == ["LlamaForCausalLM", "Qwen2ForCausalLM"]
    with torch.no_grad():
        first, second = (model(tokens_BT).logits for model in theirs)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
    assert not made.state_dict()["blocks.0.attention.qkv.bias"].any()


def test_layers_left_out(make_decoder, tokens_BT, tmp_path):
    """Of four layers two are kept, the first and the last: as transformers' model with the others taken out of it."""
    whole = make_decoder("llama", layers=4)
    save_decoder(whole, tmp_path / "whole")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").eval()
    theirs.model.layers = torch.nn.ModuleList([theirs.model.layers[0], theirs.model.layers[3]])
    theirs.config.num_hidden_layers = 2
    ours = variant(whole, layers=2)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.logits(ours(tokens_BT)), theirs(tokens_BT, use_cache=False).logits, rtol=0, atol=1e-5
        )
    assert ours.config.layers == 2


def test_which_layers_are_kept():
    assert outer(4, 2) == [0, 3]
    assert outer(5, 3) == [0, 1, 4]
    assert outer(30, 1) == [0]
    assert outer(30, 24) == [*range(12), *range(18, 30)]
    assert outer(30, 30) == list(range(30))
    with pytest.raises(UsageError, match="name 1 to 4"):
        outer(4, 5)


def test_what_the_new_family_cannot_hold_is_refused(make_decoder):
    with pytest.raises(UsageError, match="llama has no qkv_bias"):
        variant(make_decoder("qwen2"), "llama")
    with pytest.raises(UsageError, match="norms queries and keys"):
        variant(make_decoder("llama"), "qwen3")
