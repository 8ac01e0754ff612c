// Loops shared by the extensions: rows of a CSR matrix in parallel, balanced by work, with a grain size.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#else  // one thread then, the calling one
inline int omp_get_thread_num() { return 0; }
#endif

#include <algorithm>
#include <cstdint>

namespace geodl {

// Number of threads that `work` (in units of about one nanosecond) deserves: waking a team costs microseconds.
inline int team_size(int64_t work, int threads) {
    constexpr int64_t grain = 20000;
    return static_cast<int>(std::clamp<int64_t>(work / grain, 1, std::max(threads, 1)));
}

// Calls body(begin, end) on disjoint ranges of rows that together cover [0, rows). Ranges hold about the same number of
// rows + edges, so a few rows of high degree do not keep one thread busy while the others wait. Each row belongs to one
// call, so a result that is computed per row does not depend on the number of threads.
template <class Body>
void for_rows(const int64_t* rowptr, int64_t rows, int64_t work, int threads, Body body) {
    const int team = team_size(work, threads);
    if (team == 1) {
        body(int64_t{0}, rows);
        return;
    }
    const int64_t chunks = int64_t{team} * 16;
    const int64_t total = rows + rowptr[rows];
    auto boundary = [&](int64_t chunk) {
        const int64_t wanted = total / chunks * chunk + total % chunks * chunk / chunks;
        int64_t low = 0, high = rows;
        while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (middle + rowptr[middle] < wanted) low = middle + 1;
            else high = middle;
        }
        return chunk == chunks ? rows : low;
    };
#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        const int64_t begin = boundary(chunk), end = boundary(chunk + 1);
        if (begin < end) body(begin, end);
    }
}

}  // namespace geodl

// A function marked GEODL_CLONES is compiled for the baseline, AVX2 and AVX-512; the loader picks one at run time.
// Sanitizers run before the loader's resolvers can, so their build has the baseline alone.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define GEODL_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define GEODL_CLONES
#endif
