"""One door: every public function that takes a shape gives one answer for every form of it."""

from __future__ import annotations

import dataclasses
import inspect
import io
import math
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor
from torch_geometric.data import Data

import geodl.data
import geodl.geometry
import geodl.matching
import geodl.nn
import geodl.viz
from geodl.data import Mesh, PointCloud
from geodl.geometry import as_shape, geodesic_charts
from geodl.geometry.shapes import as_index, as_signal, faces_of
from geodl.geometry.surface import clouds_of
from geodl.matching import Match, MatchedPair, SpectralShape


def blob() -> tuple[np.ndarray, np.ndarray]:
    """A closed surface of 162 vertices without symmetry; its coordinates are float32's."""
    sphere = trimesh.creation.icosphere(2)
    pos = np.array(sphere.vertices)
    pos = (
        pos
        * (
            1
            + 0.3 * np.sin(2 * pos[:, [1]])
            + 0.2 * pos[:, [0]] * pos[:, [2]]
            + 0.15 * np.sin(3 * pos[:, [0]] + 1)
        )
        * [1.0, 1.3, 0.8]
    )
    return pos.astype(np.float32).astype(np.float64), np.array(sphere.faces)


POS, FACE = blob()


def forms() -> dict[str, Any]:
    o3d = pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    theirs = trimesh.Trimesh(POS, FACE, process=False)
    legacy = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(POS), o3d.utility.Vector3iVector(FACE))
    return {
        "arrays [F, 3]": (POS, FACE),
        "arrays [3, F] uint32": (POS, FACE.T.astype(np.uint32)),
        "tensors int32": (torch.from_numpy(POS), torch.from_numpy(FACE).int()),
        "lists": (POS.tolist(), FACE.tolist()),
        "trimesh": theirs,
        "trimesh scene": trimesh.Scene(theirs),
        "open3d": legacy,
        "open3d of tensors": o3d.t.geometry.TriangleMesh.from_legacy(legacy, vertex_dtype=o3d.core.float64),
        "PyG": Data(pos=torch.from_numpy(POS), face=torch.from_numpy(FACE).t().short()),
        "as of meshio": SimpleNamespace(points=POS, cells=[SimpleNamespace(type="triangle", data=FACE)]),
        "as of polyscope": SimpleNamespace(vertices=POS, faces=FACE),
        "as of pyvista": SimpleNamespace(points=POS, faces=np.insert(FACE, 0, 3, axis=1).ravel()),
        "mapping": {"vertices": POS, "faces": FACE},
    }


MESH = Mesh(POS, FACE)
CHARTS = geodesic_charts(MESH, size=12)
SOME = list(range(10))

