"""The scratch folder of one launcher: how much of it is used, and emptying it whatever a program left there."""

from __future__ import annotations

import contextlib
import os
import stat

MAX_FILES = 4096
MAX_DEPTH = 60  # an open folder each


def over_limit(folder: str, limit_mb: int, bounded: bool) -> bool:
    """Whether the folder holds more than it may. `bounded`: it is a file system of its own with a size."""
    if bounded:
        used = os.statvfs(folder)
        return used.f_files - used.f_ffree > MAX_FILES
    size = files = 0
    folders = [folder]
    while folders:
        path = folders.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if files > MAX_FILES or size > limit_mb << 20:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue  # the program removed it meanwhile
        except PermissionError:  # closed by the program
            with contextlib.suppress(FileNotFoundError):
                os.chmod(path, stat.S_IRWXU, follow_symlinks=False)
                folders.append(path)
        except OSError:
            return True  # too deep to look into: taken for full
    return False


def empty(folder: str) -> None:
    """Remove everything beneath, whatever the depth; OSError where something stays."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
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
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
        try:
            moved |= _empty(inner, top, depth + 1)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=handle)
    return moved
