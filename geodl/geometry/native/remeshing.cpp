// Botsch & Kobbelt, "A remeshing approach to multiresolution modeling", SGP 2004: edges are split, collapsed and flipped, vertices
// move within the tangent plane and back onto the surface. Every vertex knows at all times where on the given surface it lies.
//
// Halfedge h = 3 f + k runs from corner k to corner k + 1 of face f. Lengths are in units of the edge length that is asked for.
#include "remeshing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

#include "nearest.h"

namespace geodl {

namespace {

constexpr double kLong = 4.0 / 3, kShort = 4.0 / 5;
// Creases shorter than this, in all, are noise at this resolution; corners are looked for at a distance along the curve.
constexpr double kShortestCrease = 4, kReach = 0.5;
// Twice the area over the longest side squared below which an operation may not bring a face (an equilateral one has 0.87).
constexpr double kThin = 0.1;
// How far the middle of an edge may lie from the surface, over its length (of a half circle's chord it is a half).
constexpr double kBent = 0.4;
constexpr int kPasses = 20;

int32_t next(int32_t h) { return h % 3 == 2 ? h - 2 : h + 1; }
int32_t prev(int32_t h) { return h % 3 == 0 ? h + 2 : h - 1; }

struct UnionFind {
    explicit UnionFind(size_t n) : parent(n) { std::iota(parent.begin(), parent.end(), 0); }
    int32_t find(int32_t i) {
        while (parent[i] != i) i = parent[i] = parent[parent[i]];
        return i;
    }
    void join(int32_t i, int32_t j) {
        i = find(i);
        j = find(j);
        if (i != j) parent[std::max(i, j)] = std::min(i, j);
    }
    std::vector<int32_t> parent;
};

struct Surface {
    std::vector<Vec> pos;                 // of vertices
    std::vector<Location> at;
    std::vector<int32_t> out, component;  // an outgoing halfedge, or -1 where the vertex is gone
    std::vector<uint8_t> fixed;           // ends and corners of curves
    std::vector<int32_t> origin, twin;    // of halfedges; twin -1 at the boundary
    std::vector<int32_t> curve;           // of halfedges; boundaries and creases have the number of their curve, others 0
    std::vector<uint8_t> gone;            // of faces

    int32_t target(int32_t h) const { return origin[next(h)]; }
    double length(int32_t h) const { return norm(pos[target(h)] - pos[origin[h]]); }
    // Of every edge one halfedge.
    bool first(int32_t h) const { return !gone[h / 3] && twin[h] < h; }
    Vec normal(int32_t f) const {
        const Vec &a = pos[origin[3 * f]], &b = pos[origin[3 * f + 1]], &c = pos[origin[3 * f + 2]];
        return cross(b - a, c - a);
    }

