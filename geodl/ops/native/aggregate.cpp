// Sums and extrema over neighbourhoods, and the gathers and dot products that are their derivatives.
//
// Every output is computed by one thread in the order of its edges; that of a long row from partial results of fixed
// pieces, in their order. So results are bitwise equal from run to run and for any number of threads.
#include "graph.h"
#include "kernels.h"
#include "long_rows.h"
#include "simd.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace geodl {
namespace {

// Neighbourhoods whose every index is looked at as it is taken: right for sums. The loops of maxima stay vectors only with plain
// indices (else a third slower), which are looked at some lines ahead.
struct Looked {
    const int64_t* rowptr;
    Index col;
};

// The weight of edge e is weight[edge[e]], where `edge` is the permutation of a transpose; without weight it is 1.
template <class T, class Edge = const int64_t*>
struct Weight {
    const T* weight;
    Edge edge;
    GEODL_INLINE T operator()(int64_t e) const { return weight ? weight[edge ? edge[e] : e] : T(1); }
};

// Which edge of its row every output of an extremum took, as a position in the row; -1 if the row is empty.
struct Selection {
    const int32_t* position;
    const int64_t* rowptr;
};

// Asks for the row of x that a later edge reads, where the work on an edge is too long for the processor to look so far
// ahead by itself. That edge's index may be a wrong one: asking harms nothing, and numbers without sign may overflow.
template <class T, int64_t width>
GEODL_INLINE void prefetch_row(const int64_t* col, int64_t e, int64_t last, const T* x, int64_t channels,
                               int64_t from) {
    constexpr int64_t ahead = 16;
    if (e + ahead >= last) return;
    const uint64_t entry = static_cast<uint64_t>(col[e + ahead]) * static_cast<uint64_t>(channels) + static_cast<uint64_t>(from);
    const std::uintptr_t row = reinterpret_cast<std::uintptr_t>(x) + entry * sizeof(T);
    for (uint64_t c = 0; c < width * sizeof(T); c += 64) __builtin_prefetch(reinterpret_cast<const void*>(row + c));
}

// --- out[i] = sum over edges e of row i of weight[e] x[col[e]] ---

template <class T, int V>
GEODL_INLINE void sum_block(Looked graph, const T* x, Weight<T, Index> weight, int64_t channels, int64_t c, T* out,
                            int64_t begin, int64_t end) {
    using L = Lanes<T>;
    const int64_t all = graph.rowptr[end];
    for (int64_t i = begin; i < end; ++i) {
        typename L::Value sum[V] = {}, value;
        for (int64_t e = graph.rowptr[i]; e < graph.rowptr[i + 1]; ++e) {
            const T* row = x + graph.col[e] * channels + c;
            const T w = weight(e);
            prefetch_row<T, V * L::count>(graph.col.data, e, all, x, channels, c);
            for (int v = 0; v < V; ++v) {
                load(value, row + v * L::count);
                sum[v] += w * value;
            }
        }
        for (int v = 0; v < V; ++v) store(out + i * channels + c + v * L::count, sum[v]);
    }
}

template <class T>
GEODL_INLINE void sum_rows(Looked graph, const T* x, Weight<T, Index> weight, int64_t channels, T* out, int64_t begin,
                           int64_t end) {
    if (channels >= Lanes<T>::count) {
        for_blocks<T, 4>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            sum_block<T, V>(graph, x, weight, channels, c, out, begin, end);
        });
        return;
    }
    for (int64_t i = begin; i < end; ++i) {
        T sum[Lanes<T>::count] = {};
        for (int64_t e = graph.rowptr[i]; e < graph.rowptr[i + 1]; ++e) {
            const T* row = x + graph.col[e] * channels;
            const T w = weight(e);
            for (int64_t c = 0; c < channels; ++c) sum[c] += w * row[c];
        }
        for (int64_t c = 0; c < channels; ++c) out[i * channels + c] = sum[c];
    }
}

