// Exact geodesics from one vertex: windows of straight rays, unfolded face by face over the edges (Chen & Han 1990), most of them
// discarded by what is already known at the vertices (Xin & Wang 2009), nearest first.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "intrinsic_mesh.h"

namespace geodl {

class Propagation {
  public:
    // The shortest path found to a vertex. It leaves `root` (the source, or the last vertex where it bends) at fan angle `departure`
    // and is straight from there; seen from the vertex it lies at fan angle `arrival`.
    struct Visit {
        double distance;
        double departure, arrival;
        int32_t root;
        uint32_t stamp;
    };

    explicit Propagation(const IntrinsicMesh& mesh);

    // All distances up to `bound` (in mesh units) from `source`; with `targets`, only until they are known; with `nearest`, only until
    // that many vertices and one that lies farther are.
    void run(int32_t source, double bound, std::span<const int32_t> targets = {}, int64_t nearest = 0);

    double distance(int32_t v) const { return visits_[v].stamp == stamp_ ? visits_[v].distance : kInfinity; }
    const Visit& visit(int32_t v) const { return visits_[v]; }
    // Vertices with a finite distance, in no order; those beyond the bound hold only an upper bound.
    std::span<const int32_t> reached() const { return reached_; }
    // Which borders stopped a window within the distance `bound`: bit -border.
    uint32_t stopped_by(double bound) const {
        uint32_t met = 0;
        for (int k = 1; k < 4; ++k) met |= static_cast<uint32_t>(stopped_at_[k] <= bound) << k;
        return met;
    }
    // The distance that holds the `nearest` vertices, those as far as the last of them, and no other: half-way to the next one.
    double reach(int64_t nearest);
    int64_t windows() const { return windows_; }

  private:
    static constexpr double kInfinity = std::numeric_limits<double>::infinity();
    static constexpr double kTie = 1e-9;  // relative; vertices nearer to one another than this are equally far

    // Rays from a point (sx, sy), sy < 0, in the frame of `halfedge`, through [begin, end] of its edge into its face. The point is
    // the unfolded image of `root`, at distance `sigma` from the source. A ray at angle psi of the frame leaves root at fan angle
    // psi + turn. halfedge < 0 marks an event instead: the vertex `root` was reached at distance sigma and bends paths.
    struct Window {
        double begin, end, sx, sy, sigma, turn;
        int32_t halfedge, root, next;
    };
    struct Split {
        double distance, crossing;
        uint32_t stamp;
    };

    bool knows(int64_t nearest, double now);
    void enqueue(double key, const Window& window);
    void update(int32_t v, double distance, int32_t root, double departure, double arrival);
    void spread(int32_t v, bool everywhere);
    void spread_corner(int32_t h, double from, double to);
    void propagate(const Window& window);
    void push(bool flip, double length, Window window, int32_t u, int32_t w);

    const IntrinsicMesh& mesh_;
    std::vector<Visit> visits_;
    std::vector<Split> splits_;
    std::vector<int32_t> reached_;
    std::vector<Window> pool_;
    std::vector<int32_t> free_;
    std::vector<int32_t> heads_;
    std::vector<double> known_;
    double width_, per_width_;
    double bound_ = 0;
    int64_t current_ = 0, pending_ = 0, windows_ = 0;
    double stopped_at_[4];  // how near a window met Border -k
    uint32_t stamp_ = 0;
};

}  // namespace geodl
