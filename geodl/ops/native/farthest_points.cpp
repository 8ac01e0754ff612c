// Farthest-point sampling. The points of a cloud lie in buckets of neighbours, the leaves of a balanced k-d tree, and
// every node knows its bounding box and the distance of its farthest point to the samples so far. A new sample changes
// only nodes whose box is nearer to it than that distance: the rest of the tree is not visited (Han et al. 2023,
// "QuickFPS"). A small cloud is one bucket.
//
// Nothing is approximate. The distance to a box is computed by the same operations as the distance to a point, each of
// which rounds monotonically, so it never exceeds the computed distance to a point inside. No product is fused with a
// sum (-ffp-contract=off, see CMakeLists.txt), so that distances are those of PyTorch and Triton, bit by bit.
#include "bounds.h"
#include "kernels.h"
#include "simd.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace geodl {
namespace {

constexpr int64_t kBucket = 64;
constexpr int64_t kSmall = 2048;  // points up to which a tree costs more than it saves

// The bits of numbers that are not negative are ordered as the numbers are, and those of -1 are below; a maximum of
// integers vectorises.
template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

template <class T>
GEODL_INLINE Bits<T> bits(T value) {
    return std::bit_cast<Bits<T>>(value);
}

// Lowers the distance of every slot of a bucket to that to a sample; returns the highest. Coordinate c of slot s is
// place[c * slots + s].
template <class T, int Dims>
GEODL_INLINE T visit_few_dims(const T* __restrict place, T* __restrict distance, int64_t slots,
                              const T* __restrict sample) {
    Bits<T> best = bits(T(-1));
    for (int64_t s = 0; s < slots; ++s) {
        T squared = 0;
        for (int64_t c = 0; c < Dims; ++c) {
            const T difference = place[c * slots + s] - sample[c];
            squared += difference * difference;
        }
        const T now = squared < distance[s] ? squared : distance[s];
        distance[s] = now;
        best = std::max(best, bits(now));
    }
    return std::bit_cast<T>(best);
}

template <class T>
GEODL_INLINE T visit_many_dims(const T* __restrict place, T* __restrict distance, int64_t slots, int64_t dims,
                               const T* __restrict sample) {
    Bits<T> best = bits(T(-1));
    for (int64_t begin = 0; begin < slots; begin += kBucket) {
        const int64_t size = std::min(slots - begin, kBucket);
        T squared[kBucket] = {};
        for (int64_t c = 0; c < dims; ++c)
            for (int64_t s = 0; s < size; ++s) {
                const T difference = place[c * slots + begin + s] - sample[c];
                squared[s] += difference * difference;
            }
        for (int64_t s = 0; s < size; ++s) {
            T& before = distance[begin + s];
            before = squared[s] < before ? squared[s] : before;
            best = std::max(best, bits(before));
        }
    }
    return std::bit_cast<T>(best);
}

template <class T>
GEODL_INLINE T visit_any(const T* place, T* distance, int64_t slots, int64_t dims, const T* sample) {
    if (dims == 3) return visit_few_dims<T, 3>(place, distance, slots, sample);
    if (dims == 2) return visit_few_dims<T, 2>(place, distance, slots, sample);
    return visit_many_dims(place, distance, slots, dims, sample);
}

GEODL_CLONES float visit(const float* place, float* distance, int64_t slots, int64_t dims, const float* sample) {
    return visit_any(place, distance, slots, dims, sample);
}
GEODL_CLONES double visit(const double* place, double* distance, int64_t slots, int64_t dims, const double* sample) {
    return visit_any(place, distance, slots, dims, sample);
}

// The first of some distances that is the wanted one, or their number.
template <class T>
GEODL_INLINE int64_t find_any(const T* distance, int64_t slots, T wanted) {
    int64_t begin = 0;
    for (; begin + kBucket <= slots; begin += kBucket) {
        Bits<T> found = 0;
        for (int64_t s = 0; s < kBucket; ++s) found |= distance[begin + s] == wanted;
        if (found) break;
    }
    while (begin < slots && distance[begin] != wanted) ++begin;
    return begin;
}

GEODL_CLONES int64_t find_slot(const float* distance, int64_t slots, float wanted) {
    return find_any(distance, slots, wanted);
}
GEODL_CLONES int64_t find_slot(const double* distance, int64_t slots, double wanted) {
    return find_any(distance, slots, wanted);
}

// A node covers the buckets [begin, end): its left half follows it, its right half follows all nodes of the left.
struct Node {
    int64_t id, begin, end;
    bool is_bucket() const { return end - begin == 1; }
    int64_t middle() const { return begin + (end - begin) / 2; }
    Node left() const { return {id + 1, begin, middle()}; }
    Node right() const { return {id + 2 * (middle() - begin), middle(), end}; }
};

template <class T>
class Cloud {
public:
    Cloud(const T* x, int64_t points, int64_t dims)
        : x_(x), points_(points), dims_(dims), slots_(points > kSmall ? kBucket : points),
          buckets_((points + slots_ - 1) / slots_), row_(static_cast<size_t>(points)),
          found_(static_cast<size_t>(2 * buckets_ - 1), -1),
          place_(static_cast<size_t>(buckets_ * slots_ * dims)),
          distance_(static_cast<size_t>(buckets_ * slots_), T(-1)),
          box_(static_cast<size_t>((2 * buckets_ - 1) * 2 * dims)),
          farthest_(static_cast<size_t>(2 * buckets_ - 1), std::numeric_limits<T>::infinity()) {
        for (int64_t i = 0; i < points; ++i) row_[static_cast<size_t>(i)] = i;
        std::fill_n(distance_.begin(), points, std::numeric_limits<T>::infinity());
        if (buckets_ > 1) {
            std::vector<std::pair<T, int64_t>> keys(static_cast<size_t>(points));
            divide(root(), bounds(), keys.data());
        }
        fill(root());
    }

