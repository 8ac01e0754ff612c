// patch_gather: the patches themselves, and their gradients.
#include "kernels.h"
#include "windows.h"

namespace geodl {
namespace {

template <class T>
Windows<T> windows_at(std::uintptr_t rowptr, std::uintptr_t col, std::uintptr_t weight, std::uintptr_t index,
                      int64_t columns, int64_t count) {
    return {at<const int64_t>(rowptr), at<const int64_t>(col), at<const T>(weight), at<const int64_t>(index), columns,
            count};
}

constexpr int64_t block = 16;

// out[i] = patch of row i, [M, C]
template <class T>
void patch_gather(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight, std::uintptr_t index,
                  int64_t columns, int64_t count, std::uintptr_t x_at, int64_t num_src, int64_t channels,
                  std::uintptr_t out_at, int threads, int64_t edges) {
    const auto windows = windows_at<T>(rowptr, col, weight, index, columns, count);
    Bounds bounds = bounds_of(windows, rows, edges, num_src);
    need_memory("x", at<const T>(x_at), num_src * channels);
    const Signal<T> x(at<const T>(x_at), num_src, channels, threads);
    T* out = at<T>(out_at);
    const int64_t patch_size = count * x.stride, scratch_size = windows.scratch(rows, x.stride);
    const int64_t work = edges * columns * (x.stride / 16 + 1) + rows * patch_size / 16;
    const int team = team_size(work, threads);
    const Buffer<T> scratch(team * (patch_size + scratch_size));
#pragma omp parallel for num_threads(team) schedule(dynamic, block)
    for (int64_t i = 0; i < rows; ++i) {
        T* mine = scratch.get() + omp_get_thread_num() * (patch_size + scratch_size);
        T* patch = x.stride == channels ? out + i * patch_size : mine;
        if (gather_patch(windows, bounds, i, x, patch, mine + patch_size) && patch == mine)
            for (int64_t m = 0; m < count; ++m)
                std::copy_n(patch + m * x.stride, channels, out + (i * count + m) * channels);
    }
    bounds.check();
}

template <class T>
void patch_gather_backward(std::uintptr_t rowptr, int64_t rows, std::uintptr_t col, std::uintptr_t weight,
                            std::uintptr_t index,
                           int64_t columns, int64_t count, std::uintptr_t x_at, int64_t num_src, int64_t channels,
                           std::uintptr_t grad_at, std::uintptr_t grad_x, std::uintptr_t grad_weight, int threads,
                           int64_t edges) {
    const auto windows = windows_at<T>(rowptr, col, weight, index, columns, count);
    bounds_of(windows, rows, edges, num_src).check_all(threads);
    need_memory("x", at<const T>(x_at), num_src * channels);
    need_memory("grad", at<const T>(grad_at), rows * count * channels);
    const Signal<T> x(at<const T>(x_at), num_src, channels, threads);
    const SignalGradient<T> gradient(at<T>(grad_x), num_src, channels);
    PatchAdjoint<T> adjoint(windows, rows, num_src, x, gradient.get(), at<T>(grad_weight), threads);
    const bool copies = x.stride != channels;
    const int64_t patch_size = count * x.stride, scratch_size = windows.scratch(rows, x.stride);
    const auto ranges = adjoint.ranges(patch_size * sizeof(T));
    int64_t most = 0;
    for (size_t r = 1; r < ranges.size(); ++r) most = std::max(most, ranges[r] - ranges[r - 1]);
    const Buffer<T> copy(copies ? most * patch_size : 0), scratch(threads * scratch_size);
    const bool by_row = copies || grad_weight || windows.dense();
    for (size_t r = 1; r < ranges.size(); ++r) {
        const int64_t first = ranges[r - 1], last = ranges[r];
        const T* grad = at<const T>(grad_at) + first * count * channels;
        const T* patches = copies ? copy.get() : grad;
        adjoint.begin(first, last);
        if (by_row) {
            const int64_t here = windows.rowptr[last] - windows.rowptr[first];
            const int64_t work = here * columns * (x.stride / 16 + 1) + (last - first) * patch_size / 16;
#pragma omp parallel for num_threads(team_size(work, threads)) schedule(dynamic, block)
            for (int64_t i = first; i < last; ++i) {
                T* mine = copy.get() + (i - first) * patch_size;
                for (int64_t m = 0; copies && m < count; ++m) {
                    std::copy_n(grad + ((i - first) * count + m) * channels, channels, mine + m * x.stride);
                    std::fill_n(mine + m * x.stride + channels, x.stride - channels, T(0));
                }
                adjoint.row(i, patches + (i - first) * patch_size,
                            scratch.get() + omp_get_thread_num() * scratch_size);
            }
        }
        adjoint.finish(patches);
    }
    adjoint.sum();
    gradient.unpad();
}

}  // namespace

void register_patch(nb::module_& m) {
    m.def("patch_gather_f32", &patch_gather<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("patch_gather_f64", &patch_gather<double>, nb::call_guard<nb::gil_scoped_release>());
    m.def("patch_gather_backward_f32", &patch_gather_backward<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("patch_gather_backward_f64", &patch_gather_backward<double>, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace geodl
