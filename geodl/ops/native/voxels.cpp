// Points grouped by the cells of a grid: a sort by cell, whose coordinates are packed into one word with the index of
// the point where they fit, so that a radix sort of words does.
#include "bounds.h"
#include "kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

namespace geodl {
namespace {

// Coordinate c of the cell of point i to cell[c * points + i]; the division is that of IEEE in every clone.
template <class T>
[[gnu::always_inline]] inline void find_cells_any(const T* pos, int64_t points, int64_t dims, const double* size,
                                                  double* cell) {
    for (int64_t c = 0; c < dims; ++c)
        for (int64_t i = 0; i < points; ++i)
            cell[c * points + i] = std::floor(static_cast<double>(pos[i * dims + c]) / size[c]) + 0.0;
}

GEODL_CLONES void find_cells(const float* pos, int64_t points, int64_t dims, const double* size, double* cell) {
    find_cells_any(pos, points, dims, size, cell);
}
GEODL_CLONES void find_cells(const double* pos, int64_t points, int64_t dims, const double* size, double* cell) {
    find_cells_any(pos, points, dims, size, cell);
}

// Sorts words by their bits [low, high), stably.
void radix_sort(std::vector<uint64_t>& words, int low, int high) {
    constexpr int digit = 11;
    std::vector<uint64_t> other(words.size());
    for (int shift = low; shift < high; shift += digit) {
        const uint64_t mask = (uint64_t{1} << std::min(digit, high - shift)) - 1;
        size_t next[1 << digit] = {};
        for (const uint64_t word : words) ++next[word >> shift & mask];
        size_t total = 0;
        for (uint64_t d = 0; d <= mask; ++d) total += std::exchange(next[d], total);
        for (const uint64_t word : words) other[next[word >> shift & mask]++] = word;
        words.swap(other);
    }
}

// Sorts the points of a cloud by cell and index into col, as `offset` + their index; writes where in col the voxels begin
// to `begin`, and returns how many they are.
int64_t group(const std::vector<double>& cells, int64_t points, int64_t dims, int64_t offset, int64_t* col,
              int64_t* begin) {
    const double* cell = cells.data();
    const int index_bits = std::bit_width(static_cast<uint64_t>(points - 1));
    int bits = index_bits;
    std::vector<int> width(static_cast<size_t>(dims));
    std::vector<double> lowest(static_cast<size_t>(dims));
    for (int64_t c = 0; c < dims; ++c) {
        const auto [low, high] = std::minmax_element(cell + c * points, cell + (c + 1) * points);
        const double extent = *high - *low;
        const bool fits = extent < 0x1p53;
        width[static_cast<size_t>(c)] = fits ? std::bit_width(static_cast<uint64_t>(extent)) : 64;
        lowest[static_cast<size_t>(c)] = *low;
        bits = std::min(bits + width[static_cast<size_t>(c)], 128);
    }
    int64_t voxels = 0;
    if (bits <= 64) {
        std::vector<uint64_t> words(static_cast<size_t>(points));
        for (int64_t c = 0; c < dims; ++c)
            for (int64_t i = 0; i < points; ++i) {
                // The difference is an integer below 2^53, so it is exact.
                const auto along = static_cast<uint64_t>(cell[c * points + i] - lowest[static_cast<size_t>(c)]);
                words[static_cast<size_t>(i)] = words[static_cast<size_t>(i)] << width[static_cast<size_t>(c)] | along;
            }
        for (int64_t i = 0; i < points; ++i)
            words[static_cast<size_t>(i)] = words[static_cast<size_t>(i)] << index_bits | static_cast<uint64_t>(i);
        radix_sort(words, index_bits, bits);
        const uint64_t index = (uint64_t{1} << index_bits) - 1;
        for (int64_t k = 0; k < points; ++k) {
            const uint64_t word = words[static_cast<size_t>(k)];
            if (k == 0 || word >> index_bits != words[static_cast<size_t>(k - 1)] >> index_bits)
                begin[voxels++] = offset + k;
            col[k] = offset + static_cast<int64_t>(word & index);
        }
        return voxels;
    }
    auto compare = [&](int64_t i, int64_t j) {  // negative, 0 or positive
        for (int64_t c = 0; c < dims; ++c) {
            const double a = cell[c * points + i], b = cell[c * points + j];
            if (a != b) return a < b ? -1 : 1;
        }
        return 0;
    };
    std::iota(col, col + points, int64_t{0});
    std::sort(col, col + points, [&](int64_t i, int64_t j) {
        const int order = compare(i, j);
        return order ? order < 0 : i < j;
    });
    for (int64_t k = 0; k < points; ++k)
        if (k == 0 || compare(col[k - 1], col[k])) begin[voxels++] = offset + k;
    for (int64_t k = 0; k < points; ++k) col[k] += offset;
    return voxels;
}

// rowptr has room for a voxel a point.
template <class T>
void group_voxels(std::uintptr_t pos_, int64_t dims, std::uintptr_t size_, std::uintptr_t ptr_, int64_t clouds,
                  std::uintptr_t rowptr_, std::uintptr_t col_, std::uintptr_t voxel_ptr_, int threads, int64_t points) {
    const T* pos = at<const T>(pos_);
    const double* size = at<const double>(size_);
    const int64_t* ptr = at<const int64_t>(ptr_);
    int64_t *rowptr = at<int64_t>(rowptr_), *col = at<int64_t>(col_), *voxel_ptr = at<int64_t>(voxel_ptr_);
    check_pointer("ptr", ptr, clouds, points, "points");
    need_memory("pos", pos, points * dims);
    need_memory("size", size, dims);
    check_finite("pos", pos, points, dims);
    for (int64_t c = 0; c < dims; ++c)
        if (!(size[c] > 0 && size[c] < std::numeric_limits<double>::infinity()))
            throw std::invalid_argument("size must be positive and finite, not " + std::to_string(size[c]));
    const int team =
        static_cast<int>(std::min<int64_t>(team_size(points * 30, threads), std::max<int64_t>(clouds, 1)));
    voxel_ptr[0] = 0;
#pragma omp parallel for num_threads(team) schedule(dynamic, 1) if (team > 1)
    for (int64_t b = 0; b < clouds; ++b) {
        const int64_t first = ptr[b], inside = ptr[b + 1] - first;
        voxel_ptr[b + 1] = 0;
        if (inside == 0) continue;
        std::vector<double> cells(static_cast<size_t>(inside * dims));
        find_cells(pos + first * dims, inside, dims, size, cells.data());
        voxel_ptr[b + 1] = group(cells, inside, dims, first, col + first, rowptr + first);
    }
    for (int64_t b = 0; b < clouds; ++b) {
        const int64_t voxels = voxel_ptr[b + 1];
        std::copy_n(rowptr + ptr[b], voxels, rowptr + voxel_ptr[b]);  // to the front
        voxel_ptr[b + 1] += voxel_ptr[b];
    }
    rowptr[voxel_ptr[clouds]] = points;
}

}  // namespace

void register_voxels(nb::module_& m) {
    m.def("group_voxels_f32", &group_voxels<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("group_voxels_f64", &group_voxels<double>, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace geodl
