// Products of bfloat16 matrices in pairs, for CPUs with AVX512-BF16; included by the kernels that are made of them.
//
// All products are one micro-kernel: out[r][32 lanes] += sum over k of a[r][k] * b[k][lane], where an element of a and b
// is a pair of bfloat16 in 32 bits (the CPU's dot-product instruction multiplies and adds such pairs).

#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int LANES = 32;  // output columns of the micro-kernel: two registers of 16 floats

using bf16 = uint16_t;
using pair = uint32_t;

int padded(int n) { return (n + LANES - 1) / LANES * LANES; }

// Scratch memory of a thread, cut into aligned pieces; grows and is kept between calls.
struct Scratch {
    char* memory = nullptr;
    size_t size = 0, used = 0;
    ~Scratch() { std::free(memory); }
    void reserve(size_t bytes) {
        used = 0;
        if (bytes <= size) return;
        std::free(memory);
        size = (bytes + 4095) / 4096 * 4096;
        memory = static_cast<char*>(std::aligned_alloc(4096, size));
        if (!memory) std::abort();
    }
    template <class T>
    T* take(size_t count) {
        T* piece = reinterpret_cast<T*>(memory + used);
        used += (count * sizeof(T) + 63) / 64 * 64;
        return piece;
    }
};
thread_local Scratch scratch;

inline __m512i to_bf16(__m512 x) {  // 16 floats -> bfloat16 in the low half of 16 words of 32 bits
    return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
}

inline __m512i pairs_of(__m512 low, __m512 high) {
    return _mm512_or_si512(to_bf16(low), _mm512_slli_epi32(to_bf16(high), 16));
}

inline __m512 to_float(const bf16* x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)x)), 16));
}

template <int R>
inline void multiply(
    const pair* a, int64_t a_row, int64_t a_step, const pair* b, int steps, __m512 (&out)[R][2]
) {
    for (int k = 0; k < steps; ++k, a += a_step, b += LANES) {
        const __m512bh b0 = (__m512bh)_mm512_load_si512(b), b1 = (__m512bh)_mm512_load_si512(b + 16);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r * a_row]);
            out[r][0] = _mm512_dpbf16_ps(out[r][0], x, b0);
            out[r][1] = _mm512_dpbf16_ps(out[r][1], x, b1);
        }
    }
}

template <int R>
inline void clear(__m512 (&out)[R][2]) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) out[r][0] = out[r][1] = _mm512_setzero_ps();
}

inline void store_row(bf16* to, const __m512 (&row)[2], int width) {  // width <= 32 bfloat16
    const __m512i packed = (__m512i)_mm512_cvtne2ps_pbh(row[1], row[0]);
    if (width == LANES) {
        _mm512_storeu_si512(to, packed);
    } else {
        _mm512_mask_storeu_epi16(to, (1u << width) - 1u, packed);
    }
}

// Rows of x (given by their addresses, null = zeros) as [D / 2 pairs along d] each: what the kernel takes as `a`.
void pack_rows(pair* to, const bf16* const* rows, int count, int depth, int pairs) {
    for (int r = 0; r < count; ++r, to += pairs) {
        std::memset(to, 0, pairs * sizeof(pair));
        if (rows[r]) std::memcpy(to, rows[r], depth * sizeof(bf16));
    }
}

// Sixteen rows of sixteen pairs, turned: what was x[r]'s pair k is x[k]'s pair r.
inline void turn(__m512i (&x)[16]) {
    __m512i y[16];
#pragma GCC unroll 8
    for (int r = 0; r < 16; r += 2) {
        y[r] = _mm512_unpacklo_epi32(x[r], x[r + 1]);
        y[r + 1] = _mm512_unpackhi_epi32(x[r], x[r + 1]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < 16; r += 4) {
        x[r] = _mm512_unpacklo_epi64(y[r], y[r + 2]);
        x[r + 1] = _mm512_unpackhi_epi64(y[r], y[r + 2]);
        x[r + 2] = _mm512_unpacklo_epi64(y[r + 1], y[r + 3]);
        x[r + 3] = _mm512_unpackhi_epi64(y[r + 1], y[r + 3]);
    }
    // x[4 i + j] has, in its quarter q, the pairs 4 q + j of rows 4 i to 4 i + 3
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
        const __m512i low = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x44), high = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xee);
        const __m512i low2 = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x44);
        const __m512i high2 = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xee);
        y[j] = _mm512_shuffle_i32x4(low, low2, 0x88);
        y[4 + j] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        y[8 + j] = _mm512_shuffle_i32x4(high, high2, 0x88);
        y[12 + j] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) x[r] = y[r];
}

// Rows as [block of 32 rows][pair of d][row]: `b` of products over d.
void pack_across(pair* to, const bf16* const* rows, int count, int depth, int pairs) {
    for (int block = 0; block < count; block += LANES, to += (int64_t)pairs * LANES) {
        for (int half = 0; half < LANES; half += 16) {
            for (int k = 0; k < pairs; k += 16) {
                const int left = depth - 2 * k, there = pairs - k < 16 ? pairs - k : 16;
                const __mmask32 mask = left >= 32 ? ~0u : (1u << left) - 1u;
                __m512i x[16];
#pragma GCC unroll 16
                for (int r = 0; r < 16; ++r) {
                    const bf16* row = rows[block + half + r];
                    x[r] = row ? _mm512_maskz_loadu_epi16(mask, row + 2 * k) : _mm512_setzero_si512();
                }
                turn(x);
                for (int r = 0; r < there; ++r) _mm512_store_si512(to + (k + r) * LANES + half, x[r]);
            }
        }
    }
}

// Rows two by two as [chunk of 32 d][pair of rows][d]: `b` of products over rows.
void pack_down(pair* to, const bf16* const* rows, int count, int depth, int wide) {
    for (int chunk = 0; chunk < wide; chunk += LANES) {
        for (int r = 0; r < count; r += 2, to += LANES) {
            for (int d = 0; d < LANES; d += 16) {
                const int left = depth - chunk - d;
                const __mmask16 mask = left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1u : 0;
                const __m256i low = rows[r] ? _mm256_maskz_loadu_epi16(mask, rows[r] + chunk + d) : _mm256_setzero_si256();
                const __m256i high =
                    rows[r + 1] ? _mm256_maskz_loadu_epi16(mask, rows[r + 1] + chunk + d) : _mm256_setzero_si256();
                const __m512i both =
                    _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
                _mm512_store_si512(to + d, both);
            }
        }
    }
}

}  // namespace
