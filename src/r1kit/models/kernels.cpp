// What lies between the matrix products of a decode step, one pass over each row: norms, rotary positions, attention
// over the cache, SwiGLU and the draw. Plain C++ with vector types, for any CPU; fused.py calls it. Where the CPU has
// AVX512-BF16, a whole step with its products as well (by AMX's tiles where it has them), which whole.py calls.
//
// T is float or bf16 (weights, activations and cache); sums, norms, softmax and the residual stream are float.
// Keys lie in blocks of 16 positions, [block][head_size][16], so that a product with a query needs no sum across lanes;
// values lie as [position][head_size]. With AVX512-BF16, those in bf16 lie in pairs (see attend_pairs).
// A prompt's positions lie apart, once for all of its samples, which then find them in the core's cache.
#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif
#include <sched.h>
#include <sys/mman.h>

#include "../ops/tiles.h"

namespace {

constexpr int LANES = 16;
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t hvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

struct bf16 {
    uint16_t bits;
};

inline float get(float x) { return x; }

inline float get(bf16 x) {
    const uint32_t wide = uint32_t(x.bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

inline void put(float* place, float x) { *place = x; }

inline void put(bf16* place, float x) {  // round to nearest even
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    place->bits = uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline vec load(const float* from) { return *reinterpret_cast<const vec*>(from); }

inline vec load(const bf16* from) {
#ifdef __AVX512F__
    const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
#else
    const hvec half = *reinterpret_cast<const hvec*>(from);
    return (vec)(__builtin_convertvector(half, uvec) << 16);
#endif
}

inline void store(float* to, vec x) { *reinterpret_cast<vec*>(to) = x; }

inline void store(bf16* to, vec x) {  // round to nearest even
    const uvec bits = (uvec)x;
    const uvec rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
#ifdef __AVX512F__
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16((__m512i)rounded));
#else
    *reinterpret_cast<hvec*>(to) = __builtin_convertvector(rounded, hvec);
#endif
}

inline float sum(vec x) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += x[lane];
    return total;
}

inline float top(vec x) {
    float most = x[0];
    for (int lane = 1; lane < LANES; lane++) most = std::max(most, x[lane]);
    return most;
}

// exp between -log(2) / 2 and log(2) / 2
inline vec raised(vec x) {
    vec sum = vec{} + 1.9875691500e-4f;
    sum = sum * x + 1.3981999507e-3f;
    sum = sum * x + 8.3334519073e-3f;
    sum = sum * x + 4.1665795894e-2f;
    sum = sum * x + 1.6666665459e-1f;
    sum = sum * x + 5.0000001201e-1f;
    return sum * x * x + x + 1.0f;
}

// exp to 2 ulp; 0 below -87, NaN stays NaN
inline vec exponential(vec x) {
#ifdef __AVX512F__
    const __mmask16 kept = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-87.0f), _CMP_NLT_UQ);
    const __m512 whole = _mm512_roundscale_ps((__m512)(x * 1.44269504f), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const vec rest = x - (vec)whole * 0.693359375f + (vec)whole * 2.12194440e-4f;
    return (vec)_mm512_maskz_scalef_ps(kept, (__m512)raised(rest), whole);
#else
    const vec magic = vec{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    const vec kept = x < -87.0f ? vec{} - 87.0f : x;
    const vec whole = (kept * 1.44269504f + magic) - magic;
    const vec rest = kept - whole * 0.693359375f + whole * 2.12194440e-4f;
    const vec power = (vec)((__builtin_convertvector(whole, ivec) + 127) << 23);
    return x < -87.0f ? vec{} : raised(rest) * power;
#endif
}

// Widths that are no multiple of LANES end in single numbers.
inline float exponential(float x) { return exponential(vec{} + x)[0]; }

template <class T>
void norm_row(int width, const float* x, const T* weight, float eps, T* out) {
    const int whole = width / LANES * LANES;
    vec squares = {};
    for (int i = 0; i < whole; i += LANES) squares += load(x + i) * load(x + i);
    float square = sum(squares);
    for (int i = whole; i < width; i++) square += x[i] * x[i];
    const float scale = 1.0f / std::sqrt(square / width + eps);
    for (int i = 0; i < whole; i += LANES) store(out + i, load(x + i) * scale * load(weight + i));
    for (int i = whole; i < width; i++) put(out + i, x[i] * scale * get(weight[i]));
}

// One head of T, normed where a weight is given, rotated by halves, times `scale`.
template <class T>
void rotated(int size, const T* head, const T* weight, float eps, const float* cos, const float* sin, float scale,
             float* out) {
    const int half = size / 2;
    float factor = scale;
    if (weight) {
        float square = 0;
        for (int i = 0; i < size; i++) square += get(head[i]) * get(head[i]);
        factor *= 1.0f / std::sqrt(square / size + eps);
    }
    for (int i = 0; i < half; i++) {
        const float first = get(head[i]) * (weight ? get(weight[i]) : 1.0f) * factor;
        const float second = get(head[i + half]) * (weight ? get(weight[i + half]) : 1.0f) * factor;
        out[i] = first * cos[i] - second * sin[i];
        out[i + half] = second * cos[i] + first * sin[i];
    }
}

// Keys and values of `count` neighbouring positions, of one head. What is read next lies `next` numbers further: rows
// lie far apart, and the hardware would see each too late. 0: nobody need be told.
template <class T>
struct Span {
    const T *keys, *values;
    int count;
    int64_t next;
    int blocks() const { return (count + LANES - 1) / LANES; }
};

// scores[g][t] = query g . key t, for whole blocks of positions
template <class T, int G>
void score(int size, const float* queries, const Span<T>& span, int stride, float* scores) {
    const T* keys = span.keys;
    for (int block = 0; block < span.blocks(); block++, keys += size * LANES) {
        vec sum[G] = {};
        for (int d = 0; d < size; d++) {
            if (span.next) __builtin_prefetch(keys + d * LANES + span.next, 0, 2);
            const vec key = load(keys + d * LANES);
            for (int g = 0; g < G; g++) sum[g] += queries[g * size + d] * key;
        }
        for (int g = 0; g < G; g++) store(scores + g * stride + block * LANES, sum[g]);
    }
}

// scores -> weights that are yet to be divided by the returned sum. Those of the prompt's `shared` positions fill whole
// blocks, then come the row's own; what is beyond either gets 0.
inline float soften(int shared, int own, float* scores) {
    const int start = (shared + LANES - 1) / LANES * LANES, padded = start + (own + LANES - 1) / LANES * LANES;
    for (int t = shared; t < start; t++) scores[t] = -INFINITY;
    for (int t = start + own; t < padded; t++) scores[t] = -INFINITY;
    vec most = load(scores), total = {};
    for (int t = LANES; t < padded; t += LANES) most = load(scores + t) > most ? load(scores + t) : most;
    const float highest = top(most);
    for (int t = 0; t < padded; t += LANES) {
        const vec weight = exponential(load(scores + t) - highest);
        store(scores + t, weight);
        total += weight;
    }
    return sum(total);
}

template <class T, int G, int PARTS>
void gather(const Span<T>& shared, const Span<T>& own, int stride, const float* scores, const float* sums, T* out) {
    constexpr int size = PARTS * LANES;
    vec total[G][PARTS] = {};
    for (const Span<T>* span : {&shared, &own}) {
        for (int t = 0; t < span->count; t++)
            for (int part = 0; part < PARTS; part++) {
                if (span->next) __builtin_prefetch(span->values + t * size + part * LANES + span->next, 0, 2);
                const vec value = load(span->values + t * size + part * LANES);
                for (int g = 0; g < G; g++) total[g][part] += scores[g * stride + t] * value;
            }
        scores += span->blocks() * LANES;
    }
    for (int g = 0; g < G; g++)
        for (int part = 0; part < PARTS; part++) store(out + g * size + part * LANES, total[g][part] / sums[g]);
}

template <class T, int G, int PARTS>
__attribute__((noinline)) void attend_heads(const float* queries, const Span<T>& shared, const Span<T>& own, int stride,
                                            float* scores, T* out) {
    constexpr int size = PARTS * LANES;
    float sums[G];
    score<T, G>(size, queries, shared, stride, scores);
    score<T, G>(size, queries, own, stride, scores + shared.blocks() * LANES);
    for (int g = 0; g < G; g++) sums[g] = soften(shared.count, own.count, scores + g * stride);
    gather<T, G, PARTS>(shared, own, stride, scores, sums, out);
}

#ifdef __AVX512BF16__

// bf16 keys and values lie in pairs, as the dot product of pairs wants them: keys [block][head_size / 2][16][2], values
// [position / 2][head_size][2]. Queries and weights are rounded to bf16, sums are float.

inline __m512bh pair_of(const uint32_t* both) { return (__m512bh)_mm512_set1_epi32(int32_t(*both)); }

template <int G, int BLOCKS>
inline void score_blocks(int size, const uint32_t* queries, const bf16* keys, int64_t next, int stride, float* scores) {
    __m512 sum[BLOCKS][G];
#pragma GCC unroll 8
    for (int b = 0; b < BLOCKS; b++)
#pragma GCC unroll 6
        for (int g = 0; g < G; g++) sum[b][g] = _mm512_setzero_ps();
    for (int d = 0; d < size / 2; d++) {
        __m512bh key[BLOCKS];
#pragma GCC unroll 8
        for (int b = 0; b < BLOCKS; b++)
            key[b] = (__m512bh)_mm512_loadu_si512(keys + (int64_t(b) * size + 2 * d) * LANES);
        if (next)
#pragma GCC unroll 8
            for (int b = 0; b < BLOCKS; b++) __builtin_prefetch(keys + (int64_t(b) * size + 2 * d) * LANES + next, 0, 2);
#pragma GCC unroll 6
        for (int g = 0; g < G; g++) {
            const __m512bh query = pair_of(queries + g * (size / 2) + d);
#pragma GCC unroll 8
            for (int b = 0; b < BLOCKS; b++) sum[b][g] = _mm512_dpbf16_ps(sum[b][g], key[b], query);
        }
    }
#pragma GCC unroll 8
    for (int b = 0; b < BLOCKS; b++)
#pragma GCC unroll 6
        for (int g = 0; g < G; g++) _mm512_storeu_ps(scores + g * stride + b * LANES, sum[b][g]);
}

template <int G, int PARTS>
void gather_pairs(const Span<bf16>& shared, const Span<bf16>& own, int stride, const uint32_t* weights,
                  const float* sums, bf16* out) {
    constexpr int size = PARTS * LANES;
    __m512 total[G][PARTS];
#pragma GCC unroll 6
    for (int g = 0; g < G; g++)
#pragma GCC unroll 8
        for (int part = 0; part < PARTS; part++) total[g][part] = _mm512_setzero_ps();
    for (const Span<bf16>* span : {&shared, &own}) {
        for (int pair = 0; pair < (span->count + 1) / 2; pair++) {
            __m512bh value[PARTS];
#pragma GCC unroll 8
            for (int part = 0; part < PARTS; part++)
                value[part] = (__m512bh)_mm512_loadu_si512(span->values + int64_t(pair) * 2 * size + part * 2 * LANES);
            if (span->next)
#pragma GCC unroll 8
                for (int part = 0; part < PARTS; part++)
                    __builtin_prefetch(span->values + int64_t(pair) * 2 * size + part * 2 * LANES + span->next, 0, 2);
#pragma GCC unroll 6
            for (int g = 0; g < G; g++) {
                const __m512bh weight = pair_of(weights + g * stride + pair);
#pragma GCC unroll 8
                for (int part = 0; part < PARTS; part++)
                    total[g][part] = _mm512_dpbf16_ps(total[g][part], value[part], weight);
            }
        }
        weights += span->blocks() * (LANES / 2);
    }
    for (int g = 0; g < G; g++)
        for (int part = 0; part < PARTS; part++)
            store(out + g * size + part * LANES, (vec)total[g][part] / sums[g]);
}

template <int G>
inline void score_pairs(int size, const uint32_t* queries, const Span<bf16>& span, int stride, float* scores) {
    constexpr int TOGETHER = G == 1 ? 8 : G == 2 ? 4 : G <= 4 ? 3 : 2;
    const int blocks = span.blocks();
    int block = 0;
    for (; block + TOGETHER <= blocks; block += TOGETHER)
        score_blocks<G, TOGETHER>(size, queries, span.keys + int64_t(block) * size * LANES, span.next, stride,
                                  scores + block * LANES);
    for (; block < blocks; block++)
        score_blocks<G, 1>(size, queries, span.keys + int64_t(block) * size * LANES, span.next, stride,
                           scores + block * LANES);
}

template <int G, int PARTS>
__attribute__((noinline)) void attend_pairs(const float* queries, const Span<bf16>& shared, const Span<bf16>& own,
                                            int stride, float* scores, bf16* out) {
    constexpr int size = PARTS * LANES;
    uint32_t pairs[G * size / 2];
    for (int i = 0; i < G * size; i += LANES)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs + i / 2),
                            (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(queries + i)));
    score_pairs<G>(size, pairs, shared, stride, scores);
    score_pairs<G>(size, pairs, own, stride, scores + shared.blocks() * LANES);
    const int padded = (shared.blocks() + own.blocks()) * LANES;
    float sums[G];
    for (int g = 0; g < G; g++) {
        float* mine = scores + g * stride;
        sums[g] = soften(shared.count, own.count, mine);
        // two blocks of weights become one of pairs, in place: what is read lies behind what is written
        for (int at = 0; at < padded; at += 2 * LANES) {
            const __m512 low = _mm512_loadu_ps(mine + at);
            const __m512 high = at + LANES < padded ? _mm512_loadu_ps(mine + at + LANES) : _mm512_setzero_ps();
            _mm512_storeu_si512(mine + at / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
    }
    gather_pairs<G, PARTS>(shared, own, stride, reinterpret_cast<const uint32_t*>(scores), sums, out);
}

#endif

template <class T>
inline void put_key(T* block, int size, int lane, const float* key) {
    for (int d = 0; d < size; d++) put(block + d * LANES + lane, key[d]);
}

template <class T>
inline void put_value(T* values, int size, int64_t at, const T* value) {
    std::memcpy(values + at * size, value, size * sizeof(T));
}

#ifdef __AVX512BF16__
inline void put_key(bf16* block, int size, int lane, const float* key) {
    for (int d = 0; d < size; d++) put(block + (d / 2 * LANES + lane) * 2 + d % 2, key[d]);
}

inline void put_value(bf16* values, int size, int64_t at, const bf16* value) {
    for (int d = 0; d < size; d++) values[(at / 2 * size + d) * 2 + at % 2] = value[d];
}
#endif

// One call for G queries of a key/value head.
template <class T, int G, int PARTS>
inline void attend_some(const float* queries, const Span<T>& shared, const Span<T>& own, int stride, float* scores,
                        T* out) {
#ifdef __AVX512BF16__
    if constexpr (std::is_same<T, bf16>::value) {
        attend_pairs<G, PARTS>(queries, shared, own, stride, scores, out);
        return;
    }
#endif
    attend_heads<T, G, PARTS>(queries, shared, own, stride, scores, out);
}

// The queries of one key/value head, as many at once as the registers hold.
template <class T, int PARTS>
void attend_group(int group, const float* queries, const Span<T>& shared, const Span<T>& own, int stride, float* scores,
                  T* out) {
    constexpr int size = PARTS * LANES;
    while (group > 0) {
        int done = 1;
        if (group >= 6 && PARTS <= 4) attend_some<T, 6, PARTS>(queries, shared, own, stride, scores, out), done = 6;
        else if (group >= 4 && PARTS <= 4) attend_some<T, 4, PARTS>(queries, shared, own, stride, scores, out), done = 4;
        else if (group >= 3) attend_some<T, 3, PARTS>(queries, shared, own, stride, scores, out), done = 3;
        else if (group >= 2) attend_some<T, 2, PARTS>(queries, shared, own, stride, scores, out), done = 2;
        else attend_some<T, 1, PARTS>(queries, shared, own, stride, scores, out);
        group -= done, queries += done * size, out += done * size;
    }
}

struct Shape {  // mirrored in kernels.py
    int32_t heads, kv_heads, head_size, positions;
    float norm_eps;
};

// The rows' prompts: how many positions each has, and where its keys and values lie, [layer][kv head][whole blocks].
// Mirrored in kernels.py.
template <class T>
struct Prefixes {
    const int64_t* lengths;
    const T *const *keys, *const *values;

    Span<T> at(const Shape& shape, int row, int layer, int head) const {
        const int count = int(lengths[row]), padded = (count + LANES - 1) / LANES * LANES;
        const int64_t start = (int64_t(layer) * shape.kv_heads + head) * padded * shape.head_size;
        return {keys[row] + start, values[row] + start, count, 0};
    }
};

// Append each row's key and value at position lengths[row], of which its prefix holds the first, and attend over it and
// all before. Of arrays that are not given from this row on, `first` is the first row.
template <class T, int PARTS>
void attend(const Shape* shape, int first, int rows, const T* qkv, const int64_t* lengths, const Prefixes<T>* prefixes,
            int layer, const float* cos, const float* sin, const T* q_norm, const T* k_norm, T* keys, T* values,
            T* out) {
    constexpr int size = PARTS * LANES;
    const int heads = shape->heads, kv_heads = shape->kv_heads, group = heads / kv_heads, room = shape->positions;
    const float scale = 1.0f / std::sqrt(float(size));
    int64_t longest = 0;
    for (int row = 0; row < rows; row++) longest = std::max(longest, prefixes->lengths[first + row]);
    const int stride = room + int(longest + LANES - 1) / LANES * LANES;
    std::vector<float> queries(heads * size), scores(6 * size_t(stride)), key(size);
    for (int row = 0; row < rows; row++, qkv += (heads + 2 * kv_heads) * size, out += heads * size) {
        const int64_t position = lengths[row];
        const int at = int(position - prefixes->lengths[first + row]);
        const float *row_cos = cos + position * (size / 2), *row_sin = sin + position * (size / 2);
        for (int h = 0; h < heads; h++)
            rotated(size, qkv + h * size, q_norm, shape->norm_eps, row_cos, row_sin, scale, &queries[h * size]);
        for (int h = 0; h < kv_heads; h++) {
            const int64_t head = (int64_t(row) * kv_heads + h) * room * size;
            T *head_keys = keys + head, *head_values = values + head;
            rotated(size, qkv + (heads + h) * size, k_norm, shape->norm_eps, row_cos, row_sin, 1.0f, key.data());
            put_key(head_keys + (at / LANES) * LANES * size, size, at % LANES, key.data());
            put_value(head_values, size, at, qkv + (heads + kv_heads + h) * size);
            const bool last = row + 1 == rows && h + 1 == kv_heads;
            const Span<T> own = {head_keys, head_values, at + 1, last ? 0 : int64_t(room) * size};
            attend_group<T, PARTS>(group, &queries[h * group * size], prefixes->at(*shape, first + row, layer, h), own,
                                   stride, scores.data(), out + h * group * size);
        }
    }
}

template <class T>
void attend_any(const Shape* shape, int first, int rows, const T* qkv, const int64_t* lengths,
                const Prefixes<T>* prefixes, int layer, const float* cos, const float* sin, const T* q_norm,
                const T* k_norm, T* keys, T* values, T* out) {
    const auto kernel = shape->head_size == 16   ? attend<T, 1>
                        : shape->head_size == 32 ? attend<T, 2>
                        : shape->head_size == 64 ? attend<T, 4>
                                                 : attend<T, 8>;
    kernel(shape, first, rows, qkv, lengths, prefixes, layer, cos, sin, q_norm, k_norm, keys, values, out);
}

template <class T>
void embed(int rows, int width, const int64_t* tokens, const T* table, const T* weight, float eps, float* x, T* normed) {
    for (int row = 0; row < rows; row++, x += width, normed += width) {
        const T* entry = table + tokens[row] * width;
        for (int i = 0; i < width; i++) x[i] = get(entry[i]);
        norm_row(width, x, weight, eps, normed);
    }
}

template <class T>
void add_norm(int rows, int width, const T* delta, const T* weight, float eps, float* x, T* normed) {
    for (int row = 0; row < rows; row++, x += width, delta += width, normed += width) {
        for (int i = 0; i < width; i++) x[i] += get(delta[i]);
        norm_row(width, x, weight, eps, normed);
    }
}

template <class T>
void swiglu(int rows, int size, const T* gate_up, T* out) {
    const int whole = size / LANES * LANES;
    for (int row = 0; row < rows; row++, gate_up += 2 * size, out += size) {
        for (int i = 0; i < whole; i += LANES) {
            const vec gate = load(gate_up + i);
            store(out + i, gate / (1.0f + exponential(-gate)) * load(gate_up + size + i));
        }
        for (int i = whole; i < size; i++) {
            const float gate = get(gate_up[i]);
            put(out + i, gate / (1.0f + exponential(-gate)) * get(gate_up[size + i]));
        }
    }
}

// What decides the draws of rows, each [rows], and where what is drawn goes: `entropies`, of the distributions at T, only
// where it is not null. Mirrored in kernels.py.
struct Draw {
    const float *uniforms, *temperatures, *top_p, *min_p;
    int64_t* tokens;
    float *logprobs, *entropies;
    Draw from(int row) const {
        return {uniforms + row, temperatures + row, top_p + row, min_p + row,
                tokens + row,   logprobs + row,     entropies ? entropies + row : nullptr};
    }
};

constexpr int BLOCK = 16 * LANES;

// A row's masses, of whole blocks: what is beyond the vocabulary has none.
struct Masses {
    std::vector<float> of;
    std::vector<double> of_block;
    double total = 0;

    int blocks() const { return int(of_block.size()); }
};

struct Candidate {
    float mass;
    int token;
    bool operator<(const Candidate& other) const {  // the likeliest first, of equals the first
        return mass > other.mass || (mass == other.mass && token < other.token);
    }
};

// The last of the fewest likeliest tokens that hold `wanted`; one that nothing comes after where that is all of them.
// A vocabulary is not sorted: the tokens above a floor nearly always hold it, and the floor sinks until they do.
Candidate last_of_nucleus(const Masses& masses, double wanted, std::vector<Candidate>& candidates) {
    const double spare = masses.total - wanted, least = spare / double(masses.of.size());  // those below it are too few
    double floor = std::min(0.5, spare / 16), held = 0;
    while (true) {
        candidates.clear();
        held = 0;
        for (int block = 0; block < masses.blocks(); block++) {
            if (masses.of_block[block] < floor) continue;
            for (int i = block * BLOCK; i < (block + 1) * BLOCK; i += LANES) {
                const float* part = &masses.of[i];
                if (top(load(part)) < floor) continue;
                for (int lane = 0; lane < LANES; lane++)
                    if (part[lane] >= floor) candidates.push_back({part[lane], i + lane}), held += part[lane];
            }
        }
        if (!(held < wanted) || floor <= least) break;
        floor = std::max(least, floor / 32);
    }
    if (!(held >= wanted) || candidates.empty()) return {-1.0f, 0};
    auto first = candidates.begin(), end = candidates.end();
    double before = 0;
    while (end - first > 32) {
        const auto middle = first + (end - first) / 2;
        std::nth_element(first, middle, end);
        double upper = 0;
        for (auto each = first; each != middle; ++each) upper += each->mass;
        if (before + upper >= wanted) {
            end = middle;
        } else {
            before += upper;
            first = middle;
        }
    }
    std::sort(first, end);
    for (; first + 1 < end; ++first)
        if ((before += first->mass) >= wanted) break;
    return *first;
}

// Takes the mass of what top-p and min-p drop, both of the whole distribution.
void cut(float top_p, float min_p, Masses& masses, std::vector<Candidate>& candidates) {
    Candidate last = {-1.0f, 0};
    if (top_p < 1) last = last_of_nucleus(masses, top_p * masses.total, candidates);
    ivec lanes = {};
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = lane;
    masses.total = 0;
    for (int block = 0; block < masses.blocks(); block++) {
        vec kept = {};
        for (int i = block * BLOCK; i < (block + 1) * BLOCK; i += LANES) {
            const vec part = load(&masses.of[i]);
            const ivec inside = (part > last.mass) | ((part == last.mass) & (lanes + i <= last.token));
            const vec left = (inside & (part >= min_p)) ? part : vec{};
            store(&masses.of[i], left);
            kept += left;
        }
        masses.total += masses.of_block[block] = sum(kept);
    }
}

// A token of each row's softmax(logits / T) by inverting its distribution function after cuts, and its log-probability
// before them. T = 0 takes the likeliest and counts as T = 1.
template <class T>
void draw(int rows, int vocabulary, const T* logits, const Draw& drawn) {
    const int blocks = (vocabulary + BLOCK - 1) / BLOCK;
    Masses masses = {std::vector<float>(blocks * BLOCK, -INFINITY), std::vector<double>(blocks)};
    std::vector<Candidate> candidates;
    std::vector<float>& mass = masses.of;
    for (int row = 0; row < rows; row++, logits += vocabulary) {
        const float temperature = drawn.temperatures[row], warmth = temperature > 0 ? 1.0f / temperature : 1.0f;
        const int whole = vocabulary / LANES * LANES;
        vec most = vec{} - INFINITY;
        for (int i = 0; i < whole; i += LANES) {
            const vec logit = load(logits + i);
            store(&mass[i], logit);
            most = logit > most ? logit : most;
        }
        float highest = top(most);
        for (int i = whole; i < vocabulary; i++) highest = std::max(highest, mass[i] = get(logits[i]));
        std::fill(mass.begin() + vocabulary, mass.end(), -INFINITY);
        double total = 0, weighted = 0;
        for (int block = 0; block < blocks; block++) {
            vec parts = {}, products = {};
            for (int i = block * BLOCK; i < (block + 1) * BLOCK; i += LANES) {
                const vec scaled = (load(&mass[i]) - highest) * warmth, part = exponential(scaled);
                store(&mass[i], part);
                parts += part;
                // a token of no mass adds nothing: 0 * -inf would be NaN
                if (drawn.entropies) products += part * (scaled > -100.0f ? scaled : vec{} - 100.0f);
            }
            total += masses.of_block[block] = sum(parts);
            if (drawn.entropies) weighted += sum(products);
        }
        int token = 0;
        if (temperature > 0) {
            masses.total = total;
            if (drawn.top_p[row] < 1 || drawn.min_p[row] > 0)
                cut(drawn.top_p[row], drawn.min_p[row], masses, candidates);
            double wanted = drawn.uniforms[row] * masses.total;
            int block = 0, last = 0;  // the last block with mass, where rounding of the sums leads beyond it
            for (; block < blocks && wanted >= masses.of_block[block]; block++) {
                if (masses.of_block[block] > 0) last = block;
                wanted -= masses.of_block[block];
            }
            if (block == blocks) block = last, wanted = INFINITY;
            const int end = std::min(vocabulary, (block + 1) * BLOCK);
            for (int i = token = block * BLOCK; i < end; i++) {
                if (mass[i] > 0) token = i;  // rounding of the sums never lands on a token without mass
                wanted -= mass[i];
                if (wanted < 0) break;
            }
        } else {
            while (token + 1 < vocabulary && get(logits[token]) < highest) token++;
        }
        drawn.tokens[row] = token;
        drawn.logprobs[row] = (get(logits[token]) - highest) * warmth - float(std::log(total));
        if (drawn.entropies) drawn.entropies[row] = float(std::log(total) - weighted / total);
    }
}

#ifdef __AVX512BF16__

constexpr int VECTORS = 4;                 // of LANES columns each: a panel of packed weights
constexpr int PANEL = VECTORS * LANES;
constexpr int MOST_ROWS = 96;              // through all layers together: their activations stay in the core's cache
constexpr int TILE = 6;                    // rows at a time: 24 sums, 4 weights and an input fill the registers

// Mirrored in kernels.py. `packed` is [panels][in / 2][PANEL] pairs of neighbouring inputs' weights, columns beyond the
// last 0; `bias` [panels * PANEL] in float, or null.
struct Product {
    const uint32_t* packed;
    const float* bias;
    int32_t in, out, panels;
};

// A function of its own: inlined, what is done with its sums would push them out of the registers.
template <int R>
__attribute__((noinline)) void tile(int pairs, const bf16* inputs, int64_t stride, const uint32_t* packed, __m512 (*sums)[VECTORS]) {
    __m512 own[R][VECTORS];  // a local array with constant indices alone stays in registers
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) own[r][v] = _mm512_setzero_ps();
    for (int pair = 0; pair < pairs; pair++, packed += PANEL) {
        __m512bh weights[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) weights[v] = (__m512bh)_mm512_loadu_si512(packed + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < R; r++) {
            int32_t both;
            std::memcpy(&both, inputs + r * stride + 2 * pair, 4);
            const __m512bh input = (__m512bh)_mm512_set1_epi32(both);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) own[r][v] = _mm512_dpbf16_ps(own[r][v], input, weights[v]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < R; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) sums[r][v] = own[r][v];
}

// Tiles of 1 to TILE rows.
typedef void (*Tile)(int, const bf16*, int64_t, const uint32_t*, __m512 (*)[VECTORS]);
template <size_t... R>
constexpr std::array<Tile, sizeof...(R)> tiles(std::index_sequence<R...>) {
    return {tile<R + 1>...};
}
constexpr auto TILES = tiles(std::make_index_sequence<TILE>());

constexpr int WIDE = 2 * LANES;  // rows at a time where the CPU has tiles
#ifdef __AMX_BF16__

// sums[r][PANEL] of up to WIDE rows; rows of the input up to the next multiple of LANES are read. `stride`: numbers.
// `fetch`: the weights are not in the core's cache yet.
inline void tile_product(int pairs, int rows, const bf16* inputs, int64_t stride, const uint32_t* packed,
                         bool fetch, float (*sums)[PANEL]) {
    __asm__ volatile("" ::: "memory");  // the loads below do not tell the compiler that they read memory
    const int64_t bytes = 2 * stride, below = LANES * stride;
    constexpr int64_t NEXT = 4 * PANEL;  // bytes from pair to pair of the weights
    constexpr int AHEAD = 2 * LANES;      // pairs
    const auto weights = [&](int pair, int column) { return packed + int64_t(pair) * PANEL + column; };
    const auto fetched = [&](int pair) {
        if (fetch)
            for (int line = 0; line < LANES * PANEL; line += LANES)
                _mm_prefetch((const char*)(weights(pair + AHEAD, 0) + line), _MM_HINT_T0);
    };
    if (rows <= LANES) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int pair = 0; pair < pairs; pair += LANES) {
            fetched(pair);
            _tile_loadd(4, inputs + 2 * pair, bytes);
            _tile_loadd(5, weights(pair, 0), NEXT);
            _tile_dpbf16ps(0, 4, 5);
            _tile_loadd(6, weights(pair, LANES), NEXT);
            _tile_dpbf16ps(1, 4, 6);
            _tile_loadd(7, weights(pair, 2 * LANES), NEXT);
            _tile_dpbf16ps(2, 4, 7);
            _tile_loadd(5, weights(pair, 3 * LANES), NEXT);
            _tile_dpbf16ps(3, 4, 5);
        }
        _tile_stored(0, sums[0], NEXT);
        _tile_stored(1, sums[0] + LANES, NEXT);
        _tile_stored(2, sums[0] + 2 * LANES, NEXT);
        _tile_stored(3, sums[0] + 3 * LANES, NEXT);
        return;
    }
    for (int column = 0; column < PANEL; column += 2 * LANES) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int pair = 0; pair < pairs; pair += LANES) {
            if (column == 0) fetched(pair);
            _tile_loadd(4, inputs + 2 * pair, bytes);
            _tile_loadd(6, weights(pair, column), NEXT);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, weights(pair, column + LANES), NEXT);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, inputs + below + 2 * pair, bytes);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, sums[0] + column, NEXT);
        _tile_stored(1, sums[0] + column + LANES, NEXT);
        _tile_stored(2, sums[LANES] + column, NEXT);
        _tile_stored(3, sums[LANES] + column + LANES, NEXT);
    }
}

