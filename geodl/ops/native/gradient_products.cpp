// Inner products of gradients with gradients of linear combinations, as DiffusionNet's features need them, in one pass over
// the edges; their derivative, in the same pass once more; and its way back to the signals, in one over the transposed edges.
//
// Rows are computed by one thread each, in the order of their edges: results are bitwise equal for any number of threads. All
// channels of a row come before the next row: one block of channels of many rows would lie in few sets of the caches.
#include <algorithm>

#include "exp.h"
#include "graph.h"
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace geodl {
namespace {

// Edges with two weights each, the components of a gradient.
template <class T>
struct Stencil {
    const int64_t* rowptr;
    const int64_t* col;
    const T* weight;
    int64_t edges;
    // About two rows of a mesh ahead: which rows come next the processor can't foresee, and fetching takes as long.
    GEODL_INLINE int64_t soon(int64_t e) const { return col[std::min(e + 14, edges - 1)]; }
};

template <class T, int Parts>
GEODL_INLINE void prefetch(const T* row, int64_t channels) {
    for (int part = 0; part < Parts; ++part) __builtin_prefetch(row + part * channels);
}

// signals [V, 3, C] are p, r and m; inner [4, C] of one row are dx p, dx r - dy m, dy p and dy r + dx m; sum [C] is first times
// second plus third times fourth.
template <class T, class Vector, bool Keeps>
GEODL_INLINE void products_block(const Stencil<T>& stencil, const T* signals, int64_t channels, int64_t i, int64_t c,
                                 T* inner, T* sum) {
    Vector xp{}, xa{}, yp{}, ya{}, p, r, m;
    for (int64_t e = stencil.rowptr[i]; e < stencil.rowptr[i + 1]; ++e) {
        const T* row = signals + stencil.col[e] * 3 * channels + c;
        const T x = stencil.weight[2 * e], y = stencil.weight[2 * e + 1];
        prefetch<T, 3>(signals + stencil.soon(e) * 3 * channels + c, channels);
        load(p, row);
        load(r, row + channels);
        load(m, row + 2 * channels);
        xp += x * p;
        yp += y * p;
        xa += x * r;
        xa -= y * m;
        ya += y * r;
        ya += x * m;
    }
    if constexpr (Keeps) {
        store(inner + c, xp);
        store(inner + channels + c, xa);
        store(inner + 2 * channels + c, yp);
        store(inner + 3 * channels + c, ya);
    }
    const Vector total = xp * xa + yp * ya;
    store(sum + c, total);
}

template <class T, bool Keeps>
GEODL_INLINE void products_row(const Stencil<T>& stencil, const T* signals, int64_t channels, int64_t i, T* inner, T* out) {
    if (channels < Lanes<T>::count) {
        for (int64_t c = 0; c < channels; ++c)
            products_block<T, T, Keeps>(stencil, signals, channels, i, c, inner, out);
    } else {
        for_blocks<T, 1>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            products_block<T, typename Lanes<T>::Value, Keeps>(stencil, signals, channels, i, c, inner, out);
        });
    }
    tanh_all(out, channels);
}

// The gradient of signals from that of every inner product, over the transposed edges. `inner` holds at each product the factor
// that it was multiplied with, times the gradient of the sum.
template <class T, class Vector>
GEODL_INLINE void adjoint_block(const Stencil<T>& stencil, const T* inner, int64_t channels, int64_t j, int64_t c, T* out) {
    Vector p{}, r{}, m{}, value;
    for (int64_t e = stencil.rowptr[j]; e < stencil.rowptr[j + 1]; ++e) {
        const T* row = inner + stencil.col[e] * 4 * channels + c;
        const T x = stencil.weight[2 * e], y = stencil.weight[2 * e + 1];
        prefetch<T, 4>(inner + stencil.soon(e) * 4 * channels + c, channels);
        load(value, row);
        r += x * value;
        m -= y * value;
        load(value, row + channels);
        p += x * value;
        load(value, row + 2 * channels);
        r += y * value;
        m += x * value;
        load(value, row + 3 * channels);
        p += y * value;
    }
    T* kept = out + j * 3 * channels + c;
    store(kept, p);
    store(kept + channels, r);
    store(kept + 2 * channels, m);
}

template <class T>
GEODL_INLINE void products_any(const Stencil<T>& stencil, const T* signals, int64_t channels, T* out, int64_t begin,
                               int64_t end) {
    for (int64_t i = begin; i < end; ++i)
        products_row<T, false>(stencil, signals, channels, i, nullptr, out + i * channels);
}