# Of every public function that takes a shape, how it is called with one.
GEOMETRY: dict[str, Callable[[Any], Any]] = {
    "ambient_occlusion": lambda s: geodl.geometry.ambient_occlusion(s, rays=16),
    "angle_deficit": geodl.geometry.angle_deficit,
    "as_shape": lambda s: [as_shape(s).pos, as_shape(s).face],
    "cast_rays": lambda s: geodl.geometry.cast_rays(
        s, torch.zeros(4, 3).double(), torch.eye(4, 3).double() + 0.1
    ),
    "chart_radius": lambda s: geodl.geometry.chart_radius(s, 12),
    "coarsen": lambda s: geodl.geometry.coarsen(s, 20),
    "curl": geodl.geometry.curl,
    "curvature": geodl.geometry.curvature,
    "direct_light": lambda s: geodl.geometry.direct_light(s, torch.eye(3).double()),
    "direction_field": geodl.geometry.direction_field,
    "divergence": geodl.geometry.divergence,
    "edges": geodl.geometry.edges,
    "face_areas": geodl.geometry.face_areas,
    "face_normals": geodl.geometry.face_normals,
    "geodesic_charts": lambda s: geodesic_charts(s, size=12, sources=SOME),
    "geodesic_distance": lambda s: geodl.geometry.geodesic_distance(
        s, SOME, np.array(SOME[::-1], dtype=np.int32)
    ),
    "gradient": geodl.geometry.gradient,
    "hierarchy": lambda s: geodl.geometry.hierarchy(s, [40, 10]),
    "laplacian": geodl.geometry.laplacian,
    "laplacian_coordinates": geodl.geometry.laplacian_coordinates,
    "mean_edge_length": geodl.geometry.mean_edge_length,
    "point_normals": geodl.geometry.point_normals,
    "polar_template": lambda s: geodl.geometry.polar_template(s, CHARTS, 2, 4),
    "remesh": lambda s: [geodl.geometry.remesh(s, 0.4).pos, geodl.geometry.remesh(s, 0.4).face],
    "repair": lambda s: [geodl.geometry.repair(s)[0].pos, geodl.geometry.repair(s)[0].face],
    "shot": lambda s: geodl.geometry.shot(s, 0.8),
    "spectrum": lambda s: geodl.geometry.spectrum(s, 6),
    "surface_area": geodl.geometry.surface_area,
    "tangent_frames": geodl.geometry.tangent_frames,
    "template_coverage": lambda s: geodl.geometry.template_coverage(s, CHARTS, 2, 4),
    "validate": geodl.geometry.validate,
    "vertex_areas": geodl.geometry.vertex_areas,
    "vertex_normals": geodl.geometry.vertex_normals,
}
NN: dict[str, Callable[[Any], Any]] = {
    "mesh_levels": lambda s: geodl.nn.mesh_levels(s, [30]),
    "graph_levels": lambda s: geodl.nn.graph_levels(_joined(s)),
}
MATCHING: dict[str, Callable[[Any], Any]] = {
    "match": lambda s: [geodl.matching.match(s, MESH, 20).p2p_21, geodl.matching.match(MESH, s, 20).p2p_12],
    "match_all": lambda s: _all(s),
    "partial_match": lambda s: geodl.matching.partial_match(s, MESH, k=20).p2p_21,
    "evaluate": lambda s: geodl.matching.evaluate([MatchedPair(s, SOME, np.arange(10)[::-1])]).errors,
    "trust": lambda s: geodl.matching.trust(s, s, range(162), np.arange(162), 1.0),
    "SpectralShape": lambda s: SpectralShape.of(s, 20).spectrum,
}
VIZ: dict[str, Callable[[Any, Path], Any]] = {
    "correspondence": lambda s, path: geodl.viz.correspondence(
        s, s, [-1, *range(1, 162)], path, true=np.arange(162)
    ),
    "error_map": lambda s, path: geodl.viz.error_map(s, [0.01] * 162, path),
    "lines": lambda s, path: geodl.viz.lines(
        s, s, np.arange(162, dtype=np.int16), path, true=list(range(162)), count=9
    ),
    "comparison": lambda s, path: geodl.viz.comparison(s, [s], {"same": [np.arange(162)]}, path),
    "surface": lambda s, path: geodl.viz.surface(s, path, label=[0] * 80 + [1] * 82),
    "point_clouds": lambda s, path: geodl.viz.point_clouds([s], path),
    "position_colors": lambda s, path: geodl.viz.position_colors(s),
}


def _all(shape: Any) -> Tensor:
    with tempfile.TemporaryDirectory() as folder:
        geodl.matching.match_all(shape, {"it": MESH}, folder, 20, workers=1)
        return Match.load(next(Path(folder).glob("*.safetensors"))).p2p_21


def _joined(shape: Any) -> Data:
    made = as_shape(shape)
    return Data(
        pos=made.pos,
        edge_index=torch.cat([geodl.geometry.edges(made), geodl.geometry.edges(made).flip(0)], 1),
    )


def numbers(answer: Any) -> list[np.ndarray]:
    """Every number of an answer, whatever it is made of."""
    if isinstance(answer, Tensor):
        return [answer.detach().double().numpy()]
    if isinstance(answer, np.ndarray | float | int):
        return [np.asarray(answer, dtype=np.float64)]
    if dataclasses.is_dataclass(answer):
        answer = [getattr(answer, f.name) for f in dataclasses.fields(answer)]
    if isinstance(answer, list | tuple):
        return [each for part in answer for each in numbers(part)]
    return []


