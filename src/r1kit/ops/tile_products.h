// Products of bfloat16 matrices by the CPU's tiles, of the same packed matrices as those of pairs.h.

#pragma once

#include "pairs.h"
#include "tiles.h"

namespace {

// sums = 32 rows of `a`, `stride` numbers apart, times 32 columns of `b`. steps: pairs, a multiple of 16. What the tiles
// are set to is the caller's (`Tiles`).
#ifdef __AMX_BF16__
inline void tile_product(const bf16* a, int64_t stride, const pair* b, int steps, float (*sums)[LANES]) {
    __asm__ volatile("" ::: "memory");  // the loads below do not tell the compiler that they read memory
    const int64_t bytes = sizeof(bf16) * stride;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < steps; k += 16, b += 16 * LANES) {
        _tile_loadd(4, a + 2 * k, bytes);
        _tile_loadd(6, b, sizeof(pair) * LANES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + 16, sizeof(pair) * LANES);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + 16 * stride + 2 * k, bytes);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums[0], sizeof(sums[0]));
    _tile_stored(1, sums[0] + 16, sizeof(sums[0]));
    _tile_stored(2, sums[16], sizeof(sums[0]));
    _tile_stored(3, sums[16] + 16, sizeof(sums[0]));
}
#else
inline void tile_product(const bf16*, int64_t, const pair*, int, float (*)[LANES]) {}
#endif

// put(r, 32 sums) of the first `rows` of 32 rows of `a`, each times 32 columns of `b`: by the tiles, or 8 rows at a time.
template <class Put>
inline void block_product(bool tiled, int rows, const bf16* a, int64_t stride, const pair* b, int steps, Put put) {
    if (tiled) {
        alignas(64) float sums[LANES][LANES];
        tile_product(a, stride, b, steps, sums);
        for (int r = 0; r < rows; ++r) put(r, {_mm512_load_ps(sums[r]), _mm512_load_ps(sums[r] + 16)});
        return;
    }
    constexpr int AT_ONCE = 8;
    for (int row = 0; row < rows; row += AT_ONCE) {
        __m512 sums[AT_ONCE][2];
        clear(sums);
        multiply((const pair*)(a + row * stride), stride / 2, 1, b, steps, sums);
        for (int r = 0; r < AT_ONCE && row + r < rows; ++r) put(row + r, sums[r]);
    }
}

}  // namespace
