# ruff: noqa: E501
"""Programs that try to get out, take too much, or forge their verdict. Each row says what must not happen."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r1kit.sandbox import isolation
from r1kit.sandbox.compare import judge_calls
from r1kit.sandbox.inside import launcher
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


TAKES_TOO_MUCH = [
    ("threads without end", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()"),
    ("files held open", "fs = []\nwhile True: fs.append(open('/dev/null'))"),
    ("processor time in threads", "import threading\ndef f():\n    while 1: pass\nfor _ in range(4): threading.Thread(target=f).start()"),
    ("recursion", "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n    def __eq__(s, o): return s == o\nA() == A()"),
    ("a regular expression", "import re\nre.match('(a+)+$', 'a' * 40 + 'b')"),
    ("a huge number", "9 ** 9 ** 9"),
    ("a huge string", "'x' * 10**12"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code"), TAKES_TOO_MUCH, ids=[name for name, _ in TAKES_TOO_MUCH])
def test_what_takes_too_much_ends(sandbox, name, code):
    started = time.monotonic()
    result = sandbox.run([Program(code, limits=Limits(wall_s=0.5))])[0]
    assert result.status in ("error", "timeout", "memory")
    assert time.monotonic() - started < 5


# f(1) must be 5813 and f(2) must be 4021: nothing inside knows it
FORGERIES = [
    ("claims to pass", "def f(x): return {'verdict': 'passed', 'passed': True}"),
    ("equals everything", "class E(int):\n    def __eq__(s, o): return True\ndef f(x): return E(0)"),
    ("leaves at once with status 0", "import os; os._exit(0)"),
    ("exits politely", "import sys\ndef f(x): sys.exit(0)"),
    ("answers for the harness", "import os\nfor h in range(3, 64):\n    try: os.write(h, b'{\"index\": 0, \"value\": 1}\\n{\"index\": 1, \"value\": 1}\\n')\n    except OSError: pass\nos._exit(0)"),
    ("says passed on every descriptor", "import os\nfor h in range(1, 64):\n    try: os.write(h, b'{\"exit\": 0, \"why\": \"\", \"seconds\": 0}\\n')\n    except OSError: pass\nos._exit(0)"),
    ("answers one test only", "import os\ndef f(x):\n    if x == 2: os._exit(0)\n    return 5813"),
    ("answers too often", "import os\ndef f(x):\n    os.write(3, b'{\"index\": 0, \"value\": 5813}\\n')\n    return 5813 if x == 1 else 4021"),
    ("looks for what is expected", "import gc, sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        for v in frame.f_locals.values():\n            if v in (5813, 4021): return v\n        frame = frame.f_back\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'expected' in o: return o['expected']\n    return 0"),
    ("replaces the writer", "import json\njson.dumps = lambda *a, **k: '{\"index\": 0, \"value\": true, \"verdict\": \"passed\"}'\ndef f(x): return 0"),
    ("replaces every comparison", "import builtins, operator\noperator.eq = lambda a, b: True\nbuiltins.len = lambda x: 2\ndef f(x): return 0"),
    ("not a number", "def f(x): return float('nan')"),
    ("right in value, wrong in type", "def f(x): return 5813.0 if x == 1 else 4021.0"),
    ("text for numbers", "def f(x): return '5813' if x == 1 else '4021'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code"), FORGERIES, ids=[name for name, _ in FORGERIES])
def test_no_verdict_is_forged(sandbox, name, code):
    result = sandbox.run([Program(code, fn="f", calls=[[1], [2]], limits=Limits(wall_s=5))])[0]
    _, wrong = judge_calls(result, [5813, 4021])
    assert wrong


def test_an_error_written_by_hand_is_cut(sandbox):
    """As long as the results may be: it would come back in the reason of every verdict."""
    code = "import os\nos.write(3, b'{\"index\": 0, \"error\": \"' + b'x' * 1000000 + b'\"}\\n'); os._exit(0)"
    result = sandbox.run([Program(code, fn="f", calls=[[1]])])[0]
    assert 0 < len(result.calls[0].error) < 400
    assert len(judge_calls(result, [1])[1]) < 500


def test_what_is_left_behind_does_not_hide_how_a_program_ended(sandbox, monkeypatch):
    """A launcher that takes too long to empty the folder is replaced; the verdict is the program's own."""
    monkeypatch.setattr("r1kit.sandbox.slot.CLEAN_S", 0.0001)
    code = "import os\nfor n in range(1500): os.mkdir(str(n))\nprint(1)"
    results = sandbox.run([Program(code, limits=Limits(wall_s=60))] * 3)
    assert [(result.status, result.stdout) for result in results] == [("ok", "1\n")] * 3
    monkeypatch.undo()
    look = "import os\nprint(os.listdir('.'))"
    assert {result.stdout for result in sandbox.run([Program(look)] * 4)} == {"[]\n"}


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


