#pragma once

#include <cstdint>
#include <vector>

#include "intrinsic_mesh.h"

namespace geodl {

struct ChartRows {
    std::vector<int64_t> rowptr, col;
    std::vector<double> coords;     // [E, 2] rho, theta
    std::vector<double> transport;  // [E]
    std::vector<double> arrival;    // [E]
    std::vector<double> radius;     // [N] in the unit of the positions
    int64_t stopped[4] = {0, 0, 0, 0};  // charts that reach Border -k
    int64_t windows = 0;
};

// Geodesic polar coordinates around `sources`, each within its `radius` in the unit of the positions; or if `size` is positive, of as
// many vertices.
ChartRows geodesic_charts(const IntrinsicMesh& mesh, const int64_t* sources, int64_t count, const double* radius, int64_t size,
                          int threads);

// Of every halfedge, the angle in the tangent plane of its origin under which it leaves and that in the plane of its end under which it
// arrives, [3F, 2]; and half the cotangent of the angle across from it, [3F]. Zero in skipped faces.
void edge_angles(const IntrinsicMesh& mesh, double* angles, double* half_cotangent);

// Distances of pairs, grouped: pairs ptr[g]..ptr[g + 1] all start at sources[g].
void geodesic_distances(const IntrinsicMesh& mesh, const int64_t* sources, const int64_t* ptr, int64_t groups, const int64_t* targets,
                        double bound, double* out, int threads);

}  // namespace geodl