GEODL_CLONES void gather_sum_rows(Looked graph, const float* x, Weight<float, Index> weight, int64_t channels, float* out,
                                  int64_t begin, int64_t end) {
    sum_rows<float>(graph, x, weight, channels, out, begin, end);
}
GEODL_CLONES void gather_sum_rows(Looked graph, const double* x, Weight<double, Index> weight, int64_t channels, double* out,
                                  int64_t begin, int64_t end) {
    sum_rows<double>(graph, x, weight, channels, out, begin, end);
}

// out[i] = sum of the partial sums of every long row i.
template <class T>
void join_sums(const LongRows& longs, const T* partial, int64_t channels, T* out) {
    longs.join([&](int64_t i, int64_t first, int64_t last) {
        T* sum = out + i * channels;
        std::copy_n(partial + first * channels, channels, sum);
        for (int64_t slot = first + 1; slot < last; ++slot)
            for (int64_t c = 0; c < channels; ++c) sum[c] += partial[slot * channels + c];
    });
}

template <class T>
void gather_sum(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t x, int64_t channels,
                std::uintptr_t weight, std::uintptr_t edge, std::uintptr_t out, int threads, int64_t edges,
                int64_t sources) {
    const Graph given{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const int64_t* perm = weight ? at<const int64_t>(edge) : nullptr;  // of a transpose
    Bounds bounds = edge ? bounds_of_transpose(given, perm, rows, edges, sources) : bounds_of(given, rows, edges, sources);
    const Looked graph{given.rowptr, bounds.one_by_one(0)};
    const Weight<T, Index> weights{at<const T>(weight), perm ? bounds.one_by_one(1) : Index{}};
    need_memory("x", at<const T>(x), sources * channels);
    const int64_t work = (rows + edges) * (channels + 16) / 16;
    const LongRows longs(bounds);
    std::vector<T> partial(longs.pieces.size() * static_cast<size_t>(channels));
    longs.each(
        bounds, work, threads,
        [&](int64_t begin, int64_t end) {
            gather_sum_rows(graph, at<const T>(x), weights, channels, at<T>(out), begin, end);
        },
        [&](const Piece& piece) {
            gather_sum_rows({piece.edges, graph.col}, at<const T>(x), weights, channels,
                            partial.data() + piece.slot * channels, 0, 1);
        });
    join_sums(longs, partial.data(), channels, at<T>(out));
}

// --- out[i] = max (or min) over edges e of row i of weight[e] x[col[e]], and the first position that attains it ---

// NaN wins over every number, and the first NaN over later ones: a NaN must not vanish in a maximum.
template <bool Largest, class T>
GEODL_INLINE bool beats(T value, T best) {
    return (Largest ? !(value <= best) : !(value >= best)) & (best == best);
}

// Comparisons of generic vectors that are wider than the machine's become scalar code, so lanes are loops here, which
// the compiler turns into vectors of the width that it has (if told before it unrolls short ones: hence omp simd).
template <class T, int V, bool Largest>
GEODL_INLINE void max_block(Graph graph, Bounds& bounds, const T* x, Weight<T> weight, int64_t channels, int64_t from, T* out,
                            int32_t* position, int64_t begin, int64_t end) {
    constexpr int64_t width = V * Lanes<T>::count;
    const int64_t all = graph.rowptr[end];
    LookAhead ahead(bounds, graph.rowptr[begin], all);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t first = graph.rowptr[i], last = graph.rowptr[i + 1];
        if (!ahead.admit(last)) return;
        T best[width] = {};
        int32_t taken[width];
        for (int64_t c = 0; c < width; ++c) taken[c] = first == last ? -1 : 0;
        if (first < last) {
            const T* row = x + graph.col[first] * channels + from;
            const T w = weight(first);
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) best[c] = w * row[c];
        }
        for (int64_t e = first + 1; e < last; ++e) {
            const T* row = x + graph.col[e] * channels + from;
            const T w = weight(e);
            const auto here = static_cast<int32_t>(e - first);
            prefetch_row<T, width>(graph.col, e, all, x, channels, from);
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) {
                const T value = w * row[c];
                const bool better = beats<Largest>(value, best[c]);
                best[c] = better ? value : best[c];
                taken[c] = better ? here : taken[c];
            }
        }
        std::copy_n(best, width, out + i * channels + from);
        std::copy_n(taken, width, position + i * channels + from);
    }
}

