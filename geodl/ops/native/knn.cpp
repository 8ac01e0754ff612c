// Nearest neighbours and neighbours within a radius, cloud by cloud of a packed batch.
//
// The squared distance of x and y is the sum over coordinates, in order, of (x_d - y_d)^2, every operation rounded by
// itself: this file is compiled without fused multiply-adds, and gives the bits that every other backend gives. What
// finds candidates only ever bounds that number, rigorously; the rows are chosen by it and by the index.
//
// Three searches: few points of at most 3 coordinates are compared with all, many through a k-d tree, and points of more
// coordinates through a matrix product, whose rounding errors are bounded.
#include <array>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "bounds.h"
#include "gemm.h"
#include "kernels.h"
#include "knn_select.h"
#include "knn_tree.h"
#include "simd.h"

namespace geodl {
namespace {

constexpr int64_t everything = std::numeric_limits<int64_t>::max();

template <class T>
struct Problem {
    const T* x;
    const T* queries;  // nullptr: the points themselves
    int64_t dims, k;
    T limit;  // squared distances above it do not count
    bool loop;
    int threads;

    const T* query(int64_t row) const { return (queries ? queries : x) + row * dims; }
};

struct Cloud {
    int64_t first, points, first_query, queries;
};

// Rows that one thread has found, for outputs whose size is not known before.
template <class T>
struct Part {
    std::vector<int64_t> row, col;
    std::vector<T> squared;
};

// Where a finished row goes: to its place if rowptr tells it, else to a part, with its length in `length`.
template <class T>
struct Output {
    const int64_t* rowptr;
    int64_t* col;
    T* squared;
    int64_t* length;

    GEODL_INLINE void row(Part<T>* part, int64_t row, int64_t first, const typename Key<T>::Type* keys,
                          int64_t count) const {
        if (part) {
            part->row.push_back(row);
            length[row] = count;
            for (int64_t j = 0; j < count; ++j) {
                part->col.push_back(first + index_of<T>(keys[j]));
                part->squared.push_back(squared_of<T>(keys[j]));
            }
            return;
        }
        const int64_t to = rowptr[row];
        for (int64_t j = 0; j < count; ++j) {
            col[to + j] = first + index_of<T>(keys[j]);
            squared[to + j] = squared_of<T>(keys[j]);
        }
    }
};

// The candidates of one row while the columns pass. Values are what the product gives, so |y|^2 - 2 x.y and its error.
template <class T>
struct Row {
    T norm, error;  // |x|^2 and its error
    T bound;        // no squared distance above it counts
    T limit;        // what that means for a value less its slack
    bool bounded;   // else all points are candidates
    int32_t own;
    Candidates<T> kept;
    int64_t full;

    void lower(T to) {
        bound = std::min(bound, to);
        const T rounding = 8 * std::numeric_limits<T>::epsilon() * (bound + norm);
        limit = bound - norm + (error + rounding);
        if (!(limit <= std::numeric_limits<T>::max())) limit = std::numeric_limits<T>::infinity();
    }
};

template <class T>
struct Workspace {
    Candidates<T> kept;
    std::vector<T> values, minima, shifted, queries;
    std::vector<Row<T>> rows;
};

template <class T>
T* room(std::vector<T>& memory, int64_t size) {
    if (static_cast<int64_t>(memory.size()) < size) memory.resize(static_cast<size_t>(size));
    return memory.data();
}

// Groups of candidates among which the k-th smallest minimum is a good bound; 0 if there are too few candidates.
int64_t groups_for(int64_t k, int64_t points) {
    if (k > points / 4) return 0;
    const int64_t groups = std::max<int64_t>(64, (3 * k + 31) / 32 * 16);
    return groups <= points ? groups : 0;
}

template <class T>
int32_t own_index(const Problem<T>& problem, const Cloud& cloud, int64_t row) {
    return problem.loop || problem.queries ? -1 : static_cast<int32_t>(row - cloud.first);
}

// --- few points of at most 3 coordinates: compare with all ---

template <class T>
class AllPoints {
public:
    AllPoints(const Problem<T>& problem, const Cloud& cloud) : groups(groups_for(problem.k, cloud.points)) {
        const int64_t multiple = std::max<int64_t>(groups, Candidates<T>::block);
        padded = (cloud.points + multiple - 1) / multiple * multiple;
        coordinates.assign(static_cast<size_t>(padded * problem.dims), std::numeric_limits<T>::quiet_NaN());
        for (int64_t p = 0; p < cloud.points; ++p)
            for (int64_t d = 0; d < problem.dims; ++d)
                coordinates[static_cast<size_t>(d * padded + p)] = problem.x[(cloud.first + p) * problem.dims + d];
    }

