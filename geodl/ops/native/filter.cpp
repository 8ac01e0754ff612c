// A step of a recurrence with a sparse matrix: out = alpha A x + d + beta f in one pass.
//
// Every output is computed by one thread in the order of its edges, so that results are bitwise equal from run to run
// and for any number of threads.
#include "graph.h"
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

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

// With `admitted`, a step before has looked at the indices.
template <class T>
void filter_step(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t values, std::uintptr_t edge,
                 int64_t channels, double alpha, double beta, std::uintptr_t x, std::uintptr_t d, std::uintptr_t f,
                 std::uintptr_t out, int64_t x_row, int64_t d_row, int64_t f_row, int64_t out_row, int threads,
                 int64_t edges, bool admitted) {
    if (channels == 0) return;
    const Step<T> step{{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(values), at<const int64_t>(edge)},
                       channels,
                       static_cast<T>(alpha),
                       static_cast<T>(beta),
                       {at<const T>(x), x_row},
                       {at<const T>(d), d_row},
                       {at<const T>(f), f_row},
                       {at<T>(out), out_row}};
    const int64_t work = (2 * rows + edges) * (channels + 16) / 16;
    const auto body = [&](int64_t begin, int64_t end) { filter_step_rows(step, begin, end); };
    if (admitted) return for_rows(step.matrix.rowptr, rows, work, threads, body);
    // The matrix is square.
    const Graph graph{step.matrix.rowptr, step.matrix.col};
    Bounds bounds = step.matrix.edge ? bounds_of_transpose(graph, step.matrix.edge, rows, edges, rows)
                                     : bounds_of(graph, rows, edges, rows);
    need_memory("values", step.matrix.values, edges);
    need_memory("x", step.x.data, rows);
    for_rows(bounds, work, threads, body);
}

// z_k = s_k + alpha[k-1] A z_(k-1) + beta[k-2] z_(k-2) for k = 0 .. steps, of which the last `keep` are written to
// out [rows, keep, channels]; the others lie in `scratch`, which has room for three. The first `sources` of s are given, the
// others are 0. With `backwards`, sources and states lie in the order of descending k.
template <class T>
void recurrence(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t values, std::uintptr_t edge,
                int64_t channels, const std::vector<double>& alpha, const std::vector<double>& beta,
                std::uintptr_t source, int64_t sources, int64_t keep, bool backwards, std::uintptr_t scratch,
                std::uintptr_t out, int threads, int64_t edges) {
    const auto steps = static_cast<int64_t>(alpha.size());
    if (sources < 1 || keep < 1 || keep > steps + 1 || static_cast<int64_t>(beta.size()) + 1 < steps)
        throw std::invalid_argument("a recurrence needs a source, as many beta as steps but one, and keeps one of its states");
    if (rows == 0 || channels == 0) return;
    need_memory("source", at<const T>(source), rows * sources * channels);
    struct State {
        std::uintptr_t data;
        int64_t row;
    };
    const auto place = [&](std::uintptr_t data, int64_t k, int64_t count) -> State {
        return {data + static_cast<std::uintptr_t>((backwards ? count - 1 - k : k) * channels) * sizeof(T), count * channels};
    };
    State before{}, last{};
    for (int64_t k = 0; k <= steps; ++k) {
        const int64_t kept = k - (steps + 1 - keep);
        const State d = k < sources ? place(source, k, sources) : State{};
        State state = d;
        if (kept >= 0)
            state = place(out, kept, keep);
        else if (k > 0)
            state = {scratch + static_cast<std::uintptr_t>(k % 3 * rows * channels) * sizeof(T), channels};
        if (k > 0)
            filter_step<T>(rowptr, rows, col, values, edge, channels, alpha[k - 1], k > 1 ? beta[k - 2] : 0, last.data,
                           d.data, k > 1 ? before.data : 0, state.data, last.row, d.row, before.row, state.row, threads,
                           edges, k > 1);
        else if (kept == 0)
            for (int64_t i = 0; i < rows; ++i)
                std::copy_n(at<const T>(d.data) + i * d.row, channels, at<T>(state.data) + i * state.row);
        before = last;
        last = state;
    }
}

}  // namespace

void register_filter(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("recurrence_f32", &recurrence<float>, unlocked);
    m.def("recurrence_f64", &recurrence<double>, unlocked);
    m.def("filter_step_f32", &filter_step<float>, unlocked);
    m.def("filter_step_f64", &filter_step<double>, unlocked);
}

}  // namespace geodl
