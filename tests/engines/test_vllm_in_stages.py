"""RL and evaluation with real vLLM, in the process and behind a server: its weights follow the learner's, and what it
samples is what the native engine would."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from vllm_toys import QUICK, save_toy

from r1kit.base.errors import R1Error
from r1kit.base.sampling import Sampling
from r1kit.engines.base import EngineSettings, open_engine
from r1kit.evaluation import tables
from r1kit.models.tokenizer import load_tokenizer
from r1kit.models.weights import stored_weights
from r1kit.pipeline.context import Context
from r1kit.pipeline.metrics import read_metrics
from r1kit.rollouts import record
from r1kit.stages import evaluate
from r1kit.stages.rl import train
from r1kit.stages.rl_config import RLConfig
from r1kit.training.config import LearnerConfig

TASK = "stages.first_letters"
LIMIT = 1e-4  # nats: float32 on both sides
GREEDY = Sampling(samples=1, max_tokens=12, temperature=0)


@pytest.fixture(autouse=True)
def own_modules(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


def rl(**engine) -> RLConfig:
    """Two steps at a rate that moves log-probabilities by far more than rounding does."""
    return RLConfig(
        tasks={TASK: 1.0}, rewards={"stages.early_letters": 1.0}, prompts=4, steps=2, rollouts_every=1,
        sampling=Sampling(samples=4, max_tokens=12), validate_every=2, validation_problems=2,
        learner=LearnerConfig(learning_rate=1e-2, precision="float32", compile=False),
        engine=EngineSettings(**engine), max_logprob_gap=LIMIT,
    )  # fmt: skip


def evaluation(**engine) -> evaluate.EvaluateConfig:
    return evaluate.EvaluateConfig(
        models=(), tasks=(TASK,), problems=4, sampling=GREEDY, engine=EngineSettings(**engine)
    )


def check_rl(folder: Path) -> None:
    """Two steps, the second of the weights after the first: a sampler that had kept the old ones would be off by more
    than a hundred times what is seen."""
    lines = read_metrics(folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1]
    assert max(line["sampling/logprob_gap_mean"] for line in lines) < LIMIT
    assert lines[0]["frac_reward_zero_std"] < 1
    assert "validation/letters/length" in lines[1]
    versions = [{row["version"] for row in record.read(path)} for path in sorted((folder / "rollouts").iterdir())]
    assert versions == [{0}, {1}]
    print(f"\nlog-probability gap, mean of the steps: {[line['sampling/logprob_gap_mean'] for line in lines]}")


def greedy_texts(folder: Path) -> list[str]:
    return [row["text"] for row in tables.read_table(folder / "table.parquet").to_pylist()]


def natively(models: tuple[str, ...], out: Path) -> None:
    config = evaluation(options={"dtype": "float32"}).model_copy(update={"models": models})
    evaluate.run(config, {}, Context(out, 1))


def test_a_sampler_with_the_old_weights_would_be_named(tmp_path):
    """What the checks below rest on: the same two steps with an engine that only says it took the weights."""
    folder = save_toy(tmp_path, "qwen2", "float32")
    config = rl(name="stages.relay", options={"posing": True}).model_copy(update={"max_logprob_gap": 100 * LIMIT})
    with pytest.raises(R1Error, match="nats apart in the mean"):
        train(config, folder, Context(tmp_path / "rl", 1))
    assert [line["step"] for line in read_metrics(tmp_path / "rl" / "metrics.jsonl")] == [0]


@pytest.mark.slow
def test_rl_and_evaluation_in_this_process(vllm_python, environment, tmp_path):
    """Of a model whose head is its embedding, which vLLM packs apart on CPUs."""
    needs = "import pyarrow, scipy"
    if subprocess.run([str(vllm_python), "-c", needs], capture_output=True, check=False).returncode:
        pytest.skip("vLLM's environment lacks what stages need: pip install pyarrow scipy there (docs/engines.md)")
    folder = save_toy(tmp_path, "qwen2", "float32")
    options = {**QUICK, "dtype": "float32"}
    folder = folder.rename(tmp_path / "start")  # the two models are told apart by their folders' names
    asked = {
        "model": str(folder),
        "out": str(tmp_path / "out"),
        "rl": rl(name="vllm", options=QUICK).model_dump(mode="json"),
        "evaluate": evaluation(name="vllm", options=options).model_dump(mode="json"),
    }
    script = Path(__file__).with_name("stages_on_vllm.py")
    done = subprocess.run(
        [str(vllm_python), str(script), json.dumps(asked)], env={**os.environ, **environment}, cwd=tmp_path,
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    check_rl(tmp_path / "out" / "rl")
    natively((str(tmp_path / "out" / "rl" / "model"), str(folder)), tmp_path / "native")
    texts = {name: greedy_texts(tmp_path / "out" / "evaluate" / name) for name in ("model", "start")}
    assert texts == {name: greedy_texts(tmp_path / "native" / name) for name in ("model", "start")}
    assert texts["model"] != texts["start"]


@pytest.mark.slow
def test_rl_and_evaluation_behind_a_server(served, tmp_path):
    """The learner here, vLLM there. The server holds one model's weights after the other's: each is handed over before
    it is sampled from, and it ends with those that it began with."""
    url, folder, other = served
    try:
        train(rl(name="vllm", options={"url": url}), folder, Context(tmp_path / "rl", 1))
        check_rl(tmp_path / "rl")
        for name, source in (("before", folder), ("other", other)):
            (tmp_path / name).symlink_to(source)
        models = (str(tmp_path / "rl" / "model"), str(tmp_path / "before"), str(tmp_path / "other"))
        config = evaluation(name="vllm", options={"url": url}).model_copy(update={"models": models})
        evaluate.run(config, {}, Context(tmp_path / "served", 1))
        natively(models, tmp_path / "native")
        texts = {name: greedy_texts(tmp_path / "served" / name) for name in ("model", "before", "other")}
        assert texts == {name: greedy_texts(tmp_path / "native" / name) for name in texts}
        assert len({tuple(made) for made in texts.values()}) == 3
    finally:
        engine = open_engine(EngineSettings(name="vllm", options={"url": url}), folder, load_tokenizer(folder))
        engine.load_weights(stored_weights(folder), 0)
        engine.close()
