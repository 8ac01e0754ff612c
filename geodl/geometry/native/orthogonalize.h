// Orthogonalisation of a few vectors against many, in slabs of eight vectors side by side.
#pragma once

#include <cstdint>

namespace geodl {

// basis holds `slabs` slabs of [n, 8], x is [n, 8]. Fills overlap [slabs, 8, 8] = basis^T x and subtracts basis overlap from x
// (classical Gram-Schmidt). Sums are made in one order, so results do not depend on the number of threads.
void orthogonalize(const double* basis, int64_t slabs, int64_t n, double* x, double* overlap, int threads);

}  // namespace geodl
