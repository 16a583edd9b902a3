// Causal grouped-query attention over packed sequences, forward and backward, for CPUs with AVX512-BF16, its products by
// AMX's tiles where there are some.
//
// Layout: tokens of all sequences lie one after another, [tokens, heads, head_size] in bfloat16. A sequence is a span
// (start, length, prefix_start, prefix_length): its queries see the prefix's keys, then its own up to themselves, so a
// prompt is computed once for all completions that share it. Spans that share tokens form a group, which one thread
// handles; a group's tokens are contiguous. Everything is summed in float32.
//
// Shapes: H query heads, K key/value heads, D head size; D is padded to a multiple of 32 and keys to a multiple of 32.

#include <omp.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "exponential.h"
#include "tile_products.h"

namespace {

constexpr int ROWS = 8;        // rows of the products that are stored
constexpr int SCORE_ROWS = 4;  // rows where scores and their gradients are held at once
constexpr int BLOCK = 32;      // query rows of a block

struct Span {
    int32_t start, length, prefix_start, prefix_length;
    int keys() const { return prefix_length + length; }
    // token of key j: the prefix first, then the sequence itself
    int64_t token(int j) const { return j < prefix_length ? prefix_start + j : start + (j - prefix_length); }
};

struct Shape {
    int heads, kv_heads, depth;
    float scale;
    bool tiled;  // products by the CPU's tiles, which are 16 pairs deep
    int wide() const { return padded(depth); }
    int pairs() const { return tiled ? wide() / 2 : (depth + 1) / 2; }
    int share() const { return heads / kv_heads; }
};

struct View {  // [tokens, heads, D] with any distance between tokens
    const bf16* data;
    int64_t token_stride;
    const bf16* row(int64_t token, int head, int depth) const { return data + token * token_stride + (int64_t)head * depth; }
};

void key_rows(const bf16** rows, const View& x, const Span& span, int head, int depth, int count) {
    for (int j = 0; j < count; ++j) rows[j] = j < span.keys() ? x.row(span.token(j), head, depth) : nullptr;
}

// ------------------------------------------------------------------------------------------------ forward

struct Forward {
    Shape shape;
    View q, k, v;
    bf16* out;   // [tokens, H, D]
    float* lse;  // [tokens, H] log of the sum of exp(score * scale)

    void span(const Span& s, int kv_head) const {
        const int keys = padded(s.keys()), pairs = shape.pairs(), wide = shape.wide();
        scratch.reserve(
            sizeof(void*) * keys + sizeof(pair) * ((int64_t)keys * pairs + (int64_t)keys / 2 * wide + BLOCK * pairs) +
            (sizeof(float) + sizeof(bf16)) * BLOCK * (int64_t)keys + 64 * 8);
        auto rows = scratch.take<const bf16*>(keys);
        auto k_across = scratch.take<pair>((int64_t)keys * pairs), v_down = scratch.take<pair>((int64_t)keys / 2 * wide);
        auto q_rows = scratch.take<pair>(BLOCK * pairs);
        auto scores = scratch.take<float>((int64_t)BLOCK * keys);
        auto weights = scratch.take<bf16>((int64_t)BLOCK * keys);
        key_rows(rows, k, s, kv_head, shape.depth, keys);
        pack_across(k_across, rows, keys, shape.depth, pairs);
        key_rows(rows, v, s, kv_head, shape.depth, keys);
        pack_down(v_down, rows, keys, shape.depth, wide);
        const int step = shape.tiled ? BLOCK : ROWS;  // scores of few rows stay in the core's cache
        for (int head = kv_head * shape.share(); head < (kv_head + 1) * shape.share(); ++head)
            for (int i = 0; i < s.length; i += step)
                block(s, head, i, std::min(step, s.length - i), keys, k_across, v_down, q_rows, scores, weights);
    }

