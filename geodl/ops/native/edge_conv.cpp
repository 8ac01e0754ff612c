// The forward and the backward pass of geodl/ops/edge_conv.py, whose names and equations these are.
//
// What is summed over points is summed over chunks of them, cut by the number of points alone, and then over the chunks
// in order, so that results are bitwise equal for any number of threads.
#include "gemm.h"
#include "graph.h"
#include "kernels.h"
#include "parallel.h"
#include "simd.h"
#include "windows.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace geodl {
namespace {

// --- points in blocks, which stay in the cache from one step to the next, and chunks of blocks, which have sums ---

// Multiples of the rows that a product holds in registers (gemm.cpp). Few points are still many chunks: two threads that share
// five are done after three.
constexpr int64_t block = 96, least = 48;

struct Chunks {
    explicit Chunks(int64_t points)
        : points(points), size(std::max(least, (points + most - 1) / most)), count((points + size - 1) / size) {}

    // Calls body(chunk, begin, end) for every chunk, and body of its thread's number.
    template <class Body>
    void for_each(int team, Body body) const {
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
        for (int64_t chunk = 0; chunk < count; ++chunk)
            body(chunk, chunk * size, std::min(points, (chunk + 1) * size), omp_get_thread_num());
    }

    static constexpr int64_t most = 64;
    const int64_t points, size, count;
};

// Sums over the chunks, in order.
template <class Sum, class T>
void add_up(const Chunks& chunks, const T* parts, int64_t numbers, Sum* total) {
    std::fill_n(total, numbers, Sum(0));
    for (int64_t chunk = 0; chunk < chunks.count; ++chunk)
        for (int64_t n = 0; n < numbers; ++n) total[n] += parts[chunk * numbers + n];
}

// --- kernels on rows [begin, end) ---

// At how many edges point i is: rowptr[i + 1] - rowptr[i], or count[i]. A point at none is in no message, not even as NaN.
struct Uses {
    const int64_t *rowptr, *count;
    GEODL_INLINE int64_t operator()(int64_t i) const { return rowptr ? rowptr[i + 1] - rowptr[i] : count[i]; }
};

template <class T>
GEODL_INLINE void weigh(Uses uses, const T* x, int64_t channels, double* sum, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        const auto times = static_cast<double>(uses(i));
        if (times == 0) continue;
        for (int64_t c = 0; c < channels; ++c) sum[c] += times * static_cast<double>(x[i * channels + c]);
    }
}

template <class T>
GEODL_INLINE void centre(Uses uses, const T* x, const double* mean, int64_t channels, T* out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i, out += channels) {
        if (uses(i) == 0) {
            std::fill_n(out, channels, T(0));
            continue;
        }
        for (int64_t c = 0; c < channels; ++c)
            out[c] = static_cast<T>(static_cast<double>(x[i * channels + c]) - mean[c]);
    }
}

// NaN wins over every number, and the first NaN over later ones: a NaN must not vanish in a maximum.
template <class T>
GEODL_INLINE bool beats(T value, T best) {
    return !(value <= best) & (best == best);
}

// Asks for the row of x that a later edge reads.
template <class T>
GEODL_INLINE void prefetch(const int64_t* col, int64_t e, int64_t last, const T* x, int64_t channels, int64_t from) {
    constexpr int64_t ahead = 16;
    if (e + ahead < last) __builtin_prefetch(x + col[e + ahead] * channels + from);
}

