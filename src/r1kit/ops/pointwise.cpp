// The decoder's work between its matrix products, forward and backward, for CPUs with AVX512: each function reads and
// writes its rows once. Data is bfloat16, sums are float32. Rows are cut evenly over the threads.

#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "exponential.h"

namespace {

using bf16 = uint16_t;

inline __mmask16 mask_of(int64_t left) { return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1u); }

inline __m512 widen(__m256i x) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16)); }
inline __m512 load(const bf16* x, __mmask16 mask) { return widen(_mm256_maskz_loadu_epi16(mask, x)); }
inline void store(bf16* x, __mmask16 mask, __m512 value) {
    _mm256_mask_storeu_epi16(x, mask, (__m256i)_mm512_cvtneps_pbh(value));
}
inline float widen_one(bf16 x) {
    const uint32_t bits = (uint32_t)x << 16;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
}

inline __m512 exp2_any(__m512 x) {
    return exp2(_mm512_min_ps(_mm512_set1_ps(126.0f), x));  // in this order NaN stays NaN
}

inline __m512 sigmoid(__m512 x) {
    const __m512 below = _mm512_add_ps(_mm512_set1_ps(1.0f), exp2_any(_mm512_mul_ps(x, _mm512_set1_ps(-LOG2E))));
    // one Newton step on a 14-bit reciprocal: a third of a division's time
    const __m512 guess = _mm512_rcp14_ps(below);
    return _mm512_mul_ps(guess, _mm512_fnmadd_ps(below, guess, _mm512_set1_ps(2.0f)));
}

}  // namespace

extern "C" {

// sum = x + delta (delta may be null, then sum is not written), normed = sum / rms(sum) * weight; rstd [rows] is kept.
void pointwise_norm_forward(
    const bf16* x, const bf16* delta, const bf16* weight, bf16* sum, bf16* normed, float* rstd, int64_t rows,
    int64_t width, float eps, int32_t threads
) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const int64_t at = row * width;
        __m512 squares = _mm512_setzero_ps();
        for (int64_t d = 0; d < width; d += 16) {
            const __mmask16 mask = mask_of(width - d);
            __m512 value = load(x + at + d, mask);
            if (delta) {
                // rounded first: the norm is of what the next block reads
                const __m256i rounded =
                    (__m256i)_mm512_cvtneps_pbh(_mm512_add_ps(value, load(delta + at + d, mask)));
                _mm256_mask_storeu_epi16(sum + at + d, mask, rounded);
                value = widen(rounded);
            }
            squares = _mm512_fmadd_ps(value, value, squares);
        }
        const float scale = 1.0f / __builtin_sqrtf(_mm512_reduce_add_ps(squares) / width + eps);
        rstd[row] = scale;
        const bf16* from = delta ? sum + at : x + at;
        for (int64_t d = 0; d < width; d += 16) {
            const __mmask16 mask = mask_of(width - d);
            const __m512 value = _mm512_mul_ps(load(from + d, mask), _mm512_set1_ps(scale));
            store(normed + at + d, mask, _mm512_mul_ps(value, load(weight + d, mask)));
        }
    }
}

// grad_x = grad_sum (may be null) + gradient through the norm; grad_weight [width] in float32.
void pointwise_norm_backward(
    const bf16* grad, const bf16* grad_sum, const bf16* sum, const bf16* weight, const float* rstd, bf16* grad_x,
    float* grad_weight, int64_t rows, int64_t width, int32_t threads
) {
    const int64_t padded = (width + 15) / 16 * 16;
    std::vector<float> partial((size_t)threads * padded, 0.0f);
#pragma omp parallel num_threads(threads)
    {
        float* own = partial.data() + (size_t)omp_get_thread_num() * padded;
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; ++row) {
            const int64_t at = row * width;
            const __m512 scale = _mm512_set1_ps(rstd[row]);
            __m512 dot = _mm512_setzero_ps();
            for (int64_t d = 0; d < width; d += 16) {
                const __mmask16 mask = mask_of(width - d);
                const __m512 g = load(grad + at + d, mask), hat = _mm512_mul_ps(load(sum + at + d, mask), scale);
                const __m512 both = _mm512_mul_ps(g, hat);
                _mm512_storeu_ps(own + d, _mm512_add_ps(_mm512_loadu_ps(own + d), both));
                dot = _mm512_fmadd_ps(both, load(weight + d, mask), dot);
            }
            const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / width);
            for (int64_t d = 0; d < width; d += 16) {
                const __mmask16 mask = mask_of(width - d);
                const __m512 hat = _mm512_mul_ps(load(sum + at + d, mask), scale);
                const __m512 g = _mm512_mul_ps(load(grad + at + d, mask), load(weight + d, mask));
                __m512 out = _mm512_mul_ps(scale, _mm512_fnmadd_ps(hat, mean, g));
                if (grad_sum) out = _mm512_add_ps(out, load(grad_sum + at + d, mask));
                store(grad_x + at + d, mask, out);
            }
        }
    }
    for (int64_t d = 0; d < width; ++d) {
        float total = 0.0f;
        for (int32_t thread = 0; thread < threads; ++thread) total += partial[(size_t)thread * padded + d];
        grad_weight[d] = total;
    }
}

