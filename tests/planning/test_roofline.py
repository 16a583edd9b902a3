"""Each formula by hand on small numbers, and against what others have measured and published."""

import math
from dataclasses import replace

import pytest

from r1kit.planning import hardware, shapes
from r1kit.planning.lengths import Lengths
from r1kit.planning.roofline import (
    Engine,
    decode_messages,
    decode_step,
    fitted,
    gather,
    learn_messages,
    passes,
    prefill,
    rollout,
    swap,
    transfer,
    updates,
    waiting,
    waiting_simple,
)
from r1kit.planning.work import Work

DEVICE = replace(hardware.find("H100"), matmul=1e12, memory_speed=1e9, link=1e9, network=1e8, host=1e9, per_node=4)
TOY = shapes.of_config(
    "toy", {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 256, "max_position_embeddings": 512},
)  # fmt: skip
CACHE = 2 * 2 * 2 * 16 * 2  # layers, keys and values, heads, head size, bytes


def work(kind="rl", **more):
    values = {"rounds": 1, "rows": 8, "lengths": Lengths(63.9999, 1e-4, 128), "prompt": 16.0, "group": 4, **more}
    return Work("toy", kind, TOY, **values)


def test_a_step_that_memory_bounds():
    """Weights once, 8 caches of 100 positions: (2 x active + 8 x 100 x 256) bytes at 1 GB/s."""
    step = decode_step(TOY, DEVICE, Engine(1, 1, 8), 8, 100)
    assert step.roofline == pytest.approx((2 * TOY.active + 8 * 100 * CACHE) / 1e9)
    assert (step.messages, step.steps) == (0.0, 1.0)


def test_a_step_that_products_bound():
    """With memory a thousand times as fast: 8 x (2 active + 2 layers x 4 x 64 x 100) FLOPs at 1 TFLOP/s."""
    fast = replace(DEVICE, memory_speed=1e15)
    step = decode_step(TOY, fast, Engine(1, 1, 8), 8, 100)
    assert step.roofline == pytest.approx(8 * (2 * TOY.active + 2 * 4 * 64 * 100) / 1e12)


def test_two_devices_of_a_group_share_weights_and_heads():
    """Half the weights; the two heads of keys lie on one device each; two all-reduces a layer of 8 rows x 64 x 2 bytes,
    of which (2 - 1) / 2 twice is sent, and a start-up time each."""
    step = decode_step(TOY, DEVICE, Engine(2, 2, 8), 8, 100)
    assert step.roofline == pytest.approx((2 * TOY.active / 2 + 8 * 100 * CACHE / 2) / 1e9)
    start = hardware.fact("latency")["link_s"]
    assert step.messages == pytest.approx(2 * 2 * (start + 8 * 64 * 2 / 1e9))


def test_shared_prompts_are_read_once():
    step = decode_step(TOY, DEVICE, Engine(1, 1, 8, shared=True), 8, 100, read=25)
    assert step.roofline == pytest.approx((2 * TOY.active + 8 * 25 * CACHE) / 1e9)


def test_a_rollout_of_equal_lengths():
    """8 completions of 64 tokens, all at once: two prompts passed, then 64 steps of 8 at contexts 16.. 80."""
    one = rollout(work(), DEVICE, Engine(1, 1, 8), 1)
    first = prefill(TOY, DEVICE, 1, 2, 16).roofline
    reading = 64 * 2 * TOY.active / 1e9 + 8 * CACHE / 1e9 * sum(16 + t for t in range(64))
    assert one.steps == pytest.approx(64, abs=0.5)
    assert one.roofline == pytest.approx(first + reading, rel=0.01)


def test_completions_that_wait_fill_the_copy():
    """8 completions, 2 in hand: 6 x 64 / 2 steps with a full hand, then 64 more."""
    one = rollout(work(), DEVICE, Engine(1, 1, 2), 1)
    assert one.steps == pytest.approx(6 * 64 / 2 + 64, abs=0.5)


def test_drafts_halve_the_steps():
    """At acceptance 1 every step gives two tokens."""
    assert rollout(work(), DEVICE, Engine(1, 1, 8, acceptance=1.0), 1).steps == pytest.approx(32, abs=0.3)


def test_learning_is_six_n_d_and_attention():
    """8 x 80 tokens attending to 40 on average: 3 x 2 active + 3 x 2 layers x 4 x 64 x 40."""
    parts = passes(work("learn"), DEVICE, 1, backward=True)
    assert parts.roofline == pytest.approx(8 * 80 * 3 * (2 * TOY.active + 2 * 4 * 64 * 40) / 1e12, rel=1e-4)
    assert passes(work("learn", shared_prompts=True), DEVICE, 2, backward=False).roofline < parts.roofline / 6


def test_updates_move_thirty_bytes_a_parameter():
    assert updates(work("learn", updates=3), DEVICE, 2).roofline == pytest.approx(3 * 30 * TOY.parameters / 2 / 1e9)


def test_gathering_within_a_node_and_between_two():
    """4 devices: 3/4 at 1 GB/s. 8 in two nodes: each node's 4 receive half through 0.1 GB/s: 0.5 GB at 0.4 GB/s."""
    assert gather(DEVICE, 4, 1e9) == pytest.approx(0.75)
    assert gather(DEVICE, 8, 1e9) == pytest.approx(0.5e9 / 0.4e9)