// Greatest message of every row and which edge has it; with Norm also the sum of the messages of the row, and over all
// rows that of their squares. Lanes are loops, see aggregate.cpp; fewer channels than lanes are one block that is not full.
template <class T, bool Norm, bool Full>
GEODL_INLINE void reduce_block(Graph graph, const T* u, const T* v, int64_t channels, int64_t from, T* extremum,
                               int32_t* position, T* total, double* squares, int64_t begin, int64_t end) {
    constexpr int64_t lanes = Lanes<T>::count;
    const int64_t width = Full ? lanes : channels, all = graph.rowptr[end];
    double squares_of_all[lanes] = {};
    for (int64_t i = begin; i < end; ++i) {
        const int64_t first = graph.rowptr[i], last = graph.rowptr[i + 1];
        T own[lanes] = {}, best[lanes] = {}, sum[lanes] = {}, square[lanes] = {};
        int32_t taken[lanes];
        for (int64_t c = 0; c < lanes; ++c) taken[c] = first == last ? -1 : 0;
        std::copy_n(u + i * channels + from, width, own);
        if (first < last) {
            const T* row = v + graph.col[first] * channels + from;
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) {
                best[c] = own[c] + row[c];
                sum[c] = best[c];
                square[c] = best[c] * best[c];
            }
        }
        for (int64_t e = first + 1; e < last; ++e) {
            const T* row = v + graph.col[e] * channels + from;
            const auto here = static_cast<int32_t>(e - first);
            prefetch(graph.col, e, all, v, channels, from);
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) {
                const T message = own[c] + row[c];
                if (Norm) {
                    sum[c] += message;
                    square[c] += message * message;
                }
                const bool better = beats(message, best[c]);
                best[c] = better ? message : best[c];
                taken[c] = better ? here : taken[c];
            }
        }
        std::copy_n(best, width, extremum + i * channels + from);
        std::copy_n(taken, width, position + i * channels + from);
        if (Norm) {
            std::copy_n(sum, width, total + i * channels + from);
            for (int64_t c = 0; c < width; ++c) squares_of_all[c] += static_cast<double>(square[c]);
        }
    }
    if (Norm) std::copy_n(squares_of_all, width, squares + from);
}

// Calls body.operator()<Full>(from) for blocks of as many channels as a vector has lanes; the last two may overlap.
template <class T, class Body>
GEODL_INLINE void for_lanes(int64_t channels, Body body) {
    constexpr int64_t lanes = Lanes<T>::count;
    if (channels < lanes) return body.template operator()<false>(0);
    for (int64_t c = 0; c + lanes <= channels; c += lanes) body.template operator()<true>(c);
    if (channels % lanes) body.template operator()<true>(channels - lanes);
}

template <class T>
GEODL_INLINE void reduce(Graph graph, const T* u, const T* v, int64_t channels, T* extremum, int32_t* position, T* total,
                         double* squares, int64_t begin, int64_t end) {
    for_lanes<T>(channels, [&]<bool Full>(int64_t from) __attribute__((always_inline)) {
        if (total)
            reduce_block<T, true, Full>(graph, u, v, channels, from, extremum, position, total, squares, begin, end);
        else
            reduce_block<T, false, Full>(graph, u, v, channels, from, extremum, position, total, squares, begin, end);
    });
}

// out = LeakyReLU(scale * extremum + shift), 0 where the row is empty.
template <class T>
GEODL_INLINE void activate(Graph graph, const T* extremum, const T* scale, const T* shift, T slope, int64_t channels,
                           T* out, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        // A product with 0 would keep a NaN of the scale, which a NaN anywhere in training makes.
        const bool present = graph.rowptr[i] < graph.rowptr[i + 1];
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
            const T y = scale[c] * extremum[i * channels + c] + shift[c];
            const T active = y > 0 ? y : slope * y;
            out[i * channels + c] = present ? active : T(0);
        }
    }
}

// y, the derivative by the input of the activation, and its sums: of y, and of y times the extremum.
template <class T>
GEODL_INLINE void deactivate(Graph graph, const T* grad, const T* out, const T* extremum, T slope, int64_t channels,
                             T* y, double* sums, int64_t begin, int64_t end) {
    double* products = sums + channels;
    for (int64_t i = begin; i < end; ++i) {
        const bool empty = graph.rowptr[i] == graph.rowptr[i + 1];
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
            const int64_t n = i * channels + c;
            const T value = empty ? T(0) : out[n] > 0 ? grad[n] : slope * grad[n];
            y[n] = value;
            sums[c] += static_cast<double>(value);
            if (extremum) products[c] += static_cast<double>(value) * static_cast<double>(extremum[n]);
        }
    }
}

// What the derivative by a message is: factor * (selected y) - mean - slope * message.
template <class T>
struct Derivative {
    const T *factor, *mean, *slope;
};

// by_u = factor * y - degree * mean - slope * total
template <class T>
GEODL_INLINE void by_destinations(Graph graph, const T* y, const T* total, Derivative<T> d, int64_t channels, T* by_u,
                                  int64_t stride, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i, by_u += stride) {
        const auto degree = static_cast<T>(graph.rowptr[i + 1] - graph.rowptr[i]);
#pragma omp simd
        for (int64_t c = 0; c < channels; ++c) {
            const int64_t n = i * channels + c;
            by_u[c] = total ? d.factor[c] * y[n] - degree * d.mean[c] - d.slope[c] * total[n] : y[n];
        }
    }
}

