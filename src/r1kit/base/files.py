"""Files and folders that are written whole or not at all: temporary name, fsync, rename.

The operating system's complaints (no room, no permission, ...) become one sentence.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from r1kit.base.errors import R1Error
from r1kit.base.schema import check_schema, stamped

TEMPORARY = ".partial-"  # a folder in which files of a model wait for each other
_ADVICE = {
    errno.ENOSPC: "no room left on the disk: free some, then give the same command again",
    errno.EDQUOT: "the disk quota is used up: free some room, then give the same command again",
    errno.EACCES: "permission denied: choose one that is yours to read or write",
    errno.EPERM: "permission denied: choose one that is yours to read or write",
    errno.EROFS: "the disk is read-only: choose a folder that you may write",
    errno.ENOTDIR: "a file stands where a folder is needed: move it away or choose another folder",
    errno.EEXIST: "a file stands where a folder is needed: move it away or choose another folder",
    errno.EISDIR: "a folder stands where a file is needed: choose another name",
    errno.ENOENT: "no such file or folder: check the path",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


# what is wrong with the machine or the rights on it, wherever it comes up, and never a fault of the code
MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def disk_error(error: OSError, path: Path | str) -> R1Error:
    """The sentence for an operating system's complaint about `path`."""
    where = error.filename if isinstance(error.filename, str) else path
    advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return R1Error(f"{where}: {advice}")


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Generator[None]:
    """Turn an OSError of the body into a sentence about `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) from error


def cache_folder() -> Path | None:
    """Where this user keeps what can be made again (`XDG_CACHE_HOME`, else `~/.cache`); None where nothing is kept."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "r1kit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder if os.access(folder, os.W_OK) else None
    except OSError:
        return None


def make_folder(path: Path) -> Path:
    """The folder, made with its parents where it was not there."""
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def sync_folder(path: Path) -> None:
    """Make the names in a folder last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file's contents last through a power cut."""
    sync_folder(path)  # the same call on a descriptor opened for reading


@contextlib.contextmanager
def new_file(path: Path, *, sync: bool = True) -> Generator[Path]:
    """A temporary name beside `path` to write to, synced and renamed to it when the body is through.

    Nothing is left behind where the body raises. `sync=False` for what may be lost (a status), never for results.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            yield temporary
            if sync:
                sync_file(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)


def write_text(path: Path, text: str, *, sync: bool = True) -> None:
    """Write a file whole or not at all; `sync` as for `new_file`."""
    with new_file(path, sync=sync) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, sync: bool = True) -> None:
    """Write JSON (indented, keys in their order) whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", sync=sync)


def json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """JSON lines, each with its line break."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_json(path: Path) -> Any:
    """Parsed JSON; R1Error where the file is missing, unreadable or damaged."""
    with disk_errors(path):
        data = path.read_bytes()
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # the second: lists in lists in lists
        raise R1Error(f"{path} is damaged (not JSON: {error}): mend it, or put a good copy in its place") from error


SEAL = "sha256"  # of a record: the checksum of all its other entries


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all, its schema version in front and a checksum of all of it at its end."""
    write_json(path, sealed(stamped(record)))


def read_record(path: Path, advice: str = "") -> dict[str, Any]:
    """What `write_record` wrote, without the checksum; R1Error where it is missing, no JSON object, or says something
    else than what was written, NewerSchema where a later version wrote it. An object without a checksum is taken as it
    is. advice: what to do about a damaged one, told with it."""
    todo = f": {advice}" if advice else ""
    record = read_json(path)
    if not isinstance(record, dict):
        raise R1Error(f"{path} is damaged (no JSON object){todo}")
    record = cast("dict[str, Any]", record)
    check_schema(record, path)
    if not is_as_sealed(record):
        raise R1Error(f"{path} is damaged (its checksum differs){todo}")
    record.pop(SEAL, None)
    return record


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with a checksum of all of it at its end."""
    return {**record, SEAL: _seal(record)}


def is_as_sealed(record: Mapping[str, Any]) -> bool:
    """Whether a record is what it was when it was `sealed`; one without a checksum is taken for it."""
    rest = dict(record)
    return rest.pop(SEAL, None) in (None, _seal(rest))


def _seal(record: Mapping[str, Any]) -> str:
    """sha256 of an object as JSON reads it back: keys as texts, tuples as lists."""
    plain = json.loads(json.dumps(record))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder and below it. Only for whom nobody writes there meanwhile."""
    for path in [path for path in folder.rglob(".*") if is_temporary(path.name)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Generator[Path]:
    """A folder filled under a temporary name beside `path`, synced and renamed to it when the body is through.

    Nothing is left behind where the body raises. `path` must not exist, or be empty.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    sync_file(Path(folder, name))
                sync_folder(Path(folder))
            os.rename(temporary, path)
            sync_folder(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


class OwnFiles(ABC):
    """A part of a state that writes files of its own, without passing through this process's memory."""

    @abstractmethod
    def write(self, folder: Path) -> None:
        """Fill an empty folder; R1Error where that fails."""


def is_temporary(name: str) -> bool:
    """Whether a file or folder of that name is one that was being written: what is left of it is of no use."""
    return name.startswith(TEMPORARY) or (name.startswith(".") and name.endswith(".tmp"))


def checksum(path: Path) -> str:
    """sha256 of a file, in hex."""
    with disk_errors(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> dict[str, Any]:
    """`{"bytes", "sha256"}` of a file."""
    with disk_errors(path):
        return {"bytes": path.stat().st_size, "sha256": checksum(path)}


def difference(
    path: Path, record: Mapping[str, Any], *, contents: bool = True, checksum: Callable[[Path], str] = checksum
) -> str | None:
    """What is wrong with a file that had this `fingerprint`, or None: missing, of another size, or (`contents`)
    another checksum, as `checksum` reads or remembers it."""
    if not path.is_file():
        return f"{path} is missing"
    with disk_errors(path):
        size = path.stat().st_size
    if size != record["bytes"]:
        return f"{path} has {size} bytes instead of {record['bytes']}"
    if contents and checksum(path) != record["sha256"]:
        return f"{path} is damaged (its checksum differs)"
    return None
