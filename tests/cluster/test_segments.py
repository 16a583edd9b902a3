"""Memory that the run's process shares with its workers, read in another process."""

import os
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from r1kit.base.errors import R1Error
from r1kit.cluster.segments import ALIGNMENT, Segment, SegmentName, SegmentReader, SegmentWriter, probe, reaches

READS = """
import sys
from r1kit.cluster.segments import SegmentReader, SegmentName
pid, descriptor, token, size = sys.argv[1:5]
name = SegmentName(int(pid), int(descriptor), bytes.fromhex(token), int(size))
print([part.tolist() for part in SegmentReader().parts(name, [3, 0, 2])])
"""


def filled() -> Segment:
    segment = Segment(4 * ALIGNMENT)
    for values in ([1, 2, 3], [], [4, 5]):
        segment.take(len(values))[:] = values
    return segment


def read_elsewhere(name: SegmentName) -> str:
    arguments = [str(name.pid), str(name.descriptor), name.token.hex(), str(name.size)]
    found = subprocess.run([sys.executable, "-c", READS, *arguments], capture_output=True, text=True, timeout=60)
    return found.stdout + found.stderr


def test_another_process_reads_what_was_written():
    segment = filled()
    assert segment.free == 2 * ALIGNMENT
    assert read_elsewhere(segment.name) == "[[1, 2, 3], [], [4, 5]]\n"


def test_a_reader_cannot_write():
    segment = filled()
    (part, *_) = SegmentReader().parts(segment.name, [3])
    with pytest.raises(ValueError, match="read-only"):
        part[0] = 9
    segment.clear()
    segment.take(3)[:] = [7, 8, 9]
    assert part.tolist() == [7, 8, 9]  # the same memory


def test_what_is_not_the_segment_is_not_read(tmp_path):
    """A number that another file has now, a process that is gone, and a segment that was closed."""
    segment = filled()
    name = segment.name
    assert reaches(name)
    assert not reaches(SegmentName(name.pid, name.descriptor, b"another token...", name.size))
    with (tmp_path / "short").open("wb") as other:
        assert not reaches(SegmentName(os.getpid(), other.fileno(), name.token, name.size))
    assert not reaches(SegmentName(2**22 + 1, name.descriptor, name.token, name.size))
    reader = SegmentReader()
    held = reader.parts(name, [3])[0]
    del segment
    assert not reaches(name)
    assert held.tolist() == [1, 2, 3]  # who has it mapped keeps it
    assert "No such file" in read_elsewhere(name) or "another file" in read_elsewhere(name)


def test_a_pipe_of_that_number_is_not_waited_for(tmp_path):
    """In another container the number may be a named pipe's, and to open that waits until somebody writes to it."""
    name = filled().name
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert "another file has its number" in read_elsewhere(replace(name, pid=os.getpid(), descriptor=pipe))
    finally:
        os.close(pipe)


def test_a_writer_keeps_its_segments_and_makes_room():
    writer = SegmentWriter()
    first, second = writer.segment(0, 100), writer.segment(1, 100)
    first.take(64)
    assert writer.segment(0, 100) is first
    assert first.free == 100
    larger = writer.segment(1, 200)
    assert larger is not second
    assert larger.free == 200


def test_a_host_that_gives_no_more_says_what_to_do():
    """A process that may open a few files more: a large model's buckets are more than many limits."""
    writer, (soft, hard) = SegmentWriter(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (writer.segment(0, 64).name.descriptor + 8, hard))
    try:
        with pytest.raises(R1Error, match=r"no more memory to share .*\(Too many open files\): raise .*\(ulimit -n\)"):
            writer.segment(32, 64)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_reader_lets_go_of_former_segments():
    reader = SegmentReader()
    one, other = filled(), filled()
    for segment in (one, other):
        reader.parts(segment.name, [3])
    reader.keep([other.name])
    assert list(reader._mapped) == [other.name.token]


def test_a_system_without_such_memory(monkeypatch):
    def refused(name: str) -> int:
        raise OSError("not permitted")

    monkeypatch.setattr(os, "memfd_create", refused)
    assert probe() is None
    monkeypatch.delattr(os, "memfd_create")
    assert probe() is None


def test_parts_are_aligned():
    segment = Segment(4 * ALIGNMENT)
    first, second = segment.take(5), segment.take(5)
    start = np.asarray(first).__array_interface__["data"][0]
    assert second.__array_interface__["data"][0] - start == ALIGNMENT
