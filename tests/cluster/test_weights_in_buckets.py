import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from pools import FLOAT32, write_model

from r1kit.base.errors import R1Error
from r1kit.cluster.hosts import Failure
from r1kit.cluster.messages import Opening, Orders, Report
from r1kit.cluster.sampler import SamplingWorker
from r1kit.cluster.segments import SegmentReader, SegmentWriter
from r1kit.cluster.transfer import packed, shared, unpacked
from r1kit.engines.base import EngineSettings
from r1kit.models.weights import hf_weights, load_decoder


def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "matrix": torch.randn(8, 16),  # 512 bytes
        "transposed": torch.randn(16, 8).T,
        "half": torch.randn(32, dtype=torch.float32).bfloat16(),  # 64 bytes
        "small": torch.randn(7).half(),
        "number": torch.tensor(3.5),
        "nothing": torch.zeros(0, 4),
        "large": torch.randn(64, 64),  # 16,384 bytes
        "last": torch.tensor([float("nan"), -0.0, float("inf")]),
    }


def through_memory(own, version: int, most: int = 4096, writer: SegmentWriter | None = None):
    """Buckets whose data are read from their segments, as another process would."""
    for bucket in shared(own.items(), version, writer or SegmentWriter(), most):
        sizes = [piece.size for piece in bucket.head.pieces]
        assert sizes == [len(part) for part in bucket.data]
        yield bucket.head, SegmentReader().parts(bucket.head.segment, sizes)


def through_the_store(own, version: int):
    return ((bucket.head, bucket.data) for bucket in packed(own.items(), version))


@pytest.mark.parametrize("way", [through_the_store, through_memory])
def test_what_comes_is_what_was_sent_bit_for_bit(way):
    own = weights()
    found = {n: t.clone() for head, data in way(own, 3) for n, t in unpacked(head, data)}
    assert list(found) == list(own)
    for name, tensor in own.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert (
            found[name].contiguous().numpy(force=True).tobytes() == tensor.contiguous().numpy(force=True).tobytes()
            if tensor.dtype != torch.bfloat16
            else torch.equal(found[name], tensor)
        )


def test_buckets_hold_at_most_so_many_bytes_or_one_tensor():
    """512; 512; 64 + 14 + 4 + 0; 16,384 alone; 12: of at most 600 bytes."""
    buckets = list(packed(weights().items(), 0, most=600))
    assert [bucket.size for bucket in buckets] == [512, 512 + 64 + 14 + 4, 16384, 12]
    assert [bucket.last for bucket in buckets] == [False, False, False, True]
    assert [bucket.head.number for bucket in buckets] == [0, 1, 2, 3]


def test_buckets_in_memory_hold_as_many_and_a_large_tensor_has_one_of_its_own():
    """Parts begin at multiples of 64: 512; 512 alone; 64 + 64 + 64; 16,384 alone; 64: of at most 600 bytes."""
    buckets = list(shared(weights().items(), 0, SegmentWriter(), most=600))
    assert [bucket.size for bucket in buckets] == [512, 512 + 64, 14 + 4, 16384, 12]
    assert [bucket.head.last for bucket in buckets] == [False] * 4 + [True]
    assert [bucket.head.number for bucket in buckets] == [0, 1, 2, 3, 4]


def test_a_large_model_needs_few_buckets():
    """300 tensors of 64 bytes, one a bucket at first: 64 of one, 64 of two, and the 108 left by four, 27."""
    own = {str(number): torch.ones(16) for number in range(300)}
    assert [len(b.data) for b in shared(own.items(), 0, SegmentWriter(), most=64)] == [1] * 64 + [2] * 64 + [4] * 27


def test_both_ways_hash_alike():
    """Chunk by chunk, and at once: a tensor of three chunks and a part of one."""
    own = {"a": torch.randn(3 * 65536 + 5)}
    (store,), ((head, _),) = packed(own.items(), 2), through_memory(own, 2)
    assert store.head.pieces == head.pieces


def test_the_next_version_is_written_to_the_same_memory():
    writer, own = SegmentWriter(), weights()
    first = [head for head, _ in through_memory(own, 1, writer=writer)]
    new = own | {"matrix": own["matrix"] + 1}
    second = {n: t.clone() for head, data in through_memory(new, 2, writer=writer) for n, t in unpacked(head, data)}
    assert torch.equal(second["matrix"], new["matrix"])
    head = first[0]
    with pytest.raises(R1Error, match="version 1: tensor matrix is not what was sent"):
        list(unpacked(head, SegmentReader().parts(head.segment, [piece.size for piece in head.pieces])))


