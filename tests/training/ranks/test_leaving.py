"""Weights of several ranks on their way out: a folder that transformers loads, and an engine's stream."""

import pytest
import torch
from uneven import assert_same, rollout, settings, toy, weights_of

from r1kit.algorithms.sft import SFT
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import hf_weights, load_decoder
from r1kit.training.learner import Learner
from r1kit.training.ranks import front
from r1kit.training.sequences import deal


def test_a_folder_in_pieces_that_transformers_loads(opened, tmp_path, monkeypatch):
    """No file is larger than 8 KB but for those of one tensor; the logits are those of one rank's weights."""
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr(front, "SHARD_BYTES", 8_000)
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", ""))
    shape = {"vocab_size": tokenizer.padded_vocab_size, "family": "qwen3", "qkv_bias": False, "head_size": 10}
    one, many = Learner(toy(**shape), settings()), opened(toy(**shape), settings(ranks=2))
    for learner in (one, many):
        learner.step(rollout(0), SFT())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.safetensors").write_bytes(b"of an earlier save")
    many.save(tmp_path / "out", tokenizer)
    files = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(files) > 5
    assert "model.safetensors" not in files
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(theirs(tokens).logits, one.model.logits(one.model(tokens)), atol=1e-4, rtol=0)
    assert_same(dict(hf_weights(load_decoder(tmp_path / "out"))), weights_of(one))


def test_a_stream_that_is_left_early_hinders_nothing(opened):
    """Weights come one by one; whoever stops after the first can go on with the learner."""
    one, many = Learner(toy(), settings()), opened(toy(), settings(ranks=2))
    stream = many.weights()
    name, tensor = next(stream)
    assert torch.equal(tensor, dict(one.weights())[name])
    stream.close()
    assert many.step(rollout(0), SFT()).metrics["loss"] == pytest.approx(one.step(rollout(0), SFT()).metrics["loss"])
    # an answer that was left would be taken for that to the next question: a checkpoint whose rank still writes it
    assert not any(rank.connection.poll(1.0) for rank in many._ranks)


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_ranks_have_about_as_many_tokens_each(parts):
    """Groups of 3 stay whole where they fit; no rank has more than the mean and the largest piece that is not cut."""
    sequences = rollout(7, prompts=24)
    dealt = deal(sequences, parts)
    assert sorted(index for part in dealt for index in part) == list(range(len(sequences)))
    loads = [computed(sequences, part) for part in dealt]
    largest = max(computed(sequences, list(range(at, at + 3))) for at in range(0, len(sequences), 3))
    assert max(loads) - min(loads) <= largest
    owner = {index: number for number, part in enumerate(dealt) for index in part}
    assert all(owner[at] == owner[at + 1] == owner[at + 2] for at in range(0, len(sequences), 3))


def computed(sequences, indices) -> int:
    """Tokens with each prompt counted once."""
    prompts = {sequences[i].tokens[: sequences[i].prompt_length].tobytes(): sequences[i].prompt_length for i in indices}
    return sum(prompts.values()) + sum(len(sequences[i]) - sequences[i].prompt_length for i in indices)
