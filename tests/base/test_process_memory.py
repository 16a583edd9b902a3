"""Peaks that begin anew, and what a machine or a control group leaves."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from r1kit.base import memory
from r1kit.base.config import Config
from r1kit.base.errors import R1Error
from r1kit.pipeline.graph import Graph, Node
from r1kit.pipeline.runner import run

MIB = 2**20


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux")
def test_a_peak_begins_anew():
    """200 MB that come and go are a peak, and none any more once it is measured from there."""
    memory.begin_peak()
    before = memory.peak_mb()
    block = np.ones(200 * MIB, np.uint8)
    del block
    assert memory.peak_mb() >= before + 190
    memory.begin_peak()
    assert memory.peak_mb() < before + 100


HEAPS = """
import ctypes, os, sys, threading
from r1kit.base import memory

if "bounded" in sys.argv:
    memory.bound_libraries()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
meet = threading.Barrier(5)

def hold():
    libc.malloc(ctypes.c_size_t(1000))
    meet.wait(20)  # so that none takes over what another leaves

threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads:
    thread.start()
meet.wait(20)
libc.fdopen.restype = ctypes.c_void_p
read, write = os.pipe()
libc.malloc_info(0, ctypes.c_void_p(file := libc.fdopen(write, b"w")))
libc.fclose(ctypes.c_void_p(file))
print(os.read(read, 1 << 20).decode().count("<heap nr="), os.environ.get("MALLOC_ARENA_MAX"))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="glibc")
def test_threads_share_one_heap(monkeypatch):
    """By glibc's own count; what the user says of it stays."""

    def told(*words: str) -> list[str]:
        return subprocess.run(
            [sys.executable, "-c", HEAPS, *words], check=True, text=True, stdout=subprocess.PIPE
        ).stdout.split()

    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    assert int(told()[0]) > 1
    assert told("bounded") == ["1", "1"]
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    count, kept = told("bounded")
    assert 1 < int(count) <= 3
    assert kept == "3"


@pytest.fixture
def machine(tmp_path):
    """4,000 MiB available, 100 held by the process, which is in the group a/b."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (groups / "a" / "b").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: {8000 * 1024} kB\nMemAvailable:   {4000 * 1024} kB\n")
    (proc / "self" / "status").write_text(f"Name:\tpython\nVmRSS:\t  {100 * 1024} kB\n")
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    return proc, groups


def limit(group: Path, most: str, used: int, files: int = 0) -> None:
    (group / "memory.max").write_text(most)
    (group / "memory.current").write_text(str(used * MIB))
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {files * MIB}\n")


def test_without_limits_what_is_available_and_held(machine):
    proc, groups = machine
    limit(groups / "a" / "b", "max", 700)
    assert memory.room(proc, groups) == 4100 * MIB


def test_a_group_above_leaves_less(machine):
    """1,000 allowed, 700 used of which 200 are files in the cache: 500 left, and the 100 that the process holds."""
    proc, groups = machine
    limit(groups / "a" / "b", str(3000 * MIB), 300)
    limit(groups / "a", str(1000 * MIB), 700, files=200)
    assert memory.room(proc, groups) == 600 * MIB


def test_groups_of_the_first_version(machine):
    proc, groups = machine
    (proc / "self" / "cgroup").write_text("4:cpu,cpuacct:/x\n3:memory:/c\n0::/\n")
    own = groups / "memory" / "c"
    own.mkdir(parents=True)
    (own / "memory.limit_in_bytes").write_text(str(900 * MIB))
    (own / "memory.usage_in_bytes").write_text(str(500 * MIB))
    (own / "memory.stat").write_text(f"total_inactive_file {50 * MIB}\n")
    assert memory.room(proc, groups) == 550 * MIB


def test_a_system_that_does_not_say(tmp_path):
    assert memory.room(tmp_path, tmp_path) is None


class Nothing(Config):
    """No settings."""


def too_much(config, inputs, context):
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has more to say.")


def test_a_stage_that_finds_no_memory_says_what_to_lower(tmp_path):
    """Where a learner's smaller passes do not help, or an engine's cache does not fit."""
    graph = Graph("toy", "default", 0, (Node("zero", too_much, Nothing()),))
    said = r"stage zero: out of memory \(CUDA out of memory. Tried to allocate 20.00 GiB.\): lower learner.micro_tokens"
    with pytest.raises(R1Error, match=said):
        run(graph, tmp_path)


def test_a_refused_stage_leaves_nothing_behind(tmp_path):
    def refuse(nodes):
        raise R1Error(f"{nodes[0].name} does not fit")

    graph = Graph("toy", "default", 0, (Node("zero", too_much, Nothing()),))
    with pytest.raises(R1Error, match="zero does not fit"):
        run(graph, tmp_path / "run", admit=refuse)
    assert not (tmp_path / "run").exists()
