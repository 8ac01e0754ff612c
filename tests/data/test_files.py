"""Files as other programs write them, and what their grammars allow."""

from __future__ import annotations

import copy
import gzip
import json
import math
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from geodl.data import Mesh, PointCloud, as_shape
from geodl.data.files import text
from geodl.geometry import surface_area, validate
from geodl.geometry.triangulation import Polygons, triangulate
from tests.data.fuzz.foreign_writers import FOREIGN
from tests.data.fuzz.run import WRITERS, fuzz

SPHERE = trimesh.creation.icosphere(2)
CUBE = np.array([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
FILES_EXTRA = "needs the extra files"


def area(mesh: Mesh) -> float:
    return float(surface_area((mesh.pos.double(), mesh.face)))


def written(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


NEEDS = {"las": "laspy", "msh": "meshio", "vtu": "meshio", "3mf": "lxml"}


@pytest.mark.parametrize("kind", WRITERS)
def test_fuzz(kind: str, tmp_path: Path) -> None:
    """A few files of every format; ``python -m tests.data.fuzz`` tries ten thousand."""
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind], reason=FILES_EXTRA)
    assert fuzz(kind, 10 if kind in FOREIGN else 40, 0, tmp_path)["failed"] == 0


# How Open3D, trimesh and meshio write a mesh, and with how many digits.
def _open3d(path: Path, **options: Any) -> None:
    o3d = pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(SPHERE.vertices), o3d.utility.Vector3iVector(SPHERE.faces)
    )
    mesh.compute_vertex_normals()
    mesh.vertex_colors = o3d.utility.Vector3dVector((np.array(SPHERE.vertices) + 1) / 2)
    assert o3d.io.write_triangle_mesh(str(path), mesh, **options)


def _trimesh(path: Path, **options: Any) -> None:
    data = SPHERE.export(file_type=options.pop("kind", path.suffix[1:]), **options)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def _meshio(path: Path, **options: Any) -> None:
    meshio = pytest.importorskip("meshio", reason=FILES_EXTRA)
    meshio.Mesh(np.array(SPHERE.vertices), [("triangle", np.array(SPHERE.faces))]).write(path, **options)


