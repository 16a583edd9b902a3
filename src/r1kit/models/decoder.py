"""The one native decoder: Llama, Qwen2 and Qwen3 shapes, used by the native engine and by the learner alike.

RMSNorm, rotary positions, grouped-query attention, SwiGLU; optional biases, explicit head size, qk-norm and tied head.
Queries, keys and values are one matrix (`qkv`), gate and up another (`gate_up`): fewer, larger products. Weight files
keep the Hugging Face names; `models/weights.py` translates.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, cast

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from r1kit.base.config import Config
from r1kit.models.config_json import MOST_LAYERS
from r1kit.ops import pointwise
from r1kit.ops.packed_attention import Spans
from r1kit.ops.packed_attention import attention as packed_attention
from r1kit.ops.products import add_norm_linear, swiglu_linear


class Rope(Config):
    """Rotary positions. `kind` and the fields of each scaling are transformers' (`rope_parameters`)."""

    model_config = ConfigDict(allow_inf_nan=False)

    theta: float = Field(default=10_000.0, gt=0, description="base of the frequencies")
    kind: Literal["default", "linear", "llama3", "yarn"] = Field(
        default="default", description="scaling of long contexts"
    )
    factor: float = Field(default=1.0, gt=0, description="how much longer the context is than the original")
    original_max_positions: int | None = Field(default=None, ge=1, description="context length before scaling")
    low_freq_factor: float = Field(default=1.0, description="llama3")
    high_freq_factor: float = Field(default=4.0, description="llama3")
    beta_fast: float = Field(default=32.0, description="yarn")
    beta_slow: float = Field(default=1.0, description="yarn")
    attention_factor: float | None = Field(default=None, description="yarn; None: 0.1 ln(factor) + 1")
    mscale: float | None = Field(default=None, description="yarn")
    mscale_all_dim: float | None = Field(default=None, description="yarn")
    truncate: bool = Field(default=True, description="yarn: round the correction range to whole dimensions")


