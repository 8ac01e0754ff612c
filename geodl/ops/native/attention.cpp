// Softmax attention over neighbourhoods, with the scores of GAT and GATv2; see geodl/ops/attention.py.
//
// Edges are taken in blocks: scores of a block go to a small buffer [edge, head], are exponentiated there side by side,
// and then weight the rows that the edges read. Every output is computed by one thread in the order of its edges, so
// that results are bitwise equal from run to run and for any number of threads.
#include "exp.h"
#include "graph.h"
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace geodl {
namespace {

constexpr int64_t block_edges = 64;

struct Sizes {
    int64_t heads, depth, channels;  // depth of the scores: 1 for GAT
};

// --- sums over the width of every head, and over edges ---

// A chunk is the AVX2 register: eight heads of eight channels are eight of them.
template <class T>
struct Chunk {
    static constexpr int64_t count = 32 / sizeof(T);
    using Integer = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    typedef T Value __attribute__((vector_size(32)));
    typedef Integer Mask __attribute__((vector_size(32)));
};

// The sums of the lanes of a, of b, ... in the lanes of one vector.
GEODL_INLINE void sum_lanes(const Chunk<float>::Value (&v)[8], Chunk<float>::Value& out) {
    constexpr Chunk<float>::Mask even{0, 2, 8, 10, 4, 6, 12, 14}, odd{1, 3, 9, 11, 5, 7, 13, 15};
    constexpr Chunk<float>::Mask low{0, 1, 2, 3, 8, 9, 10, 11}, high{4, 5, 6, 7, 12, 13, 14, 15};
    Chunk<float>::Value pair[4], four[2];
    for (int k = 0; k < 4; ++k)
        pair[k] = __builtin_shuffle(v[2 * k], v[2 * k + 1], even) + __builtin_shuffle(v[2 * k], v[2 * k + 1], odd);
    for (int k = 0; k < 2; ++k)
        four[k] = __builtin_shuffle(pair[2 * k], pair[2 * k + 1], even) +
                  __builtin_shuffle(pair[2 * k], pair[2 * k + 1], odd);
    out = __builtin_shuffle(four[0], four[1], low) + __builtin_shuffle(four[0], four[1], high);
}
GEODL_INLINE void sum_lanes(const Chunk<double>::Value (&v)[4], Chunk<double>::Value& out) {
    constexpr Chunk<double>::Mask even{0, 4, 2, 6}, odd{1, 5, 3, 7}, low{0, 1, 4, 5}, high{2, 3, 6, 7};
    Chunk<double>::Value pair[2];
    for (int k = 0; k < 2; ++k)
        pair[k] = __builtin_shuffle(v[2 * k], v[2 * k + 1], even) + __builtin_shuffle(v[2 * k], v[2 * k + 1], odd);
    out = __builtin_shuffle(pair[0], pair[1], low) + __builtin_shuffle(pair[0], pair[1], high);
}

// Calls body.template operator()<Value>(h) for as many heads at once as a chunk has lanes, then <T>(h) for each of the rest.
template <class T, class Body>
GEODL_INLINE void for_heads(int64_t heads, Body body) {
    int64_t h = 0;
    for (; h + Chunk<T>::count <= heads; h += Chunk<T>::count) body.template operator()<typename Chunk<T>::Value>(h);
    for (; h < heads; ++h) body.template operator()<T>(h);
}

// Calls body(width), with a width of one chunk, the usual one, known to the compiler, and columns with it.
template <class T, class Body>
GEODL_INLINE void with_width(int64_t width, Body body) {
    if (width == Chunk<T>::count) body(std::integral_constant<int64_t, Chunk<T>::count>{});
    else body(width);
}

// out[edge, head] = sum over the width of a head of term(value, edge, column), which sets a vector or a single value.
template <class T, class Term>
GEODL_INLINE void sum_heads(int64_t edges, int64_t heads, int64_t width, T* out, Term term) {
    using Value = typename Chunk<T>::Value;
    constexpr int64_t count = Chunk<T>::count;
    for (int64_t edge = 0; edge < edges; ++edge) {
        int64_t h = 0;
        if (width % count == 0)
            with_width<T>(width, [&](auto width) __attribute__((always_inline)) {
                for (; h + count <= heads; h += count) {
                    Value part[count] = {}, value;
                    for (int64_t c = 0; c < width; c += count)
                        for (int64_t v = 0; v < count; ++v) {
                            term(value, edge, (h + v) * width + c);
                            part[v] += value;
                        }
                    sum_lanes(part, value);
                    store(out + edge * heads + h, value);
                }
            });
        for (; h < heads; ++h) {
            Value part = {}, value;
            T rest = 0, single;
            int64_t c = 0;
            for (; c + count <= width; c += count) {
                term(value, edge, h * width + c);
                part += value;
            }
            for (; c < width; ++c) {
                term(single, edge, h * width + c);
                rest += single;
            }
            T lanes[count];
            store(lanes, part);
            for (int64_t half = count / 2; half > 0; half /= 2)
                for (int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
            out[edge * heads + h] = lanes[0] + rest;
        }
    }
}

// out[head, c] = keep[head] out[head, c] + sum over edges of weight[edge, head] term(edge, head, c); nothing is kept,
// and out not read, if keep is null.
template <class T, int Heads, int Chunks, class Term>
GEODL_INLINE void sum_edges_block(int64_t edges, int64_t heads, int64_t h, int64_t width, int64_t c, const T* weight,
                                  const T* keep, T* out, Term term) {
    using Value = typename Chunk<T>::Value;
    constexpr int64_t count = Chunk<T>::count;
    Value sum[Heads * Chunks] = {}, value;
    const auto column = [&](int v) { return (h + v / Chunks) * width + c + v % Chunks * count; };
    if (keep)
        for (int v = 0; v < Heads * Chunks; ++v) {
            load(value, out + column(v));
            sum[v] = keep[h + v / Chunks] * value;
        }
    for (int64_t edge = 0; edge < edges; ++edge)
        for (int v = 0; v < Heads * Chunks; ++v) {
            term(value, edge, column(v));
            sum[v] += weight[edge * heads + h + v / Chunks] * value;
        }
    for (int v = 0; v < Heads * Chunks; ++v) store(out + column(v), sum[v]);
}

template <class T, class Term>
GEODL_INLINE void sum_edges(int64_t edges, int64_t heads, int64_t width, const T* weight, const T* keep, T* out,
                            Term term) {
    constexpr int64_t count = Chunk<T>::count;
    int64_t h = 0;
    if (width == count)
        for (; h + 8 <= heads; h += 8)
            sum_edges_block<T, 8, 1>(edges, heads, h, count, 0, weight, keep, out, term);
    if (width == 2 * count)
        for (; h + 4 <= heads; h += 4)
            sum_edges_block<T, 4, 2>(edges, heads, h, 2 * count, 0, weight, keep, out, term);
    for (; h < heads; ++h) {
        int64_t c = 0;
        for (; c + 4 * count <= width; c += 4 * count)
            sum_edges_block<T, 1, 4>(edges, heads, h, width, c, weight, keep, out, term);
        for (; c + count <= width; c += count)
            sum_edges_block<T, 1, 1>(edges, heads, h, width, c, weight, keep, out, term);
        for (; c < width; ++c) {
            const int64_t column = h * width + c;
            T sum = keep ? keep[h] * out[column] : T(0), value;
            for (int64_t edge = 0; edge < edges; ++edge) {
                term(value, edge, column);
                sum += weight[edge * heads + h] * value;
            }
            out[column] = sum;
        }
    }
}

// --- scores ---

template <class T, class Value>
GEODL_INLINE void add_rows(Value& sum, const T* a, const T* b) {
    Value other;
    load(sum, a);
    load(other, b);
    sum += other;
}

// One row of `own` against the rows of `other` that the edges name.
template <class T>
GEODL_INLINE void score_edges(const int64_t* index, int64_t edges, Sizes size, const T* own, const T* other,
                              const T* vector, T slope, T* out) {
    const int64_t heads = size.heads, depth = size.depth;
    if (!vector) {
        for_heads<T>(heads, [&]<class Value>(int64_t h) __attribute__((always_inline)) {
            Value z;
            for (int64_t edge = 0; edge < edges; ++edge) {
                add_rows(z, own + h, other + index[edge] * heads + h);
                store(out + edge * heads + h, z > 0 ? z : slope * z);
            }
        });
        return;
    }
    sum_heads(edges, heads, depth, out, [&]<class Value>(Value& value, int64_t edge, int64_t column)
                                            __attribute__((always_inline)) {
        Value z, scale;
        add_rows(z, own + column, other + index[edge] * heads * depth + column);
        load(scale, vector + column);
        value = scale * (z > 0 ? z : slope * z);
    });
}

// out[head, d] (+)= sum over edges of u[edge, head] LeakyReLU'(own + other).
template <class T>
GEODL_INLINE void spread_scores(const int64_t* index, int64_t edges, Sizes size, const T* own, const T* other, const T* u,
                                T slope, const T* keep, T* out) {
    const int64_t heads = size.heads, depth = size.depth;
    if (depth == 1) {
        for_heads<T>(heads, [&]<class Value>(int64_t h) __attribute__((always_inline)) {
            Value sum = {}, z, value;
            if (keep) load(sum, out + h);
            for (int64_t edge = 0; edge < edges; ++edge) {
                add_rows(z, own + h, other + index[edge] * heads + h);
                load(value, u + edge * heads + h);
                sum += z > 0 ? value : slope * value;
            }
            store(out + h, sum);
        });
        return;
    }
    sum_edges(edges, heads, depth, u, keep, out, [&]<class Value>(Value& value, int64_t edge, int64_t column)
                                                     __attribute__((always_inline)) {
        const Value one = Value{} + T(1), gentle = Value{} + slope;
        Value z;
        add_rows(z, own + column, other + index[edge] * heads * depth + column);
        value = z > 0 ? one : gentle;
    });
}

// --- forward ---

template <class T>
struct Inputs {
    const T *x, *source, *target, *vector, *scale;
    Sizes size;
    T slope;
};

template <class T>
void need(const Inputs<T>& in, int64_t rows, int64_t sources) {
    const auto [heads, depth, channels] = in.size;
    need_memory("x", in.x, sources * heads * channels);
    need_memory("source", in.source, sources * heads * depth);
    need_memory("target", in.target, rows * heads * depth);
}

template <class T>
GEODL_INLINE void attend_any(Graph graph, Bounds& bounds, const Inputs<T>& in, T* out, T* maximum, T* total,
                             int64_t begin, int64_t end) {
    const int64_t heads = in.size.heads, channels = in.size.channels, stride = heads * channels;
    constexpr T least = -std::numeric_limits<T>::infinity();
    std::vector<T> buffer((block_edges + 1) * heads);
    T *weight = buffer.data(), *keep = weight + block_edges * heads;
    LookAhead ahead(bounds, graph.rowptr[begin], graph.rowptr[end]);
    for (int64_t i = begin; i < end; ++i) {
        T *shift = maximum + i * heads, *sum = total + i * heads, *mean = out + i * stride;
        const int64_t first = graph.rowptr[i], last = graph.rowptr[i + 1];
        if (first == last) {
            std::fill_n(shift, heads, T(0));
            std::fill_n(sum, heads, T(0));
            std::fill_n(mean, stride, T(0));
        }
        for (int64_t e = first; e < last; e += block_edges) {
            const int64_t edges = std::min(block_edges, last - e);
            if (!ahead.admit(e + edges)) return;
            const int64_t* index = graph.col + e;
            score_edges(index, edges, in.size, in.target + i * heads * in.size.depth, in.source, in.vector, in.slope,
                        weight);
            // The largest score so far is subtracted from all; the sums so far are those of a smaller one.
            for_heads<T>(heads, [&]<class Value>(int64_t h) __attribute__((always_inline)) {
                const Value none = Value{} + least, zero = {};
                Value before = zero, best = none, value;
                if (e > first) {
                    load(before, shift + h);
                    load(value, sum + h);
                    best = value > 0 ? before : none;
                }
                for (int64_t edge = 0; edge < edges; ++edge) {
                    load(value, weight + edge * heads + h);
                    best = value > best ? value : best;
                }
                best = best == least ? zero : best;
                for (int64_t edge = 0; edge < edges; ++edge) {
                    load(value, weight + edge * heads + h);
                    store(weight + edge * heads + h, value - best);
                }
                store(keep + h, before - best);
                store(shift + h, best);
            });
            exp_all(weight, edges * heads);
            if (e > first) exp_all(keep, heads);
            // Nothing was summed before the first block, nor where all scores were -inf. The last block divides.
            for_heads<T>(heads, [&]<class Value>(int64_t h) __attribute__((always_inline)) {
                const Value one = Value{} + T(1), zero = {};
                Value added = zero, kept = zero, before, value;
                if (e > first) {
                    load(kept, keep + h);
                    load(before, sum + h);
                    kept = before == 0 ? zero : kept;
                    added = before * kept;
                }
                for (int64_t edge = 0; edge < edges; ++edge) {
                    load(value, weight + edge * heads + h);
                    added += value;
                }
                store(sum + h, added);
                const Value inverse = e + edges < last ? one : one / (added == 0 ? one : added);
                store(keep + h, kept * inverse);
                for (int64_t edge = 0; edge < edges; ++edge) {
                    load(value, weight + edge * heads + h);
                    value *= inverse;
                    if (in.scale) {
                        load(before, in.scale + (e + edge) * heads + h);
                        value *= before;
                    }
                    store(weight + edge * heads + h, value);
                }
            });
            sum_edges(edges, heads, channels, weight, e == first ? nullptr : keep, mean,
                      [&]<class Value>(Value& value, int64_t edge, int64_t column) __attribute__((always_inline)) {
                          load(value, in.x + index[edge] * stride + column);
                      });
        }
    }
}

GEODL_CLONES void attend_rows(Graph graph, Bounds& bounds, const Inputs<float>& in, float* out, float* maximum,
                              float* total, int64_t begin, int64_t end) {
    attend_any(graph, bounds, in, out, maximum, total, begin, end);
}
GEODL_CLONES void attend_rows(Graph graph, Bounds& bounds, const Inputs<double>& in, double* out, double* maximum,
                              double* total, int64_t begin, int64_t end) {
    attend_any(graph, bounds, in, out, maximum, total, begin, end);
}

template <class T>
void attend(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t x, std::uintptr_t source,
            std::uintptr_t target, std::uintptr_t vector, std::uintptr_t scale, int64_t heads, int64_t depth,
            int64_t channels, double slope, std::uintptr_t out, std::uintptr_t statistics, int threads, int64_t edges,
            int64_t sources) {
    const Graph graph{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const Inputs<T> in{at<const T>(x),      at<const T>(source), at<const T>(target),      at<const T>(vector),
                       at<const T>(scale), {heads, depth, channels}, static_cast<T>(slope)};
    Bounds bounds = bounds_of(graph, rows, edges, sources);
    need(in, rows, sources);
    const int64_t work = (rows + edges) * heads * (channels + depth + 16) / 16;
    T *maximum = at<T>(statistics), *total = maximum + rows * heads;
    for_rows(graph.rowptr, rows, work, threads, [&](int64_t begin, int64_t end) {
        attend_rows(graph, bounds, in, at<T>(out), maximum, total, begin, end);
    });
    bounds.check();
}

// --- backward ---

// Of every row and head: the maximum, the inverse of the sum, and the mean of the products of grad with x.
template <class T>
GEODL_INLINE void statistics_any(Sizes size, const T* grad, const T* out, const T* maximum, const T* total,
                                 T* statistics, int64_t begin, int64_t end) {
    const int64_t heads = size.heads, channels = size.channels;
    for (int64_t i = begin; i < end; ++i) {
        T* row = statistics + i * 3 * heads;
        for (int64_t h = 0; h < heads; ++h) {
            row[h] = maximum[i * heads + h];
            row[heads + h] = T(1) / (total[i * heads + h] == 0 ? T(1) : total[i * heads + h]);
        }
        const T *left = grad + i * heads * channels, *right = out + i * heads * channels;
        sum_heads(1, heads, channels, row + 2 * heads, [&]<class Value>(Value& value, int64_t, int64_t column)
                                                            __attribute__((always_inline)) {
            Value other;
            load(value, left + column);
            load(other, right + column);
            value *= other;
        });
    }
}

template <class T>
struct Gradients {
    const T *grad, *statistics;
    T *by_scores, *by_x, *by_source, *by_scale;
};

// Row j of the transpose lists the destinations that read j, and by which edges.
template <class T>
GEODL_INLINE void backward_any(Graph transpose, const int64_t* perm, Bounds& bounds, const Inputs<T>& in,
                               const Gradients<T>& to, int64_t begin, int64_t end) {
    const int64_t heads = in.size.heads, depth = in.size.depth, channels = in.size.channels;
    const int64_t stride = heads * channels;
    std::vector<T> buffer((2 * block_edges + 1) * heads);
    T *weight = buffer.data(), *product = weight + block_edges * heads, *ones = product + block_edges * heads;
    std::fill_n(ones, heads, T(1));
    LookAhead ahead(bounds, transpose.rowptr[begin], transpose.rowptr[end]);
    for (int64_t j = begin; j < end; ++j) {
        const int64_t first = transpose.rowptr[j], last = transpose.rowptr[j + 1];
        T *by_x = to.by_x + j * stride, *by_source = to.by_source + j * heads * depth;
        const T *x = in.x + j * stride, *source = in.source + j * heads * depth;
        if (first == last) {
            std::fill_n(by_x, stride, T(0));
            std::fill_n(by_source, heads * depth, T(0));
        }
        for (int64_t k = first; k < last; k += block_edges) {
            const int64_t edges = std::min(block_edges, last - k);
            if (!ahead.admit(k + edges)) return;
            const int64_t* index = transpose.col + k;
            score_edges(index, edges, in.size, source, in.target, in.vector, in.slope, weight);
            for_heads<T>(heads, [&]<class Value>(int64_t h) __attribute__((always_inline)) {
                Value value, maximum;
                for (int64_t edge = 0; edge < edges; ++edge) {
                    load(value, weight + edge * heads + h);
                    load(maximum, to.statistics + index[edge] * 3 * heads + h);
                    store(weight + edge * heads + h, value - maximum);
                }
            });
            exp_all(weight, edges * heads);
            sum_heads(edges, heads, channels, product, [&]<class Value>(Value& value, int64_t edge, int64_t column)
                                                           __attribute__((always_inline)) {
                Value other;
                load(value, to.grad + index[edge] * stride + column);
                load(other, x + column);
                value *= other;
            });
            for_heads<T>(heads, [&]<class Value>(int64_t h) __attribute__((always_inline)) {
                Value plain, scaled, inverse, mean, p;
                for (int64_t edge = 0; edge < edges; ++edge) {
                    const T* statistics = to.statistics + index[edge] * 3 * heads + h;
                    const int64_t e = perm[k + edge] * heads + h, own = edge * heads + h;
                    load(plain, weight + own);
                    load(inverse, statistics + heads);
                    load(mean, statistics + 2 * heads);
                    load(p, product + own);
                    plain *= inverse;
                    scaled = plain;
                    if (in.scale) {
                        load(scaled, in.scale + e);
                        scaled *= plain;
                        store(to.by_scale + e, plain * p);
                    }
                    p = scaled * p - plain * mean;
                    store(weight + own, scaled);
                    store(product + own, p);
                    store(to.by_scores + e, p);
                }
            });
            const T* keep = k == first ? nullptr : ones;
            sum_edges(edges, heads, channels, weight, keep, by_x,
                      [&]<class Value>(Value& value, int64_t edge, int64_t column) __attribute__((always_inline)) {
                          load(value, to.grad + index[edge] * stride + column);
                      });
            spread_scores(index, edges, in.size, source, in.target, product, in.slope, keep, by_source);
        }
    }
}

// Rows of `own`: u is at the edge, or where perm says for the transpose.
template <class T>
GEODL_INLINE void spread_any(Graph graph, const int64_t* perm, Bounds& bounds, Sizes size, const T* own, const T* other,
                             const T* u, T slope, T* out, int64_t begin, int64_t end) {
    const int64_t heads = size.heads, width = heads * size.depth;
    std::vector<T> buffer((block_edges + 1) * heads);
    T *moved = buffer.data(), *ones = moved + block_edges * heads;
    std::fill_n(ones, heads, T(1));
    LookAhead ahead(bounds, graph.rowptr[begin], graph.rowptr[end]);
    for (int64_t i = begin; i < end; ++i) {
        const int64_t first = graph.rowptr[i], last = graph.rowptr[i + 1];
        if (first == last) std::fill_n(out + i * width, width, T(0));
        for (int64_t e = first; e < last; e += block_edges) {
            const int64_t edges = std::min(block_edges, last - e);
            if (!ahead.admit(e + edges)) return;
            if (perm)
                for (int64_t edge = 0; edge < edges; ++edge)
                    std::copy_n(u + perm[e + edge] * heads, heads, moved + edge * heads);
            spread_scores(graph.col + e, edges, size, own + i * width, other, perm ? moved : u + e * heads, slope,
                          e == first ? nullptr : ones, out + i * width);
        }
    }
}

GEODL_CLONES void statistics_rows(Sizes size, const float* grad, const float* out, const float* maximum,
                                  const float* total, float* statistics, int64_t begin, int64_t end) {
    statistics_any(size, grad, out, maximum, total, statistics, begin, end);
}
GEODL_CLONES void statistics_rows(Sizes size, const double* grad, const double* out, const double* maximum,
                                  const double* total, double* statistics, int64_t begin, int64_t end) {
    statistics_any(size, grad, out, maximum, total, statistics, begin, end);
}
GEODL_CLONES void backward_rows(Graph transpose, const int64_t* perm, Bounds& bounds, const Inputs<float>& in,
                                const Gradients<float>& to, int64_t begin, int64_t end) {
    backward_any(transpose, perm, bounds, in, to, begin, end);
}
GEODL_CLONES void backward_rows(Graph transpose, const int64_t* perm, Bounds& bounds, const Inputs<double>& in,
                                const Gradients<double>& to, int64_t begin, int64_t end) {
    backward_any(transpose, perm, bounds, in, to, begin, end);
}
GEODL_CLONES void spread_rows(Graph graph, const int64_t* perm, Bounds& bounds, Sizes size, const float* own,
                              const float* other, const float* u, float slope, float* out, int64_t begin, int64_t end) {
    spread_any(graph, perm, bounds, size, own, other, u, slope, out, begin, end);
}
GEODL_CLONES void spread_rows(Graph graph, const int64_t* perm, Bounds& bounds, Sizes size, const double* own,
                              const double* other, const double* u, double slope, double* out, int64_t begin,
                              int64_t end) {
    spread_any(graph, perm, bounds, size, own, other, u, slope, out, begin, end);
}

template <class T>
void attend_backward(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t t_rowptr, int64_t t_rows,
                     std::uintptr_t t_row, std::uintptr_t perm, std::uintptr_t x, std::uintptr_t source,
                     std::uintptr_t target, std::uintptr_t vector, std::uintptr_t scale, int64_t heads, int64_t depth,
                     int64_t channels, double slope, std::uintptr_t grad, std::uintptr_t out, std::uintptr_t statistics,
                     std::uintptr_t scratch, std::uintptr_t by_x, std::uintptr_t by_source, std::uintptr_t by_target,
                     std::uintptr_t by_scale, int threads, int64_t edges) {
    const Graph graph{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const Graph transpose{at<const int64_t>(t_rowptr), at<const int64_t>(t_row)};
    const Sizes size{heads, depth, channels};
    const Inputs<T> in{at<const T>(x),     at<const T>(source), at<const T>(target), at<const T>(vector),
                       at<const T>(scale), size,                static_cast<T>(slope)};
    T *by_scores = at<T>(scratch), *of_rows = by_scores + edges * heads;  // values an edge, and three a row
    const Gradients<T> to{at<const T>(grad), of_rows, by_scores, at<T>(by_x), at<T>(by_source), at<T>(by_scale)};
    Bounds bounds = bounds_of(graph, rows, edges, t_rows);
    Bounds t_bounds = bounds_of_transpose(transpose, at<const int64_t>(perm), t_rows, edges, rows);
    need_memory("perm", at<const int64_t>(perm), edges);
    need(in, rows, t_rows);
    need_memory("grad", to.grad, rows * heads * channels);
    need_memory("out", at<const T>(out), rows * heads * channels);
    need_memory("statistics", at<const T>(statistics), 2 * rows * heads);
    const T *maximum = at<const T>(statistics), *total = maximum + rows * heads;
    for_rows(graph.rowptr, rows, rows * heads * (channels + 16) / 16, threads, [&](int64_t begin, int64_t end) {
        statistics_rows(size, at<const T>(grad), at<const T>(out), maximum, total, of_rows, begin, end);
    });
    const int64_t work = (t_rows + edges) * heads * (channels + depth + 16) / 8;
    for_rows(transpose.rowptr, t_rows, work, threads, [&](int64_t begin, int64_t end) {
        backward_rows(transpose, at<const int64_t>(perm), t_bounds, in, to, begin, end);
    });
    t_bounds.check();
    for_rows(graph.rowptr, rows, (rows + edges) * heads * (depth + 4) / 8, threads, [&](int64_t begin, int64_t end) {
        spread_rows(graph, nullptr, bounds, size, in.target, in.source, static_cast<const T*>(by_scores), in.slope,
                    at<T>(by_target), begin, end);
    });
    bounds.check();
}

// --- the bilinear form of the scores, and its adjoint: what second derivatives are made of ---

template <class T>
void edge_scores(std::uintptr_t rowptr_, int64_t rows, std::uintptr_t col_, std::uintptr_t a_, std::uintptr_t b_,
                 std::uintptr_t source_, std::uintptr_t target_, int64_t heads, int64_t depth, double slope_,
                 std::uintptr_t out_, int threads, int64_t edges, int64_t sources) {
    const int64_t *rowptr = at<const int64_t>(rowptr_), *col = at<const int64_t>(col_);
    Bounds bounds = bounds_of({rowptr, col}, rows, edges, sources);
    const T *a = at<const T>(a_), *b = at<const T>(b_), *source = at<const T>(source_), *target = at<const T>(target_);
    const T slope = static_cast<T>(slope_);
    T* out = at<T>(out_);
    const int64_t width = heads * depth;
    for (const auto& [name, of_sources] : {std::pair{"a", a}, std::pair{"source", source}})
        need_memory(name, of_sources, sources * width);
    for (const auto& [name, of_rows] : {std::pair{"b", b}, std::pair{"target", target}})
        need_memory(name, of_rows, rows * width);
    for_rows(bounds, (rows + edges) * width, threads, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            for (int64_t e = rowptr[i]; e < rowptr[i + 1]; ++e)
                for (int64_t h = 0; h < heads; ++h) {
                    const int64_t own = (i * heads + h) * depth, other = (col[e] * heads + h) * depth;
                    T sum = 0;
                    for (int64_t d = 0; d < depth; ++d) {
                        const T z = source[other + d] + target[own + d];
                        sum += (a[other + d] + b[own + d]) * (z > 0 ? T(1) : slope);
                    }
                    out[e * heads + h] = sum;
                }
    });
}

template <class T>
void edge_scores_adjoint(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t t_rowptr,
                         int64_t t_rows, std::uintptr_t t_row, std::uintptr_t perm, std::uintptr_t u,
                         std::uintptr_t source, std::uintptr_t target, int64_t heads, int64_t depth, double slope,
                         std::uintptr_t by_source, std::uintptr_t by_target, int threads, int64_t edges) {
    const Graph graph{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const Graph transpose{at<const int64_t>(t_rowptr), at<const int64_t>(t_row)};
    const Sizes size{heads, depth, 0};
    Bounds bounds = bounds_of(graph, rows, edges, t_rows);
    Bounds t_bounds = bounds_of_transpose(transpose, at<const int64_t>(perm), t_rows, edges, rows);
    need_memory("perm", at<const int64_t>(perm), edges);
    need_memory("u", at<const T>(u), edges * heads);
    need_memory("source", at<const T>(source), t_rows * heads * depth);
    need_memory("target", at<const T>(target), rows * heads * depth);
    const int64_t work = (rows + t_rows + edges) * heads * (depth + 4) / 8;
    for_rows(transpose.rowptr, t_rows, work, threads, [&](int64_t begin, int64_t end) {
        spread_rows(transpose, at<const int64_t>(perm), t_bounds, size, at<const T>(source), at<const T>(target),
                    at<const T>(u), static_cast<T>(slope), at<T>(by_source), begin, end);
    });
    t_bounds.check();
    for_rows(graph.rowptr, rows, work, threads, [&](int64_t begin, int64_t end) {
        spread_rows(graph, nullptr, bounds, size, at<const T>(target), at<const T>(source), at<const T>(u),
                    static_cast<T>(slope), at<T>(by_target), begin, end);
    });
    bounds.check();
}

}  // namespace

void register_attention(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("attend_f32", &attend<float>, unlocked);
    m.def("attend_f64", &attend<double>, unlocked);
    m.def("attend_backward_f32", &attend_backward<float>, unlocked);
    m.def("attend_backward_f64", &attend_backward<double>, unlocked);
    m.def("edge_scores_f32", &edge_scores<float>, unlocked);
    m.def("edge_scores_f64", &edge_scores<double>, unlocked);
    m.def("edge_scores_adjoint_f32", &edge_scores_adjoint<float>, unlocked);
    m.def("edge_scores_adjoint_f64", &edge_scores_adjoint<double>, unlocked);
}

}  // namespace geodl
