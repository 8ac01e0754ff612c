#include "intrinsic_mesh.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

namespace geodl {
namespace {

constexpr double kPi = std::numbers::pi;

// A face is degenerate when its lengths miss the strict triangle inequality by this much of the mean edge. Then every length grows by
// the missing amount (Sharp & Crane 2020, "A Laplacian for nonmanifold triangle meshes", section 4.5), which spares every division
// below. A flat face becomes as high as the root of the slack, so distances across it move by about 1e-5 of an edge at most.
constexpr double kSlack = 1e-10;

// Corner angle between sides b and c, opposite a; stable for needles (Kahan).
double corner_angle(double a, double b, double c) {
    const double s = 0.5 * (a + b + c);
    return 2 * std::atan2(std::sqrt(std::max((s - b) * (s - c), 0.0)), std::sqrt(std::max(s * (s - a), 0.0)));
}

int32_t find_root(std::vector<int32_t>& parent, int32_t v) {
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
}

}  // namespace

IntrinsicMesh::IntrinsicMesh(const double* pos, int64_t vertices, const int64_t* face, int64_t faces, bool cross_seams)
    : num_vertices(vertices) {
    std::vector<int32_t> corner(face, face + 3 * faces);
    std::vector<uint8_t> skipped(faces, 0);
    for (int64_t f = 0; f < faces; ++f) {
        const int32_t* c = &corner[3 * f];
        skipped[f] = c[0] == c[1] || c[1] == c[2] || c[2] == c[0];
        topology.skipped_faces += skipped[f];
    }
    std::vector<int32_t> parent(vertices);
    std::iota(parent.begin(), parent.end(), 0);
    std::vector<uint8_t> used(vertices, 0);
    for (int64_t f = 0; f < faces; ++f) {
        if (skipped[f]) continue;
        for (int k = 0; k < 3; ++k) {
            used[corner[3 * f + k]] = 1;
            parent[find_root(parent, corner[3 * f + k])] = find_root(parent, corner[3 * f]);
        }
    }
    for (int32_t v = 0; v < vertices; ++v) {
        topology.isolated_vertices += !used[v];
        topology.components += used[v] && find_root(parent, v) == v;
    }
    glue(corner, skipped, cross_seams);
    measure(pos, corner, skipped);
    order_fans(corner, skipped);
}

// Pairs the halfedges of every edge, turning faces where that makes the orientation consistent.
void IntrinsicMesh::glue(std::vector<int32_t>& corner, const std::vector<uint8_t>& skipped, bool cross_seams) {
    const int64_t faces = static_cast<int64_t>(skipped.size());
    std::vector<int32_t> start(num_vertices + 1, 0);
    auto low = [&](int32_t h) { return std::min(corner[h], corner[next(h)]); };
    auto high = [&](int32_t h) { return std::max(corner[h], corner[next(h)]); };
    for (int32_t h = 0; h < 3 * faces; ++h)
        if (!skipped[h / 3]) ++start[low(h) + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    std::vector<std::pair<int32_t, int32_t>> bucket(start.back());  // (higher vertex, halfedge), grouped by lower vertex
    std::vector<int32_t> fill(start.begin(), start.end() - 1);
    for (int32_t h = 0; h < 3 * faces; ++h)
        if (!skipped[h / 3]) bucket[fill[low(h)]++] = {high(h), h};

    twin.assign(3 * faces, kBoundary);
    flip.assign(3 * faces, 0);
    for (int64_t v = 0; v < num_vertices; ++v) {
        const auto end = bucket.begin() + start[v + 1];
        std::sort(bucket.begin() + start[v], end);
        for (auto it = bucket.begin() + start[v]; it != end;) {
            auto stop = std::find_if(it, end, [&](const auto& entry) { return entry.first != it->first; });
            if (stop - it == 1) {
                ++topology.boundary_edges;
            } else if (stop - it == 2) {
                twin[it->second] = it[1].second;
                twin[it[1].second] = it->second;
            } else {
                ++topology.non_manifold_edges;
                for (auto other = it; other != stop; ++other) twin[other->second] = kNonManifold;
            }
            it = stop;
        }
    }

    // Breadth first from the lowest face of every component, so its winding decides; what then disagrees is a seam.
    std::vector<int8_t> turned(faces, -1);
    std::vector<int32_t> queue;
    auto same_way = [&](int32_t h, int32_t g) { return corner[h] == corner[g]; };
    for (int32_t seed = 0; seed < faces; ++seed) {
        if (skipped[seed] || turned[seed] >= 0) continue;
        turned[seed] = 0;
        queue.assign(1, seed);
        for (size_t head = 0; head < queue.size(); ++head) {
            const int32_t f = queue[head];
            for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
                if (twin[h] < 0 || turned[twin[h] / 3] >= 0) continue;
                turned[twin[h] / 3] = static_cast<int8_t>(turned[f] ^ static_cast<int8_t>(same_way(h, twin[h])));
                queue.push_back(twin[h] / 3);
            }
        }
    }
    for (int32_t h = 0; h < 3 * faces; ++h) {
        if (twin[h] < h) continue;  // each pair once
        const int32_t g = twin[h];
        if (same_way(h, g) == (turned[h / 3] != turned[g / 3])) continue;
        ++topology.seam_edges;
        if (cross_seams) flip[h] = flip[g] = 1;
        else twin[h] = twin[g] = kSeam;
    }
    // Turning (a, b, c) to (a, c, b) renames the halfedges: ab, bc, ca become ca, bc, ab read backwards.
    auto renamed = [&](int32_t h) { return turned[h / 3] == 1 ? h - h % 3 + 2 - h % 3 : h; };
    std::vector<int32_t> new_twin(twin);
    std::vector<uint8_t> new_flip(flip);
    for (int32_t h = 0; h < 3 * faces; ++h) {
        new_twin[renamed(h)] = twin[h] < 0 ? twin[h] : renamed(twin[h]);
        new_flip[renamed(h)] = flip[h];
    }
    twin.swap(new_twin);
    flip.swap(new_flip);
    for (int64_t f = 0; f < faces; ++f) {
        if (turned[f] != 1) continue;
        std::swap(corner[3 * f + 1], corner[3 * f + 2]);
        ++topology.turned_faces;
    }
}

// Lengths in units of their mean, angles, and the packed record that windows read.
void IntrinsicMesh::measure(const double* pos, const std::vector<int32_t>& corner, const std::vector<uint8_t>& skipped) {
    const int32_t size = static_cast<int32_t>(corner.size());
    std::vector<double> length(size, 0);
    double sum = 0;
    int64_t count = 0;
    for (int32_t h = 0; h < size; ++h) {
        if (skipped[h / 3]) continue;
        const double* a = pos + 3 * int64_t{corner[h]};
        const double* b = pos + 3 * int64_t{corner[next(h)]};
        // The same order of subtraction for both halfedges, so that they agree to the last bit.
        const double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
        sum += length[h] = std::sqrt(x * x + y * y + z * z);
        ++count;
    }
    if (count && sum > 0) unit = sum / static_cast<double>(count);
    double missing = 0;
    for (int32_t h = 0; h < size; ++h) length[h] /= unit;
    for (int32_t f = 0; f < size / 3; ++f) {
        if (skipped[f]) continue;
        const double a = length[3 * f], b = length[3 * f + 1], c = length[3 * f + 2];
        const double slack = a + b + c - 2 * std::max({a, b, c});
        if (slack >= kSlack * std::max({a, b, c})) continue;
        ++topology.degenerate_faces;
        missing = std::max(missing, kSlack * std::max({a, b, c, 1.0}) - slack);
    }
    if (missing > 0)
        for (int32_t h = 0; h < size; ++h) length[h] += missing;

    angle.assign(size, 0);
    for (int32_t h = 0; h < size; ++h) {
        if (skipped[h / 3]) continue;
        longest = std::max(longest, length[h]);
        angle[h] = corner_angle(length[next(h)], length[h], length[prev(h)]);
    }
    halfedges.resize(size);
    for (int32_t h = 0; h < size; ++h) {
        if (skipped[h / 3]) continue;
        const int32_t n = next(h), p = prev(h);
        Halfedge& edge = halfedges[h];
        edge.length = length[h];
        edge.left = length[p];
        edge.right = length[n];
        edge.angle1 = angle[h];
        edge.angle2 = angle[n];
        edge.px = edge.left * std::cos(edge.angle1);
        edge.py = edge.left * std::sin(edge.angle1);
        edge.v1 = corner[h];
        edge.v2 = corner[n];
        edge.v3 = corner[p];
        edge.twin_left = twin[p];
        edge.twin_right = twin[n];
        edge.flip_left = flip[p];
        edge.flip_right = flip[n];
    }
}

// Walks around every vertex: the order of its corners, their angles, and the direction from which tangent angles count.
void IntrinsicMesh::order_fans(const std::vector<int32_t>& corner, const std::vector<uint8_t>& skipped) {
    const int32_t size = static_cast<int32_t>(corner.size());
    corner_ptr.assign(num_vertices + 1, 0);
    for (int32_t h = 0; h < size; ++h)
        if (!skipped[h / 3]) ++corner_ptr[corner[h] + 1];
    std::partial_sum(corner_ptr.begin(), corner_ptr.end(), corner_ptr.begin());
    std::vector<int32_t> outgoing(corner_ptr.back()), fill(corner_ptr.begin(), corner_ptr.end() - 1);
    for (int32_t h = 0; h < size; ++h)
        if (!skipped[h / 3]) outgoing[fill[corner[h]]++] = h;

    corners.resize(outgoing.size());
    fan.assign(size, 0);
    total.assign(num_vertices, 0);
    scale.assign(num_vertices, 1);
    reference.assign(num_vertices, 0);
    open.assign(num_vertices, 0);
    bends.assign(num_vertices, 0);
    unordered.assign(num_vertices, 0);
    borders.assign(num_vertices, 0);
    for (int32_t h = 0; h < size; ++h) {
        if (skipped[h / 3] || twin[h] >= 0) continue;
        borders[corner[h]] |= 1u << -twin[h];
        borders[corner[next(h)]] |= 1u << -twin[h];
    }
    std::vector<uint8_t> seen(size, 0);
    auto clockwise = [&](int32_t h) { return twin[h] < 0 || flip[h] ? -1 : next(twin[h]); };
    auto counter_clockwise = [&](int32_t h) { return twin[prev(h)] < 0 || flip[prev(h)] ? -1 : twin[prev(h)]; };
    for (int32_t v = 0; v < num_vertices; ++v) {
        int32_t slot = corner_ptr[v];
        int fans = 0;
        double sum = 0;
        for (int32_t i = corner_ptr[v]; i < corner_ptr[v + 1]; ++i) {
            if (seen[outgoing[i]]) continue;
            ++fans;
            int32_t first = outgoing[i];
            for (int32_t h = clockwise(first); h >= 0; h = clockwise(h)) {
                if (h == outgoing[i]) {
                    first = h;
                    break;
                }
                first = h;
            }
            bool closed = false;
            for (int32_t h = first; h >= 0; h = counter_clockwise(h)) {
                if (seen[h]) {
                    closed = true;
                    break;
                }
                seen[h] = 1;
                corners[slot++] = h;
                fan[h] = sum;
                sum += angle[h];
                unordered[v] |= flip[h] | flip[prev(h)];
            }
            open[v] |= !closed;
        }
        topology.non_manifold_vertices += fans > 1;
        open[v] |= fans > 1;
        unordered[v] |= fans > 1;
        total[v] = sum;
        if (sum > 0 && (!open[v] || sum > 2 * kPi)) scale[v] = 2 * kPi / sum;
        bends[v] = open[v] || sum > 2 * kPi * (1 + 1e-13);
    }
}

void IntrinsicMesh::refer_to(const double* pos, const double* frames) {
    for (int32_t v = 0; v < num_vertices; ++v) {
        const double *here = pos + 3 * int64_t{v}, *x = frames + 9 * int64_t{v}, *y = x + 3;
        double cosine = 0, sine = 0;
        // An edge counts by the corners beside it, so that cutting a corner in two changes little, and the less the steeper it is.
        auto count = [&](int32_t end, double fan_angle, double corner) {
            const double* there = pos + 3 * int64_t{end};
            const double e[3] = {there[0] - here[0], there[1] - here[1], there[2] - here[2]};
            const double along = e[0] * x[0] + e[1] * x[1] + e[2] * x[2], across = e[0] * y[0] + e[1] * y[1] + e[2] * y[2];
            const double length = std::sqrt(e[0] * e[0] + e[1] * e[1] + e[2] * e[2]);
            if (!(length > 0)) return;
            const double turned = scale[v] * fan_angle, c = std::cos(turned), s = std::sin(turned);
            cosine += corner * (c * along + s * across) / length;
            sine += corner * (s * along - c * across) / length;
        };
        for (int32_t i = corner_ptr[v]; i < corner_ptr[v + 1]; ++i) {
            const int32_t h = corners[i];
            count(halfedges[h].v2, fan[h], angle[h]);
            count(halfedges[h].v3, fan[h] + angle[h], angle[h]);
        }
        reference[v] = std::atan2(sine, cosine) / scale[v];
    }
}

}  // namespace geodl