    int64_t groups, padded;
    std::vector<T> coordinates;  // one array a coordinate, NaN behind the last point
};

template <int D, class T>
GEODL_INLINE void compare_all(const T* coordinates, int64_t padded, const T* query, T* squared) {
    T at[D];
    std::copy_n(query, D, at);
#pragma omp simd
    for (int64_t j = 0; j < padded; ++j) {
        T sum = 0;
        for (int d = 0; d < D; ++d) {
            const T difference = at[d] - coordinates[d * padded + j];
            sum += difference * difference;
        }
        squared[j] = sum;
    }
}

template <class T>
GEODL_INLINE void search_all(const Problem<T>& problem, const Cloud& cloud, const AllPoints<T>& all, int64_t begin,
                             int64_t end, Workspace<T>& work, const Output<T>& out, Part<T>* part) {
    T* squared = room(work.values, all.padded);
    T* minima = room(work.minima, all.groups);
    for (int64_t row = begin; row < end; ++row) {
        const T* query = problem.query(row);
        if (problem.dims == 1) compare_all<1>(all.coordinates.data(), all.padded, query, squared);
        else if (problem.dims == 2) compare_all<2>(all.coordinates.data(), all.padded, query, squared);
        else compare_all<3>(all.coordinates.data(), all.padded, query, squared);
        const int32_t own = own_index(problem, cloud, row);
        T bound = problem.limit;
        if (all.groups > 0) {  // one minimum may be the query's own
            group_minima(squared, all.padded, all.groups, minima);
            bound = std::min(bound, kth_bound(minima, all.groups, problem.k + (own >= 0)));
        }
        work.kept.count = 0;
        work.kept.reserve(all.padded);
        for (int64_t j = 0; j < all.padded; j += Candidates<T>::block)
            keep_block<false, T>(work.kept, squared + j, nullptr, bound, nullptr, static_cast<int32_t>(j), own);
        const int64_t count = sort_smallest(work.kept, problem.k);
        out.row(part, row, cloud.first, work.kept.sorted.data(), count);
    }
}

// --- many points of at most 3 coordinates: a k-d tree ---

// The bound after which a candidate is none: (squared distance, index) of the k-th best, or an upper bound of it.
template <class T>
struct Bound {
    T squared;
    int32_t index;
};

// Drops candidates that are not among the k best, as far as that is cheap, and tightens the bound.
template <class T>
GEODL_INLINE void tighten(Candidates<T>& kept, int64_t k, Bound<T>& bound) {
    const T squared = kth_bound(kept.value.data(), kept.count, k);
    int64_t count = 0;
    for (int64_t j = 0; j < kept.count; ++j) {
        const T value = kept.value[j];
        kept.value[count] = value;
        kept.index[count] = kept.index[j];
        count += value <= squared;
    }
    kept.count = count;
    bound = {squared, Tree<T, 1>::no_point};
    if (count <= k + k / 2 + 16) return;
    kept.count = sort_smallest(kept, k);  // many at one distance: the index decides
    for (int64_t j = 0; j < kept.count; ++j) {
        kept.value[j] = squared_of<T>(kept.sorted[j]);
        kept.index[j] = index_of<T>(kept.sorted[j]);
    }
    bound = {kept.value[k - 1], kept.index[k - 1]};
}

template <class T, int D>
GEODL_INLINE void search_leaf(const Tree<T, D>& tree, int64_t leaf, const T* query, int32_t own, T bound,
                              Candidates<T>& kept) {
    constexpr int64_t size = Tree<T, D>::leaf_size;
    const T* coordinates = tree.leaf(leaf);
    T squared[size];
    compare_all<D>(coordinates, size, query, squared);
    kept.reserve(size);
    for (int64_t j = 0; j < size; j += Candidates<T>::block)
        keep_block<false, T>(kept, squared + j, nullptr, bound, tree.index.data() + leaf * size + j, 0, own);
}

template <class T, int D>
GEODL_INLINE int64_t search_query(const Tree<T, D>& tree, const T* given, int32_t own, int64_t k, T limit,
                                  Candidates<T>& kept) {
    struct Branch {
        int64_t node, from, size;
        T gap;
    };
    T query[D];
    std::copy_n(given, D, query);
    Bound<T> bound{limit, Tree<T, D>::no_point};
    const auto reaches = [&](int64_t node, T gap) __attribute__((always_inline)) {
        return gap < bound.squared || (gap == bound.squared && tree.nodes[node].first <= bound.index);
    };
    kept.count = 0;
    int64_t full = k;
    std::array<Branch, 64> waiting;
    int depth = 0;
    waiting[depth++] = {0, 0, tree.leaves, tree.gap(0, query)};
    while (depth > 0) {
        Branch branch = waiting[--depth];
        if (!reaches(branch.node, branch.gap)) continue;
        while (branch.size > 1) {
            const int64_t half = branch.size / 2;
            Branch near{tree.left(branch.node), branch.from, half, 0};
            Branch far{tree.right(branch.node, branch.size), branch.from + half, branch.size - half, 0};
            near.gap = tree.gap(near.node, query);
            far.gap = tree.gap(far.node, query);
            const bool tie = near.gap == far.gap && tree.nodes[far.node].first < tree.nodes[near.node].first;
            if (far.gap < near.gap || tie) std::swap(near, far);
            if (reaches(far.node, far.gap)) waiting[depth++] = far;
            branch = near;
            if (!reaches(branch.node, branch.gap)) break;
        }
        if (branch.size > 1 || !reaches(branch.node, branch.gap)) continue;
        search_leaf(tree, branch.from, query, own, bound.squared, kept);
        if (kept.count >= full) {
            tighten(kept, k, bound);
            full = kept.count + std::max<int64_t>(16, k / 2);
        }
    }
    return sort_smallest(kept, k);
}

// Rows of a range of leaves, or of a range of queries that lie in the order of leaves.
template <class T, int D>
GEODL_INLINE void search_tree(const Problem<T>& problem, const Cloud& cloud, const Tree<T, D>& tree,
                              const int32_t* order, int64_t begin, int64_t end, Workspace<T>& work,
                              const Output<T>& out, Part<T>* part) {
    for (int64_t q = begin; q < end; ++q) {
        if (order[q] == Tree<T, D>::no_point) continue;
        const int64_t row = cloud.first_query + order[q];
        const int32_t own = own_index(problem, cloud, row);
        const int64_t count = search_query(tree, problem.query(row), own, problem.k, problem.limit, work.kept);
        out.row(part, row, cloud.first, work.kept.sorted.data(), count);
    }
}

// --- points of many coordinates: a matrix product ---

// Squared distances are |x|^2 + |y|^2 - 2 x.y of centred points, off by at most e (|x|^2 + |y|^2) + tiny: with u the unit
// roundoff, centring costs 4 u, the norms and the product (D + 2) u each, the distance by definition 2 (D + 2) u, and
// e = (6 D + 32) u is more than all of these.
template <class T>
class Products {
public:
    static constexpr int64_t columns = 1024, rows = 32;

