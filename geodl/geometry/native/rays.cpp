#include "rays.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>

#include "parallel.h"

namespace geodl {

namespace {

constexpr int32_t kLeaf = 4;
constexpr int kBins = 12;
// Below this depth nodes are halved by count, which bounds the depth of the tree: 48 + log2(2^31 / kLeaf) < kStack.
constexpr int kDeepest = 48, kStack = 80;
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// The slabs' entry and exit are each off by three roundings.
constexpr double kWider = 1 + 8 * std::numeric_limits<double>::epsilon();

double axis(const Vec& v, int k) { return k == 0 ? v.x : k == 1 ? v.y : v.z; }

struct Bounds {
    Vec low{kInfinity, kInfinity, kInfinity}, high{-kInfinity, -kInfinity, -kInfinity};
    void add(const Vec& p) {
        low = {std::min(low.x, p.x), std::min(low.y, p.y), std::min(low.z, p.z)};
        high = {std::max(high.x, p.x), std::max(high.y, p.y), std::max(high.z, p.z)};
    }
    void add(const Bounds& other) {
        add(other.low);
        add(other.high);
    }
    double half_area() const {
        const Vec e = high - low;
        return e.x < 0 ? 0 : e.x * e.y + e.y * e.z + e.z * e.x;
    }
};

}  // namespace

// What Woop's test and the boxes need of a ray: the largest component of the direction becomes z, and a shear takes the ray onto it.
struct RayTree::Ray {
    Vec origin;
    double inverse[3];
    int kx, ky, kz;
    double sx, sy, sz;

    Ray(const Vec& o, const Vec& d) : origin(o) {
        const double size[3] = {std::abs(d.x), std::abs(d.y), std::abs(d.z)};
        for (int k = 0; k < 3; ++k) inverse[k] = 1 / axis(d, k);
        kz = static_cast<int>(std::max_element(size, size + 3) - size);
        kx = (kz + 1) % 3;
        ky = (kx + 1) % 3;
        if (axis(d, kz) < 0) std::swap(kx, ky);
        sx = axis(d, kx) / axis(d, kz);
        sy = axis(d, ky) / axis(d, kz);
        sz = 1 / axis(d, kz);
    }

    // Whether the ray meets a face nearer than `reach`; then `hit` has its distance and weights.
    bool meets(const Vec* corner, double reach, Hit& hit) const {
        double x[3], y[3], z[3];
        for (int k = 0; k < 3; ++k) {
            const Vec v = corner[k] - origin;
            z[k] = axis(v, kz);
            x[k] = axis(v, kx) - sx * z[k];
            y[k] = axis(v, ky) - sy * z[k];
        }
        const double u = x[2] * y[1] - y[2] * x[1], v = x[0] * y[2] - y[0] * x[2], w = x[1] * y[0] - y[1] * x[0];
        if ((u < 0 || v < 0 || w < 0) && (u > 0 || v > 0 || w > 0)) return false;
        const double det = u + v + w;
        if (det == 0) return false;
        const double distance = (u * z[0] + v * z[1] + w * z[2]) * sz / det;
        if (!(distance > 0 && distance <= reach)) return false;
        hit.distance = distance;
        hit.weight[0] = u / det;
        hit.weight[1] = v / det;
        hit.weight[2] = w / det;
        return true;
    }

