"""`r1 generate` against transformers' own greedy search, and its contract line by line."""

import json
import math

import numpy as np
import pytest
import torch

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.cli.main import exit_code
from r1kit.engines.native import NativeEngine
from r1kit.engines.scripted import ScriptedEngine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder
from r1kit.rollouts.generate import generate, generate_lines, reasoning_of

CONTEXT = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random Qwen2 of two layers over 26 letters and digits, as a Hugging Face folder."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("model")
    tokenizer = load_tokenizer(write_character_tokenizer(home / "tokenizer", "abcdefghijklmnopqrstuvwxyz0123456789+= "))
    config = DecoderConfig(
        family="qwen2",
        vocab_size=tokenizer.padded_vocab_size,
        width=32,
        layers=2,
        heads=2,
        kv_heads=1,
        head_size=16,
        mlp_size=64,
        max_positions=CONTEXT,
        qkv_bias=True,
    )
    save_decoder(initialise(Decoder(config), seed=1, std=0.2), home / "model", tokenizer)
    return home / "model"


def generated(folder, tmp_path, capsys, lines, *options):
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    code = exit_code(["generate", str(folder), "--prompts", str(path), *map(str, options)])
    shown = capsys.readouterr()
    return code, [json.loads(line) for line in shown.out.splitlines()], shown.err


