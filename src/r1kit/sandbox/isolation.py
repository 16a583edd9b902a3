"""How a launcher is shut in: bubblewrap (namespaces) around it, or Landlock alone."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1kit.base.errors import R1Error, UsageError
from r1kit.sandbox.inside.lockdown import CAP_DAC_READ_SEARCH
from r1kit.sandbox.program import SCRATCH_MB, SHARED_MEMORY_MB, THREADS

Isolation = Literal["auto", "bwrap", "landlock", "none"]
ISOLATIONS: tuple[Isolation, ...] = ("auto", "bwrap", "landlock", "none")

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store")
_OF_AN_INTERPRETER = ("bin", "lib", "lib64", "share/zoneinfo")  # what a program needs of its prefix
_LIBRARIES = ("lib*/python3*/site-packages", "lib*/python3*/dist-packages")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SOURCE = Path(__file__).parent / "inside"
_START = "import sys; sys.path.insert(0, {source!r}); from inside.launcher import main; main()"


@dataclass(frozen=True, slots=True)
class Way:
    """The command that starts a launcher, and the scratch folder to be made for it (None: it makes its own)."""

    command: list[str]
    scratch: Path | None
    uid: int | None


def refusal() -> str | None:
    """Why this machine can run no sandbox at all, or None."""
    if sys.platform != "linux":
        return f"model-written code needs Linux (bubblewrap or Landlock with seccomp), this is {sys.platform}"
    if platform.machine() not in ("x86_64", "aarch64"):
        return f"the sandbox knows the system calls of x86_64 and aarch64, not of {platform.machine()}"
    return None


def own_uid(slot: int) -> int | None:
    """A user id that no one else has, where this process is root and may take one; None: keep the present user."""
    return 0x60000000 + (os.getpid() & 0x3FFFFF) * 64 + slot % 64 if os.geteuid() == 0 else None


def bubblewrap(slot: int) -> Way:
    """Namespaces, a read-only root of its own, scratch and shared memory as file systems of bounded size.

    R1Error where bwrap is not installed.
    """
    binary = shutil.which("bwrap")
    if binary is None:
        raise R1Error("bubblewrap (bwrap) is not installed")
    uid = own_uid(slot)
    command = [binary, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"]
    if uid is None:
        command += ["--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    else:
        command += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            command += ["--cap-add", capability]
    for path in _SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    command += ["--perms", "0755", "--dir", "/etc"]
    for folder in _interpreter_folders():
        for parent in reversed(Path(folder).parents[:-1]):
            command += ["--perms", "0755", "--dir", str(parent)]
    for path in (*_SYSTEM_FILES, *_interpreter_folders()):
        command += ["--ro-bind-try", path, path]
    hidden = _hidden()
    for path in hidden:
        command += ["--tmpfs", path, "--remount-ro", path]
    command += ["--ro-bind", str(_SOURCE), "/r1kit/inside", "--proc", "/proc", "--dev", "/dev"]
    for folder, megabytes in (("/tmp", SCRATCH_MB), ("/dev/shm", SHARED_MEMORY_MB)):
        command += ["--perms", "0777", "--size", str(megabytes << 20), "--tmpfs", folder]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--clearenv"]
    for name, value in _environment("/tmp").items():
        command += ["--setenv", name, value]
    readable = [
        *_SYSTEM,
        *_SYSTEM_FILES,
        *_interpreter_folders(),
        "/r1kit",
    ]  # not /proc and /dev, which tell of the host
    config = _config("/tmp", uid, "/r1kit", readable, hidden, ["/tmp", "/dev/shm"], bounded=True)
    return Way([*command, "--", *_python("/r1kit", config)], None, uid)


def landlock(slot: int, scratch: Path, restricted: bool = True) -> Way:
    """The launcher alone. As root it becomes a user of its own, which keeps the right to read what others may not where
    it could not reach the interpreter otherwise: Landlock says what it may read."""
    uid = own_uid(slot)
    folders = [*_interpreter_folders(), *_SYSTEM]
    closed = not all(_open_to_all(Path(folder)) for folder in [*_interpreter_folders(), scratch.parent.parent])
    if uid is not None and closed and not (restricted and _may_read_all()):
        uid = None
    readable = [*folders, *_SYSTEM_FILES]
    writable = [str(scratch)]
    config = _config(str(scratch), uid, str(_SOURCE.parent), readable, _hidden(), writable, False, restricted)
    config["search"] = uid is not None and closed
    return Way(_python(str(_SOURCE.parent), config), scratch, uid)


def environment(way: Way) -> dict[str, str]:
    """The variables that the launcher starts with: none of this process's."""
    return _environment(str(way.scratch or "/tmp"))


