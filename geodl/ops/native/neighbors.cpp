// The transpose of a CSR matrix by a stable counting sort.
#include "bounds.h"
#include "kernels.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace geodl {
namespace {

// Sorts edges by key into a CSR: edge e, which carries value[e], goes to row key[e]; a row keeps the order of its edges.
// Threads take consecutive ranges of edges and write where the ranges before them end, so the result does not depend on
// how many they are.
void group_edges(std::uintptr_t key_, std::uintptr_t value_, int64_t edges, int64_t keys, std::uintptr_t rowptr_,
                 std::uintptr_t grouped_, std::uintptr_t perm_, int threads) {
    const int64_t *key = at<const int64_t>(key_), *value = at<const int64_t>(value_);
    int64_t *rowptr = at<int64_t>(rowptr_), *grouped = at<int64_t>(grouped_), *perm = at<int64_t>(perm_);
    if (keys < 0) throw std::invalid_argument("there must be no less than 0 keys, not " + std::to_string(keys));
    need_memory("key", key, edges);
    need_memory("value", value, edges);
    // Every thread counts into a table of its own: not worth it where tables would be larger than the edges.
    const int wanted = team_size(4 * edges, threads);
    const int team = static_cast<int>(std::clamp<int64_t>(2 * edges / std::max<int64_t>(keys, 1), 1, wanted));
    std::vector<int64_t> next(static_cast<size_t>(team * keys));
    std::atomic<bool> fits{true};
    auto part = [&](int t) { return edges / team * t + edges % team * t / team; };
#pragma omp parallel for num_threads(team) schedule(static, 1) if (team > 1)
    for (int t = 0; t < team; ++t) {
        int64_t* count = next.data() + t * keys;
        constexpr int64_t run = 4096;
        for (int64_t begin = part(t); begin < part(t + 1); begin += run) {
            const int64_t end = std::min(begin + run, part(t + 1));
            if (!inside(key + begin, end - begin, keys)) {
                fits = false;
                break;
            }
            for (int64_t e = begin; e < end; ++e) ++count[key[e]];
        }
    }
    for (int64_t e = 0; !fits && e < edges; ++e)
        if (key[e] < 0 || key[e] >= keys)
            throw std::out_of_range("key holds " + std::to_string(key[e]) + " at edge " + std::to_string(e) +
                                    ", but there are " + std::to_string(keys) + " of them");
    int64_t total = 0;
    for (int64_t k = 0; k < keys; ++k) {
        rowptr[k] = total;
        for (int t = 0; t < team; ++t) {
            const int64_t count = next[static_cast<size_t>(t * keys + k)];
            next[static_cast<size_t>(t * keys + k)] = total;
            total += count;
        }
    }
    rowptr[keys] = total;
#pragma omp parallel for num_threads(team) schedule(static, 1) if (team > 1)
    for (int t = 0; t < team; ++t) {
        int64_t* slot = next.data() + t * keys;
        for (int64_t e = part(t); e < part(t + 1); ++e) {
            const int64_t to = slot[key[e]]++;
            grouped[to] = value[e];
            perm[to] = e;
        }
    }
}

// out[e] = the row of edge e
void edge_rows(std::uintptr_t rowptr_, int64_t rows, int64_t edges, std::uintptr_t out) {
    const int64_t* rowptr = at<const int64_t>(rowptr_);
    check_pointer("rowptr", rowptr, rows, edges, "edges");
    for (int64_t i = 0; i < rows; ++i) std::fill(at<int64_t>(out) + rowptr[i], at<int64_t>(out) + rowptr[i + 1], i);
}

}  // namespace

void register_neighbors(nb::module_& m) {
    m.def("edge_rows", &edge_rows, nb::call_guard<nb::gil_scoped_release>());
    m.def("group_edges", &group_edges, nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace geodl
