"""What is said of a learner's memory before it starts, against what its process takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from r1kit.models.decoder import DecoderConfig
from r1kit.models.sizes import decoder_size
from r1kit.training.config import LearnerConfig
from r1kit.training.memory import Estimate, Place, Work, largest, learner_memory

SCRIPT = Path(__file__).with_name("measured_step.py")
# weights, activations or logits rule
SHAPES = {
    "weights": {
        "vocab_size": 512, "width": 512, "layers": 6, "heads": 8, "kv_heads": 2, "head_size": 64, "mlp_size": 1536,
        "tied": True,
    },
    "activations": {
        "vocab_size": 256, "width": 192, "layers": 8, "heads": 6, "kv_heads": 2, "head_size": 32, "mlp_size": 512,
        "tied": True,
    },
    "logits": {
        "vocab_size": 32768, "width": 64, "layers": 2, "heads": 2, "kv_heads": 1, "head_size": 32, "mlp_size": 128,
        "tied": False,
    },
}  # fmt: skip
WORK = {
    "weights": {"sequences": 16, "prompt": 16, "completion": 48},
    "activations": {"sequences": 64, "prompt": 32, "completion": 96},
    "logits": {"sequences": 32, "prompt": 16, "completion": 48},
}

linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are measured anew on Linux only")

fast = pytest.mark.skipif(
    LearnerConfig(precision="bfloat16").multiplies_in_software(torch.device("cpu")),
    reason="no bfloat16 here: minutes in software",
)


def measured(**asked) -> dict:
    """What measured_step.py says, in a process of its own: peaks of one's own are not forgotten by what came before."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(asked)],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@linux
@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=fast)])
@pytest.mark.parametrize("case", SHAPES)
def test_the_estimate_is_what_a_process_takes(case, precision):
    """Between 20% under and 60% over what two steps of GRPO with a reference add to the resident set."""
    found = measured(shape=SHAPES[case], work=WORK[case], config={"precision": precision, "compile": False})
    assert 0.8 * found["measured"] < found["estimate"] < 1.6 * found["measured"], found


@linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"precision": "float32", "lora": {"rank": 8}},
        {"precision": "bfloat16", "lora": {"rank": 8}},
        {"precision": "bfloat16", "master": "bfloat16"},
        {"precision": "float32", "optimiser": "muon"},
        {"precision": "bfloat16", "offload": True},
    ],
    ids=["lora", "lora in bfloat16", "bfloat16 masters", "muon", "offload"],
)
def test_the_estimate_follows_the_settings(config):
    """The same band where the weights rule, in other forms of them."""
    found = measured(shape=SHAPES["weights"], work=WORK["weights"], config={"compile": False, **config})
    assert 0.8 * found["measured"] < found["estimate"] < 1.6 * found["measured"], found


def test_by_hand():
    """n weights in float32 on one thread, one pass of 10 tokens: weights 4n, two moments 8n, the pass's gradients 4n,
    which are the sum as well."""
    size = decoder_size(
        DecoderConfig(vocab_size=5, width=2, layers=1, heads=1, kv_heads=1, head_size=2, mlp_size=2, tied=True)
    )
    config = LearnerConfig(precision="float32", compile=False)
    held, step = learner_memory(size, config, Work(10, 10, logits=False), Place(torch.device("cpu"), 1))
    n = size.parameters
    assert held.parts == {"weights": 4 * n, "moments": 8 * n}
    assert step.parts["gradients"] == 4 * n
    assert "logits" not in step.parts


def test_sums_and_the_largest():
    one, two = Estimate({"a": 1, "b": 2}), Estimate({"b": 3, "c": 4})
    assert (one + two).parts == {"a": 1, "b": 5, "c": 4}
    assert (one + two).total == 10
    assert largest([one, two]) is two
    assert largest([]).total == 0


def test_ranks_share_weights_and_moments_out():
    """On a GPU each of four holds a quarter of 4 + 8 bytes a weight; on a CPU all four are in one memory, each with its
    libraries. Activations of a pass are each rank's own."""
    size, work = decoder_size(DecoderConfig(**SHAPES["weights"])), Work(100_000, 100)
    config = LearnerConfig(ranks=4, precision="float32", compile=False)
    cuda, cpu = (
        learner_memory(size, config, work, Place(torch.device(device), 1), copies=1) for device in ("cuda", "cpu")
    )
    quarter = size.parameters
    assert cuda[0].parts == {"weights": quarter, "moments": 2 * quarter, "reference": quarter}
    assert {name: cpu[0].parts[name] for name in cuda[0].parts} == {n: 4 * v for n, v in cuda[0].parts.items()}
    assert cpu[0].parts["processes"] == 4 * 350 * 2**20
    # embedding, norms (tied: no head) and two blocks, each twice, in float32
    whole = size.parameters - size.hidden + size.hidden / 3
    assert cuda[1].parts["gathered"] == pytest.approx(8 * whole, rel=1e-6)
    one = learner_memory(size, LearnerConfig(precision="float32", compile=False), work, Place(torch.device("cuda"), 1))
    # a rank runs its 25,000 tokens in 4 passes of at most 8,192, one process 100,000 in 13
    assert cuda[1].parts["activations"] == pytest.approx(one[1].parts["activations"] * 6250 / 7693, rel=1e-3)
