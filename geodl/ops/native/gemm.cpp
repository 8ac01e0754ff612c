#include "gemm.h"

#include <algorithm>

#include "simd.h"

namespace geodl {
namespace {

template <class T>
constexpr int64_t line = 64 / sizeof(T);

// Goes through memory that is read later: next(depth, otherwise) is where a tile shall bring `depth` elements from.
template <class T>
struct Prefetch {
    Ahead<T> what;
    int64_t column = 0;

    GEODL_INLINE const T* next(int64_t depth, const T* otherwise) {
        if (what.rows <= 0) return otherwise;
        const T* found = what.data + column;
        column += (depth + line<T> - 1) / line<T> * line<T>;
        if (column >= what.columns) {
            column = 0;
            what.data += what.row;
            --what.rows;
        }
        return found;
    }
};

// A tile of R rows and N vectors stays in registers while depth passes. Meanwhile what comes next is brought into the
// cache: the processor itself does not foresee several short rows at once.
template <class T, class Vector, int R, int N, bool RowsAdjacent>
GEODL_INLINE void tile(int64_t depth, Left<T> a, const T* b, int64_t b_depth, T* out, int64_t out_row, bool accumulate,
                       const T* next_a, const T* next_b) {
    constexpr int64_t lanes = sizeof(Vector) / sizeof(T);
    Vector sum[R][N], right[N];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
            if (accumulate) load(sum[r][n], out + r * out_row + n * lanes);
            else sum[r][n] = Vector{};
        }
    const T* rows[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        rows[r] = a.data + r * a.row;
        __builtin_prefetch(out + (R + r) * out_row, 1);
    }
    for (int64_t first = 0; first < depth; first += line<T>) {
        if constexpr (RowsAdjacent) {
            __builtin_prefetch(next_a + first);
            __builtin_prefetch(next_b + first);
        } else {
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) __builtin_prefetch(rows[r] + R * a.row + first);
        }
        const int64_t end = std::min(first + line<T>, depth);
        for (int64_t d = first; d < end; ++d) {
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) load(right[n], b + d * b_depth + n * lanes);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                const T left = RowsAdjacent ? a.data[d * a.depth + r] : rows[r][d];
#pragma GCC unroll 4
                for (int n = 0; n < N; ++n) sum[r][n] += left * right[n];
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) store(out + r * out_row + n * lanes, sum[r][n]);
}

template <class T, class Vector, int R, int N>
GEODL_INLINE void tile(int64_t depth, Left<T> a, const T* b, int64_t b_depth, T* out, int64_t out_row, bool accumulate,
                       Prefetch<T>& next_a, Prefetch<T>& next_b) {
    if (a.row == 1)
        tile<T, Vector, R, N, true>(depth, a, b, b_depth, out, out_row, accumulate, next_a.next(depth, b),
                                    next_b.next(depth, b));
    else tile<T, Vector, R, N, false>(depth, a, b, b_depth, out, out_row, accumulate, nullptr, nullptr);
}

// R rows after the other, each by all columns of b, which stay in the L2 cache.
template <class T, class Vector, int R>
GEODL_INLINE void strip(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,
                        bool accumulate, Prefetch<T>& next_a, Prefetch<T>& next_b) {
    constexpr int64_t lanes = sizeof(Vector) / sizeof(T);
    int64_t r = 0;
    for (; r + R <= rows; r += R) {
        const Left<T> left{a.data + r * a.row, a.row, a.depth};
        for (int64_t c = 0; c < columns; c += 2 * lanes) {
            const T* right = b.data + c / b.width * b.panel + c % b.width;
            T* to = out + r * out_row + c;
            if (c + 2 * lanes <= columns)
                tile<T, Vector, R, 2>(depth, left, right, b.depth, to, out_row, accumulate, next_a, next_b);
            else tile<T, Vector, R, 1>(depth, left, right, b.depth, to, out_row, accumulate, next_a, next_b);
        }
    }
    if constexpr (R > 1) {
        if (r < rows)
            strip<T, Vector, R == 6 ? 4 : R / 2>(rows - r, columns, depth, {a.data + r * a.row, a.row, a.depth}, b,
                                                 out + r * out_row, out_row, accumulate, next_a, next_b);
    }
}

