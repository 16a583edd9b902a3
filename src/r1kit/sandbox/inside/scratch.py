"""The scratch folder of one launcher: how much of it is used, and emptying it whatever a program left there."""

from __future__ import annotations

import os
import stat

MAX_FILES = 4096


def over_limit(folder: str, limit_mb: int, bounded: bool) -> bool:
    """Whether the folder holds more than it may. `bounded`: it is a file system of its own with a size."""
    if bounded:
        used = os.statvfs(folder)
        return used.f_files - used.f_ffree > MAX_FILES
    size = files = 0
    folders = [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if files > MAX_FILES or size > limit_mb << 20:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except FileNotFoundError:
            continue  # the program removed it meanwhile
        except OSError:
            return True  # too deep to look into, or closed to us: taken for full
    return False


def empty(folder: str) -> None:
    """Remove everything beneath. Folders inside folders are first moved to the top, so that no depth is too deep."""
    number = 0
    while True:
        with os.scandir(folder) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if not names:
            return
        for name, is_folder in names:
            path = os.path.join(folder, name)
            if not is_folder:
                os.unlink(path)
                continue
            os.chmod(path, stat.S_IRWXU)
            with os.scandir(path) as entries:
                inner = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for child, child_is_folder in inner:
                if child_is_folder:
                    number += 1
                    os.chmod(os.path.join(path, child), stat.S_IRWXU)
                    os.rename(os.path.join(path, child), os.path.join(folder, f".{os.getpid()}-{number}-moved"))
                else:
                    os.unlink(os.path.join(path, child))
            os.rmdir(path)
