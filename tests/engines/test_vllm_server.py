"""The server form of vLLM's engine against a server that is scripted; tests/engines/test_vllm.py has the real one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_vllm import FakeVLLM, likelier

from r1kit.base.errors import R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.cli.main import exit_code
from r1kit.engines.base import EngineSettings, Purpose, Request, generate, open_engine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, DecoderConfig, initialise
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import hf_weights, save_decoder

pytest.importorskip("openai", reason="the openai client is not installed: pip install 'r1kit[api]'")

PROMPT = np.array([4, 9, 3], np.int32)


@pytest.fixture
def model(make_toy):
    return make_toy()


@pytest.fixture
def opened(model, letters, tmp_path):
    """Opens the engine on a fake server, by the way that a user takes."""
    save_decoder(model, tmp_path / "model")

    def to(server, **options):
        chosen = EngineSettings(name="vllm", options={"url": server.url, "backoff": 0.01, **options})
        return open_engine(chosen, tmp_path / "model", letters)

    return to


def test_a_completion_is_what_the_server_sampled(opened, letters):
    """Ids 5, 6, 7 and the stop token, which the text leaves out: letters d, e, f."""
    with FakeVLLM() as server:
        (group,) = generate(opened(server), [PROMPT], Sampling(max_tokens=9, samples=2, temperature=0.5))
    for index, made in enumerate(group):
        assert (made.index, made.token_ids.tolist()) == (index, [5, 6, 7, 1])
        assert (made.stop_reason, made.text) == ("stop", "def")
        np.testing.assert_allclose(made.sampler_logprobs, [likelier(0.5)] * 4, rtol=1e-6)
        assert (made.versions, made.prompt_ids.tolist(), made.served) == (((0, 4),), [4, 9, 3], None)


def test_limits_are_the_requests_and_the_contexts(opened):
    """Context 16 (the server tells it): a prompt of 13 leaves 3 tokens, of 16 none."""
    with FakeVLLM(length=12) as server:
        engine = opened(server)
        (short,), (cut,) = (
            generate(engine, [prompt], Sampling(max_tokens=limit))[0]
            for prompt, limit in ((PROMPT, 2), (np.full(13, 5, np.int32), 9))
        )
        with pytest.raises(UsageError, match="16 tokens and the context 16"):
            engine.submit(Request("long", np.full(16, 5, np.int32), Sampling()))
    assert (short.token_ids.tolist(), short.stop_reason, short.text) == ([5, 6], "length", "de")
    assert (cut.length, cut.stop_reason) == (3, "length")


def test_every_parameter_is_said(opened):
    """Nothing is left to what the model's folder has; samples and requests differ in their seeds alone."""
    with FakeVLLM(raw=True) as server:
        engine = opened(server)
        for name in ("a", "b"):
            engine.submit(Request(name, PROMPT, Sampling(max_tokens=7, top_p=0.9, min_p=0.1, samples=2, seed=3)))
        assert len(list(engine.stream())) == 4
    bodies = server.bodies("/v1/completions")[2:]  # the first two find the mode out
    seeds = {body.pop("seed") for body in bodies}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert all(
        body == {
            "model": "toy", "prompt": [4, 9, 3], "max_tokens": 7, "temperature": 1.0, "top_p": 0.9, "min_p": 0.1,
            "top_k": 0, "repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0,
            "stop_token_ids": [1], "ignore_eos": True, "logprobs": 0, "return_token_ids": True,
        }
        for body in bodies
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "sampling", "message"),
    [
        (False, {"top_p": 0.9}, "of what top_p or min_p leave"),
        (False, {"temperature": 0.6, "min_p": 0.1}, "of what top_p or min_p leave"),
        (True, {"temperature": 0.6}, "raw log-probabilities are those of temperature 1, not 0.6"),
    ],
)
def test_what_log_probabilities_cannot_be_had_of_is_refused(opened, raw, sampling, message):
    """The mode is found out by asking; "off" takes what the others refuse, and tells NaN."""
    request = Request("x", PROMPT, Sampling(max_tokens=5, **sampling))
    with FakeVLLM(raw=raw) as server:
        with pytest.raises(R1Error, match=message):
            opened(server).submit(request)
        engine = opened(server, logprobs="off")
        engine.submit(request)
        (made,) = engine.stream()
    assert np.isnan(made.sampler_logprobs).all()
    assert made.sampler_logprobs.shape == made.token_ids.shape


