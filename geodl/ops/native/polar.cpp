// window_conv: patches times filters in all rotations of the filter, and the gradients of that.
//
// Patches exist for a block of rows at a time, in the form that the rotations give them: "products" planes, each
// [rows, rings * channels], and each multiplied by a plane of the filters. Channels are padded to whole vectors.
#include "gemm.h"
#include "kernels.h"
#include "rotations.h"
#include "windows.h"

#include <limits>

namespace geodl {
namespace {

enum class Pool { none, maximum, given };

template <class T>
struct Shape {
    int64_t rings, rays, channels, out_channels, products;
    int64_t in = padded<T>(channels), out = padded<T>(out_channels);
    int64_t depth = rings * in;           // of a product: every ring and channel of the input
    int64_t patch = rings * rays * in;    // numbers in a patch
    // Distance between the rows of a plane. Not a multiple of a page, or all rows of a tile would share a cache set.
    int64_t row = depth * int64_t(sizeof(T)) % 4096 ? depth : depth + Lanes<T>::count;
};

template <class T>
int64_t panels(int64_t columns) {
    return (columns + panel_width<T> - 1) / panel_width<T>;
}

// The filters as the rotations multiply them: planes [depth, out], in panels of columns; or their transposes [out, depth].
template <class T>
class Planes {
public:
    Planes(const Rotations<T>& rotations, const Shape<T>& shape, const T* filters, bool transposed, int threads)
        : rows_(transposed ? shape.out : shape.depth),
          plane_(panels<T>(transposed ? shape.depth : shape.out) * panel_width<T> * rows_),
          data_(shape.products * plane_) {
        const int64_t matrix = shape.channels * shape.out_channels;
        const int team = team_size(shape.products * shape.rings * shape.rays * matrix / 4, threads);
        const Buffer<T> sums(team * matrix);
        std::fill_n(data_.get(), shape.products * plane_, T(0));
        for_row_blocks(0, shape.products * shape.rings, 1, team, [&](int64_t task, int64_t, int thread) {
            const int64_t k = task / shape.rings, ring = task % shape.rings;
            T* sum = sums.get() + thread * matrix;
            std::fill_n(sum, matrix, T(0));
            for (int64_t ray = 0; ray < shape.rays; ++ray) {
                const T factor = rotations.filter[k * shape.rays + ray];
                const T* filter = filters + (ring * shape.rays + ray) * matrix;
                for (int64_t n = 0; n < matrix; ++n) sum[n] += factor * filter[n];
            }
            T* plane = data_.get() + k * plane_;
            for (int64_t c = 0; c < shape.channels; ++c)
                for (int64_t o = 0; o < shape.out_channels; ++o) {
                    const int64_t row = transposed ? o : ring * shape.in + c;
                    const int64_t column = transposed ? ring * shape.in + c : o;
                    plane[column / panel_width<T> * panel_width<T> * rows_ + row * panel_width<T> +
                          column % panel_width<T>] = sum[c * shape.out_channels + o];
                }
        });
    }
    Right<T> operator[](int64_t k) const {
        return {data_.get() + k * plane_, panel_width<T>, panel_width<T> * rows_};
    }

private:
    const int64_t rows_, plane_;
    const Buffer<T> data_;
};

// Patch of row i, analysed, into one row of every plane, if its indices are in their bounds.
template <class T>
bool analysed_patch(const Windows<T>& windows, Bounds& bounds, const Rotations<T>& rotations, const Shape<T>& shape,
                    const Signal<T>& x, int64_t i, T* planes, int64_t plane, T* patch, T* scratch) {
    if (shape.rays == 1) return gather_patch(windows, bounds, i, x, planes, scratch);
    if (!gather_patch(windows, bounds, i, x, patch, scratch)) return false;
    for (int64_t ring = 0; ring < shape.rings; ++ring)
        analyse(rotations, patch + ring * shape.rays * shape.in, shape.in, planes + ring * shape.in, plane);
    return true;
}

// Rows whose planes fill about half of an L2 cache.
template <class T>
int64_t rows_in_cache(const Shape<T>& shape) {
    const int64_t bytes = shape.products * (shape.row + shape.out) * int64_t(sizeof(T));
    return std::clamp<int64_t>((512 << 10) / std::max<int64_t>(bytes, 1) / 8 * 8, 16, 128);
}

template <class T>
int64_t work_of(const Windows<T>& windows, const Shape<T>& shape, int64_t edges, int64_t rows) {
    return edges * windows.columns * (shape.in / 16 + 1) + rows * shape.products * shape.depth * shape.out / 64;
}

void check_rotations(int64_t rays, int64_t turns) {
    if (rays < 1 || turns < 1 || rays % turns || turns > std::numeric_limits<int16_t>::max())
        throw std::invalid_argument("rotations must divide the " + std::to_string(rays) + " rays, not " +
                                    std::to_string(turns));
}

template <class T>
Shape<T> shape_of(const Rotations<T>& rotations, int64_t rings, int64_t channels, int64_t out_channels) {
    return {rings, rotations.rays, channels, out_channels, rotations.products};
}

template <class T>
void window_conv(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight, std::uintptr_t index,
                 int64_t columns, std::uintptr_t x_at, int64_t num_src, int64_t channels, std::uintptr_t filters,
                 int64_t rings, int64_t rays, int64_t out_channels, int64_t turns, int mode, std::uintptr_t out_at,
                 std::uintptr_t selection_at, int threads, int64_t edges) {
    const Pool pool = static_cast<Pool>(mode);
    check_rotations(rays, turns);
    const Rotations<T> rotations(rays, turns);
    const Shape<T> shape = shape_of(rotations, rings, channels, out_channels);
    const Windows<T> windows{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight),
                             at<const int64_t>(index), columns, rings * rays};
    Bounds bounds = bounds_of(windows, rows, edges, num_src);
    need_memory("x", at<const T>(x_at), num_src * channels);
    need_memory("filters", at<const T>(filters), rings * rays * channels * out_channels);
    const Signal<T> x(at<const T>(x_at), num_src, channels, threads);
    const Planes<T> planes(rotations, shape, at<const T>(filters), false, threads);
    T* out = at<T>(out_at);
    int16_t* selection = at<int16_t>(selection_at);
    if (pool == Pool::given) check_selection("selection", selection, rows, out_channels, turns, "rotations");