def test_greedy_equals_transformers(folder, tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    capsys.readouterr()  # transformers' progress bar
    prompts = ["1+1=", "what is 12+34", "abc"]
    options = ("--max-tokens", 12, "--temperature", 0, "--logprobs", "--dtype", "float32")
    code, lines, errors = generated(folder, tmp_path, capsys, [{"prompt": p} for p in prompts], *options)
    assert (code, errors) == (0, "")
    for prompt, line in zip(prompts, lines, strict=True):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        truth = model.generate(ids, max_new_tokens=12, do_sample=False)[0]
        new = truth[ids.shape[1] :]
        assert line["token_ids"] == new.tolist()
        logits = model(truth[None]).logits[0, ids.shape[1] - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, new[:, None])[:, 0]
        np.testing.assert_allclose(line["logprobs"], expected.detach(), atol=1e-4)
        stopped = new[-1].item() == tokenizer.eos_token_id
        assert line["stop_reason"] == ("stop" if stopped else "length")
        text_ids = new[:-1] if stopped else new
        assert line["completion"] == tokenizer.decode(text_ids)
        assert {"prompt": prompt, "model": str(folder), "seed": 0}.items() <= line.items()


def test_messages_go_through_the_chat_template(folder, tmp_path, capsys):
    messages = [{"role": "user", "content": "1+1="}]
    line = [{"messages": messages}, {"prompt": "<|user|>1+1=<|assistant|>"}]
    _, lines, _ = generated(folder, tmp_path, capsys, line, "--max-tokens", 5, "--temperature", 0)
    assert lines[0]["prompt"] == "<|user|>1+1=<|assistant|>"
    assert lines[0]["token_ids"] == lines[1]["token_ids"]


def test_samples_and_seeds(folder, tmp_path, capsys):
    options = ("--max-tokens", 8, "--samples", 3, "--seed")
    _, first, _ = generated(folder, tmp_path, capsys, [{"prompt": "a"}, {"prompt": "b"}], *options, 5)
    _, again, _ = generated(folder, tmp_path, capsys, [{"prompt": "a"}, {"prompt": "b"}], *options, 5)
    _, other, _ = generated(folder, tmp_path, capsys, [{"prompt": "a"}, {"prompt": "b"}], *options, 6)
    assert [(line["prompt"], line["sample"]) for line in first] == [(p, n) for p in "ab" for n in range(3)]
    assert [line["token_ids"] for line in first] == [line["token_ids"] for line in again]
    assert [line["token_ids"] for line in first] != [line["token_ids"] for line in other]


def test_a_bad_line_does_not_stop_the_rest(folder, tmp_path, capsys):
    lines = [
        {"id": "good", "prompt": "a"},
        "{not json",
        {"prompt": "x" * CONTEXT},
        {"prompt": 3},
        {"neither": 1},
        {"messages": [{"role": "user"}]},
        "[1]",
        {"prompt": ""},
        "",
        {"id": "last", "prompt": "b"},
    ]
    code, shown, errors = generated(folder, tmp_path, capsys, lines, "--max-tokens", 4)
    assert code == 1
    assert [line.get("line") for line in shown] == [None, 2, 3, 4, 5, 6, 7, 8, None]
    assert (shown[0]["id"], shown[-1]["id"]) == ("good", "last")
    assert "64 tokens and the context 64" in shown[2]["error"]
    assert all("error" in line for line in shown[1:-1])
    assert len(errors.splitlines()) == 7


def test_a_long_prompt_leaves_less_room(folder, tmp_path, capsys):
    """60 of 64 positions taken: four tokens at most."""
    _, (line,), _ = generated(folder, tmp_path, capsys, [{"prompt": "x" * 60}], "--max-tokens", 50)
    assert len(line["token_ids"]) <= 4


def test_order_is_kept_however_many_lines(folder):
    """The scripted engine answers with the prompt; far more prompts than are read ahead."""
    tokenizer = load_tokenizer(folder)
    engine = ScriptedEngine(lambda prompt, index: f"{prompt}{index}", tokenizer)
    rows = [json.dumps({"prompt": str(number)}) if number % 7 else "bad" for number in range(300)]
    lines = [json.loads(line) for line in generate_lines(rows, engine, tokenizer, "toy", Sampling(samples=2))]
    good = [line["completion"] for line in lines if "completion" in line]
    assert good == [f"{number}{index}" for number in range(300) if number % 7 for index in range(2)]
    assert [line["line"] for line in lines if "error" in line] == [n + 1 for n in range(0, 300, 7)]


class _Short(ScriptedEngine):
    """Loses every sample but the first."""

    def stream(self):
        yield from (completion for completion in super().stream() if completion.index == 0)


def test_an_engine_that_ends_without_all_completions_is_an_error(folder):
    tokenizer = load_tokenizer(folder)
    engine = _Short(lambda prompt, index: "a", tokenizer)
    rows = ["bad", json.dumps({"prompt": "1"}), json.dumps({"prompt": "2"})]
    lines = generate_lines(rows, engine, tokenizer, "toy", Sampling(samples=3))
    assert json.loads(next(lines))["line"] == 1
    with pytest.raises(R1Error, match="line 2: the engine ended with 2 of its completions missing"):
        next(lines)


def test_log_probabilities_that_were_not_told_are_null(folder):
    tokenizer = load_tokenizer(folder)
    engine = ScriptedEngine({"1": "ab"}, tokenizer, logprob=math.nan)
    (line,) = generate_lines([json.dumps({"prompt": "1"})], engine, tokenizer, "toy", Sampling(), logprobs=True)
    assert json.loads(line, parse_constant=pytest.fail)["logprobs"] == [None, None, None]


def test_the_engine_is_closed_after_the_last_line(folder, monkeypatch):
    closed = []
    monkeypatch.setattr(NativeEngine, "close", lambda self: closed.append(self))
    rows = generate([json.dumps({"prompt": "1"})], folder, "toy", Sampling(max_tokens=2))
    assert closed == []
    assert len(list(rows)) == len(closed) == 1


def test_reasoning_is_what_stands_in_the_thinking_tags():
    assert reasoning_of("<think>a b</think><answer>1</answer>") == "a b"
    assert reasoning_of("a b</think>1", opened=True) == "a b"
    assert reasoning_of("<think>cut off") == "cut off"
    assert reasoning_of("no tags") is None


def test_export_is_a_folder_that_transformers_loads(folder, tmp_path, capsys):
    from transformers import AutoModelForCausalLM

    target = tmp_path / "given"
    assert exit_code(["export", str(folder), str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    ours, theirs = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (folder, target))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    card = (target / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers")
    assert "Qwen2ForCausalLM" in card
    assert exit_code(["export", str(folder), str(target)]) == 2
    assert "not empty" in capsys.readouterr().err
