#include "gemm.h"

#include <algorithm>

#include "simd.h"

namespace geodl {
namespace {

// A tile of R rows and N vectors stays in registers while depth passes.
template <class T, class Vector, int R, int N, bool RowsAdjacent>
GEODL_INLINE void tile(int64_t depth, Left<T> a, const T* b, int64_t b_depth, T* out, int64_t out_row, bool accumulate) {
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
    for (int r = 0; r < R; ++r) rows[r] = a.data + r * a.row;
    for (int64_t d = 0; d < depth; ++d) {
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) load(right[n], b + d * b_depth + n * lanes);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const T left = RowsAdjacent ? a.data[d * a.depth + r] : rows[r][d];
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) sum[r][n] += left * right[n];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) store(out + r * out_row + n * lanes, sum[r][n]);
}

template <class T, class Vector, int R, int N>
GEODL_INLINE void tile(int64_t depth, Left<T> a, const T* b, int64_t b_depth, T* out, int64_t out_row, bool accumulate) {
    if (a.row == 1) tile<T, Vector, R, N, true>(depth, a, b, b_depth, out, out_row, accumulate);
    else tile<T, Vector, R, N, false>(depth, a, b, b_depth, out, out_row, accumulate);
}

template <class T, class Vector, int R, int N>
GEODL_INLINE void strip(int64_t rows, int64_t depth, Left<T> a, const T* b, int64_t b_depth, T* out, int64_t out_row,
                        bool accumulate) {
    int64_t r = 0;
    for (; r + R <= rows; r += R)
        tile<T, Vector, R, N>(depth, {a.data + r * a.row, a.row, a.depth}, b, b_depth, out + r * out_row, out_row,
                              accumulate);
    if constexpr (R > 1) {
        if (r < rows)
            strip<T, Vector, R / 2, N>(rows - r, depth, {a.data + r * a.row, a.row, a.depth}, b, b_depth,
                                       out + r * out_row, out_row, accumulate);
    }
}

template <class T, class Vector, int R>
GEODL_INLINE void blocks(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,
                         bool accumulate) {
    constexpr int64_t lanes = sizeof(Vector) / sizeof(T);
    constexpr int64_t cached = 256;  // depth x 128 bytes of a panel stay in the L1 cache while the rows pass
    int64_t d = 0;
    do {
        const int64_t part = std::min(cached, depth - d);
        const Left<T> left{a.data + d * a.depth, a.row, a.depth};
        int64_t c = 0;
        for (; c + 2 * lanes <= columns; c += 2 * lanes) {
            const T* right = b.data + c / panel_width<T> * b.panel + c % panel_width<T> + d * b.depth;
            strip<T, Vector, R, 2>(rows, part, left, right, b.depth, out + c, out_row, accumulate || d > 0);
        }
        if (c < columns) {
            const T* right = b.data + c / panel_width<T> * b.panel + c % panel_width<T> + d * b.depth;
            strip<T, Vector, R, 1>(rows, part, left, right, b.depth, out + c, out_row, accumulate || d > 0);
        }
        d += part;
    } while (d < depth);
}

// The shape of a tile follows from the number of registers, so target_clones of one body would not do.
template <class T, int Bytes>
struct Registers {
    typedef T Vector __attribute__((vector_size(Bytes)));
};

#define GEODL_GEMM(name, target, T, bytes, rows_in_registers)                                                          \
    target void name(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,     \
                     bool accumulate) {                                                                                \
        blocks<T, Registers<T, bytes>::Vector, rows_in_registers>(rows, columns, depth, a, b, out, out_row, accumulate); \
    }

GEODL_GEMM(gemm_baseline, , float, 16, 4)
GEODL_GEMM(gemm_baseline, , double, 16, 4)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define GEODL_X86_LEVELS
GEODL_GEMM(gemm_v3, __attribute__((target("arch=x86-64-v3"))), float, 32, 4)
GEODL_GEMM(gemm_v3, __attribute__((target("arch=x86-64-v3"))), double, 32, 4)
GEODL_GEMM(gemm_v4, __attribute__((target("arch=x86-64-v4"))), float, 64, 8)
GEODL_GEMM(gemm_v4, __attribute__((target("arch=x86-64-v4"))), double, 64, 8)
#endif

template <class T>
void dispatch(int64_t rows, int64_t columns, int64_t depth, Left<T> a, Right<T> b, T* out, int64_t out_row,
              bool accumulate) {
#ifdef GEODL_X86_LEVELS
    static const int level = __builtin_cpu_supports("x86-64-v4") ? 4 : __builtin_cpu_supports("x86-64-v3") ? 3 : 1;
    if (level == 4) return gemm_v4(rows, columns, depth, a, b, out, out_row, accumulate);
    if (level == 3) return gemm_v3(rows, columns, depth, a, b, out, out_row, accumulate);
#endif
    gemm_baseline(rows, columns, depth, a, b, out, out_row, accumulate);
}

}  // namespace

void gemm(int64_t rows, int64_t columns, int64_t depth, Left<float> a, Right<float> b, float* out, int64_t out_row,
          bool accumulate) {
    dispatch(rows, columns, depth, a, b, out, out_row, accumulate);
}

void gemm(int64_t rows, int64_t columns, int64_t depth, Left<double> a, Right<double> b, double* out, int64_t out_row,
          bool accumulate) {
    dispatch(rows, columns, depth, a, b, out, out_row, accumulate);
}

}  // namespace geodl
