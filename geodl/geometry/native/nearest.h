// The nearest point of a set of triangles (segments are triangles that name a corner twice), by a tree of boxes.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace geodl {

struct Vec {
    double x = 0, y = 0, z = 0;
    Vec operator+(const Vec& o) const { return {x + o.x, y + o.y, z + o.z}; }
    Vec operator-(const Vec& o) const { return {x - o.x, y - o.y, z - o.z}; }
    Vec operator*(double s) const { return {x * s, y * s, z * s}; }
};
inline double dot(const Vec& a, const Vec& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec cross(const Vec& a, const Vec& b) { return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x}; }
inline double norm(const Vec& a) { return std::sqrt(dot(a, a)); }

// A point of the surface: a mean of three vertices.
struct Location {
    std::array<int32_t, 3> corner;
    std::array<double, 3> weight;
};

class Nearest {
  public:
    // corners [n]; a primitive answers only to those who ask for its tag.
    Nearest(const std::vector<Vec>& pos, std::vector<std::array<int32_t, 3>> corners, std::vector<int32_t> tag);

    // The point nearest to `p` of the primitives with the tag whose normal does not point away from `normal`, among those nearer than
    // `bound`; `best` and `found` are left alone where there is none.
    void find(const Vec& p, int32_t tag, const Vec& normal, double bound, Location& best, Vec& found) const;

  private:
    struct Box {
        Vec low, high;
        int32_t first, count;  // of a leaf its primitives; of an inner node count is 0, its children are the next node and `first`
    };
    int32_t build(int32_t first, int32_t count, const std::vector<Vec>& centre);
    double distance(const Box& box, const Vec& p) const;

    const std::vector<Vec>& pos_;
    std::vector<std::array<int32_t, 3>> corners_;
    std::vector<int32_t> tag_, order_;
    std::vector<Vec> normal_;
    std::vector<Box> boxes_;
};

}  // namespace geodl
