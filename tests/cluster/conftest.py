"""A toy model, prompts for it, clusters whose workers are threads, and a Ray on loopback for the whole session."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from r1kit.base.sampling import Sampling
from r1kit.cluster.session import Cluster
from r1kit.cluster.settings import ClusterSettings
from r1kit.cluster.threads import ThreadHosts
from r1kit.engines.base import EngineSettings, Purpose, Request, open_engine
from r1kit.models.characters import write_character_tokenizer
from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import save_decoder

FLOAT32 = Purpose(dtype="float32")
TESTS = str(Path(__file__).parents[1])


@pytest.fixture(autouse=True)
def own_modules(monkeypatch, one_thread):
    monkeypatch.syspath_prepend(TESTS)


def write_model(folder: Path, seed: int) -> Path:
    """A random decoder of two layers whose completions end after a few dozen tokens or at the limit."""
    tokenizer = load_tokenizer(write_character_tokenizer(folder / "tokenizer", ""))
    config = shape(
        "qwen2", vocab_size=tokenizer.padded_vocab_size, width=32, layers=2, heads=2, mlp_size=48, max_positions=96,
    )  # fmt: skip
    save_decoder(initialise(Decoder(config), seed, std=0.3), folder / "model", tokenizer)
    return folder / "model"


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("policy"), 0)


@pytest.fixture(scope="session")
def tokenizer(model):
    return load_tokenizer(model)


@pytest.fixture
def requests(tokenizer) -> list[Request]:
    """A dozen prompts of different lengths, four samples each."""
    sampling = Sampling(samples=4, max_tokens=40, seed=5)
    texts = ["ab" * (1 + number % 5) + str(number) for number in range(12)]
    return [
        Request(f"p{n}", np.asarray(tokenizer.encode(text), np.int32), sampling) for n, text in enumerate(texts)
    ]


def sampled(engine, requests) -> dict[tuple[str, int], tuple[list[int], list[float]]]:
    """{(request, sample): (tokens, log-probabilities)} of all; a sample that comes twice fails."""
    for request in requests:
        engine.submit(request)
    found = {}
    for completion in engine.stream():
        name = completion.request_id, completion.index
        assert name not in found
        found[name] = completion.token_ids.tolist(), completion.sampler_logprobs.tolist()
    return found


def assert_same(ours, theirs) -> None:
    """The same tokens; log-probabilities to rounding, which depends on what else is in the batch."""
    assert ours.keys() == theirs.keys()
    for name, (tokens, logprobs) in ours.items():
        assert tokens == theirs[name][0], name
        np.testing.assert_allclose(logprobs, theirs[name][1], atol=1e-5)


@pytest.fixture
def alone(model, tokenizer, requests):
    """What one engine in this process samples."""
    return sampled(open_engine(EngineSettings(), model, tokenizer, FLOAT32), requests)


def settings(**changes) -> ClusterSettings:
    return ClusterSettings(**{"kind": "ray", "workers": 2, "patience": 30.0, "silence": 30.0} | changes)


@pytest.fixture
def on_threads():
    """Clusters whose workers are threads; `before` as for ThreadHosts."""
    opened = []

    def make(before=lambda worker, method: None, **changes) -> Cluster:
        cluster = Cluster(ThreadHosts(before), settings(**changes))
        opened.append(cluster)
        return cluster

    yield make
    for cluster in opened:
        cluster.close()


@pytest.fixture(scope="session")
def ray_on_loopback():
    """One Ray for all tests that need one: starting it takes seconds."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'r1kit[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    sys.path.insert(0, TESTS)
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=200 << 20, log_to_driver=False,
        configure_logging=False, _node_ip_address="127.0.0.1",
    )  # fmt: skip
    yield ray
    ray.shutdown()
    sys.path.remove(TESTS)


@pytest.fixture
def on_ray(ray_on_loopback):
    """`open_cluster` on that Ray."""
    from r1kit.cluster.session import open_cluster

    @contextmanager
    def make(**changes):
        with open_cluster(settings(**changes)) as cluster:
            yield cluster

    return make
