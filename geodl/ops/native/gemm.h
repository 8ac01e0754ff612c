// Small matrix products on one thread, for kernels that make a block of a matrix and use it while it is in the cache.
//
// Every element is the sum over ascending depth, one fused multiply-add after the other, wherever it lies in the matrix
// and however the product is cut into blocks. So results depend neither on the number of threads nor on how kernels cut
// their work, which no BLAS promises.
#pragma once

#include <cstdint>

namespace geodl {

// Columns of b lie in panels of 128 bytes; the last panel may be half as wide.
template <class T>
constexpr int64_t panel_width = 128 / sizeof(T);

// Element (r, d) is at data[r * row + d * depth]; one of the strides is 1.
template <class T>
struct Left {
    const T* data;
    int64_t row, depth;
};

// Element (d, c) is at data[c / width * panel + d * depth + c % width].
template <class T>
struct Right {
    const T* data;
    int64_t depth, panel, width = panel_width<T>;
};

// The width of panels that is best on this machine: what is read at once has no gaps. `panel_width` or half of it.
template <class T>
int64_t best_width();

// Rows of memory which are read after a product: they come into the cache meanwhile, as far as its time allows.
template <class T>
struct Ahead {
    const T* data;
    int64_t rows, row, columns;
};

// out[r * out_row + c] = (accumulate ? itself : 0) + sum over d of a[r, d] b[d, c].
// `columns` must be a multiple of half a panel.
void gemm(int64_t rows, int64_t columns, int64_t depth, Left<float> a, Right<float> b, float* out, int64_t out_row,
          bool accumulate, Ahead<float> next_a = {}, Ahead<float> next_b = {});
void gemm(int64_t rows, int64_t columns, int64_t depth, Left<double> a, Right<double> b, double* out, int64_t out_row,
          bool accumulate, Ahead<double> next_a = {}, Ahead<double> next_b = {});

}  // namespace geodl