    // The outgoing halfedges of a vertex.
    template <class F>
    void around(int32_t v, F visit) const {
        const int32_t start = out[v];
        int32_t h = start;
        do {
            visit(h);
            h = twin[prev(h)];
        } while (h >= 0 && h != start);
        if (h >= 0) return;
        for (int32_t t = twin[start]; t >= 0; t = twin[h]) {
            h = next(t);
            visit(h);
        }
    }
    template <class F>
    void neighbours(int32_t v, F visit) const {
        around(v, [&](int32_t h) {
            visit(target(h));
            if (twin[prev(h)] < 0) visit(origin[prev(h)]);
        });
    }
    bool adjacent(int32_t v, int32_t w) const {
        bool found = false;
        neighbours(v, [&](int32_t u) { found |= u == w; });
        return found;
    }
    Vec vertex_normal(int32_t v) const {
        Vec sum;
        around(v, [&](int32_t h) { sum = sum + normal(h / 3); });
        return sum;
    }
    void glue(int32_t h, int32_t t) {
        if (h >= 0) twin[h] = t;
        if (t >= 0) twin[t] = h;
    }
};

// Twice the area of a triangle over its longest side squared.
double quality(const Vec& a, const Vec& b, const Vec& c) {
    const Vec u = b - a, v = c - b, w = a - c;
    const double longest = std::max({dot(u, u), dot(v, v), dot(w, w)});
    return longest > 0 ? norm(cross(u, v)) / longest : 0;
}

// Halfedges glued, a vertex of its own for every fan of faces, components numbered.
Surface read(const double* pos, int64_t num_vertices, const int64_t* face, int64_t num_faces, double unit) {
    Surface s;
    for (int64_t v = 0; v < num_vertices; ++v) {
        const double* p = pos + 3 * v;
        s.pos.push_back(Vec{p[0] - pos[0], p[1] - pos[1], p[2] - pos[2]} * (1 / unit));
        const int32_t i = static_cast<int32_t>(v);
        s.at.push_back({{i, i, i}, {1, 0, 0}});
    }
    const int32_t halfedges = static_cast<int32_t>(3 * num_faces);
    s.origin.assign(face, face + halfedges);
    s.twin.assign(halfedges, -1);
    s.curve.assign(halfedges, 0);
    s.gone.assign(num_faces, 0);
    std::vector<int32_t> order(halfedges);
    std::iota(order.begin(), order.end(), 0);
    auto key = [&](int32_t h) {
        return std::array<int32_t, 3>{std::min(s.origin[h], s.target(h)), std::max(s.origin[h], s.target(h)), h};
    };
    std::sort(order.begin(), order.end(), [&](int32_t g, int32_t h) { return key(g) < key(h); });
    for (int32_t i = 0; i + 1 < halfedges; ++i) {
        if (s.origin[order[i]] == s.target(order[i + 1]) && s.target(order[i]) == s.origin[order[i + 1]]) s.glue(order[i], order[i + 1]);
    }
    s.out.assign(num_vertices, -1);
    s.fixed.assign(num_vertices, 0);
    std::vector<uint8_t> seen(halfedges, 0);
    for (int32_t h = 0; h < halfedges; ++h) {
        if (seen[h]) continue;
        int32_t v = s.origin[h];
        if (s.out[v] >= 0) {
            s.fixed[v] = 1;
            s.pos.push_back(s.pos[v]);
            s.at.push_back(s.at[v]);
            s.out.push_back(-1);
            s.fixed.push_back(1);
            v = static_cast<int32_t>(s.out.size()) - 1;
        }
        s.out[v] = h;
        s.around(v, [&](int32_t g) {
            seen[g] = 1;
            s.origin[g] = v;
        });
    }
    UnionFind parts(s.pos.size());
    for (int32_t h = 0; h < halfedges; ++h) parts.join(s.origin[h], s.target(h));
    for (size_t v = 0; v < s.pos.size(); ++v) s.component.push_back(parts.find(static_cast<int32_t>(v)));
    return s;
}

// Numbers the curves that are kept, and fixes their ends and corners.
void find_curves(Surface& s, double feature_angle) {
    const double limit = std::cos(feature_angle);
    const int32_t halfedges = static_cast<int32_t>(s.origin.size()), vertices = static_cast<int32_t>(s.pos.size());
    UnionFind crease(vertices);
    std::vector<int32_t> kept, sharp;
    for (int32_t h = 0; h < halfedges; ++h) {
        if (!s.first(h)) continue;
        if (s.twin[h] < 0) {
            kept.push_back(h);
            continue;
        }
        const Vec n = s.normal(h / 3), m = s.normal(s.twin[h] / 3);
        const double size = norm(n) * norm(m);
        if (size > 0 && dot(n, m) < limit * size) {
            sharp.push_back(h);
            crease.join(s.origin[h], s.target(h));
        }
    }
    std::vector<double> total(vertices, 0);
    for (const int32_t h : sharp) total[crease.find(s.origin[h])] += s.length(h);
    for (const int32_t h : sharp) {
        if (total[crease.find(s.origin[h])] >= kShortestCrease) kept.push_back(h);
    }
    std::vector<std::array<int32_t, 2>> link(vertices, {-1, -1});  // places in `kept`
    std::vector<int32_t> degree(vertices, 0);
    for (int32_t e = 0; e < static_cast<int32_t>(kept.size()); ++e) {
        for (const int32_t v : {s.origin[kept[e]], s.target(kept[e])}) {
            if (degree[v] < 2) link[v][degree[v]] = e;
            ++degree[v];
        }
    }
    for (int32_t v = 0; v < vertices; ++v) s.fixed[v] |= degree[v] != 0 && degree[v] != 2;
    auto across = [&](int32_t e, int32_t v) { return s.origin[kept[e]] == v ? s.target(kept[e]) : s.origin[kept[e]]; };
    // Visits the vertices after v along its curve until `visit` says stop, or an end, or v again.
    auto walk = [&](int32_t v, int side, auto visit) {
        int32_t e = link[v][side], u = across(e, v);
        double length = s.length(kept[e]);
        while (visit(u, length) && degree[u] == 2 && u != v) {
            e = link[u][0] == e ? link[u][1] : link[u][0];
            u = across(e, u);
            length += s.length(kept[e]);
        }
    };
    // Corners turn sharply at the scale of the edges to be, and more than what is near them.
    std::vector<std::pair<double, int32_t>> turns;
    for (int32_t v = 0; v < vertices; ++v) {
        if (degree[v] != 2) continue;
        std::array<Vec, 2> ray;
        for (const int side : {0, 1}) {
            walk(v, side, [&](int32_t u, double length) {
                ray[side] = s.pos[u] - s.pos[v];
                return length < kReach;
            });
        }
        const double size = norm(ray[0]) * norm(ray[1]);
        const double straight = size > 0 ? -dot(ray[0], ray[1]) / size : 1;
        if (straight < limit) turns.push_back({straight, v});
    }
    std::sort(turns.begin(), turns.end());
    for (const auto& [straight, v] : turns) {
        bool free = !s.fixed[v];
        for (const int side : {0, 1}) {
            walk(v, side, [&](int32_t u, double length) {
                free &= !(s.fixed[u] && length < kReach);
                return length < kReach;
            });
        }
        if (free) s.fixed[v] = 1;
    }
    UnionFind pieces(kept.size());
    for (int32_t v = 0; v < vertices; ++v) {
        if (degree[v] == 2 && !s.fixed[v]) pieces.join(link[v][0], link[v][1]);
    }
    for (size_t e = 0; e < kept.size(); ++e) {
        const int32_t h = kept[e];
        s.curve[h] = 1 + pieces.find(static_cast<int32_t>(e));
        if (s.twin[h] >= 0) s.curve[s.twin[h]] = s.curve[h];
    }
}

class Remesher {
  public:
    Remesher(Surface&& surface)
        : s_(std::move(surface)), base_(s_.pos), faces_(base_, corners(s_, false), tags(s_, false)),
          curves_(base_, corners(s_, true), tags(s_, true)) {}

