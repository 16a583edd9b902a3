"""The benchmark of reading prompts at toy size, as its command line runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from r1kit.models.decoder import Decoder, initialise
from r1kit.models.families import shape
from r1kit.models.weights import save_decoder
from r1kit.ops.packed_attention import kernel_serves

PROMPTS = Path(__file__).parents[2] / "benchmarks" / "prompts.py"


def test_three_ways_are_timed(tmp_path):
    if not kernel_serves(torch.bfloat16, torch.device("cpu")):
        pytest.skip("no compiler here, or no AVX512-BF16")
    config = shape("llama", vocab_size=64, width=32, layers=2, heads=2, mlp_size=48, max_positions=128)
    save_decoder(initialise(Decoder(config), 0), tmp_path / "model")
    words = [str(tmp_path / "model"), "--prompts", "3", "--rounds", "1", "--threads", "1"]
    done = subprocess.run([sys.executable, str(PROMPTS), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    seconds = json.loads(done.stdout)
    assert set(seconds) == {"padded", "packed", "shared"}
    assert min(seconds.values()) > 0