    bool enters(const Node& node, double reach) const {
        double from = 0, to = reach;
        for (int k = 0; k < 3; ++k) {
            const double start = axis(origin, k);
            const bool backwards = inverse[k] < 0;
            const double in = (axis(backwards ? node.high : node.low, k) - start) * inverse[k];
            const double out = (axis(backwards ? node.low : node.high, k) - start) * inverse[k] * kWider;
            // A ray within a side of the box gives 0 * infinity: such a comparison is false and bounds nothing.
            if (in > from) from = in;
            if (out < to) to = out;
        }
        return from <= to;
    }
};

RayTree::RayTree(const double* pos, const int64_t* face, int64_t faces) : order_(faces), corner_(3 * faces), centre_(faces) {
    std::iota(order_.begin(), order_.end(), int64_t{0});
    for (int64_t h = 0; h < 3 * faces; ++h) corner_[h] = {pos[3 * face[h]], pos[3 * face[h] + 1], pos[3 * face[h] + 2]};
    for (int64_t f = 0; f < faces; ++f) {
        Bounds box;
        for (int k = 0; k < 3; ++k) box.add(corner_[3 * f + k]);
        centre_[f] = (box.low + box.high) * 0.5;
    }
    nodes_.reserve(faces);
    build(0, static_cast<int32_t>(faces), 0);
    std::vector<Vec> sorted(3 * faces);
    for (int64_t place = 0; place < faces; ++place)
        for (int k = 0; k < 3; ++k) sorted[3 * place + k] = corner_[3 * order_[place] + k];
    corner_ = std::move(sorted);
    centre_ = {};
}

int32_t RayTree::build(int32_t first, int32_t count, int depth) {
    const int32_t self = static_cast<int32_t>(nodes_.size());
    Bounds box, middles;
    for (int32_t i = first; i < first + count; ++i) {
        for (int k = 0; k < 3; ++k) box.add(corner_[3 * order_[i] + k]);
        middles.add(centre_[order_[i]]);
    }
    nodes_.push_back({box.low, box.high, first, count});
    if (count <= kLeaf) return self;

    // The cheapest of the cuts between bins along every axis (surface area heuristic).
    double best = kInfinity;
    int along = 0, cut = -1;
    const Vec extent = middles.high - middles.low;
    auto bin = [&](int64_t f, int k) {
        const double share = (axis(centre_[f], k) - axis(middles.low, k)) / axis(extent, k);
        return std::min(static_cast<int>(share * kBins), kBins - 1);
    };
    for (int k = 0; k < 3 && depth < kDeepest; ++k) {
        if (!(axis(extent, k) > 0)) continue;
        std::array<Bounds, kBins> bounds;
        std::array<int32_t, kBins> number{};
        for (int32_t i = first; i < first + count; ++i) {
            const int b = bin(order_[i], k);
            ++number[b];
            for (int c = 0; c < 3; ++c) bounds[b].add(corner_[3 * order_[i] + c]);
        }
        std::array<double, kBins> below{};
        Bounds side;
        int32_t held = 0;
        for (int b = 0; b + 1 < kBins; ++b) {
            side.add(bounds[b]);
            held += number[b];
            below[b] = held * side.half_area();
        }
        side = {};
        held = 0;
        for (int b = kBins - 1; b > 0; --b) {
            side.add(bounds[b]);
            held += number[b];
            const double cost = below[b - 1] + held * side.half_area();
            if (held < count && held > 0 && cost < best) {
                best = cost;
                along = k;
                cut = b;
            }
        }
    }
    int32_t middle = first + count / 2;
    if (cut >= 0) {
        const auto begin = order_.begin() + first;
        middle = static_cast<int32_t>(
            std::stable_partition(begin, begin + count, [&](int64_t f) { return bin(f, along) < cut; }) - order_.begin());
    }
    build(first, middle - first, depth + 1);
    const int32_t right = build(middle, first + count - middle, depth + 1);
    nodes_[self].first = right;
    nodes_[self].count = -1 - along;
    return self;
}

// Calls leaf(place) for the faces of all leaves that the ray enters nearer than `reach`, which it may lessen; the nearer child first.
template <class Leaf>
void RayTree::traverse(const Ray& ray, double& reach, Leaf leaf) const {
    int32_t stack[kStack], held = 0;
    stack[held++] = 0;
    while (held) {
        const int32_t number = stack[--held];
        const Node& node = nodes_[number];
        if (!ray.enters(node, reach)) continue;
        if (node.count >= 0) {
            for (int32_t place = node.first; place < node.first + node.count; ++place)
                if (leaf(place)) return;
            continue;
        }
        const bool backwards = ray.inverse[-1 - node.count] < 0;
        stack[held++] = backwards ? number + 1 : node.first;
        stack[held++] = backwards ? node.first : number + 1;
    }
}

RayTree::Hit RayTree::first(const Vec& origin, const Vec& direction) const {
    Hit best;
    const Ray ray(origin, direction);
    double reach = kInfinity;
    traverse(ray, reach, [&](int32_t place) {
        Hit hit;
        if (ray.meets(&corner_[3 * place], reach, hit)) {
            hit.face = order_[place];
            if (hit.distance < reach || best.face < 0 || hit.face < best.face) best = hit;
            reach = hit.distance;
        }
        return false;
    });
    return best;
}

bool RayTree::any(const Vec& origin, const Vec& direction) const {
    const Ray ray(origin, direction);
    bool found = false;
    double reach = kInfinity;
    traverse(ray, reach, [&](int32_t place) {
        Hit hit;
        return found = ray.meets(&corner_[3 * place], kInfinity, hit);
    });
    return found;
}

void occlusion(const RayTree& tree, const double* origin, const double* frame, int64_t points, const double* direction, int64_t rays,
               const double* fine, const int64_t* near, int64_t fine_rays, int64_t neighbors, double* out, int threads) {
    const int team = team_size(500 * points * rays, threads);
#pragma omp parallel num_threads(team)
    {
        std::vector<char> met(rays), sure(rays), alike(fine_rays);
#pragma omp for schedule(dynamic, 16)
        for (int64_t i = 0; i < points; ++i) {
            const Vec from{origin[3 * i], origin[3 * i + 1], origin[3 * i + 2]};
            const double* f = frame + 9 * i;
            const auto meets = [&](const double* d) {
                return tree.any(from, {d[0] * f[0] + d[1] * f[3] + d[2] * f[6], d[0] * f[1] + d[1] * f[4] + d[2] * f[7],
                                       d[0] * f[2] + d[1] * f[5] + d[2] * f[8]});
            };
            int64_t count = 0;
            for (int64_t r = 0; r < rays; ++r) count += met[r] = meets(direction + 3 * r);
            if (fine_rays && count && count < rays) {
                std::fill(sure.begin(), sure.end(), 0);
                for (int64_t r = 0; r < fine_rays; ++r) {
                    const int64_t* beside = near + neighbors * r;
                    const char first = met[beside[0]];
                    alike[r] = std::all_of(beside + 1, beside + neighbors, [&](int64_t b) { return met[b] == first; });
                    if (alike[r]) std::for_each(beside, beside + neighbors, [&](int64_t b) { sure[b] = 1; });
                }
                // Where hits (or gaps) stand alone, others lie between the rays that agree.
                const char rare = 2 * count < rays;
                int64_t rares = 0, alone = 0;
                for (int64_t r = 0; r < rays; ++r) {
                    rares += met[r] == rare;
                    alone += met[r] == rare && !sure[r];
                }
                const bool scattered = 4 * alone > rares;
                count = 0;
                for (int64_t r = 0; r < fine_rays; ++r)
                    count += alike[r] && !scattered ? met[near[neighbors * r]] : meets(fine + 3 * r);
                out[i] = static_cast<double>(count) / static_cast<double>(fine_rays);
            } else {
                out[i] = static_cast<double>(count) / static_cast<double>(rays);
            }
        }
    }
}

void cast_rays(const RayTree& tree, const double* origin, const double* direction, int64_t rays, int64_t* face, double* distance,
               double* weight, int threads) {
    const int team = team_size(1000 * rays, threads);
#pragma omp parallel for num_threads(team) schedule(dynamic, 256)
    for (int64_t r = 0; r < rays; ++r) {
        const double *o = origin + 3 * r, *d = direction + 3 * r;
        const RayTree::Hit hit = tree.first({o[0], o[1], o[2]}, {d[0], d[1], d[2]});
        face[r] = hit.face;
        distance[r] = hit.face < 0 ? kInfinity : hit.distance;
        std::copy_n(hit.weight, 3, weight + 3 * r);
    }
}

}  // namespace geodl
