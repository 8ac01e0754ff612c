#pragma once

#include <cstdint>
#include <vector>

namespace geodl {

struct Remeshed {
    std::vector<int64_t> face;    // [F', 3]
    std::vector<int64_t> corner;  // [V', 3] a vertex lies between three of the given vertices
    std::vector<double> weight;   // [V', 3] barycentric weights
};

// Isotropic remeshing of an oriented surface whose edges have at most two faces (the caller has checked). Edges longer than a few
// edge_length whose faces meet at more than feature_angle are kept, as boundaries are.
Remeshed remesh(const double* pos, int64_t num_vertices, const int64_t* face, int64_t num_faces, double edge_length,
                double feature_angle, int iterations);

}  // namespace geodl
