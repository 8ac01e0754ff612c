// Sums of dense products of any size. The order of additions follows from the depth and the strides alone, whatever the
// number of threads and of rows: it is ascending, see gemm.h, or that of pieces within which it is ascending.
#include <nanobind/stl/array.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "bounds.h"
#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace geodl {
namespace {

constexpr int64_t block_rows = 96;    // of the result, with the rows of a that they need: both are in the L2 cache
constexpr int64_t block_depth = 128;  // of a and b, where they are too long to be packed as a whole
constexpr int64_t pad = 16;           // between packed rows: a power of two of bytes would use a part of the L1 cache

template <class T>
constexpr int64_t block_columns = 512 / sizeof(T);

template <class T>
struct Strided {
    const T* data;
    int64_t row, column;
    const T& operator()(int64_t r, int64_t c) const { return data[r * row + c * column]; }
    Strided from(int64_t r, int64_t c) const { return {data ? data + r * row + c * column : data, row, column}; }
};

template <class T>
struct Term {
    int64_t depth;
    Strided<T> a, b;
};

struct Range {
    int64_t begin, count;
};

// What becomes of a sum; the derivatives are those of the functions, where they gave `units`.
enum class Last { nothing, relu, relu_derivative, tanh_derivative };

int64_t round_up(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

// Panels of b [depth, columns] as gemm reads it, zeros beyond the last column.
template <class T>
void pack(Strided<T> b, int64_t depth, int64_t columns, int64_t width, Range panels, T* to) {
    for (int64_t d = 0; d < depth; ++d)
        for (int64_t panel = panels.begin; panel < panels.begin + panels.count; ++panel) {
            const int64_t count = std::min(width, columns - panel * width);
            T* const row = to + (panel * depth + d) * width;
            if (count == width && b.column == 1) {
                constexpr int64_t half = panel_width<T> / 2;
                const T* const from = b.data + d * b.row + panel * width;
                for (int64_t c = 0; c < width; c += half) std::copy_n(from + c, half, row + c);  // of a constant size
                continue;
            }
            for (int64_t c = 0; c < count; ++c) row[c] = b(d, panel * width + c);
            std::fill(row + count, row + width, T(0));
        }
}

template <class T>
GEODL_INLINE void finish_any(Last last, int64_t rows, int64_t columns, T* sums, int64_t row, const T* units,
                             int64_t units_row) {
    for (int64_t r = 0; r < rows; ++r, sums += row, units += units_row) {
        if (last == Last::relu)
            for (int64_t c = 0; c < columns; ++c) sums[c] = sums[c] < 0 ? T(0) : sums[c];
        if (last == Last::relu_derivative)
            for (int64_t c = 0; c < columns; ++c) sums[c] = units[c] <= 0 ? T(0) : sums[c];
        if (last == Last::tanh_derivative)
            for (int64_t c = 0; c < columns; ++c) sums[c] *= 1 - units[c] * units[c];
    }
}
GEODL_CLONES void finish(Last last, int64_t rows, int64_t columns, float* sums, int64_t row, const float* units,
                         int64_t units_row) {
    finish_any(last, rows, columns, sums, row, units, units_row);
}
GEODL_CLONES void finish(Last last, int64_t rows, int64_t columns, double* sums, int64_t row, const double* units,
                         int64_t units_row) {
    finish_any(last, rows, columns, sums, row, units, units_row);
}

template <class T>
struct Sum {
    int64_t rows, columns;
    std::vector<Term<T>> terms;
    Strided<T> start;  // what the products are added to; zeros if it has no data
    T* out;
    int64_t out_row;
    Last last;
    Strided<T> units;

    void run(int threads) const {
        bool rows_in_memory = true;
        for (const Term<T>& term : terms) rows_in_memory &= term.a.column == 1;
        if (rows_in_memory) by_rows(threads);
        else by_depth(threads);
    }

    // Rows and columns of the result: add(to, row, padded) adds the products to `padded` columns at `to`.
    template <class Add>
    void tile(Range r, Range c, T* padding, Add add) const {
        const int64_t padded = round_up(c.count, panel_width<T> / 2);
        T* const here = out + r.begin * out_row + c.begin;
        T* const to = padded == c.count ? here : padding;
        const int64_t row = padded == c.count ? out_row : padded;
        const Strided<T> from = start.from(r.begin, c.begin);
        for (int64_t i = 0; i < r.count; ++i) {
            if (!from.data || from.data == to) break;
            std::copy_n(from.data + i * from.row, c.count, to + i * row);
            std::fill(to + i * row + c.count, to + i * row + padded, T(0));
        }
        add(to, row, padded);
        if (last != Last::nothing)
            finish(last, r.count, c.count, to, row, units.from(r.begin, c.begin).data, units.row);
        for (int64_t i = 0; to != here && i < r.count; ++i) std::copy_n(to + i * row, c.count, here + i * out_row);
    }

    int team_of(int threads) const {
        int64_t depth = 0;
        for (const Term<T>& term : terms) depth += term.depth;
        return team_size(rows * columns * depth / 32, threads);
    }

    // Rows of every a lie side by side, and every b is short: it is packed once, for all rows.
    void by_rows(int threads) const {
        const int64_t width = best_width<T>();
        const int64_t panels = (columns + width - 1) / width;
        std::vector<std::unique_ptr<T[]>> packed;
        for (const Term<T>& term : terms)
            packed.push_back(std::make_unique_for_overwrite<T[]>(panels * term.depth * width));
        const int team = team_of(threads);
        const int64_t size = std::min(block_rows, round_up((rows + 4 * team - 1) / (4 * team), 24));
        const int64_t blocks = (rows + size - 1) / size;
#pragma omp parallel num_threads(team)
        {
            const bool padded_tiles = columns % (panel_width<T> / 2);
            const auto padding = std::make_unique_for_overwrite<T[]>(padded_tiles ? size * panels * width : 0);
            for (std::size_t t = 0; t < terms.size(); ++t)
#pragma omp for schedule(static)
                for (int64_t panel = 0; panel < panels; ++panel)
                    pack(terms[t].b, terms[t].depth, columns, width, {panel, 1}, packed[t].get());
#pragma omp for schedule(dynamic, 1)
            for (int64_t block = 0; block < blocks; ++block) {
                const Range r{block * size, std::min(size, rows - block * size)};
                tile(r, {0, columns}, padding.get(), [&](T* to, int64_t row, int64_t padded) {
                    for (std::size_t t = 0; t < terms.size(); ++t) {
                        const Strided<T> a = terms[t].a.from(r.begin, 0);
                        const int64_t depth = terms[t].depth;
                        gemm(r.count, padded, depth, Left<T>{a.data, a.row, a.column},
                             Right<T>{packed[t].get(), width, depth * width, width}, to, row, t > 0 || start.data);
                    }
                });
            }
        }
    }

    // A short result of long sums, which are cut into pieces; their sums are added in their order. Each thread packs what
    // it reads, while the next block of it comes into the cache.
    void by_depth(int threads) const {
        constexpr int64_t width = panel_width<T>, most = 16;  // tiles at a time
        std::vector<std::pair<const Term<T>*, Range>> pieces;
        for (const Term<T>& term : terms) {
            const int64_t size = round_up(std::max<int64_t>(term.depth / 8, 512), block_depth);
            for (int64_t d = 0; d == 0 || d < term.depth; d += size)
                pieces.push_back({&term, {d, std::min(size, term.depth - d)}});
        }
        const int64_t high = std::min<int64_t>(rows, 128), across = (columns + 16 * width - 1) / (16 * width);
        const int64_t wide = round_up((columns + across - 1) / across, width);
        const int64_t tiles = (rows + high - 1) / high * across, count = pieces.size();
        const auto sums = std::make_unique_for_overwrite<T[]>(std::min(tiles, most) * count * high * wide);
        const auto range = [&](int64_t t) {
            const int64_t top = t / across * high, left = t % across * wide;
            return std::pair{Range{top, std::min(high, rows - top)}, Range{left, std::min(wide, columns - left)}};
        };
#pragma omp parallel num_threads(team_of(threads))
        {
            const auto packed_a = std::make_unique_for_overwrite<T[]>(block_depth * (high + pad));
            const auto packed_b = std::make_unique_for_overwrite<T[]>(block_depth * block_columns<T>);
            const auto padding = std::make_unique_for_overwrite<T[]>(columns % (width / 2) ? high * wide : 0);
            for (int64_t first = 0; first < tiles; first += most) {
                const int64_t here = std::min(most, tiles - first);
#pragma omp for schedule(dynamic, 1)
                for (int64_t i = 0; i < here * count; ++i) {
                    const auto [r, c] = range(first + i / count);
                    piece(*pieces[i % count].first, pieces[i % count].second, r, c, packed_a.get(), packed_b.get(),
                          sums.get() + i * high * wide, wide);
                }
#pragma omp for schedule(dynamic, 1)
                for (int64_t t = 0; t < here; ++t) {
                    const auto [r, c] = range(first + t);
                    tile(r, c, padding.get(), [&](T* to, int64_t row, int64_t) {
                        for (int64_t p = 0; p < count; ++p)
                            for (int64_t i = 0; i < r.count; ++i) {
                                const T* sum = sums.get() + ((t * count + p) * high + i) * wide;
                                for (int64_t k = 0; k < c.count; ++k)
                                    to[i * row + k] = p || start.data ? to[i * row + k] + sum[k] : sum[k];
                            }
                    });
                }
            }
        }
    }

    // out = a b, through the given depth alone.
    static void piece(const Term<T>& term, Range depth, Range r, Range c, T* packed_a, T* packed_b, T* out,
                      int64_t out_row) {
        constexpr int64_t half = panel_width<T> / 2, group = block_columns<T>;
        const int64_t width = best_width<T>();
        for (int64_t d = 0; d == 0 || d < depth.count; d += block_depth) {
            const int64_t part = std::min(block_depth, depth.count - d);
            const int64_t after = std::clamp<int64_t>(depth.count - d - block_depth, 0, block_depth);
            const Strided<T> a = term.a.from(r.begin, depth.begin + d);
            for (int64_t k = 0; k < part; ++k) {
                T* const row = packed_a + k * (r.count + pad);
                if (a.row == 1) std::copy_n(a.data + k * a.column, r.count, row);
                else
                    for (int64_t i = 0; i < r.count; ++i) row[i] = a(i, k);
            }
            for (int64_t left = 0; left < c.count; left += group) {
                const int64_t columns = std::min(group, c.count - left);
                const Strided<T> b = term.b.from(depth.begin + d, c.begin + left);
                pack(b, part, columns, width, {0, (columns + width - 1) / width}, packed_b);
                gemm(r.count, round_up(columns, half), part, Left<T>{packed_a, 1, r.count + pad},
                     Right<T>{packed_b, width, part * width, width}, out + left, out_row, d > 0,
                     Ahead<T>{a.from(0, block_depth).data, left ? 0 : after, a.column, r.count},
                     Ahead<T>{b.from(block_depth, 0).data, after, b.row, columns});
            }
        }
    }
};

// The depth of a term, and address and strides of a [rows, depth] and of b [depth, columns].
using Operands = std::array<int64_t, 7>;

// out [rows, columns] = last(start + the sum of all a b); start may be out itself, or one row for all (start_row 0).
template <class T>
void matmul(int64_t rows, int64_t columns, const std::vector<Operands>& operands, std::uintptr_t start,
            int64_t start_row, std::uintptr_t out, int64_t out_row, int last, std::uintptr_t units, int64_t units_row,
            int threads) {
    if (rows == 0 || columns == 0) return;
    Sum<T> sum{rows, columns, {}, {at<const T>(start), start_row, 1}, at<T>(out), out_row, static_cast<Last>(last),
               {at<const T>(units), units_row, 1}};
    need_memory("out", sum.out, rows);
    for (const auto& [depth, a, a_row, a_column, b, b_row, b_column] : operands) {
        need_memory("a", at<const T>(a), depth);
        need_memory("b", at<const T>(b), depth);
        sum.terms.push_back({depth, {at<const T>(a), a_row, a_column}, {at<const T>(b), b_row, b_column}});
    }
    sum.run(threads);
}

// Products a_k b_k of `count` pairs of matrices that lie at even distances (steps, in numbers), as the results do.
template <class T>
void products(int64_t count, int64_t rows, int64_t columns, Operands operands, int64_t a_step, int64_t b_step,
              std::uintptr_t out, int64_t out_row, int64_t out_step, int threads) {
    constexpr int64_t bytes = sizeof(T);
    for (int64_t k = 0; k < count; ++k) {
        matmul<T>(rows, columns, {operands}, 0, 0, out, out_row, 0, 0, 0, threads);
        operands[1] += a_step * bytes;
        operands[4] += b_step * bytes;
        out += static_cast<std::uintptr_t>(out_step * bytes);
    }
}

}  // namespace

void register_matmul(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("products_f32", &products<float>, unlocked);
    m.def("products_f64", &products<double>, unlocked);
    m.def("matmul_f32", &matmul<float>, unlocked);
    m.def("matmul_f64", &matmul<double>, unlocked);
}

}  // namespace geodl