    void run(int iterations) {
        for (int i = 0; i < iterations; ++i) {
            split_long();
            collapse_short();
            flip();
            smooth();
        }
    }

    Remeshed result(int64_t num_vertices) const {
        Remeshed r;
        std::vector<int64_t> number(s_.pos.size(), -1);
        int64_t count = 0;
        for (size_t f = 0; f < s_.gone.size(); ++f) {
            if (s_.gone[f]) continue;
            for (size_t h = 3 * f; h < 3 * f + 3; ++h) {
                int64_t& n = number[s_.origin[h]];
                if (n < 0) {
                    n = count++;
                    const Location& at = s_.at[s_.origin[h]];
                    for (int k = 0; k < 3; ++k) {
                        // Fans that were parted lie at the vertex that they shared.
                        r.corner.push_back(shared(at.corner[k], num_vertices));
                        r.weight.push_back(at.weight[k]);
                    }
                }
                r.face.push_back(n);
            }
        }
        return r;
    }

    std::vector<int32_t> parted;  // of the vertices beyond the given ones: which they were

  private:
    static std::vector<std::array<int32_t, 3>> corners(const Surface& s, bool curves) {
        std::vector<std::array<int32_t, 3>> found;
        if (curves) {
            for (int32_t h = 0; h < static_cast<int32_t>(s.origin.size()); ++h) {
                if (s.first(h) && s.curve[h]) found.push_back({s.origin[h], s.target(h), s.target(h)});
            }
        } else {
            for (size_t f = 0; f < s.gone.size(); ++f) found.push_back({s.origin[3 * f], s.origin[3 * f + 1], s.origin[3 * f + 2]});
        }
        return found;
    }
    static std::vector<int32_t> tags(const Surface& s, bool curves) {
        std::vector<int32_t> found;
        if (curves) {
            for (int32_t h = 0; h < static_cast<int32_t>(s.origin.size()); ++h) {
                if (s.first(h) && s.curve[h]) found.push_back(s.curve[h]);
            }
        } else {
            for (size_t f = 0; f < s.gone.size(); ++f) found.push_back(s.component[s.origin[3 * f]]);
        }
        return found;
    }
    int64_t shared(int32_t v, int64_t num_vertices) const { return v < num_vertices ? v : parted[v - num_vertices]; }