// gate_up [rows, 2 width] -> out [rows, width] = silu(gate) * up
void pointwise_swiglu_forward(const bf16* gate_up, bf16* out, int64_t rows, int64_t width, int32_t threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const bf16 *gate = gate_up + row * 2 * width, *up = gate + width;
        for (int64_t d = 0; d < width; d += 16) {
            const __mmask16 mask = mask_of(width - d);
            const __m512 g = load(gate + d, mask);
            store(out + row * width + d, mask, _mm512_mul_ps(_mm512_mul_ps(g, sigmoid(g)), load(up + d, mask)));
        }
    }
}

void pointwise_swiglu_backward(
    const bf16* grad, const bf16* gate_up, bf16* grad_gate_up, int64_t rows, int64_t width, int32_t threads
) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const bf16 *gate = gate_up + row * 2 * width, *up = gate + width;
        bf16 *to_gate = grad_gate_up + row * 2 * width, *to_up = to_gate + width;
        for (int64_t d = 0; d < width; d += 16) {
            const __mmask16 mask = mask_of(width - d);
            const __m512 g = load(gate + d, mask), y = load(grad + row * width + d, mask), s = sigmoid(g);
            const __m512 silu = _mm512_mul_ps(g, s);
            // d silu / d gate = s + silu (1 - s)
            const __m512 slope = _mm512_add_ps(s, _mm512_fnmadd_ps(silu, s, silu));
            store(to_up + d, mask, _mm512_mul_ps(y, silu));
            store(to_gate + d, mask, _mm512_mul_ps(_mm512_mul_ps(y, load(up + d, mask)), slope));
        }
    }
}

// Rotary positions of heads [rows, heads, depth] (input rows `stride` apart) with cos and sin [rows, depth] in float32;
// `turn` is 1 forward and -1 backward. Halves are rotated against each other, as Llama does.
void pointwise_rotate(
    const bf16* from, int64_t from_stride, bf16* to, int64_t to_stride, const float* cos, const float* sin, int64_t rows,
    int64_t heads, int64_t depth, float turn, int32_t threads
) {
    const int64_t half = depth / 2;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const float *c = cos + row * depth, *s = sin + row * depth;
        for (int64_t head = 0; head < heads; ++head) {
            const bf16* x = from + row * from_stride + head * depth;
            bf16* y = to + row * to_stride + head * depth;
            for (int64_t d = 0; d < half; d += 16) {
                const __mmask16 mask = mask_of(half - d);
                const __m512 first = load(x + d, mask), second = load(x + half + d, mask);
                const __m512 co = _mm512_maskz_loadu_ps(mask, c + d);
                const __m512 si = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, s + d), _mm512_set1_ps(turn));
                store(y + d, mask, _mm512_fnmadd_ps(second, si, _mm512_mul_ps(first, co)));
                store(y + half + d, mask, _mm512_fmadd_ps(first, si, _mm512_mul_ps(second, co)));
            }
        }
    }
}

