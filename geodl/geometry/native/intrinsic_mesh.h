// A triangle mesh as a polyhedral metric: edge lengths, corner angles and who is glued to whom.
// Nothing here looks at positions once the lengths are taken, so geodesics can be unfolded face by face.
#pragma once

#include <cstdint>
#include <vector>

namespace geodl {

// What lies on the other side of a halfedge when no face does.
enum Border : int32_t { kBoundary = -1, kNonManifold = -2, kSeam = -3 };

// Halfedge h = 3 f + k runs from corner k to corner k + 1 of face f. Its frame has the origin at v1, x along the edge to v2 and
// y into the face, whose third corner is v3. Everything that a window needs to cross the face lies in these 96 bytes.
struct Halfedge {
    double length;               // |v1 v2|
    double px, py;               // v3 in the frame
    double left, right;          // |v1 v3|, |v3 v2|
    double angle1, angle2;       // corner angles at v1 and v2
    int32_t v1, v2, v3;
    int32_t twin_left;           // halfedge beyond the edge v1 v3 (it runs v1 -> v3), or a Border
    int32_t twin_right;          // halfedge beyond the edge v3 v2 (it runs v3 -> v2), or a Border
    uint8_t flip_left, flip_right;  // that halfedge runs the other way: the surface is not orientable here
};

struct Topology {
    int64_t boundary_edges = 0, non_manifold_edges = 0, seam_edges = 0, isolated_vertices = 0, components = 0;
    int64_t degenerate_faces = 0, skipped_faces = 0, turned_faces = 0, non_manifold_vertices = 0;
};

struct IntrinsicMesh {
    // pos [V, 3], face [F, 3], indices in range and positions finite (the caller has checked). If not `cross_seams`, the edges where
    // a non-orientable surface cannot be oriented are borders.
    IntrinsicMesh(const double* pos, int64_t num_vertices, const int64_t* face, int64_t num_faces, bool cross_seams);

    int64_t num_vertices;
    double unit = 1;             // mean edge length; all lengths below are in this unit
    double longest = 0;          // longest edge
    std::vector<Halfedge> halfedges;
    std::vector<int32_t> twin;   // [3F] halfedge glued to h, or a Border
    std::vector<uint8_t> flip;   // [3F] twin runs the same way as h
    std::vector<double> angle;   // [3F] corner angle at the origin of h
    std::vector<double> fan;     // [3F] angle of h around its origin, counter-clockwise from the first edge of the fan
    std::vector<int32_t> corner_ptr, corners;  // outgoing halfedges of every vertex, counter-clockwise
    std::vector<double> total;   // [V] sum of the corner angles
    std::vector<double> scale;   // [V] tangent angle = scale * (fan angle - reference)
    std::vector<double> reference;  // [V] fan angle of the direction from which tangent angles count
    std::vector<uint8_t> open;   // [V] the faces do not close up around the vertex
    std::vector<uint8_t> bends;  // [V] shortest paths may bend here: open, or more than 2 pi of angle
    std::vector<uint8_t> unordered;  // [V] joins several fans or touches a seam that is crossed: angles do not tell what lies opposite
    std::vector<uint8_t> borders;    // [V] bit -border of every border that ends or begins at the vertex
    Topology topology;

    static int32_t next(int32_t h) { return h % 3 == 2 ? h - 2 : h + 1; }
    static int32_t prev(int32_t h) { return h % 3 == 0 ? h + 2 : h - 1; }

    // Tangent angles count from the first axis of the frames [V, 3, 3] (rows x, y, normal): the turn between the two that is best on
    // average over the edges, as these are laid into the frame by projection. At a vertex in a plane it is the same for all of them.
    void refer_to(const double* pos, const double* frames);

    // Angle in the rescaled tangent plane of v of a direction given by its fan angle.
    double tangent(int32_t v, double fan_angle) const { return (fan_angle - reference[v]) * scale[v]; }

  private:
    void glue(std::vector<int32_t>& corner, const std::vector<uint8_t>& skipped, bool cross_seams);
    void measure(const double* pos, const std::vector<int32_t>& corner, const std::vector<uint8_t>& skipped);
    void order_fans(const std::vector<int32_t>& corner, const std::vector<uint8_t>& skipped);
};

}  // namespace geodl