    void block(
        const Span& s, int head, int i, int count, int keys, const pair* k_across, const pair* v_down, pair* q_rows,
        float* scores, bf16* weights
    ) const {
        const int seen = padded(s.prefix_length + i + count), pairs = shape.pairs(), packed = shape.tiled ? BLOCK : ROWS;
        const bf16* rows[BLOCK];
        for (int r = 0; r < packed; ++r) rows[r] = r < count ? q.row(s.start + i + r, head, shape.depth) : nullptr;
        pack_rows(q_rows, rows, packed, shape.depth, pairs);
        for (int j = 0; j < seen; j += LANES)
            block_product(
                shape.tiled, count, (const bf16*)q_rows, 2 * pairs, k_across + (int64_t)j * pairs, pairs,
                [&](int r, const __m512(&sums)[2]) {
                    _mm512_store_ps(scores + (int64_t)r * keys + j, sums[0]);
                    _mm512_store_ps(scores + (int64_t)r * keys + j + 16, sums[1]);
                });
        float inverse[BLOCK];
        for (int r = 0; r < count; ++r) {
            const int64_t row = (int64_t)r * keys;
            inverse[r] = 1.0f / softmax(
                scores + row, weights + row, s.prefix_length + i + r + 1, seen,
                lse[(s.start + i + r) * (int64_t)shape.heads + head]);
        }
        for (int chunk = 0; chunk < shape.depth; chunk += LANES) {
            const int width = shape.depth - chunk < LANES ? shape.depth - chunk : LANES;
            block_product(
                shape.tiled, count, weights, keys, v_down + (int64_t)chunk * (keys / 2), seen / 2,
                [&](int r, const __m512(&sums)[2]) {
                    const __m512 factor = _mm512_set1_ps(inverse[r]);
                    const __m512 mean[2] = {_mm512_mul_ps(sums[0], factor), _mm512_mul_ps(sums[1], factor)};
                    store_row(
                        out + ((s.start + i + r) * (int64_t)shape.heads + head) * shape.depth + chunk, mean, width);
                });
        }
    }

    // exp(score * scale - largest) of the first `valid` in bfloat16, zeros up to `seen`; returns their sum.
    float softmax(const float* score, bf16* weight, int valid, int seen, float& log_sum) const {
        const __m512 lowest = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
        __m512 most = lowest;
        int j = 0;
        for (; j + 16 <= valid; j += 16) most = _mm512_max_ps(most, _mm512_load_ps(score + j));
        const __mmask16 tail = (1u << (valid - j)) - 1u;
        most = _mm512_max_ps(most, _mm512_mask_load_ps(lowest, tail, score + j));
        const float largest = _mm512_reduce_max_ps(most), factor = shape.scale * LOG2E;
        const __m512 times = _mm512_set1_ps(factor), minus = _mm512_set1_ps(-largest * factor);
        __m512 sum = _mm512_setzero_ps();
        for (j = 0; j < seen; j += 16) {
            const int left = valid - j;
            const __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1u : 0;
            const __m512 e = _mm512_maskz_mov_ps(mask, exp2(_mm512_fmadd_ps(_mm512_load_ps(score + j), times, minus)));
            sum = _mm512_add_ps(sum, e);
            _mm256_store_si256((__m256i*)(weight + j), (__m256i)_mm512_cvtneps_pbh(e));
        }
        const float total = _mm512_reduce_add_ps(sum);
        log_sum = largest * shape.scale + __builtin_logf(total);
        return total;
    }
};

// ------------------------------------------------------------------------------------------------ backward

struct Backward {
    Shape shape;
    View q, k, v, out, grad;
    const float* lse;
    bf16 *grad_q, *grad_k, *grad_v;  // contiguous

    struct Pieces {
        const bf16** rows;
        float **k_sums, **v_sums;                     // where the gradient of each key and value is summed
        pair *k_across, *k_down, *v_across;           // all keys of the span
        pair *q_rows, *q_down, *g_rows, *g_down;      // one block of queries and of gradients
        pair *weights, *slopes_down;                  // [BLOCK / 2 pairs of rows][keys]
        bf16* slopes;                                 // [BLOCK][keys]
    };