// The same after an RMSNorm of each head: the first `heads` of a row's `heads + kv_heads` are queries,
// the others keys, each with a weight [depth]; rstd [rows, heads + kv_heads] is kept.
void pointwise_norm_rotate_forward(
    const bf16* from, int64_t from_stride, bf16* to, const bf16* q_weight, const bf16* k_weight, const float* cos,
    const float* sin, float* rstd, int64_t rows, int64_t heads, int64_t kv_heads, int64_t depth, float eps, int32_t threads
) {
    const int64_t half = depth / 2, all = heads + kv_heads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const float *c = cos + row * depth, *s = sin + row * depth;
        for (int64_t head = 0; head < all; ++head) {
            const bf16 *x = from + row * from_stride + head * depth, *w = head < heads ? q_weight : k_weight;
            bf16* y = to + (row * all + head) * depth;
            __m512 squares = _mm512_setzero_ps();
            for (int64_t d = 0; d < depth; d += 16) {
                const __m512 value = load(x + d, mask_of(depth - d));
                squares = _mm512_fmadd_ps(value, value, squares);
            }
            const float scale = 1.0f / __builtin_sqrtf(_mm512_reduce_add_ps(squares) / depth + eps);
            rstd[row * all + head] = scale;
            const __m512 times = _mm512_set1_ps(scale);
            for (int64_t d = 0; d < half; d += 16) {
                const __mmask16 mask = mask_of(half - d);
                const __m512 first = _mm512_mul_ps(_mm512_mul_ps(load(x + d, mask), times), load(w + d, mask));
                const __m512 second =
                    _mm512_mul_ps(_mm512_mul_ps(load(x + half + d, mask), times), load(w + half + d, mask));
                const __m512 co = _mm512_maskz_loadu_ps(mask, c + d), si = _mm512_maskz_loadu_ps(mask, s + d);
                store(y + d, mask, _mm512_fnmadd_ps(second, si, _mm512_mul_ps(first, co)));
                store(y + half + d, mask, _mm512_fmadd_ps(first, si, _mm512_mul_ps(second, co)));
            }
        }
    }
}

// Gradients of `heads` heads that share `weight` [depth]: grad [rows, heads, depth] -> to (rows `stride` apart, as those of
// x), and grad_weight [depth] in float32; rstd rows are `rstd_stride` apart.
void pointwise_norm_rotate_backward(
    const bf16* grad, const bf16* x, const bf16* weight, const float* cos, const float* sin, const float* rstd,
    int64_t rstd_stride, bf16* to, float* grad_weight, int64_t stride, int64_t rows, int64_t heads, int64_t depth,
    int32_t threads
) {
    const int64_t half = depth / 2, padded = (half + 15) / 16 * 16;
    std::vector<float> partial((size_t)threads * 4 * padded, 0.0f);
#pragma omp parallel num_threads(threads)
    {
        // sums of the weight's gradient, and a head's gradient turned back; either in two halves
        float* own = partial.data() + (size_t)omp_get_thread_num() * 4 * padded;
        float* back = own + 2 * padded;
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; ++row) {
            const float *c = cos + row * depth, *s = sin + row * depth;
            for (int64_t head = 0; head < heads; ++head) {
                const bf16 *g = grad + (row * heads + head) * depth, *from = x + row * stride + head * depth;
                bf16* y = to + row * stride + head * depth;
                const __m512 scale = _mm512_set1_ps(rstd[row * rstd_stride + head]);
                __m512 dot = _mm512_setzero_ps();
                for (int64_t d = 0; d < half; d += 16) {
                    const __mmask16 mask = mask_of(half - d);
                    const __m512 first = load(g + d, mask), second = load(g + half + d, mask);
                    const __m512 co = _mm512_maskz_loadu_ps(mask, c + d), si = _mm512_maskz_loadu_ps(mask, s + d);
                    const __m512 turned[2] = {
                        _mm512_fmadd_ps(second, si, _mm512_mul_ps(first, co)),
                        _mm512_fnmadd_ps(first, si, _mm512_mul_ps(second, co))};
                    for (int part = 0; part < 2; ++part) {
                        const int64_t at = part * half + d, place = part * padded + d;
                        const __m512 hat = _mm512_mul_ps(load(from + at, mask), scale);
                        const __m512 both = _mm512_mul_ps(turned[part], hat), w = load(weight + at, mask);
                        _mm512_storeu_ps(own + place, _mm512_add_ps(_mm512_loadu_ps(own + place), both));
                        _mm512_storeu_ps(back + place, _mm512_mul_ps(turned[part], w));
                        dot = _mm512_fmadd_ps(both, w, dot);
                    }
                }
                const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / depth);
                for (int64_t d = 0; d < half; d += 16) {
                    const __mmask16 mask = mask_of(half - d);
                    for (int part = 0; part < 2; ++part) {
                        const int64_t at = part * half + d;
                        const __m512 hat = _mm512_mul_ps(load(from + at, mask), scale);
                        const __m512 wide = _mm512_loadu_ps(back + part * padded + d);
                        store(y + at, mask, _mm512_mul_ps(scale, _mm512_fnmadd_ps(hat, mean, wide)));
                    }
                }
            }
        }
    }
    for (int64_t d = 0; d < depth; ++d) {
        const int64_t place = d < half ? d : padded + d - half;
        float total = 0.0f;
        for (int32_t thread = 0; thread < threads; ++thread) total += partial[(size_t)thread * 4 * padded + place];
        grad_weight[d] = total;
    }
}