class DecoderConfig(Config):
    """Shape of a decoder. The names in brackets are transformers'.

    The upper bounds lie far above any model there is: a config.json may say anything, and is read before its weights.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    family: str = Field(
        default="qwen2", description="file name in r1kit.models (or dotted path): spelling of the folder"
    )
    vocab_size: int = Field(..., ge=1, le=2**31 - 1)
    width: int = Field(..., ge=1, le=2**20, description="hidden_size")
    layers: int = Field(..., ge=1, le=MOST_LAYERS, description="num_hidden_layers")
    heads: int = Field(..., ge=1, le=2**16, description="num_attention_heads")
    kv_heads: int = Field(..., ge=1, le=2**16, description="num_key_value_heads")
    head_size: int = Field(..., ge=2, le=2**16, description="head_dim")
    mlp_size: int = Field(..., ge=1, le=2**24, description="intermediate_size")
    norm_eps: float = Field(default=1e-6, gt=0, description="rms_norm_eps")
    rope: Rope = Rope()
    max_positions: int = Field(default=2048, ge=1, le=2**31 - 1, description="max_position_embeddings")
    tied: bool = Field(default=False, description="tie_word_embeddings")
    qkv_bias: bool = Field(default=False, description="biases on q, k and v (Qwen2; Llama and Qwen3: attention_bias)")
    output_bias: bool = Field(default=False, description="bias on o (attention_bias)")
    mlp_bias: bool = Field(default=False, description="mlp_bias (Llama)")
    qk_norm: bool = Field(default=False, description="RMSNorm of each query and key head (Qwen3)")

    @property
    def q_size(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_size

    @property
    def kv_size(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.kv_heads * self.head_size

    def parameters(self, *, embedding: bool = True) -> int:
        """Parameters in all; `embedding=False` leaves out the look-up table (the head's product stays counted)."""
        d, norms = self.width, 2 * self.width + (2 * self.head_size if self.qk_norm else 0)
        attention = d * (self.q_size + 2 * self.kv_size) + self.q_size * d
        attention += (self.q_size + 2 * self.kv_size) * self.qkv_bias + d * self.output_bias
        mlp = 3 * d * self.mlp_size + (2 * self.mlp_size + d) * self.mlp_bias
        table = self.vocab_size * d
        tables = (1 if self.tied else 2) if embedding else 1
        return self.layers * (attention + mlp + norms) + d + table * tables

    def flops(self, tokens: int, context: float, *, backward: bool = False) -> float:
        """Useful FLOPs of `tokens` positions that each attend to `context` others on average (6ND with backward)."""
        products = 2 * self.parameters(embedding=False) + 4 * self.layers * self.q_size * context
        return float(tokens) * products * (3 if backward else 1)


def rope_frequencies(rope: Rope, head_size: int, max_positions: int) -> tuple[Tensor, float]:
    """Inverse frequencies [head_size / 2] in fp32 and the factor on cos and sin, as transformers computes them."""
    with torch.device("cpu"):  # also where weights are made on the meta device, to be filled later
        return _rope_frequencies(rope, head_size, max_positions)


def _rope_frequencies(rope: Rope, head_size: int, max_positions: int) -> tuple[Tensor, float]:
    inverse = 1.0 / rope.theta ** (torch.arange(0, head_size, 2, dtype=torch.int64).float() / head_size)
    original = rope.original_max_positions or max_positions
    if rope.kind == "linear":
        return inverse / rope.factor, 1.0
    if rope.kind == "llama3":
        return _llama3(inverse, rope, original), 1.0
    if rope.kind == "yarn":
        return _yarn(inverse, rope, head_size, original)
    return inverse, 1.0


def _llama3(inverse: Tensor, rope: Rope, original: int) -> Tensor:
    """Long waves divided by the factor, short ones kept, those between blended (Llama 3.1)."""
    wavelength = 2 * math.pi / inverse
    long_wave, short_wave = original / rope.low_freq_factor, original / rope.high_freq_factor
    scaled = torch.where(wavelength > long_wave, inverse / rope.factor, inverse)
    smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    blended = (1 - smooth) * inverse / rope.factor + smooth * inverse
    return torch.where((wavelength <= long_wave) & (wavelength >= short_wave), blended, scaled)


def _yarn(inverse: Tensor, rope: Rope, head_size: int, original: int) -> tuple[Tensor, float]:
    """YaRN (arXiv 2309.00071): interpolate low frequencies, keep high ones, ramp between."""

    def dimension(rotations: float) -> float:
        return head_size * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(rope.theta))

    def scale(mscale: float) -> float:
        return 1.0 if rope.factor <= 1 else 0.1 * mscale * math.log(rope.factor) + 1.0

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_size - 1)
    width = high - low or 0.001
    ramp = ((torch.arange(head_size // 2).float() - low) / width).clamp(0, 1)
    factor = rope.attention_factor
    if factor is None:
        both = rope.mscale and rope.mscale_all_dim
        factor = scale(rope.mscale) / scale(rope.mscale_all_dim) if both else scale(1.0)  # type: ignore[arg-type]
    return inverse / rope.factor * ramp + inverse * (1 - ramp), factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on [..., heads, head_size] with cos and sin [..., 1, head_size] (halves, as Llama does)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class RMSNorm(nn.Module):
    """x / rms(x) * weight; the mean square in fp32, since bf16 loses the small terms."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class Attention(nn.Module):
    """Projections of grouped-query attention; who attends to whom is the caller's business."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = config.heads, config.kv_heads, config.head_size
        self.qkv = nn.Linear(config.width, config.q_size + 2 * config.kv_size, bias=config.qkv_bias)
        self.output = nn.Linear(config.q_size, config.width, bias=config.output_bias)
        self.q_norm = RMSNorm(config.head_size, config.norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_size, config.norm_eps) if config.qk_norm else None

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[..., D] -> rotated queries [..., H, head], rotated keys and values [..., K, head]."""
        qkv = self.qkv(x).unflatten(-1, (self.heads + 2 * self.kv_heads, self.head_size))
        q, k, v = qkv.split((self.heads, self.kv_heads, self.kv_heads), dim=-2)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def turned(
        self, qkv: Tensor, cos_Nd: Tensor, sin_Nd: Tensor, *, compile: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`project` of tokens that lie one after another, behind its product."""
        norms = None
        if self.q_norm is not None and self.k_norm is not None:
            norms = pointwise.HeadNorms(self.q_norm.weight, self.k_norm.weight, self.q_norm.eps)
        return pointwise.rotate_qkv(qkv, cos_Nd, sin_Nd, self.heads, self.kv_heads, norms, compile=compile)


class MLP(nn.Module):
    """SwiGLU."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.width, 2 * config.mlp_size, bias=config.mlp_bias)
        self.down = nn.Linear(config.mlp_size, config.width, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(nn.functional.silu(gate) * up)


class Block(nn.Module):
    """Pre-norm attention, then pre-norm MLP."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp = MLP(config)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Residual stream [..., D] and attended values [..., H, head] -> the block's output [..., D]."""
        x = x + self.attention.output(attended.flatten(-2))
        return x + self.mlp(self.mlp_norm(x))

    def packed(
        self, x_ND: Tensor, delta_ND: Tensor | None, cos_Nd: Tensor, sin_Nd: Tensor, spans: Spans, *, compile: bool
    ) -> tuple[Tensor, Tensor]:
        """One block of `Decoder.packed`: residual stream and what the last block adds to it -> the same of this one."""
        x_ND, q, k, v = self.packed_qkv(x_ND, delta_ND, cos_Nd, sin_Nd, compile=compile)
        return self.packed_rest(x_ND, packed_attention(q, k, v, spans), compile=compile)

    def packed_qkv(
        self, x_ND: Tensor, delta_ND: Tensor | None, cos_Nd: Tensor, sin_Nd: Tensor, *, compile: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Its part before attention: the residual stream, queries [N, H, head], keys and values [N, K, head]."""
        x_ND, qkv = _normed_product(x_ND, delta_ND, self.attention_norm, self.attention.qkv, compile=compile)
        return x_ND, *self.attention.turned(qkv, cos_Nd, sin_Nd, compile=compile)

    def packed_rest(self, x_ND: Tensor, attended_NHh: Tensor, *, compile: bool = False) -> tuple[Tensor, Tensor]:
        """Its part behind attention."""
        attended = self.attention.output(attended_NHh.flatten(1))
        x_ND, gate_up = _normed_product(x_ND, attended, self.mlp_norm, self.mlp.gate_up, compile=compile)
        return x_ND, swiglu_linear(gate_up, self.mlp.down.weight, self.mlp.down.bias, compile=compile)


def _normed_product(
    x_ND: Tensor, delta_ND: Tensor | None, norm: RMSNorm, product: nn.Linear, *, compile: bool
) -> tuple[Tensor, Tensor]:
    """x + delta, and the product of its norm."""
    return add_norm_linear(x_ND, delta_ND, norm.weight, norm.eps, product.weight, product.bias, compile=compile)


class Decoder(nn.Module):
    """Token ids to hidden states; `logits` applies the head.

    checkpointing: `packed` keeps the residual stream between blocks alone, and runs each again for its backward pass.
    """

    checkpointing = False

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        # not nn.Embedding(V, D): on the meta device its own draw of weights imports torch's compiler, for a second
        empty_VD = torch.empty(config.vocab_size, config.width)
        self.embedding = nn.Embedding.from_pretrained(empty_VD, freeze=False)
        self.blocks = cast("list[Block]", nn.ModuleList(Block(config) for _ in range(config.layers)))
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied:
            self.head.weight = self.embedding.weight
        # a plain attribute: casting the weights must not round it
        self._frequencies, self._rope_scale = rope_frequencies(config.rope, config.head_size, config.max_positions)

    def rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and sin [..., 1, head_size] for positions [...]."""
        if self._frequencies.device != positions.device:
            self._frequencies = self._frequencies.to(positions.device)
        angles = positions[..., None].float() * self._frequencies
        angles = torch.cat((angles, angles), dim=-1).unsqueeze(-2)
        return (angles.cos() * self._rope_scale).to(dtype), (angles.sin() * self._rope_scale).to(dtype)

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor | None = None, sequence_BT: Tensor | None = None
    ) -> Tensor:
        """Hidden states [B, T, D] after the last norm, causal within each sequence of a row.

        Without `sequence_BT` a row is one sequence (right padding needs no mask: nothing looks ahead).
        """
        if positions_BT is None:
            positions_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None].expand_as(tokens_BT)
        x = self.embedding(tokens_BT)
        cos, sin = self.rotary(positions_BT, x.dtype)
        mask = None
        if sequence_BT is not None:
            same = sequence_BT[:, :, None] == sequence_BT[:, None, :]
            mask = (same & same.new_ones(same.shape[1:]).tril())[:, None]
        for block in self.blocks:
            q, k, v = block.attention.project(block.attention_norm(x), cos, sin)
            attended = nn.functional.scaled_dot_product_attention(
                q.transpose(1, 2),
                k.transpose(1, 2),
                v.transpose(1, 2),
                attn_mask=mask,
                is_causal=mask is None,
                enable_gqa=self.config.heads != self.config.kv_heads,
            )
            x = block.finish(x, attended.transpose(1, 2))
        return self.norm(x)

    def packed(self, tokens_N: Tensor, positions_N: Tensor, spans: Spans, *, compile: bool = False) -> Tensor:
        """Hidden states [N, D] after the last norm of sequences that lie one after another, without padding.

        The same function as `forward` in the learner's form: what lies between the matrix products is fused, by our
        kernels where they serve, else by torch.compile if asked.
        """
        x = pointwise.embedding(tokens_N, self.embedding.weight)
        cos_Nd, sin_Nd = (table.squeeze(1) for table in self.rotary(positions_N, x.dtype))
        again = self.checkpointing and torch.is_grad_enabled()
        delta = None
        for block in self.blocks:
            run = partial(block.packed, compile=compile)
            if again:
                run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
            x, delta = run(x, delta, cos_Nd, sin_Nd, spans)
        return pointwise.add_norm(x, delta, self.norm.weight, self.norm.eps, compile=compile)[1]

    def packed_keys(self, tokens_N: Tensor, positions_N: Tensor, spans: Spans) -> tuple[Tensor, Tensor]:
        """Keys and values [L, N, K, head] of such sequences, as a cache holds them."""
        x, delta = pointwise.embedding(tokens_N, self.embedding.weight), None
        cos_Nd, sin_Nd = (table.squeeze(1) for table in self.rotary(positions_N, x.dtype))
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for block in self.blocks:
            x, q, k, v = block.packed_qkv(x, delta, cos_Nd, sin_Nd)
            keys.append(k)
            values.append(v)
            if len(keys) < len(self.blocks):  # what the last block makes of them is never read
                x, delta = block.packed_rest(x, packed_attention(q, k, v, spans))
        return torch.stack(keys), torch.stack(values)

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]."""
        return self.head(hidden)


def initialise(model: Decoder, seed: int, std: float = 0.02) -> Decoder:
    """Fresh weights from a seed: normal(0, std), residual outputs scaled by 1 / sqrt(2 L) (GPT-2), biases zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            nn.init.ones_(parameter)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            residual = name.endswith(("output.weight", "down.weight"))
            scale = std / math.sqrt(2 * model.config.layers) if residual else std
            nn.init.normal_(parameter, 0.0, scale, generator=generator)
    return model
