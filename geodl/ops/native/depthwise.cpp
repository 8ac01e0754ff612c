// depthwise_conv: windows and a filter of one number per window and channel.
//
// Edges pass in blocks of fixed size. The number by which an edge multiplies each channel is a row of a small product,
// windows of the edges times filters, that is made in the cache and used there.
#include "gemm.h"
#include "graph.h"
#include "kernels.h"
#include "windows.h"

namespace geodl {
namespace {

constexpr int64_t block = 64;

// --- out[i] = sum over edges e of row i of (weights of e times filters) x[col[e]] ---

// factor[m] of one edge, sparse: sum over s of weight[s] filters[index[s]]
template <class T>
GEODL_INLINE void sparse_factor(const Windows<T>& w, int64_t edge, const T* filters, int64_t stride, T* factor) {
    using L = Lanes<T>;
    for_blocks<T, 4>(stride, [&]<int V>(int64_t c) __attribute__((always_inline)) {
        typename L::Value sum[V] = {}, value;
        for (int64_t s = edge * w.columns; s < (edge + 1) * w.columns; ++s) {
            const T* filter = filters + w.index[s] * stride + c;
            for (int v = 0; v < V; ++v) {
                load(value, filter + v * L::count);
                sum[v] += w.weight[s] * value;
            }
        }
        for (int v = 0; v < V; ++v) store(factor + c + v * L::count, sum[v]);
    });
}

// sum += factors times the rows of x that edges [begin, end) read.
template <class T>
GEODL_INLINE void add_edges(const int64_t* col, int64_t begin, int64_t end, const T* factors, const T* x, int64_t stride,
                            T* sums) {
    using L = Lanes<T>;
    for_blocks<T, 4>(stride, [&]<int V>(int64_t c) __attribute__((always_inline)) {
        typename L::Value sum[V], factor, value;
        for (int v = 0; v < V; ++v) load(sum[v], sums + c + v * L::count);
        for (int64_t e = begin; e < end; ++e)
            for (int v = 0; v < V; ++v) {
                load(factor, factors + (e - begin) * stride + c + v * L::count);
                load(value, x + col[e] * stride + c + v * L::count);
                sum[v] += factor * value;
            }
        for (int v = 0; v < V; ++v) store(sums + c + v * L::count, sum[v]);
    });
}

// out[k] = g of the row of the edge times x of its source
template <class T>
GEODL_INLINE void products(const T* g, const T* x, int64_t stride, T* out) {
    for (int64_t c = 0; c < stride; ++c) out[c] = g[c] * x[c];
}

// The gradient of one edge's sparse weights, and what it adds to those of the filters it meets; either may be null.
template <class T>
GEODL_INLINE void sparse_gradients(const Windows<T>& w, int64_t edge, const T* product, const T* filters,
                                   int64_t stride, T* grad_weight, T* grad_filters) {
    using L = Lanes<T>;
    for (int64_t s = edge * w.columns; s < (edge + 1) * w.columns; ++s) {
        typename L::Value sum = {}, value, other;
        for (int64_t c = 0; c < stride; c += L::count) {
            load(value, product + c);
            if (grad_weight) {
                load(other, filters + w.index[s] * stride + c);
                sum += value * other;
            }
            if (grad_filters) {
                T* filter = grad_filters + w.index[s] * stride + c;
                load(other, filter);
                other += w.weight[s] * value;
                store(filter, other);
            }
        }
        if (!grad_weight) continue;
        T total = 0;
        for (int64_t lane = 0; lane < L::count; ++lane) total += sum[lane];
        grad_weight[s] = total;
    }
}

#define GEODL_DEPTHWISE(T)                                                                                             \
    GEODL_CLONES void factor_of(const Windows<T>& w, int64_t edge, const T* filters, int64_t stride, T* factor) {      \
        sparse_factor(w, edge, filters, stride, factor);                                                               \
    }                                                                                                                  \
    GEODL_CLONES void add(const int64_t* col, int64_t begin, int64_t end, const T* factors, const T* x,                \
                          int64_t stride, T* sums) {                                                                   \
        add_edges(col, begin, end, factors, x, stride, sums);                                                          \
    }                                                                                                                  \
    GEODL_CLONES void multiply(const T* g, const T* x, int64_t stride, T* out) { products(g, x, stride, out); }        \
    GEODL_CLONES void gradients_of(const Windows<T>& w, int64_t edge, const T* product, const T* filters,              \
                                   int64_t stride, T* grad_weight, T* grad_filters) {                                  \
        sparse_gradients(w, edge, product, filters, stride, grad_weight, grad_filters);                                \
    }

GEODL_DEPTHWISE(float)
GEODL_DEPTHWISE(double)

// The weights of edge e are those of edge[e], where `edge` is the permutation of a transpose.
template <class T>
void depthwise(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t edge_at, std::uintptr_t weight,
               std::uintptr_t index, int64_t columns, int64_t count, std::uintptr_t x_at, int64_t num_src,
               int64_t channels, std::uintptr_t filters_at, std::uintptr_t out_at, int threads, int64_t edges) {
    const Windows<T> w{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight),
                       at<const int64_t>(index), columns, count};
    const int64_t* edge = at<const int64_t>(edge_at);
    const Graph graph{w.rowptr, w.col};
    Bounds bounds = edge ? bounds_of_transpose(graph, edge, rows, edges, num_src) : bounds_of(graph, rows, edges, num_src);
    bounds.also({"index", w.index, columns, count, "windows"});
    need(w, edges);
    bounds.check_all(threads);
    need_memory("x", at<const T>(x_at), num_src * channels);
    need_memory("filters", at<const T>(filters_at), count * channels);
    const Signal<T> x(at<const T>(x_at), num_src, channels, threads);
    const Signal<T> filters(at<const T>(filters_at), count, channels, threads);
    const int64_t stride = x.stride, packed = edge && w.dense() ? block * count : 0;
    T* out = at<T>(out_at);
    const int64_t work = edges * (columns + 2) * (stride / 16 + 1) / 2 + rows * (stride / 16 + 1);
    for_rows(w.rowptr, rows, work, threads, [&](int64_t begin, int64_t end) {
        const Buffer<T> scratch(block * stride + packed + stride);
        T *factors = scratch.get(), *weights = factors + block * stride, *sums = weights + packed;
        int64_t i = begin;
        std::fill_n(sums, stride, T(0));
        auto finish_rows = [&](int64_t before) {  // those that end at or before an edge
            for (; i < end && w.rowptr[i + 1] <= before; ++i) {
                std::copy_n(sums, channels, out + i * channels);
                std::fill_n(sums, stride, T(0));
            }
        };
        const int64_t last = w.rowptr[end];
        for (int64_t first = w.rowptr[begin]; first < last; first += block) {
            const int64_t size = std::min(block, last - first);
            if (w.dense()) {
                for (int64_t e = 0; edge && e < size; ++e)
                    std::copy_n(w.weight + edge[first + e] * count, count, weights + e * count);
                const Left<T> left{edge ? weights : w.weight + first * count, count, 1};
                gemm(size, stride, count, left, Right<T>{filters.data, stride, panel_width<T>}, factors, stride, false);
            } else {
                for (int64_t e = 0; e < size; ++e)
                    factor_of(w, edge ? edge[first + e] : first + e, filters.data, stride, factors + e * stride);
            }
            for (int64_t e = first; e < first + size;) {
                finish_rows(e);
                const int64_t stop = std::min(first + size, w.rowptr[i + 1]);
                add(w.col, e, stop, factors + (e - first) * stride, x.data, stride, sums);
                e = stop;
            }
        }
        finish_rows(last);
    });
}

// Gradients of weight and filters, either of which may be null, from p[e] = grad[row of e] x[col[e]]:
// grad_weight[e, m] = <p[e], filters[m]>, grad_filters[m] = sum over e of weight[e, m] p[e].
template <class T>
void depthwise_backward(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                        std::uintptr_t index, int64_t columns, int64_t count, std::uintptr_t x_at, int64_t num_src,
                        int64_t channels, std::uintptr_t filters_at, std::uintptr_t grad_at,
                        std::uintptr_t grad_weight_at, std::uintptr_t grad_filters_at, int threads, int64_t edges) {
    const Windows<T> w{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight),
                       at<const int64_t>(index), columns, count};
    bounds_of(w, rows, edges, num_src).check_all(threads);
    need_memory("x", at<const T>(x_at), num_src * channels);
    need_memory("filters", at<const T>(filters_at), count * channels);
    need_memory("grad", at<const T>(grad_at), rows * channels);
    const Signal<T> x(at<const T>(x_at), num_src, channels, threads);
    const Signal<T> grad(at<const T>(grad_at), rows, channels, threads);
    const Signal<T> filters(at<const T>(filters_at), count, channels, threads);
    T *grad_weight = at<T>(grad_weight_at), *grad_filters = at<T>(grad_filters_at);
    const int64_t stride = x.stride, wide = padded<T>(count);
    const bool dense_weight = grad_weight && w.dense();
    const Buffer<T> transposed(dense_weight ? stride * wide : 0);
    for (int64_t c = 0; dense_weight && c < stride; ++c) {
        for (int64_t m = 0; m < count; ++m) transposed.get()[c * wide + m] = filters.data[m * stride + c];
        std::fill_n(transposed.get() + c * wide + count, wide - count, T(0));
    }