template <class T, bool Largest>
GEODL_INLINE void max_rows(Graph graph, Bounds& bounds, const T* x, Weight<T> weight, int64_t channels, T* out,
                           int32_t* position, int64_t begin, int64_t end) {
    if (channels >= Lanes<T>::count) {
        for_blocks<T, 4>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            max_block<T, V, Largest>(graph, bounds, x, weight, channels, c, out, position, begin, end);
        });
        return;
    }
    LookAhead ahead(bounds, graph.rowptr[begin], graph.rowptr[end]);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t first = graph.rowptr[i], last = graph.rowptr[i + 1];
        if (!ahead.admit(last)) return;
        for (int64_t c = 0; c < channels; ++c) {
            T best = 0;
            int32_t taken = -1;
            for (int64_t e = first; e < last; ++e) {
                const T value = weight(e) * x[graph.col[e] * channels + c];
                if (e == first || beats<Largest>(value, best)) {
                    best = value;
                    taken = static_cast<int32_t>(e - first);
                }
            }
            out[i * channels + c] = best;
            position[i * channels + c] = taken;
        }
    }
}

template <class T>
GEODL_INLINE void extremum_rows(Graph graph, Bounds& bounds, const T* x, Weight<T> weight, int64_t channels,
                                bool largest, T* out, int32_t* position, int64_t begin, int64_t end) {
    if (largest) max_rows<T, true>(graph, bounds, x, weight, channels, out, position, begin, end);
    else max_rows<T, false>(graph, bounds, x, weight, channels, out, position, begin, end);
}

GEODL_CLONES void gather_max_rows(Graph graph, Bounds& bounds, const float* x, Weight<float> weight, int64_t channels,
                                  bool largest, float* out, int32_t* position, int64_t begin, int64_t end) {
    extremum_rows<float>(graph, bounds, x, weight, channels, largest, out, position, begin, end);
}
GEODL_CLONES void gather_max_rows(Graph graph, Bounds& bounds, const double* x, Weight<double> weight, int64_t channels,
                                  bool largest, double* out, int32_t* position, int64_t begin, int64_t end) {
    extremum_rows<double>(graph, bounds, x, weight, channels, largest, out, position, begin, end);
}

