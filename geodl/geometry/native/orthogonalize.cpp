#include "orthogonalize.h"

#include <algorithm>

#include "parallel.h"

namespace geodl {
namespace {

constexpr int64_t width = 8;   // vectors of a slab: a cache line a row
constexpr int64_t chunk = 96;  // rows that stay in the first cache, of x and of a slab

// The columns are the lanes of a vector register; eight of them stay in registers while the inner loop runs.
GEODL_CLONES void add_overlap(const double* __restrict slab, const double* __restrict x, int64_t rows, double* __restrict sum) {
    int64_t i = 0;
    for (; i + 8 <= rows; i += 8) {
        const double* from = slab + i * width;
        const double* v = x + i * width;
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) {
            const double v0 = v[c], v1 = v[width + c], v2 = v[2 * width + c], v3 = v[3 * width + c], v4 = v[4 * width + c],
                         v5 = v[5 * width + c], v6 = v[6 * width + c], v7 = v[7 * width + c];
            for (int64_t k = 0; k < width; ++k) {
                const double* at = from + k;
                sum[k * width + c] += (at[0] * v0 + at[width] * v1 + at[2 * width] * v2 + at[3 * width] * v3) +
                                      (at[4 * width] * v4 + at[5 * width] * v5 + at[6 * width] * v6 + at[7 * width] * v7);
            }
        }
    }
    for (; i < rows; ++i)
        for (int64_t k = 0; k < width; ++k)
            for (int64_t c = 0; c < width; ++c) sum[k * width + c] += slab[i * width + k] * x[i * width + c];
}

GEODL_CLONES void subtract(const double* __restrict slab, const double* __restrict overlap, int64_t rows, double* __restrict x) {
#pragma omp simd
    for (int64_t c = 0; c < width; ++c) {
        const double h0 = overlap[c], h1 = overlap[width + c], h2 = overlap[2 * width + c], h3 = overlap[3 * width + c],
                     h4 = overlap[4 * width + c], h5 = overlap[5 * width + c], h6 = overlap[6 * width + c],
                     h7 = overlap[7 * width + c];
        for (int64_t i = 0; i < rows; ++i) {
            const double* at = slab + i * width;
            x[i * width + c] -=
                (at[0] * h0 + at[1] * h1 + at[2] * h2 + at[3] * h3) + (at[4] * h4 + at[5] * h5 + at[6] * h6 + at[7] * h7);
        }
    }
}

void overlaps(const double* basis, int64_t slabs, int64_t n, const double* x, double* overlap, int threads) {
    std::fill_n(overlap, slabs * width * width, 0.0);
    const int team = static_cast<int>(std::min<int64_t>(team_size(slabs * n * 4, threads), std::max<int64_t>(slabs, 1)));
#pragma omp parallel for num_threads(team) schedule(static)
    for (int part = 0; part < team; ++part) {
        const int64_t first = slabs * part / team, last = slabs * (part + 1) / team;
        for (int64_t begin = 0; begin < n; begin += chunk) {
            const int64_t rows = std::min(chunk, n - begin);
            for (int64_t s = first; s < last; ++s)
                add_overlap(basis + (s * n + begin) * width, x + begin * width, rows, overlap + s * width * width);
        }
    }
}

}  // namespace

void orthogonalize(const double* basis, int64_t slabs, int64_t n, double* x, double* overlap, int threads) {
    overlaps(basis, slabs, n, x, overlap, threads);
    const int64_t chunks = (n + chunk - 1) / chunk;
    const int team = static_cast<int>(std::min<int64_t>(team_size(slabs * n * 4, threads), std::max<int64_t>(chunks, 1)));
#pragma omp parallel for num_threads(team) schedule(static)
    for (int64_t c = 0; c < chunks; ++c) {
        const int64_t begin = c * chunk, rows = std::min(chunk, n - begin);
        for (int64_t s = 0; s < slabs; ++s)
            subtract(basis + (s * n + begin) * width, overlap + s * width * width, rows, x + begin * width);
    }
}

}  // namespace geodl