    // The curve that a vertex may slide along, or 0; fixed vertices too may have one.
    int32_t curve_of(int32_t v) const {
        int32_t found = 0;
        s_.around(v, [&](int32_t h) { found = std::max({found, s_.curve[h], s_.curve[prev(h)]}); });
        return found;
    }

    // The middle of an edge, laid on the surface or the curve; false if that is too far away to be a middle.
    bool middle(int32_t h, Vec& p, Location& at) const {
        const Vec a = s_.pos[s_.origin[h]], b = s_.pos[s_.target(h)], m = (a + b) * 0.5;
        const double length = norm(b - a);
        at = s_.at[s_.origin[h]];
        p = a;
        const double bound = 0.5 * length * (1 + 1e-9) + 1e-12;
        if (s_.curve[h]) {
            curves_.find(m, s_.curve[h], {}, bound, at, p);
        } else {
            const Vec n = s_.normal(h / 3) + s_.normal(s_.twin[h] / 3);
            faces_.find(m, s_.component[s_.origin[h]], n, bound, at, p);
        }
        return norm(p - m) < kBent * length;
    }

    // The longest first, so that faces get rounder.
    void split_long() {
        std::vector<std::pair<double, int32_t>> found;
        for (int pass = 0; pass < kPasses; ++pass) {
            found.clear();
            for (int32_t h = 0; h < static_cast<int32_t>(s_.origin.size()); ++h) {
                if (!s_.first(h)) continue;
                const double length = s_.length(h);
                if (length > kLong) found.push_back({-length, h});
            }
            std::sort(found.begin(), found.end());
            bool changed = false;
            for (const auto& [length, h] : found) {
                Vec p;
                Location at;
                if (s_.length(h) != -length || !middle(h, p, at)) continue;
                split(h, p, at);
                changed = true;
            }
            if (!changed) break;
        }
    }

    // Two faces for the one of h, a vertex m in the middle of its edge a b: (a b c) becomes (a m c) and (m b c).
    int32_t cut(int32_t h, int32_t m) {
        const int32_t n = next(h), p = prev(h), g = static_cast<int32_t>(s_.origin.size());
        const int32_t b = s_.origin[n], c = s_.origin[p];
        s_.origin.insert(s_.origin.end(), {m, b, c});
        s_.twin.insert(s_.twin.end(), {-1, -1, -1});
        s_.curve.insert(s_.curve.end(), {s_.curve[h], s_.curve[n], 0});
        s_.gone.push_back(0);
        s_.glue(g + 1, s_.twin[n]);
        s_.origin[n] = m;
        s_.curve[n] = 0;
        s_.glue(n, g + 2);
        s_.out[b] = g + 1;
        s_.out[c] = p;
        return g;
    }

    void split(int32_t h, const Vec& p, const Location& at) {
        const int32_t m = static_cast<int32_t>(s_.pos.size()), t = s_.twin[h], a = s_.origin[h];
        s_.pos.push_back(p);
        s_.at.push_back(at);
        s_.component.push_back(s_.component[a]);
        s_.fixed.push_back(0);
        const int32_t g = cut(h, m);
        s_.out.push_back(next(h));
        if (t >= 0) {
            const int32_t k = cut(t, m);
            s_.glue(h, k);
            s_.glue(g, t);
        }
        s_.out[a] = h;
    }

    void collapse_short() {
        for (int pass = 0; pass < kPasses; ++pass) {
            bool changed = false;
            for (int32_t h = 0; h < static_cast<int32_t>(s_.origin.size()); ++h) {
                if (s_.first(h) && s_.length(h) < kShort) changed |= collapse(h);
            }
            if (!changed) break;
        }
    }

