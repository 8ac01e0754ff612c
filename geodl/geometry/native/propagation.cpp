#include "propagation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace geodl {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr int64_t kBuckets = 1024;  // a power of two
// Relative slacks, all far below the 1e-5 promised and far above rounding: a vertex counts as lit when a window misses it by kHit of
// the edge; something known beats a window only by more than kBeat; a window narrower than kThin of its edge is dropped, and one over a
// border reported if it is wider than kSeen.
constexpr double kHit = 1e-9, kBeat = 1e-11, kThin = 1e-11, kShadow = 1e-9, kSeen = 1e-6;

double hypot2(double x, double y) { return std::sqrt(x * x + y * y); }

}  // namespace

Propagation::Propagation(const IntrinsicMesh& mesh)
    : mesh_(mesh), visits_(mesh.num_vertices, Visit{}), splits_(mesh.halfedges.size(), Split{}), heads_(kBuckets, -1) {
    // A child starts at most two edges beyond its parent, so one turn of the ring of buckets always suffices.
    width_ = std::max(0.25, 2.5 * mesh.longest / (kBuckets - 4));
    per_width_ = 1 / width_;
}

void Propagation::run(int32_t source, double bound, std::span<const int32_t> targets, int64_t nearest) {
    if (++stamp_ == 0) {  // after 2^32 sources old stamps could be mistaken for new ones
        for (Visit& visit : visits_) visit.stamp = 0;
        for (Split& split : splits_) split.stamp = 0;
        stamp_ = 1;
    }
    reached_.clear();
    pool_.clear();
    free_.clear();
    std::fill(heads_.begin(), heads_.end(), -1);
    std::fill(stopped_at_, stopped_at_ + 4, kInfinity);
    current_ = pending_ = 0;
    // Reaching a point exactly at the bound must not depend on the last bit.
    bound_ = bound * (1 + 1e-9);

    visits_[source] = {0, 0, 0, source, stamp_};
    reached_.push_back(source);
    spread(source, true);
    for (; pending_ > 0; ++current_) {
        const double now = static_cast<double>(current_) * width_;
        if (now > bound_) break;
        if (!targets.empty() && std::ranges::all_of(targets, [&](int32_t v) { return distance(v) <= now; })) break;
        if (nearest > 0 && knows(nearest, now)) break;
        int32_t& head = heads_[current_ & (kBuckets - 1)];
        while (head >= 0) {
            const int32_t slot = head;
            const Window window = pool_[slot];
            head = window.next;
            free_.push_back(slot);
            --pending_;
            if (window.halfedge >= 0) propagate(window);
            else if (window.sigma == visits_[window.root].distance) spread(window.root, false);
        }
    }
}

bool Propagation::knows(int64_t nearest, double now) {
    known_.clear();
    for (int32_t v : reached_)
        if (visits_[v].distance <= now) known_.push_back(visits_[v].distance);
    if (static_cast<int64_t>(known_.size()) <= nearest) return false;
    std::nth_element(known_.begin(), known_.begin() + (nearest - 1), known_.end());
    return std::ranges::any_of(known_, [&, tie = known_[nearest - 1] * (1 + kTie)](double distance) { return distance > tie; });
}

double Propagation::reach(int64_t nearest) {
    known_.clear();
    for (int32_t v : reached_) known_.push_back(visits_[v].distance);
    const int64_t last = std::min<int64_t>(nearest, static_cast<int64_t>(known_.size())) - 1;
    std::nth_element(known_.begin(), known_.begin() + last, known_.end());
    const double farthest = known_[last];
    double next = kInfinity;
    for (double distance : known_)
        if (distance > farthest * (1 + kTie)) next = std::min(next, distance);
    if (next < kInfinity) return 0.5 * (farthest + next);
    return farthest > 0 ? farthest : 1;  // an isolated vertex has itself alone, whatever the radius
}

void Propagation::enqueue(double key, const Window& window) {
    // Rounding may put a child a hair before its parent; it must not fall into a bucket that has passed.
    const int64_t bucket = std::max(static_cast<int64_t>(key * per_width_), current_);
    int32_t slot;
    if (free_.empty()) {
        slot = static_cast<int32_t>(pool_.size());
        pool_.push_back(window);
    } else {
        slot = free_.back();
        free_.pop_back();
        pool_[slot] = window;
    }
    int32_t& head = heads_[bucket & (kBuckets - 1)];
    pool_[slot].next = head;
    head = slot;
    ++pending_;
    ++windows_;
}