template <class T>
void gather_max(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t x, int64_t channels,
                std::uintptr_t weight, bool largest, std::uintptr_t out, std::uintptr_t position, int threads,
                int64_t edges, int64_t sources) {
    const Graph graph{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const Weight<T> weights{at<const T>(weight), nullptr};
    Bounds bounds = bounds_of(graph, rows, edges, sources);
    need_memory("x", at<const T>(x), sources * channels);
    const int64_t work = (rows + edges) * (channels + 16) / 8;
    const LongRows longs(bounds);
    std::vector<T> partial(longs.pieces.size() * static_cast<size_t>(channels));
    std::vector<int32_t> taken(partial.size());
    longs.each(
        bounds, work, threads,
        [&](int64_t begin, int64_t end) {
            gather_max_rows(graph, bounds, at<const T>(x), weights, channels, largest, at<T>(out), at<int32_t>(position),
                            begin, end);
        },
        [&](const Piece& piece) {
            const int64_t slot = piece.slot * channels;
            gather_max_rows({piece.edges, graph.col}, bounds, at<const T>(x), weights, channels, largest,
                            partial.data() + slot, taken.data() + slot, 0, 1);
        });
    longs.join([&](int64_t i, int64_t first, int64_t last) {
        for (int64_t c = 0; c < channels; ++c) {
            T best = partial[first * channels + c];
            int64_t best_slot = first;
            for (int64_t slot = first + 1; slot < last; ++slot) {
                const T value = partial[slot * channels + c];
                if (!(largest ? beats<true>(value, best) : beats<false>(value, best))) continue;
                best = value;
                best_slot = slot;
            }
            const int64_t skipped = longs.pieces[best_slot].edges[0] - graph.rowptr[i];
            at<T>(out)[i * channels + c] = best;
            at<int32_t>(position)[i * channels + c] = static_cast<int32_t>(skipped + taken[best_slot * channels + c]);
        }
    });
}

// --- out[i, c] = weight[e] x[col[e], c] for the edge e that (i, c) selected; 0 if none ---

template <class T>
void pick(std::uintptr_t rowptr_, int64_t rows, std::uintptr_t col_, std::uintptr_t x_, int64_t channels,
          std::uintptr_t weight, std::uintptr_t position_, std::uintptr_t out_, int threads, int64_t edges,
          int64_t sources) {
    const int64_t *rowptr = at<const int64_t>(rowptr_), *col = at<const int64_t>(col_);
    Bounds bounds = bounds_of({rowptr, col}, rows, edges, sources);
    const Weight<T> weights{at<const T>(weight), nullptr};
    const T* x = at<const T>(x_);
    const int32_t* position = at<const int32_t>(position_);
    T* out = at<T>(out_);
    need_memory("x", x, sources * channels);
    need_memory("position", position, rows * channels);
    std::atomic<bool> fits{true};
    for_rows(bounds, rows * channels, threads, [&](int64_t begin, int64_t end) {
        bool all = true;
        for (int64_t i = begin; i < end; ++i) {
            const int64_t degree = rowptr[i + 1] - rowptr[i];
            for (int64_t c = 0; c < channels; ++c) {
                const int64_t place = position[i * channels + c], e = rowptr[i] + place;
                all &= place < degree;
                const bool none = place < 0 || place >= degree;
                out[i * channels + c] = none ? T(0) : weights(e) * x[col[e] * channels + c];
            }
        }
        if (!all) fits = false;
    });
    if (fits) return;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t c = 0; c < channels; ++c)
            if (position[i * channels + c] >= rowptr[i + 1] - rowptr[i])
                throw std::out_of_range("position holds " + std::to_string(position[i * channels + c]) + " in row " +
                                        std::to_string(i) + ", which has " +
                                        std::to_string(rowptr[i + 1] - rowptr[i]) + " edges");
}

// --- out[j, c] = sum over the edges e = perm[k] of the transpose's row j whose row i = t_row[k] selected them at c
//     of weight[e] g[i, c] ---

template <class T, int V>
GEODL_INLINE void selected_block(Graph transpose, const int64_t* perm, Bounds& bounds, Selection selection, const T* g,
                                 Weight<T> weight, int64_t channels, int64_t from, T* out, int64_t begin, int64_t end) {
    constexpr int64_t width = V * Lanes<T>::count;
    const int64_t all = transpose.rowptr[end];
    LookAhead ahead(bounds, transpose.rowptr[begin], all);
    for (int64_t j = begin; j < end; ++j) {
        if (!ahead.admit(transpose.rowptr[j + 1])) return;
        T sum[width] = {};
        for (int64_t k = transpose.rowptr[j]; k < transpose.rowptr[j + 1]; ++k) {
            const int64_t i = transpose.col[k];
            const auto wanted = static_cast<int32_t>(perm[k] - selection.rowptr[i]);
            const int32_t* position = selection.position + i * channels + from;
            const T* row = g + i * channels + from;
            const T w = weight(k);
            prefetch_row<T, width>(transpose.col, k, all, g, channels, from);
            prefetch_row<int32_t, width>(transpose.col, k, all, selection.position, channels, from);
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) sum[c] += position[c] == wanted ? w * row[c] : T(0);
        }
        std::copy_n(sum, width, out + j * channels + from);
    }
}

