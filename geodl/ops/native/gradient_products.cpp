// Inner products of gradients with gradients of linear combinations, as DiffusionNet's features need them, in one pass over
// the edges; and the adjoint, in one pass over the transposed edges.
//
// Rows are computed by one thread each, in the order of their edges: results are bitwise equal for any number of threads. All
// channels of a row come before the next row: one block of channels of many rows would lie in few sets of the caches.
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
};

// signals [V, 3, C] are p, r and m; inner [N, 4, C] are dx p, dx r - dy m, dy p and dy r + dx m; out [N, C] is the tanh of
// first times second plus third times fourth.
template <class T, class Vector>
GEODL_INLINE void products_block(Stencil<T> stencil, const T* signals, int64_t channels, int64_t i, int64_t c, T* inner,
                                 T* out) {
    Vector xp{}, xa{}, yp{}, ya{}, p, r, m;
    for (int64_t e = stencil.rowptr[i]; e < stencil.rowptr[i + 1]; ++e) {
        const T* row = signals + stencil.col[e] * 3 * channels + c;
        const T x = stencil.weight[2 * e], y = stencil.weight[2 * e + 1];
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
    T* kept = inner + i * 4 * channels + c;
    store(kept, xp);
    store(kept + channels, xa);
    store(kept + 2 * channels, yp);
    store(kept + 3 * channels, ya);
    const Vector sum = xp * xa + yp * ya;
    store(out + i * channels + c, sum);
}

// The gradient of signals, from that of what out is the tanh of, over the transposed edges.
template <class T, class Vector>
GEODL_INLINE void adjoint_block(Stencil<T> stencil, const T* inner, const T* grad, int64_t channels, int64_t j, int64_t c,
                                T* out) {
    Vector p{}, r{}, m{}, g, value;
    for (int64_t e = stencil.rowptr[j]; e < stencil.rowptr[j + 1]; ++e) {
        const int64_t i = stencil.col[e];
        const T* row = inner + i * 4 * channels + c;
        load(g, grad + i * channels + c);
        const Vector x = stencil.weight[2 * e] * g, y = stencil.weight[2 * e + 1] * g;
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
GEODL_INLINE void products_any(Stencil<T> stencil, const T* signals, int64_t channels, T* inner, T* out, int64_t begin,
                               int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        if (channels < Lanes<T>::count) {
            for (int64_t c = 0; c < channels; ++c) products_block<T, T>(stencil, signals, channels, i, c, inner, out);
        } else {
            for_blocks<T, 1>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
                products_block<T, typename Lanes<T>::Value>(stencil, signals, channels, i, c, inner, out);
            });
        }
        tanh_all(out + i * channels, channels);
    }
}

template <class T>
GEODL_INLINE void adjoint_any(Stencil<T> stencil, const T* inner, const T* grad, int64_t channels, T* out,
                              int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
        if (channels < Lanes<T>::count) {
            for (int64_t c = 0; c < channels; ++c) adjoint_block<T, T>(stencil, inner, grad, channels, j, c, out);
            continue;
        }
        for_blocks<T, 1>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            adjoint_block<T, typename Lanes<T>::Value>(stencil, inner, grad, channels, j, c, out);
        });
    }
}

GEODL_CLONES void products_rows(Stencil<float> stencil, const float* signals, int64_t channels, float* inner,
                                float* out, int64_t begin, int64_t end) {
    products_any<float>(stencil, signals, channels, inner, out, begin, end);
}
GEODL_CLONES void products_rows(Stencil<double> stencil, const double* signals, int64_t channels, double* inner,
                                double* out, int64_t begin, int64_t end) {
    products_any<double>(stencil, signals, channels, inner, out, begin, end);
}
GEODL_CLONES void adjoint_rows(Stencil<float> stencil, const float* inner, const float* grad, int64_t channels,
                               float* out, int64_t begin, int64_t end) {
    adjoint_any<float>(stencil, inner, grad, channels, out, begin, end);
}
GEODL_CLONES void adjoint_rows(Stencil<double> stencil, const double* inner, const double* grad, int64_t channels,
                               double* out, int64_t begin, int64_t end) {
    adjoint_any<double>(stencil, inner, grad, channels, out, begin, end);
}

template <class T>
void gradient_products(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                       std::uintptr_t signals, int64_t channels, std::uintptr_t inner, std::uintptr_t out,
                       int threads, int64_t edges, int64_t sources) {
    const Stencil<T> stencil{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight)};
    Bounds bounds = bounds_of({stencil.rowptr, stencil.col}, rows, edges, sources);
    need_memory("weight", stencil.weight, edges);
    need_memory("signals", at<const T>(signals), sources * channels);
    const int64_t work = (rows + edges) * (channels + 4) / 4;
    for_rows(bounds, work, threads, [&](int64_t begin, int64_t end) {
        products_rows(stencil, at<const T>(signals), channels, at<T>(inner), at<T>(out), begin, end);
    });
}

template <class T>
void gradient_products_adjoint(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                               std::uintptr_t inner, std::uintptr_t grad, int64_t channels, std::uintptr_t out,
                               int threads, int64_t edges, int64_t destinations) {
    const Stencil<T> stencil{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight)};
    Bounds bounds = bounds_of_transpose({stencil.rowptr, stencil.col}, nullptr, rows, edges, destinations);
    need_memory("weight", stencil.weight, edges);
    need_memory("inner", at<const T>(inner), destinations * channels);
    need_memory("grad", at<const T>(grad), destinations * channels);
    const int64_t work = (rows + edges) * (channels + 4) / 4;
    for_rows(bounds, work, threads, [&](int64_t begin, int64_t end) {
        adjoint_rows(stencil, at<const T>(inner), at<const T>(grad), channels, at<T>(out), begin, end);
    });
}

}  // namespace

void register_gradient_products(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("gradient_products_f32", &gradient_products<float>, unlocked);
    m.def("gradient_products_f64", &gradient_products<double>, unlocked);
    m.def("gradient_products_adjoint_f32", &gradient_products_adjoint<float>, unlocked);
    m.def("gradient_products_adjoint_f64", &gradient_products_adjoint<double>, unlocked);
}

}  // namespace geodl
