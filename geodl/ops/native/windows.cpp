#include "windows.h"

#include "gemm.h"

namespace geodl {
namespace {

// --- sparse: an edge is seen by few windows ---

// Walks the edges once for every V vectors of channels. Edges of one window often follow each other (the corners of a
// template point), so the window's sum stays in registers until another window comes.
template <class T, int V>
GEODL_INLINE void gather_sparse_block(const Windows<T>& w, int64_t i, const T* x, int64_t stride, T* patch) {
    using L = Lanes<T>;
    typename L::Value sum[V] = {}, value;
    int64_t current = -1;
    for (int64_t e = w.rowptr[i]; e < w.rowptr[i + 1]; ++e) {
        const T* source = x + w.col[e] * stride;
        for (int64_t s = e * w.columns; s < (e + 1) * w.columns; ++s) {
            const int64_t m = w.index[s];
            if (m != current) {
                if (current >= 0)
                    for (int v = 0; v < V; ++v) store(patch + current * stride + v * L::count, sum[v]);
                for (int v = 0; v < V; ++v) load(sum[v], patch + m * stride + v * L::count);
                current = m;
            }
            for (int v = 0; v < V; ++v) {
                load(value, source + v * L::count);
                sum[v] += w.weight[s] * value;
            }
        }
    }
    if (current >= 0)
        for (int v = 0; v < V; ++v) store(patch + current * stride + v * L::count, sum[v]);
}

template <class T>
GEODL_INLINE bool gather_sparse(const Windows<T>& w, Bounds& bounds, int64_t i, const T* x, int64_t stride, T* patch) {
    if (!bounds.admit_here(w.rowptr[i], w.rowptr[i + 1])) return false;
    std::fill_n(patch, w.count * stride, T(0));
    for_blocks<T, 4>(stride, [&]<int V>(int64_t c) __attribute__((always_inline)) {
        gather_sparse_block<T, V>(w, i, x + c, stride, patch + c);
    });
    return true;
}

GEODL_CLONES bool gather_sparse_row(const Windows<float>& w, Bounds& bounds, int64_t i, const float* x, int64_t stride,
                                    float* patch) {
    return gather_sparse(w, bounds, i, x, stride, patch);
}
GEODL_CLONES bool gather_sparse_row(const Windows<double>& w, Bounds& bounds, int64_t i, const double* x,
                                    int64_t stride, double* patch) {
    return gather_sparse(w, bounds, i, x, stride, patch);
}

// grad_weight[e, s] = <x[col[e]], patch[index[e, s]]>
template <class T>
GEODL_INLINE void weight_gradient(const Windows<T>& w, int64_t i, const T* x, int64_t stride, const T* patch,
                                  T* grad_weight) {
    using L = Lanes<T>;
    for (int64_t e = w.rowptr[i]; e < w.rowptr[i + 1]; ++e) {
        const T* source = x + w.col[e] * stride;
        for (int64_t s = e * w.columns; s < (e + 1) * w.columns; ++s) {
            const T* window = patch + w.index[s] * stride;
            typename L::Value sum = {}, a, b;
            for (int64_t c = 0; c < stride; c += L::count) {
                load(a, source + c);
                load(b, window + c);
                sum += a * b;
            }
            T total = 0;
            for (int64_t lane = 0; lane < L::count; ++lane) total += sum[lane];
            grad_weight[s] = total;
        }
    }
}

GEODL_CLONES void weight_gradient_row(const Windows<float>& w, int64_t i, const float* x, int64_t stride,
                                      const float* patch, float* grad_weight) {
    weight_gradient(w, i, x, stride, patch, grad_weight);
}
GEODL_CLONES void weight_gradient_row(const Windows<double>& w, int64_t i, const double* x, int64_t stride,
                                      const double* patch, double* grad_weight) {
    weight_gradient(w, i, x, stride, patch, grad_weight);
}

// --- gradient of x: rows [begin, end) add to the neighbours that they read, in channels [from, to) ---

template <class T, int V>
GEODL_INLINE void scatter_block(const Windows<T>& w, int64_t begin, int64_t end, const T* gradients, int64_t stride,
                                T* grad_x) {
    using L = Lanes<T>;
    typename L::Value sum[V], value;
    for (int64_t i = begin; i < end; ++i) {
        const T* patch = gradients + (i - begin) * w.count * stride;
        for (int64_t e = w.rowptr[i]; e < w.rowptr[i + 1]; ++e) {
            T* grad = grad_x + w.col[e] * stride;
            for (int v = 0; v < V; ++v) load(sum[v], grad + v * L::count);
            if (w.dense()) {  // the edge has its own gradient already
                const T* edge = gradients + (e - w.rowptr[begin]) * stride;
                for (int v = 0; v < V; ++v) {
                    load(value, edge + v * L::count);
                    sum[v] += value;
                }
            } else {
                for (int64_t s = e * w.columns; s < (e + 1) * w.columns; ++s) {
                    const T* window = patch + w.index[s] * stride;
                    for (int v = 0; v < V; ++v) {
                        load(value, window + v * L::count);
                        sum[v] += w.weight[s] * value;
                    }
                }
            }
            for (int v = 0; v < V; ++v) store(grad + v * L::count, sum[v]);
        }
    }
}

template <class T>
GEODL_INLINE void scatter(const Windows<T>& w, int64_t begin, int64_t end, const T* gradients, int64_t stride,
                          int64_t from, int64_t to, T* grad_x) {
    for_blocks<T, 2>(to - from, [&]<int V>(int64_t c) __attribute__((always_inline)) {
        scatter_block<T, V>(w, begin, end, gradients + from + c, stride, grad_x + from + c);
    });
}

GEODL_CLONES void scatter_rows(const Windows<float>& w, int64_t begin, int64_t end, const float* gradients,
                               int64_t stride, int64_t from, int64_t to, float* grad_x) {
    scatter(w, begin, end, gradients, stride, from, to, grad_x);
}
GEODL_CLONES void scatter_rows(const Windows<double>& w, int64_t begin, int64_t end, const double* gradients,
                               int64_t stride, int64_t from, int64_t to, double* grad_x) {
    scatter(w, begin, end, gradients, stride, from, to, grad_x);
}

// --- dense: three small matrix products a row ---

// [degree, stride], the signal at the neighbours.
template <class T>
void pack_neighbors(const Windows<T>& w, int64_t i, const Signal<T>& x, T* packed) {
    for (int64_t e = w.rowptr[i]; e < w.rowptr[i + 1]; ++e, packed += x.stride)
        std::copy_n(x.row(w.col[e]), x.stride, packed);
}

}  // namespace

template <class T>
bool gather_patch(const Windows<T>& w, Bounds& bounds, int64_t i, const Signal<T>& x, T* patch, T* scratch) {
    if (!w.dense()) return gather_sparse_row(w, bounds, i, x.data, x.stride, patch);
    if (!bounds.admit(w.rowptr[i], w.rowptr[i + 1])) return false;
    pack_neighbors(w, i, x, scratch);
    const T* weight = w.weight + w.rowptr[i] * w.count;
    gemm(w.count, x.stride, w.rowptr[i + 1] - w.rowptr[i], Left<T>{weight, 1, w.count},
         Right<T>{scratch, x.stride, panel_width<T>}, patch, x.stride, false);
    return true;
}

template <class T>
PatchAdjoint<T>::PatchAdjoint(const Windows<T>& windows, int64_t rows, int64_t num_src, const Signal<T>& x, T* grad_x,
                              T* grad_weight, int threads)
    : windows_(windows), rows_(rows), num_src_(num_src), x_(x), grad_x_(grad_x), grad_weight_(grad_weight),
      threads_(threads), slices_((x.stride + slice - 1) / slice),
      parts_(grad_x ? std::max<int64_t>(1, tasks / std::max<int64_t>(slices_, 1)) : 0),
      partial_(parts_ > 1 ? (parts_ - 1) * num_src * x.stride : 0) {
    const int64_t size = num_src * x.stride;
    for_row_blocks(0, parts_, 1, team_size(parts_ * size / 16, threads),
                   [&](int64_t part, int64_t, int) { std::fill_n(partial(part), size, T(0)); });
}

template <class T>
T* PatchAdjoint<T>::partial(int64_t part) const {
    return part == 0 ? grad_x_ : partial_.get() + (part - 1) * num_src_ * x_.stride;
}

template <class T>
std::vector<int64_t> PatchAdjoint<T>::ranges(int64_t bytes_per_row) const {
    const int64_t cache = (int64_t{4} << 20) * std::max(threads_, 2), most_rows = 128 * std::max(threads_, 2);
    const int64_t bytes_per_edge = grad_x_ && windows_.dense() ? x_.stride * sizeof(T) : 0;
    std::vector<int64_t> bounds{0};
    int64_t bytes = 0;
    for (int64_t i = 0; i < rows_; ++i) {
        const int64_t more = bytes_per_row + bytes_per_edge * (windows_.rowptr[i + 1] - windows_.rowptr[i]);
        if (i > bounds.back() && (bytes + more > cache || i - bounds.back() == most_rows)) {
            bounds.push_back(i);
            bytes = 0;
        }
        bytes += more;
    }
    if (rows_ > 0) bounds.push_back(rows_);
    return bounds;
}

template <class T>
void PatchAdjoint<T>::begin(int64_t first, int64_t last) {
    first_ = first;
    last_ = last;
    const int64_t edges = windows_.rowptr[last] - windows_.rowptr[first];
    if (grad_x_ && windows_.dense() && edges > edge_capacity_) {
        edge_gradient_ = std::make_unique<Buffer<T>>(edges * x_.stride);
        edge_capacity_ = edges;
    }
}

template <class T>
void PatchAdjoint<T>::row(int64_t i, const T* patch, T* scratch) {
    const int64_t degree = windows_.rowptr[i + 1] - windows_.rowptr[i], count = windows_.count, stride = x_.stride;
    if (!windows_.dense()) {
        if (grad_weight_) weight_gradient_row(windows_, i, x_.data, stride, patch, grad_weight_);
        return;
    }
    if (grad_x_) {
        const Left<T> weight{windows_.weight + windows_.rowptr[i] * count, count, 1};
        T* edges = edge_gradient_->get() + (windows_.rowptr[i] - windows_.rowptr[first_]) * stride;
        gemm(degree, stride, count, weight, Right<T>{patch, stride, panel_width<T>}, edges, stride, false);
    }
    if (grad_weight_) {
        const int64_t columns = padded<T>(count);
        T *neighbors = scratch, *transposed = neighbors + degree * stride, *product = transposed + columns * stride;
        pack_neighbors(windows_, i, x_, neighbors);
        for (int64_t c = 0; c < stride; ++c) {
            for (int64_t m = 0; m < count; ++m) transposed[c * columns + m] = patch[m * stride + c];
            std::fill_n(transposed + c * columns + count, columns - count, T(0));
        }
        gemm(degree, columns, stride, Left<T>{neighbors, stride, 1}, Right<T>{transposed, columns, panel_width<T>},
             product, columns, false);
        for (int64_t e = 0; e < degree; ++e)
            std::copy_n(product + e * columns, count, grad_weight_ + (windows_.rowptr[i] + e) * count);
    }
}

template <class T>
void PatchAdjoint<T>::finish(const T* patches) {
    if (!grad_x_) return;
    const int64_t edges = windows_.rowptr[last_] - windows_.rowptr[first_];
    const int64_t work = edges * (2 + windows_.columns) * slices_;
    for_row_blocks(0, parts_ * slices_, 1, team_size(work, threads_), [&](int64_t task, int64_t, int) {
        const int64_t part = task / slices_, from = task % slices_ * slice, to = std::min(from + slice, x_.stride);
        // Blocks of rows take turns, counted from row 0: which part has a row does not depend on the ranges.
        for (int64_t block = first_ / turn; block * turn < last_; ++block) {
            if (block % parts_ != part) continue;
            const int64_t begin = std::max(block * turn, first_), end = std::min((block + 1) * turn, last_);
            const int64_t edge = windows_.rowptr[begin] - windows_.rowptr[first_];
            const T* gradients = windows_.dense() ? edge_gradient_->get() + edge * x_.stride
                                                  : patches + (begin - first_) * windows_.count * x_.stride;
            scatter_rows(windows_, begin, end, gradients, x_.stride, from, to, partial(part));
        }
    });
}

template <class T>
void PatchAdjoint<T>::sum() {
    const int64_t size = num_src_ * x_.stride;
    if (parts_ < 2) return;
    for_row_blocks(0, size, 4096, team_size(parts_ * size / 16, threads_), [&](int64_t begin, int64_t end, int) {
        for (int64_t part = 1; part < parts_; ++part) {
            const T* more = partial(part);
            for (int64_t n = begin; n < end; ++n) grad_x_[n] += more[n];
        }
    });
}

template bool gather_patch(const Windows<float>&, Bounds&, int64_t, const Signal<float>&, float*, float*);
template bool gather_patch(const Windows<double>&, Bounds&, int64_t, const Signal<double>&, double*, double*);
template class PatchAdjoint<float>;
template class PatchAdjoint<double>;

}  // namespace geodl