    // Writes `count` samples from `start` on, as `offset` + their rows.
    void sample(int64_t start, int64_t count, int64_t offset, int64_t* out) {
        std::vector<bool> taken(static_cast<size_t>(points_));
        int64_t k = 0, row = start;
        while (k < count) {
            out[k++] = offset + row;
            taken[static_cast<size_t>(row)] = true;
            lower(root(), x_ + row * dims_);
            if (farthest_[0] == 0) break;
            row = find(root());
        }
        // Only duplicates are left.
        for (row = 0; k < count; ++row)
            if (!taken[static_cast<size_t>(row)]) out[k++] = offset + row;
    }

private:
    Node root() const { return {0, 0, buckets_}; }
    T* low(Node node) { return box_.data() + node.id * 2 * dims_; }
    T* high(Node node) { return low(node) + dims_; }
    T* place(Node bucket) { return place_.data() + bucket.begin * slots_ * dims_; }
    T* distance(Node bucket) { return distance_.data() + bucket.begin * slots_; }
    int64_t first(Node node) const { return node.begin * slots_; }
    int64_t last(Node node) const { return std::min(node.end * slots_, points_); }

    std::vector<T> bounds() const {
        std::vector<T> box(x_, x_ + dims_);
        box.insert(box.end(), x_, x_ + dims_);
        for (int64_t i = 1; i < points_; ++i)
            for (int64_t c = 0; c < dims_; ++c) {
                const T value = x_[i * dims_ + c];
                T &lowest = box[static_cast<size_t>(c)], &highest = box[static_cast<size_t>(dims_ + c)];
                lowest = std::min(lowest, value);
                highest = std::max(highest, value);
            }
        return box;
    }

    // Puts the rows of a node in the order of its buckets, by halves across the longest side of a box that holds them.
    void divide(Node node, std::vector<T> box, std::pair<T, int64_t>* keys) {
        if (node.is_bucket()) return;
        int64_t axis = 0;
        T longest = -1;
        for (int64_t c = 0; c < dims_; ++c) {
            const T side = box[static_cast<size_t>(dims_ + c)] - box[static_cast<size_t>(c)];
            if (side > longest) longest = side, axis = c;
        }
        int64_t* row = row_.data();
        const int64_t begin = first(node), end = last(node), middle = node.middle() * slots_;
        for (int64_t s = begin; s < end; ++s) keys[s] = {dims_ ? x_[row[s] * dims_ + axis] : T(0), row[s]};
        std::nth_element(keys + begin, keys + middle, keys + end,
                         [](const auto& a, const auto& b) { return a.first < b.first; });
        for (int64_t s = begin; s < end; ++s) row[s] = keys[s].second;
        if (dims_ == 0) return;
        const T cut = keys[middle].first;
        std::vector<T> lower_box = box;
        lower_box[static_cast<size_t>(dims_ + axis)] = cut;
        divide(node.left(), std::move(lower_box), keys);
        box[static_cast<size_t>(axis)] = cut;
        divide(node.right(), std::move(box), keys);
    }

    // Copies points into buckets and fits the boxes.
    void fill(Node node) {
        T *lowest = low(node), *highest = high(node);
        if (node.is_bucket()) {
            T* to = place(node);
            const int64_t begin = first(node), end = last(node);
            for (int64_t c = 0; c < dims_; ++c) {
                lowest[c] = std::numeric_limits<T>::infinity();
                highest[c] = -lowest[c];
                for (int64_t s = begin; s < end; ++s) {
                    const T value = x_[row_[static_cast<size_t>(s)] * dims_ + c];
                    to[c * slots_ + s - begin] = value;
                    lowest[c] = std::min(lowest[c], value);
                    highest[c] = std::max(highest[c], value);
                }
            }
            return;
        }
        const Node left = node.left(), right = node.right();
        fill(left);
        fill(right);
        for (int64_t c = 0; c < dims_; ++c) {
            lowest[c] = std::min(low(left)[c], low(right)[c]);
            highest[c] = std::max(high(left)[c], high(right)[c]);
        }
    }

