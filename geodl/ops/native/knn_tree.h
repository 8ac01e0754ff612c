// A k-d tree over points of few dimensions, split at medians, so that clusters and duplicates do not unbalance it.
//
// Leaves hold blocks of coordinates that one loop compares with a query. Boxes bound distances rigorously, without an
// epsilon: rounding is monotone, so the sum formed of the gaps between a query and a box, in the order of the definition,
// is at most the rounded squared distance of any point in the box.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "parallel.h"
#include "simd.h"

namespace geodl {

template <class T, int D>
class Tree {
public:
    static constexpr int64_t leaf_size = 32;
    static constexpr int32_t no_point = std::numeric_limits<int32_t>::max();

    struct Node {
        T low[D], high[D];
        int32_t first;  // the smallest index in the box: it wins ties
    };

    Tree(const T* x, int64_t count, int threads)
        : leaves((count + leaf_size - 1) / leaf_size), nodes(static_cast<size_t>(2 * leaves - 1)),
          coordinates(static_cast<size_t>(leaves * leaf_size * D)), index(static_cast<size_t>(leaves * leaf_size)),
          points_(static_cast<size_t>(count)) {
        for (int64_t p = 0; p < count; ++p) {
            std::copy_n(x + p * D, D, points_[static_cast<size_t>(p)].at);
            points_[static_cast<size_t>(p)].index = static_cast<int32_t>(p);
        }
#pragma omp parallel num_threads(team_size(count * 100, threads))
#pragma omp single
        build(0, 0, leaves);
        std::vector<Point>().swap(points_);
    }

    const T* leaf(int64_t l) const { return coordinates.data() + l * leaf_size * D; }

    GEODL_INLINE T gap(int64_t node, const T* query) const {
        const Node& box = nodes[static_cast<size_t>(node)];
        T sum = 0;
        for (int d = 0; d < D; ++d) {
            const T below = box.low[d] - query[d], above = query[d] - box.high[d];
            const T outside = std::max(std::max(below, above), T(0));
            sum += outside * outside;
        }
        return sum;
    }

    // A tree of m leaves has 2 m - 1 nodes: the root, the tree of the first m / 2 leaves, the tree of the others.
    static int64_t left(int64_t node) { return node + 1; }
    static int64_t right(int64_t node, int64_t size) { return node + 2 * (size / 2); }

    int64_t leaves;
    std::vector<Node> nodes;
    std::vector<T> coordinates;  // of a leaf: D blocks of leaf_size; NaN where there is no point
    std::vector<int32_t> index;

private:
    struct Point {
        T at[D];
        int32_t index;
    };

    void build(int64_t node, int64_t from, int64_t size) {
        const int64_t all = static_cast<int64_t>(points_.size());
        Point* begin = points_.data() + from * leaf_size;
        Point* end = points_.data() + std::min((from + size) * leaf_size, all);
        Node box;
        std::copy_n(begin->at, D, box.low);
        std::copy_n(begin->at, D, box.high);
        box.first = begin->index;
        for (const Point* p = begin; p < end; ++p) {
            for (int d = 0; d < D; ++d) {
                box.low[d] = std::min(box.low[d], p->at[d]);
                box.high[d] = std::max(box.high[d], p->at[d]);
            }
            box.first = std::min(box.first, p->index);
        }
        nodes[static_cast<size_t>(node)] = box;
        if (size == 1) {
            fill(from, begin, end - begin);
            return;
        }
        int widest = 0;
        for (int d = 1; d < D; ++d)
            if (box.high[d] - box.low[d] > box.high[widest] - box.low[widest]) widest = d;
        std::nth_element(begin, begin + size / 2 * leaf_size, end, [widest](const Point& a, const Point& b) {
            return a.at[widest] < b.at[widest] || (a.at[widest] == b.at[widest] && a.index < b.index);
        });
#pragma omp task if (size > 64)
        build(left(node), from, size / 2);
        build(right(node, size), from + size / 2, size - size / 2);
#pragma omp taskwait
    }

    void fill(int64_t l, const Point* points, int64_t count) {
        T* to = coordinates.data() + l * leaf_size * D;
        for (int64_t j = 0; j < leaf_size; ++j) {
            for (int d = 0; d < D; ++d)
                to[d * leaf_size + j] = j < count ? points[j].at[d] : std::numeric_limits<T>::quiet_NaN();
            index[static_cast<size_t>(l * leaf_size + j)] = j < count ? points[j].index : no_point;
        }
    }

    std::vector<Point> points_;
};

}  // namespace geodl
