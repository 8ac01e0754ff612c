#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <utility>
#include <vector>

#include "charts.h"
#include "intrinsic_mesh.h"
#include "orthogonalize.h"
#include "polar_template.h"
#include "rays.h"
#include "remeshing.h"
#include "shot.h"
#include "sparse_factor.h"

namespace nb = nanobind;
using namespace geodl;

namespace {

using Positions = nb::ndarray<const double, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Faces = nb::ndarray<const int64_t, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>;
using Frames = nb::ndarray<const double, nb::shape<-1, 3, 3>, nb::c_contig, nb::device::cpu>;
using Reals = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Coordinates = nb::ndarray<const double, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using Columns = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Slabs = nb::ndarray<const double, nb::shape<-1, -1, 8>, nb::c_contig, nb::device::cpu>;
using Slab = nb::ndarray<double, nb::shape<-1, 8>, nb::c_contig, nb::device::cpu>;
using Overlaps = nb::ndarray<double, nb::shape<-1, 8, 8>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A NumPy array that owns the vector's memory.
template <class T>
nb::ndarray<nb::numpy, T, nb::ndim<1>> give(std::vector<T>&& values) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::ndarray<nb::numpy, T, nb::ndim<1>>(kept->data(), {kept->size()}, owner);
}

nb::dict describe(const Topology& t) {
    nb::dict d;
    d["boundary_edges"] = t.boundary_edges;
    d["non_manifold_edges"] = t.non_manifold_edges;
    d["seam_edges"] = t.seam_edges;
    d["isolated_vertices"] = t.isolated_vertices;
    d["non_manifold_vertices"] = t.non_manifold_vertices;
    d["components"] = t.components;
    d["degenerate_faces"] = t.degenerate_faces;
    d["skipped_faces"] = t.skipped_faces;
    d["turned_faces"] = t.turned_faces;
    return d;
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "C++ kernels of geodl.geometry; the Python modules that call them check the arguments.";
    m.def(
        "geodesic_charts",
        [](const Positions& pos, const Faces& face, const Frames& frames, const Indices& sources, const Reals& radius, int64_t size,
           int threads) {
            ChartRows rows;
            Topology topology;
            {
                nb::gil_scoped_release release;
                IntrinsicMesh mesh(pos.data(), pos.shape(0), face.data(), face.shape(0), false);
                mesh.refer_to(pos.data(), frames.data());
                topology = mesh.topology;
                rows = geodesic_charts(mesh, sources.data(), sources.shape(0), radius.data(), size, threads);
            }
            nb::dict report = describe(topology);
            report["charts_at_boundary"] = rows.stopped[-kBoundary];
            report["charts_at_non_manifold_edge"] = rows.stopped[-kNonManifold];
            report["charts_at_seam"] = rows.stopped[-kSeam];
            report["windows"] = rows.windows;
            return nb::make_tuple(give(std::move(rows.rowptr)), give(std::move(rows.col)), give(std::move(rows.coords)),
                                  give(std::move(rows.transport)), give(std::move(rows.arrival)), give(std::move(rows.radius)),
                                  report);
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("frames"), nb::arg("sources"), nb::arg("radius"), nb::arg("size"),
        nb::arg("threads"));
    m.def(
        "edge_angles",
        [](const Positions& pos, const Faces& face, const Frames& frames) {
            std::vector<double> angles(6 * face.shape(0)), half_cotangent(3 * face.shape(0));
            {
                nb::gil_scoped_release release;
                IntrinsicMesh mesh(pos.data(), pos.shape(0), face.data(), face.shape(0), false);
                mesh.refer_to(pos.data(), frames.data());
                edge_angles(mesh, angles.data(), half_cotangent.data());
            }
            return nb::make_tuple(give(std::move(angles)), give(std::move(half_cotangent)));
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("frames"));
    m.def(
        "oriented",
        [](const Positions& pos, const Faces& face) {
            std::vector<int64_t> out(face.data(), face.data() + 3 * face.shape(0));
            {
                nb::gil_scoped_release release;
                const IntrinsicMesh mesh(pos.data(), pos.shape(0), face.data(), face.shape(0), false);
                for (size_t h = 0; h < out.size(); ++h)
                    if (mesh.halfedges[h].length > 0) out[h] = mesh.halfedges[h].v1;
            }
            return give(std::move(out));
        },
        nb::arg("pos"), nb::arg("face"));
    m.def(
        "geodesic_distance",
        [](const Positions& pos, const Faces& face, const Indices& sources, const Indices& ptr, const Indices& targets, double bound,
           int threads) {
            std::vector<double> out(targets.shape(0));
            {
                nb::gil_scoped_release release;
                const IntrinsicMesh mesh(pos.data(), pos.shape(0), face.data(), face.shape(0), true);
                geodesic_distances(mesh, sources.data(), ptr.data(), sources.shape(0), targets.data(), bound, out.data(), threads);
            }
            return give(std::move(out));
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("sources"), nb::arg("ptr"), nb::arg("targets"), nb::arg("bound"), nb::arg("threads"));
    m.def(
        "ldl_solve",
        [](const Indices& colptr, const Indices& row, const Reals& value, const Reals& diagonal, const Columns& x, int threads) {
            nb::gil_scoped_release release;
            ldl_solve(colptr.data(), row.data(), value.data(), diagonal.data(), diagonal.shape(0), x.data(), x.shape(1), threads);
        },
        nb::arg("colptr"), nb::arg("row"), nb::arg("value"), nb::arg("diagonal"), nb::arg("x"), nb::arg("threads"));
    m.def(
        "orthogonalize",
        [](const Slabs& basis, const Slab& x, const Overlaps& overlap, int threads) {
            nb::gil_scoped_release release;
            orthogonalize(basis.data(), basis.shape(0), x.shape(0), x.data(), overlap.data(), threads);
        },
        nb::arg("basis"), nb::arg("x"), nb::arg("overlap"), nb::arg("threads"));
    m.def(
        "polar_template",
        [](const Positions& pos, const Faces& face, const Indices& rowptr, const Indices& col, const Coordinates& coords,
           const Reals& radius, int rings, int rays, int threads) {
            const size_t points = pos.shape(0) * static_cast<size_t>(rings * rays);
            std::vector<int64_t> vertex(3 * points), inside(pos.shape(0));
            std::vector<double> weight(3 * points);
            {
                nb::gil_scoped_release release;
                const IntrinsicMesh mesh(pos.data(), pos.shape(0), face.data(), face.shape(0), false);
                polar_template(mesh, rowptr.data(), col.data(), coords.data(), radius.data(), rings, rays, vertex.data(),
                               weight.data(), inside.data(), threads);
            }
            return nb::make_tuple(give(std::move(vertex)), give(std::move(weight)), give(std::move(inside)));
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("rowptr"), nb::arg("col"), nb::arg("coords"), nb::arg("radius"), nb::arg("rings"),
        nb::arg("rays"), nb::arg("threads"));
    m.def(
        "occlusion",
        [](const Positions& pos, const Faces& face, const Positions& origin, const Frames& frame, const Positions& direction,
           const Positions& fine, const Rows& near, int threads) {
            std::vector<double> out(origin.shape(0));
            {
                nb::gil_scoped_release release;
                const RayTree tree(pos.data(), face.data(), face.shape(0));
                occlusion(tree, origin.data(), frame.data(), origin.shape(0), direction.data(), direction.shape(0), fine.data(), near.data(),
                          fine.shape(0), near.shape(1), out.data(), threads);
            }
            return give(std::move(out));
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("origin"), nb::arg("frame"), nb::arg("direction"), nb::arg("fine"), nb::arg("near"),
        nb::arg("threads"));
    m.def(
        "cast_rays",
        [](const Positions& pos, const Faces& face, const Positions& origin, const Positions& direction, int threads) {
            std::vector<int64_t> hit(origin.shape(0));
            std::vector<double> distance(origin.shape(0)), weight(3 * origin.shape(0));
            {
                nb::gil_scoped_release release;
                const RayTree tree(pos.data(), face.data(), face.shape(0));
                cast_rays(tree, origin.data(), direction.data(), origin.shape(0), hit.data(), distance.data(), weight.data(), threads);
            }
            return nb::make_tuple(give(std::move(hit)), give(std::move(distance)), give(std::move(weight)));
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("origin"), nb::arg("direction"), nb::arg("threads"));
    m.def(
        "remesh",
        [](const Positions& pos, const Faces& face, double edge_length, double feature_angle, int iterations) {
            Remeshed made;
            {
                nb::gil_scoped_release release;
                made = remesh(pos.data(), pos.shape(0), face.data(), face.shape(0), edge_length, feature_angle, iterations);
            }
            return nb::make_tuple(give(std::move(made.face)), give(std::move(made.corner)), give(std::move(made.weight)));
        },
        nb::arg("pos"), nb::arg("face"), nb::arg("edge_length"), nb::arg("feature_angle"), nb::arg("iterations"));
    m.def(
        "shot",
        [](const Positions& pos, const Positions& normal, const Indices& rowptr, const Indices& col, double radius, int threads) {
            std::vector<double> out(352 * pos.shape(0)), frame(9 * pos.shape(0));
            {
                nb::gil_scoped_release release;
                shot(pos.data(), normal.data(), pos.shape(0), rowptr.data(), col.data(), radius, out.data(), frame.data(), threads);
            }
            return nb::make_tuple(give(std::move(out)), give(std::move(frame)));
        },
        nb::arg("pos"), nb::arg("normal"), nb::arg("rowptr"), nb::arg("col"), nb::arg("radius"), nb::arg("threads"));
}