void Propagation::update(int32_t v, double distance, int32_t root, double departure, double arrival) {
    Visit& visit = visits_[v];
    if (visit.stamp != stamp_) reached_.push_back(v);
    else if (!(distance < visit.distance)) return;
    visit = {distance, departure, arrival, root, stamp_};
    if (mesh_.bends[v] && distance <= bound_) enqueue(distance, Window{0, 0, 0, 0, distance, 0, -1, v, -1});
}

// Windows and edges that leave v: all of them, or those in its shadow, at least pi from where the path came in.
void Propagation::spread(int32_t v, bool everywhere) {
    const int32_t first = mesh_.corner_ptr[v], last = mesh_.corner_ptr[v + 1];
    if (everywhere || mesh_.unordered[v]) {
        for (int32_t i = first; i < last; ++i) spread_corner(mesh_.corners[i], 0, mesh_.angle[mesh_.corners[i]]);
        return;
    }
    const double arrival = visits_[v].arrival, total = mesh_.total[v];
    auto lit = [&](double from, double to) {
        for (int32_t i = first; i < last; ++i) {
            const int32_t h = mesh_.corners[i];
            const double low = from - mesh_.fan[h], high = to - mesh_.fan[h];
            if (high >= 0 && low <= mesh_.angle[h]) spread_corner(h, std::max(low, 0.0), std::min(high, mesh_.angle[h]));
        }
    };
    if (mesh_.open[v]) {
        lit(arrival + kPi - kShadow, total + kShadow);
        lit(-kShadow, arrival - kPi + kShadow);
        return;
    }
    const double begin = std::fmod(arrival + kPi - kShadow, total), width = total - 2 * kPi + 2 * kShadow;
    lit(begin, begin + width);
    if (begin + width > total) lit(begin - total, begin + width - total);
}

// The part of a corner at h's origin between angles `from` and `to`, measured from h: rays over the opposite edge, and the edges
// themselves where they bound that part.
void Propagation::spread_corner(int32_t h, double from, double to) {
    const int32_t n = IntrinsicMesh::next(h);
    const Halfedge& out = mesh_.halfedges[h];
    const Halfedge& opposite = mesh_.halfedges[n];  // its third corner is the origin of h
    const int32_t root = out.v1;
    const double sigma = visits_[root].distance, fan = mesh_.fan[h], corner = mesh_.angle[h];
    const bool first = from <= kShadow, last = to >= corner - kShadow;
    if (first) update(out.v2, sigma + out.length, root, fan, mesh_.fan[n] + mesh_.angle[n]);
    if (last) update(out.v3, sigma + out.left, root, fan + corner, mesh_.fan[IntrinsicMesh::prev(h)]);
    const int32_t twin = mesh_.twin[n];
    // Law of sines: where the ray at angle delta meets the opposite edge, from its start.
    auto meet = [&](double delta) { return out.length * std::sin(delta) / std::sin(delta + out.angle2); };
    const double length = opposite.length;
    const double near = first ? 0 : std::clamp(meet(from), 0.0, length);
    const double far = last ? length : std::clamp(meet(to), 0.0, length);
    // The twin runs backwards, so its frame is that of the opposite edge turned by pi.
    push(mesh_.flip[n], length,
         Window{length - far, length - near, length - opposite.px, -opposite.py, sigma, fan - out.angle2, twin, root, -1},
         out.v3, out.v2);
}

