// A step of a recurrence with a sparse matrix: out = alpha A x + d + beta f in one pass.
//
// Every output is computed by one thread in the order of its edges, so that results are bitwise equal from run to run
// and for any number of threads.
#include "graph.h"
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace geodl {
namespace {

// Entry e of the matrix is values[edge[e]], or values[e] without `edge`.
template <class T>
struct Matrix {
    const int64_t* rowptr;
    const int64_t* col;
    const T* values;
    const int64_t* edge;
    GEODL_INLINE T operator()(int64_t e) const { return values[edge ? edge[e] : e]; }
};

// Row i of a dense matrix begins at data[i * row].
template <class T>
struct Rows {
    T* data;
    int64_t row;
    GEODL_INLINE T* operator[](int64_t i) const { return data + i * row; }
};

template <class T>
struct Step {
    Matrix<T> matrix;
    int64_t channels;
    T alpha, beta;
    Rows<const T> x, d, f;  // d and f may be null
    Rows<T> out;
};

template <class T, int V>
GEODL_INLINE void step_block(const Step<T>& step, int64_t c, int64_t begin, int64_t end) {
    using L = Lanes<T>;
    for (int64_t i = begin; i < end; ++i) {
        typename L::Value sum[V] = {}, value;
        for (int64_t e = step.matrix.rowptr[i]; e < step.matrix.rowptr[i + 1]; ++e) {
            const T* row = step.x[step.matrix.col[e]] + c;
            const T w = step.matrix(e);
            for (int v = 0; v < V; ++v) {
                load(value, row + v * L::count);
                sum[v] += w * value;
            }
        }
        for (int v = 0; v < V; ++v) {
            sum[v] *= step.alpha;
            if (step.d.data) {
                load(value, step.d[i] + c + v * L::count);
                sum[v] += value;
            }
            if (step.f.data) {
                load(value, step.f[i] + c + v * L::count);
                sum[v] += step.beta * value;
            }
            store(step.out[i] + c + v * L::count, sum[v]);
        }
    }
}

template <class T>
GEODL_INLINE void step_rows(const Step<T>& step, int64_t begin, int64_t end) {
    const int64_t channels = step.channels;
    if (channels >= Lanes<T>::count) {
        for_blocks<T, 4>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            step_block<T, V>(step, c, begin, end);
        });
        return;
    }
    for (int64_t i = begin; i < end; ++i) {
        T sum[Lanes<T>::count] = {};
        for (int64_t e = step.matrix.rowptr[i]; e < step.matrix.rowptr[i + 1]; ++e) {
            const T* row = step.x[step.matrix.col[e]];
            const T w = step.matrix(e);
            for (int64_t c = 0; c < channels; ++c) sum[c] += w * row[c];
        }
        for (int64_t c = 0; c < channels; ++c) {
            T value = step.alpha * sum[c];
            if (step.d.data) value += step.d[i][c];
            if (step.f.data) value += step.beta * step.f[i][c];
            step.out[i][c] = value;
        }
    }
}

GEODL_CLONES void filter_step_rows(const Step<float>& step, int64_t begin, int64_t end) {
    step_rows<float>(step, begin, end);
}
GEODL_CLONES void filter_step_rows(const Step<double>& step, int64_t begin, int64_t end) {
    step_rows<double>(step, begin, end);
}

template <class T>
void filter_step(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t values, std::uintptr_t edge,
                 int64_t channels, double alpha, double beta, std::uintptr_t x, std::uintptr_t d, std::uintptr_t f,
                 std::uintptr_t out, int64_t x_row, int64_t d_row, int64_t f_row, int64_t out_row, int threads,
                 int64_t edges) {
    if (channels == 0) return;
    const Step<T> step{{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(values), at<const int64_t>(edge)},
                       channels,
                       static_cast<T>(alpha),
                       static_cast<T>(beta),
                       {at<const T>(x), x_row},
                       {at<const T>(d), d_row},
                       {at<const T>(f), f_row},
                       {at<T>(out), out_row}};
    // The matrix is square.
    const Graph graph{step.matrix.rowptr, step.matrix.col};
    Bounds bounds = step.matrix.edge ? bounds_of_transpose(graph, step.matrix.edge, rows, edges, rows)
                                     : bounds_of(graph, rows, edges, rows);
    need_memory("values", step.matrix.values, edges);
    need_memory("x", step.x.data, rows);
    const int64_t work = (2 * rows + edges) * (channels + 16) / 16;
    for_rows(bounds, work, threads, [&](int64_t begin, int64_t end) { filter_step_rows(step, begin, end); });
}

}  // namespace

void register_filter(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("filter_step_f32", &filter_step<float>, unlocked);
    m.def("filter_step_f64", &filter_step<double>, unlocked);
}

}  // namespace geodl
