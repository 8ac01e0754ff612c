#include "polar_template.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

namespace geodl {
namespace {

// Polar coordinates tear the surface along the cut locus: a face across the tear is drawn with edges far too long, or upside down.
constexpr double kStretch = 2;
// Corners beyond the same bend share their theta, so a face can be drawn flat; one flatter than this holds nothing but rounding.
constexpr double kFlat = 1e-7;
// Barycentric weights down to -kInside count as inside, so that no point falls between two faces.
constexpr double kInside = 1e-9;

struct Point {
    double x, y, rho;
};

struct Place {
    double rank;  // farthest corner of the face (inside), or squared distance to the nearest point (outside)
    std::array<int64_t, 3> vertex;
    std::array<double, 3> weight;
};

double gap(const Point& a, const Point& b) { return std::sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y)); }

double cross(const Point& o, const Point& a, const Point& b) { return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x); }

}  // namespace

void polar_template(const IntrinsicMesh& mesh, const int64_t* rowptr, const int64_t* col, const double* coords, const double* radius,
                    int rings, int rays, int64_t* vertex, double* weight, int64_t* inside, int threads) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const int points = rings * rays;
    std::vector<double> cosine(rays), sine(rays);
    for (int a = 0; a < rays; ++a) {
        cosine[a] = std::cos(2 * std::numbers::pi * a / rays);
        sine[a] = std::sin(2 * std::numbers::pi * a / rays);
    }
#pragma omp parallel num_threads(std::max(threads, 1))
    {
        std::vector<int64_t> row_of(mesh.num_vertices, -1);  // the last chart that held a vertex, and where
        std::vector<int32_t> slot(mesh.num_vertices, 0);
        std::vector<int64_t> drawn_in(mesh.twin.size() / 3, -1);  // the last chart that a face was drawn in
        std::vector<Point> drawn;
        std::vector<int32_t> faces;
        std::vector<Place> places(points);
        std::vector<double> ring(rings);
#pragma omp for schedule(dynamic, 64)
        for (int64_t i = 0; i < mesh.num_vertices; ++i) {
            for (int r = 0; r < rings; ++r) ring[r] = (r + 1.0) / rings * radius[i] / mesh.unit;
            drawn.clear();
            faces.clear();
            for (int64_t e = rowptr[i]; e < rowptr[i + 1]; ++e) {
                const double rho = coords[2 * e] / mesh.unit, theta = coords[2 * e + 1];
                row_of[col[e]] = i;
                slot[col[e]] = static_cast<int32_t>(drawn.size());
                drawn.push_back({rho * std::cos(theta), rho * std::sin(theta), rho});
            }
            for (Place& place : places) place = {infinity, {i, i, i}, {1, 0, 0}};
            for (int64_t e = rowptr[i]; e < rowptr[i + 1]; ++e) {
                const int32_t v = static_cast<int32_t>(col[e]);
                for (int32_t c = mesh.corner_ptr[v]; c < mesh.corner_ptr[v + 1]; ++c) {
                    const int32_t h = mesh.corners[c];
                    const Halfedge& edge = mesh.halfedges[h];
                    if (v > edge.v2 || v > edge.v3) continue;  // every face once, from its lowest corner
                    if (row_of[edge.v2] != i || row_of[edge.v3] != i) continue;
                    const Point &p = drawn[slot[v]], &q = drawn[slot[edge.v2]], &s = drawn[slot[edge.v3]];
                    const double area = cross(p, q, s);
                    const double pq = gap(p, q), qs = gap(q, s), sp = gap(s, p), longest = std::max({pq, qs, sp});
                    if (!(area > kFlat * longest * longest)) continue;
                    if (pq > kStretch * edge.length || qs > kStretch * edge.right || sp > kStretch * edge.left) continue;
                    faces.push_back(h);
                    drawn_in[h / 3] = i;
                    const double farthest = std::max({p.rho, q.rho, s.rho});
                    const double nearest = std::min({p.rho, q.rho, s.rho}) - longest;
                    for (int r = 0; r < rings; ++r) {
                        if (ring[r] < nearest) continue;
                        if (ring[r] > farthest * (1 + kInside)) break;
                        for (int a = 0; a < rays; ++a) {
                            const Point t{ring[r] * cosine[a], ring[r] * sine[a], ring[r]};
                            const double u = cross(t, q, s) / area, w = cross(p, t, s) / area, z = 1 - u - w;
                            if (u < -kInside || w < -kInside || z < -kInside) continue;
                            Place& place = places[r * rays + a];
                            if (farthest < place.rank) place = {farthest, {v, edge.v2, edge.v3}, {u, w, z}};
                        }
                    }
                }
            }
            inside[i] = 0;
            for (int m = 0; m < points; ++m) {
                Place& place = places[m];
                if (place.rank < infinity) {
                    ++inside[i];
                } else {  // the nearest point of what is drawn: a vertex, or a point on an edge
                    const double tx = ring[m / rays] * cosine[m % rays], ty = ring[m / rays] * sine[m % rays];
                    for (size_t k = 0; k < drawn.size(); ++k) {
                        const double x = drawn[k].x - tx, y = drawn[k].y - ty, far = x * x + y * y;
                        const int64_t v = col[rowptr[i] + static_cast<int64_t>(k)];
                        if (far < place.rank) place = {far, {v, v, v}, {1, 0, 0}};
                    }
                    for (int32_t first : faces) {
                        for (int k = 0, h = first; k < 3; ++k, h = IntrinsicMesh::next(h)) {
                            if (mesh.twin[h] >= 0 && drawn_in[mesh.twin[h] / 3] == i) continue;  // not on the rim
                            const int32_t a = mesh.halfedges[h].v1, b = mesh.halfedges[h].v2;
                            const Point &p = drawn[slot[a]], &q = drawn[slot[b]];
                            const double dx = q.x - p.x, dy = q.y - p.y;
                            const double along = ((tx - p.x) * dx + (ty - p.y) * dy) / (dx * dx + dy * dy);
                            if (!(along > 0 && along < 1)) continue;  // its ends were tried above
                            const double x = p.x + along * dx - tx, y = p.y + along * dy - ty, far = x * x + y * y;
                            if (far < place.rank) place = {far, {a, b, b}, {1 - along, along, 0}};
                        }
                    }
                }
                const int64_t at = (i * points + m) * 3;
                for (int k = 0; k < 3; ++k) {
                    vertex[at + k] = place.vertex[k];
                    weight[at + k] = std::clamp(place.weight[k], 0.0, 1.0);
                }
            }
        }
    }
}

}  // namespace geodl
