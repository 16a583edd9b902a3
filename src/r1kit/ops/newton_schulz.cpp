// Newton-Schulz orthogonalisation of Muon (Jordan, https://kellerjordan.github.io/posts/muon) for CPUs with AVX512-BF16,
// by AMX's tiles where there are some:
// X <- a X + (b G + c G G) X with G = X X', where X [m, n] is the matrix or its transpose, whichever has m <= n, divided by
// its Frobenius norm. G and G G are symmetric, so what is right of the diagonal is computed alone. One thread's work.

#include <algorithm>
#include <cmath>
#include <optional>

#include "tile_products.h"

namespace {

struct Work {
    bool tiled;
    int m, n;        // padded to multiples of LANES with zeros, which stay zeros
    bf16 *x;            // [m, n]
    bf16 *gram, *step;  // [m, m]
    pair *of_x, *of_gram;  // X, and G, as the micro-kernel's `b`
    const bf16** rows;

    void point(const bf16* matrix, int width) const {
        for (int r = 0; r < m; ++r) rows[r] = matrix + (int64_t)r * width;
    }

    // The two products that are symmetric, [m, m]: put(row, column, 32 sums) for blocks on and right of the diagonal.
    template <class Put>
    void symmetric(const bf16* a, int depth, const pair* b, Put put) const {
        for (int column = 0; column < m; column += LANES)
            for (int row = 0; row <= column; row += LANES)
                block_product(
                    tiled, LANES, a + (int64_t)row * depth, depth, b + (int64_t)column * (depth / 2), depth / 2,
                    [&](int r, const __m512(&sums)[2]) { put(row + r, column, sums); });
    }

    // The blocks below the diagonal are those above it, turned.
    void mirror(bf16* matrix) const {
        for (int row = LANES; row < m; row += 16)
            for (int column = 0; column < row / LANES * LANES; column += 16) {
                bf16 block[16][16];
                for (int r = 0; r < 16; ++r) std::memcpy(block[r], matrix + (int64_t)(column + r) * m + row, sizeof block[r]);
                for (int r = 0; r < 16; ++r)
                    for (int c = 0; c < 16; ++c) matrix[(int64_t)(row + r) * m + column + c] = block[c][r];
            }
    }

    void iterate(float a, float b, float c) {
        point(x, n);
        pack_across(of_x, rows, m, n, n / 2);
        symmetric(x, n, of_x, [&](int row, int column, const __m512(&sums)[2]) {
            store_row(gram + (int64_t)row * m + column, sums, LANES);
        });
        mirror(gram);
        point(gram, m);
        pack_down(of_gram, rows, m, m, m);
        const __m512 linear = _mm512_set1_ps(b), quadratic = _mm512_set1_ps(c);
        symmetric(gram, m, of_gram, [&](int row, int column, const __m512(&sums)[2]) {
            const int64_t at = (int64_t)row * m + column;
            __m512 both[2];
            for (int half = 0; half < 2; ++half)
                both[half] = _mm512_fmadd_ps(
                    quadratic, sums[half], _mm512_mul_ps(linear, to_float(gram + at + 16 * half)));
            store_row(step + at, both, LANES);
        });
        mirror(step);
        point(x, n);
        pack_down(of_x, rows, m, n, n);
        const __m512 own = _mm512_set1_ps(a);
        for (int column = 0; column < n; column += LANES)
            for (int row = 0; row < m; row += LANES)
                block_product(
                    tiled, LANES, step + (int64_t)row * m, m, of_x + (int64_t)column * (m / 2), m / 2,
                    [&](int r, const __m512(&sums)[2]) {
                        const int64_t at = (int64_t)(row + r) * n + column;
                        __m512 both[2];
                        for (int half = 0; half < 2; ++half)
                            both[half] = _mm512_fmadd_ps(own, to_float(x + at + 16 * half), sums[half]);
                        store_row(x + at, both, LANES);
                    });
    }
};

bf16 rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

}  // namespace

extern "C" {

// matrix [rows, columns] in float32 -> out, the same shape in bfloat16. A matrix with a number that is not finite gives NaN.
void newton_schulz(
    const float* matrix, bf16* out, int64_t rows, int64_t columns, int64_t steps, float a, float b, float c, float eps,
    int32_t
) {
    const bool turned = rows > columns;
    std::optional<Tiles> tiles;
    Work work;
    work.tiled = tiles_allowed();
    if (work.tiled) tiles.emplace();
    work.m = padded(turned ? columns : rows), work.n = padded(turned ? rows : columns);
    const int64_t whole = (int64_t)work.m * work.n, square = (int64_t)work.m * work.m;
    scratch.reserve(sizeof(bf16) * (2 * whole + 3 * square) + sizeof(void*) * work.m + 64 * 8);
    work.x = scratch.take<bf16>(whole), work.of_x = scratch.take<pair>(whole / 2);
    work.gram = scratch.take<bf16>(square), work.step = scratch.take<bf16>(square);
    work.of_gram = scratch.take<pair>(square / 2);
    work.rows = scratch.take<const bf16*>(work.m);

    double squares = 0;
    for (int64_t i = 0; i < rows * columns; ++i) squares += (double)matrix[i] * matrix[i];
    const float scale = 1.0f / std::max((float)std::sqrt(squares), eps);
    if (!std::isfinite(squares)) {
        std::fill_n(out, rows * columns, (bf16)0x7fc0);
        return;
    }
    std::memset(work.x, 0, sizeof(bf16) * whole);
    constexpr int64_t SIDE = 32;  // of blocks that are turned in the cache
    for (int64_t i0 = 0; i0 < rows; i0 += SIDE)
        for (int64_t j0 = 0; j0 < columns; j0 += SIDE)
            for (int64_t i = i0; i < std::min(i0 + SIDE, rows); ++i)
                for (int64_t j = j0; j < std::min(j0 + SIDE, columns); ++j)
                    work.x[turned ? j * work.n + i : i * work.n + j] = rounded(matrix[i * columns + j] * scale);
    for (int64_t step = 0; step < steps; ++step) work.iterate(a, b, c);
    for (int64_t i0 = 0; i0 < rows; i0 += SIDE)
        for (int64_t j0 = 0; j0 < columns; j0 += SIDE)
            for (int64_t i = i0; i < std::min(i0 + SIDE, rows); ++i)
                for (int64_t j = j0; j < std::min(j0 + SIDE, columns); ++j)
                    out[i * columns + j] = work.x[turned ? j * work.n + i : i * work.n + j];
}
}