// by_v = sum over the destinations i that read j of factor * (y_i where selected) - mean - slope * (u_i + v_j)
template <class T, bool Norm, bool Full>
GEODL_INLINE void sources_block(Graph transpose, const int64_t* perm, const int64_t* rowptr, const int32_t* position,
                                const T* y, const T* u, const T* v, Derivative<T> d, int64_t channels, int64_t from,
                                T* by_v, int64_t stride, int64_t begin, int64_t end) {
    constexpr int64_t lanes = Lanes<T>::count;
    const int64_t width = Full ? lanes : channels, all = transpose.rowptr[end];
    for (int64_t j = begin; j < end; ++j, by_v += stride) {
        const int64_t first = transpose.rowptr[j], last = transpose.rowptr[j + 1];
        T selected[lanes] = {}, sum[lanes] = {};
        for (int64_t k = first; k < last; ++k) {
            const int64_t i = transpose.col[k], at = i * channels + from;
            const auto wanted = static_cast<int32_t>(perm[k] - rowptr[i]);
            prefetch(transpose.col, k, all, y, channels, from);
            prefetch(transpose.col, k, all, position, channels, from);
            if (Norm) prefetch(transpose.col, k, all, u, channels, from);
#pragma omp simd
            for (int64_t c = 0; c < width; ++c) {
                selected[c] += position[at + c] == wanted ? y[at + c] : T(0);
                if (Norm) sum[c] += u[at + c];
            }
        }
        if (!Norm) {
            std::copy_n(selected, width, by_v + from);
            continue;
        }
        const auto reads = static_cast<T>(last - first);
        for (int64_t c = 0; c < width; ++c) {
            const int64_t n = from + c;
            by_v[n] = d.factor[n] * selected[c] - reads * d.mean[n] - d.slope[n] * (sum[c] + reads * v[j * channels + n]);
        }
    }
}

template <class T>
GEODL_INLINE void by_sources(Graph transpose, const int64_t* perm, const int64_t* rowptr, const int32_t* position,
                             const T* y, const T* u, const T* v, Derivative<T> d, int64_t channels, T* by_v,
                             int64_t stride, int64_t begin, int64_t end) {
    for_lanes<T>(channels, [&]<bool Full>(int64_t from) __attribute__((always_inline)) {
        if (u)
            sources_block<T, true, Full>(transpose, perm, rowptr, position, y, u, v, d, channels, from, by_v, stride,
                                         begin, end);
        else
            sources_block<T, false, Full>(transpose, perm, rowptr, position, y, u, v, d, channels, from, by_v, stride,
                                          begin, end);
    });
}

#define GEODL_EDGE_CONV(T)                                                                                             \
    GEODL_CLONES void weigh_rows(Uses uses, const T* x, int64_t channels, double* sum, int64_t begin, int64_t end) {   \
        weigh(uses, x, channels, sum, begin, end);                                                                     \
    }                                                                                                                  \
    GEODL_CLONES void centre_rows(Uses uses, const T* x, const double* mean, int64_t channels, T* out,                 \
                                  int64_t begin, int64_t end) {                                                        \
        centre(uses, x, mean, channels, out, begin, end);                                                              \
    }                                                                                                                  \
    GEODL_CLONES void reduce_rows(Graph graph, const T* u, const T* v, int64_t channels, T* extremum,                  \
                                  int32_t* position, T* total, double* squares, int64_t begin, int64_t end) {          \
        reduce(graph, u, v, channels, extremum, position, total, squares, begin, end);                                 \
    }                                                                                                                  \
    GEODL_CLONES void activate_rows(Graph graph, const T* extremum, const T* scale, const T* shift, T slope,           \
                                    int64_t channels, T* out, int64_t begin, int64_t end) {                            \
        activate(graph, extremum, scale, shift, slope, channels, out, begin, end);                                     \
    }                                                                                                                  \
    GEODL_CLONES void deactivate_rows(Graph graph, const T* grad, const T* out, const T* extremum, T slope,            \
                                      int64_t channels, T* y, double* sums, int64_t begin, int64_t end) {              \
        deactivate(graph, grad, out, extremum, slope, channels, y, sums, begin, end);                                  \
    }                                                                                                                  \
    GEODL_CLONES void destination_rows(Graph graph, const T* y, const T* total, Derivative<T> d, int64_t channels,     \
                                       T* by_u, int64_t stride, int64_t begin, int64_t end) {                          \
        by_destinations(graph, y, total, d, channels, by_u, stride, begin, end);                                       \
    }                                                                                                                  \
    GEODL_CLONES void source_rows(Graph transpose, const int64_t* perm, const int64_t* rowptr, const int32_t* position, \
                                  const T* y, const T* u, const T* v, Derivative<T> d, int64_t channels, T* by_v,      \
                                  int64_t stride, int64_t begin, int64_t end) {                                        \
        by_sources(transpose, perm, rowptr, position, y, u, v, d, channels, by_v, stride, begin, end);                 \
    }