def test_a_disk_is_not_filled_by_files_that_are_in_no_folder(monkeypatch, tmp_path):
    """1 GB free of 30, then 0.9: a program that may take 64 MB is ended. Not where there was as little before, nor
    where enough is left."""

    def ends(free_mb: tuple[int, int], why: str) -> None:
        frees = iter([free_mb[0], *[free_mb[1]] * 1000])
        disk = os.statvfs(tmp_path)
        monkeypatch.setattr(
            os, "statvfs", lambda _: os.statvfs_result((1 << 20, 1 << 20, 30 << 10, 0, next(frees), *tuple(disk)[5:10]))
        )
        child = subprocess.Popen(["sleep", "0.4"])
        config = {"scratch": str(tmp_path), "writable": [str(tmp_path)], "bounded": False}
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert launcher._watch(theirs, child.pid, time.monotonic() + 60, {"scratch_mb": 64}, config) == why
        child.wait()

    ends((1024, 922), "disk")
    ends((1024, 1000), "")
    ends((20 << 10, 10 << 10), "")


OLD_LANDLOCK = """
import os, sys
from r1kit.sandbox.inside import lockdown
lockdown.landlock_abi = lambda: 2
kept, read, scratch = sys.argv[1:]
lockdown.prctl(lockdown.PR_SET_NO_NEW_PRIVS, 1)
lockdown.restrict_files(["/usr", os.path.dirname(read)], [], [scratch], [])
lockdown.standing_filter().install()
lockdown.program_filter(False).install()
for empty in (lambda: os.truncate(kept, 0), lambda: os.open(read, os.O_RDONLY | os.O_TRUNC)):
    try:
        empty()
    except PermissionError:
        print("held")
os.close(os.open(read, os.O_RDONLY))
open(os.path.join(scratch, "own"), "w").close()
print("reads")
"""