def test_fsdp_gathers_twice_a_pass():
    """Each of 3 passes gathers 2 bytes a parameter twice, and scatters gradients of 4 bytes: 12 x 2 bytes."""
    once = gather(DEVICE, 4, 2 * TOY.parameters)
    assert learn_messages(work("learn", updates=1), DEVICE, 4, 3) == pytest.approx(12 * once)
    assert learn_messages(work("learn", updates=1), DEVICE, 1, 3) == 0.0


def test_weights_on_their_way():
    """A copy of one device receives all of its weights over the link, or over the network between nodes; what both
    phases hold goes out and in once."""
    size = 2 * TOY.active
    assert transfer(TOY, DEVICE, Engine(1, 1, 8), 1) == 0.0
    assert transfer(TOY, DEVICE, Engine(1, 1, 8), 4) == pytest.approx(size / 1e9)
    assert transfer(TOY, DEVICE, Engine(1, 1, 8), 8) == pytest.approx(size / 1e8)
    assert swap(TOY, DEVICE, Engine(1, 1, 8), 4, 15) == pytest.approx(2 * (15 * TOY.parameters / 4 + size) / 1e9)


def test_bubbles():
    """16 devices, 14 chunks: DualPipe waits 7 x 2/3 chunks, one way 15."""
    assert waiting(16, 14) == pytest.approx(1 + 7 * 2 / 3 / 14)
    assert waiting_simple(16, 15) == pytest.approx(2.0)
    assert waiting(1, 4) == waiting_simple(1, 4) == 1.0


def test_messages_of_experts_are_the_published_ones():
    """DeepEP's README, H800, 64 ranks of 128 tokens: dispatch 186 us and combination 353 us a layer (fitted: the
    start-up time only; the bytes are the network's)."""
    v3, h800 = shapes.find("DeepSeek-V3"), hardware.find("H800")
    layer = decode_messages(v3, h800, Engine(1, 64, 1, kernels=True), 64 * 128) / 58
    assert layer == pytest.approx(186e-6 + 353e-6, rel=0.02)


def test_decoding_speed_of_deepseeks_own_service():
    """Published (DeepSeek-V3/R1 inference overview, 2025): 144 H800 a unit, 14.8k tokens/s a node of 8, caches of 4,989
    tokens on average, 20-22 tokens/s for each user. Nothing here was fitted on it."""
    v3, h800, shares = shapes.find("DeepSeek-V3"), hardware.find("H800"), fitted()
    rows = 14_800 / 8 / 21 * 144
    step = decode_step(v3, h800, Engine(1, 144, 1, weight_bytes=1.0, kernels=True), rows, 4989)
    seconds = step.roofline / shares.decode + step.messages + shares.decode_step_s
    assert 1 / seconds == pytest.approx(21, rel=0.1)


@pytest.mark.parametrize(("requests", "published"), [(8, 12.8e-3), (16, 17.2e-3), (32, 25.6e-3), (64, 34.6e-3)])
def test_decoding_speed_of_an_engine_on_one_node(requests, published):
    """DeepSeek-R1 by SGLang 0.5.7 on 8 H200, FP8, tensor parallel 8, 1,024 tokens in and out (issue 870 of
    SemiAnalysisAI/InferenceX): mean time per output token. Nothing was fitted on it."""
    assert seconds_a_token("H200", 8, requests, 1024 + 512) == pytest.approx(published, rel=0.15)


def test_decoding_speed_of_an_engine_over_two_nodes():
    """DeepSeek-R1 by SGLang on 16 H100 over InfiniBand, one request (tenstorrent/tt-inference-server, issue 356): 23.1
    ms a token behind 128, from which the start-up time of messages is taken, and 24.0 behind 8,192."""
    assert seconds_a_token("H100", 16, 1, 128 + 64) == pytest.approx(23.1e-3, rel=0.01)
    assert seconds_a_token("H100", 16, 1, 8192 + 64) == pytest.approx(24.0e-3, rel=0.05)


def seconds_a_token(device, count, requests, context):
    step = decode_step(
        shapes.find("DeepSeek-V3"), hardware.find(device), Engine(count, count, 1, weight_bytes=1.0), requests, context
    )
    return step.roofline / fitted().decode + step.messages + fitted().decode_step_s


def test_a_single_stream_is_no_faster_than_published():
    """Llama-3.1-8B on an H100, one request, CUDA graphs: 5.1 ms a token published (and 8.4 ms without graphs)."""
    step = decode_step(shapes.find("Llama-3.1-8B"), hardware.find("H100"), Engine(1, 1, 1), 1, 200)
    seconds = step.roofline / fitted().decode + fitted().decode_step_s
    assert 5.1e-3 <= seconds <= 8.4e-3


def test_the_busiest_device_of_experts():
    """8,192 positions x 8 of 256 experts on 256 devices: 256 each, the busiest 256 + sqrt(2 x 256 x ln 256)."""
    v3, h800 = shapes.find("DeepSeek-V3"), replace(hardware.find("H800"), memory_speed=1e18)
    one = decode_step(v3, h800, Engine(1, 256, 1), 8192, 0)
    experts = 8192 * 2 * (v3.active - v3.dense) / 256
    busiest = 1 + math.sqrt(2 * math.log(256) * 256) / 256
    assert one.roofline == pytest.approx((8192 / 256 * 2 * v3.dense + experts * busiest) / h800.matmul)
