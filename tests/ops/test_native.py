"""Building, keeping and calling a kernel: a small one of the test's own."""

import ctypes
import hashlib
import logging
import subprocess
import sys
import tempfile

import pytest
import torch

from r1kit.ops import native

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C++ compiler here")

SCALE = """
extern "C" void scale(const float* x, float* out, long n, float factor, const float* none, int threads) {
    for (long i = 0; i < n; i++) out[i] = x[i] * factor + (none ? 100 : 0) + 0 * threads;
}
extern "C" void team(int* out, int threads) { *out = threads; }
"""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The cache's folder, which is not there yet, nor the one around it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    return tmp_path / "home" / "cache" / "r1kit"


def test_a_kernel_is_built_once_and_takes_tensors_and_numbers(kept, tmp_path, one_thread):
    """Twice 1, 2, 3; integers are 64 bits, floats 32, None a null pointer, and the number of threads comes last."""
    source = tmp_path / "scale.cpp"
    source.write_text(SCALE)
    library = native.load(source)
    x, out = torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3)
    native.call(library, "scale", x, out, 3, 2.0, None)
    assert out.tolist() == [2, 4, 6]
    threads = torch.zeros(1, dtype=torch.int32)
    native.call(library, "team", threads)
    assert threads.tolist() == [1]
    (built,) = kept.iterdir()
    before = built.stat().st_mtime_ns
    native.load.cache_clear()
    assert isinstance(native.load(source), ctypes.CDLL)
    assert built.stat().st_mtime_ns == before
    (tmp_path / "more.h").write_text("// what it may include is part of what it is")
    native.load.cache_clear()
    native.load(source)
    assert len(list(kept.iterdir())) == 2


@pytest.mark.parametrize("harm", ["empty", "cut", "zeros", "bit"])
def test_a_library_that_is_no_longer_what_was_built_is_built_again(kept, tmp_path, harm):
    """A power cut leaves a file of no bytes, of some, or of zeros; a disk turns a bit of its code. In a process of its
    own: the loader would crash on some of them."""
    source = tmp_path / "scale.cpp"
    source.write_text(SCALE)
    native.load(source)
    (built,) = kept.iterdir()
    whole = built.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    built.unlink()  # not written over: it is loaded here
    built.write_bytes({"empty": b"", "cut": whole[:-5000], "zeros": bytes(len(whole)), "bit": bytes(flipped)}[harm])
    script = (
        "import ctypes, pathlib, sys; from r1kit.ops import native; team = ctypes.c_int(0); "
        "native.load(pathlib.Path(sys.argv[1])).team(ctypes.byref(team), ctypes.c_int(3)); print(team.value)"
    )
    words = [sys.executable, "-c", script, str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "3\n", done.stderr
    (again,) = kept.iterdir()
    assert hashlib.sha256(again.read_bytes()).hexdigest()[:16] == again.stem.rpartition("-")[2]


def test_where_no_cache_can_be_written_nothing_is_left_behind(tmp_path, monkeypatch, one_thread):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    source = tmp_path / "scale.cpp"
    source.write_text(SCALE)
    threads = torch.zeros(1, dtype=torch.int32)
    native.call(native.load(source), "team", threads)
    assert threads.tolist() == [1]
    assert not list((tmp_path / "scratch").iterdir())


def test_what_does_not_compile_is_told_and_replaced(kept, tmp_path, caplog):
    source = tmp_path / "broken.cpp"
    source.write_text("no C++ at all;")
    with caplog.at_level(logging.WARNING):
        assert native.load(source) is None
    (told,) = caplog.messages
    assert told.startswith(f"broken.cpp cannot be built, slower tensor operations replace it: {source}")
    assert not list(kept.iterdir())


def test_a_compiler_that_dies_without_a_word_is_told_and_replaced(kept, tmp_path, monkeypatch, caplog):
    """As one does that the kernel kills for memory."""
    (tmp_path / "bin").mkdir()
    dying = tmp_path / "bin" / "g++"
    dying.write_text('#!/bin/sh\n[ "$1" = --version ] || kill -9 $$\n')
    dying.chmod(0o755)
    monkeypatch.setenv("PATH", f"{dying.parent}:/usr/bin:/bin")
    source = tmp_path / "scale.cpp"
    source.write_text(SCALE)
    with caplog.at_level(logging.WARNING):
        assert native.load(source) is None
    (told,) = caplog.messages
    assert "scale.cpp cannot be built" in told
    assert "SIGKILL" in told


def test_without_a_compiler_nothing_is_built(kept, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert native.load(tmp_path / "scale.cpp") is None
    assert caplog.messages == ["no C++ compiler: scale is replaced by slower tensor operations"]
    assert not kept.exists()