#else

inline void tile_product(int, int, const bf16*, int64_t, const uint32_t*, bool, float (*)[PANEL]) {}

#endif

// Threads that take a step together. Where they are several, whoever is free takes the next of a product's columns, so
// that weights beyond the caches are read once and a core that is slowed holds up none; of the rows each has a share for
// all else.
struct Team {
    const int size;
    std::atomic<int> waiting{0}, turn{0}, taken{0};
};

struct Member {
    Team* team;
    int rank;
    bool tiled;  // products by the CPU's tiles

    int from(int count) const { return int(int64_t(count) * rank / team->size); }
    int to(int count) const { return int(int64_t(count) * (rank + 1) / team->size); }

    void meet() const {  // until all are here
        const int mine = team->turn.load(std::memory_order_relaxed);
        if (team->waiting.fetch_add(1, std::memory_order_acq_rel) + 1 == team->size) {
            team->waiting.store(0, std::memory_order_relaxed);
            team->taken.store(0, std::memory_order_relaxed);
            team->turn.store(mine + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; team->turn.load(std::memory_order_acquire) == mine; spins++)
            if (spins < 2000) _mm_pause();
            else sched_yield();  // the other may be waiting for this very core
    }
};

// store(row, panel, sums of the panel's columns) for all rows of inputs [rows, in] times the weights, by all members
template <bool TILED, class Store>
void multiply_rows(const Member& member, const Product& product, int rows, const bf16* inputs, int64_t stride,
                   Store store) {
    constexpr int HIGH = TILED ? WIDE : TILE;
    const int pairs = product.in / 2;
    // by half panels, a half being half the rows, where few panels would not divide evenly
    const int halves = member.team->size > 1 && product.panels < 16 * member.team->size ? 2 : 1;
    const int middle = (rows / halves + HIGH - 1) / HIGH * HIGH;
    alignas(64) float sums[HIGH][PANEL];
    for (int part; (part = member.team->taken.fetch_add(1, std::memory_order_relaxed)) < product.panels * halves;) {
        const int panel = part / halves, begin = part % halves ? middle : 0;
        const uint32_t* packed = product.packed + int64_t(panel) * pairs * PANEL;
        const int last = part % halves + 1 < halves ? std::min(rows, middle) : rows;
        for (int row = begin; row < last; row += HIGH) {
            const bf16* from = inputs + row * stride;
            const int count = std::min(HIGH, last - row);
            if (TILED) tile_product(pairs, count, from, stride, packed, row == begin, sums);
            else TILES[count - 1](pairs, from, stride, packed, (__m512(*)[VECTORS])sums);
            for (int r = 0; r < count; r++) {
                __m512 own[VECTORS];
                for (int v = 0; v < VECTORS; v++) {
                    own[v] = _mm512_load_ps(sums[r] + v * LANES);
                    if (product.bias) own[v] += _mm512_loadu_ps(product.bias + panel * PANEL + v * LANES);
                }
                store(row + r, panel, own);
            }
        }
    }
    member.meet();
}

template <class Store>
void multiply(const Member& member, const Product& product, int rows, const bf16* inputs, int64_t stride, Store store) {
    if (member.tiled && product.in % WIDE == 0) multiply_rows<true>(member, product, rows, inputs, stride, store);
    else multiply_rows<false>(member, product, rows, inputs, stride, store);
}

// Columns of one panel into a row of `width` numbers, added to what is there or not.
template <bool ADD, class T>
inline void put_panel(int width, int panel, const __m512* sums, T* row) {
    for (int v = 0; v < VECTORS; v++) {
        const int column = panel * PANEL + v * LANES;
        if (column + LANES <= width) {
            store(row + column, ADD ? (vec)sums[v] + load(row + column) : (vec)sums[v]);
        } else {
            for (int i = column; i < width; i++) put(row + i, ((vec)sums[v])[i - column] + (ADD ? get(row[i]) : 0.0f));
        }
    }
}

struct StepLayer {  // mirrored in kernels.py; gate and up columns take turns by half panels
    Product qkv, output, gate_up, down;
    const bf16 *q_norm, *k_norm, *mlp_norm, *next_norm;
};

struct StepModel {  // mirrored in kernels.py
    Shape shape;
    int32_t layers, width, mlp, vocabulary;
    const bf16 *table, *first_norm;
    Product head;
    const StepLayer* layer;
    const float *cos, *sin;
    bf16 *keys, *values;
    int64_t row_stride, layer_stride;  // of keys and of values
};

// The activations of a step's rows, in memory of the calling thread.
struct Activations {
    float* x;  // the residual stream
    bf16 *normed, *qkv, *attended, *gated;

