// Solves with the factors of a sparse symmetric matrix, many right-hand sides at a time.
#pragma once

#include <cstdint>

namespace geodl {

// x [n, columns] becomes (L D L^T)^-1 x. L is unit lower triangular, its strictly lower part given by columns (colptr, row,
// value); D is `diagonal`. Columns are independent, so results do not depend on the number of threads.
void ldl_solve(const int64_t* colptr, const int64_t* row, const double* value, const double* diagonal, int64_t n, double* x,
               int64_t columns, int threads);

}  // namespace geodl