    const int64_t block = rows_in_cache(shape);
    const int team = team_size(work_of(windows, shape, edges, rows), threads);
    const int64_t plane = block * shape.row, product = block * shape.out;
    const int64_t sizes[] = {shape.products * plane, shape.products * product, shape.patch, turns * shape.out, shape.out,
                             windows.scratch(rows, shape.in)};
    int64_t size = 0;
    for (const int64_t part : sizes) size += part;
    const Buffer<T> scratch(team * size);
    const Buffer<int32_t> chosen(team * shape.out);

    for_row_blocks(0, rows, block, team, [&](int64_t begin, int64_t end, int thread) {
        T* patches = scratch.get() + thread * size;
        T* products = patches + sizes[0];
        T* patch = products + sizes[1];
        T* turned = patch + sizes[2];
        T* best = turned + sizes[3];
        T* rest = best + sizes[4];
        int32_t* choice = chosen.get() + thread * shape.out;
        for (int64_t i = begin; i < end; ++i)
            if (!analysed_patch(windows, bounds, rotations, shape, x, i, patches + (i - begin) * shape.row, plane, patch,
                                rest))
                return;
        for (int64_t k = 0; k < shape.products; ++k)
            gemm(end - begin, shape.out, shape.depth, Left<T>{patches + k * plane, shape.row, 1}, planes[k],
                 products + k * product, shape.out, false);
        for (int64_t i = begin; i < end; ++i) {
            const T* row = products + (i - begin) * shape.out;
            if (rays > 1) {
                synthesise(rotations, row, product, shape.out, turned);
                row = turned;
            }
            if (pool == Pool::none) {
                for (int64_t t = 0; t < turns; ++t)
                    std::copy_n(row + t * shape.out, out_channels, out + (i * turns + t) * out_channels);
            } else if (pool == Pool::maximum) {
                maximum(rotations, row, shape.out, best, choice);
                std::copy_n(best, out_channels, out + i * out_channels);
                for (int64_t o = 0; o < out_channels; ++o)
                    selection[i * out_channels + o] = static_cast<int16_t>(choice[o]);
            } else {
                for (int64_t o = 0; o < out_channels; ++o)
                    out[i * out_channels + o] = row[selection[i * out_channels + o] * shape.out + o];
            }
        }
    });
    bounds.check();
}

// grad of row i before the rotations were synthesised: one row [out] in every plane.
template <class T>
void synthesised_gradient(const Rotations<T>& rotations, const Shape<T>& shape, const T* grad, const int16_t* selection,
                          int64_t i, T* planes, int64_t plane) {
    const int64_t count = shape.out_channels, turns = rotations.rotations;
    for (int64_t k = 0; k < shape.products; ++k) {
        T* row = planes + k * plane;
        std::fill_n(row, shape.out, T(0));
        if (selection) {
            for (int64_t o = 0; o < count; ++o)
                row[o] = rotations.synthesis[selection[i * count + o] * shape.products + k] * grad[i * count + o];
            continue;
        }
        for (int64_t t = 0; t < turns; ++t) {
            const T factor = rotations.synthesis[t * shape.products + k];
            for (int64_t o = 0; o < count; ++o) row[o] += factor * grad[(i * turns + t) * count + o];
        }
    }
}

// grad_filters[r, a, c, o] = sum over k of filter[k, a] planes[k, r * in + c, o]
template <class T>
void filter_gradient(const Rotations<T>& rotations, const Shape<T>& shape, const T* planes, T* grad_filters,
                     int threads) {
    const int64_t work = shape.products * shape.rings * shape.rays * shape.channels * shape.out / 4;
    for_row_blocks(0, shape.rings * shape.rays, 1, team_size(work, threads), [&](int64_t window, int64_t, int) {
        const int64_t ring = window / shape.rays, ray = window % shape.rays;
        T* grad = grad_filters + window * shape.channels * shape.out_channels;
        std::fill_n(grad, shape.channels * shape.out_channels, T(0));
        for (int64_t k = 0; k < shape.products; ++k) {
            const T factor = rotations.filter[k * shape.rays + ray];
            const T* plane = planes + (k * shape.depth + ring * shape.in) * shape.out;
            for (int64_t c = 0; c < shape.channels; ++c)
                for (int64_t o = 0; o < shape.out_channels; ++o)
                    grad[c * shape.out_channels + o] += factor * plane[c * shape.out + o];
        }
    });
}

template <class T>
void window_conv_backward(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                           std::uintptr_t index,
                          int64_t columns, std::uintptr_t x_at, int64_t num_src, int64_t channels,
                          std::uintptr_t filters, int64_t rings, int64_t rays, int64_t out_channels, int64_t turns,
                          std::uintptr_t grad_at, std::uintptr_t selection_at, std::uintptr_t grad_x,
                          std::uintptr_t grad_weight, std::uintptr_t grad_filters, int threads, int64_t edges) {
    check_rotations(rays, turns);
    const Rotations<T> rotations(rays, turns);
    const Shape<T> shape = shape_of(rotations, rings, channels, out_channels);
    const Windows<T> windows{at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight),
                             at<const int64_t>(index), columns, rings * rays};
    Bounds bounds = bounds_of(windows, rows, edges, num_src);
    need_memory("x", at<const T>(x_at), num_src * channels);
    need_memory("filters", at<const T>(filters), rings * rays * channels * out_channels);
    need_memory("grad", at<const T>(grad_at), rows * out_channels);
    if (selection_at)
        check_selection("selection", at<const int16_t>(selection_at), rows, out_channels, turns, "rotations");
    const Signal<T> x(at<const T>(x_at), num_src, channels, threads);
    const bool need_patches = grad_filters != 0, need_adjoint = grad_x || grad_weight;
    const Planes<T> planes(rotations, need_adjoint ? shape : Shape<T>{0, rays, channels, out_channels, 0},
                           at<const T>(filters), true, threads);
    const SignalGradient<T> gradient(at<T>(grad_x), num_src, channels);
    PatchAdjoint<T> adjoint(windows, rows, num_src, x, gradient.get(), at<T>(grad_weight), threads);