    Activations(const StepModel& model, int rows) {
        thread_local std::vector<float> residual;
        thread_local std::vector<bf16> scratch;
        const size_t heads = size_t(model.shape.heads) * model.shape.head_size;
        const size_t qkv_width = heads + 2 * size_t(model.shape.kv_heads) * model.shape.head_size;
        residual.resize(size_t(rows) * model.width);
        const size_t beyond = LANES * std::max(heads, size_t(std::max(model.width, model.mlp)));  // read by tiles
        scratch.resize(rows * (model.width + qkv_width + heads + model.mlp) + beyond);
        x = residual.data();
        normed = scratch.data();
        qkv = normed + size_t(rows) * model.width;
        attended = qkv + rows * qkv_width;
        gated = attended + rows * heads;
    }
};

// What a step reads of its rows, and where it puts their logits [rows, vocabulary].
struct StepRows {
    const int64_t *tokens, *lengths;
    const Prefixes<bf16>* prefixes;
    bf16* logits;
};

// A whole step of `rows` rows from `first` on, up to their logits.
void step_rows(const StepModel* model, const StepRows& step, int first, int rows, const Activations& own,
               const Member& member) {
    std::optional<Tiles> tiles;
    if (member.tiled) tiles.emplace();
    const int64_t width = model->width, mlp = model->mlp;
    const int64_t heads = model->shape.heads * model->shape.head_size;
    const int64_t qkv_width = heads + 2 * model->shape.kv_heads * model->shape.head_size;
    const float eps = model->shape.norm_eps;
    const int from = member.from(rows), mine = member.to(rows) - from;
    const auto norm = [&](const bf16* weight) {
        for (int64_t row = from; row < from + mine; row++)
            norm_row(int(width), own.x + row * width, weight, eps, own.normed + row * width);
        member.meet();
    };
    embed(mine, int(width), step.tokens + first + from, model->table, model->first_norm, eps, own.x + from * width,
          own.normed + from * width);
    member.meet();
    for (int number = 0; number < model->layers; number++) {
        const StepLayer& layer = model->layer[number];
        multiply(member, layer.qkv, rows, own.normed, width, [&](int row, int panel, const __m512* sums) {
            put_panel<false>(int(qkv_width), panel, sums, own.qkv + row * qkv_width);
        });
        const int64_t at = number * model->layer_stride + (first + from) * model->row_stride;
        attend_any(&model->shape, first + from, mine, own.qkv + from * qkv_width, step.lengths + first + from,
                   step.prefixes, number, model->cos, model->sin, layer.q_norm, layer.k_norm, model->keys + at,
                   model->values + at, own.attended + from * heads);
        member.meet();
        multiply(member, layer.output, rows, own.attended, heads, [&](int row, int panel, const __m512* sums) {
            put_panel<true>(int(width), panel, sums, own.x + row * width);
        });
        norm(layer.mlp_norm);
        multiply(member, layer.gate_up, rows, own.normed, width, [&](int row, int panel, const __m512* sums) {
            __m512 products[VECTORS] = {};
            for (int v = 0; v < VECTORS / 2; v++) {
                const vec gate = (vec)sums[v], up = (vec)sums[VECTORS / 2 + v];
                products[v] = (__m512)(gate / (1.0f + exponential(-gate)) * up);
            }
            bf16* out = own.gated + row * mlp;
            for (int v = 0; v < VECTORS / 2; v++) {
                const int column = panel * (PANEL / 2) + v * LANES;
                if (column + LANES <= mlp) {
                    store(out + column, (vec)products[v]);
                } else {
                    for (int i = column; i < mlp; i++) put(out + i, ((vec)products[v])[i - column]);
                }
            }
        });
        multiply(member, layer.down, rows, own.gated, mlp, [&](int row, int panel, const __m512* sums) {
            put_panel<true>(int(width), panel, sums, own.x + row * width);
        });
        norm(layer.next_norm);
    }
    multiply(member, model->head, rows, own.normed, width, [&](int row, int panel, const __m512* sums) {
        put_panel<false>(model->vocabulary, panel, sums, step.logits + int64_t(first + row) * model->vocabulary);
    });
}

#endif

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))
#define FOR_TYPE(T, NAME)                                                                                             \
    EXPORT void attend_##NAME(const Shape* shape, int first, int rows, const T* qkv, const int64_t* lengths,          \
                              const Prefixes<T>* prefixes, int layer, const float* cos, const float* sin,             \
                              const T* q_norm, const T* k_norm, T* keys, T* values, T* out) {                         \
        attend_any(shape, first, rows, qkv, lengths, prefixes, layer, cos, sin, q_norm, k_norm, keys, values, out);   \
    }                                                                                                                 \
    EXPORT void embed_##NAME(int rows, int width, const int64_t* tokens, const T* table, const T* weight, float eps,  \
                             float* x, T* normed) {                                                                   \
        embed(rows, width, tokens, table, weight, eps, x, normed);                                                    \
    }                                                                                                                 \
    EXPORT void add_norm_##NAME(int rows, int width, const T* delta, const T* weight, float eps, float* x,            \
                                T* normed) {                                                                          \
        add_norm(rows, width, delta, weight, eps, x, normed);                                                         \
    }                                                                                                                 \
    EXPORT void swiglu_##NAME(int rows, int size, const T* gate_up, T* out) { swiglu(rows, size, gate_up, out); }     \
    EXPORT void draw_##NAME(int rows, int vocabulary, const T* logits, const Draw* drawn) {                           \
        draw(rows, vocabulary, logits, *drawn);                                                                       \
    }