    // The ends of h become one vertex, if the surface stays what it is.
    bool collapse(int32_t h) {
        const int32_t a = s_.origin[h], b = s_.target(h), t = s_.twin[h];
        const int32_t n = next(h), p = prev(h), c = s_.origin[p];
        const int rank_a = s_.fixed[a] ? 2 : curve_of(a) ? 1 : 0, rank_b = s_.fixed[b] ? 2 : curve_of(b) ? 1 : 0;
        if (rank_a == 2 && rank_b == 2) return false;
        if (rank_a && rank_b && !s_.curve[h]) return false;
        if (!keeps_sides(n, p)) return false;
        const int32_t d = t >= 0 ? s_.origin[prev(t)] : -1;
        if (t >= 0 && !keeps_sides(next(t), prev(t))) return false;

        // Neighbours that both have must be those across the edge (the link condition).
        ring_.clear();
        s_.neighbours(a, [&](int32_t v) { ring_.push_back(v); });
        bool sound = true;
        s_.neighbours(b, [&](int32_t v) {
            if (v != c && v != d && std::find(ring_.begin(), ring_.end(), v) != ring_.end()) sound = false;
        });
        if (!sound) return false;
        // Two faces at a vertex would be one upon the other: a tetrahedron has no edge to spare.
        if (of_three(c) || (d >= 0 && of_three(d))) return false;

        Vec place;
        Location at;
        if (rank_a != rank_b) {
            const int32_t kept = rank_a > rank_b ? a : b;
            place = s_.pos[kept];
            at = s_.at[kept];
        } else if (!middle(h, place, at)) {
            place = s_.pos[b];
            at = s_.at[b];
        }
        for (const int32_t v : {a, b}) {
            s_.neighbours(v, [&](int32_t u) { sound &= u == a || u == b || norm(s_.pos[u] - place) <= kLong; });
            s_.around(v, [&](int32_t g) { sound &= g / 3 == h / 3 || (t >= 0 && g / 3 == t / 3) || may_move(g, place); });
        }
        if (!sound) return false;

        ring_.clear();
        s_.around(a, [&](int32_t g) { ring_.push_back(g); });
        for (const int32_t g : ring_) s_.origin[g] = b;
        close(h);
        if (t >= 0) close(t);
        s_.out[a] = -1;
        s_.pos[b] = place;
        s_.at[b] = at;
        s_.fixed[b] |= s_.fixed[a];
        return true;
    }

    // Whether the two other sides of a face can become one: not both are on curves or at the boundary.
    bool keeps_sides(int32_t n, int32_t p) const { return !(s_.curve[n] && s_.curve[p]); }

    bool of_three(int32_t v) const {
        int count = 0;
        bool open = false;
        s_.around(v, [&](int32_t h) {
            ++count;
            open |= s_.twin[h] < 0 || s_.twin[prev(h)] < 0;
        });
        return count == 3 && !open;
    }

    // Whether the face of halfedge g stays sound when the halfedge's origin moves to `place`.
    bool may_move(int32_t g, const Vec& place) const {
        const Vec &u = s_.pos[s_.target(g)], &w = s_.pos[s_.origin[prev(g)]], &v = s_.pos[s_.origin[g]];
        return may_replace(cross(u - v, w - v), quality(v, u, w), place, u, w);
    }
    static bool may_replace(const Vec& old, double before, const Vec& a, const Vec& b, const Vec& c) {
        const Vec made = cross(b - a, c - a);
        const double after = quality(a, b, c);
        if (after < kThin && after <= before) return false;
        return before < 1e-6 || dot(old, made) > 0.3 * norm(old) * norm(made);
    }

    // Takes the face of h away, whose edge h has no length any more, and joins its other sides.
    void close(int32_t h) {
        const int32_t n = next(h), p = prev(h), x = s_.twin[n], y = s_.twin[p];
        const int32_t b = s_.origin[n], c = s_.origin[p], curve = std::max(s_.curve[n], s_.curve[p]);
        s_.gone[h / 3] = 1;
        s_.glue(x, y);
        for (const int32_t g : {x, y}) {
            if (g >= 0) s_.curve[g] = curve;
        }
        s_.out[b] = y >= 0 ? y : next(x);
        s_.out[c] = x >= 0 ? x : next(y);
    }

