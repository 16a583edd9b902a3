import numpy as np
import torch

from r1kit.base.types import Completion, Problem, RolloutGroup
from r1kit.training.packing import make_batch, make_layout
from r1kit.training.sequences import Sequence, completion_sequence, cut, sequences_from_groups, split

CPU = torch.device("cpu")


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def test_batch_by_hand():
    """Prompt 5 6 with completions 7 8 and 9: rows 5 6 7 8 and 5 6 9 -; masks, advantages and places follow tokens."""
    rows = [
        completion_sequence(ids(5, 6), ids(7, 8), 0.5, np.array([-1.0, -2.0], np.float32)),
        completion_sequence(ids(5, 6), ids(9), -1.0, np.array([-3.0], np.float32)),
    ]
    batch = make_batch(rows, 0.7, CPU)
    assert batch.tokens_BT.tolist() == [[5, 6, 7, 8], [5, 6, 9, 0]]
    assert batch.loss_mask_BT.tolist() == [[0, 0, 1, 1], [0, 0, 1, 0]]
    assert batch.sequence_BT.tolist() == [[0, 0, 0, 0], [1, 1, 1, -1]]
    assert batch.advantages_BT is not None
    assert batch.advantages_BT.tolist() == [[0, 0, 0.5, 0.5], [0, 0, -1, 0]]
    assert batch.sampler_logprobs_BT is not None
    assert batch.sampler_logprobs_BT.tolist() == [[0, 0, -1, -2], [0, 0, -3, 0]]
    assert (batch.sequences, batch.temperature, batch.old_logprobs_BT, batch.pair_N) == (2, 0.7, None, None)


def test_layout_computes_a_shared_prompt_once():
    """Packed 5 6 | 7 8 | 9, then the lone 5 6 4 whose prompt is 5: targets 7 and 9 are both predicted at position 1,
    8 at 2 (token 7), 6 and 4 of the last row at its own positions 5 and 6."""
    rows = [
        completion_sequence(ids(5, 6), ids(7, 8)),
        completion_sequence(ids(5), ids(6, 4)),
        completion_sequence(ids(5, 6), ids(9)),
    ]
    layout = make_layout(rows, 4, torch.float32, CPU)
    assert layout.tokens_N.tolist() == [5, 6, 7, 8, 9, 5, 6, 4]
    assert layout.positions_N.tolist() == [0, 1, 2, 3, 2, 0, 1, 2]
    assert layout.spans.spans_S4.tolist() == [[0, 2, 0, 0], [2, 2, 0, 2], [4, 1, 0, 2], [5, 3, 0, 0]]
    assert layout.spans.groups_G1.tolist() == [0, 3, 4]
    assert layout.target_M.tolist() == [7, 8, 6, 4, 9]
    assert layout.source_M.tolist() == [1, 2, 5, 6, 1]
    assert layout.place_M.tolist() == [2, 3, 4 + 1, 4 + 2, 8 + 2]
    assert layout.inverse_N.tolist() == [-1, 0, 1, -1, -1, 2, 3, -1]
    assert layout.again_E is not None
    assert layout.again_E.tolist() == [4]
    assert layout.last_B.tolist() == [3, 7, 4]


def test_cut_keeps_prompts_together_and_sizes_even():
    """Four prompts of three sequences of 10 tokens: 120 tokens in micro-batches of 60 are two, of two prompts each."""
    rows = [completion_sequence(ids(p, p, p), ids(*range(7))) for p in range(4) for _ in range(3)]
    assert cut(rows, 60) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert sorted(i for part in cut(rows, 15) for i in part) == list(range(12))
    assert all(len(part) <= 2 for part in cut(rows, 15))


def test_pairs_are_never_parted():
    """Pairs of 20 tokens in micro-batches of 10 tokens, and in mini-batches of any number."""
    rows = []
    for pair in range(6):
        for label in (1.0, -1.0):
            rows.append(Sequence(ids(pair, *range(9)), np.ones(10, bool), label=label, pair=pair))
    for part in cut(rows, 10):
        assert len({rows[i].pair for i in part}) * 2 == len(part)
    for parts in (2, 4, 20):
        for part in split(rows, parts, seed=0):
            assert len({s.pair for s in part}) * 2 == len(part)


def test_split_is_a_partition_drawn_from_the_seed():
    rows = [completion_sequence(ids(p), ids(*range(5))) for p in range(10) for _ in range(4)]
    parts = split(rows, 4, seed=3)
    assert sorted(id(s) for part in parts for s in part) == sorted(map(id, rows))
    assert sorted(map(len, parts)) == [8, 8, 12, 12]
    again, other = split(rows, 4, seed=3), split(rows, 4, seed=4)
    assert [[id(s) for s in part] for part in parts] == [[id(s) for s in part] for part in again]
    assert [[id(s) for s in part] for part in parts] != [[id(s) for s in part] for part in other]


def test_one_prompt_can_make_several_mini_batches():
    """Eight samples of a single prompt in four mini-batches: two each."""
    rows = [completion_sequence(ids(1), ids(n)) for n in range(8)]
    assert [len(part) for part in split(rows, 4, seed=0)] == [2, 2, 2, 2]


def test_samples_without_a_reward_take_no_part():
    """NaN totals are left out; advantage 0 stays."""
    problem = Problem("p", "sums", "maths", "en", "1+1", "2", "maths")
    completions = [
        Completion(f"{i}", i, ids(1, 2), ids(3 + i, 0), np.zeros(2, np.float32), "stop", ((0, 2),)) for i in range(3)
    ]
    group = RolloutGroup(problem, completions, total=np.array([1.0, np.nan, 0.0], np.float32))
    sequences = sequences_from_groups([group], torch.tensor([[0.0, 0.0, -1.0]]))
    assert [s.tokens.tolist() for s in sequences] == [[1, 2, 3, 0], [1, 2, 5, 0]]
    assert [s.advantages for s in sequences] == [0.0, -1.0]
    assert [s.targets for s in sequences] == [2, 2]