def test_every_function_that_takes_a_shape_is_in_the_tables() -> None:
    for room, table in (
        (geodl.geometry, GEOMETRY),
        (geodl.nn, NN),
        (geodl.matching, MATCHING),
        (geodl.viz, VIZ),
    ):
        for name in room.__all__:
            what = getattr(room, name)
            if inspect.isfunction(what):
                first = next(iter(inspect.signature(what).parameters), "")
                taken = first in (
                    "mesh",
                    "shape",
                    "shape_1",
                    "mesh_1",
                    "reference",
                    "graph",
                    "clouds",
                    "cloud",
                    "pairs",
                )
                # initial_fmap takes what SpectralShape.of makes.
                assert taken == (name in table) or name == "initial_fmap", f"{room.__name__}.{name}({first})"


@pytest.mark.parametrize("name", [*GEOMETRY, *NN, *MATCHING])
def test_one_answer_for_every_form(name: str) -> None:
    call = {**GEOMETRY, **NN, **MATCHING}[name]
    expected = numbers(call(MESH))
    assert sum(part.size for part in expected)
    for form, shape in forms().items():
        found = numbers(call(shape))
        assert len(found) == len(expected), form
        for ours, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, right, rtol=1e-9, atol=1e-9, err_msg=form)


def test_pictures_take_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is the same: one scene, whose drawing is not repeated here."""
    drawn: list[Any] = []
    for module in ("color_transfer", "compare", "heat_map", "match_lines", "surface", "point_clouds"):
        where = import_module(f"geodl.viz.{module}")
        monkeypatch.setattr(where, "write_picture", lambda scene, *_, **__: drawn.append(scene))
    for name, call in VIZ.items():
        drawn.clear()
        seen = []
        for shape in (MESH, *forms().values()):
            colors = call(shape, tmp_path / "picture.png")
            seen.append(numbers(drawn.pop() if drawn else colors))
        for other in seen[1:]:
            assert len(other) == len(seen[0]) and sum(part.size for part in other), name
            for ours, right in zip(other, seen[0], strict=True):
                np.testing.assert_allclose(ours, right, atol=1e-12, err_msg=name)


def test_rooms_above_geometry_take_paths(tmp_path: Path) -> None:
    path = tmp_path / "shape.ply"
    MESH.save(path)
    for given in (path, str(path)):
        assert isinstance(geodl.data.as_shape(given), Mesh)
        found = geodl.matching.match(given, MESH, 20)
        assert torch.equal(found.p2p_21, geodl.matching.match(MESH, MESH, 20).p2p_21)
        colors = geodl.viz.position_colors(given)
        assert torch.equal(colors, geodl.viz.position_colors(MESH))
    with pytest.raises(TypeError, match=r"shape\.ply' is a path: read it by geodl\.data\.as_shape"):
        geodl.geometry.vertex_areas(path)
    PointCloud(POS).save(tmp_path / "points.xyz")
    assert isinstance(geodl.data.as_shape(tmp_path / "points.xyz"), PointCloud)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)
def test_faces_of_every_integer_dtype(dtype: Any) -> None:
    face = FACE[FACE.max(1) < 100].astype(dtype)
    for given in (face, face.T, np.asfortranarray(face), face[::-1][::-1]):
        made = as_shape((POS, given))
        assert made.face.dtype == torch.int64
        assert torch.equal(made.face, torch.from_numpy(face.astype(np.int64)).t())


def test_dtypes_of_positions() -> None:
    for dtype, kept in ((np.float32, torch.float32), (np.float64, torch.float64), (">f8", torch.float64)):
        assert as_shape((POS.astype(dtype), FACE)).pos.dtype == kept
    assert as_shape(([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])).pos.dtype == torch.float32
    far = as_shape((np.array([[0, 0, 0], [2**30 + 1, 0, 0], [0, 1, 0]]), [[0, 1, 2]]))
    assert far.pos.dtype == torch.float64 and far.pos[1, 0] == 2**30 + 1


def test_what_has_tensors_is_given_back_as_it_is() -> None:
    mesh = Mesh(POS, FACE, y=torch.arange(162))
    assert as_shape(mesh) is mesh and geodl.data.as_shape(mesh) is mesh
    pos = torch.from_numpy(POS).requires_grad_()
    geodl.geometry.surface_area((pos, FACE)).backward()
    assert pos.grad is not None and bool(pos.grad.any())


def test_three_faces_of_three_corners() -> None:
    """The one case that shapes do not tell: tensors are PyG's [3, F], arrays and lists are rows."""
    rows = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    assert as_shape((POS[:4], rows)).face.t().tolist() == rows.tolist()
    assert as_shape((POS[:4], torch.from_numpy(rows))).face.tolist() == rows.tolist()