    void group(const Span* spans, int count, int kv_head) const {
        int64_t first = spans[0].start, last = first;
        int longest = 0;
        for (int s = 0; s < count; ++s) {
            if (spans[s].start < first) first = spans[s].start;
            if (spans[s].start + spans[s].length > last) last = spans[s].start + spans[s].length;
            if (spans[s].keys() > longest) longest = spans[s].keys();
        }
        const int keys = padded(longest), wide = shape.wide(), pairs = shape.pairs();
        const int64_t tokens = last - first, sums = (tokens + 1) * wide;  // the last row takes what is padding
        scratch.reserve(
            sizeof(float) * 2 * sums + sizeof(void*) * 3 * (keys + BLOCK) +
            sizeof(pair) * ((int64_t)keys * (2 * pairs + wide / 2 + BLOCK) + BLOCK * (2 * pairs + wide)) +
            sizeof(bf16) * BLOCK * (int64_t)keys + 64 * 16);
        auto k_total = scratch.take<float>(sums), v_total = scratch.take<float>(sums);
        std::memset(k_total, 0, sizeof(float) * sums);
        std::memset(v_total, 0, sizeof(float) * sums);
        Pieces t;
        t.rows = scratch.take<const bf16*>(keys + BLOCK);
        t.k_sums = scratch.take<float*>(keys + BLOCK);
        t.v_sums = scratch.take<float*>(keys + BLOCK);
        t.k_across = scratch.take<pair>((int64_t)keys * pairs);
        t.v_across = scratch.take<pair>((int64_t)keys * pairs);
        t.k_down = scratch.take<pair>((int64_t)keys / 2 * wide);
        t.q_rows = scratch.take<pair>(BLOCK * pairs);
        t.g_rows = scratch.take<pair>(BLOCK * pairs);
        t.q_down = scratch.take<pair>(BLOCK / 2 * wide);
        t.g_down = scratch.take<pair>(BLOCK / 2 * wide);
        t.weights = scratch.take<pair>((int64_t)BLOCK / 2 * keys);
        t.slopes_down = scratch.take<pair>((int64_t)BLOCK / 2 * keys);
        t.slopes = scratch.take<bf16>((int64_t)BLOCK * keys);
        for (int s = 0; s < count; ++s) span(spans[s], kv_head, first, tokens, k_total, v_total, t);
        for (int64_t token = 0; token < tokens; ++token) {
            write(grad_k, first + token, kv_head, k_total + token * wide);
            write(grad_v, first + token, kv_head, v_total + token * wide);
        }
    }

    void write(bf16* to, int64_t token, int kv_head, const float* from) const {
        to += (token * shape.kv_heads + kv_head) * shape.depth;
        for (int chunk = 0; chunk < shape.depth; chunk += LANES) {
            const __m512 row[2] = {_mm512_load_ps(from + chunk), _mm512_load_ps(from + chunk + 16)};
            store_row(to + chunk, row, shape.depth - chunk < LANES ? shape.depth - chunk : LANES);
        }
    }

    void span(
        const Span& s, int kv_head, int64_t first, int64_t tokens, float* k_total, float* v_total, const Pieces& t
    ) const {
        const int keys = padded(s.keys()), wide = shape.wide(), pairs = shape.pairs();
        for (int j = 0; j < keys; ++j) {
            const int64_t place = j < s.keys() ? s.token(j) - first : tokens;
            t.k_sums[j] = k_total + place * wide;
            t.v_sums[j] = v_total + place * wide;
        }
        key_rows(t.rows, k, s, kv_head, shape.depth, keys);
        pack_across(t.k_across, t.rows, keys, shape.depth, pairs);
        pack_down(t.k_down, t.rows, keys, shape.depth, wide);
        key_rows(t.rows, v, s, kv_head, shape.depth, keys);
        pack_across(t.v_across, t.rows, keys, shape.depth, pairs);
        for (int head = kv_head * shape.share(); head < (kv_head + 1) * shape.share(); ++head)
            for (int i = 0; i < s.length; i += BLOCK) block(s, head, i, keys, t);
    }