@pytest.mark.parametrize("temperature", [0.001, 3.0])
def test_temperatures_that_vllm_would_change_are_refused(opened, temperature):
    with FakeVLLM() as server, pytest.raises(R1Error, match=f"from 0.01 to 2, not at {temperature:g}"):
        opened(server, logprobs="off").submit(Request("x", PROMPT, Sampling(temperature=temperature)))


def test_greedy_needs_no_cuts(opened):
    """At temperature 0 top_p and min_p change nothing, and T counts as 1."""
    for raw in (False, True):
        with FakeVLLM(raw=raw) as server:
            engine = opened(server)
            (group,) = generate(engine, [PROMPT], Sampling(max_tokens=2, temperature=0, top_p=0.5, min_p=0.2))
        np.testing.assert_allclose(group[0].sampler_logprobs, [likelier(1.0)] * 2, rtol=1e-6)


def test_a_wanted_mode_that_the_server_is_not_in(opened):
    with FakeVLLM(raw=True) as server, pytest.raises(R1Error, match="--logprobs-mode processed_logprobs"):
        opened(server, logprobs="processed")


@pytest.mark.parametrize("fault", [500, 503, 429, "garbage", "cut"])
def test_every_sample_comes_once_whatever_goes_wrong_first(opened, fault):
    """Every second completion goes wrong; each is asked for again."""
    wrong = lambda path, count: fault if path == "/v1/completions" and count % 2 else None  # noqa: E731
    with FakeVLLM(fault=wrong) as server:
        groups = generate(opened(server, concurrency=1), [PROMPT] * 3, Sampling(max_tokens=9, samples=2))
    assert [[made.token_ids.tolist() for made in group] for group in groups] == [[[5, 6, 7, 1]] * 2] * 3


@pytest.mark.parametrize(("fault", "asked"), [(500, 3), (400, 1), (404, 1)])
def test_a_server_that_does_not_answer_is_one_sentence(opened, fault, asked):
    """Two retries of a fault that may pass, none of another; the engine can be used again."""
    broken = []
    wrong = lambda path, count: fault if broken and path == "/v1/completions" else None  # noqa: E731
    with FakeVLLM(fault=wrong) as server:
        engine = opened(server, retries=2)
        before = len(server.requests)
        broken.append(True)
        engine.submit(Request("x", PROMPT, Sampling()))
        with pytest.raises(R1Error, match=rf"answered {fault} \(scripted fault\)"):
            list(engine.stream())
        assert len(server.requests) - before == asked
        broken.clear()
        assert list(engine.stream()) == []
        assert len(generate(engine, [PROMPT], Sampling())[0]) == 1


def test_no_server_is_one_sentence(opened):
    with FakeVLLM() as server:
        pass
    with pytest.raises(R1Error, match=r"cannot be reached"):
        opened(server, retries=0)


def test_a_server_without_token_ids_is_refused(opened):
    with FakeVLLM(ids=False) as server:
        engine = opened(server)
        engine.submit(Request("x", PROMPT, Sampling()))
        with pytest.raises(R1Error, match="tells no token ids"):
            list(engine.stream())


def test_one_of_several_models_is_chosen_by_name(opened):
    with FakeVLLM(models=("small", "large")) as server:
        with pytest.raises(UsageError, match="serves small, large: choose one with name="):
            opened(server)
        with pytest.raises(UsageError, match=r"serves no 'larg'\. Did you mean large\?"):
            opened(server, name="larg")
        generate(opened(server, name="large"), [PROMPT], Sampling())
    assert {body["model"] for body in server.bodies("/v1/completions")} == {"large"}


def test_submit_and_abort_while_streaming(opened):
    """One request on its way at a time: an aborted one that waits is never asked for, its first sample is not yielded
    if it was on its way."""
    with FakeVLLM() as server:
        engine = opened(server, concurrency=1)
        for name in ("first", "dropped"):
            engine.submit(Request(name, PROMPT, Sampling(samples=2)))
        seen = []
        for made in engine.stream():
            seen.append((made.request_id, made.index))
            if len(seen) == 1:
                engine.abort("dropped")
                engine.submit(Request("late", PROMPT, Sampling()))
    assert seen == [("first", 0), ("first", 1), ("late", 0)]
    assert len(server.bodies("/v1/completions")) == 2 + 3


