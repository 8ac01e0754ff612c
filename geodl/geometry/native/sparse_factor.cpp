#include "sparse_factor.h"

#include <algorithm>
#include <vector>

#include "parallel.h"

namespace geodl {
namespace {

constexpr int64_t width = 8;  // right-hand sides at a time: a cache line a row

GEODL_CLONES void solve_block(const int64_t* colptr, const int64_t* row, const double* value, const double* diagonal, int64_t n,
                              double* x) {
    for (int64_t j = 0; j < n; ++j) {
        const double* from = x + j * width;
        for (int64_t k = colptr[j]; k < colptr[j + 1]; ++k) {
            double* to = x + row[k] * width;
            const double v = value[k];
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) to[c] -= v * from[c];
        }
    }
    for (int64_t j = n - 1; j >= 0; --j) {
        double* to = x + j * width;
        const double inverse = 1 / diagonal[j];
        double sum[width];
#pragma omp simd
        for (int64_t c = 0; c < width; ++c) sum[c] = to[c] * inverse;
        for (int64_t k = colptr[j]; k < colptr[j + 1]; ++k) {
            const double* from = x + row[k] * width;
            const double v = value[k];
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) sum[c] -= v * from[c];
        }
        std::copy_n(sum, width, to);
    }
}

}  // namespace

void ldl_solve(const int64_t* colptr, const int64_t* row, const double* value, const double* diagonal, int64_t n, double* x,
               int64_t columns, int threads) {
    const int64_t blocks = (columns + width - 1) / width;
    if (n == 0 || blocks == 0) return;
    if (columns == width) {
        solve_block(colptr, row, value, diagonal, n, x);
        return;
    }
    const int team = static_cast<int>(std::min<int64_t>(team_size(2 * (colptr[n] + n) * columns / 4, threads), blocks));
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t first = b * width, count = std::min(width, columns - first);
        std::vector<double> block(static_cast<size_t>(n * width));
        for (int64_t i = 0; i < n; ++i) std::copy_n(x + i * columns + first, count, block.data() + i * width);
        solve_block(colptr, row, value, diagonal, n, block.data());
        for (int64_t i = 0; i < n; ++i) std::copy_n(block.data() + i * width, count, x + i * columns + first);
    }
}

}  // namespace geodl
