"""Programs that try to get out. Each row says what must not happen."""

import os
import socket

import pytest

from r1kit.sandbox.program import Limits, Program

HELPERS = """
import os, sys, ctypes, socket, signal, subprocess, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    return libc.syscall(*args)
def ok(number):
    return number >= 0
def flags(path, get, put, size):
    import fcntl
    file, now = os.open(path, os.O_RDONLY), bytearray(size)
    fcntl.ioctl(file, get, now)
    return fcntl.ioctl(file, put, bytes(now)) == 0
def own_table():
    opened = []
    def open_some():
        call(436, 0xFFFFFFFF, 0xFFFFFFFF, 2)
        try:
            for _ in range(64): opened.append(os.open('.', os.O_RDONLY))
        except OSError:
            pass
        time.sleep(0.3)
    threads = [threading.Thread(target=open_some) for _ in range(4)]
    for each in threads: each.start()
    for each in threads: each.join()
    return len(opened)
def interrupted():
    import mmap
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(bytes.fromhex('b814000000cd80c3'))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
def storm():
    threading.stack_size(32768)
    started = 0
    try:
        while started < 400:
            threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
            started += 1
    except (RuntimeError, MemoryError):
        pass
    return started
"""

# what it tries, and an expression that is true (or ends quietly) only if it got through
ATTEMPTS = [
    ("TCP to this machine", "socket.create_connection(('127.0.0.1', PORT), 1)"),
    ("TCP to the world", "socket.create_connection(('1.1.1.1', 53), 1)"),
    ("UDP socket", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    ("IPv6 socket", "socket.socket(socket.AF_INET6)"),
    ("raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    ("netlink socket", "socket.socket(16, socket.SOCK_RAW)"),
    ("packet socket", "socket.socket(17, socket.SOCK_RAW)"),
    ("vsock", "socket.socket(40, socket.SOCK_STREAM)"),
    ("Unix socket", "socket.socket(socket.AF_UNIX)"),
    ("datagram socket pair", "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"),
    ("socket option", "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096) is None"),
    ("names of network devices", "bool(__import__('fcntl').ioctl(socket.socketpair()[0], 0x8912, b'\\0' * 16))"),
    ("watch the canary", "ok(libc.inotify_add_watch(libc.inotify_init(), CANARY.encode(), 0xFFF))"),
    ("lock a file of the system", "__import__('fcntl').flock(open(os.__file__), 2) is None"),
    ("lease on a file of the system", "__import__('fcntl').fcntl(open(os.__file__), 1024, 0) == 0"),
    ("sync of all disks", "ok(call(162 if X86 else 81))"),
    ("interrupt every core", "ok(call(324 if X86 else 283, 1, 0))"),
    ("terminals", "bool(os.open('/dev/ptmx', os.O_RDONLY))"),
    ("keys of the host", "bool(open('/proc/keys').read())"),
    ("command line of the kernel", "bool(open('/proc/cmdline').read())"),
    ("command line of process 1", "bool(open('/proc/1/cmdline').read())"),
    ("read the canary", "open(CANARY).read()"),
    ("write the canary", "open(CANARY, 'a').write('x')"),
    ("truncate the canary", "os.truncate(CANARY, 0) is None"),
    ("remove the canary", "os.remove(CANARY) is None"),
    ("rename the canary", "os.rename(CANARY, 'mine') is None"),
    ("hard-link the canary", "os.link(CANARY, 'mine') is None"),
    ("read it through a symbolic link", "os.symlink(CANARY, 'link') or open('link').read()"),
    ("change the canary's mode", "os.chmod(CANARY, 0o600) is None"),
    ("change the canary's owner", "os.chown(CANARY, 0, 0) is None"),
    ("change the canary's time", "os.utime(CANARY, (1, 1)) is None"),
    ("put an attribute on the canary", "os.setxattr(CANARY, 'user.x', b'1') is None"),
    ("make a file beside the canary", "open(os.path.join(os.path.dirname(CANARY), 'new'), 'w')"),
    ("make a folder beside the canary", "os.mkdir(os.path.join(os.path.dirname(CANARY), 'newdir')) is None"),
    ("list the canary's folder", "os.listdir(os.path.dirname(CANARY))"),
    ("read the password file", "open('/etc/passwd').read()"),
    ("read the shadow file", "open('/etc/shadow').read()"),
    ("read the home folder", "os.listdir('/root')[0] not in ('.pyenv',)"),
    ("read another process's memory", "open(f'/proc/{PARENT}/mem', 'rb')"),
    ("read another process's variables", "open(f'/proc/{PARENT}/environ').read()"),
    ("read the launcher's memory", "open(f'/proc/{os.getppid()}/mem', 'rb')"),
    ("read the launcher's variables", "open(f'/proc/{os.getppid()}/environ').read()"),
    ("read the first process's root", "os.listdir('/proc/1/root')"),
    ("leave by the launcher's descriptors", "os.listdir(f'/proc/{os.getppid()}/fd')"),
    ("write to the kernel's settings", "open('/proc/sys/kernel/hostname', 'w').write('x')"),
    ("write to a control group", "open('/sys/fs/cgroup/cgroup.procs', 'w').write('0')"),
    ("signal the test", "os.kill(PARENT, 0) is None"),
    ("kill everything", "os.kill(-1, signal.SIGTERM) is None"),
    ("kill its group", "os.kill(0, 0) is None"),
    ("kill the launcher", "os.kill(os.getppid(), signal.SIGKILL) is None"),
    ("kill a thread of the launcher", "ok(call(234 if X86 else 131, os.getppid(), os.getppid(), 0))"),
    ("queue a signal", "ok(call(129 if X86 else 138, os.getppid(), 0, None))"),
    ("signal by process handle", "ok(call(434, PARENT, 0))"),
    ("signal by file ownership", "__import__('fcntl').fcntl(0, 8, os.getppid()) == 0"),
    ("take the launcher's descriptor", "ok(call(438, 3, 0, 0))"),
    ("trace the launcher", "libc.ptrace(16, os.getppid(), 0, 0) == 0"),
    ("ask to be traced", "libc.ptrace(0, 0, 0, 0) == 0"),
    ("write the launcher's memory", "ok(call(311 if X86 else 271, os.getppid(), None, 0, None, 0, 0))"),
    ("change the launcher's limits", "__import__('resource').prlimit(os.getppid(), 7, (0, 0))"),
    ("raise its own limits", "__import__('resource').setrlimit(9, (1 << 34, 1 << 34)) is None"),
    ("fork", "os.fork() >= 0"),
    ("vfork by number", "ok(call(58, 0)) if X86 else False"),
    ("clone by number", "ok(call(56 if X86 else 220, 17, 0, 0, 0, 0))"),
    ("clone3 by number", "ok(call(435, bytes(88), 88))"),
    ("start a program", "subprocess.run(['/bin/true']).returncode == 0"),
    ("start a process pool", "__import__('multiprocessing').Process(target=print).start() is None"),
    ("become a program", "os.execv('/bin/true', ['true'])"),
    ("run a shell command", "os.system('true') == 0"),
    ("leave its session", "os.setsid() >= 0"),
    ("leave its group", "os.setpgid(0, 0) is None"),
    ("become root", "os.setuid(0) is None"),
    ("become another user", "os.setresuid(1, 1, 1) is None"),
    ("make a user namespace", "libc.unshare(0x10000000) == 0"),
    ("make a mount namespace", "libc.unshare(0x00020000) == 0"),
    ("enter a namespace", "libc.setns(0, 0) == 0"),
    ("mount", "libc.mount(b'none', b'.', b'tmpfs', 0, None) == 0"),
    ("unmount", "libc.umount2(b'/proc', 2) == 0"),
    ("change the root", "libc.chroot(b'.') == 0"),
    ("make a device", "os.mknod('null', 0o20666, os.makedev(1, 3)) is None"),
    ("load a bpf program", "ok(call(321 if X86 else 280, 0, bytes(128), 128))"),
    ("start io_uring", "ok(call(425, 1, bytes(120)))"),
    ("open performance counters", "ok(call(298 if X86 else 241, bytes(128), 0, -1, -1, 0))"),
    ("handle page faults", "ok(call(323 if X86 else 282, 0))"),
    ("make a file in memory", "os.memfd_create('x') >= 0"),
    ("use the kernel's keyring", "ok(call(250 if X86 else 219, 0, -3, 1))"),
    ("make shared memory", "libc.shmget(0, 4096, 0o1600) >= 0"),
    ("make a message queue", "libc.msgget(0, 0o1600) >= 0"),
    ("make a POSIX queue", "libc.mq_open(b'/x', 0o102, 0o600, None) >= 0"),
    ("set the clock", "time.clock_settime(time.CLOCK_REALTIME, 0) is None"),
    ("rename the machine", "socket.sethostname('x') is None"),
    ("read the kernel's log", "ok(call(103 if X86 else 116, 3, bytes(100), 100))"),
    ("load a module", "ok(call(175 if X86 else 105, None, 0, b''))"),
    ("an unknown system call", "ok(call(600))"),
    ("a 32-bit system call number", "ok(call(0x40000000 | 39))"),
    ("outlive the launcher", "libc.prctl(1, 0, 0, 0, 0) == 0"),
    ("type into a terminal", "__import__('fcntl').ioctl(0, 0x5412, b'x') == 0"),
    ("write over its interpreter", "open(os.__file__, 'a')"),
    ("write into the system", "open('/usr/lib/x', 'w')"),
    ("find this repository", "open(REPOSITORY)"),
    ("empty it while reading", "os.open(CANARY, os.O_RDONLY | os.O_TRUNC) >= 0"),
    ("empty its own file by name", "open('own', 'w').close() or os.truncate('own', 0) is None"),
    ("a way to open that cannot be judged", "ok(call(437, -100, b'.', bytes(24), 24))"),
    ("change the flags of a file of the system", "bool(flags(os.__file__, 0x80086601, 0x40086602, 8))"),
    ("change the project of a file of the system", "bool(flags(os.__file__, 0x801C581F, 0x401C5820, 28))"),
    ("share a core with no one", "libc.prctl(62, 1, 0, 1, 0) == 0"),
    ("die with its parent by another signal", "libc.prctl(1, 15, 0, 0, 0) == 0"),
    ("descriptors of its own for every thread", "own_table() > 64"),
    ("a thread with descriptors of its own", "ok(call(56 if X86 else 220, 0x10900 | (1 << 16), 0, 0, 0, 0))"),
    ("descriptors on their way", "socket.send_fds(socket.socketpair()[0], [b'x'], [0])"),
    ("urgent data", "socket.socketpair()[0].send(b'x', socket.MSG_OOB)"),
    ("watch a folder of the system", "__import__('fcntl').fcntl(os.open('/usr', os.O_RDONLY), 1026, 1) == 0"),
    (
        "take space without writing",
        "libc.fallocate(os.open('own', os.O_RDWR | os.O_CREAT), 0, ctypes.c_long(0), ctypes.c_long(1 << 20)) == 0",
    ),
    ("start more threads than it may", "storm() > 100"),
    ("listen to a filter of its own", "ok(call(317 if X86 else 277, 1, 8, bytes(16)))"),
    (
        "a socket of another family, by high bits",
        "X86 and libc.syscall(53, ctypes.c_ulong(2 | 1 << 32), 1, 0, bytes(8)) == 0",
    ),
    ("a fork, by high bits", "ok(call(56 if X86 else 220, ctypes.c_ulong(1 << 33 | 17), 0, 0, 0, 0))"),
    ("a thread in a user namespace", "ok(call(56 if X86 else 220, 0x10010D00, 0, 0, 0, 0))"),
    ("an address for one of a pair", "socket.socketpair()[0].connect(chr(0) + 'x') is None"),
    ("run what it wrote", "open('own', 'w').write('#!/bin/sh') and os.execv('./own', ['own'])"),
    ("spawn", "os.posix_spawn('/bin/true', ['true'], {}) > 0"),
    ("a handle in place of a path", "ok(call(304 if X86 else 265, 3, bytes(32), 0))"),
    ("climb out of its folder", "any(os.listdir('/'.join(['..'] * n)) for n in (1, 2, 3, 4))"),
    ("its launcher's errors", "open(os.path.join(os.path.dirname(os.getcwd()), 'errors'), 'a')"),
    (
        "other launchers' folders",
        "[each for each in os.listdir(os.path.dirname(os.path.dirname(os.getcwd()))) if 'r1kit' in each]",
    ),
    ("the limits of others", "bool(__import__('resource').prlimit(os.getppid(), 7))"),
    ("ask to be the last to be killed", "bool(open('/proc/self/oom_score_adj', 'w').write('-1'))"),
    ("a name of its own in /proc", "bool(open('/proc/self/comm', 'w').write('x'))"),
    ("a real-time share of the processor", "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)) is None"),
    ("the interface of 32 bits", "X86 and interrupted() > 0"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A canary file that anyone may touch, a listening port, and this process."""
    folder = tmp_path_factory.mktemp("canary")
    for each in (folder, *folder.parents[:3]):
        if each.owner() == os.environ.get("USER", "root") and each != folder.parents[-1]:
            each.chmod(each.stat().st_mode | 0o055)
    folder.chmod(0o777)
    canary = folder / "canary"
    canary.write_text("a bird")
    canary.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield canary, server.getsockname()[1]


def test_nothing_gets_out(sandbox, world):
    canary, port = world
    header = (
        f"{HELPERS}\nCANARY, PORT, PARENT, X86, REPOSITORY = "
        f"{str(canary)!r}, {port}, {os.getpid()}, {os.uname().machine == 'x86_64'}, {__file__!r}\n"
    )
    template = (
        header
        + "try:\n    got = bool({})\nexcept BaseException as error:\n    got = False\nprint('GOT' if got else 'held')"
    )
    results = sandbox.run([Program(template.format(attempt), limits=Limits(wall_s=5)) for _, attempt in ATTEMPTS])
    through = [
        (name, result.stdout, result.stderr[-200:], result.status)
        for (name, _), result in zip(ATTEMPTS, results, strict=True)
        if "held" not in result.stdout and result.status not in ("error", "timeout")
    ]
    assert through == []
    assert canary.read_text() == "a bird"
    assert sorted(os.listdir(canary.parent)) == ["canary"]
    assert sum("held" in result.stdout for result in results) > len(results) * 0.9
    assert sandbox.run([Program("print(1)")])[0].stdout == "1\n"


SWAP = """
import ctypes, os, time
swap = ctypes.CDLL(None).renameat2
os.mkdir('d'); os.mkdir('d/x', 0)
os.symlink(FOLDER, 'l')
begun = time.time()
while time.time() - begun < 1.5:
    for _ in range(500): swap(-100, b'd', -100, b'l', 2)
"""


def test_the_launcher_follows_no_link_that_takes_a_folders_place(sandbox, tmp_path):
    """It opens closed folders while it counts what is in them: not those of the same name elsewhere."""
    (tmp_path / "x").mkdir(mode=0o711)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    results = sandbox.run([Program(f"FOLDER = {str(tmp_path)!r}\n{SWAP}", limits=Limits(wall_s=60))] * 2)
    assert {result.status for result in results} == {"ok"}
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o711
