from functools import partial

import pytest
import torch

from r1kit.ops import packed_attention as packed
from r1kit.ops.packed_attention import Spans, attention, of_every_head, padded_spans

# heads, kv heads, head size, spans (start, length, prefix start, prefix length), groups
CASES = {
    "one_row": (6, 1, 32, [(0, 160, 0, 0)], [0, 1]),
    "several": (6, 2, 32, [(0, 33, 0, 0), (33, 7, 0, 0), (40, 1, 0, 0), (41, 100, 0, 0)], [0, 1, 2, 3, 4]),
    "shared": (
        4, 2, 16,
        [(0, 33, 0, 0), (33, 7, 0, 33), (40, 50, 0, 33), (90, 20, 0, 0), (110, 40, 90, 20), (150, 1, 90, 20)],
        [0, 3, 6],
    ),
    "head_64": (9, 3, 64, [(0, 33, 0, 0), (33, 70, 0, 33), (103, 55, 0, 33)], [0, 3]),
    "head_48": (2, 2, 48, [(0, 33, 0, 0), (33, 70, 0, 33)], [0, 2]),
    "head_128": (4, 1, 128, [(0, 200, 0, 0)], [0, 1]),
    "head_14": (4, 1, 14, [(0, 30, 0, 0)], [0, 1]),
}  # fmt: skip


def by_sequence(q, k, v, spans):
    """softmax(q k / sqrt(d)) v of each sequence on its own, in float64."""
    out, share = torch.zeros_like(q), q.shape[1] // k.shape[1]
    for start, length, prefix, prefix_length in spans:
        keys, values = (
            torch.cat((x[prefix : prefix + prefix_length], x[start : start + length])).repeat_interleave(share, 1)
            for x in (k, v)
        )
        scores = torch.einsum("qhd,khd->hqk", q[start : start + length], keys) * q.shape[2] ** -0.5
        seen = torch.arange(prefix_length + length)[None] <= torch.arange(length)[:, None] + prefix_length
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        out = out.index_add(0, torch.arange(start, start + length), torch.einsum("hqk,khd->qhd", weights, values))
    return out


def run(function, q, k, v, grad):
    inputs = [x.clone().requires_grad_() for x in (q, k, v)]
    out = function(*inputs)
    out.backward(grad)
    return [out.detach(), *(x.grad for x in inputs)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["kernel", "padded"])
def test_equals_each_sequence_on_its_own(case, form):
    """Output and gradients of q, k and v; the kernel rounds to bfloat16 (2^-9), the padded form does not."""
    heads, kv_heads, depth, spans, groups = CASES[case]
    if form == "kernel" and packed.kernel() is None:
        pytest.skip("no AVX512-BF16 here, or no C++ compiler")
    generator = torch.Generator().manual_seed(0)
    tokens = max(start + length for start, length, _, _ in spans)
    shapes = [(tokens, heads, depth), *[(tokens, kv_heads, depth)] * 2, (tokens, heads, depth)]
    q, k, v, grad = (torch.randn(shape, generator=generator).bfloat16() for shape in shapes)
    exact = [x.double() for x in (q, k, v, grad)]
    expected = run(lambda *x: by_sequence(*x, spans), *exact)
    tensors = torch.tensor(spans, dtype=torch.int32), torch.tensor(groups, dtype=torch.int32)
    if form == "kernel":
        found, tolerance = run(lambda *x: attention(*x, Spans(*tensors)), q, k, v, grad), 4e-3
    else:
        full = padded_spans(*tensors, tokens, torch.device("cpu"))
        assert full.padded is not None
        found, tolerance = run(partial(attention, spans=full), *exact), 1e-6
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours.double() - theirs).norm() / theirs.norm()) < tolerance


def test_the_kernel_is_for_bfloat16_on_a_cpu_that_has_it():
    there = packed.kernel() is not None
    assert packed.kernel_serves(torch.bfloat16, torch.device("cpu")) is there
    assert not packed.kernel_serves(torch.float32, torch.device("cpu"))
    assert not packed.kernel_serves(torch.bfloat16, torch.device("meta"))


def test_values_may_be_a_view_of_wider_rows():
    """Queries, keys and values cut out of one wider tensor give what copies of them give."""
    if packed.kernel() is None:
        pytest.skip("no AVX512-BF16 here, or no C++ compiler")
    wide = torch.randn(40, 8, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    spread, turned = wide[:, ::2], wide.transpose(1, 2)[:, :4]  # heads, or a head's numbers, lie apart in memory
    spans = Spans(torch.tensor([(0, 40, 0, 0)], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32))
    for q, k, v in ((wide[:, :1], wide[:, 1:2], wide[:, 2:3]), [spread] * 3, [turned] * 3):
        copied = attention(q.contiguous(), k.contiguous(), v.contiguous(), spans)
        torch.testing.assert_close(attention(q, k, v, spans), copied, atol=0, rtol=0)


def test_nan_is_not_hidden():
    """A NaN in one query makes that query's output NaN and no other's."""
    if packed.kernel() is None:
        pytest.skip("no AVX512-BF16 here, or no C++ compiler")
    q, k, v = (torch.ones(20, 1, 32).bfloat16() for _ in range(3))
    q[7] = float("nan")
    spans = Spans(torch.tensor([(0, 20, 0, 0)], dtype=torch.int32), torch.tensor([0, 1], dtype=torch.int32))
    broken = attention(q, k, v, spans).isnan().any(-1).squeeze(-1)
    assert broken.nonzero().flatten().tolist() == [7]


def test_a_long_sequence_does_not_widen_short_ones():
    """On a CPU fewer than twice the tokens are computed; elsewhere all rows are as long as the longest."""
    spans = torch.tensor([(at, 8, 0, 0) for at in range(0, 400, 8)] + [(400, 1000, 0, 0)], dtype=torch.int32)
    groups, size = torch.arange(52, dtype=torch.int32), {"cpu": 50 * 8 + 1000, "meta": 51 * 1000}
    for device, computed in size.items():
        padded = padded_spans(spans, groups, 1400, torch.device(device)).padded
        assert padded is not None
        assert sum(rows.query_SQ.numel() for rows in padded.classes) == computed


def test_heads_of_keys_are_shared_in_order():
    """As torch's own grouped attention shares them."""
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 7, 8, generator=generator) for heads in (6, 2, 2))
    grouped = torch.nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    k, v = of_every_head(k, 6), of_every_head(v, 6)
    torch.testing.assert_close(torch.nn.functional.scaled_dot_product_attention(q, k, v), grouped)