template <class T, class Vector, int R>
GEODL_INLINE void blocks(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,
                         bool accumulate, Ahead<T> after_a, Ahead<T> after_b) {
    constexpr int64_t deep = 256, cached = (1 << 17) / sizeof(T);  // the part of b that an L2 cache shall hold
    Prefetch<T> next_a{after_a}, next_b{after_b};
    for (int64_t d = 0; d == 0 || d < depth; d += deep) {
        const int64_t part = std::min(deep, depth - d);
        const int64_t panels = cached / std::max<int64_t>(part, 1) / panel_width<T>;
        const int64_t wide = std::max<int64_t>(panels, 1) * panel_width<T>;
        for (int64_t c = 0; c < columns; c += wide) {
            const Right<T> right{b.data + c / b.width * b.panel + d * b.depth, b.depth, b.panel, b.width};
            strip<T, Vector, R>(rows, std::min(wide, columns - c), part, {a.data + d * a.depth, a.row, a.depth}, right,
                                out + c, out_row, accumulate || d > 0, next_a, next_b);
        }
    }
}

// The shape of a tile follows from the number of registers, so target_clones of one body would not do.
template <class T, int Bytes>
struct Registers {
    typedef T Vector __attribute__((vector_size(Bytes)));
};

#define GEODL_GEMM(name, target, T, bytes, rows_in_registers)                                                          \
    target void name(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,     \
                     bool accumulate, Ahead<T> next_a, Ahead<T> next_b) {                                              \
        blocks<T, Registers<T, bytes>::Vector, rows_in_registers>(rows, columns, depth, a, b, out, out_row, accumulate, \
                                                                  next_a, next_b);                                     \
    }

GEODL_GEMM(gemm_baseline, , float, 16, 4)
GEODL_GEMM(gemm_baseline, , double, 16, 4)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GEODL_X86_LEVELS
GEODL_GEMM(gemm_v3, __attribute__((target("arch=x86-64-v3"))), float, 32, 6)
GEODL_GEMM(gemm_v3, __attribute__((target("arch=x86-64-v3"))), double, 32, 6)
GEODL_GEMM(gemm_v4, __attribute__((target("arch=x86-64-v4"))), float, 64, 8)
GEODL_GEMM(gemm_v4, __attribute__((target("arch=x86-64-v4"))), double, 64, 8)
#endif

#ifdef GEODL_X86_LEVELS
int level() {
    static const int found = __builtin_cpu_supports("x86-64-v4") ? 4 : __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
    return found;
}
#endif

template <class T>
void dispatch(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,
              bool accumulate, Ahead<T> next_a, Ahead<T> next_b) {
#ifdef GEODL_X86_LEVELS
    if (level() == 4) return gemm_v4(rows, columns, depth, a, b, out, out_row, accumulate, next_a, next_b);
    if (level() == 3) return gemm_v3(rows, columns, depth, a, b, out, out_row, accumulate, next_a, next_b);
#endif
    gemm_baseline(rows, columns, depth, a, b, out, out_row, accumulate, next_a, next_b);
}

}  // namespace

template <class T>
int64_t best_width() {
#ifdef GEODL_X86_LEVELS
    if (level() == 4) return panel_width<T>;
#endif
    return panel_width<T> / 2;
}
template int64_t best_width<float>();
template int64_t best_width<double>();

void gemm(int64_t rows, int64_t columns, int64_t depth, Left<float> a, Right<float> b, float* out, int64_t out_row,
          bool accumulate, Ahead<float> next_a, Ahead<float> next_b) {
    dispatch(rows, columns, depth, a, b, out, out_row, accumulate, next_a, next_b);
}

void gemm(int64_t rows, int64_t columns, int64_t depth, Left<double> a, Right<double> b, double* out, int64_t out_row,
          bool accumulate, Ahead<double> next_a, Ahead<double> next_b) {
    dispatch(rows, columns, depth, a, b, out, out_row, accumulate, next_a, next_b);
}

}  // namespace geodl