    Products(const Problem<T>& problem, const Cloud& cloud, int threads)
        : dims(problem.dims), padded((cloud.points + multiple - 1) / multiple * multiple),
          error(static_cast<T>(6 * dims + 32) * std::numeric_limits<T>::epsilon() / 2),
          tiny(static_cast<T>(8 * dims + 64) * std::numeric_limits<T>::min()),
          center(static_cast<size_t>(dims)), panels(static_cast<size_t>(padded * dims)),
          upper(static_cast<size_t>(padded), std::numeric_limits<T>::quiet_NaN()), slack(static_cast<size_t>(padded)) {
        const T* x = problem.x + cloud.first * dims;
        std::vector<double> sum(static_cast<size_t>(dims));
        for (int64_t p = 0; p < cloud.points; ++p)
            for (int64_t d = 0; d < dims; ++d) sum[static_cast<size_t>(d)] += x[p * dims + d];
        for (int64_t d = 0; d < dims; ++d)
            center[static_cast<size_t>(d)] =
                static_cast<T>(sum[static_cast<size_t>(d)] / static_cast<double>(cloud.points));
        int overflow = 0;
#pragma omp parallel for num_threads(team_size(cloud.points* dims, threads)) schedule(static) reduction(| : overflow)
        for (int64_t p = 0; p < cloud.points; ++p) {
            T* to = panels.data() + p / width * width * dims + p % width;
            T norm = 0;
            for (int64_t d = 0; d < dims; ++d) {
                const T value = x[p * dims + d] - center[static_cast<size_t>(d)];
                to[d * width] = value;
                norm += value * value;
            }
            if (!(norm < largest)) overflow = 1;
            upper[static_cast<size_t>(p)] = norm + (error * norm + tiny);
            slack[static_cast<size_t>(p)] = 2 * (error * norm + tiny);
        }
        overflows = overflow != 0;
    }