template <class T>
GEODL_INLINE void selected_rows(Graph transpose, const int64_t* perm, Bounds& bounds, Selection selection, const T* g,
                                Weight<T> weight, int64_t channels, T* out, int64_t begin, int64_t end) {
    if (channels >= Lanes<T>::count) {
        for_blocks<T, 4>(channels, [&]<int V>(int64_t c) __attribute__((always_inline)) {
            selected_block<T, V>(transpose, perm, bounds, selection, g, weight, channels, c, out, begin, end);
        });
        return;
    }
    LookAhead ahead(bounds, transpose.rowptr[begin], transpose.rowptr[end]);
    for (int64_t j = begin; j < end; ++j) {
        if (!ahead.admit(transpose.rowptr[j + 1])) return;
        T sum[Lanes<T>::count] = {};
        for (int64_t k = transpose.rowptr[j]; k < transpose.rowptr[j + 1]; ++k) {
            const int64_t i = transpose.col[k], wanted = perm[k] - selection.rowptr[i];
            const T w = weight(k);
            for (int64_t c = 0; c < channels; ++c)
                if (selection.position[i * channels + c] == wanted) sum[c] += w * g[i * channels + c];
        }
        for (int64_t c = 0; c < channels; ++c) out[j * channels + c] = sum[c];
    }
}

GEODL_CLONES void gather_selected_rows(Graph transpose, const int64_t* perm, Bounds& bounds, Selection selection,
                                       const float* g, Weight<float> weight, int64_t channels, float* out,
                                       int64_t begin, int64_t end) {
    selected_rows<float>(transpose, perm, bounds, selection, g, weight, channels, out, begin, end);
}
GEODL_CLONES void gather_selected_rows(Graph transpose, const int64_t* perm, Bounds& bounds, Selection selection,
                                       const double* g, Weight<double> weight, int64_t channels, double* out,
                                       int64_t begin, int64_t end) {
    selected_rows<double>(transpose, perm, bounds, selection, g, weight, channels, out, begin, end);
}

template <class T>
void gather_selected(std::uintptr_t t_rowptr, int64_t t_rows, std::uintptr_t t_row, std::uintptr_t g, int64_t channels,
                     std::uintptr_t weight, std::uintptr_t perm, std::uintptr_t rowptr, std::uintptr_t position,
                     std::uintptr_t out, int threads, int64_t edges, int64_t destinations) {
    const Selection selection{at<const int32_t>(position), at<const int64_t>(rowptr)};
    need_memory("perm", at<const int64_t>(perm), edges);
    const Graph transpose{at<const int64_t>(t_rowptr), at<const int64_t>(t_row)};
    Bounds bounds = bounds_of_transpose(transpose, at<const int64_t>(perm), t_rows, edges, destinations);
    const Weight<T> weights{at<const T>(weight), at<const int64_t>(perm)};
    check_pointer("rowptr", selection.rowptr, destinations, edges, "edges");
    need_memory("position", selection.position, destinations * channels);
    need_memory("g", at<const T>(g), destinations * channels);
    const int64_t work = (t_rows + edges) * (channels + 16) / 8;
    const LongRows longs(bounds);
    std::vector<T> partial(longs.pieces.size() * static_cast<size_t>(channels));
    longs.each(
        bounds, work, threads,
        [&](int64_t begin, int64_t end) {
            gather_selected_rows(transpose, at<const int64_t>(perm), bounds, selection, at<const T>(g), weights, channels,
                                 at<T>(out), begin, end);
        },
        [&](const Piece& piece) {
            gather_selected_rows({piece.edges, transpose.col}, at<const int64_t>(perm), bounds, selection, at<const T>(g),
                                 weights, channels, partial.data() + piece.slot * channels, 0, 1);
        });
    join_sums(longs, partial.data(), channels, at<T>(out));
}

// --- out[e] = sum over channels c (that selected e) of g[row of e, c] x[col[e], c]; the edges of row i are counted from
//     start[i], be they whole rows or pieces ---

