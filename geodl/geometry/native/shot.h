// SHOT descriptors (Salti, Tombari & Di Stefano 2014): histograms of normals over a spherical grid in a local reference frame.
#pragma once

#include <cstdint>

namespace geodl {

// For every point the neighbours col[rowptr[i]] .. col[rowptr[i + 1]] within `radius` fill out [points, 352], of unit length, and
// frame [points, 3, 3], whose rows are the x, y and z axis. Points with fewer than five neighbours at other places get zeros.
void shot(const double* pos, const double* normal, int64_t points, const int64_t* rowptr, const int64_t* col, double radius, double* out,
          double* frame, int threads);

}  // namespace geodl