    Right<T> right(int64_t first) const { return {panels.data() + first * dims, width, width * dims}; }

    static constexpr int64_t width = panel_width<T>, multiple = 64;
    static constexpr T largest = std::numeric_limits<T>::max() / 64;  // of norms whose sums stay finite
    bool overflows;
    int64_t dims, padded;
    T error, tiny;
    std::vector<T> center, panels;
    std::vector<T> upper;  // |y|^2 and its error; NaN behind the last point
    std::vector<T> slack;  // twice that error
};

// The squared distances by definition of 8 candidates at once, so that sums do not wait for one another.
template <class T>
GEODL_INLINE void measure(const T* query, const T* x, int64_t dims, Candidates<T>& kept) {
    constexpr int64_t together = 8;
    for (int64_t first = 0; first < kept.count; first += together) {
        const T* points[together];
        T sum[together] = {};
        const int64_t last = kept.count - 1;
        for (int64_t j = 0; j < together; ++j)
            points[j] = x + static_cast<int64_t>(kept.index[std::min(first + j, last)]) * dims;
        for (int64_t d = 0; d < dims; ++d) {
#pragma GCC unroll 8
            for (int64_t j = 0; j < together; ++j) {
                const T difference = query[d] - points[j][d];
                sum[j] += difference * difference;
            }
        }
        for (int64_t j = 0; j < std::min(together, kept.count - first); ++j) kept.value[first + j] = sum[j];
    }
}

template <class T>
GEODL_INLINE T kth_of_values(const T* value, int64_t count, int64_t k, T norm, T error, T* shifted) {
    for (int64_t j = 0; j < count; ++j) shifted[j] = std::max(value[j] + norm, T(0));
    const T found = kth_bound(shifted, count, k);
    return found + error + 8 * std::numeric_limits<T>::epsilon() * (found + norm);
}

template <class T>
GEODL_INLINE void search_products(const Problem<T>& problem, const Cloud& cloud, const Products<T>& products,
                                  int64_t begin, int64_t end, Workspace<T>& work,
                                  const Output<T>& out, Part<T>* part) {
    using P = Products<T>;
    const int64_t dims = problem.dims, count = end - begin, k = problem.k;
    T* queries = room(work.queries, P::rows * dims);
    T* values = room(work.values, P::rows * P::columns);
    auto& rows = work.rows;
    rows.resize(P::rows);
    for (int64_t r = 0; r < count; ++r) {
        const T* query = problem.query(begin + r);
        T norm = 0;
        for (int64_t d = 0; d < dims; ++d) {
            const T value = query[d] - products.center[static_cast<size_t>(d)];
            queries[r * dims + d] = -2 * value;
            norm += value * value;
        }
        Row<T>& row = rows[static_cast<size_t>(r)];
        row.bounded = !products.overflows && norm < P::largest;
        row.norm = norm;
        row.error = products.error * norm + products.tiny;
        row.bound = std::numeric_limits<T>::infinity();
        row.lower(problem.limit);
        row.own = own_index(problem, cloud, begin + r);
        row.kept.count = 0;
        row.full = k;
    }
    for (int64_t first = 0; first < products.padded; first += P::columns) {
        const int64_t width = std::min(P::columns, products.padded - first);
        const int64_t points = std::min(width, cloud.points - first);
        for (int64_t r = 0; r < count; ++r) std::copy_n(products.upper.data() + first, width, values + r * P::columns);
        gemm(count, width, dims, {queries, dims, 1}, products.right(first), values, P::columns, true);
        const int64_t groups = groups_for(k, points);
        T* minima = room(work.minima, groups);
        for (int64_t r = 0; r < count; ++r) {
            Row<T>& row = rows[static_cast<size_t>(r)];
            if (!row.bounded) continue;
            const T* value = values + r * P::columns;
            if (groups > 0 && first == 0) {
                group_minima(value, width / groups * groups, groups, minima);
                row.lower(kth_of_values(minima, groups, k + (row.own >= 0), row.norm, row.error, minima));
            }
            row.kept.reserve(width);
            for (int64_t j = 0; j < width; j += Candidates<T>::block)
                keep_block<true, T>(row.kept, value + j, products.slack.data() + first + j, row.limit, nullptr,
                                    static_cast<int32_t>(first + j), row.own);
            if (row.kept.count >= row.full && first + width < products.padded) {
                Candidates<T>& kept = row.kept;
                T* shifted = room(work.shifted, kept.count);
                row.lower(kth_of_values(kept.value.data(), kept.count, k, row.norm, row.error, shifted));
                int64_t still = 0;
                for (int64_t j = 0; j < kept.count; ++j) {
                    const T here = kept.value[j];
                    const int32_t index = kept.index[j];
                    kept.value[still] = here;
                    kept.index[still] = index;
                    still += here - products.slack[static_cast<size_t>(index)] <= row.limit;
                }
                kept.count = still;
                row.full = still + std::max<int64_t>(64, k);
            }
        }
    }
    for (int64_t r = 0; r < count; ++r) {
        const Row<T>& row = rows[static_cast<size_t>(r)];
        Candidates<T>& kept = rows[static_cast<size_t>(r)].kept;
        if (!row.bounded) {
            kept.reserve(cloud.points);
            for (int64_t p = 0; p < cloud.points; ++p) {
                kept.index[kept.count] = static_cast<int32_t>(p);
                kept.count += p != row.own;
            }
        }
        measure(problem.query(begin + r), problem.x + cloud.first * dims, dims, kept);
        int64_t still = 0;
        for (int64_t j = 0; j < kept.count; ++j) {
            kept.value[still] = kept.value[j];
            kept.index[still] = kept.index[j];
            still += kept.value[j] <= problem.limit;
        }
        kept.count = still;
        const int64_t found = sort_smallest(kept, k);
        out.row(part, begin + r, cloud.first, kept.sorted.data(), found);
    }
}

// --- all clouds ---

// What a cloud's points were made into, one of the three.
template <class T>
struct Prepared {
    std::unique_ptr<AllPoints<T>> all;
    std::unique_ptr<Tree<T, 1>> line;
    std::unique_ptr<Tree<T, 2>> plane;
    std::unique_ptr<Tree<T, 3>> space;
    std::unique_ptr<Products<T>> products;
    std::vector<int32_t> order;  // of queries, for a tree: those of a leaf are neighbours
    Problem<T> problem;          // with at most as many neighbours as the cloud has
};

// The queries in the order of the leaves that they are in or next to; the points themselves lie in it.
template <class T, int D>
std::vector<int32_t> leaf_order(const Problem<T>& problem, const Cloud& cloud, const Tree<T, D>& tree) {
    if (!problem.queries) return tree.index;
    const auto count = static_cast<size_t>(cloud.queries);
    std::vector<int32_t> leaf(count), order(count);
#pragma omp parallel for num_threads(team_size(cloud.queries * 100, problem.threads)) schedule(static)
    for (int64_t q = 0; q < cloud.queries; ++q) {
        const T* query = problem.query(cloud.first_query + q);
        int64_t node = 0, from = 0;
        for (int64_t size = tree.leaves; size > 1;) {
            const int64_t left = tree.left(node), right = tree.right(node, size), half = size / 2;
            const bool first = tree.gap(left, query) <= tree.gap(right, query);
            node = first ? left : right;
            from += first ? 0 : half;
            size = first ? half : size - half;
        }
        leaf[static_cast<size_t>(q)] = static_cast<int32_t>(from);
    }
    std::vector<int64_t> next(static_cast<size_t>(tree.leaves) + 1);
    for (const int32_t l : leaf) ++next[static_cast<size_t>(l) + 1];
    for (size_t l = 1; l < next.size(); ++l) next[l] += next[l - 1];
    for (size_t q = 0; q < count; ++q)
        order[static_cast<size_t>(next[static_cast<size_t>(leaf[q])]++)] = static_cast<int32_t>(q);
    return order;
}

template <class T, int D>
void plant(Prepared<T>& prepared, const Cloud& cloud, std::unique_ptr<Tree<T, D>>& tree) {
    const Problem<T>& problem = prepared.problem;
    tree = std::make_unique<Tree<T, D>>(problem.x + cloud.first * D, cloud.points, problem.threads);
    prepared.order = leaf_order(problem, cloud, *tree);
}

template <class T>
Prepared<T> prepare(const Problem<T>& problem, const Cloud& cloud) {
    constexpr int64_t few_points = 2048;  // compared with all of them, a query is faster than with a tree
    Prepared<T> made;
    made.problem = problem;
    made.problem.k = std::min(problem.k, cloud.points - (!problem.loop && !problem.queries));
    if (cloud.queries == 0 || made.problem.k <= 0) return made;
    if (problem.dims < 1 || problem.dims > 3)
        made.products = std::make_unique<Products<T>>(made.problem, cloud, problem.threads);
    else if (cloud.points <= few_points) made.all = std::make_unique<AllPoints<T>>(made.problem, cloud);
    else if (problem.dims == 1) plant(made, cloud, made.line);
    else if (problem.dims == 2) plant(made, cloud, made.plane);
    else plant(made, cloud, made.space);
    return made;
}

template <class T>
GEODL_INLINE void search_any(const Prepared<T>& prepared, const Cloud& cloud, int64_t begin, int64_t end,
                             Workspace<T>& work, const Output<T>& out, Part<T>* part) {
    const Problem<T>& problem = prepared.problem;
    const int32_t* order = prepared.order.data();
    const int64_t first = cloud.first_query + begin, last = cloud.first_query + end;
    if (prepared.all) search_all(problem, cloud, *prepared.all, first, last, work, out, part);
    else if (prepared.line) search_tree(problem, cloud, *prepared.line, order, begin, end, work, out, part);
    else if (prepared.plane) search_tree(problem, cloud, *prepared.plane, order, begin, end, work, out, part);
    else if (prepared.space) search_tree(problem, cloud, *prepared.space, order, begin, end, work, out, part);
    else search_products(problem, cloud, *prepared.products, first, last, work, out, part);
}

GEODL_CLONES void search(const Prepared<float>& prepared, const Cloud& cloud, int64_t begin, int64_t end,
                         Workspace<float>& work, const Output<float>& out, Part<float>* part) {
    search_any(prepared, cloud, begin, end, work, out, part);
}
GEODL_CLONES void search(const Prepared<double>& prepared, const Cloud& cloud, int64_t begin, int64_t end,
                         Workspace<double>& work, const Output<double>& out, Part<double>* part) {
    search_any(prepared, cloud, begin, end, work, out, part);
}

// Rows into `out`, or into parts where `out` has no places for them.
template <class T>
std::vector<Part<T>> search_clouds(const Problem<T>& problem, const std::vector<Cloud>& clouds, const Output<T>& out) {
    struct Item {
        size_t cloud;
        int64_t begin, end;
    };
    std::vector<Prepared<T>> prepared;
    std::vector<Item> items;
    int64_t work = 0;
    for (const Cloud& cloud : clouds) {
        prepared.push_back(prepare(problem, cloud));
        const Prepared<T>& made = prepared.back();
        if (cloud.queries == 0 || made.problem.k <= 0) continue;
        const int64_t queries = made.order.empty() ? cloud.queries : static_cast<int64_t>(made.order.size());
        for (int64_t begin = 0; begin < queries; begin += Products<T>::rows)
            items.push_back({prepared.size() - 1, begin, std::min(queries, begin + Products<T>::rows)});
        work += queries * (500 + (made.order.empty() ? cloud.points * (problem.dims + 4) / 16 : 500));
    }
    const int team = team_size(work, problem.threads);
    std::vector<Part<T>> parts(out.rowptr ? 0 : items.size());
#pragma omp parallel num_threads(team)
    {
        Workspace<T> space;
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < items.size(); ++i) {
            const auto& [cloud, begin, end] = items[i];
            search(prepared[cloud], clouds[cloud], begin, end, space, out, out.rowptr ? nullptr : &parts[i]);
        }
    }
    return parts;
}

// Throws if clouds are none of so many points and queries, or if these are not finite.
template <class T>
std::vector<Cloud> clouds_of(const Problem<T>& problem, const int64_t* ptr, const int64_t* query_ptr, int64_t count,
                             int64_t points, int64_t queries) {
    check_pointer("ptr", ptr, count, points, "points");
    check_pointer("query_ptr", query_ptr, count, queries, "queries");
    check_finite("x", problem.x, points, problem.dims);
    if (problem.queries) check_finite("queries", problem.queries, queries, problem.dims);
    else if (problem.dims > 0 && queries > 0 && queries != points)
        throw std::invalid_argument("queries has no memory: its storage was freed");
    if (problem.k < 1) throw std::invalid_argument("k must be at least 1, got " + std::to_string(problem.k));
    std::vector<Cloud> clouds;
    for (int64_t b = 0; b < count; ++b)
        clouds.push_back({ptr[b], ptr[b + 1] - ptr[b], query_ptr[b], query_ptr[b + 1] - query_ptr[b]});
    return clouds;
}

template <class T>
void knn(std::uintptr_t x, int64_t dims, std::uintptr_t ptr, std::uintptr_t queries, std::uintptr_t query_ptr,
         int64_t clouds, int64_t k, bool loop, std::uintptr_t rowptr_, std::uintptr_t col, std::uintptr_t squared,
         int threads, int64_t points, int64_t rows, int64_t edges) {
    const Problem<T> problem{at<const T>(x), at<const T>(queries), dims, k, std::numeric_limits<T>::infinity(), loop,
                             threads};
    const auto* rowptr = at<const int64_t>(rowptr_);
    const auto all = clouds_of(problem, at<const int64_t>(ptr), at<const int64_t>(query_ptr), clouds, points, rows);
    check_pointer("rowptr", rowptr, rows, edges, "edges");
    for (const Cloud& cloud : all) {
        const int64_t degree = std::max<int64_t>(std::min(k, cloud.points - (!loop && !problem.queries)), 0);
        for (int64_t row = cloud.first_query; row < cloud.first_query + cloud.queries; ++row)
            if (rowptr[row + 1] - rowptr[row] != degree)
                throw std::invalid_argument("row " + std::to_string(row) + " has " + std::to_string(degree) +
                                            " neighbours, but rowptr leaves room for " +
                                            std::to_string(rowptr[row + 1] - rowptr[row]));
    }
    search_clouds(problem, all, Output<T>{rowptr, at<int64_t>(col), at<T>(squared), nullptr});
}

// The rows of a search by radius, whose number of edges nobody knows before.
template <class T>
class Within {
public:
    Within(std::uintptr_t x, int64_t dims, std::uintptr_t ptr, std::uintptr_t queries, std::uintptr_t query_ptr,
           int64_t clouds, double limit, int64_t k, bool loop, int threads, int64_t points, int64_t asked) {
        const Problem<T> problem{
            at<const T>(x), at<const T>(queries), dims, k < 0 ? everything : k, static_cast<T>(limit), loop, threads};
        const auto* rows = at<const int64_t>(query_ptr);
        const auto all = clouds_of(problem, at<const int64_t>(ptr), rows, clouds, points, asked);
        rowptr_.assign(static_cast<size_t>(asked) + 1, 0);
        parts_ = search_clouds(problem, all, Output<T>{nullptr, nullptr, nullptr, rowptr_.data() + 1});
        for (size_t i = 1; i < rowptr_.size(); ++i) rowptr_[i] += rowptr_[i - 1];
    }

