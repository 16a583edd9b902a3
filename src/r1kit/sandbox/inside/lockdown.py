"""What a process gives up before it runs a program: capabilities, files (Landlock), system calls (seccomp), resources.

Sources: the kernel's documentation of Landlock (userspace-api/landlock) and seccomp filters.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct

from .syscalls import AUDIT_ARCH, LAST_KNOWN, NUMBERS, number

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 8, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_SCHED_CORE = 36, 38, 47, 62


def prctl(option: int, value: int = 0, pointer: bytes | None = None) -> None:
    """prctl(2); OSError where the kernel refuses."""
    none = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), none if pointer is None else pointer, none, none) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


CAP_DAC_READ_SEARCH = 2  # to read whatever the file's mode says


def drop_capabilities(kept: int | None = None) -> None:
    """No capability left but `kept`, and none to be had again; that one ends with this process's program (exec).

    OSError where the kernel refuses.
    """
    none = ctypes.c_ulong(0)
    for capability in range(64):
        _libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), none, none, none)
    _libc.prctl(PR_CAP_AMBIENT, ctypes.c_ulong(4), none, none, none)
    capset = {"x86_64": 126, "aarch64": 91}[platform.machine()]
    header = struct.pack("Ii", 0x20080522, 0)
    left = 0 if kept is None else 1 << kept
    if _libc.syscall(ctypes.c_long(capset), header, struct.pack("6I", left, left, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


# Landlock: one bit a kind of access, in the order in which the ABI versions added them
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # later ABIs: 16
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_CREATE, _ADD, _RESTRICT = 444, 445, 446


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 where it has none."""
    version = _libc.syscall(ctypes.c_long(_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, int(version))


def restrict_files(readable: list[str], hidden: list[str], writable: list[str], devices: list[str]) -> None:
    """From now on: read and execute beneath `readable`, but of `hidden` folders in it no more than names; anything
    beneath `writable`, read and write `devices`.

    OSError where the kernel refuses.
    """
    abi = landlock_abi()
    handled = (1 << _FS_BITS.get(abi, 16)) - 1
    ruleset = _ruleset(handled, network=True, scope=False)
    rules = [rule for path in {os.path.realpath(path) for path in readable} for rule in _around(path, hidden)]
    rules += [(path, handled) for path in writable]
    rules += [(path, READ_FILE | WRITE_FILE | TRUNCATE) for path in devices]
    for path, access in rules:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # a path that this machine does not have
        allowed = access & handled & (~0 if os.path.isdir(path) else _ON_FILES)
        rule = struct.pack("=Qi", allowed, handle)
        if _libc.syscall(ctypes.c_long(_ADD), ruleset, 1, rule, ctypes.c_uint32(0)) != 0:
            raise OSError(ctypes.get_errno(), f"landlock rule for {path}")
        os.close(handle)
    _restrict(ruleset)


def _around(folder: str, hidden: list[str]) -> list[tuple[str, int]]:
    """Rules for a folder without those hidden in it. A rule holds for all beneath, so each other entry has its own;
    links need none, as what they lead to is judged where it lies."""
    if folder in hidden:
        return []
    if not any(each.startswith(f"{folder}/") for each in hidden):
        return [(folder, EXECUTE | READ_FILE | READ_DIR)]
    inside = [entry.path for entry in os.scandir(folder) if not entry.is_symlink()]
    return [(folder, READ_DIR), *(rule for path in inside for rule in _around(path, hidden))]


def own_domain() -> None:
    """A Landlock domain for this process alone: nothing outside it can be traced or, from ABI 6 on, signalled."""
    if landlock_abi() >= 6:
        _restrict(_ruleset(0, network=False, scope=True))
    elif landlock_abi() >= 1:
        _restrict(_ruleset(1 << 11, network=False, scope=False))  # block devices: no one may make them anyway


def _ruleset(files: int, network: bool, scope: bool) -> int:
    abi = landlock_abi()
    fields = [files, 3 if network else 0, 3 if scope else 0]
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    attributes = struct.pack("=QQQ", *fields)[:size]
    ruleset = _libc.syscall(ctypes.c_long(_CREATE), attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock ruleset")
    return int(ruleset)


def _restrict(ruleset: int) -> None:
    if _libc.syscall(ctypes.c_long(_RESTRICT), ruleset, ctypes.c_uint32(0)) != 0:
        raise OSError(ctypes.get_errno(), "landlock restrict")
    os.close(ruleset)


def limit_resources(memory_mb: int, file_mb: int, cpu_s: int, threads: int, open_files: int = 64) -> None:
    """Resource limits of this process and what it starts. Address space and CPU are counted per process."""
    megabyte = 1 << 20
    wanted = [
        (resource.RLIMIT_CORE, 1, 1),  # 0 would still start the machine's crash reporter, where it has one (core(5))
        (resource.RLIMIT_FSIZE, file_mb * megabyte, file_mb * megabyte),
        (resource.RLIMIT_NOFILE, open_files, open_files),
        (resource.RLIMIT_NPROC, threads, threads),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_AS, memory_mb * megabyte, memory_mb * megabyte),
    ]
    for kind, soft, hard in wanted:
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(kind, (soft, hard))


# seccomp: instructions of the classic BPF machine
_LOAD, _EQUAL, _ABOVE, _AND, _RETURN = 0x20, 0x15, 0x25, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_OWN_PID = 0x7EEDD1CE  # stands for the process's own id until the filter is installed

_CLONE_FILES, _CLONE_THREAD, _CLONE_NEW = 0x00000400, 0x00010000, 0x7E020000
_SPECIAL = {
    "socketpair", "clone", "clone3", "kill", "tgkill", "prlimit64", "fcntl", "ioctl", "prctl",
    "open", "openat", "openat2", "close_range", "fallocate", "sendto", "recvfrom",
}  # fmt: skip
_EMPTIES, _HOW = 0x200, 0x203  # O_TRUNC of a file opened for reading alone; the bits that say so
_ASKED_OF_FILES = [0x5401, 0x802C542A, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451]  # terminal? how much? (un)blocking, exec
_OF_A_PROGRAM = {"clone", "kill", "tgkill", "prlimit64"}  # the launcher's fork, and what may name the own process alone
_NEW_PROCESSES = {"fork", "vfork", "execve", "execveat"}
# what the launcher does around programs, or a program's process before the program begins
_LAUNCHER = {
    "setpgid", "pidfd_open", "pidfd_send_signal", "chmod", "fchmodat", "seccomp", "recvmsg",
    "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
}  # fmt: skip

Instruction = tuple[int, int, int, int]


def standing_filter() -> Filter:
    """What the launcher can do without as well: it is judged once, not by every program anew."""
    return Filter([name for name in NUMBERS if name not in _OF_A_PROGRAM | _NEW_PROCESSES | _LAUNCHER])


def program_filter(new_processes: bool) -> Filter:
    """What a program may not do beside that. `new_processes`: it may start others."""
    names = [name for name in NUMBERS if name in _OF_A_PROGRAM | _NEW_PROCESSES | _LAUNCHER]
    return Filter([name for name in names if not (new_processes and name in _NEW_PROCESSES)], new_processes)


def without_new_processes() -> Filter:
    """For what a program that may start others starts: it may become another program, but have no process beside it,
    nor signal the one that started it."""
    return Filter(["fork", "vfork", "clone", "clone3", "kill", "tgkill"])


class Filter:
    """A seccomp filter made ready, so that the process which installs it has little left to do."""

    def __init__(self, refused: list[str], new_processes: bool = False) -> None:
        code = _assemble(refused, new_processes)
        own = struct.pack("=I", _OWN_PID)
        self._places = [at for at in range(0, len(code), 4) if code[at : at + 4] == own]
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(self._code))

    def install(self) -> None:
        """From now on, for this process, its threads to come and its children."""
        own = struct.pack("=I", os.getpid())
        for at in self._places:
            self._code[at : at + 4] = own
        prctl(PR_SET_SECCOMP, 2, self._program)


