#include "charts.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "propagation.h"

namespace geodl {
namespace {

constexpr double kPi = std::numbers::pi;

double wrap_positive(double angle) {
    const double wrapped = angle - 2 * kPi * std::floor(angle / (2 * kPi));
    return wrapped < 2 * kPi ? wrapped : 0;
}

double wrap_signed(double angle) { return angle - 2 * kPi * std::ceil(angle / (2 * kPi) - 0.5); }

struct Polar {
    double theta, transport;
    uint32_t stamp;
};

// Follows the bends of the shortest path to v back to the source: theta is that of the first leg, transport the sum over the legs.
class Unbend {
  public:
    Unbend(const IntrinsicMesh& mesh, const Propagation& paths) : mesh_(mesh), paths_(paths), known_(mesh.num_vertices, Polar{}) {}

    void start(int32_t source) {
        source_ = source;
        ++stamp_;
        known_[source] = {0, 0, stamp_};
    }

    const Polar& operator()(int32_t v) {
        trail_.clear();
        for (int32_t at = v; known_[at].stamp != stamp_; at = paths_.visit(at).root) trail_.push_back(at);
        for (auto at = trail_.rbegin(); at != trail_.rend(); ++at) {
            const Propagation::Visit& visit = paths_.visit(*at);
            const Polar& root = known_[visit.root];
            const double out = mesh_.tangent(visit.root, visit.departure), back = mesh_.tangent(*at, visit.arrival);
            known_[*at] = {visit.root == source_ ? wrap_positive(out) : root.theta, root.transport + out - back - kPi, stamp_};
        }
        return known_[v];
    }

  private:
    const IntrinsicMesh& mesh_;
    const Propagation& paths_;
    std::vector<Polar> known_;
    std::vector<int32_t> trail_;
    int32_t source_ = -1;
    uint32_t stamp_ = 0;
};

}  // namespace

ChartRows geodesic_charts(const IntrinsicMesh& mesh, const int64_t* sources, int64_t count, const double* radius, int64_t size,
                          int threads) {
    struct Block {  // consecutive rows, kept by the thread that made them
        std::vector<int32_t> col;
        std::vector<double> coords, transport, arrival;
    };
    constexpr int64_t rows_per_block = 64;
    const int64_t blocks = (count + rows_per_block - 1) / rows_per_block;
    std::vector<Block> made(blocks);
    ChartRows out;
    out.rowptr.assign(count + 1, 0);
    out.radius.resize(count);
    int64_t stopped[4] = {0, 0, 0, 0}, windows = 0;
#pragma omp parallel num_threads(std::max(threads, 1)) reduction(+ : stopped[ : 4], windows)
    {
        Propagation paths(mesh);
        Unbend unbend(mesh, paths);
        std::vector<int32_t> row;
#pragma omp for schedule(dynamic, 1)
        for (int64_t b = 0; b < blocks; ++b) {
            Block& block = made[b];
            for (int64_t r = b * rows_per_block; r < std::min(count, (b + 1) * rows_per_block); ++r) {
                const int32_t source = static_cast<int32_t>(sources[r]);
                double bound = std::numeric_limits<double>::infinity();
                if (size > 0) {
                    paths.run(source, bound, {}, size);
                    bound = paths.reach(size);
                    out.radius[r] = bound * mesh.unit;
                } else {
                    bound = radius[r] / mesh.unit;
                    paths.run(source, bound);
                    out.radius[r] = radius[r];
                }
                const double within = bound * (1 + 1e-9);
                unbend.start(source);
                row.clear();
                for (int32_t v : paths.reached())
                    if (paths.visit(v).distance <= within) row.push_back(v);
                std::sort(row.begin(), row.end());
                for (int32_t v : row) {
                    const Polar& polar = unbend(v);
                    block.col.push_back(v);
                    block.coords.push_back(paths.visit(v).distance * mesh.unit);
                    block.coords.push_back(polar.theta);
                    block.transport.push_back(wrap_signed(polar.transport));
                    block.arrival.push_back(v == source ? 0 : wrap_positive(mesh.tangent(v, paths.visit(v).arrival)));
                }
                out.rowptr[r + 1] = static_cast<int64_t>(row.size());
                uint32_t met = paths.stopped_by(within);
                for (int32_t v : row) met |= mesh.borders[v];
                for (int k = 1; k < 4; ++k) stopped[k] += met >> k & 1;
            }
        }
        windows += paths.windows();
    }
    for (int64_t r = 0; r < count; ++r) out.rowptr[r + 1] += out.rowptr[r];
    out.col.resize(out.rowptr[count]);
    out.coords.resize(2 * out.rowptr[count]);
    out.transport.resize(out.rowptr[count]);
    out.arrival.resize(out.rowptr[count]);
#pragma omp parallel for num_threads(std::max(threads, 1)) schedule(dynamic, 4)
    for (int64_t b = 0; b < blocks; ++b) {
        const int64_t at = out.rowptr[b * rows_per_block];
        std::ranges::copy(made[b].col, out.col.begin() + at);
        std::ranges::copy(made[b].coords, out.coords.begin() + 2 * at);
        std::ranges::copy(made[b].transport, out.transport.begin() + at);
        std::ranges::copy(made[b].arrival, out.arrival.begin() + at);
    }
    std::copy(stopped, stopped + 4, out.stopped);
    out.windows = windows;
    return out;
}

void edge_angles(const IntrinsicMesh& mesh, double* angles, double* half_cotangent) {
    for (int32_t h = 0; h < static_cast<int32_t>(mesh.halfedges.size()); ++h) {
        const Halfedge& edge = mesh.halfedges[h];
        const int32_t n = IntrinsicMesh::next(h), p = IntrinsicMesh::prev(h);
        angles[2 * h] = angles[2 * h + 1] = half_cotangent[h] = 0;
        if (!(edge.length > 0)) continue;
        angles[2 * h] = mesh.tangent(edge.v1, mesh.fan[h]);
        angles[2 * h + 1] = mesh.tangent(edge.v2, mesh.fan[n] + mesh.angle[n]) + kPi;
        half_cotangent[h] = 0.5 / std::tan(mesh.angle[p]);
    }
}

void geodesic_distances(const IntrinsicMesh& mesh, const int64_t* sources, const int64_t* ptr, int64_t groups, const int64_t* targets,
                        double bound, double* out, int threads) {
    const double limit = bound / mesh.unit, within = limit * (1 + 1e-9);
#pragma omp parallel num_threads(std::max(threads, 1))
    {
        Propagation paths(mesh);
        std::vector<int32_t> wanted;
#pragma omp for schedule(dynamic, 1)
        for (int64_t g = 0; g < groups; ++g) {
            wanted.assign(targets + ptr[g], targets + ptr[g + 1]);
            paths.run(static_cast<int32_t>(sources[g]), limit, wanted);
            for (int64_t p = ptr[g]; p < ptr[g + 1]; ++p) {
                const double distance = paths.distance(wanted[p - ptr[g]]);
                out[p] = distance <= within ? distance * mesh.unit : std::numeric_limits<double>::infinity();
            }
        }
    }
}

}  // namespace geodl
