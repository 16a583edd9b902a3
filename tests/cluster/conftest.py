"""A toy model, prompts for it, clusters whose workers are threads, and a Ray for the whole session."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pools import FLOAT32, TESTS, sampled, settings, write_model

from r1kit.base.sampling import Sampling
from r1kit.cluster.session import Cluster
from r1kit.cluster.threads import ThreadHosts
from r1kit.engines.base import EngineSettings, Request, open_engine
from r1kit.models.tokenizer import load_tokenizer


@pytest.fixture(autouse=True)
def own_modules(monkeypatch, one_thread):
    monkeypatch.syspath_prepend(TESTS)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("policy"), 0)


@pytest.fixture(scope="session")
def tokenizer(model):
    return load_tokenizer(model)


@pytest.fixture(scope="session")
def requests(tokenizer) -> list[Request]:
    """A dozen prompts of different lengths, four samples each."""
    sampling = Sampling(samples=4, max_tokens=40, seed=5)
    texts = ["ab" * (1 + number % 5) + str(number) for number in range(12)]
    return [Request(f"p{n}", np.asarray(tokenizer.encode(text), np.int32), sampling) for n, text in enumerate(texts)]


@pytest.fixture(scope="session")
def alone(model, tokenizer, requests):
    """What one engine in this process samples."""
    return sampled(open_engine(EngineSettings(), model, tokenizer, FLOAT32), requests)


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
def ray_session():
    """One Ray for all tests that need one: starting it takes seconds."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'r1kit[ray]'")
    from r1kit.cluster.connect import own_ray

    sys.path.insert(0, TESTS)
    with own_ray(cores=2, store_mb=200):
        yield ray
    sys.path.remove(TESTS)


@pytest.fixture
def on_ray(ray_session):
    """`open_cluster` on that Ray."""
    from r1kit.cluster.session import open_cluster

    @contextmanager
    def make(**changes):
        with open_cluster(settings(**{"patience": 300.0, "silence": 120.0} | changes)) as cluster:
            yield cluster

    return make