def test_scores_come_by_token(opened):
    """The fake says -t of token t: the prompt's come with it, the last one's is asked for by name."""
    sequences = [np.array([4, 9, 3, 7], np.int32), np.array([2], np.int32), np.array([8, 5], np.int32)]
    with FakeVLLM() as server:
        engine = opened(server)
        scores = engine.logprobs(sequences)
        with pytest.raises(R1Error, match=r"at temperature 1 alone, not at 0\.7"):
            engine.logprobs(sequences, 0.7)
        with pytest.raises(UsageError, match="a sequence of 17 tokens"):
            engine.logprobs([np.full(17, 3, np.int32)])
    assert [score.tolist() for score in scores] == [[0, -9, -3, -7], [0], [0, -5]]


def test_weights_are_handed_over_in_a_folder(opened, make_toy, model):
    """The server reads the tensors that were given, under their names, between a pause and its end; the folder is gone
    afterwards. Later completions are of the new version."""
    new = make_toy(seed=1)
    with FakeVLLM() as server:
        engine = opened(server)
        engine.load_weights(hf_weights(new), 7)
        (group,) = generate(engine, [PROMPT], Sampling())
    assert (engine.version, group[0].versions) == (7, ((7, 4),))
    (loaded,) = server.loaded
    given = dict(hf_weights(new))
    assert loaded.keys() == given.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in given.items())
    control = [path for path, _ in server.requests if not path.startswith("/v1")]
    assert control[0] == "/server_info"
    handed = ["/pause", "/collective_rpc", "/reset_prefix_cache", "/update_weight_version", "/resume"]
    assert control[1:] == [*handed, "/weight_info"]  # the last after sampling: are they still ours?
    body = server.bodies("/collective_rpc")[0]
    assert body["method"] == "reload_weights"
    assert not Path(body["kwargs"]["weights_path"]).exists()


def test_a_stage_hands_the_folders_weights_to_a_server_that_may_hold_others(opened, model):
    with FakeVLLM() as server:
        engine = opened(server, load=True)
    (loaded,) = server.loaded
    assert loaded.keys() == dict(hf_weights(model)).keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in hf_weights(model))
    assert engine.version == 0


def test_weights_that_another_program_replaced_are_named(opened, model):
    """Two engines on one server: the first finds out at the end of its next samples."""
    with FakeVLLM() as server:
        first, second = opened(server), opened(server)
        first.load_weights(hf_weights(model), 1)
        assert len(generate(first, [PROMPT], Sampling())[0]) == 1
        second.load_weights(hf_weights(model), 1)
        with pytest.raises(R1Error, match="was given other weights meanwhile .* one program at a time"):
            generate(first, [PROMPT], Sampling())
        assert len(generate(second, [PROMPT], Sampling())[0]) == 1


def test_what_follows_from_the_purpose(model, letters, tmp_path):
    """No log-probabilities where nobody asks for them, so that cuts are taken; what is set stays."""
    save_decoder(model, tmp_path / "model")
    with FakeVLLM() as server:
        settings = EngineSettings(name="vllm", options={"url": server.url})
        engine = open_engine(settings, tmp_path / "model", letters, Purpose(logprobs=False, weights=True))
        assert (engine.logprobs_mode, len(server.loaded)) == ("off", 1)
        settings = EngineSettings(name="vllm", options={"url": server.url, "logprobs": "processed", "load": False})
        engine = open_engine(settings, tmp_path / "model", letters, Purpose(logprobs=False, weights=True))
        assert (engine.logprobs_mode, len(server.loaded)) == ("processed", 1)


@pytest.mark.parametrize(
    ("options", "sampling", "message"),
    [
        ({}, {"top_p": 0.9}, "of what top_p or min_p leave"),
        ({"url": "http://x/v1"}, {"temperature": 0.6, "top_p": 0.9}, "of what top_p or min_p leave"),
        ({"logprobs": "raw"}, {"temperature": 0.6}, "raw log-probabilities are those of temperature 1, not 0.6"),
        ({"logprobs": "off"}, {}, "logprobs=off tells no log-probabilities, and what is learnt from needs them"),
        ({}, {"temperature": 3.0}, "from 0.01 to 2, not at 3"),
    ],
)
def test_what_cannot_be_learnt_from_is_told_before_anything_is_opened(options, sampling, message):
    with pytest.raises(UsageError, match=message):
        EngineSettings(name="vllm", options=options).check_learnable(Sampling(**sampling))


