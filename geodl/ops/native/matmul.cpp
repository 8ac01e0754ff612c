// Dense products of any size whose sums run over ascending depth, whatever the number of threads and of rows: see gemm.h.
#include <algorithm>
#include <memory>

#include "gemm.h"
#include "kernels.h"
#include "parallel.h"

namespace geodl {
namespace {

constexpr int64_t block_rows = 64, block_depth = 256;  // of the left matrix: 64 KB of floats, which the L2 cache holds

template <class T>
struct Strided {
    const T* data;
    int64_t row, column;
    const T& operator()(int64_t r, int64_t c) const { return data[r * row + c * column]; }
};

// Columns [panel * width, ...) of b as gemm reads them, zeros beyond the last.
template <class T>
void pack_panel(Strided<T> b, int64_t depth, int64_t columns, int64_t panel, T* to) {
    constexpr int64_t width = panel_width<T>;
    const int64_t count = std::min(width, columns - panel * width);
    for (int64_t d = 0; d < depth; ++d) {
        for (int64_t c = 0; c < count; ++c) to[d * width + c] = b(d, panel * width + c);
        std::fill(to + d * width + count, to + (d + 1) * width, T(0));
    }
}

template <class T>
void multiply_rows(int64_t rows, int64_t columns, int64_t depth, Strided<T> a, Right<T> b, T* out, int64_t out_row) {
    T adjacent[block_rows * block_depth];
    for (int64_t d = 0; d == 0 || d < depth; d += block_depth) {
        const int64_t part = std::min(block_depth, depth - d);
        Left<T> left{depth ? a.data + d * a.column : nullptr, a.row, a.column};
        if (a.column != 1) {  // rows of a are columns in memory, far apart: what is read at once is put together
            for (int64_t k = 0; k < part; ++k)
                for (int64_t r = 0; r < rows; ++r) adjacent[k * block_rows + r] = a(r, d + k);
            left = {adjacent, 1, block_rows};
        }
        const Right<T> right{b.data + d * b.depth, b.depth, b.panel};
        gemm(rows, columns, part, left, right, out, out_row, d > 0);
    }
}

// out [rows, columns] = a [rows, depth] b [depth, columns], out contiguous, nothing empty but for depth.
template <class T>
void matmul(int64_t rows, int64_t columns, int64_t depth, std::uintptr_t a, int64_t a_row, int64_t a_column,
            std::uintptr_t b, int64_t b_row, int64_t b_column, std::uintptr_t out_, int threads) {
    constexpr int64_t width = panel_width<T>, half = width / 2;
    const Strided<T> left{at<const T>(a), a_row, a_column}, right{at<const T>(b), b_row, b_column};
    T* out = at<T>(out_);
    const int64_t panels = (columns + width - 1) / width, padded = (columns + half - 1) / half * half;
    const int64_t blocks = (rows + block_rows - 1) / block_rows;
    const auto packed = std::make_unique_for_overwrite<T[]>(panels * depth * width + width);
    const int team = team_size(rows * columns * depth / 32, threads);
#pragma omp parallel num_threads(team)
    {
        const auto tile = std::make_unique_for_overwrite<T[]>(padded == columns ? 0 : block_rows * padded);
#pragma omp for schedule(static)
        for (int64_t panel = 0; panel < panels; ++panel)
            pack_panel(right, depth, columns, panel, packed.get() + panel * depth * width);
#pragma omp for schedule(dynamic, 1)
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t begin = block * block_rows, count = std::min(block_rows, rows - begin);
            const Strided<T> from{depth ? left.data + begin * a_row : nullptr, a_row, a_column};
            const Right<T> panel{packed.get(), width, depth * width};
            if (padded == columns) {
                multiply_rows(count, columns, depth, from, panel, out + begin * columns, columns);
                continue;
            }
            multiply_rows(count, padded, depth, from, panel, tile.get(), padded);
            for (int64_t r = 0; r < count; ++r)
                std::copy_n(tile.get() + r * padded, columns, out + (begin + r) * columns);
        }
    }
}

}  // namespace

void register_matmul(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("matmul_f32", &matmul<float>, unlocked);
    m.def("matmul_f64", &matmul<double>, unlocked);
}

}  // namespace geodl