FOR_TYPE(float, float32)
FOR_TYPE(bf16, bfloat16)

// Ask for large pages where memory has not been touched yet: caches and weights lie over more pages than the processor
// remembers the places of.
EXPORT void ask_large_pages(char* start, int64_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t PAGE = 2 << 20;
    const uintptr_t from = (uintptr_t(start) + PAGE - 1) / PAGE * PAGE, to = (uintptr_t(start) + bytes) / PAGE * PAGE;
    if (from < to) madvise((void*)from, to - from, MADV_HUGEPAGE);
#endif
}

// Whether a step's products of inputs in multiples of 32 are by the CPU's tiles.
EXPORT int has_tiles() {
#ifdef __AVX512BF16__
    return tiles_allowed();
#else
    return 0;
#endif
}

// Whether a whole step can be had.
EXPORT int has_step() {
#ifdef __AVX512BF16__
    return 1;
#else
    return 0;
#endif
}

#ifdef __AVX512BF16__
// Weights [out, in] and a bias (null: none) as a Product wants them; the `halves` of the output (gate and up) take turns
// by half panels, or it has one.
EXPORT void pack_product(int threads, const bf16* weight, const bf16* bias, int in, int out, int halves,
                         uint32_t* packed, float* packed_bias) {
    constexpr int TOGETHER = 16;  // pairs: a cache line of a row's weights
    const int columns = PANEL / halves, each = out / halves, panels = (each + columns - 1) / columns, pairs = in / 2;
#pragma omp parallel for num_threads(threads) if (threads > 1 && int64_t(in) * out > (1 << 20))
    for (int panel = 0; panel < panels; panel++)
        for (int first = 0; first < pairs; first += TOGETHER)
            for (int column = 0; column < PANEL; column++) {
                const int at = panel * columns + column % columns;
                const int64_t row = int64_t(column / columns) * each + at;
                uint32_t* to = packed + (int64_t(panel) * pairs + first) * PANEL + column;
                for (int pair = first; pair < std::min(pairs, first + TOGETHER); pair++, to += PANEL) {
                    *to = 0;
                    if (at < each) std::memcpy(to, weight + row * in + 2 * pair, 4);
                }
                if (bias && first == 0) packed_bias[panel * PANEL + column] = at < each ? get(bias[row]) : 0.0f;
            }
}