    // Edges are turned where that brings valences nearer to 6, at a boundary to 4.
    void flip() {
        for (int32_t h = 0; h < static_cast<int32_t>(s_.origin.size()); ++h) {
            if (!s_.first(h) || s_.curve[h]) continue;
            const int32_t t = s_.twin[h], n = next(h), p = prev(h), tn = next(t), tp = prev(t);
            const int32_t a = s_.origin[h], b = s_.origin[t], c = s_.origin[p], d = s_.origin[tp];
            const int va = excess(a), vb = excess(b), vc = excess(c), vd = excess(d);
            const int before = va * va + vb * vb + vc * vc + vd * vd;
            const int after = (va - 1) * (va - 1) + (vb - 1) * (vb - 1) + (vc + 1) * (vc + 1) + (vd + 1) * (vd + 1);
            if (after >= before || s_.adjacent(c, d)) continue;
            const Vec &A = s_.pos[a], &B = s_.pos[b], &C = s_.pos[c], &D = s_.pos[d];
            const Vec old = s_.normal(h / 3) + s_.normal(t / 3);
            const double worst = std::min(quality(A, B, C), quality(B, A, D));
            if (!may_replace(old, worst, A, D, C) || !may_replace(old, worst, D, B, C)) continue;
            const int32_t tw[4] = {s_.twin[p], s_.twin[tn], s_.twin[tp], s_.twin[n]};
            const int32_t cu[4] = {s_.curve[p], s_.curve[tn], s_.curve[tp], s_.curve[n]};
            const int32_t slot[4] = {n, p, tn, tp}, from[4] = {c, a, d, b};
            s_.origin[h] = d;
            s_.origin[t] = c;
            for (int k = 0; k < 4; ++k) {
                s_.origin[slot[k]] = from[k];
                s_.curve[slot[k]] = cu[k];
                s_.twin[slot[k]] = -1;
                s_.glue(slot[k], tw[k]);
                s_.out[from[k]] = slot[k];
            }
        }
    }
    int excess(int32_t v) const {
        int count = 0, optimum = 6;
        s_.neighbours(v, [&](int32_t) { ++count; });
        s_.around(v, [&](int32_t h) { optimum = s_.twin[h] < 0 || s_.twin[prev(h)] < 0 ? 4 : optimum; });
        return count - optimum;
    }

    void smooth() {
        for (int32_t v = 0; v < static_cast<int32_t>(s_.pos.size()); ++v) {
            if (s_.out[v] < 0 || s_.fixed[v]) continue;
            const int32_t curve = curve_of(v);
            const Vec old = s_.pos[v];
            Vec sum, n;
            double weight = 0;
            if (curve) {
                s_.around(v, [&](int32_t h) {
                    for (const auto& [edge, end] : {std::pair{h, s_.target(h)}, std::pair{prev(h), s_.origin[prev(h)]}}) {
                        // An edge within the surface is met twice, one at the boundary once.
                        const double w = !s_.curve[edge] ? 0 : s_.twin[edge] < 0 ? 2 : 1;
                        sum = sum + s_.pos[end] * w;
                        weight += w;
                    }
                });
            } else {
                n = s_.vertex_normal(v);
                // Towards the centre of the faces, each as heavy as its area.
                s_.around(v, [&](int32_t h) {
                    const double area = norm(s_.normal(h / 3));
                    sum = sum + (s_.pos[s_.target(h)] + s_.pos[s_.origin[prev(h)]]) * (0.5 * area);
                    weight += area;
                });
            }
            if (!(weight > 0)) continue;
            Vec move = sum * (1 / weight) - old;
            if (!curve && dot(n, n) > 0) move = move - n * (dot(n, move) / dot(n, n));
            for (double step = 1; step > 0.2; step *= 0.5) {
                const Vec goal = old + move * step;
                Vec p = old;
                Location at = s_.at[v];
                const double bound = norm(goal - old);
                if (curve) {
                    curves_.find(goal, curve, {}, bound, at, p);
                } else {
                    faces_.find(goal, s_.component[v], n, bound, at, p);
                }
                bool sound = true;
                s_.around(v, [&](int32_t h) { sound &= may_move(h, p); });
                if (!sound) continue;
                s_.pos[v] = p;
                s_.at[v] = at;
                break;
            }
        }
    }

    Surface s_;
    const std::vector<Vec> base_;
    Nearest faces_, curves_;
    std::vector<int32_t> ring_;
};

}  // namespace

Remeshed remesh(const double* pos, int64_t num_vertices, const int64_t* face, int64_t num_faces, double edge_length,
                double feature_angle, int iterations) {
    Surface surface = read(pos, num_vertices, face, num_faces, edge_length);
    find_curves(surface, feature_angle);
    std::vector<int32_t> parted;
    for (size_t v = num_vertices; v < surface.at.size(); ++v) parted.push_back(surface.at[v].corner[0]);
    Remesher remesher(std::move(surface));
    remesher.parted = std::move(parted);
    remesher.run(iterations);
    return remesher.result(num_vertices);
}

}  // namespace geodl
