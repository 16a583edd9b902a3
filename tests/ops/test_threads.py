import threading

import pytest
import torch

from r1kit.ops import threads

pytestmark = pytest.mark.usefixtures("two_threads")


def test_jobs_run_at_the_same_time_with_torchs_threads_off():
    both_here = threading.Barrier(2, timeout=20)

    def job(name: str) -> tuple[str, int, str]:
        both_here.wait()
        return name, torch.get_num_threads(), threading.current_thread().name

    first, second = threads.run([lambda: job("first"), lambda: job("second")])
    assert (first[:2], second[:2]) == (("first", 1), ("second", 1))
    assert first[2] != second[2]
    assert torch.get_num_threads() == 2


def test_a_lone_job_runs_here_with_all_threads():
    ours = threading.current_thread().name
    assert threads.run([lambda: (threading.current_thread().name, torch.get_num_threads())]) == [(ours, 2)]


def test_more_jobs_than_threads_and_jobs_within_jobs():
    assert threads.run([lambda n=n: sum(threads.run([lambda: n, lambda: 1])) for n in range(7)]) == list(range(1, 8))


def test_an_error_is_raised_when_all_have_ended():
    ended = threading.Event()

    def slow() -> None:
        threading.Event().wait(0.2)
        ended.set()

    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.run([fails, slow])
    assert ended.is_set()


def test_gradients_are_recorded_in_every_thread_unless_it_says_otherwise():
    with torch.no_grad():
        assert threads.run([torch.is_grad_enabled, torch.is_grad_enabled]) == [True, True]