// Out again, and into inner the products times the gradient of what tanh is taken of.
template <class T>
GEODL_INLINE void derivative_any(const Stencil<T>& stencil, const T* signals, const T* grad, int64_t channels, T* inner,
                                 T* out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        T* const row = inner + i * 4 * channels;
        T* const found = out + i * channels;
        products_row<T, true>(stencil, signals, channels, i, row, found);
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
            const T g = grad[i * channels + c] * (1 - found[c] * found[c]);
            for (int part = 0; part < 4; ++part) row[part * channels + c] *= g;
        }
    }
}

template <class T>
GEODL_INLINE void adjoint_any(const Stencil<T>& stencil, const T* inner, int64_t channels, T* out, int64_t begin,
                              int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
        if (channels < Lanes<T>::count) {
            for (int64_t c = 0; c < channels; ++c) adjoint_block<T, T>(stencil, inner, channels, j, c, out);
            continue;
        }
        for_blocks<T, 1>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            adjoint_block<T, typename Lanes<T>::Value>(stencil, inner, channels, j, c, out);
        });
    }
}

#define GEODL_GRADIENT_PRODUCTS(T)                                                                                     \
    GEODL_CLONES void products_rows(Stencil<T> stencil, const T* signals, int64_t channels, T* out, int64_t begin,     \
                                    int64_t end) {                                                                     \
        products_any(stencil, signals, channels, out, begin, end);                                                     \
    }                                                                                                                  \
    GEODL_CLONES void derivative_rows(Stencil<T> stencil, const T* signals, const T* grad, int64_t channels, T* inner, \
                                      T* out, int64_t begin, int64_t end) {                                            \
        derivative_any(stencil, signals, grad, channels, inner, out, begin, end);                                      \
    }                                                                                                                  \
    GEODL_CLONES void adjoint_rows(Stencil<T> stencil, const T* inner, int64_t channels, T* out, int64_t begin,        \
                                   int64_t end) {                                                                      \
        adjoint_any(stencil, inner, channels, out, begin, end);                                                        \
    }
GEODL_GRADIENT_PRODUCTS(float)
GEODL_GRADIENT_PRODUCTS(double)

int64_t work_of(int64_t rows, int64_t edges, int64_t channels) {
    return (rows + edges) * (channels + 4) / 4;
}

template <class T>
void gradient_products(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                       std::uintptr_t signals, int64_t channels, std::uintptr_t out, int threads, int64_t edges,
                       int64_t sources) {
    const Stencil<T> stencil{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight), edges};
    Bounds bounds = bounds_of({stencil.rowptr, stencil.col}, rows, edges, sources);
    need_memory("weight", stencil.weight, edges);
    need_memory("signals", at<const T>(signals), sources * channels);
    for_rows(bounds, work_of(rows, edges, channels), threads, [&](int64_t begin, int64_t end) {
        products_rows(stencil, at<const T>(signals), channels, at<T>(out), begin, end);
    });
}

template <class T>
void gradient_products_derivative(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                                  std::uintptr_t signals, std::uintptr_t grad, int64_t channels, std::uintptr_t inner,
                                  std::uintptr_t out, int threads, int64_t edges, int64_t sources) {
    const Stencil<T> stencil{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight), edges};
    Bounds bounds = bounds_of({stencil.rowptr, stencil.col}, rows, edges, sources);
    need_memory("weight", stencil.weight, edges);
    need_memory("signals", at<const T>(signals), sources * channels);
    need_memory("grad", at<const T>(grad), rows * channels);
    for_rows(bounds, work_of(rows, edges, channels), threads, [&](int64_t begin, int64_t end) {
        derivative_rows(stencil, at<const T>(signals), at<const T>(grad), channels, at<T>(inner), at<T>(out), begin, end);
    });
}

template <class T>
void gradient_products_adjoint(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                               std::uintptr_t inner, int64_t channels, std::uintptr_t out, int threads, int64_t edges,
                               int64_t destinations) {
    const Stencil<T> stencil{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight), edges};
    Bounds bounds = bounds_of_transpose({stencil.rowptr, stencil.col}, nullptr, rows, edges, destinations);
    need_memory("weight", stencil.weight, edges);
    need_memory("inner", at<const T>(inner), destinations * channels);
    for_rows(bounds, work_of(rows, edges, channels), threads, [&](int64_t begin, int64_t end) {
        adjoint_rows(stencil, at<const T>(inner), channels, at<T>(out), begin, end);
    });
}

}  // namespace

void register_gradient_products(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("gradient_products_f32", &gradient_products<float>, unlocked);
    m.def("gradient_products_f64", &gradient_products<double>, unlocked);
    m.def("gradient_products_derivative_f32", &gradient_products_derivative<float>, unlocked);
    m.def("gradient_products_derivative_f64", &gradient_products_derivative<double>, unlocked);
    m.def("gradient_products_adjoint_f32", &gradient_products_adjoint<float>, unlocked);
    m.def("gradient_products_adjoint_f64", &gradient_products_adjoint<double>, unlocked);
}

}  // namespace geodl
