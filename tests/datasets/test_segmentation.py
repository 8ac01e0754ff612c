"""Parts of shapes: FAUST's by SMPL, COSEG and the human bodies of Maron et al., from files that the tests write."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from geodl.data import DataLoader, Mesh
from geodl.datasets import COSEG, FAUSTParts, HumanSegmentation, SegmentationSet
from geodl.datasets.faust_parts import _aligned, _by_points, _by_surface, read_parts
from geodl.geometry import vertex_areas
from tests.datasets.layouts import template

SMPL = "SMPL_parts/smpl_vert_segmentation.json"


def write_parts(path: Path, parts: dict[str, list[int]]) -> Path:
    path.write_text(json.dumps(parts))
    return path


def test_a_vertex_in_two_parts_is_of_the_smaller(tmp_path: Path) -> None:
    everything = {
        "trunk": list(range(4000)),
        "tail": list(range(3900, 5000)),  # smaller than trunk: 3900 to 3999 are its
        "b": list(range(4990, 6890)),  # larger than tail
        "a": [5500, 5501],
        "c": [5501, 5502],  # as small as a, which comes first by name
    }
    names, part = read_parts(write_parts(tmp_path / "parts.json", everything))
    assert names == ("a", "b", "c", "tail", "trunk")
    of = {name: (part == k).nonzero()[:, 0].tolist() for k, name in enumerate(names)}
    assert of["trunk"] == list(range(3900)) and of["tail"] == list(range(3900, 5000))
    assert of["a"] == [5500, 5501] and of["c"] == [5502]
    # The order in the file says nothing.
    backwards = dict(reversed(everything.items()))
    assert torch.equal(read_parts(write_parts(tmp_path / "back.json", backwards))[1], part)


@pytest.mark.parametrize(
    ("text", "error", "trouble"),
    [
        ("{", ValueError, "is damaged"),
        ("[1, 2]", ValueError, "is damaged"),
        ('{"a": [0.5]}', ValueError, "should hold a list of vertices for every part"),
        ('{"a": []}', ValueError, "should hold a list of vertices for every part"),
        ('{"a": [6890]}', IndexError, r"a lists vertices that are not in 0\.\.6889"),
        ('{"a": [0, 2]}', ValueError, "has 6888 vertices in no part, the first is 1"),
    ],
)
def test_damaged_segmentations_are_named(
    text: str, error: type[Exception], trouble: str, tmp_path: Path
) -> None:
    (tmp_path / "parts.json").write_text(text)
    with pytest.raises(error, match=trouble):
        read_parts(tmp_path / "parts.json")


def test_a_missing_segmentation_is_told_how_to_get(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"No segmentation of SMPL at(.|\n)*Meshcapade"):
        read_parts(tmp_path / "parts.json")


def strip(length: int) -> Mesh:
    """A strip of squares: vertices 2 k and 2 k + 1 at distance k."""
    k = torch.arange(length)
    pos = torch.stack([k.repeat_interleave(2), torch.tensor([0, 1]).repeat(length), 0 * k.repeat(2)], 1)
    a = 2 * torch.arange(length - 1)
    face = torch.cat([torch.stack([a, a + 2, a + 1]), torch.stack([a + 1, a + 2, a + 3])], 1)
    return Mesh(pos.float(), face, name="strip")


def test_a_vertex_without_a_point_has_the_label_of_the_nearest_that_has_one() -> None:
    at, label = torch.tensor([0, 0, 0, 1, 13]), torch.tensor([2, 1, 1, 1, 3])
    found = _by_points(strip(7), at, label, 4)
    assert found[:6].tolist() == [1] * 6 and found[8:].tolist() == [3] * 6  # the middle is as far from either
    two = strip(3)
    two.pos, two.face = torch.cat([two.pos, two.pos + 9]), torch.cat([two.face, two.face + 6], 1)
    with pytest.raises(ValueError, match="strip has 6 vertices that no edges join to a common point"):
        _by_points(two, at[:4], label[:4], 4)


def areas(mesh: Mesh, classes: int) -> Tensor:
    """The share of every part in the surface."""
    area = vertex_areas(mesh)
    return torch.zeros(classes).index_add(0, mesh.y, area) / area.sum()


def test_published_parts(shared_data: Path) -> None:
    bodies = FAUSTParts(shared_data, shared_data / SMPL, split="test")
    assert len(bodies) == 20 and bodies.num_classes == 24 and bodies.parts[0] == "head"
    sizes = dict(zip(bodies.parts, bodies.template_part.bincount().tolist(), strict=True))
    assert sum(sizes.values()) == 6890
    for name in bodies.parts:  # left and right are alike
        assert sizes[name] == sizes[name.replace("left", "right")]
    remeshed = FAUSTParts(shared_data, shared_data / SMPL, "remeshed", "test")
    for k in (0, 13):
        torch.testing.assert_close(areas(bodies[k], 24), areas(remeshed[k], 24), rtol=0, atol=0.01)
    overlaid = FAUSTParts(shared_data, shared_data / SMPL, "remeshed", "test", registrations=shared_data)
    for k in (0, 13):
        torch.testing.assert_close(areas(bodies[k], 24), areas(overlaid[k], 24), rtol=0, atol=0.003)
        assert 0.94 < float((overlaid[k].y == remeshed[k].y).double().mean()) < 0.99
    with pytest.raises(ValueError, match='registrations are for the variant "remeshed"'):
        FAUSTParts(shared_data, shared_data / SMPL, registrations=shared_data)


def test_parts_of_a_surface_that_was_moved() -> None:
    body = template()
    part = (body.pos[:, 2] > 0.01).long()
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).Q
    turn = turn * torch.linalg.det(turn)
    moved = 2.5 * body.pos.double() @ turn.T + torch.tensor([1.0, -2.0, 0.5])
    there = _aligned(body.pos, body.pos[::3], moved[::3])
    torch.testing.assert_close(there, moved, rtol=0, atol=1e-5)
    body.pos = there
    other = Mesh(moved.flip(0), body.face)
    assert torch.equal(_by_surface(other, body, part), part.flip(0))


def write_labels(path: Path, labels: Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{int(label)}\n" for label in labels))


def test_coseg(tmp_path: Path) -> None:
    family, mesh = tmp_path / "Vases", template()
    labels = torch.arange(80) % 3 + 1
    (family / "shapes").mkdir(parents=True)
    for number in (2, 10):
        mesh.save(family / "shapes" / f"{number}.off")
        write_labels(family / "gt" / f"{number}.seg", labels)
    vases = COSEG(tmp_path, "Vases")
    assert isinstance(vases, SegmentationSet) and vases.names == ["2", "10"]
    assert vases.parts == ("part 1", "part 2", "part 3") and vases.num_classes == 3
    assert torch.equal(vases[1].y, labels - 1) and torch.equal(vases[-1].face, mesh.face)
    assert len(COSEG(family)) == 2
    batch = next(iter(DataLoader(vases, batch_size=2)))
    assert batch.y.shape == (160,) and batch.face.max() == 83
    assert pickle.loads(pickle.dumps(vases))._meshes == {}
    with pytest.raises(IndexError):
        vases[2]
    write_labels(family / "gt" / "10.seg", labels[:79])
    with pytest.raises(ValueError, match=r"10\.seg has 79 labels but 10\.off has 80 faces"):
        COSEG(family)[1]
    write_labels(family / "gt" / "10.seg", labels + 7)
    with pytest.raises(ValueError, match="should be consecutive"):
        COSEG(family)
    (family / "gt" / "10.seg").write_text("1\n2.5\n")
    with pytest.raises(ValueError, match=r"10\.seg is damaged: labels must be whole numbers"):
        COSEG(family)
    (family / "gt" / "10.seg").write_text("")
    with pytest.raises(ValueError, match=r"10\.seg is empty"):
        COSEG(family)
    (family / "gt" / "10.seg").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 10\.seg(.|\n)*Ground-truth"):
        COSEG(family)
    with pytest.raises(FileNotFoundError, match="has neither shapes/ and gt/ nor Chairs"):
        COSEG(tmp_path, "Chairs")


def write_bodies(root: Path, labels: Tensor) -> None:
    """The layout of sig17_seg_benchmark, with a ball for every body."""
    mesh, meshes, segs = template(), root / "meshes", root / "segs"
    motions = ("bouncing", "crane", "handstand", "jumping", "march1", "march2", "squat1", "squat2")
    folders = {
        "train/adobe": ["man.off"],
        "train/faust": ["tr_reg_000.off", "tr_reg_001.off"],
        "train/scape": ["mesh000.off"],
        **{f"train/MIT_animation/meshes_{motion}/meshes": ["mesh_0000.obj"] for motion in motions},
        "test/shrec": [
            "12_fix_orientation.off" if k == 12 else f"{k}.off" for k in range(1, 21) if k not in (16, 18)
        ],
    }
    for folder, names in folders.items():
        (meshes / folder).mkdir(parents=True)
        for name in names:
            mesh.save(meshes / folder / name)
    write_labels(segs / "train/adobe/man.txt", labels)
    for source in ("faust", "scape"):
        write_labels(segs / f"train/{source}/{source}_corrected.txt", labels)
    for motion in motions:
        write_labels(segs / f"train/mit/mit_{motion}_corrected.txt", labels)
    for k in range(1, 21):
        write_labels(segs / f"test/shrec/shrec_{k}_full.txt", labels)


def test_human_bodies(tmp_path: Path) -> None:
    root, labels = tmp_path / "sig17_seg_benchmark", torch.arange(80) % 8 + 1
    write_bodies(root, labels)
    train, test, both = (HumanSegmentation(tmp_path, split) for split in ("train", "test", None))
    assert train.names[:4] == ["adobe/man", "faust/tr_reg_000", "faust/tr_reg_001", "scape/mesh000"]
    assert train.names[4:6] == ["mit/bouncing/mesh_0000", "mit/crane/mesh_0000"]
    assert (len(train), len(test), len(both)) == (12, 18, 30) and both.names == train.names + test.names
    assert test.names[11] == "shrec/12" and train.parts[0] == "head" and train.num_classes == 8
    for mesh in (train[2], train[-1], test[11]):
        assert torch.equal(mesh.y, labels - 1)
    write_labels(root / "segs/test/shrec/shrec_3_full.txt", labels - 1)
    with pytest.raises(IndexError, match=r"shrec_3_full\.txt holds labels 0\.\.7, which should be 1\.\.8"):
        HumanSegmentation(root, "test")[2]
    (root / "segs/train/adobe/man.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"man\.txt is missing(.|\n)*human_benchmark_sig_17"):
        HumanSegmentation(root)
    with pytest.raises(ValueError, match="split must be"):
        HumanSegmentation(root, "all")  # type: ignore[arg-type]
