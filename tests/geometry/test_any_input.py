"""Every function of geometry on every broken mesh: finite numbers, or an error that names the trouble."""

from __future__ import annotations

import pytest

from benchmarks.any_input import FUNCTIONS, examine, kind_of
from geodl import geometry
from geodl.data import Mesh
from geodl.datasets import broken_meshes
from geodl.geometry import MeshReport, validate

MESHES = broken_meshes()
# Shapes that nothing can be computed on, beyond saying why.
HOPELESS = {
    "NaN",
    "infinity",
    "one point",
    "no faces",
    "no vertices",
    "face out of range",
    "one flat triangle",
}
CLOUDS = {name for name, shape in MESHES.items() if shape.face is None}
# Too few points, or triangles that are all apart: these functions have nothing to answer there, and say so.
LIMITS = {"chart_radius", "laplacian points", "match"}
# What `remesh` refuses: it says what to do.
REMESHING = {
    "non-manifold edge": "Take faces away",
    "zero-area faces": "Take faces away",
    "flipped faces": "repair",
    "duplicate faces": "repair",
    "corner named twice": "repair",
    "Moebius strip": "cut it open",
}
DEFECTS = {
    "non-manifold edge": lambda r: r.non_manifold_edges == 1,
    "bow-tie vertex": lambda r: r.non_manifold_vertices == 1 and r.components == 1,
    "flipped faces": lambda r: r.inconsistent_edges > 0 and r.orientable,
    "duplicate faces": lambda r: r.duplicate_faces == 80,
    "several components": lambda r: r.components == 3,
    "isolated vertices": lambda r: r.isolated_vertices == 4,
    "holes": lambda r: r.boundary_loops > 1,
    "Moebius strip": lambda r: not r.orientable and r.boundary_loops == 1,
    "triangle soup": lambda r: r.components == 320 and r.duplicate_vertices == 960 - 162,
    "duplicate vertices": lambda r: r.duplicate_vertices == 18,
    "zero-area faces": lambda r: r.degenerate_faces == 5,
    "corner named twice": lambda r: r.degenerate_faces == 4,
    "NaN": lambda r: r.not_finite.tolist() == [81],
    "face out of range": lambda r: r.out_of_range.tolist() == [5],
}


@pytest.mark.parametrize("name", MESHES)
def test_an_answer_or_a_diagnosis(name) -> None:
    found = examine(MESHES[name])["functions"]
    assert set(found) == set(FUNCTIONS)
    failed = {function: text for function, text in found.items() if kind_of(text) == "failures"}
    assert not failed
    if name not in HOPELESS | CLOUDS:
        refused = {function for function, text in found.items() if kind_of(text) == "diagnoses"}
        limits = LIMITS | ({"remesh"} if name in REMESHING else set())
        assert refused <= limits, {function: found[function] for function in refused}
    if name in REMESHING:
        assert REMESHING[name] in found["remesh"]


@pytest.mark.parametrize("name", DEFECTS)
def test_the_defect_is_there_and_reported(name) -> None:
    report: MeshReport = validate(MESHES[name])
    assert DEFECTS[name](report), str(report)
    assert not report.is_clean or report.boundary_loops or report.components > 1


def test_point_clouds_have_all_that_needs_no_faces() -> None:
    found = examine(MESHES["point cloud"])["functions"]
    answered = {function for function, text in found.items() if kind_of(text) == "answers"}
    assert answered >= {
        "point_normals",
        "tangent_frames",
        "gradient",
        "laplacian",
        "spectrum",
        "shot",
        "coarsen",
    }


def test_every_public_function_of_geometry_is_tried() -> None:
    functions = {
        name
        for name in geometry.__all__
        if callable(getattr(geometry, name)) and not isinstance(getattr(geometry, name), type)
    }
    tried = {name.split()[0] for name in FUNCTIONS}
    rotations = {name for name in functions if "matrix" in name}  # these take no shape
    assert functions - tried - rotations == {"as_shape", "grid_laplacian", "template_coverage"}


@pytest.mark.parametrize("name", ["2triangles.off", "decimated-knight.off", "truck.obj"])
def test_meshes_of_the_wild(shared_data, name) -> None:
    found = examine(Mesh.load(shared_data / "meshes" / name))["functions"]
    assert not {function: text for function, text in found.items() if kind_of(text) == "failures"}
