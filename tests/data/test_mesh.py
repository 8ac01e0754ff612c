"""Mesh: PyG conventions, and files that give back what was put in or say what is wrong with them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch_geometric.transforms import FaceToEdge, NormalizeScale

from geodl.data import Mesh
from geodl.geometry import validate

TETRAHEDRON = torch.tensor([[0, 0, 0, 1], [2, 1, 3, 2], [1, 3, 2, 3]])


def tetrahedron(dtype: torch.dtype = torch.float32, scale: float = 1.0) -> Mesh:
    """Four random corners, outward faces, and a fifth vertex that no face uses, in the middle of the list."""
    pos = scale * torch.rand(5, 3, dtype=dtype)
    return Mesh(pos, torch.where(TETRAHEDRON >= 2, TETRAHEDRON + 1, TETRAHEDRON))


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("suffix", [".ply", ".off", ".obj"])
def test_round_trip_is_exact(tmp_path: Path, suffix: str, scale: float) -> None:
    mesh = tetrahedron(scale=scale)
    mesh.save(tmp_path / f"mesh{suffix}")
    again = Mesh.load(tmp_path / f"mesh{suffix}")
    assert torch.equal(again.pos, mesh.pos)
    assert torch.equal(again.face, mesh.face)
    assert again.pos.dtype == torch.float32 and again.face.dtype == torch.int64


def test_ply_keeps_float64(tmp_path: Path) -> None:
    mesh = tetrahedron(torch.float64)
    mesh.save(tmp_path / "mesh.ply")
    assert torch.equal(Mesh.load(tmp_path / "mesh.ply").pos, mesh.pos)


def test_stl_merges_corners_in_order(tmp_path: Path) -> None:
    mesh = tetrahedron()
    mesh.save(tmp_path / "mesh.stl")
    again = Mesh.load(tmp_path / "mesh.stl")
    corners = mesh.pos[mesh.face.t().reshape(-1)]
    assert again.pos.shape == (4, 3)  # the unused vertex has no place in an stl file
    assert torch.equal(again.pos[again.face.t().reshape(-1)], corners)
    assert again.face.t().reshape(-1)[0] == 0 and again.face.max() == 3


@pytest.mark.parametrize("suffix", ["ply", "off", "obj", "stl"])
@pytest.mark.parametrize("ascii_", [False, True])
def test_reads_what_trimesh_writes(tmp_path: Path, suffix: str, ascii_: bool) -> None:
    theirs = trimesh.creation.icosphere(subdivisions=2)
    file_type = {"ply": "ply", "stl": "stl_ascii"}.get(suffix, suffix) if ascii_ else suffix
    options = {"encoding": "ascii" if ascii_ else "binary"} if suffix == "ply" else {}
    data = theirs.export(file_type=file_type, **options)
    path = tmp_path / f"sphere.{suffix}"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    mesh = Mesh.load(path)
    assert mesh.num_nodes == len(theirs.vertices) and mesh.face.shape[1] == len(theirs.faces)
    ours = mesh.pos[mesh.face.t()].numpy()
    np.testing.assert_allclose(ours, theirs.vertices[theirs.faces], atol=1e-6)
    if suffix != "stl":
        np.testing.assert_allclose(mesh.pos.numpy(), theirs.vertices, atol=1e-6)
        np.testing.assert_array_equal(mesh.face.t().numpy(), theirs.faces)


@pytest.mark.parametrize("suffix", ["ply", "off", "obj", "stl"])
def test_trimesh_reads_what_we_write(tmp_path: Path, suffix: str) -> None:
    mesh = tetrahedron()
    mesh.save(tmp_path / f"mesh.{suffix}")
    theirs = trimesh.load(tmp_path / f"mesh.{suffix}", process=False, maintain_order=True, force="mesh")
    np.testing.assert_allclose(
        theirs.vertices[theirs.faces], mesh.pos[mesh.face.t()].double().numpy(), rtol=1e-6, atol=1e-7
    )


def test_big_endian_ply(tmp_path: Path) -> None:
    mesh = tetrahedron()
    header = (
        "ply\nformat binary_big_endian 1.0\ncomment made by hand\nelement vertex 5\nproperty float x\n"
        "property float y\nproperty float z\nproperty int label\nelement face 4\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    vertices = np.zeros(5, dtype=[("pos", ">f4", 3), ("label", ">i4")])
    vertices["pos"], vertices["label"] = mesh.pos.numpy(), np.arange(5)
    faces = np.zeros(4, dtype=[("count", "u1"), ("corners", ">i4", 3)])
    faces["count"], faces["corners"] = 3, mesh.face.t().numpy()
    (tmp_path / "big.ply").write_bytes(header.encode() + vertices.tobytes() + faces.tobytes())
    again = Mesh.load(tmp_path / "big.ply")
    assert torch.equal(again.pos, mesh.pos) and torch.equal(again.face, mesh.face)
    assert torch.equal(again.y, torch.arange(5))


def test_ply_keeps_vertex_attributes(tmp_path: Path) -> None:
    mesh = tetrahedron()
    mesh.y = torch.tensor([4, 3, 2, 1, 0])
    mesh.normal = torch.rand(5, 3)
    mesh.color = torch.randint(0, 256, (5, 3), dtype=torch.uint8)
    mesh.x = torch.rand(5, 6, dtype=torch.float64)
    mesh.curvature = torch.rand(5)
    mesh.seen = torch.tensor([True, False, True, True, False])
    mesh.save(tmp_path / "mesh.ply")
    again = Mesh.load(tmp_path / "mesh.ply")
    for name in ("y", "normal", "color", "x", "curvature"):
        assert torch.equal(again[name], mesh[name]) and again[name].dtype == mesh[name].dtype, name
    assert torch.equal(again.seen.bool(), mesh.seen)
    assert torch.equal(Mesh.from_trimesh(mesh.to_trimesh()).x, mesh.x)


def test_attributes_that_ply_cannot_hold(tmp_path: Path) -> None:
    mesh = tetrahedron()
    mesh.y = torch.full((5,), 2**40)
    with pytest.raises(ValueError, match="'y' holds integers beyond 32 bits"):
        mesh.save(tmp_path / "mesh.ply")
    mesh.y, mesh.x = None, torch.rand(5)
    with pytest.raises(ValueError, match="share a ply property"):
        mesh.save(tmp_path / "mesh.ply")
    assert list(tmp_path.iterdir()) == []


def test_quads_and_polygons_become_triangles(tmp_path: Path) -> None:
    square = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n-1 0.5 0\n"
    (tmp_path / "pentagon.off").write_text("OFF\n# a comment\n5 1 0\n" + square + "5 0 1 2 3 4\n")
    (tmp_path / "mixed.off").write_text("OFF 5 2 0\n" + square + "4 0 1 2 3 # blue\n3 0 3 4\n")
    (tmp_path / "mixed.obj").write_text(
        "".join(f"v {line}\n" for line in square.splitlines()) + "f 1/1 2/2 3/3 4/4\nf -5//1 -2//1 -1//1\n"
    )
    (tmp_path / "mixed.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
        + square
        + "4 0 1 2 3\n3 0 3 4\n"
    )
    for path in sorted(tmp_path.iterdir()):
        mesh = Mesh.load(path)
        corners = mesh.pos[mesh.face.t()]
        areas = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
        assert mesh.num_nodes == 5 and mesh.face.shape[1] == 3, path.name
        assert areas.sum() == pytest.approx(1.5) and (areas > 0).all(), path.name


def test_obj_groups_and_textures_move_no_vertex(tmp_path: Path) -> None:
    """trimesh splits vertices at texture seams; a correspondence needs them in place."""
    mesh = tetrahedron()
    rows = [f"v {x} {y} {z}" for x, y, z in mesh.pos.double().tolist()]
    rows += ["vt 0 0", "vt 1 0", "vt 0 1", "vn 0 0 1", "mtllib nowhere.mtl"]
    for k, face in enumerate((mesh.face.t() + 1).tolist()):
        rows += [f"g part{k}", f"usemtl material{k % 2}"]
        rows += ["f " + " ".join(f"{v}/{(k + c) % 3 + 1}/1" for c, v in enumerate(face))]
    (tmp_path / "mesh.obj").write_text("\n".join(rows))
    again = Mesh.load(tmp_path / "mesh.obj")
    assert torch.equal(again.pos, mesh.pos) and torch.equal(again.face, mesh.face)


PLY = (
    "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
)
OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
BAD_FILES = {
    "zero.obj": (OBJ + "f 0 1 2\n", "obj counts from 1"),
    "no_rows.ply": (PLY, "truncated"),
    "no_faces.ply": (PLY + "0 0 0\n1 0 0\n0 1 0\n", "announces 1 rows of face, it has 0"),
    "short_face.ply": (PLY + "0 0 0\n1 0 0\n0 1 0\n3 0 1\n", "truncated"),
    "no_header.ply": ("ply\nformat ascii 1.0\nelement vertex 3\n", "truncated or damaged"),
    "not_a.ply": ("solid nothing", "truncated or damaged"),
    "nothing.ply": ("", "truncated or damaged"),
    "points.obj": (OBJ, "3 vertices but no faces"),
    "comment.obj": ("# nothing else\n", "empty"),
    "words.obj": (OBJ + "f one two three\n", "truncated or damaged"),
    "edge.obj": (OBJ + "f 1 2\n", "1 polygons with fewer than three vertices"),
    "short.obj": ("v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "vertex 0 has 2 coordinates"),
    "empty.off": ("OFF\n0 0 0\n", "empty"),
    "points.off": ("OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "3 vertices but no faces"),
    "rows.off": ("OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "announces 2 faces, but has 1"),
    "short_face.off": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1\n", "lists 2 of its 3 vertices"),
    "no_numbers.off": ("OFF\n", "numbers of vertices and faces is missing"),
    "not_an.off": ("ply\n", "does not begin with OFF"),
    "open.stl": ("solid s\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\n", "truncated"),
    "mesh.vtp": ("{}", "unknown mesh format '.vtp'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named(tmp_path: Path, name: str) -> None:
    text, trouble = BAD_FILES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=trouble) as error:
        Mesh.load(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


OUT_OF_RANGE = {
    "range.ply": (PLY + "0 0 0\n1 0 0\n0 1 0\n3 0 1 3\n", [0, 1, 3]),
    "negative.ply": (PLY + "0 0 0\n1 0 0\n0 1 0\n3 0 1 -1\n", [0, 1, -1]),
    "range.off": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", [0, 1, 7]),
    "range.obj": (OBJ + "f 1 2 9\n", [0, 1, 8]),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_face_out_of_range_is_an_index_error_as_everywhere(tmp_path: Path, name: str) -> None:
    text, face = OUT_OF_RANGE[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(IndexError, match=re.escape(f"{tmp_path / name}: face 0 is {face}")):
        Mesh.load(tmp_path / name)


NOT_FINITE = {
    "nan.ply": (PLY.replace("vertex 3", "vertex 4") + "0 0 0\n1 0 0\n0 1 0\nnan 0 -nan(ind)\n3 0 1 2\n", 3),
    "inf.obj": (OBJ + "v inf 0 0\nf 1 2 3\n", 3),
    "nan.off": ("OFF\n4 1 0\n1.#QNAN 0 0\n1 0 0\n0 1 0\n0 0 1\n3 1 2 3\n", 0),
}


@pytest.mark.parametrize("name", NOT_FINITE)
def test_vertices_that_are_not_finite_load_and_are_reported(tmp_path: Path, name: str) -> None:
    text, vertex = NOT_FINITE[name]
    (tmp_path / name).write_text(text)
    with pytest.warns(
        UserWarning, match=f"1 vertices have NaN or infinite coordinates, first vertex {vertex}"
    ):
        mesh = Mesh.load(tmp_path / name)
    assert validate(mesh).not_finite.tolist() == [vertex]
    with pytest.warns(UserWarning, match="removed 1 non-finite vertices"):
        whole = Mesh.load(tmp_path / name, repair=True)
    assert isinstance(whole, Mesh) and whole.pos.shape == (3, 3) and validate(whole).is_clean


@pytest.mark.parametrize("suffix", ["ply", "stl"])
def test_every_truncation_of_a_binary_file_is_noticed(tmp_path: Path, suffix: str) -> None:
    tetrahedron().save(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="truncated or damaged"):
            Mesh.load(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.ply: no such mesh file"):
        Mesh.load(tmp_path / "none.ply")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        tetrahedron().save(tmp_path / "nowhere" / "mesh.ply")
    with pytest.raises(ValueError, match="unknown mesh format"):
        tetrahedron().save(tmp_path / "mesh.xyz")


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = tetrahedron()
    mesh.save(tmp_path / "mesh.ply")

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        tetrahedron().save(tmp_path / "mesh.ply")
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.ply"]
    assert torch.equal(Mesh.load(tmp_path / "mesh.ply").pos, mesh.pos)


@pytest.mark.parametrize(
    ("pos", "face", "trouble"),
    [
        (torch.rand(4, 2), TETRAHEDRON, r"pos must have shape \[V, 3\], not \[4, 2\]"),
        (torch.rand(3, 4), TETRAHEDRON, r"pos must have shape \[V, 3\], not \[3, 4\]; transpose it"),
        (torch.zeros(4, 3, dtype=torch.complex64), TETRAHEDRON, "pos must be floating point"),
        (
            torch.rand(4, 3),
            torch.zeros(2, 5, dtype=torch.int64),
            r"face must have shape \[3, F\] or \[F, 3\], not \[2, 5\]",
        ),
        (torch.rand(4, 3), TETRAHEDRON.float(), "face must hold integers, not torch.float32"),
    ],
)
def test_bad_arguments(pos: torch.Tensor, face: torch.Tensor, trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble):
        Mesh(pos, face)


def test_a_face_out_of_range_is_an_index_error() -> None:
    with pytest.raises(IndexError, match=r"face 0 is \[0, 2, 1\].* 0 to 1 \(4 such faces\)"):
        Mesh(torch.rand(2, 3), TETRAHEDRON)
    with pytest.raises(IndexError, match=r"face 0 is \[-1, 1, 0\]"):
        Mesh(torch.rand(4, 3), TETRAHEDRON - 1)


def test_degenerate_faces_and_isolated_vertices_are_kept(tmp_path: Path) -> None:
    """They are for geometry.validate and repair to judge: reading changes nothing."""
    mesh = Mesh(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]]), torch.tensor([[0, 0], [1, 1], [2, 1]])
    )
    for suffix in ("ply", "off", "obj"):
        mesh.save(tmp_path / f"mesh.{suffix}")
        again = Mesh.load(tmp_path / f"mesh.{suffix}")
        assert torch.equal(again.pos, mesh.pos) and torch.equal(again.face, mesh.face)


def test_pyg_transforms_take_it() -> None:
    mesh = FaceToEdge(remove_faces=False)(NormalizeScale()(tetrahedron()))
    assert isinstance(mesh, Mesh)
    assert mesh.edge_index.shape == (2, 12)  # the six edges of a tetrahedron, both ways
    assert mesh.pos.abs().max() < 1


def test_trimesh_and_back() -> None:
    mesh = tetrahedron()
    mesh.y = torch.arange(5)
    again = Mesh.from_trimesh(mesh.to_trimesh())
    assert (
        torch.equal(again.pos, mesh.pos)
        and torch.equal(again.face, mesh.face)
        and torch.equal(again.y, mesh.y)
    )


def test_open3d() -> None:
    pytest.importorskip("open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError)
    mesh = tetrahedron()
    mesh.color = torch.randint(0, 256, (5, 3), dtype=torch.uint8)
    theirs = mesh.to_open3d()
    np.testing.assert_array_equal(np.asarray(theirs.vertices), mesh.pos.double().numpy())
    np.testing.assert_array_equal(np.asarray(theirs.triangles), mesh.face.t().numpy())
    np.testing.assert_allclose(np.asarray(theirs.vertex_colors), mesh.color.numpy() / 255)


def test_open3d_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open3d", None)
    with pytest.raises(ImportError, match="pip install open3d"):
        tetrahedron().to_open3d()


def test_shared_meshes_load(shared_data: Path) -> None:
    """Closed, with boundary, quads, many components: vertex and face counts as trimesh counts them."""
    paths = sorted((shared_data / "meshes").glob("*.o*"))
    if not paths:
        pytest.skip("the data folder has no meshes")
    for path in paths:
        mesh = Mesh.load(path)
        rows = path.read_text().splitlines()
        if path.suffix == ".obj":
            assert mesh.num_nodes == sum(row.startswith("v ") for row in rows)
        else:
            theirs = trimesh.load(path, process=False)
            np.testing.assert_allclose(mesh.pos.numpy(), theirs.vertices, rtol=1e-6)
            np.testing.assert_array_equal(mesh.face.t().numpy(), theirs.faces)