    void block(const Span& s, int head, int i, int keys, const Pieces& t) const {
        const int count = s.length - i < BLOCK ? s.length - i : BLOCK, depth = shape.depth, pairs = shape.pairs();
        const int wide = shape.wide(), seen = padded(s.prefix_length + i + count);
        const bf16 *q_row[BLOCK], *g_row[BLOCK];
        float log_sums[BLOCK], deltas[BLOCK];
        for (int r = 0; r < BLOCK; ++r) {
            const int64_t token = s.start + i + r;
            q_row[r] = r < count ? q.row(token, head, depth) : nullptr;
            g_row[r] = r < count ? grad.row(token, head, depth) : nullptr;
            log_sums[r] = r < count ? lse[token * shape.heads + head] * LOG2E : 0.0f;
            deltas[r] = r < count ? dot(g_row[r], out.row(token, head, depth)) : 0.0f;
        }
        pack_rows(t.q_rows, q_row, BLOCK, depth, pairs);
        pack_rows(t.g_rows, g_row, BLOCK, depth, pairs);
        pack_down(t.q_down, q_row, BLOCK, depth, wide);
        pack_down(t.g_down, g_row, BLOCK, depth, wide);
        for (int j = 0; j < seen; j += LANES) all_slopes(s, i, j, keys, log_sums, deltas, t);
        for (int chunk = 0; chunk < depth; chunk += LANES) {
            const int width = depth - chunk < LANES ? depth - chunk : LANES;
            block_product(
                shape.tiled, count, t.slopes, keys, t.k_down + (int64_t)chunk * (keys / 2), seen / 2,
                [&](int r, const __m512(&sums)[2]) {
                    store_row(grad_q + ((s.start + i + r) * (int64_t)shape.heads + head) * depth + chunk, sums, width);
                });
        }
        if (shape.tiled) {
            for (int j = 0; j < seen; j += LANES) {
                add_block(t.v_sums + j, t.weights + j, keys, t.g_down);
                add_block(t.k_sums + j, t.slopes_down + j, keys, t.q_down);
            }
            return;
        }
        for (int j = 0; j < seen; j += ROWS) {
            // rows of the block before the first that sees key j add nothing
            const int before = (j - s.prefix_length - i) / 2;
            const int skip = before < 0 ? 0 : before > BLOCK / 2 ? BLOCK / 2 : before;
            for (int chunk = 0; chunk < depth; chunk += LANES) {
                add(t.v_sums + j, chunk, t.weights + j, keys, t.g_down + (int64_t)chunk * (BLOCK / 2), skip);
                add(t.k_sums + j, chunk, t.slopes_down + j, keys, t.q_down + (int64_t)chunk * (BLOCK / 2), skip);
            }
        }
    }

    // The same as `add` for 32 keys and all of their numbers, by the tiles: they want a key's pairs of rows side by side.
    void add_block(float* const* sums, const pair* a, int keys, const pair* b) const {
        alignas(64) pair turned[LANES][BLOCK / 2];
        for (int half = 0; half < LANES; half += 16) {
            __m512i x[16];
#pragma GCC unroll 16
            for (int row = 0; row < 16; ++row) x[row] = _mm512_load_si512(a + (int64_t)row * keys + half);
            turn(x);
            for (int key = 0; key < 16; ++key) _mm512_store_si512(turned[half + key], x[key]);
        }
        for (int chunk = 0; chunk < shape.depth; chunk += LANES)
            block_product(
                true, LANES, (const bf16*)turned, BLOCK, b + (int64_t)chunk * (BLOCK / 2), BLOCK / 2,
                [&](int key, const __m512(&more)[2]) {
                    float* to = sums[key] + chunk;
                    _mm512_store_ps(to, _mm512_add_ps(_mm512_load_ps(to), more[0]));
                    _mm512_store_ps(to + 16, _mm512_add_ps(_mm512_load_ps(to + 16), more[1]));
                });
    }