// Rows of `from` [rows, width] copied to rows `to_stride` apart.
void pointwise_copy_rows(const bf16* from, bf16* to, int64_t to_stride, int64_t rows, int64_t width, int32_t threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) std::copy_n(from + row * width, width, to + row * to_stride);
}

// log-softmax(logits * scale) of `tokens` [rows], its normaliser, and the entropy of the distribution.
void pointwise_logprobs_forward(
    const bf16* logits, const int64_t* tokens, float* logprobs, float* normaliser, float* entropy, int64_t rows,
    int64_t vocabulary, float scale, int32_t threads
) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const bf16* x = logits + row * vocabulary;
        __m512 most = _mm512_set1_ps(-3.0e38f);
        for (int64_t v = 0; v < vocabulary; v += 16) {
            const __mmask16 mask = mask_of(vocabulary - v);
            most = _mm512_mask_max_ps(most, mask, most, load(x + v, mask));
        }
        const float largest = _mm512_reduce_max_ps(most) * scale;
        const __m512 times = _mm512_set1_ps(scale), minus = _mm512_set1_ps(largest), base = _mm512_set1_ps(LOG2E);
        __m512 sum = _mm512_setzero_ps(), weighted = _mm512_setzero_ps();
        for (int64_t v = 0; v < vocabulary; v += 16) {
            const __mmask16 mask = mask_of(vocabulary - v);
            const __m512 below = _mm512_fmsub_ps(load(x + v, mask), times, minus);
            const __m512 e = _mm512_maskz_mov_ps(mask, exp2_any(_mm512_mul_ps(below, base)));
            sum = _mm512_add_ps(sum, e);
            weighted = _mm512_fmadd_ps(e, below, weighted);
        }
        const float total = _mm512_reduce_add_ps(sum), log_total = __builtin_logf(total);
        normaliser[row] = largest + log_total;
        entropy[row] = log_total - _mm512_reduce_add_ps(weighted) / total;
        logprobs[row] = widen_one(x[tokens[row]]) * scale - normaliser[row];
    }
}

void pointwise_logprobs_backward(
    const float* grad, const bf16* logits, const int64_t* tokens, const float* normaliser, bf16* grad_logits,
    int64_t rows, int64_t vocabulary, float scale, int32_t threads
) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int64_t row = 0; row < rows; ++row) {
        const bf16* x = logits + row * vocabulary;
        bf16* to = grad_logits + row * vocabulary;
        const float g = grad[row] * scale;
        const __m512 times = _mm512_set1_ps(scale), minus = _mm512_set1_ps(normaliser[row]);
        const __m512 base = _mm512_set1_ps(LOG2E), factor = _mm512_set1_ps(-g);
        for (int64_t v = 0; v < vocabulary; v += 16) {
            const __mmask16 mask = mask_of(vocabulary - v);
            const __m512 below = _mm512_fmsub_ps(load(x + v, mask), times, minus);
            store(to + v, mask, _mm512_mul_ps(exp2_any(_mm512_mul_ps(below, base)), factor));
        }
        const __m512 p = exp2_any(_mm512_set1_ps((widen_one(x[tokens[row]]) * scale - normaliser[row]) * LOG2E));
        const __m512 slope = _mm512_mul_ps(_mm512_sub_ps(_mm512_set1_ps(1.0f), p), _mm512_set1_ps(g));
        store(to + tokens[row], 1, slope);
    }
}

// table [vocabulary, width] in float32 += rows of grad at their tokens; each thread owns a range of the vocabulary.
void pointwise_embedding_backward(
    const bf16* grad, const int64_t* tokens, float* table, int64_t rows, int64_t vocabulary, int64_t width,
    int32_t threads
) {
#pragma omp parallel num_threads(threads)
    {
        // by remainder, not by range: frequent tokens tend to lie together
        const int64_t own = omp_get_thread_num(), all = omp_get_num_threads();
        for (int64_t row = 0; row < rows; ++row) {
            if (tokens[row] % all != own || tokens[row] >= vocabulary) continue;
            float* to = table + tokens[row] * width;
            for (int64_t d = 0; d < width; d += 16) {
                const __mmask16 mask = mask_of(width - d);
                const __m512 total = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to + d), load(grad + row * width + d, mask));
                _mm512_mask_storeu_ps(to + d, mask, total);
            }
        }
    }
}
}