// Carries a window over its face: lights the opposite corner, and leaves by the left edge, the right edge or both.
void Propagation::propagate(const Window& window) {
    const Halfedge& edge = mesh_.halfedges[window.halfedge];
    const double sx = window.sx, sy = window.sy, sigma = window.sigma;
    const double px = edge.px, py = edge.py;
    const double d1 = distance(edge.v1), d2 = distance(edge.v2);
    {  // The vertices may have come nearer since the window was made.
        const double slack = kBeat * (sigma - sy + edge.length);
        if (sigma + hypot2(sx - window.end, sy) > d1 + window.end + slack) return;
        if (sigma + hypot2(sx - window.begin, sy) > d2 + edge.length - window.begin + slack) return;
    }
    const double crossing = sx - (px - sx) * sy / (py - sy);  // where the ray to v3 meets the edge
    const double hit = kHit * edge.length;
    bool left = crossing > window.begin, right = crossing < window.end;
    if (crossing > window.begin - hit && crossing < window.end + hit) {
        const double dx = px - sx, dy = py - sy;
        const double through = sigma + hypot2(dx, dy);
        if (through < distance(edge.v3)) {
            const double ray = std::atan2(dy, dx);
            const double arrival = mesh_.fan[IntrinsicMesh::prev(window.halfedge)] + ray - edge.angle1;
            update(edge.v3, through, window.root, ray + window.turn, arrival);
        }
        if (left && right) {
            // One angle, one split: of all windows over this edge only the one nearest to v3 needs both children (Chen & Han 1990).
            Split& split = splits_[window.halfedge];
            if (split.stamp != stamp_ || through < split.distance) split = {through, crossing, stamp_};
            else if (through > split.distance * (1 + kBeat)) (crossing < split.crossing ? right : left) = false;
        }
    }
    const double slack = kBeat * (sigma - sy + edge.length);
    if (left) {
        auto meet = [&](double b) { return std::clamp(-b * sy / (-px * sy - py * (b - sx)), 0.0, 1.0); };  // fraction of v1 v3
        const double from = meet(window.begin), to = crossing < window.end ? 1 : meet(window.end);
        const double c = px / edge.left, s = py / edge.left;
        // Rays to the left edge pass v2 on its left: if v2 is the shorter way to the first of them, it is to all.
        const double ax = from * px, ay = from * py;
        if (!(sigma + hypot2(ax - sx, ay - sy) > d2 + hypot2(ax - edge.length, ay) + slack))
            push(edge.flip_left, edge.left,
                 Window{from * edge.left, to * edge.left, sx * c + sy * s, sy * c - sx * s, sigma, window.turn + edge.angle1,
                        edge.twin_left, window.root, -1},
                 edge.v1, edge.v3);
    }
    if (right) {
        const double qx = edge.length - px;
        auto meet = [&](double b) {  // fraction of v3 v2
            return std::clamp(1 - (edge.length - b) * sy / (qx * sy - py * (b - sx)), 0.0, 1.0);
        };
        const double from = crossing > window.begin ? 0 : meet(window.begin), to = meet(window.end);
        const double c = qx / edge.right, s = -py / edge.right;
        const double bx = px + to * qx, by = py - to * py;
        const double x = sx - px, y = sy - py;
        if (!(sigma + hypot2(bx - sx, by - sy) > d1 + hypot2(bx, by) + slack))
            push(edge.flip_right, edge.right,
                 Window{from * edge.right, to * edge.right, x * c + y * s, y * c - x * s, sigma, window.turn - edge.angle2,
                        edge.twin_right, window.root, -1},
                 edge.v3, edge.v2);
    }
}

// Queues a window over an edge from u (at 0) to w (at length), cut to where neither vertex is a shorter way. Over a border it ends.
void Propagation::push(bool flip, double length, Window window, int32_t u, int32_t w) {
    const double sx = window.sx, sy = window.sy, sigma = window.sigma;
    const double du = distance(u), dw = distance(w);
    double first = sigma + hypot2(sx - window.begin, sy), last = sigma + hypot2(sx - window.end, sy);
    const double slack = kBeat * (sigma - sy + length);
    if (last > du + window.end + slack || first > dw + length - window.begin + slack) return;
    if (first > du + window.begin + slack) {  // |I X| + sigma = du + X
        const double k = du - sigma;
        window.begin = std::clamp((sx * sx + sy * sy - k * k) / (2 * (k + sx)), window.begin, window.end);
        first = sigma + hypot2(sx - window.begin, sy);
    }
    if (last > dw + length - window.end + slack) {
        const double k = dw - sigma, x = length - sx;
        window.end = std::clamp(length - (x * x + sy * sy - k * k) / (2 * (k + x)), window.begin, window.end);
        last = sigma + hypot2(sx - window.end, sy);
    }
    if (!(window.end - window.begin > kThin * length)) return;
    const double key = sx < window.begin ? first : sx > window.end ? last : sigma - sy;
    if (!(key <= bound_)) return;
    if (window.halfedge < 0) {
        if (window.end - window.begin > kSeen * length) stopped_at_[-window.halfedge] = std::min(stopped_at_[-window.halfedge], key);
        return;
    }
    if (flip) {
        std::swap(window.begin, window.end);
        window.begin = length - window.begin;
        window.end = length - window.end;
        window.sx = length - sx;
    }
    enqueue(key, window);
}

}  // namespace geodl