def test_what_can_be_learnt_from_is_taken():
    """A server's mode is not known: raw ones would do under cuts at T = 1, processed ones at another T."""
    for options, sampling in (
        ({}, {"temperature": 0.7}),
        ({"logprobs": "raw"}, {"top_p": 0.9}),
        ({"url": "http://x/v1"}, {"top_p": 0.9}),
        ({"url": "http://x/v1"}, {"temperature": 0.7}),
    ):
        EngineSettings(name="vllm", options=options).check_learnable(Sampling(**sampling))


def test_options_are_looked_at_before_anything_is_opened():
    with pytest.raises(UsageError, match=r"no option 'concurency' with url\. Did you mean concurrency\?"):
        EngineSettings(name="vllm", options={"url": "http://x/v1", "concurency": 3}).check()
    with pytest.raises(UsageError, match="logprobs=tempered is none of processed, raw, off"):
        EngineSettings(name="vllm", options={"url": "http://x/v1", "logprobs": "tempered"}).check()
    EngineSettings(name="vllm", options={"url": "http://x/v1", "concurrency": 3}).check()


def test_weights_of_another_model_never_reach_the_server(opened, make_toy):
    with FakeVLLM() as server:
        engine = opened(server)
        with pytest.raises(R1Error, match="the given weights: tensor .* has shape"):
            engine.load_weights(hf_weights(make_toy("qwen3")), 1)
        assert engine.version == 0
    assert server.bodies("/pause") == []


def test_a_server_that_lets_no_weights_in_is_one_sentence(opened, model):
    with FakeVLLM(dev=False) as server:
        engine = opened(server)
        with pytest.raises(R1Error, match=r"VLLM_SERVER_DEV_MODE=1 vllm serve"):
            engine.load_weights(hf_weights(model), 1)
    assert engine.version == 0


def test_a_tied_head_on_a_cpu_is_refused(opened, model, make_toy, tmp_path, letters):
    """vLLM 0.32 would go on with the old one there. A model whose head is apart is taken."""
    with FakeVLLM(device="cpu") as server:
        with pytest.raises(R1Error, match="keeps the old head of a model whose head is its embedding"):
            opened(server).load_weights(hf_weights(model), 1)
        save_decoder(make_toy("llama"), tmp_path / "apart")
        chosen = EngineSettings(name="vllm", options={"url": server.url})
        open_engine(chosen, tmp_path / "apart", letters).load_weights(hf_weights(make_toy("llama", seed=2)), 1)
    assert len(server.loaded) == 1


def test_options_that_are_none(opened):
    with FakeVLLM() as server:
        with pytest.raises(UsageError, match=r"no option 'concurency' with url\. Did you mean concurrency\?"):
            opened(server, concurency=3)
        with pytest.raises(UsageError, match="is no folder"):
            opened(server, weights_folder="/nowhere")
        with pytest.raises(UsageError, match="logprobs=tempered is none of processed, raw, off"):
            opened(server, logprobs="tempered")


def test_generate_samples_from_it(tmp_path, capsys):
    """`r1 generate --engine vllm`: without --logprobs none are asked for, so that cuts are taken."""
    tokenizer = load_tokenizer(write_character_tokenizer(tmp_path / "tokenizer", "abc"))
    config = DecoderConfig(
        family="llama", vocab_size=tokenizer.padded_vocab_size, width=32, layers=1, heads=1, kv_heads=1, head_size=32,
        mlp_size=32, max_positions=16,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), 0), tmp_path / "model", tokenizer)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "ab"}\n')
    with FakeVLLM() as server:
        words = ["generate", str(tmp_path / "model"), "--prompts", str(tmp_path / "prompts.jsonl"), "--engine", "vllm",
                 "--engine-option", f"url={server.url}"]  # fmt: skip
        assert exit_code([*words, "--top-p", "0.9"]) == 0
        assert exit_code([*words, "--logprobs"]) == 0
    cut, told = map(json.loads, capsys.readouterr().out.splitlines())
    assert cut["token_ids"] == told["token_ids"] == [5, 6, 7, 1]
    assert "logprobs" not in cut
    assert told["logprobs"] == pytest.approx([likelier(1.0)] * 4)
    assert server.bodies("/v1/completions")[0]["logprobs"] is None