GEODL_EDGE_CONV(float)
GEODL_EDGE_CONV(double)

// --- the two halves of a message: u of the destinations, v of the sources ---

// Points, to be centred on `mean` if that is not null.
template <class T>
struct Points {
    const T* x;
    int64_t size, channels;
    Uses uses;
    const double* mean;

    // Row `begin` on, centred, in `space` or where they are.
    const T* rows(int64_t begin, int64_t end, T* space) const {
        if (!mean) return x + begin * channels;
        centre_rows(uses, x, mean, channels, space, begin, end);
        return space;
    }
    int64_t space() const { return mean ? block * channels : 0; }
};

// The means over all edges of these points, which are one signal used in several ways, one after the other.
template <class T>
void mean_points(std::initializer_list<Points<T>> used, int64_t edges, double* means, int threads) {
    const Points<T>& points = *used.begin();
    const int64_t channels = points.channels, numbers = static_cast<int64_t>(used.size()) * channels;
    const Chunks chunks(points.size);
    const Buffer<double> parts(chunks.count * numbers);
    std::fill_n(parts.get(), chunks.count * numbers, 0.0);
    chunks.for_each(team_size(points.size * numbers / 4, threads), [&](int64_t chunk, int64_t begin, int64_t end, int) {
        double* sum = parts.get() + chunk * numbers;
        for (const Points<T>& use : used) {
            weigh_rows(use.uses, points.x, channels, sum, begin, end);
            sum += channels;
        }
    });
    add_up(chunks, parts.get(), numbers, means);
    for (int64_t n = 0; n < numbers; ++n) means[n] /= static_cast<double>(edges);
}

// Puts the means of both, which are the same points if `shared`, into `means`, and centres both on theirs.
template <class T>
void centre_on_means(Points<T>& destinations, Points<T>& sources, bool shared, int64_t edges, double* means, int threads) {
    double *m = means, *s = m + destinations.channels;
    if (shared) {
        mean_points({destinations, sources}, edges, means, threads);
    } else {
        mean_points({destinations}, edges, m, threads);
        mean_points({sources}, edges, s, threads);
    }
    destinations.mean = m;
    sources.mean = s;
}

// -1 where gamma is negative, else 1; 1 everywhere without gamma.
template <class T>
class Signs {
public:
    Signs(const T* gamma, int64_t size) : data_(size) {
        for (int64_t o = 0; o < size; ++o) data_.get()[o] = gamma && gamma[o] < 0 ? T(-1) : T(1);
    }
    T operator[](int64_t o) const { return data_.get()[o]; }

private:
    const Buffer<T> data_;
};

