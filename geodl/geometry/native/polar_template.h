#pragma once

#include <cstdint>

#include "intrinsic_mesh.h"

namespace geodl {

// Three (vertex, weight) entries for each of the rings x rays template points of every chart, at ((i * rings + r) * rays + a) * 3.
// radius [N], that of the outermost ring of every chart, in the unit of the positions; inside [N] counts the points that lie in a triangle of their chart.
void polar_template(const IntrinsicMesh& mesh, const int64_t* rowptr, const int64_t* col, const double* coords, const double* radius,
                    int rings, int rays, int64_t* vertex, double* weight, int64_t* inside, int threads);

}  // namespace geodl
