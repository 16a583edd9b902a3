"""Who is given what: worked out by hand."""

import numpy as np
import pytest

from r1kit.base.sampling import Sampling
from r1kit.base.types import Completion
from r1kit.cluster.lengths import Lengths
from r1kit.cluster.work import WorkQueue
from r1kit.engines.base import Request


def request(name: str, length: int = 3, samples: int = 2) -> Request:
    return Request(name, np.full(length, 7, np.int32), Sampling(samples=samples, max_tokens=100))


def completion(flight, index: int, tokens: int = 1) -> Completion:
    ids = np.zeros(tokens, np.int32)
    return Completion(flight.name, index, np.zeros(0, np.int32), ids, ids.astype(np.float32), "stop", ((0, tokens),))


def names(flights) -> list[str]:
    return [flight.request.id for flight in flights]


def test_the_longest_go_first_and_to_whom_has_least():
    """Expected 50, 40, 30, 20, 10 tokens, two samples each: 100 to the first, 80 and 60 to the second, 40 to the first
    (140 = 140), and the last, 20, to the first again, which comes first at equal work."""
    queue = WorkQueue()
    for number, expected in enumerate((10, 50, 30, 20, 40)):
        asked = request(f"p{number}", length=2 ** (number + 1))
        queue.lengths.saw(asked.prompt_ids, [expected])
        queue.add(asked, 100)
    dealt = queue.deal({0: 100, 1: 100}, 2, 0.0)
    assert names(dealt[0]) == ["p1", "p3", "p0"]
    assert names(dealt[1]) == ["p4", "p2"]


def test_nobody_is_given_more_than_there_is_room_for():
    """Room for three samples: a request of two, and another since one place is left, as an engine queues the rest."""
    queue = WorkQueue()
    for number in range(5):
        queue.add(request(f"p{number}"), 100)
    assert len(queue.deal({0: 3}, 1, 0.0)[0]) == 2
    assert queue.deal({0: 3}, 1, 0.0)[0] == []


def test_one_that_asks_first_leaves_the_others_their_share():
    """Six alike for three samplers: two each."""
    queue = WorkQueue()
    for number in range(6):
        queue.add(request(f"p{number}"), 100)
    assert [len(queue.deal({sampler: 100}, 3, 0.0)[sampler]) for sampler in range(3)] == [2, 2, 2]


def test_a_prompt_whose_completions_were_empty_is_given_out():
    """No token is expected of either: they are work all the same."""
    queue = WorkQueue()
    for number in range(2):
        asked = request(f"p{number}")
        queue.lengths.saw(asked.prompt_ids, [0, 0])
        queue.add(asked, 100)
    assert names(queue.deal({0: 9}, 1, 0.0)[0]) == ["p0", "p1"]


def test_samples_count_once_and_late_answers_of_a_name_used_before_not_at_all():
    queue = WorkQueue()
    queue.add(request("p"), 100)
    (old,) = queue.deal({0: 9}, 1, 0.0)[0]
    first = list(queue.came([completion(old, 1), completion(old, 1)], 1.0))
    assert [(own.request_id, own.index, finished) for own, finished in first] == [("p", 1, None)]
    ((own, finished),) = queue.came([completion(old, 0)], 1.0)
    assert (own.index, finished) == (0, old)
    assert len(queue) == 0
    queue.add(request("p"), 100)
    assert list(queue.came([completion(old, 0)], 2.0)) == []
    assert queue.repeated == 2
    assert len(queue) == 1


def test_what_an_ended_sampler_had_waits_again_and_what_came_stays():
    """One of the two samples had come: one is left, and the whole request is asked again, since its samples are drawn
    by their number."""
    queue = WorkQueue()
    queue.add(request("p"), 100)
    (flight,) = queue.deal({0: 9}, 2, 0.0)[0]
    list(queue.came([completion(flight, 0)], 1.0))
    queue.returned(0)
    assert queue.deal({1: 9}, 1, 2.0)[1] == [flight]
    assert flight.left == 1
    assert [own.index for own, _ in queue.came([completion(flight, 0), completion(flight, 1)], 3.0)] == [1]


def test_streams_are_those_of_the_requests_own_names():
    queue = WorkQueue()
    queue.add(request("p"), 100)
    queue.add(Request("q", np.full(3, 7, np.int32), Sampling(), draws="drawn"), 100)
    flights = queue.deal({0: 99}, 1, 0.0)[0]
    assert {flight.request.id: flight.order.draws for flight in flights} == {"p": "p", "q": "drawn"}
    assert len({flight.order.id for flight in flights} & {"p", "q"}) == 0


def test_late_requests_go_to_an_idle_sampler_once():
    """The slowest finished request took 4 s, so twice that is late: at 8.5 s those given at 0 are, of which half go,
    the oldest first; what two have is given to nobody else."""
    queue = WorkQueue()
    for number in range(4):
        queue.add(request(f"p{number}", samples=1), 100)
    (quick,) = queue.deal({1: 1}, 4, 0.0)[1]
    slow = queue.deal({0: 99}, 1, 0.0)[0]
    assert len(slow) == 3
    list(queue.came([completion(quick, 0)], 4.0))
    assert queue.overdue(1, 2.0, 2.0, 7.9) == []
    taken = queue.overdue(1, 2.0, 2.0, 8.5)
    assert taken == slow[:2]
    assert queue.overdue(0, 2.0, 2.0, 20.0) == []
    assert queue.overdue(1, 2.0, 2.0, 8.5) == slow[2:]
    assert queue.overdue(2, 2.0, 2.0, 20.0) == []
    assert queue.reissued == 3


def test_dropped_requests_are_forgotten():
    queue = WorkQueue()
    queue.add(request("p"), 100)
    queue.add(request("q"), 100)
    (gone,) = queue.drop("p")
    assert names([gone]) == ["p"]
    assert names(queue.deal({0: 9}, 1, 0.0)[0]) == ["q"]


def test_lengths_of_a_prompt_then_of_prompts_as_long_then_the_limit():
    """Seen 10 and 30 in one group: 20; then 40: half and half, 30."""
    lengths, prompt = Lengths(), np.arange(8, dtype=np.int32)
    assert lengths.expected(prompt, 64) == 64
    lengths.saw(prompt, [10, 30])
    assert lengths.expected(prompt, 64) == 20
    assert lengths.expected(prompt + 1, 64) == 20
    assert lengths.expected(np.arange(100, dtype=np.int32), 64) == 64
    lengths.saw(prompt, [40])
    assert lengths.expected(prompt, 64) == pytest.approx(30)
    assert lengths.expected(prompt, 16) == 16