// W1 - W2 and W2, turned round where gamma is negative; rows padded to whole vectors by zeros. Or both transposed.
template <class T>
class Filters {
public:
    Filters(const T* weight, const T* gamma, int64_t channels, int64_t out_channels, bool transposed)
        : stride(padded<T>(transposed ? channels : out_channels)),
          size_((transposed ? out_channels : channels) * stride), data_(2 * size_) {
        std::fill_n(data_.get(), 2 * size_, T(0));
        const Signs<T> sign(gamma, out_channels);
        T *point = data_.get(), *offset = point + size_;
        const T* of_offset = weight + channels * out_channels;
        // What is written is adjacent: of a transpose, numbers are read far apart rather than written so.
        for (int64_t r = 0; r < (transposed ? out_channels : channels); ++r, point += stride, offset += stride) {
            if (transposed)
                for (int64_t c = 0; c < channels; ++c) {
                    const int64_t n = c * out_channels + r;
                    point[c] = sign[r] * (weight[n] - of_offset[n]);
                    offset[c] = sign[r] * of_offset[n];
                }
            else
                for (int64_t o = 0; o < out_channels; ++o) {
                    const int64_t n = r * out_channels + o;
                    point[o] = sign[o] * (weight[n] - of_offset[n]);
                    offset[o] = sign[o] * of_offset[n];
                }
        }
    }
    Right<T> of_point() const { return {data_.get(), stride, panel_width<T>}; }
    Right<T> of_offset() const { return {data_.get() + size_, stride, panel_width<T>}; }
    const int64_t stride;

private:
    const int64_t size_;
    const Buffer<T> data_;
};

// out[row] (+)= in[row] filter, for a block of rows; `padding` has room for a block of padded rows.
template <class T>
void filter_block(const T* in, int64_t in_stride, int64_t rows, int64_t depth, Right<T> filter, int64_t stride,
                  int64_t columns, T* out, bool accumulate, T* padding) {
    const Left<T> left{in, in_stride, 1};
    if (stride == columns) return gemm(rows, columns, depth, left, filter, out, columns, accumulate);
    gemm(rows, stride, depth, left, filter, padding, stride, false);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) {
            T& to = out[r * columns + c];
            to = padding[r * stride + c] + (accumulate ? to : T(0));
        }
}

template <class T>
void filter_points(const Points<T>& points, Right<T> filter, int64_t stride, int64_t columns, T* out, int threads) {
    const int64_t channels = points.channels;
    const int team = team_size(points.size * (channels + 4) * (columns + 4) / 16, threads);
    const int64_t size = points.space() + block * stride;
    const Buffer<T> scratch(team * size);
    for_row_blocks(0, points.size, least, team, [&](int64_t begin, int64_t end, int thread) {
        T* mine = scratch.get() + thread * size;
        filter_block(points.rows(begin, end, mine), channels, end - begin, channels, filter, stride, columns,
                     out + begin * columns, false, mine + points.space());
    });
}

template <class T>
void check_points(bool shared, const T* x_dst, int64_t num_dst, const T* x, int64_t num_src, int64_t channels) {
    need_memory("x", x, num_src * channels);
    if (!shared) need_memory("x_dst", x_dst, num_dst * channels);
    else if (num_dst != num_src)
        throw std::invalid_argument("x has " + std::to_string(num_src) + " rows but there are " + std::to_string(num_dst) +
                                    " destinations, which need x_dst");
}

// --- forward. The points are `shared` where the destinations are the sources ---