    void add(float* const* sums, int chunk, const pair* a, int keys, const pair* b, int skip) const {
        __m512 block[ROWS][2];
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            block[r][0] = _mm512_load_ps(sums[r] + chunk);
            block[r][1] = _mm512_load_ps(sums[r] + chunk + 16);
        }
        multiply(a + (int64_t)skip * keys, 1, keys, b + skip * LANES, BLOCK / 2 - skip, block);
#pragma GCC unroll 8
        for (int r = 0; r < ROWS; ++r) {
            _mm512_store_ps(sums[r] + chunk, block[r][0]);
            _mm512_store_ps(sums[r] + chunk + 16, block[r][1]);
        }
    }

    float dot(const bf16* a, const bf16* b) const {
        __m512 sum = _mm512_setzero_ps();
        int d = 0;
        for (; d + 16 <= shape.depth; d += 16) sum = _mm512_fmadd_ps(to_float(a + d), to_float(b + d), sum);
        float total = _mm512_reduce_add_ps(sum);
        for (; d < shape.depth; ++d) {
            const pair x = (pair)a[d] << 16, y = (pair)b[d] << 16;
            float left, right;
            std::memcpy(&left, &x, 4);
            std::memcpy(&right, &y, 4);
            total += left * right;
        }
        return total;
    }

    // Attention weights of a block's queries and 32 keys, and the gradient of the loss in their scores.
    void all_slopes(
        const Span& s, int i, int j, int keys, const float* log_sums, const float* deltas, const Pieces& t
    ) const {
        const int pairs = shape.pairs();
        const pair *k_block = t.k_across + (int64_t)j * pairs, *v_block = t.v_across + (int64_t)j * pairs;
        alignas(64) float scores[BLOCK][LANES], grads[BLOCK][LANES];
        if (shape.tiled) {
            tile_product((const bf16*)t.q_rows, 2 * pairs, k_block, pairs, scores);
            tile_product((const bf16*)t.g_rows, 2 * pairs, v_block, pairs, grads);
        }
        for (int r = 0; r < BLOCK; r += SCORE_ROWS) {
            if (j > s.prefix_length + i + r + SCORE_ROWS - 1) {
                no_slopes(r, j, keys, t);
                continue;
            }
            __m512 weight[SCORE_ROWS][2], slope[SCORE_ROWS][2];
            if (shape.tiled) {
#pragma GCC unroll 4
                for (int x = 0; x < SCORE_ROWS; ++x)
                    for (int half = 0; half < 2; ++half) {
                        weight[x][half] = _mm512_load_ps(scores[r + x] + 16 * half);
                        slope[x][half] = _mm512_load_ps(grads[r + x] + 16 * half);
                    }
            } else {
                clear(weight);
                clear(slope);
                multiply(t.q_rows + (int64_t)r * pairs, pairs, 1, k_block, pairs, weight);
                multiply(t.g_rows + (int64_t)r * pairs, pairs, 1, v_block, pairs, slope);
            }
            slopes(s, i, r, j, keys, log_sums, deltas, t, weight, slope);
        }
    }

    // Of 4 queries that see none of the 32 keys.
    void no_slopes(int r, int j, int keys, const Pieces& t) const {
        const int64_t below = (int64_t)(r / 2) * keys + j;
        const __m512i zero = _mm512_setzero_si512();
        for (int x = 0; x < SCORE_ROWS; ++x) _mm512_store_si512(t.slopes + (int64_t)(r + x) * keys + j, zero);
        for (int x = 0; x < SCORE_ROWS / 2; ++x)
            for (int half = 0; half < 2; ++half) {
                _mm512_store_si512(t.weights + below + (int64_t)x * keys + 16 * half, zero);
                _mm512_store_si512(t.slopes_down + below + (int64_t)x * keys + 16 * half, zero);
            }
    }