template <class T, bool Selected>
GEODL_INLINE void dot_rows(Looked graph, const int64_t* start, const int32_t* position, const T* g, const T* x,
                           int64_t channels, T* out, int64_t begin, int64_t end) {
    constexpr int64_t width = Lanes<T>::count;
    for (int64_t i = begin; i < end; ++i) {
        const T* left = g + i * channels;
        const int32_t* taken = Selected ? position + i * channels : nullptr;
        for (int64_t e = graph.rowptr[i]; e < graph.rowptr[i + 1]; ++e) {
            const T* right = x + graph.col[e] * channels;
            const auto wanted = static_cast<int32_t>(e - start[i]);
            T sum[width] = {};
            int64_t c = 0;
            for (; c + width <= channels; c += width)
#pragma omp simd
                for (int64_t lane = 0; lane < width; ++lane) {
                    const T product = left[c + lane] * right[c + lane];
                    sum[lane] += !Selected || taken[c + lane] == wanted ? product : T(0);
                }
            for (; c < channels; ++c)
                if (!Selected || taken[c] == wanted) sum[c % width] += left[c] * right[c];
            for (int64_t half = width / 2; half > 0; half /= 2)
#pragma omp simd
                for (int64_t lane = 0; lane < half; ++lane) sum[lane] += sum[lane + half];
            out[e] = sum[0];
        }
    }
}

template <class T>
GEODL_INLINE void edge_dot_any(Looked graph, const int64_t* start, const int32_t* position, const T* g, const T* x,
                               int64_t channels, T* out, int64_t begin, int64_t end) {
    if (position) dot_rows<T, true>(graph, start, position, g, x, channels, out, begin, end);
    else dot_rows<T, false>(graph, start, position, g, x, channels, out, begin, end);
}

GEODL_CLONES void edge_dot_rows(Looked graph, const int64_t* start, const int32_t* position, const float* g,
                                const float* x, int64_t channels, float* out, int64_t begin, int64_t end) {
    edge_dot_any<float>(graph, start, position, g, x, channels, out, begin, end);
}
GEODL_CLONES void edge_dot_rows(Looked graph, const int64_t* start, const int32_t* position, const double* g,
                                const double* x, int64_t channels, double* out, int64_t begin, int64_t end) {
    edge_dot_any<double>(graph, start, position, g, x, channels, out, begin, end);
}

template <class T>
void edge_dot(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t position, std::uintptr_t g,
              std::uintptr_t x, int64_t channels, std::uintptr_t out, int threads, int64_t edges, int64_t sources) {
    Bounds bounds = bounds_of({at<const int64_t>(rowptr), at<const int64_t>(col)}, rows, edges, sources);
    const Looked graph{bounds.rowptr, bounds.one_by_one(0)};
    need_memory("g", at<const T>(g), rows * channels);
    need_memory("x", at<const T>(x), sources * channels);
    const int64_t work = (rows + edges) * (channels + 16) / 8;
    const LongRows longs(bounds);
    longs.each(
        bounds, work, threads,
        [&](int64_t begin, int64_t end) {
            edge_dot_rows(graph, graph.rowptr, at<const int32_t>(position), at<const T>(g), at<const T>(x), channels,
                          at<T>(out), begin, end);
        },
        [&](const Piece& piece) {
            const int64_t row = piece.row * channels;
            const int32_t* taken = position ? at<const int32_t>(position) + row : nullptr;
            edge_dot_rows({piece.edges, graph.col}, graph.rowptr + piece.row, taken, at<const T>(g) + row,
                          at<const T>(x), channels, at<T>(out), 0, 1);
        });
}

}  // namespace

void register_aggregate(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("gather_sum_f32", &gather_sum<float>, unlocked);
    m.def("gather_sum_f64", &gather_sum<double>, unlocked);
    m.def("gather_max_f32", &gather_max<float>, unlocked);
    m.def("gather_max_f64", &gather_max<double>, unlocked);
    m.def("pick_f32", &pick<float>, unlocked);
    m.def("pick_f64", &pick<double>, unlocked);
    m.def("gather_selected_f32", &gather_selected<float>, unlocked);
    m.def("gather_selected_f64", &gather_selected<double>, unlocked);
    m.def("edge_dot_f32", &edge_dot<float>, unlocked);
    m.def("edge_dot_f64", &edge_dot<double>, unlocked);
}

}  // namespace geodl