WRITTEN: dict[str, tuple[Callable[..., None], str, dict[str, Any]]] = {
    "open3d ply": (_open3d, "a.ply", {}),
    "open3d ply ascii": (_open3d, "a.ply", {"write_ascii": True}),
    "open3d obj": (_open3d, "a.obj", {}),
    "open3d off": (_open3d, "a.off", {}),
    "open3d stl": (_open3d, "a.stl", {}),
    "open3d glb": (_open3d, "a.glb", {}),
    "trimesh ply": (_trimesh, "a.ply", {}),
    "trimesh ply ascii": (_trimesh, "a.ply", {"encoding": "ascii"}),
    "trimesh obj": (_trimesh, "a.obj", {}),
    "trimesh off": (_trimesh, "a.off", {}),
    "trimesh stl": (_trimesh, "a.stl", {}),
    "trimesh stl ascii": (_trimesh, "a.stl", {"kind": "stl_ascii"}),
    "trimesh glb": (_trimesh, "a.glb", {}),
    "trimesh 3mf": (_trimesh, "a.3mf", {}),
    "meshio ply": (_meshio, "a.ply", {}),
    "meshio ply ascii": (_meshio, "a.ply", {"binary": False}),
    "meshio obj": (_meshio, "a.obj", {}),
    "meshio off": (_meshio, "a.off", {}),
    "meshio stl": (_meshio, "a.stl", {}),
    "meshio stl ascii": (_meshio, "a.stl", {"binary": False}),
    "meshio vtk": (_meshio, "a.vtk", {}),
    "meshio vtu": (_meshio, "a.vtu", {}),
    "meshio msh": (_meshio, "a.msh", {}),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_meshes_that_other_programs_write(how: str, tmp_path: Path) -> None:
    write, name, options = WRITTEN[how]
    if name.endswith("3mf"):
        pytest.importorskip("lxml", reason=FILES_EXTRA)
    write(tmp_path / name, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mesh = Mesh.load(tmp_path / name)
    corners = mesh.pos[mesh.face.t()].double().numpy()
    np.testing.assert_allclose(corners, SPHERE.vertices[SPHERE.faces], atol=2e-6)
    if not name.endswith((".stl", ".3mf", ".glb")):
        np.testing.assert_allclose(mesh.pos.double().numpy(), SPHERE.vertices, atol=2e-6)
    if how.startswith("open3d") and name.endswith((".ply", ".obj", ".off")):
        color = mesh.color.double() / (255 if mesh.color.dtype == torch.uint8 else 1)
        np.testing.assert_allclose(color.numpy(), (np.array(SPHERE.vertices) + 1) / 2, atol=0.01)


@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.xyz", "a.xyzn", "a.xyzrgb", "a.pts"])
@pytest.mark.parametrize("form", ["ascii", "binary", "compressed"])
def test_clouds_that_open3d_writes(name: str, form: str, tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    pos = np.array(SPHERE.vertices)
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(pos))
    cloud.normals = o3d.utility.Vector3dVector(pos[::-1].copy())
    cloud.colors = o3d.utility.Vector3dVector(np.abs(pos))
    path = tmp_path / name
    assert o3d.io.write_point_cloud(
        str(path), cloud, write_ascii=form == "ascii", compressed=form == "compressed"
    )
    ours = PointCloud.load(path)
    np.testing.assert_allclose(ours.pos.double().numpy(), pos, atol=2e-6)
    if name.endswith(("ply", "pcd", "xyzn")):
        np.testing.assert_allclose(ours.normal.double().numpy(), pos[::-1], atol=2e-6)
    if name.endswith(("ply", "pcd", "pts")):
        np.testing.assert_allclose(ours.color.double().numpy() / 255, np.abs(pos), atol=0.005)


def test_las(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy", reason=FILES_EXTRA)
    pos = np.random.default_rng(0).random((30, 3)) * 100 + [600000, 5200000, 400]
    scan = laspy.create(point_format=2)
    scan.header.offsets, scan.header.scales = pos.min(0), [0.001] * 3
    scan.x, scan.y, scan.z = pos.T
    scan.red, scan.green, scan.blue = np.full((3, 30), 65535)
    scan.classification = np.arange(30) % 5
    scan.write(tmp_path / "a.las")
    cloud = PointCloud.load(tmp_path / "a.las")
    assert cloud.pos.dtype == torch.float64
    np.testing.assert_allclose(cloud.pos.numpy(), pos, atol=0.001)
    assert cloud.color.tolist() == [[1.0, 1.0, 1.0]] * 30 and cloud.y.tolist() == [k % 5 for k in range(30)]


@pytest.mark.parametrize("name", ["a.glb", "a.3mf", "a.vtk", "a.vtu", "a.msh", "a.las", "a.npz", "a.vtp"])
def test_what_cannot_be_read_names_a_way_round(name: str, tmp_path: Path) -> None:
    written(tmp_path / name, b"xx")
    with pytest.raises((ValueError, ImportError), match=re.escape(str(tmp_path / name)) + r".*from_trimesh"):
        as_shape(tmp_path / name)


def test_cells_that_end_far_behind_their_corners_ask_for_no_memory(tmp_path: Path) -> None:
    meshio = pytest.importorskip("meshio", reason=FILES_EXTRA)
    corners = np.arange(5)[None]
    meshio.write(
        tmp_path / "a.vtu",
        meshio.Mesh(np.random.default_rng(0).random((5, 3)), [("polygon", corners)]),
        binary=False,
    )
    text = (tmp_path / "a.vtu").read_text()
    found = re.search(r'(Name="offsets"[^>]*>\s*)5(\s)', text)
    assert found is not None
    for end in (2**40, -1, 6):
        written(tmp_path / "a.vtu", text.replace(found[0], f"{found[1]}{end}{found[2]}").encode())
        with pytest.raises(ValueError, match="offsets of cells do not ascend to its 5 corners"):
            Mesh.load(tmp_path / "a.vtu")


@pytest.mark.parametrize("version", ["2.2", "4.0", "4.1"])
def test_nodes_numbered_beyond_memory_are_named(version: str, tmp_path: Path) -> None:
    meshio = pytest.importorskip("meshio", reason=FILES_EXTRA)
    mesh = meshio.Mesh(
        np.random.default_rng(0).random((4, 3)), [("triangle", np.array([[0, 1, 2], [1, 2, 3]]))]
    )
    meshio.gmsh.write(tmp_path / "a.msh", mesh, version, binary=False)
    assert Mesh.load(tmp_path / "a.msh").pos.shape == (4, 3)
    head, nodes = (tmp_path / "a.msh").read_text().split("$Nodes\n")
    lines = nodes.splitlines()
    four = next(
        k for k, line in enumerate(lines) if k and line.split()[0] == "4" and len(line.split()) in (1, 4)
    )
    lines[four] = " ".join(["4000000000" if version != "2.2" else "2000000000", *lines[four].split()[1:]])
    written(tmp_path / "a.msh", (head + "$Nodes\n" + "\n".join(lines)).encode())
    with pytest.raises(ValueError, match=r"its 4 nodes are numbered up to \d{10}\)"):
        Mesh.load(tmp_path / "a.msh")


@pytest.mark.parametrize("name", ["a.ply", "a.pcd", "a.xyz", "a.txt", "a.npz"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clouds_come_back(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    cloud = PointCloud(
        torch.rand(9, 3, dtype=dtype),
        normal=torch.rand(9, 3),
        color=torch.randint(2, 256, (9, 3), dtype=torch.uint8),
    )
    cloud.y, cloud.height, cloud.x = torch.arange(9), torch.rand(9), torch.rand(9, 2)
    cloud.save(tmp_path / name)
    again = PointCloud.load(tmp_path / name)
    assert torch.equal(again.pos, cloud.pos) and again.pos.dtype == dtype
    for key in ("normal", "color", "y", "height", "x"):
        assert torch.equal(again[key], cloud[key]) and again[key].dtype == cloud[key].dtype, key


def test_npy_and_the_way_to_other_libraries(tmp_path: Path) -> None:
    o3d = pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    cloud = PointCloud(
        torch.rand(7, 3), normal=torch.rand(7, 3), color=torch.randint(0, 256, (7, 3), dtype=torch.uint8)
    )
    with pytest.warns(UserWarning, match="npy holds no normal, color"):
        cloud.save(tmp_path / "a.npy")
    assert torch.equal(PointCloud.load(tmp_path / "a.npy").pos, cloud.pos)
    theirs = cloud.to_open3d()
    for other in (theirs, o3d.t.geometry.PointCloud.from_legacy(theirs)):
        again = PointCloud.from_open3d(other)
        assert torch.allclose(again.pos, cloud.pos) and torch.allclose(again.normal, cloud.normal)
        assert torch.allclose(again.color.double(), cloud.color.double() / 255, atol=1e-6)
    again = PointCloud.from_trimesh(cloud.to_trimesh())
    assert torch.equal(again.pos, cloud.pos) and again.pos.dtype == torch.float32
    mesh = Mesh.from_open3d(Mesh(SPHERE.vertices, SPHERE.faces).to_open3d())
    np.testing.assert_allclose(mesh.pos.double().numpy(), SPHERE.vertices, atol=1e-7)
    with pytest.raises(ValueError, match=r"has no faces: geodl\.data\.PointCloud"):
        Mesh.from_open3d(theirs)


def test_a_cloud_among_meshes_and_a_mesh_among_clouds(tmp_path: Path) -> None:
    PointCloud(CUBE).save(tmp_path / "points.ply")
    with pytest.raises(
        ValueError, match=r"8 vertices but no faces; as a point cloud it is read by geodl\.data\.PointCloud"
    ):
        Mesh.load(tmp_path / "points.ply")
    Mesh(SPHERE.vertices, SPHERE.faces).save(tmp_path / "mesh.ply")
    with pytest.warns(UserWarning, match="its 320 faces were left out"):
        assert PointCloud.load(tmp_path / "mesh.ply").pos.shape == (162, 3)
    assert isinstance(as_shape(tmp_path / "points.ply"), PointCloud) and isinstance(
        as_shape(tmp_path / "mesh.ply"), Mesh
    )


def utm(suffix: str) -> str:
    """A tile of a metre with 5 cm triangles, 5,000 km from the origin."""
    x, y = np.meshgrid(np.arange(21) / 20, np.arange(21) / 20, indexing="ij")
    pos = np.stack([x.ravel() + 600123.4, y.ravel() + 5212345.6, np.zeros(441)], 1)
    number = np.arange(441).reshape(21, 21)
    a, b, c, d = (
        number[:-1, :-1].ravel(),
        number[1:, :-1].ravel(),
        number[1:, 1:].ravel(),
        number[:-1, 1:].ravel(),
    )
    quads = np.stack([a, b, c, d], 1)
    rows = "".join(f"{p[0]:.6f} {p[1]:.6f} {p[2]:.6f}\n" for p in pos)
    if suffix == "obj":
        return "".join(f"v {row}\n" for row in rows.splitlines()) + "".join(
            "f {} {} {} {}\n".format(*(q + 1)) for q in quads
        )
    faces = "".join("4 {} {} {} {}\n".format(*q) for q in quads)
    if suffix == "off":
        return f"OFF\n441 400 0\n{rows}{faces}"
    head = "ply\nformat ascii 1.0\nelement vertex 441\nproperty float x\nproperty float y\nproperty float z\nelement face 400\n"
    return head + f"property list uchar int vertex_index\nend_header\n{rows}{faces}"


@pytest.mark.parametrize("suffix", ["obj", "off", "ply"])
def test_coordinates_that_float32_cannot_hold(suffix: str, tmp_path: Path) -> None:
    mesh = Mesh.load(written(tmp_path / f"a.{suffix}", utm(suffix)))
    assert mesh.pos.dtype == torch.float64 and area(mesh) == pytest.approx(1, rel=1e-6)
    assert validate(mesh).duplicate_vertices == 0
    assert Mesh.from_trimesh(mesh.to_trimesh()).pos.dtype == torch.float64


def test_details_that_float32_would_collapse(tmp_path: Path) -> None:
    rows = "0 0 0\n1000 0 0\n0 1000 0\n1 1 0\n1.00000001 1 0\n1 1.00000001 0\n"
    mesh = Mesh.load(written(tmp_path / "a.off", f"OFF\n6 2 0\n{rows}3 0 1 2\n3 3 4 5\n"))
    assert mesh.pos.dtype == torch.float64 and len(torch.unique(mesh.pos, dim=0)) == 6
    assert (
        Mesh.load(
            written(tmp_path / "b.off", "OFF\n4 1 0\n0 0 0\n1000 0 0\n0 1000 0\n1 1.3 0\n3 0 1 2\n")
        ).pos.dtype
        == torch.float32
    )


def shoelace(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


POLYGONS = {
    "arrow": [[0, 0], [2, -1], [1, 0], [2, 1]],
    "L": [[3, 0], [3, 1], [1, 1], [1, 3], [0, 3], [0, 0]],
    "U": [[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]],
    "comb": [[0, 0], [7, 0], [7, 3], [6, 3], [6, 1], [5, 1], [5, 3], [4, 3], [4, 1], [3, 1], [3, 3], [2, 3], [2, 1], [1, 1],
             [1, 3], [0, 3]],
    "spiral": [[0, 0], [5, 0], [5, 5], [1, 5], [1, 2], [3, 2], [3, 3], [2, 3], [2, 4], [4, 4], [4, 1], [0, 1]],
    "with a cut to a hole": [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0], [1, 1], [1, 3], [3, 3], [3, 1], [1, 1]],
    "corners on a line": [[0, 0], [1, 0], [2, 0], [3, 0], [3, 3], [0, 3], [0, 2], [0, 1]],
}  # fmt: skip


@pytest.mark.parametrize("name", POLYGONS)
def test_polygons_that_are_not_convex(name: str) -> None:
    flat = np.array(POLYGONS[name], dtype=np.float64)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for shift in range(len(flat)):
        for mirror in (1, -1):
            rolled = np.roll(flat, shift, axis=0)[::mirror]
            pos = np.pad(rolled, ((0, 0), (0, 1))) @ turn
            face, owner = triangulate(pos, Polygons.of(np.arange(len(flat))[None]))
            sides = pos[face]
            vectors = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]) / 2
            assert len(face) == len(flat) - 2 and not owner.any()
            # No triangle covers ground outside, and none is upside down.
            assert np.linalg.norm(vectors, axis=1).sum() == pytest.approx(shoelace(flat))
            assert np.linalg.norm(vectors.sum(0)) == pytest.approx(shoelace(flat))


def test_large_polygons_are_triangulated() -> None:
    angle = 2 * math.pi * np.arange(400) / 400
    star = np.stack([np.cos(angle), np.sin(angle)], 1) * (1 + 0.5 * (np.arange(400) % 2))[:, None]
    face, _ = triangulate(np.pad(star, ((0, 0), (0, 1))), Polygons.of(np.arange(400)[None]))
    corners = star[face]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    assert (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).sum() / 2 == pytest.approx(shoelace(star))


NUMBERS = [
    "0", "-0", "1", "-1.5", "+2.25", ".5", "5.", "-.5e1", "1e22", "1e23", "123456789012345678", "0.1", "3.141592653589793",
    "2.2250738585072014e-308", "5e-324", "1e-400", "1e400", "-1e400", "1.7976931348623157e308", "9007199254740993", "0.000001",
    "123456789.123456789123456789", "8.5e+05", "1E5", "00012", "1e0000001",
]  # fmt: skip


@pytest.mark.parametrize("native", [True, False])
def test_numbers_are_read_to_the_last_bit(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if native and text.native is None:
        pytest.skip("needs the extension")
    monkeypatch.setattr(text, "native", text.native if native else None)
    found = text.table(" ".join(NUMBERS).encode())
    assert [v.hex() for v in found.values.tolist()] == [float(number).hex() for number in NUMBERS]
    random = np.random.default_rng(0)
    values = random.normal(size=500) * 10.0 ** random.integers(-300, 300, 500)
    for form in ("%.17g", "%.9g", "%.6f", "%.20e", "%r"):
        words = [form % v for v in values.tolist()]
        assert text.table("\n".join(words).encode()).values.tolist() == [float(w) for w in words]
    special = text.table(b"nan -nan NaN inf -INF Infinity 1.#QNAN -1.#IND 1.#INF -1.#INF00 -nan(ind)").values
    assert np.isnan(special[[0, 1, 2, 6, 7, 10]]).all() and special[[3, 4, 5, 8, 9]].tolist() == [
        np.inf,
        -np.inf,
        np.inf,
        np.inf,
        -np.inf,
    ]
    for bad in ("1..2", "1e", "e5", "-", "0x10", "1,5", "1.#", "--1", "1f", "infinit"):
        with pytest.raises(ValueError, match=f"line 2: '{re.escape(bad)}' is no number"):
            text.table(f"1 2\n3 {bad} 4\n".encode())


def test_lines_of_a_table() -> None:
    found = text.table(b"# head\n1 2\r\n\r\n3,4;5 # tail 6\r7\n\n", separators=b",;", comments=b"#")
    assert found.values.tolist() == [1, 2, 3, 4, 5, 7] and found.starts.tolist() == [0, 2, 5, 6]


def test_obj_elements_that_are_no_faces(tmp_path: Path) -> None:
    rows = "".join(f"v {x} {y} 0\n" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
    path = written(tmp_path / "a.obj", rows + "l 1 2 3\np 4\ncurv 0 1 1 2\nf 1 2\nf 1 2 3 4\n")
    with pytest.warns(UserWarning) as said:
        mesh = Mesh.load(path)
    assert mesh.face.shape == (3, 2) and area(mesh) == 1
    assert {re.sub(r".*obj: ", "", str(w.message)) for w in said} == {
        "3 elements that are no faces (points, lines, curves) were left out",
        "1 polygons with fewer than three vertices were left out",
    }


def test_groups_of_an_obj_follow_its_faces(tmp_path: Path) -> None:
    rows = "".join(f"v {v[0]} {v[1]} {v[2]}\n" for v in CUBE)
    faces = "".join(
        f"g {'top' if k % 2 else 'side wall'}\nf {' '.join(str(v + 1) for v in q)}\n"
        for k, q in enumerate(QUADS)
    )
    mesh = Mesh.load(written(tmp_path / "a.obj", rows + faces))
    assert mesh.face_group_names == ["side wall", "top"] and mesh.face_group.tolist() == [0, 0, 1, 1] * 3
    mesh.save(tmp_path / "b.ply")
    assert torch.equal(Mesh.load(tmp_path / "b.ply").face_group, mesh.face_group)
    faces = "f 1 2 4 3\n" + faces
    again = Mesh.load(written(tmp_path / "c.obj", rows + faces), repair=True)
    assert (
        again.face.shape == (3, 12) and len(again.face_group) == 12
    )  # the face that is there twice went, and its group


@pytest.mark.parametrize("suffix", ["off", "obj", "ply"])
def test_colours_come_back(suffix: str, tmp_path: Path) -> None:
    mesh = Mesh(SPHERE.vertices, SPHERE.faces, color=torch.randint(2, 256, (162, 3), dtype=torch.uint8))
    mesh.save(tmp_path / f"a.{suffix}")
    again = Mesh.load(tmp_path / f"a.{suffix}")
    assert torch.equal(again.color, mesh.color) and torch.equal(again.pos, mesh.pos)


@pytest.mark.parametrize("suffix", ["off", "obj", "xyz", "txt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_text_gives_back_dtypes_and_is_read_by_others(
    suffix: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    pos = torch.as_tensor(SPHERE.vertices / 3, dtype=dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix in ("off", "obj"):
        for color in (None, pos.abs(), (255 * pos.abs()).byte() // 200):
            mesh = Mesh(pos, SPHERE.faces, **({} if color is None else {"color": color}))
            mesh.save(path)
            again = Mesh.load(path)
            assert again.pos.dtype == dtype and torch.equal(again.pos, pos)
            if color is not None:
                assert again.color.dtype == color.dtype and torch.equal(again.color, color)
            theirs = trimesh.load(path, process=False)
            np.testing.assert_allclose(theirs.vertices, pos.numpy(), atol=1e-7)
            assert np.array_equal(theirs.faces, SPHERE.faces)
        return
    cloud = PointCloud(
        pos, Height=pos[:, 0] / 7, whole=torch.ones(162), mark=pos[:, 0] > 0, rank=torch.arange(162)
    )
    cloud.save(path)
    again = PointCloud.load(path)
    assert torch.equal(again.pos, pos) and again.pos.dtype == dtype
    for name in ("Height", "whole", "mark", "rank"):
        assert again[name].dtype == cloud[name].dtype and torch.equal(again[name], cloud[name]), name
    np.testing.assert_array_equal(np.loadtxt(path)[:, :3].astype(pos.numpy().dtype), pos.numpy())
    with pytest.raises(ValueError, match="would share a name: x, y, z, x"):
        PointCloud(pos, x=pos[:, 0]).save(path)


def test_attributes_that_a_format_does_not_hold_are_named(tmp_path: Path) -> None:
    mesh = Mesh(SPHERE.vertices, SPHERE.faces, y=torch.arange(162), face_group=torch.arange(320))
    for suffix in ("off", "obj", "stl"):
        with pytest.warns(UserWarning, match=f"{suffix} holds no face_group, y"):
            mesh.save(tmp_path / f"a.{suffix}")
    mesh.save(tmp_path / "a.npz")
    again = Mesh.load(tmp_path / "a.npz")
    assert torch.equal(again.face_group, mesh.face_group) and torch.equal(again.y, mesh.y)


HEAD = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
HEAD += "element face 1\nproperty list uchar int vertex_index\nend_header\n"
PCD = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA ascii\n"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "a.off",
            "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n3 2 1 0\n",
            "4 numbers behind its 3 vertices and 1 faces",
        ),
        (
            "b.off",
            "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2 1 7\n",
            "numbers behind the corners of its faces",
        ),
        (
            "a.ply",
            HEAD + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n3 2 1 0\n",
            "4 numbers behind what its header announces",
        ),
        ("b.ply", HEAD + "0 0 0 9\n1 0 0 9\n0 1 0 9\n3 0 1 2\n", "behind the properties of vertex"),
        ("c.ply", HEAD + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2 255 0 0\n", "behind the properties of face"),
        ("a.pcd", PCD + "0 0 0\n1 0 0\n0 1 0\n", "3 numbers behind its 2 points"),
        ("a.pts", "2\n0 0 0\n1 0 0\n0 1 0\n", "announces 2 points, it has 3, which were all read"),
    ],
)
def test_what_is_behind_the_announced_rows_is_said(name: str, data: str, said: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=said):
        shape = as_shape(written(tmp_path / name, data))
    assert shape.pos[:2].tolist() == [[0, 0, 0], [1, 0, 0]]
    if not name.endswith(("pcd", "pts")):
        assert shape.face.t().tolist() == [[0, 1, 2]]


def test_a_damaged_first_row_is_no_heading(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1: 'O' is no number"):
        PointCloud.load(written(tmp_path / "a.xyz", "O 0 1\n1 2 3\n4 5 6\n"))
    with pytest.raises(ValueError, match=r"first line is 2\.5, which is no number of points"):
        PointCloud.load(written(tmp_path / "b.xyz", "2.5\n1 2 3\n4 5 6\n"))


def test_an_npz_whose_directory_lost_an_array_is_damaged(tmp_path: Path) -> None:
    Mesh(SPHERE.vertices, SPHERE.faces).save(tmp_path / "a.npz")
    data = bytearray((tmp_path / "a.npz").read_bytes())
    first = data.index(b"PK\1\2")
    data[first + 32] = len(data) - 22 - data.index(b"PK\1\2", first + 4)  # its comment swallows what follows
    with pytest.raises(ValueError, match="announces 2 arrays, it has 1"):
        as_shape(written(tmp_path / "b.npz", bytes(data)))


def test_strange_names_of_properties(tmp_path: Path) -> None:
    """A property called as something of PyG's gets another name; one that is there twice counts once."""
    names = ("x", "y", "z", "batch", "num_nodes", "edge_index", "keys", "pos", "quality", "quality")
    head = "ply\nformat ascii 1.0\nelement vertex 3\n" + "".join(f"property float {name}\n" for name in names)
    rows = "".join(f"{k} {k * k} 1 {' '.join(['7'] * 6)} {k}\n" for k in range(3))
    path = written(
        tmp_path / "a.ply",
        head + f"element face 1\nproperty list uchar int vertex_index\nend_header\n{rows}3 0 1 2\n",
    )
    mesh = Mesh.load(path)
    assert mesh.num_nodes == 3 and mesh.quality.tolist() == [7, 7, 7] and mesh.batch_.tolist() == [7, 7, 7]
    assert mesh.pos[:, 1].tolist() == [0, 1, 4] and callable(mesh.keys)


def test_stl_as_programs_write_it(tmp_path: Path) -> None:
    data = SPHERE.export(file_type="stl")
    solid = b"solid by a program that should not say so".ljust(80) + data[80:]
    assert area(Mesh.load(written(tmp_path / "a.stl", solid))) == pytest.approx(SPHERE.area, rel=1e-5)
    with pytest.warns(UserWarning, match="7 bytes behind the last facet were left out"):
        assert Mesh.load(written(tmp_path / "b.stl", data + b"\0" * 7)).face.shape == (3, 320)
    with pytest.raises(ValueError, match="announces 320 facets"):
        Mesh.load(written(tmp_path / "c.stl", data[:-1]))
    facet = "facet normal 0 0 1 outer loop vertex 0 0 0 vertex 1 0 0 vertex 0 1 0 endloop endfacet"
    assert area(Mesh.load(written(tmp_path / "d.stl", f"SOLID x\n{facet.upper()}\nEND SOLID\n"))) == 0.5
    # The first facet begins on the line of the name.
    with pytest.raises(ValueError, match="facet 1 does not"):
        Mesh.load(written(tmp_path / "f.stl", f"solid x {facet}\n{facet.removeprefix('facet ')}\nendsolid\n"))
    with pytest.raises(ValueError, match="more than three vertices"):
        Mesh.load(
            written(
                tmp_path / "e.stl", f"solid x\n{facet.replace('endloop', 'vertex 1 1 1 endloop')}\nendsolid\n"
            )
        )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_of_windows_editors(encoding: str, tmp_path: Path) -> None:
    rows = "".join(f"v {v[0]} {v[1]} {v[2]}\n" for v in CUBE)
    faces = "".join(f"f {' '.join(str(v + 1) for v in q)}\n" for q in QUADS)
    assert area(Mesh.load(written(tmp_path / "a.obj", (rows + faces).encode(encoding)))) == 6
    off = (
        "OFF\n8 6 0\n"
        + "".join(f"{v[0]} {v[1]} {v[2]}\n" for v in CUBE)
        + "".join(f"4 {' '.join(map(str, q))}\n" for q in QUADS)
    )
    assert area(Mesh.load(written(tmp_path / "a.off", off.encode(encoding)))) == 6
    assert PointCloud.load(
        written(tmp_path / "a.xyz", rows.replace("v ", "").encode(encoding))
    ).pos.shape == (8, 3)


def test_shared_meshes_are_what_trimesh_reads(shared_data: Path) -> None:
    """Every text mesh of a folder of common models, with the vertices and the area that another reader finds."""
    paths = sorted(
        p
        for p in (shared_data / "meshes").rglob("*")
        if p.suffix in (".off", ".obj") and p.stat().st_size < 3e6
    )
    for path in paths:
        theirs = trimesh.load(path, process=False, maintain_order=True, force="mesh")
        ours = Mesh.load(path)
        assert area(ours) == pytest.approx(theirs.area, rel=1e-5), path.name


@pytest.mark.parametrize("name", ["a.ply", "a.off", "a.obj", "a.stl", "a.pcd", "a.xyz", "a.npz", "a.npy"])
def test_files_of_nothing(name: str, tmp_path: Path) -> None:
    for data in (b"", b"\0", b"\n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"not a shape"):
        with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
            as_shape(written(tmp_path / name, data))


def test_headers_that_promise_too_much(tmp_path: Path) -> None:
    """No memory is taken for what a file cannot hold."""
    vertices = "element vertex 99999999999\nproperty float x\nproperty float y\nproperty float z\n"
    lying = {
        "a.ply": f"ply\nformat binary_little_endian 1.0\n{vertices}end_header\n",
        "b.ply": f"ply\nformat ascii 1.0\n{vertices}end_header\n0 0 0\n",
        "a.off": "OFF\n2000000000 2000000000 0\n0 0 0\n",
        "a.pcd": "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 99999999999\nHEIGHT 1\nDATA binary\n",
        "a.stl": b"\0" * 80 + b"\xff\xff\xff\xff",
    }  # fmt: skip
    for name, data in lying.items():
        with pytest.raises(ValueError, match="truncated or damaged"):
            as_shape(written(tmp_path / name, data))


def test_three_faces_stay_themselves(tmp_path: Path) -> None:
    mesh = Mesh(torch.rand(5, 3), torch.tensor([[0, 0, 0], [1, 2, 3], [2, 3, 4]]))
    mesh.save(tmp_path / "three.npz")
    assert torch.equal(Mesh.load(tmp_path / "three.npz").face, mesh.face)


def test_a_banner_of_marks_is_no_riddle(tmp_path: Path) -> None:
    (tmp_path / "a.off").write_bytes(b"#" * 5000 + b"\nOFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert Mesh.load(tmp_path / "a.off").face.shape == (3, 1)
    (tmp_path / "b.off").write_bytes(b"#" * 5000 + b"\nfoo")
    with pytest.raises(ValueError, match="does not begin with OFF"):
        Mesh.load(tmp_path / "b.off")


def test_colours_a_hair_above_one_are_no_bytes(tmp_path: Path) -> None:
    rows = ["v 0 0 0 0.4 0.6 1.0000001", "v 1 0 0 0.3 0.2 0.1", "v 0 1 0 0 0 0", "f 1 2 3"]
    (tmp_path / "a.obj").write_text("\n".join(rows))
    assert Mesh.load(tmp_path / "a.obj").color[1].tolist() == pytest.approx([0.3, 0.2, 0.1])


@pytest.mark.parametrize("rows", ["x y z\n1,5 2,5 3,5\n4,5 5,5 6,5\n", "x,y,z,i\n,2,3,9\n,6,7,1\n"])
def test_columns_that_do_not_fit_their_names_are_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "a.csv").write_text(rows)
    with pytest.raises(ValueError, match=r"its first line names \d columns, but its rows have \d numbers"):
        PointCloud.load(tmp_path / "a.csv")


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("version", ["3.0", "4.2", "5.1"])
@pytest.mark.parametrize("kind", ["POLYDATA", "UNSTRUCTURED_GRID"])
def test_legacy_vtk_surfaces(binary: bool, version: str, kind: str, tmp_path: Path) -> None:
    """What VTK, ParaView and Slicer write of a surface, whose commonest form meshio does not read."""

    def numbers(values: Any, code: str) -> bytes:
        flat = np.asarray(values).reshape(-1)
        return (
            flat.astype(">" + code).tobytes()
            if binary
            else " ".join(f"{v:.9g}" for v in flat.tolist()).encode()
        )

    color, height = np.arange(24).reshape(8, 3) * 10, np.arange(8) / 7
    cells = [*QUADS[:4], QUADS[4][:3], [QUADS[4][k] for k in (0, 2, 3)], QUADS[5]]
    out = f"# vtk DataFile Version {version}\n\n{'BINARY' if binary else 'ASCII'}\nDATASET {kind}\nPOINTS 8 double\n".encode()
    out += numbers(CUBE, "f8") + b"\n"
    name, flat = "POLYGONS" if kind == "POLYDATA" else "CELLS", [v for cell in cells for v in cell]
    if version == "5.1":
        offsets = np.cumsum([0, *map(len, cells)])
        out += (
            f"METADATA\nINFORMATION 0\n\n{name} {len(offsets)} {len(flat)}\nOFFSETS vtktypeint64\n".encode()
        )
        out += numbers(offsets, "i8") + b"\nCONNECTIVITY vtktypeint64\n" + numbers(flat, "i8") + b"\n"
    else:
        rows = [v for cell in cells for v in (len(cell), *cell)]
        out += f"{name} {len(cells)} {len(rows)}\n".encode() + numbers(rows, "i4") + b"\n"
    if kind != "POLYDATA":
        out += f"CELL_TYPES {len(cells)}\n".encode() + numbers([9, 9, 9, 9, 5, 5, 9], "i4") + b"\n"
    out += b"CELL_DATA 7\nSCALARS part int 1\nLOOKUP_TABLE default\n" + numbers(range(7), "i4") + b"\n"
    out += b"POINT_DATA 8\nNORMALS Normals float\n" + numbers(CUBE[::-1], "f4")
    out += b"\nFIELD FieldData 2\nheight 1 8 float\n" + numbers(height, "f4")
    out += b"\nRGB 3 8 unsigned_char\n" + numbers(color, "u1") + b"\n"
    mesh = Mesh.load(written(tmp_path / "a.vtk", out))
    assert (
        area(mesh) == pytest.approx(6)
        and mesh.face.shape == (3, 12)
        and torch.equal(mesh.pos.double(), torch.tensor(CUBE))
    )
    assert mesh.color.tolist() == color.tolist() and np.allclose(mesh.height.numpy(), height)
    assert torch.equal(mesh.normal.double(), torch.tensor(CUBE[::-1].copy()))
    assert mesh.face_part.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6]
    for cut in (out.index(b"POINTS") + 60, out.index(name.encode()) + 30):
        with pytest.raises(ValueError, match="truncated or damaged vtk file"):
            Mesh.load(written(tmp_path / "b.vtk", out[:cut]))


def test_vtk_strips(tmp_path: Path) -> None:
    head = "# vtk DataFile Version 3.0\nsheet\nASCII\nDATASET POLYDATA\nPOINTS 6 float\n0 0 0 0 1 0 1 0 0 1 1 0 2 0 0 2 1 0\n"
    path = written(
        tmp_path / "a.vtk",
        head + "LINES 1 3\n2 0 1\nTRIANGLE_STRIPS 1 7\n6 0 1 2 3 4 5\nCELL_DATA 2\n"
        "TENSORS t float\n0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0\nSCALARS s int\nLOOKUP_TABLE default\n7 8\n",
    )
    with pytest.warns(UserWarning, match="1 cells that are no faces"):
        mesh = Mesh.load(path)
    corners = mesh.pos[mesh.face.t()]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert normals.tolist() == [[0, 0, -1]] * 4 and mesh.face_s.tolist() == [8] * 4


@pytest.mark.parametrize("binary", [False, True])
def test_vtk_sections_that_shapes_have_no_place_for(binary: bool, tmp_path: Path) -> None:
    def numbers(values: list[float], code: str) -> bytes:
        return np.array(values, f">{code}").tobytes() if binary else " ".join(map(str, values)).encode()

    texts = b"\xc3one\x80\x46" + b"b" * 70 + b"\xc0" if binary else b"one\n" + b"b" * 70 + b"\n"
    out = b"# vtk DataFile Version 4.2\nsheet\n" + (b"BINARY" if binary else b"ASCII")
    out += b"\nDATASET POLYDATA\nPOINTS 3 double\n" + numbers([0, 0, 0, 1, 0, 0, 0, 1.1, 0], "f8")
    out += b"\nPOLYGONS 1 4\n" + numbers([3, 0, 1, 2], "i4") + b"\nPOINT_DATA 3\nSCALARS color float 1\n"
    out += (
        b"LOOKUP_TABLE default\n"
        + numbers([1, 2, 3], "f4")
        + b"\nGLOBAL_IDS ids int\n"
        + numbers([7, 8, 9], "i4")
    )
    out += b"\nTENSORS6 t float\n" + numbers([1] * 18, "f4") + b"\nFIELD more 2\nnames 1 3 string\n" + texts
    out += b"\nheat 1 3 float\n" + numbers([4, 5, 6], "f4") + b"\n"
    with pytest.warns(UserWarning, match="(GLOBAL_IDS|TENSORS6|the texts names) were left out"):
        mesh = Mesh.load(written(tmp_path / "a.vtk", out))
    assert mesh.pos.dtype == torch.float64 and mesh.pos[2].tolist() == [0, 1.1, 0]
    assert mesh.color.tolist() == [1, 2, 3] and mesh.heat.tolist() == [4, 5, 6]


def test_commas_that_are_decimal(tmp_path: Path) -> None:
    cloud = PointCloud.load(written(tmp_path / "a.csv", "x;y;z\n1;2;3\n1,5;-2,5;3,5e1\n"))
    assert cloud.pos.tolist() == [[1, 2, 3], [1.5, -2.5, 35]]
    cloud = PointCloud.load(written(tmp_path / "b.csv", "1.5,2.5;3.5\n"))
    assert cloud.pos.tolist() == [[1.5, 2.5, 3.5]], "both part columns"


def test_attributes_called_as_the_writers_own(tmp_path: Path) -> None:
    mesh = Mesh(SPHERE.vertices, SPHERE.faces, face_count=torch.arange(320), file=torch.arange(162))
    for name in ("a.ply", "a.npz"):
        mesh.save(tmp_path / name)
        again = Mesh.load(tmp_path / name)
        assert again.face_count.equal(mesh.face_count) and again.file.equal(mesh.file)


@pytest.mark.parametrize(("size", "dtype"), [(4, torch.float32), (8, torch.float64)])
def test_ascii_pcd_has_the_dtype_of_its_header(size: int, dtype: torch.dtype, tmp_path: Path) -> None:
    head = f"FIELDS x y z\nSIZE {size} {size} {size}\nTYPE F F F\nPOINTS 2\nDATA ascii\n"
    assert PointCloud.load(written(tmp_path / "a.pcd", head + "1 2 0.1\n0 0 0\n")).pos.dtype == dtype


def test_small_liberties_of_other_programs(tmp_path: Path) -> None:
    """Capitals in ply, a count that was never filled in, quoted names, three rows of coordinates; empty files say that they are."""
    capitals = (
        HEAD.replace("float x", "double X").replace("float y", "double Y").replace("float z", "double Z")
    )
    mesh = Mesh.load(written(tmp_path / "a.ply", capitals + "0 0 0\n1 0 0\n0 1.1 0\n3 0 1 2\n"))
    assert mesh.pos.dtype == torch.float64 and mesh.pos[2].tolist() == [0, 1.1, 0]
    data = SPHERE.export(file_type="stl")
    for count in (b"\0" * 4, b"\xff" * 4):
        with pytest.warns(UserWarning, match="facets, it has 320"):
            mesh = Mesh.load(written(tmp_path / "a.stl", data[:80] + count + data[84:]))
        assert mesh.face.shape == (3, 320)
    cloud = PointCloud.load(written(tmp_path / "a.csv", '"x","y","z","rank"\n0,0,0,4\n1,0,0,5\n'))
    assert cloud["rank"].tolist() == [4, 5] and cloud.pos.tolist() == [[0, 0, 0], [1, 0, 0]]
    np.save(tmp_path / "a.npy", CUBE.repeat(3, axis=0).T)
    with pytest.warns(UserWarning, match=r"\[3, 24\] was read as 24 points"):
        assert torch.equal(PointCloud.load(tmp_path / "a.npy").pos, torch.tensor(CUBE.repeat(3, axis=0)))
    for suffix in ("ply", "off", "obj", "stl", "xyz", "npy", "npz", "pcd", "vtk", "glb"):
        with pytest.raises(
            ValueError, match=rf"empty\.{suffix}: truncated or damaged {suffix} file \(it is empty\)"
        ):
            as_shape(written(tmp_path / f"empty.{suffix}", ""))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.obj", gzip.compress(b"v 0 0 0\n", mtime=0), "it is compressed by gzip: unpack it"),
        (
            "a.ply",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "pointer of Git LFS",
        ),
        ("a.obj", b"<!DOCTYPE html>\n<html>404</html>", "it is a web page"),
        ("a.obj", b"OFF\n3 1 0\n", "it looks like an off file"),
        ("a.off", b"# by hand\nv 0 0 0\nf 1 1 1\n", "it looks like an obj file"),
        ("a.ply", b"solid a\n facet normal 0 0 1\n", "it looks like an stl file"),
        ("a.stl", b"ply\nformat ascii 1.0\n", "it looks like a ply file"),
        ("a.ply", "ply\nformat ascii 1.0\n".encode("utf-16"), "it is text in UTF-16, which ply is not"),
    ],
)
def test_a_file_under_another_name_is_recognised(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / name, data)
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))}[\s\S]*{re.escape(said)}"):
        as_shape(path)


def test_paths_as_bytes_folders_and_open_files(tmp_path: Path) -> None:
    path = written(tmp_path / "a.off", "off\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    assert area(as_shape(os.fsencode(path))) == 0.5
    with pytest.raises(ValueError, match=r"is a folder: geodl\.datasets\.ShapeFolder reads one"):
        as_shape(tmp_path)
    with (
        path.open("rb") as file,
        pytest.raises(TypeError, match="BufferedReader is an open file, which has no format"),
    ):
        as_shape(file)


def test_what_libraries_leave_out_is_said(tmp_path: Path) -> None:
    """A corner beyond its own part, a node of no mesh, fans, points that las announces, rows behind an npy array."""
    random = np.random.default_rng(4)
    scenes = (FOREIGN["gltf"](random) for _ in range(99))
    made = next(w for w in scenes if w.suffix == ".gltf" and len(w.notes["tree"]["nodes"]) > 1)
    tree = made.notes["tree"]

    def refused(said: str, change: Callable[[Any], Any]) -> None:
        other = copy.deepcopy(tree)
        change(other)
        with pytest.raises(ValueError, match=said):
            as_shape(written(tmp_path / "a.gltf", json.dumps(other)))

    refused(r"nodes\[0\]\.mesh names number 9 of its", lambda other: other["nodes"][0].update(mesh=9))
    refused("vertices, but faces reach", lambda other: other["accessors"][0].update(count=2))
    fans = copy.deepcopy(tree)
    fans["meshes"][0]["primitives"][0]["mode"] = 6
    with pytest.warns(UserWarning, match="triangle fans were left out"):
        as_shape(written(tmp_path / "a.gltf", json.dumps(fans)))
    pytest.importorskip("laspy", reason=FILES_EXTRA)
    las = FOREIGN["las"](random)
    with pytest.raises(ValueError, match=r"records, which it has no place for|points, it is cut short"):
        as_shape(written(tmp_path / f"a{las.suffix}", las.data[:100] + b"\xff" * 3 + las.data[103:]))
    npy = FOREIGN["npy"](random)
    with pytest.warns(UserWarning, match="7 bytes behind its array were left out"):
        as_shape(written(tmp_path / "a.npy", npy.data + b"1234567"))


@pytest.mark.parametrize("end", ["$EndElem", "$EndNodes", "$Elements\n1\n"])
def test_a_cut_msh_file_is_named(tmp_path: Path, end: str) -> None:
    pytest.importorskip("meshio")
    path = tmp_path / "a.msh"
    whole = (
        "$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n3\n1 0 0 0\n2 1 0 0\n3 0 1 0\n$EndNodes\n"
        "$Elements\n1\n1 2 2 0 1 1 2 3\n$EndElements\n"
    )
    path.write_text(whole)
    assert Mesh.load(path).face.T.tolist() == [[0, 1, 2]]
    path.write_text(whole[: whole.index(end) + len(end)])
    with pytest.raises(ValueError, match=r"a\.msh"):
        Mesh.load(path)