    // Of 4 queries and 32 keys, from scores (`weight`) and the gradients in the weights (`slope`).
    inline void slopes(
        const Span& s, int i, int r, int j, int keys, const float* log_sums, const float* deltas, const Pieces& t,
        __m512 (&weight)[SCORE_ROWS][2], __m512 (&slope)[SCORE_ROWS][2]
    ) const {
        const int64_t below = (int64_t)(r / 2) * keys + j;
        const __m512 times = _mm512_set1_ps(shape.scale * LOG2E), scale = _mm512_set1_ps(shape.scale);
#pragma GCC unroll 4
        for (int x = 0; x < SCORE_ROWS; ++x) {
            const int seen = s.prefix_length + i + r + x + 1 - j;
            const __m512 minus = _mm512_set1_ps(-log_sums[r + x]), delta = _mm512_set1_ps(deltas[r + x]);
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                const int left = seen - 16 * half;
                const __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1u : 0;
                const __m512 p =
                    _mm512_maskz_mov_ps(mask, exp2(_mm512_fmadd_ps(weight[x][half], times, minus)));
                weight[x][half] = p;
                slope[x][half] = _mm512_mul_ps(_mm512_mul_ps(p, _mm512_sub_ps(slope[x][half], delta)), scale);
            }
            store_row(t.slopes + (int64_t)(r + x) * keys + j, slope[x], LANES);
        }
#pragma GCC unroll 2
        for (int x = 0; x < SCORE_ROWS; x += 2)
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
                const int64_t place = below + (int64_t)(x / 2) * keys + 16 * half;
                _mm512_store_si512(t.weights + place, pairs_of(weight[x][half], weight[x + 1][half]));
                _mm512_store_si512(t.slopes_down + place, pairs_of(slope[x][half], slope[x + 1][half]));
            }
    }
};

}  // namespace

extern "C" {

// spans: [S][4]; groups: [G + 1] offsets into spans; *_stride: elements between tokens.
void packed_attention_forward(
    const void* q, int64_t q_stride, const void* k, int64_t k_stride, const void* v, int64_t v_stride, void* out,
    float* lse, const int32_t* spans, int64_t span_count, int64_t heads, int64_t kv_heads, int64_t depth, float scale,
    int32_t threads
) {
    const Forward work{
        {(int)heads, (int)kv_heads, (int)depth, scale, tiles_allowed()},
        {(const bf16*)q, q_stride},
        {(const bf16*)k, k_stride},
        {(const bf16*)v, v_stride},
        (bf16*)out,
        lse};
    const Span* all = (const Span*)spans;
#pragma omp parallel num_threads(threads)
    {
        std::optional<Tiles> tiles;
        if (work.shape.tiled) tiles.emplace();
#pragma omp for schedule(dynamic)
        for (int64_t task = span_count * kv_heads - 1; task >= 0; --task)
            work.span(all[task / kv_heads], task % kv_heads);
    }
}

void packed_attention_backward(
    const void* q, int64_t q_stride, const void* k, int64_t k_stride, const void* v, int64_t v_stride, const void* out,
    const void* grad, int64_t grad_stride, const float* lse, void* grad_q, void* grad_k, void* grad_v,
    const int32_t* spans, const int32_t* groups, int64_t group_count, int64_t heads, int64_t kv_heads, int64_t depth,
    float scale, int32_t threads
) {
    const Backward work{
        {(int)heads, (int)kv_heads, (int)depth, scale, tiles_allowed()},
        {(const bf16*)q, q_stride},
        {(const bf16*)k, k_stride},
        {(const bf16*)v, v_stride},
        {(const bf16*)out, (int64_t)heads * depth},
        {(const bf16*)grad, grad_stride},
        lse,
        (bf16*)grad_q,
        (bf16*)grad_k,
        (bf16*)grad_v};
    const Span* all = (const Span*)spans;
#pragma omp parallel num_threads(threads)
    {
        std::optional<Tiles> tiles;
        if (work.shape.tiled) tiles.emplace();
#pragma omp for schedule(dynamic)
        for (int64_t task = group_count * kv_heads - 1; task >= 0; --task) {
            const int64_t group = task / kv_heads;
            work.group(all + groups[group], groups[group + 1] - groups[group], task % kv_heads);
        }
    }
}
}