    // Parts of the edges sum to filters of their own. How many there are depends on the edges alone, and with it the
    // order of every sum.
    const int64_t parts = std::clamp<int64_t>(edges / 4096, 1, 64), size = count * stride;
    const Buffer<T> sums(grad_filters ? parts * size : 0);
    const int64_t work = edges * (columns + 1) * (stride / 16 + 1);
    auto start = [&](int64_t part) { return edges / parts * part + edges % parts * part / parts; };
    for_row_blocks(0, parts, 1, team_size(work, threads), [&](int64_t part, int64_t, int) {
        const Buffer<T> scratch(block * (stride + (dense_weight ? wide : 0)));
        T *product = scratch.get(), *gradients = product + block * stride;
        T* sum = grad_filters ? sums.get() + part * size : nullptr;
        if (sum) std::fill_n(sum, size, T(0));
        const int64_t last = start(part + 1);
        int64_t i = std::upper_bound(w.rowptr, w.rowptr + rows + 1, start(part)) - w.rowptr - 1;
        for (int64_t first = start(part); first < last; first += block) {
            const int64_t edges_here = std::min(block, last - first);
            for (int64_t e = 0; e < edges_here; ++e) {
                while (w.rowptr[i + 1] <= first + e) ++i;
                multiply(grad.row(i), x.row(w.col[first + e]), stride, product + e * stride);
                if (!w.dense())
                    gradients_of(w, first + e, product + e * stride, filters.data, stride, grad_weight, sum);
            }
            if (dense_weight) {
                gemm(edges_here, wide, stride, Left<T>{product, stride, 1},
                     Right<T>{transposed.get(), wide, panel_width<T>}, gradients, wide, false);
                for (int64_t e = 0; e < edges_here; ++e)
                    std::copy_n(gradients + e * wide, count, grad_weight + (first + e) * count);
            }
            if (sum && w.dense())
                gemm(count, stride, edges_here, Left<T>{w.weight + first * count, 1, count},
                     Right<T>{product, stride, panel_width<T>}, sum, stride, true);
        }
    });
    for (int64_t m = 0; grad_filters && m < count; ++m)
        for (int64_t c = 0; c < channels; ++c) {
            T total = 0;
            for (int64_t part = 0; part < parts; ++part) total += sums.get()[part * size + m * stride + c];
            grad_filters[m * channels + c] = total;
        }
}

}  // namespace

void register_depthwise(nb::module_& m) {
    m.def("depthwise_f32", &depthwise<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("depthwise_f64", &depthwise<double>, nb::call_guard<nb::gil_scoped_release>());
    m.def("depthwise_backward_f32", &depthwise_backward<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("depthwise_backward_f64", &depthwise_backward<double>, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace geodl