    // A range of rows passes three loops, each parallel over what it writes: rows, entries of the filters, sources.
    const int64_t numbers_per_row =
        shape.products * (shape.out + (need_patches ? shape.row : 0)) + (need_adjoint ? shape.patch : 0);
    const auto ranges = adjoint.ranges(numbers_per_row * sizeof(T));
    int64_t most = 0;
    for (size_t r = 1; r < ranges.size(); ++r) most = std::max(most, ranges[r] - ranges[r - 1]);
    const Buffer<T> grads(shape.products * most * shape.out);
    const Buffer<T> patches(need_patches ? shape.products * most * shape.row : 0);
    const Buffer<T> patch_grads(need_adjoint ? most * shape.patch : 0);
    const Buffer<T> filter_planes(need_patches ? shape.products * shape.depth * shape.out : 0);
    if (need_patches) std::fill_n(filter_planes.get(), shape.products * shape.depth * shape.out, T(0));

    const int64_t block = rows_in_cache(shape);
    const int64_t sizes[] = {need_adjoint ? shape.products * block * shape.row : 0, shape.patch,
                             windows.scratch(rows, shape.in)};
    const int64_t size = sizes[0] + sizes[1] + sizes[2];
    const Buffer<T> scratch(threads * size);

    for (size_t r = 1; r < ranges.size(); ++r) {
        const int64_t first = ranges[r - 1], last = ranges[r], count = last - first;
        const int64_t work = 3 * work_of(windows, shape, windows.rowptr[last] - windows.rowptr[first], count);
        const int64_t grads_plane = count * shape.out, patches_plane = count * shape.row;
        adjoint.begin(first, last);
        for_row_blocks(first, last, block, team_size(work, threads), [&](int64_t begin, int64_t end, int thread) {
            T* products = scratch.get() + thread * size;
            T* patch = products + sizes[0];
            T* rest = patch + sizes[1];
            for (int64_t i = begin; i < end; ++i) {
                synthesised_gradient(rotations, shape, at<const T>(grad_at), at<const int16_t>(selection_at), i,
                                     grads.get() + (i - first) * shape.out, grads_plane);
                const bool admitted =
                    need_patches ? analysed_patch(windows, bounds, rotations, shape, x, i,
                                                  patches.get() + (i - first) * shape.row, patches_plane, patch, rest)
                                 : bounds.admit(windows.rowptr[i], windows.rowptr[i + 1]);
                if (!admitted) return;
            }
            if (!need_adjoint) return;
            for (int64_t k = 0; k < shape.products; ++k) {
                const Left<T> left{grads.get() + k * grads_plane + (begin - first) * shape.out, shape.out, 1};
                T* to = rays > 1 ? products + k * block * shape.row : patch_grads.get() + (begin - first) * shape.patch;
                gemm(end - begin, shape.depth, shape.out, left, planes[k], to, rays > 1 ? shape.row : shape.patch, false);
            }
            for (int64_t i = begin; i < end; ++i) {
                T* patch_grad = patch_grads.get() + (i - first) * shape.patch;
                for (int64_t ring = 0; rays > 1 && ring < rings; ++ring)
                    analyse_transposed(rotations, products + (i - begin) * shape.row + ring * shape.in,
                                       block * shape.row, shape.in, patch_grad + ring * rays * shape.in);
                adjoint.row(i, patch_grad, rest);
            }
        });
        bounds.check();
        if (need_patches) {
            constexpr int64_t tile = 32;
            const int64_t tiles = (shape.depth + tile - 1) / tile;
            for_row_blocks(0, shape.products * tiles, 1, team_size(work, threads), [&](int64_t task, int64_t, int) {
                const int64_t k = task / tiles, begin = task % tiles * tile;
                const Left<T> left{patches.get() + k * patches_plane + begin, 1, shape.row};
                const Right<T> right{grads.get() + k * grads_plane, shape.out, panel_width<T>};
                gemm(std::min(tile, shape.depth - begin), shape.out, count, left, right,
                     filter_planes.get() + (k * shape.depth + begin) * shape.out, shape.out, true);
            });
        }
        adjoint.finish(patch_grads.get());
    }
    adjoint.sum();
    gradient.unpad();
    if (need_patches) filter_gradient(rotations, shape, filter_planes.get(), at<T>(grad_filters), threads);
}

}  // namespace

void register_polar(nb::module_& m) {
    m.def("window_conv_f32", &window_conv<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("window_conv_f64", &window_conv<double>, nb::call_guard<nb::gil_scoped_release>());
    m.def("window_conv_backward_f32", &window_conv_backward<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("window_conv_backward_f64", &window_conv_backward<double>, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace geodl
