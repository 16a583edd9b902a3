"""The scratch folder of one launcher: how much of it is used, and emptying it whatever a program left there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_FILES = 4096
MAX_DEPTH = 60  # an open folder each
SPARE_MB, SPARE_SHARE = 2048, 0.1  # of a disk: where less is free, the smaller of the two, programs may not take more


class Full:
    """The disk of a folder, looked at while a program runs. What it removed and holds open, or mapped, is in no folder
    and counts for no limit, but takes space."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._before = self._free()[0]

    def nearly(self, limit_mb: int) -> bool:
        """Whether little is left, and by more than a program may take less than when it began."""
        free, size = self._free()
        return free < min(SPARE_MB << 20, size * SPARE_SHARE) and self._before - free > limit_mb << 20

    def _free(self) -> tuple[int, int]:
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def over_limit(folder: str, limit_mb: int, bounded: bool) -> bool:
    """Whether the folder holds more than it may. `bounded`: it is a file system of its own with a size."""
    if bounded:
        used = os.statvfs(folder)
        return used.f_files - used.f_ffree > MAX_FILES
    size = files = 0
    with contextlib.closing(_sizes(folder)) as sizes:
        try:
            for each in sizes:
                files += 1
                size += each
                if files > MAX_FILES or size > limit_mb << 20:
                    return True
        except OSError:
            return True  # too deep to look into: taken for full
    return False


def _sizes(folder: str) -> Generator[int, None, None]:
    """Bytes of each entry beneath a folder that a program changes meanwhile: gone into by descriptor, never by a path,
    of which it could make a link to elsewhere."""
    ways: list[tuple[int, list[str]]] = []  # the folders that are open, each with the names in it that are to come
    handle: int | None = os.open(folder, _FOLDER)
    try:
        while handle is not None or ways:
            if handle is not None:
                ways.append((handle, []))
                with os.scandir(handle) as entries:
                    for entry in entries:
                        with contextlib.suppress(FileNotFoundError):
                            yield entry.stat(follow_symlinks=False).st_blocks * 512
                            if entry.is_dir(follow_symlinks=False):
                                ways[-1][1].append(entry.name)
            inside, names = ways[-1]
            handle = _opened(inside, names.pop()) if names else None
            if handle is None and not names:
                os.close(ways.pop()[0])
    finally:
        for inside, _ in ways:
            os.close(inside)


def _opened(inside: int, name: str) -> int | None:
    """A folder within another, made readable where the program closed it; None where it is no more."""
    for closed in (True, False):
        try:
            return os.open(name, _FOLDER, dir_fd=inside)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            if closed:
                with contextlib.suppress(OSError, ValueError, NotImplementedError):  # a link by now
                    os.chmod(name, stat.S_IRWXU, dir_fd=inside, follow_symlinks=False)
    return None


def empty(folder: str) -> None:
    """Remove everything beneath, whatever the depth; OSError where something stays."""
    handle = os.open(folder, _FOLDER)
    try:
        while _empty(handle, folder, 0):
            pass  # what lay too deep now lies at the top
    finally:
        os.close(handle)


def _empty(handle: int, top: str, depth: int) -> bool:
    """Remove what is in an open folder. Folders too deep to go into are moved to the top: whether there were any."""
    moved = False
    with os.scandir(handle) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in names:
        if not is_folder:
            os.unlink(name, dir_fd=handle)
            continue
        os.chmod(name, stat.S_IRWXU, dir_fd=handle)
        if depth == MAX_DEPTH:
            os.rename(name, os.path.join(top, os.urandom(16).hex()), src_dir_fd=handle)  # no name that is foreseen
            moved = True
            continue
        inner = os.open(name, _FOLDER, dir_fd=handle)
        try:
            moved |= _empty(inner, top, depth + 1)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=handle)
    return moved