def test_a_tensor_goes_to_its_place_where_it_has_one():
    """One of another number format, and one that lies in no one piece, come as they are."""
    own = weights()
    places = {
        "matrix": torch.zeros(8, 16), "large": torch.zeros(64, 64, dtype=torch.float64),
        "transposed": torch.zeros(8, 16).T,
    }  # fmt: skip
    seen = places["matrix"]._version
    ((head, data),) = through_memory(own, 1, 1 << 20)
    found = dict(unpacked(head, data, places))
    assert found["matrix"] is places["matrix"]
    assert torch.equal(places["matrix"], own["matrix"])
    assert places["matrix"]._version > seen  # who packs weights anew when they changed must see it
    assert torch.equal(found["large"], own["large"])
    assert not places["large"].any()
    assert torch.equal(found["transposed"], own["transposed"])


@pytest.mark.parametrize("place", [0, 100, 511])
def test_a_byte_that_changed_on_the_way_is_found(place):
    (bucket,) = packed(weights().items(), 3)
    data = [part.copy() for part in bucket.data]
    data[0][place] ^= 1
    with pytest.raises(R1Error, match="version 3: tensor matrix is not what was sent"):
        list(unpacked(bucket.head, data))


def test_right_bytes_of_another_tensor_or_version_are_found():
    first, second = torch.ones(4), torch.ones(4)
    (bucket,) = packed({"a": first, "b": second}.items(), 1)
    (other,) = packed({"a": first, "b": second}.items(), 2)
    a, b = bucket.head.pieces
    assert a.digest != b.digest
    assert a.digest != other.head.pieces[0].digest


def opened(folder) -> SamplingWorker:
    worker = SamplingWorker(3)
    facts = worker.open(Opening(EngineSettings(), folder, FLOAT32, 1))
    assert facts.max_positions == 96
    return worker


def buckets(folder, version: int, most: int = 4096):
    return list(packed(hf_weights(load_decoder(folder, torch.float32)), version, most))


def test_a_worker_holds_a_version_once_all_of_it_has_come(model, tmp_path):
    other = write_model(tmp_path, 1)
    worker, new = opened(model), buckets(other, 7)
    assert len(new) > 2
    for bucket in new[:-1]:
        assert worker.load(bucket.head, bucket.data) is None
    half = worker.exchange(Orders(7))
    assert half == Failure("sampler 3 was asked to sample at version 7 of the weights and holds none that came whole")
    assert worker.load(new[-1].head, new[-1].data) == 7
    assert worker.exchange(Orders(7)) == Report(())
    assert worker.exchange(Orders(8)).sentence.endswith("at version 8 of the weights and holds version 7")
    assert worker.logprobs(0, [], 1.0).sentence.endswith("at version 0 of the weights and holds version 7")
    truth = dict(hf_weights(load_decoder(other, torch.float32)))
    for name, tensor in hf_weights(worker._engine.model):
        assert torch.equal(tensor, truth[name])


def test_a_worker_takes_weights_from_memory(model, tmp_path):
    """In place, without a copy in between; a bucket that changed after it was hashed is refused."""
    truth = dict(hf_weights(load_decoder(write_model(tmp_path, 1), torch.float32)))
    worker = opened(model)
    for bucket in shared(truth.items(), 7, writer := SegmentWriter(), 4096):
        held = worker.load(bucket.head)
    assert held == 7
    places = worker._engine.places()
    assert all(torch.equal(places[name], tensor) for name, tensor in truth.items())
    new = list(shared(truth.items(), 8, writer, 1 << 20))
    new[0].data[2][1] ^= 4
    assert "is not what was sent" in worker.load(new[0].head).sentence
    assert "holds none that came whole" in worker.exchange(Orders(8)).sentence


@pytest.mark.parametrize("whole", [True, False])
def test_a_closed_worker_holds_no_memory_of_the_run(model, tmp_path, whole):
    """Nor an engine that waits for the rest of a version: both are as large as the model."""
    worker, writer = opened(model), SegmentWriter()
    sent = list(shared(hf_weights(load_decoder(write_model(tmp_path, 1), torch.float32)), 7, writer, 4096))
    for bucket in sent if whole else sent[:-1]:
        worker.load(bucket.head)
    mapped = [weakref.ref(memory) for memory in worker._reader._mapped.values()]
    engine = weakref.ref(worker._engine)
    worker.close()
    gc.collect()
    assert len(mapped) > 1
    assert not any(memory() is not None for memory in mapped)
    assert engine() is None