def test_clouds_of_every_form() -> None:
    o3d = pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(POS))
    cloud.normals = o3d.utility.Vector3dVector(np.array(POS) / 2)
    for given in (POS, torch.from_numpy(POS), POS.tolist(), (POS, None), trimesh.PointCloud(POS), cloud,
                  o3d.t.geometry.PointCloud.from_legacy(cloud, o3d.core.float64), SimpleNamespace(points=POS)):  # fmt: skip
        made = as_shape(given)
        assert getattr(made, "face", None) is None
        np.testing.assert_array_equal(made.pos.numpy(), POS)
        assert isinstance(geodl.data.as_shape(given), PointCloud)
    np.testing.assert_array_equal(as_shape(cloud).normal.numpy(), POS / 2)


def test_lines_and_tetrahedra_are_left_out_aloud() -> None:
    """Their points are a cloud; that there was more is said."""
    meshio = pytest.importorskip("meshio", reason="needs the extra files")
    tetrahedra = meshio.Mesh(POS, [("tetra", np.arange(16).reshape(4, 4))])
    with pytest.warns(UserWarning, match="tetra of this object were left out"):
        assert getattr(as_shape(tetrahedra), "face", None) is None
    both = meshio.Mesh(POS, [("line", FACE[:2, :2]), ("triangle", FACE)])
    with pytest.warns(UserWarning, match="line of this object were left out"):
        assert as_shape(both).face.t().tolist() == FACE.tolist()
    assert as_shape((np.ma.masked_array(POS), FACE)).pos.shape == (162, 3)
    o3d = pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    lines = o3d.geometry.LineSet(o3d.utility.Vector3dVector(POS), o3d.utility.Vector2iVector([[0, 1]]))
    volume = o3d.geometry.TetraMesh(
        o3d.utility.Vector3dVector(POS), o3d.utility.Vector4iVector([[0, 1, 2, 3]])
    )
    for given, what in ((lines, "lines of this LineSet"), (volume, "tetrahedra of this TetraMesh")):
        with pytest.warns(UserWarning, match=f"{what} were left out: they are no faces"):
            np.testing.assert_array_equal(as_shape(given).pos.numpy(), POS)


@pytest.mark.parametrize(
    ("shape", "error", "trouble"),
    [
        (None, TypeError, "a shape is needed, not None"),
        (7, TypeError, "int is no shape: it has neither pos nor vertices nor points"),
        ("mesh.off", TypeError, "is a path"),
        (POS.T, ValueError, r"pos must have shape \[V, 3\], not \[3, 162\]; transpose it"),
        ((POS, FACE, FACE), ValueError, "a tuple of 3"),
        ((POS, FACE[:, :2]), ValueError, r"face must have shape \[3, F\] or \[F, 3\], not \[320, 2\]"),
        ((POS, FACE.astype(float)), ValueError, "face must hold integers, not torch.float64"),
        (([["a", "b", "c"]], FACE), ValueError, "pos must be an array of numbers"),
        ((POS.astype(complex), FACE), ValueError, "pos must be an array of numbers"),
        ((np.ma.masked_less(POS, -0.99), FACE), ValueError, r"pos has \d+ masked numbers: fill them"),
        (io.BytesIO(b"OFF"), TypeError, "BytesIO is an open file, which has no format: give its path"),
    ],
)
def test_what_is_no_shape_is_said(shape: Any, error: type[Exception], trouble: str) -> None:
    for door in (as_shape, geodl.geometry.surface_area):
        with pytest.raises(error, match=trouble):
            door(shape)