    int64_t edges() const { return rowptr_.back(); }

    void write(std::uintptr_t rowptr_to, std::uintptr_t col_to, std::uintptr_t squared_to, int threads) const {
        std::copy(rowptr_.begin(), rowptr_.end(), at<int64_t>(rowptr_to));
        auto* col = at<int64_t>(col_to);
        auto* squared = at<T>(squared_to);
#pragma omp parallel for num_threads(team_size(edges(), threads)) schedule(dynamic, 16)
        for (const Part<T>& part : parts_) {
            size_t from = 0;
            for (const int64_t row : part.row) {
                const int64_t to = rowptr_[static_cast<size_t>(row)];
                const auto end = static_cast<size_t>(rowptr_[static_cast<size_t>(row) + 1] - to);
                for (size_t j = 0; j < end; ++j) {
                    col[to + static_cast<int64_t>(j)] = part.col[from + j];
                    squared[to + static_cast<int64_t>(j)] = part.squared[from + j];
                }
                from += end;
            }
        }
    }

private:
    std::vector<int64_t> rowptr_;
    std::vector<Part<T>> parts_;
};

template <class T>
void bind(nb::module_& m, const char* knn_name, const char* within_name) {
    const auto release = nb::call_guard<nb::gil_scoped_release>();
    m.def(knn_name, &knn<T>, release);
    nb::class_<Within<T>>(m, within_name)
        .def(nb::init<std::uintptr_t, int64_t, std::uintptr_t, std::uintptr_t, std::uintptr_t, int64_t, double, int64_t,
                      bool, int, int64_t, int64_t>(),
             release)
        .def("edges", &Within<T>::edges)
        .def("write", &Within<T>::write, release);
}

}  // namespace

void register_knn(nb::module_& m) {
    bind<float>(m, "knn_f32", "within_f32");
    bind<double>(m, "knn_f64", "within_f64");
}

}  // namespace geodl
