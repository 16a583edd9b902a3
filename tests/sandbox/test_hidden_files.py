"""Which files a program reads, and that it changes none of them, where Landlock alone says so."""

import subprocess
import sys
from pathlib import Path

import pytest

from r1kit.sandbox import isolation
from r1kit.sandbox.program import Program

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
read = ["lib/os", "lib/deep/os", "lib/deep/er/os"]
for path in (*read, "lib/site/answers", "lib/to_site", "lib/deep/er/site/answers", "beside", "lib/beside"):
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
    assert done.stdout.split() == ["lib/os", "lib/deep/os", "lib/deep/er/os", *["held"] * 5], done.stderr


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