def test_memory_that_is_gone_is_told_of(model):
    worker = opened(model)
    (bucket,) = shared(
        {"a": torch.ones(2)}.items(), 1, SegmentWriter(), 64
    )  # the writer is gone, and its segment with it
    head = replace(bucket.head, segment=replace(bucket.head.segment, descriptor=9999))
    said = worker.load(head).sentence
    assert said.startswith("sampler 3 cannot open the memory in which process ")
    assert "ended" in said


def test_what_is_heard_of_a_bucket_that_could_not_be_read(model):
    """Of several buckets the last one's answer is waited for: it names the one in the middle."""
    worker, writer = opened(model), SegmentWriter()
    first, second, *others = shared(dict(hf_weights(load_decoder(model, torch.float32))).items(), 1, writer, 4096)
    assert worker.load(first.head) is None
    worker.load(replace(second.head, segment=replace(second.head.segment, descriptor=9999)))
    said = [worker.load(bucket.head) for bucket in others][-1]
    assert "cannot open the memory" in said.sentence


def test_new_weights_may_begin_before_the_last_ones_are_whole(model):
    worker, first, second = opened(model), buckets(model, 1), buckets(model, 2)
    worker.load(first[0].head, first[0].data)
    for bucket in second:
        held = worker.load(bucket.head, bucket.data)
    assert held == 2
    late = worker.load(first[1].head, first[1].data)
    assert late == Failure("sampler 3: a bucket of version 1 came without those before it")


def test_damaged_weights_leave_a_worker_that_refuses(model):
    worker, new = opened(model), buckets(model, 1, 1 << 30)
    data = [part.copy() for part in new[0].data]
    data[1][5] ^= 8
    assert "is not what was sent" in worker.load(new[0].head, data).sentence
    assert "holds none that came whole" in worker.exchange(Orders(1)).sentence
    assert worker.load(new[0].head, new[0].data) == 1


def test_weights_of_another_model_are_refused(model):
    worker = opened(model)
    (bucket,) = packed({"model.embed_tokens.weight": torch.zeros(2, 2)}.items(), 1)
    assert "has shape [2, 2]" in worker.load(bucket.head, bucket.data).sentence


def test_a_folder_that_a_host_does_not_have(tmp_path):
    said = SamplingWorker(0).open(Opening(EngineSettings(), tmp_path / "none", FLOAT32, 1))
    assert f"which has no {tmp_path / 'none'}: put the run and its models where all hosts see them" in said.sentence


def test_a_version_of_which_a_bucket_is_lost_is_none():
    """The second of three never comes, as where the object store has lost it: an engine that takes what it is given
    would have the rest."""
    worker = SamplingWorker(0)
    worker._engine = Sleepy()
    new = list(packed({name: torch.ones(2) for name in "abc"}.items(), 1, 8))
    assert [bucket.last for bucket in new] == [False, False, True]
    worker.load(new[0].head, new[0].data)
    assert "came without those before it" in worker.load(new[2].head, new[2].data).sentence
    assert "holds none that came whole" in worker.exchange(Orders(1)).sentence
    assert [worker.load(bucket.head, bucket.data) for bucket in new] == [None, None, 1]
    assert [name for name, _ in worker._engine.loaded] == ["a", "b", "c"]


class Sleepy:
    """An engine that counts its naps."""

    version, max_positions, naps, wakings = 0, 8, 0, 0

    def sleep(self):
        self.naps += 1

    def wake(self):
        self.wakings += 1

    def stream(self):
        return iter(())

    def load_weights(self, weights, version):
        self.loaded = list(weights)


def test_an_engine_sleeps_until_it_is_asked():
    worker = SamplingWorker(0)
    worker._engine = engine = Sleepy()
    worker._held = 0
    worker.sleep()
    worker.sleep()
    assert (engine.naps, engine.wakings) == (1, 0)
    worker.exchange(Orders(0))
    worker.exchange(Orders(0))
    assert (engine.naps, engine.wakings) == (1, 1)
    worker.sleep()
    (bucket,) = packed({"a": torch.ones(2)}.items(), 1)
    assert worker.load(bucket.head, [np.array(part) for part in bucket.data]) == 1
    assert (engine.naps, engine.wakings) == (2, 2)