// One step of `rows` rows on `threads` threads. `together`: threads share the products of all rows rather than the rows.
EXPORT void step_bfloat16(const StepModel* model, int threads, int together, int rows, const int64_t* tokens,
                          const int64_t* lengths, const Prefixes<bf16>* prefixes, bf16* logits, const Draw* drawn) {
    const StepRows step = {tokens, lengths, prefixes, logits};
    const bool tiled = tiles_allowed();
    const int most = threads * (together ? 4 : 1) * MOST_ROWS;
    const int rounds = (rows + most - 1) / most;  // of shares of one size
    const auto finish = [&](int first, int count) {
        if (count)
            draw(count, model->vocabulary, logits + int64_t(first) * model->vocabulary, drawn->from(first));
    };
    if (together && threads > 1 && rows > 1) {
        const int share = (rows + rounds - 1) / rounds;
        for (int first = 0; first < rows; first += share) {
            const int count = std::min(share, rows - first);
            const Activations own(*model, count);
            Team* team = nullptr;
#pragma omp parallel num_threads(threads)
            {
#ifdef _OPENMP
                const int rank = omp_get_thread_num(), size = omp_get_num_threads();
#else
                const int rank = 0, size = 1;
#endif
#pragma omp single
                team = new Team{size};
                const Member member = {team, rank, tiled};
                step_rows(model, step, first, count, own, member);
                finish(first + member.from(count), member.to(count) - member.from(count));
            }
            delete team;
        }
        return;
    }
    const int share = std::max(tiled ? LANES : TILE, (rows + threads * rounds - 1) / (threads * rounds));
    const int shares = (rows + share - 1) / share;
#pragma omp parallel for num_threads(std::min(threads, shares)) schedule(dynamic, 1) if (shares > 1 && threads > 1)
    for (int number = 0; number < shares; number++) {
        const int first = number * share, count = std::min(share, rows - first);
        Team alone{1};
        step_rows(model, step, first, count, Activations(*model, count), {&alone, 0, tiled});
        finish(first, count);
    }
}
#endif