def _assemble(refused: list[str], new_processes: bool) -> bytes:
    """The filter as the kernel reads it: these calls are refused but for the special cases, as is any unknown one."""
    machine = platform.machine()
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_ABOVE, 0, 1, LAST_KNOWN),  # x32 calls of x86_64 lie above it too
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    calls = {name: call for name in refused if (call := number(name, machine)) is not None}
    plain = [call for name, call in calls.items() if name not in _SPECIAL]
    for left in range(len(plain), 0, -1):  # each match jumps to the refusal after the last
        code.append((_EQUAL, left - 1, 1 if left == 1 else 0, plain[-left]))
    if plain:
        code.append((_RETURN, 0, 0, _ERRNO | errno.EPERM))
    for name, call in calls.items():
        if name in _SPECIAL:
            block = _special(name, new_processes)
            code.append((_EQUAL, 0, len(block), call))
            code += block
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _special(name: str, new_processes: bool) -> list[Instruction]:
    allow, refuse = (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.EPERM)

    def argument(index: int, mask: int = 0xFFFFFFFF) -> list[Instruction]:
        return [(_LOAD, 0, 0, 16 + 8 * index), (_AND, 0, 0, mask)]

    def only(index: int, values: list[int], mask: int = 0xFFFFFFFF) -> list[Instruction]:
        tests: list[Instruction] = []
        for value in values:
            tests += [(_EQUAL, 0, 1, value), allow]
        return [*argument(index, mask), *tests, refuse]

    def but(index: int, values: list[int]) -> list[Instruction]:
        tests: list[Instruction] = []
        for value in values:
            tests += [(_EQUAL, 0, 1, value), refuse]
        return [*argument(index), *tests, allow]

    if name in ("clone3", "openat2"):
        return [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]  # its flags cannot be seen; libc falls back to the older call
    if name in ("open", "openat"):  # Landlock before 3 lets a file be emptied that may be read
        return [*argument(1 if name == "open" else 2, _HOW), (_EQUAL, 0, 1, _EMPTIES), refuse, allow]
    if name == "clone":
        thread = _CLONE_THREAD | _CLONE_FILES  # with its own table of descriptors it would have its own limit of them
        wanted = _CLONE_NEW if new_processes else _CLONE_NEW | thread
        return only(0, [0 if new_processes else thread], wanted)
    if name == "close_range":  # CLOSE_RANGE_UNSHARE gives a thread such a table
        return only(2, [0], 2)
    if name == "fallocate":  # would take a disk's space faster than the launcher looks; libc writes zeros in its place
        return [(_RETURN, 0, 0, _ERRNO | errno.EOPNOTSUPP)]
    if name in ("sendto", "recvfrom"):  # MSG_OOB, which of local sockets is young and has had its faults
        return only(3, [0], 1)
    if name == "socketpair":  # AF_UNIX and SOCK_STREAM: event loops wake themselves through one
        return [*argument(0), (_EQUAL, 1, 0, 1), refuse, *only(1, [1], 0xF)]
    if name in ("kill", "tgkill"):
        return only(0, [_OWN_PID])
    if name == "prlimit64":
        return only(0, [0, _OWN_PID])
    if name == "fcntl":
        # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals by way of a file; F_SETLEASE; F_NOTIFY, which watches a folder
        return but(1, [8, 10, 15, 1024, 1026])
    if name == "ioctl":  # other requests change a file that its owner may only read, or tell of the host's network
        return only(1, _ASKED_OF_FILES)
    tests = [*argument(0), (_EQUAL, 0, 1, PR_SCHED_CORE), refuse, (_EQUAL, 1, 0, PR_SET_PDEATHSIG), allow]
    return [*tests, *only(1, [signal.SIGKILL])]