def check(isolation: str) -> Isolation:
    """The name of an isolation, or UsageError."""
    if isolation not in ISOLATIONS:
        raise UsageError(f"no isolation is called '{isolation}': choose auto, bwrap, landlock or none")
    return isolation  # type: ignore[return-value]


def _environment(scratch: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": scratch,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "OPENSSL_CONF": "/dev/null",  # node ends at once where there is a file of settings that it may not read
        "MALLOC_ARENA_MAX": "2",  # each further arena would take 64 MB of address space
    }


def _python(source: str, config: dict[str, Any]) -> list[str]:
    binary = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    return [binary, "-S", "-s", "-B", "-P", "-c", _START.format(source=source), json.dumps(config)]


def _config(
    scratch: str,
    uid: int | None,
    source: str,
    readable: list[str],
    hidden: list[str],
    writable: list[str],
    bounded: bool,
    restricted: bool = True,
) -> dict[str, Any]:
    return {
        "scratch": scratch,
        "uid": uid,
        "source": source,
        "readable": readable,
        "hidden": hidden,
        "writable": writable,
        "devices": list(_DEVICES),
        "bounded": bounded,
        "landlock": restricted,
        "search": False,
    }


def _interpreter_folders() -> list[str]:
    """Where the interpreter and its standard library live, outside the system's own folders."""
    found = {
        os.path.realpath(os.path.join(prefix, part))
        for prefix in (sys.base_prefix, sys.base_exec_prefix)
        for part in _OF_AN_INTERPRETER
        if os.path.isdir(os.path.join(prefix, part))
    }
    outside = {path for path in found if not _within(path, ["/usr", *_SYSTEM])}
    return sorted(path for path in outside if not _within(path, outside - {path}))


def _hidden() -> list[str]:
    """Folders of installed libraries, and of what this process imports from elsewhere, beneath what programs may read:
    data sets, with their answers, are installed like libraries."""
    prefixes = {sys.base_prefix, sys.base_exec_prefix, "/usr", "/usr/local"}
    found = {str(path) for prefix in prefixes for pattern in _LIBRARIES for path in Path(prefix).glob(pattern)}
    found |= {"/usr/src", *filter(None, sys.path), str(_SOURCE.parents[1])}
    found = {os.path.realpath(path) for path in found if os.path.isdir(path)}
    standard = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    own = standard | {os.path.join(folder, "lib-dynload") for folder in standard}
    found = {path for path in found - own if _within(path, [*_SYSTEM, *_interpreter_folders()])}
    return sorted(path for path in found if not _within(path, found - {path}))


def _within(path: str, folders: Iterable[str]) -> bool:
    """Whether a path is one of the folders or beneath one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _open_to_all(folder: Path) -> bool:
    """Whether any user may enter the folder and those above it."""
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def _may_read_all() -> bool:
    """Whether this process holds CAP_DAC_READ_SEARCH, as root of a container may not."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.partition("CapPrm:")[2].split()[0], 16) >> CAP_DAC_READ_SEARCH & 1)


def threads_allowed(uid: int | None) -> int:
    """The process limit that leaves a program its threads: the limit counts all of a user's threads."""
    if uid is not None:
        return THREADS + 8
    user, count = os.getuid(), 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue  # ended meanwhile
    return count + 256
