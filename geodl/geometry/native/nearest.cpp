#include "nearest.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace geodl {

namespace {

constexpr int32_t kLeaf = 4;

// Weights of the point of segment a b that is nearest to p.
std::array<double, 2> on_segment(const Vec& p, const Vec& a, const Vec& b) {
    const Vec ab = b - a;
    const double length = dot(ab, ab);
    const double t = length > 0 ? std::clamp(dot(p - a, ab) / length, 0.0, 1.0) : 0.0;
    return {1 - t, t};
}

Vec at(const std::array<Vec, 3>& v, const std::array<double, 3>& w) { return v[0] * w[0] + v[1] * w[1] + v[2] * w[2]; }

// Barycentric weights of the point of a triangle that is nearest to p.
std::array<double, 3> on_triangle(const Vec& p, const std::array<Vec, 3>& v) {
    const Vec ab = v[1] - v[0], ac = v[2] - v[0], ap = p - v[0];
    const Vec n = cross(ab, ac);
    const double area = dot(n, n);
    if (area > 0) {
        const double wb = dot(cross(ap, ac), n) / area, wc = dot(cross(ab, ap), n) / area;
        if (wb >= 0 && wc >= 0 && wb + wc <= 1) return {1 - wb - wc, wb, wc};
    }
    // Outside of the triangle, or there is none: the nearest point lies on a side.
    std::array<double, 3> best{1, 0, 0};
    double least = std::numeric_limits<double>::infinity();
    for (int k = 0; k < 3; ++k) {
        const int l = (k + 1) % 3;
        const auto w = on_segment(p, v[k], v[l]);
        std::array<double, 3> weight{0, 0, 0};
        weight[k] = w[0];
        weight[l] = w[1];
        const Vec d = at(v, weight) - p;
        if (dot(d, d) < least) {
            least = dot(d, d);
            best = weight;
        }
    }
    return best;
}

}  // namespace

Nearest::Nearest(const std::vector<Vec>& pos, std::vector<std::array<int32_t, 3>> corners, std::vector<int32_t> tag)
    : pos_(pos), corners_(std::move(corners)), tag_(std::move(tag)), order_(corners_.size()) {
    std::iota(order_.begin(), order_.end(), 0);
    std::vector<Vec> centre;
    for (const auto& c : corners_) {
        centre.push_back((pos[c[0]] + pos[c[1]] + pos[c[2]]) * (1.0 / 3));
        normal_.push_back(cross(pos[c[1]] - pos[c[0]], pos[c[2]] - pos[c[0]]));
    }
    if (!corners_.empty()) build(0, static_cast<int32_t>(corners_.size()), centre);
}

int32_t Nearest::build(int32_t first, int32_t count, const std::vector<Vec>& centre) {
    const int32_t node = static_cast<int32_t>(boxes_.size());
    constexpr double inf = std::numeric_limits<double>::infinity();
    Box box{{inf, inf, inf}, {-inf, -inf, -inf}, first, count};
    Vec low = box.low, high = box.high;  // of the centres
    auto extend = [](Vec& l, Vec& h, const Vec& p) {
        l = {std::min(l.x, p.x), std::min(l.y, p.y), std::min(l.z, p.z)};
        h = {std::max(h.x, p.x), std::max(h.y, p.y), std::max(h.z, p.z)};
    };
    for (int32_t i = first; i < first + count; ++i) {
        for (const int32_t v : corners_[order_[i]]) extend(box.low, box.high, pos_[v]);
        extend(low, high, centre[order_[i]]);
    }
    boxes_.push_back(box);
    if (count <= kLeaf) return node;
    const Vec size = high - low;
    double Vec::*const axis = size.x >= size.y && size.x >= size.z ? &Vec::x : size.y >= size.z ? &Vec::y : &Vec::z;
    const int32_t half = count / 2;
    std::nth_element(order_.begin() + first, order_.begin() + first + half, order_.begin() + first + count, [&](int32_t i, int32_t j) {
        return centre[i].*axis != centre[j].*axis ? centre[i].*axis < centre[j].*axis : i < j;
    });
    build(first, half, centre);
    const int32_t right = build(first + half, count - half, centre);
    boxes_[node].first = right;
    boxes_[node].count = 0;
    return node;
}

double Nearest::distance(const Box& box, const Vec& p) const {
    const double x = std::max({box.low.x - p.x, 0.0, p.x - box.high.x});
    const double y = std::max({box.low.y - p.y, 0.0, p.y - box.high.y});
    const double z = std::max({box.low.z - p.z, 0.0, p.z - box.high.z});
    return x * x + y * y + z * z;
}

void Nearest::find(const Vec& p, int32_t tag, const Vec& normal, double bound, Location& best, Vec& found) const {
    if (boxes_.empty()) return;
    double least = bound * bound;
    std::array<std::pair<double, int32_t>, 64> stack;  // halves are even, so the tree is no deeper than 32
    int top = 0;
    stack[top++] = {distance(boxes_[0], p), 0};
    while (top) {
        const auto [far, node] = stack[--top];
        if (far >= least) continue;
        const Box& box = boxes_[node];
        if (box.count) {
            for (int32_t i = box.first; i < box.first + box.count; ++i) {
                const int32_t t = order_[i];
                if (tag_[t] != tag || dot(normal_[t], normal) < 0) continue;
                const std::array<Vec, 3> v{pos_[corners_[t][0]], pos_[corners_[t][1]], pos_[corners_[t][2]]};
                const auto weight = on_triangle(p, v);
                const Vec q = at(v, weight), d = q - p;
                if (dot(d, d) < least) {
                    least = dot(d, d);
                    best = {corners_[t], weight};
                    found = q;
                }
            }
            continue;
        }
        std::pair<double, int32_t> near{distance(boxes_[node + 1], p), node + 1}, other{distance(boxes_[box.first], p), box.first};
        if (other.first < near.first) std::swap(near, other);
        stack[top++] = other;
        stack[top++] = near;
    }
}

}  // namespace geodl
