// Rows of a CSR matrix in parallel, of which a few may be very long: a row of a million edges must not keep one thread
// busy while the others wait.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bounds.h"

namespace geodl {

// A piece of a long row: edges[0] to edges[1], which is a row pointer of one row. Its partial result belongs at `slot`.
struct Piece {
    int64_t row, slot;
    int64_t edges[2];
};

// Long rows and their pieces, at most `piece` edges each. Where a row is cut depends on it alone, and so does the order of
// its sum, whatever the number of threads.
class LongRows {
public:
    explicit LongRows(const Bounds& bounds) : starts_{0} {
        const int64_t *rowptr = bounds.rowptr, rows = bounds.rows;
        for (int64_t i = 0; rowptr[rows] > piece && i < rows; ++i) {
            if (rowptr[i + 1] - rowptr[i] <= piece) continue;
            for (int64_t e = rowptr[i]; e < rowptr[i + 1]; e += piece)
                pieces.push_back({i, int64_t(pieces.size()), {e, std::min(e + piece, rowptr[i + 1])}});
            rows_.push_back(i);
            starts_.push_back(int64_t(pieces.size()));
        }
    }

    // Calls body(begin, end) for runs of rows that are not long, and part(piece) for pieces of those that are, which see to it
    // that every index is looked at, and throws if one was not in its bounds.
    template <class Body, class Part>
    void each(Bounds& bounds, int64_t work, int threads, Body body, Part part) const {
        for_rows(bounds.rowptr, bounds.rows, work, threads, [&](int64_t begin, int64_t end) {
            auto next = std::lower_bound(rows_.begin(), rows_.end(), begin);
            for (; next != rows_.end() && *next < end; ++next) {
                bounds.each_run(begin, *next, body);
                begin = *next + 1;
            }
            bounds.each_run(begin, end, body);
        });
        const int64_t count = int64_t(pieces.size());
        if (count > 0) {
#pragma omp parallel for num_threads(team_size(work, threads)) schedule(dynamic, 1)
            for (int64_t k = 0; k < count; ++k) part(pieces[k]);
        }
        bounds.check();
    }

    // Calls join(row, first, last) for every long row, whose partial results lie at the slots [first, last).
    template <class Join>
    void join(Join join) const {
        for (size_t k = 0; k < rows_.size(); ++k) join(rows_[k], starts_[k], starts_[k + 1]);
    }

    std::vector<Piece> pieces;

private:
    static constexpr int64_t piece = 4096;
    std::vector<int64_t> rows_, starts_;
};

}  // namespace geodl