def test_one_error_for_a_face_that_names_no_vertex() -> None:
    far = FACE.copy()
    far[3, 1] = 162
    calls = [
        Mesh,
        lambda v, f: geodl.geometry.surface_area((v, f)),
        lambda v, f: geodl.matching.match((v, f), MESH),
    ]
    calls += [lambda v, f: geodl.viz.position_colors((v, f))]
    for call in calls:
        with pytest.raises(IndexError):
            call(POS, far)


def test_maps_and_labels() -> None:
    for given in ([1, 2], (1, 2), np.array([1, 2], dtype=np.uint16), torch.tensor([1, 2], dtype=torch.int32)):
        assert as_index("labels", given).tolist() == [1, 2] and as_index("labels", given).dtype == torch.int64
        assert as_signal("labels", given).tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"labels must hold integers, not torch\.float64"):
        as_index("labels", [0.5])
    with pytest.raises(ValueError, match="labels must be an array of numbers, not list"):
        as_signal("labels", ["cat", "dog"])


def test_unmatched_points_count_nowhere() -> None:
    everything = geodl.matching.evaluate([MatchedPair(MESH, [0, 5], [0, 3])])
    found = geodl.matching.evaluate([MatchedPair(MESH, [0, -1, 5], [0, 3, 3])])
    assert found.unmatched == 1 and found.points == 2 and "1 points have no prediction" in str(found)
    assert math.isclose(found.mean_error, everything.mean_error)
    with pytest.raises(ValueError, match="-1 everywhere"):
        geodl.matching.evaluate([MatchedPair(MESH, [-1], [3])])
    with pytest.raises(IndexError):
        geodl.matching.evaluate([MatchedPair(MESH, [0], [-1])])


def test_match_of_clouds() -> None:
    """Points of a surface find themselves, turned and shuffled; and the points of the mesh that they are of."""
    pos = np.random.default_rng(0).permutation(trimesh.creation.icosphere(3).vertices)
    pos = (
        pos
        * (
            1
            + 0.3 * np.sin(2 * pos[:, [1]])
            + 0.2 * pos[:, [0]] * pos[:, [2]]
            + 0.15 * np.sin(3 * pos[:, [0]] + 1)
        )
        * [1.0, 1.3, 0.8]
    )
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    order = np.random.default_rng(2).permutation(len(pos))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = geodl.matching.match(PointCloud(pos), PointCloud((5 * pos @ turn.T + 1)[order]), 60)
    off = np.linalg.norm(pos[found.p2p_21.numpy()] - pos[order], axis=1)
    assert np.median(off) < 1e-9 and found.trust.verdict == "good", found.trust


def test_charts_of_a_cloud_are_those_of_the_plane() -> None:
    flat = np.random.default_rng(0).random((200, 3)) * [1, 1, 0]
    cloud = PointCloud(flat, normal=torch.tensor([0.0, 0, 1], dtype=torch.float64).repeat(200, 1))
    charts = geodesic_charts(cloud, 0.2)
    frames, row, col = charts.frames, charts.neighbors.row, charts.neighbors.col
    assert frames is not None and charts.transport is not None
    u = charts.rho[:, None] * torch.stack([charts.theta.cos(), charts.theta.sin()], 1)
    place = cloud.pos[row] + (u[:, None] @ frames[row, :2])[:, 0]
    torch.testing.assert_close(place, cloud.pos[col])
    assert len(row) == int((torch.cdist(cloud.pos, cloud.pos) <= 0.2).sum())
    turned = frames[col, 0]
    angle = charts.transport
    carried = angle.cos()[:, None] * frames[row, 0] + angle.sin()[:, None] * frames[row, 1]
    away = row != col
    torch.testing.assert_close(carried[away], turned[away])