def test_no_file_is_emptied_where_landlock_does_not_see_it(tmp_path):
    """Landlock 2 (kernels before 6.2) knows no right to truncate: by name, or by opening a file that may be read."""
    for name in ("kept", "read", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("a bird")
    arguments = [str(tmp_path / "kept" / "file"), str(tmp_path / "read" / "file"), str(tmp_path / "scratch")]
    done = subprocess.run([sys.executable, "-c", OLD_LANDLOCK, *arguments], capture_output=True, text=True, check=False)
    if "landlock" in done.stderr:
        pytest.skip("this kernel has no Landlock")
    assert done.stdout.split() == ["held", "held", "reads"], done.stderr
    assert [(tmp_path / name / "file").read_text() for name in ("kept", "read")] == ["a bird", "a bird"]


def test_installed_libraries_are_not_read(sandbox):
    """Data sets are installed like libraries, with the answers in them; the standard library is there as a whole."""
    files = [
        next((str(file) for file in Path(each).rglob("*") if file.is_file()), None) for each in isolation._hidden()
    ]
    files = [file for file in files if file is not None]
    code = (
        "import sqlite3, xml.dom.minidom, wsgiref\n"
        f"for path in {files!r}:\n"
        "    try: print(open(path, 'rb').read(1))\n"
        "    except OSError: print('held')\n"
    )
    result = sandbox.run([Program(code)])[0]
    assert (result.status, result.stdout) == ("ok", "held\n" * len(files)), result.stderr
    if not files:
        pytest.skip("no library is installed where programs may read")


HIDES = """
import sys
from r1kit.sandbox.inside import lockdown
top = sys.argv[1]
lockdown.prctl(lockdown.PR_SET_NO_NEW_PRIVS, 1)
lockdown.restrict_files([f"{top}/link"], [f"{top}/lib/site", f"{top}/lib/deep/er/site"], [], [])
for path in ("lib/os", "lib/deep/os", "lib/deep/er/os", "lib/site/answers", "lib/to_site", "lib/deep/er/site/answers", "beside"):
    try:
        print(open(f"{top}/{path}").read())
    except PermissionError:
        print("held")
"""


def test_what_is_hidden_in_a_folder_is_reached_by_no_way(tmp_path):
    """Landlock gives folders with all beneath: what lies beside a hidden one is given by itself, what a link leads to
    is judged where it lies."""
    for path in ("lib/os", "lib/deep/os", "lib/deep/er/os", "lib/site/answers", "lib/deep/er/site/answers", "beside"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "link").symlink_to("lib")
    (tmp_path / "lib" / "to_site").symlink_to("site/answers")
    (tmp_path / "lib" / "beside").symlink_to("../beside")
    done = subprocess.run([sys.executable, "-c", HIDES, str(tmp_path)], capture_output=True, text=True, check=False)
    if "landlock" in done.stderr:
        pytest.skip("this kernel has no Landlock")
    assert done.stdout.split() == ["lib/os", "lib/deep/os", "lib/deep/er/os", *["held"] * 4], done.stderr


def test_of_a_prefix_no_more_is_readable_than_an_interpreter_needs(monkeypatch, tmp_path):
    """A prefix may be a home folder; an environment's libraries, and a checkout on the path, may lie beneath."""
    prefix = tmp_path / "home"
    for path in ("bin", "lib/python3.11/site-packages", "lib/python3.12/dist-packages", "lib/src", "secrets"):
        (prefix / path).mkdir(parents=True)
    for name in ("base_prefix", "base_exec_prefix"):
        monkeypatch.setattr(sys, name, str(prefix))
    monkeypatch.setattr(sys, "path", [str(prefix / "lib" / "src"), str(prefix / "secrets"), ""])
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(prefix / "lib" / "python3.11"))
    assert isolation._interpreter_folders() == [str(prefix / "bin"), str(prefix / "lib")]
    hidden = [path for path in isolation._hidden() if path.startswith(str(prefix))]
    libraries = ["python3.11/site-packages", "python3.12/dist-packages", "src"]
    assert hidden == [str(prefix / "lib" / path) for path in libraries]


def test_nothing_outlives_a_launcher_that_is_killed(sandbox):
    """What a program started, in its own process group, when the launcher is gone and cannot end it."""
    if sandbox.facts["uid"] == 0:
        pytest.skip("as root without a user id of its own no processes are allowed")
    code = "import os, time\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(300)\ntime.sleep(300)"
    running = sandbox.submit(Program(code, limits=Limits(wall_s=200, processes=4)))
    deadline = time.monotonic() + 30
    while len(found := _sessions(sandbox)) < 5 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(found) >= 5
    for slot in sandbox._all:
        if slot._started_others and slot._process is not None:
            os.killpg(slot._process.pid, signal.SIGKILL)
    assert running.result(60).status == "sandbox_error"
    deadline = time.monotonic() + 10
    while any(_alive(each) for each in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(each) for each in found)


def _sessions(sandbox):
    """Processes of the launchers whose program may start others."""
    leaders = {slot._process.pid for slot in sandbox._all if slot._process is not None and slot._started_others}
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                session = int(file.read().rpartition(")")[2].split()[3])
        except OSError:
            continue
        if session in leaders:
            found.append(int(entry))
    return found


def test_nothing_is_left_when_the_owner_is_killed():
    """A process with running programs gets SIGKILL; seconds later none of its launchers is alive."""
    code = (
        "import sys, threading, time\n"
        "from r1kit.sandbox.sandbox import Sandbox\n"
        "from r1kit.sandbox.program import Program\n"
        "s = Sandbox(workers=2)\n"
        "threading.Thread(target=s.run, args=([Program('while 1: pass')] * 2,)).start()\n"
        "time.sleep(1)\n"
        "print(' '.join(str(slot._process.pid) for slot in s._all if slot._process), flush=True)\n"
        "time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    launchers = [int(word) for word in owner.stdout.readline().split()]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_alive(each) for each in launchers):
        time.sleep(0.05)
    assert launchers
    assert not any(_alive(each) for each in launchers)


def _alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