template <class T>
void edge_conv(std::uintptr_t rowptr, int64_t num_dst, std::uintptr_t col, std::uintptr_t t_rowptr, bool shared,
               std::uintptr_t x_dst, std::uintptr_t x, int64_t num_src, int64_t channels, std::uintptr_t weight, int64_t out_channels,
               std::uintptr_t bias_at, std::uintptr_t gamma_at, std::uintptr_t beta_at, double negative_slope, double eps,
               std::uintptr_t out, std::uintptr_t position, std::uintptr_t mean_at, std::uintptr_t variance_at,
               std::uintptr_t u_at, std::uintptr_t v_at, std::uintptr_t extremum_at, std::uintptr_t total, int threads,
               int64_t edges) {
    const Graph graph{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const T *gamma = at<const T>(gamma_at), *bias = at<const T>(bias_at), *beta = at<const T>(beta_at);
    Bounds bounds = bounds_of(graph, num_dst, edges, num_src);
    check_points(shared, at<const T>(x_dst), num_dst, at<const T>(x), num_src, channels);
    need_memory("weight", at<const T>(weight), 2 * channels * out_channels);
    const bool norm = gamma;
    const bool counted = norm && !t_rowptr;
    if (norm && t_rowptr) check_pointer("t_rowptr", at<const int64_t>(t_rowptr), num_src, edges, "edges");
    if (counted) bounds.check_all(threads);
    const Buffer<int64_t> count(counted ? num_src : 0);
    if (counted) {
        std::fill_n(count.get(), num_src, int64_t{0});
        for (int64_t e = 0; e < edges; ++e) ++count.get()[graph.col[e]];
    }
    Points<T> destinations{at<const T>(shared ? x : x_dst), num_dst, channels, {graph.rowptr, nullptr}, nullptr};
    Points<T> sources{at<const T>(x), num_src, channels, {at<const int64_t>(t_rowptr), count.get()}, nullptr};

    const Buffer<double> means(2 * channels);
    if (norm) {
        centre_on_means(destinations, sources, shared, edges, means.get(), threads);
        const double *m = destinations.mean, *s = sources.mean;
        const Buffer<double> sum(out_channels);
        for (int64_t o = 0; o < out_channels; ++o) sum.get()[o] = bias ? static_cast<double>(bias[o]) : 0.0;
        for (int64_t c = 0; c < channels; ++c) {
            const T *of_point = at<const T>(weight) + c * out_channels, *of_offset = of_point + channels * out_channels;
            for (int64_t o = 0; o < out_channels; ++o)
                sum.get()[o] += m[c] * static_cast<double>(of_point[o]) + (s[c] - m[c]) * static_cast<double>(of_offset[o]);
        }
        std::transform(sum.get(), sum.get() + out_channels, at<T>(mean_at), [](double mean) { return static_cast<T>(mean); });
    }

    const Filters<T> filters(at<const T>(weight), gamma, channels, out_channels, false);
    const Buffer<T> own_u(norm ? 0 : num_dst * out_channels), own_v(norm ? 0 : num_src * out_channels);
    T *u = norm ? at<T>(u_at) : own_u.get(), *v = norm ? at<T>(v_at) : own_v.get();
    filter_points(destinations, filters.of_point(), filters.stride, out_channels, u, threads);
    filter_points(sources, filters.of_offset(), filters.stride, out_channels, v, threads);

    const Chunks chunks(num_dst);
    const Buffer<double> squares(chunks.count * out_channels), all_squares(out_channels);
    const Buffer<T> factors(2 * out_channels);
    T *scale = factors.get(), *shift = scale + out_channels, *extremum = norm ? at<T>(extremum_at) : at<T>(out);
    const T* shifts = norm ? beta : bias;
    for (int64_t o = 0; o < out_channels; ++o) {
        scale[o] = T(1);
        shift[o] = shifts ? shifts[o] : T(0);
    }
    const T slope = static_cast<T>(negative_slope);
    const int team = team_size((num_dst + edges) * (out_channels + 16) / 8, threads);
    chunks.for_each(team, [&](int64_t chunk, int64_t begin, int64_t end, int) {
        if (!counted && !bounds.admit(graph.rowptr[begin], graph.rowptr[end])) return;
        reduce_rows(graph, u, v, out_channels, extremum, at<int32_t>(position), at<T>(total),
                    squares.get() + chunk * out_channels, begin, end);
        if (!norm) activate_rows(graph, extremum, scale, shift, slope, out_channels, extremum, begin, end);
    });
    bounds.check();
    if (!norm) return;
    add_up(chunks, squares.get(), out_channels, all_squares.get());
    for (int64_t o = 0; o < out_channels; ++o) {
        const double variance = all_squares.get()[o] / static_cast<double>(edges);
        at<T>(variance_at)[o] = static_cast<T>(variance);
        scale[o] = static_cast<T>(std::abs(static_cast<double>(gamma[o])) / std::sqrt(variance + eps));
    }
    chunks.for_each(team_size(num_dst * out_channels / 4, threads), [&](int64_t, int64_t begin, int64_t end, int) {
        activate_rows(graph, extremum, scale, shift, slope, out_channels, at<T>(out), begin, end);
    });
}

// --- backward ---

// From the derivative by u (or v), block by block, that by the points and, in parts, that by the filter.
template <class T>
class Adjoint {
public:
    Adjoint(const Points<T>& points, int64_t out_channels, Right<T> filter, int64_t filter_stride, T* by_points,
            bool accumulate, int threads)
        : points_(points), out_channels_(out_channels), stride_(padded<T>(out_channels)), filter_(filter),
          filter_stride_(filter_stride), by_points_(by_points), accumulate_(accumulate), chunks_(points.size),
          size_(block * (stride_ + filter_stride_) + points.space()), scratch_(threads * size_),
          parts_(chunks_.count * points.channels * stride_) {}

    // `derive(begin, end, out, stride)` writes the derivative by rows [begin, end) of u to `out`.
    template <class Derive>
    void run(int team, Derive derive) const {
        chunks_.for_each(team, [&](int64_t chunk, int64_t chunk_begin, int64_t chunk_end, int thread) {
            T* by = scratch_.get() + thread * size_;
            T* padding = by + block * stride_;
            T* space = padding + block * filter_stride_;
            std::fill_n(by, block * stride_, T(0));
            for (int64_t begin = chunk_begin; begin < chunk_end; begin += block) {
                const int64_t end = std::min(chunk_end, begin + block), channels = points_.channels;
                derive(begin, end, by, stride_);
                if (by_points_)
                    filter_block(by, stride_, end - begin, out_channels_, filter_, filter_stride_, channels,
                                 by_points_ + begin * channels, accumulate_, padding);
                gemm(channels, stride_, end - begin, Left<T>{points_.rows(begin, end, space), 1, channels},
                     Right<T>{by, stride_, panel_width<T>}, parts_.get() + chunk * channels * stride_, stride_,
                     begin > chunk_begin);
            }
        });
    }

    // The derivative by the filter, rows padded.
    void by_filter(T* out) const { add_up(chunks_, parts_.get(), points_.channels * stride_, out); }
    int64_t stride() const { return stride_; }

private:
    const Points<T> points_;
    const int64_t out_channels_, stride_;
    const Right<T> filter_;
    const int64_t filter_stride_;
    T* const by_points_;
    const bool accumulate_;
    const Chunks chunks_;
    const int64_t size_;
    const Buffer<T> scratch_, parts_;
};

template <class T>
void edge_conv_backward(std::uintptr_t rowptr, int64_t num_dst, std::uintptr_t col, std::uintptr_t t_rowptr,
                        std::uintptr_t t_row, std::uintptr_t perm, bool shared, std::uintptr_t x_dst,
                        std::uintptr_t x, int64_t num_src, int64_t channels, std::uintptr_t weight, int64_t out_channels,
                        std::uintptr_t gamma_at, double negative_slope, double eps, std::uintptr_t grad,
                        std::uintptr_t out, std::uintptr_t position, std::uintptr_t variance, std::uintptr_t u,
                        std::uintptr_t v, std::uintptr_t extremum, std::uintptr_t total, std::uintptr_t by_dst,
                        std::uintptr_t by_x, std::uintptr_t by_weight, std::uintptr_t by_bias, std::uintptr_t by_gamma,
                        std::uintptr_t by_beta, int threads, int64_t edges) {
    const Graph graph{at<const int64_t>(rowptr), at<const int64_t>(col)};
    const Graph transpose{at<const int64_t>(t_rowptr), at<const int64_t>(t_row)};
    const T* gamma = at<const T>(gamma_at);
    const bool norm = gamma;
    check_pointer("rowptr", graph.rowptr, num_dst, edges, "edges");
    Bounds bounds = bounds_of_transpose(transpose, at<const int64_t>(perm), num_src, edges, num_dst);
    need_memory("perm", at<const int64_t>(perm), edges);
    check_points(shared, at<const T>(x_dst), num_dst, at<const T>(x), num_src, channels);
    need_memory("weight", at<const T>(weight), 2 * channels * out_channels);
    need_memory("grad", at<const T>(grad), num_dst * out_channels);
    need_memory("out", at<const T>(out), num_dst * out_channels);
    need_memory("position", at<const int32_t>(position), num_dst * out_channels);
    if (norm) {
        need_memory("variance", at<const T>(variance), out_channels);
        need_memory("u", at<const T>(u), num_dst * out_channels);
        need_memory("v", at<const T>(v), num_src * out_channels);
        need_memory("extremum", at<const T>(extremum), num_dst * out_channels);
        need_memory("total", at<const T>(total), num_dst * out_channels);
    }
    Points<T> destinations{at<const T>(shared ? x : x_dst), num_dst, channels, {graph.rowptr, nullptr}, nullptr};
    Points<T> sources{at<const T>(x), num_src, channels, {transpose.rowptr, nullptr}, nullptr};
    const Buffer<double> means(2 * channels);
    if (norm) centre_on_means(destinations, sources, shared, edges, means.get(), threads);

    const Chunks chunks(num_dst);
    const Buffer<T> y(num_dst * out_channels);
    const Buffer<double> parts(chunks.count * 2 * out_channels), sums(2 * out_channels);
    std::fill_n(parts.get(), chunks.count * 2 * out_channels, 0.0);
    chunks.for_each(team_size(num_dst * out_channels / 2, threads), [&](int64_t chunk, int64_t begin, int64_t end, int) {
        deactivate_rows(graph, at<const T>(grad), at<const T>(out), at<const T>(extremum), static_cast<T>(negative_slope),
                        out_channels, y.get(), parts.get() + chunk * 2 * out_channels, begin, end);
    });
    add_up(chunks, parts.get(), 2 * out_channels, sums.get());

    const Buffer<T> derivative(3 * out_channels);
    T *factor = derivative.get(), *mean = factor + out_channels, *slope = mean + out_channels;
    for (int64_t o = 0; o < out_channels; ++o) {
        const double by_shift = sums.get()[o];
        at<T>(by_bias)[o] = norm ? T(0) : static_cast<T>(by_shift);
        if (!norm) continue;
        const double inverse = 1 / std::sqrt(static_cast<double>(at<const T>(variance)[o]) + eps);
        const double by_scale = sums.get()[out_channels + o] * inverse;
        const double scale = std::abs(static_cast<double>(gamma[o])) * inverse, n = static_cast<double>(edges);
        factor[o] = static_cast<T>(scale);
        mean[o] = static_cast<T>(scale * by_shift / n);
        slope[o] = static_cast<T>(scale * inverse * by_scale / n);
        at<T>(by_gamma)[o] = static_cast<T>(gamma[o] < 0 ? -by_scale : by_scale);
        at<T>(by_beta)[o] = static_cast<T>(by_shift);
    }
    const Derivative<T> d{factor, mean, slope};

    const Filters<T> filters(at<const T>(weight), gamma, channels, out_channels, true);
    const int64_t product = (channels + 4) * (out_channels + 4) / 8;
    const int team = team_size(num_dst * product, threads);
    const int t_team = team_size(num_src * product + (num_src + edges) * (out_channels + 16) / 8, threads);
    const Adjoint<T> of_u(destinations, out_channels, filters.of_point(), filters.stride, at<T>(shared ? by_x : by_dst),
                          false, team);
    of_u.run(team, [&](int64_t begin, int64_t end, T* by_u, int64_t stride) {
        destination_rows(graph, y.get(), at<const T>(total), d, out_channels, by_u, stride, begin, end);
    });
    const Adjoint<T> of_v(sources, out_channels, filters.of_offset(), filters.stride, at<T>(by_x), shared, t_team);
    of_v.run(t_team, [&](int64_t begin, int64_t end, T* by_v, int64_t stride) {
        if (!bounds.admit(transpose.rowptr[begin], transpose.rowptr[end])) return;
        source_rows(transpose, at<const int64_t>(perm), graph.rowptr, at<const int32_t>(position), y.get(),
                    at<const T>(u), at<const T>(v), d, out_channels, by_v, stride, begin, end);
    });

    bounds.check();

    const int64_t stride = of_u.stride();
    const Buffer<T> by_filters(2 * channels * stride);
    T *by_point = by_filters.get(), *by_offset = by_point + channels * stride, *w = at<T>(by_weight);
    of_u.by_filter(by_point);
    of_v.by_filter(by_offset);
    const Signs<T> sign(gamma, out_channels);
    for (int64_t c = 0; c < channels; ++c)
        for (int64_t o = 0; o < out_channels; ++o) {
            const T point = by_point[c * stride + o], offset = by_offset[c * stride + o];
            w[c * out_channels + o] = sign[o] * point;
            w[(channels + c) * out_channels + o] = sign[o] * (offset - point);
        }
}

}  // namespace

void register_edge_conv(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> unlocked;
    m.def("edge_conv_f32", &edge_conv<float>, unlocked);
    m.def("edge_conv_f64", &edge_conv<double>, unlocked);
    m.def("edge_conv_backward_f32", &edge_conv_backward<float>, unlocked);
    m.def("edge_conv_backward_f64", &edge_conv_backward<double>, unlocked);
}

}  // namespace geodl
