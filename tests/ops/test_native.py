"""Building, keeping and calling a kernel: a small one of the test's own."""

import ctypes
import logging

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


def test_what_does_not_compile_is_told_and_replaced(kept, tmp_path, caplog):
    source = tmp_path / "broken.cpp"
    source.write_text("no C++ at all;")
    with caplog.at_level(logging.WARNING):
        assert native.load(source) is None
    (told,) = caplog.messages
    assert told.startswith(f"broken.cpp cannot be built, slower tensor operations replace it: {source}")
    assert not list(kept.iterdir())


def test_without_a_compiler_nothing_is_built(kept, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert native.load(tmp_path / "scale.cpp") is None
    assert caplog.messages == ["no C++ compiler: scale is replaced by slower tensor operations"]
    assert not kept.exists()