def test_packed_polygons_of_too_few_corners_are_named() -> None:
    packed = SimpleNamespace(points=POS, faces=np.array([0, 1, 2, -1, 0, 2, 3, -1]))
    with pytest.raises(ValueError, match="of which 0 should be a number of corners, 3 or more"):
        as_shape(packed)


def test_three_quads_of_an_object_are_quads() -> None:
    quads = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 5, 4]])
    assert as_shape(SimpleNamespace(vertices=POS, faces=quads)).face.shape == (3, 6)


def test_packed_clouds_are_taken_apart_first() -> None:
    batch = geodl.data.collate([PointCloud(torch.rand(20, 3)), PointCloud(torch.rand(20, 3))])
    for read in (geodl.geometry.surface_area, lambda cloud: geodesic_charts(cloud, size=4)):
        with pytest.raises(ValueError, match=r"take a batch apart with to_data_list\(\)"):
            read(batch)


def test_concave_quads_of_arrays_cover_what_they_bound() -> None:
    pos = np.array([[0.0, 0, 0], [4, 0, 0], [1, 1, 0], [0, 4, 0]])
    for quad in ([0, 1, 2, 3], [1, 2, 3, 0], [3, 0, 1, 2]):
        for form in (
            (pos, np.array([quad])),
            SimpleNamespace(points=pos, cells=[("quad", np.array([quad]))]),
        ):
            assert float(geodl.geometry.surface_area(form)) == pytest.approx(4)
        assert float(geodl.geometry.surface_area(Mesh(pos, [quad]))) == pytest.approx(4)


def test_scenes_keep_the_colours_that_all_their_parts_have() -> None:
    part = trimesh.Trimesh(POS, FACE, vertex_colors=np.tile([10, 20, 30, 255], (len(POS), 1)))
    assert as_shape(trimesh.Scene([part, part.copy()])).color.shape == (2 * len(POS), 3)


def test_faces_filled_up_and_faces_of_two_corners() -> None:
    padded = np.array([[0, 1, 2, -1], [0, 2, 3, 4], [0, 4, 5, -1]])  # as many as a triangle has corners
    assert faces_of(padded).t().tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]
    with pytest.raises(ValueError, match="face 1 has 2 corners"):
        faces_of([[0, 1, 2], [0, 1]])


@pytest.mark.parametrize("ptr", [[5, 35, 65], [10, 70], [0, 40, 30, 60], [0, 30, 30, 60]])
def test_clouds_with_a_ptr_that_is_none(ptr: list[int]) -> None:
    cloud = SimpleNamespace(pos=torch.randn(60, 3), ptr=torch.tensor(ptr))
    with pytest.raises(ValueError, match=r"must ascend|must not descend|cloud 1 of the batch has no points"):
        clouds_of(cloud)


def test_faces_of_different_numbers_of_corners() -> None:
    """A concave pentagon and a triangle, as a list of lists, and a quad beside a triangle that is filled up with -1."""
    pos = [[0, 0, 0], [4, 0, 0], [4, 4, 0], [2, 1, 0], [0, 4, 0], [8, 0, 0], [8, 4, 0]]
    faces = [[0, 1, 2, 3, 4], [1, 5, 2]]
    objects = np.array([np.array(row) for row in faces], dtype=object)
    for given in (faces, tuple(map(tuple, faces)), objects):
        shape = as_shape((pos, given))
        assert shape.face.shape == (3, 4) and float(geodl.geometry.face_areas(shape).sum()) == pytest.approx(
            10 + 8
        )
    padded = as_shape((pos, [[1, 5, 6, 2], [1, 5, 2, -1]]))
    assert padded.face.t().tolist() == [[1, 5, 6], [1, 6, 2], [1, 5, 2]]
