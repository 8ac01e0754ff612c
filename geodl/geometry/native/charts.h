#pragma once

#include <cstdint>
#include <vector>

#include "intrinsic_mesh.h"

namespace geodl {

struct ChartRows {
    std::vector<int64_t> rowptr, col;
    std::vector<double> coords;     // [E, 2] rho, theta
    std::vector<double> transport;  // [E]
    int64_t stopped[4] = {0, 0, 0, 0};  // charts that reach Border -k
    int64_t windows = 0;
};

// Geodesic polar coordinates around `sources`; radius in the unit of the positions.
ChartRows geodesic_charts(const IntrinsicMesh& mesh, const int64_t* sources, int64_t count, double radius, int threads);

// Distances of pairs, grouped: pairs ptr[g]..ptr[g + 1] all start at sources[g].
void geodesic_distances(const IntrinsicMesh& mesh, const int64_t* sources, const int64_t* ptr, int64_t groups, const int64_t* targets,
                        double bound, double* out, int threads);

}  // namespace geodl