    T distance_to_box(Node node, const T* sample) {
        const T *lowest = low(node), *highest = high(node);
        T squared = 0;
        for (int64_t c = 0; c < dims_; ++c) {
            const T gap = std::max(std::max(lowest[c] - sample[c], sample[c] - highest[c]), T(0));
            squared += gap * gap;
        }
        return squared;
    }

    void lower(Node node, const T* sample) {
        T& farthest = farthest_[static_cast<size_t>(node.id)];
        if (!(distance_to_box(node, sample) < farthest)) return;
        found_[static_cast<size_t>(node.id)] = -1;
        if (node.is_bucket()) {
            farthest = visit(place(node), distance(node), slots_, dims_, sample);
            return;
        }
        const Node left = node.left(), right = node.right();
        lower(left, sample);
        lower(right, sample);
        farthest = std::max(farthest_[static_cast<size_t>(left.id)], farthest_[static_cast<size_t>(right.id)]);
    }

    // The lowest row among the farthest points of a node, remembered until a sample changes the node: on a lattice,
    // ties are everywhere.
    int64_t find(Node node) {
        int64_t& found = found_[static_cast<size_t>(node.id)];
        if (found >= 0) return found;
        const T farthest = farthest_[static_cast<size_t>(node.id)];
        found = points_;
        if (!node.is_bucket()) {
            for (const Node half : {node.left(), node.right()})
                if (farthest_[static_cast<size_t>(half.id)] == farthest) found = std::min(found, find(half));
            return found;
        }
        for (int64_t s = first(node), end = last(node); s < end; ++s) {
            s += find_slot(distance_.data() + s, end - s, farthest);
            if (s == end) break;
            found = std::min(found, row_[static_cast<size_t>(s)]);
            if (buckets_ == 1) break;  // rows ascend
        }
        return found;
    }

    const T* x_;
    int64_t points_, dims_, slots_, buckets_;
    std::vector<int64_t> row_;    // of the point in a slot
    std::vector<int64_t> found_;  // what find() remembers of a node, or -1
    std::vector<T> place_, distance_, box_, farthest_;
};

template <class T>
void farthest_points(std::uintptr_t x_, int64_t dims, std::uintptr_t ptr_, std::uintptr_t start_,
                     std::uintptr_t sample_ptr_, int64_t clouds, std::uintptr_t out_, int threads, int64_t points,
                     int64_t samples) {
    const T* x = at<const T>(x_);
    const int64_t *ptr = at<const int64_t>(ptr_), *start = at<const int64_t>(start_);
    const int64_t* sample_ptr = at<const int64_t>(sample_ptr_);
    int64_t* out = at<int64_t>(out_);
    check_pointer("ptr", ptr, clouds, points, "points");
    check_pointer("sample_ptr", sample_ptr, clouds, samples, "samples");
    need_memory("start", start, clouds);
    need_memory("x", x, points * dims);
    check_finite("x", x, points, dims);
    for (int64_t b = 0; b < clouds; ++b) {
        const int64_t count = sample_ptr[b + 1] - sample_ptr[b], size = ptr[b + 1] - ptr[b];
        if (count > size)
            throw std::invalid_argument("cloud " + std::to_string(b) + " has " + std::to_string(size) + " points, which give no " +
                                        std::to_string(count) + " samples");
        if (count > 0 && (start[b] < ptr[b] || start[b] >= ptr[b + 1]))
            throw std::out_of_range("start holds " + std::to_string(start[b]) + " for cloud " + std::to_string(b) +
                                    ", which has the points " + std::to_string(ptr[b]) + " to " +
                                    std::to_string(ptr[b + 1] - 1));
    }
    const int64_t work = points * 16;
    const int team = static_cast<int>(std::min<int64_t>(team_size(work, threads), std::max<int64_t>(clouds, 1)));
#pragma omp parallel for num_threads(team) schedule(dynamic, 1) if (team > 1)
    for (int64_t b = 0; b < clouds; ++b) {
        const int64_t first = ptr[b], count = sample_ptr[b + 1] - sample_ptr[b];
        if (count == 0) continue;
        Cloud<T> cloud(x + first * dims, ptr[b + 1] - first, dims);
        cloud.sample(start[b] - first, count, first, out + sample_ptr[b]);
    }
}

}  // namespace

void register_farthest_points(nb::module_& m) {
    m.def("farthest_points_f32", &farthest_points<float>, nb::call_guard<nb::gil_scoped_release>());
    m.def("farthest_points_f64", &farthest_points<double>, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace geodl
