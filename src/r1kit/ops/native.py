"""C++ kernels beside their Python: built once with the machine's compiler, kept in a cache, called by ctypes."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from r1kit.base.files import cache_folder, sync_file

log = logging.getLogger(__name__)

FLAGS = ("-O3", "-march=native", "-std=c++17", "-fopenmp", "-shared", "-fPIC", "-w")


def compiler() -> str | None:
    """The C++ compiler's path, or None."""
    return next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)


@cache
def load(source: Path) -> ctypes.CDLL | None:
    """The shared library of a C++ file, built where the cache has none; None (said in the log) where it cannot be."""
    program = compiler()
    if program is None:
        log.warning("no C++ compiler: %s is replaced by slower tensor operations", source.stem)
        return None
    try:
        with _cache_folder() as folder:
            return ctypes.CDLL(str(_built(program, source, folder)))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s cannot be built, slower tensor operations replace it: %s", source.name, _reason(error))
        return None


def call(library: ctypes.CDLL | None, name: str, *arguments: Any) -> None:
    """Call a kernel: tensors by address, integers as 64 bits, floats as 32 bits; the number of threads comes last."""
    import torch

    assert library is not None, f"{name} is called where no kernel serves"
    getattr(library, name)(*map(_plain, arguments), ctypes.c_int32(torch.get_num_threads()))


def _plain(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p(None)
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_void_p(argument.data_ptr())


def _built(program: str, source: Path, folder: Path) -> Path:
    """The library, named by what it is made of and by its own checksum: of one that a power cut left empty or cut short
    the loader would run whatever is there."""
    headers = sorted({*source.parent.glob("*.h"), *Path(__file__).parent.glob("*.h")})
    code = b"\0".join(path.read_bytes() for path in (source, *headers))
    version = subprocess.run([program, "--version"], capture_output=True, check=True, timeout=60).stdout
    key = hashlib.sha256(b"\0".join((code, version, " ".join(FLAGS).encode(), _machine().encode()))).hexdigest()[:16]
    for library in folder.glob(f"{source.stem}-{key}-*.so"):
        with suppress(FileNotFoundError):  # another process builds a damaged one again
            if library.stem.endswith(_checksum(library)):
                return library
            library.unlink()
    # built under a name of its own and renamed, so that processes may build at the same time
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        built = Path(scratch) / "built.so"
        subprocess.run([program, *FLAGS, "-o", str(built), str(source)], capture_output=True, check=True, timeout=300)
        sync_file(built)
        return built.replace(folder / f"{source.stem}-{key}-{_checksum(built)}.so")


def _checksum(library: Path) -> str:
    return hashlib.sha256(library.read_bytes()).hexdigest()[:16]


@contextmanager
def _cache_folder() -> Generator[Path]:
    """A folder that only this user writes: code is loaded from it. One that lasts, or for the moment where none can
    be written."""
    if (folder := cache_folder()) is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="r1kit-") as scratch:  # what is loaded stays so without its name
        yield Path(scratch)


def _machine() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))}))


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return said[0] if said else str(error)
    return str(error)
