"""Sets in correspondence: layouts, splits, pairs, and what is said of files that are missing or damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from geodl.data import DataLoader, Mesh
from geodl.datasets import DT4D, FAUST, SCAPE, SHREC19, SMAL, TOSCA, CorrespondenceSet, ShapePair, ShapePairs
from geodl.matching import MatchedPair, evaluate
from tests.datasets.layouts import write_set, write_shape, write_vertices

SMAL_NAMES = [f"{species}_{number}" for species in ("cougar", "hippo", "horse") for number in (0, 1)]
DT4D_NAMES = {
    "crypto": ["Idle012", "Run003"],
    "drake": ["Idle001", "Jump020", "Run007"],
    "ortiz": ["Idle004"],
}


def faust(folder: Path) -> None:
    write_set(folder, [f"tr_reg_{number:03d}" for number in range(100)])
    (folder / "test_pairs.txt").write_text("tr_reg_002\ttr_reg_007\ntr_reg_000\ttr_reg_099\n\n")


def scape(folder: Path) -> None:
    write_set(folder, [f"mesh{number:03d}" for number in range(72) if number != 51])


def shrec19(folder: Path) -> None:
    shapes = {n: write_shape(folder / "off" / f"{n}.off", None) for n in (1, 2, 3, 10, 40)}
    for one, other in ((1, 2), (2, 10), (10, 3), (40, 1), (2, 40)):
        nearest = torch.cdist(shapes[one].pos, shapes[other].pos).argmin(
            1
        )  # the same points, so at distance 0
        write_vertices(folder / "corres" / f"{one}_{other}.map", nearest)


def tosca(folder: Path) -> None:
    for category, names in enumerate((["cat0", "cat1", "cat10"], ["dog0", "dog2"])):
        for name in names:
            write_shape(
                folder / "vtx_5k" / f"{name}.off", folder / "vtx_5k" / "corres" / f"{name}.vts", category
            )
            (folder / "vtx_5k" / "corres" / f"{name}.sym.vts").write_text("1\n")  # not read
    (folder / "test_pairs.txt").write_text("cat0\tcat10\ncat10\tcat1\ndog0\tdog2\n")


def smal(folder: Path) -> None:
    write_set(folder, SMAL_NAMES)
    (folder / "train_cat.txt").write_text("horse_0\nhorse_1\ncougar_1\ncougar_0\n")
    (folder / "test_cat.txt").write_text("hippo_0\nhippo_1\n")
    (folder / "train.txt").write_text("horse_0\ncougar_0\nhippo_0\n")
    (folder / "test.txt").write_text("horse_1\ncougar_1\nhippo_1\n")


def dt4d(folder: Path) -> None:
    for category, names in DT4D_NAMES.items():
        for name in names:
            write_shape(
                folder / "off" / category / f"{name}.off", folder / "corres" / category / f"{name}.vts"
            )
    # Line t: the point of drake's template at point t of crypto's. All are one ball here, so it is a mere renumbering of drake.
    renumber = torch.randperm(42)
    for name in DT4D_NAMES["drake"]:
        path = folder / "corres" / "drake" / f"{name}.vts"
        vertices = torch.tensor([int(line) for line in path.read_text().split()]) - 1
        write_vertices(path, vertices[renumber])
    write_vertices(folder / "corres" / "cross_category_corres" / "crypto_drake.vts", renumber.argsort())
    (folder / "train.txt").write_text("crypto/Idle012\ndrake/Idle001\npumpkinhulk/Idle001\n")
    (folder / "test.txt").write_text("crypto/Run003\ndrake/Jump020\ndrake/Run007\nortiz/Idle004\n")


def remeshed(root: Path, **options: Any) -> FAUST:
    return FAUST(root, variant="remeshed", **options)


SETS: dict[str, tuple[Callable[[Path], None], Callable[..., CorrespondenceSet]]] = {
    "FAUST_r": (faust, remeshed),
    "SCAPE_r": (scape, SCAPE),
    "SHREC19_r": (shrec19, SHREC19),
    "TOSCA_Isometric": (tosca, TOSCA),
    "SMAL_r": (smal, SMAL),
    "DT4D_r": (dt4d, DT4D),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all sets; the tests do not change it."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("sets")
    for name, (write, _) in SETS.items():
        write(root / name)
    return root


@pytest.mark.parametrize("name", SETS)
def test_pairs_lead_to_the_same_points(data: Path, name: str) -> None:
    shapes = SETS[name][1](data)  # the folder above
    assert len(SETS[name][1](data / name)) == len(shapes)
    pairs = shapes.pairs()
    assert isinstance(pairs, ShapePairs) and len(pairs) > 0
    for pair in pairs[:50]:
        assert isinstance(pair, ShapePair)
        assert pair.source_vertices.shape == pair.target_vertices.shape == (42,)
        assert pair.source_vertices.dtype == pair.target_vertices.dtype == torch.int64
        one, other = pair.source.pos[pair.source_vertices], pair.target.pos[pair.target_vertices]
        assert torch.equal(one, other)  # all shapes of a category are one ball, renumbered
        assert pair.name == f"{pair.source.name}-{pair.target.name}"


@pytest.mark.parametrize("name", SETS)
def test_one_evaluation_for_all_sets(data: Path, name: str) -> None:
    """A point map by position is right everywhere; one that is shifted by a vertex is not."""
    right, wrong = [], []
    for pair in SETS[name][1](data).pairs()[:3]:
        point_map = torch.cdist(pair.source.pos, pair.target.pos).argmin(1)
        true = pair.target_vertices
        right.append(MatchedPair(pair.target, point_map[pair.source_vertices], true, pair.name))
        wrong.append(MatchedPair(pair.target, point_map.roll(1)[pair.source_vertices], true, pair.name))
    assert evaluate(right).mean_error == 0 and evaluate(right).accuracy == 1
    assert evaluate(wrong).mean_error > 1 and evaluate(wrong).accuracy == 0


def test_faust(data: Path) -> None:
    train, test, everything = (remeshed(data, split=split) for split in ("train", "test", None))
    assert (len(train), len(test), len(everything)) == (80, 20, 100)
    mesh = test[13]
    assert (mesh.name, mesh.subject, mesh.pose) == ("tr_reg_093", 9, 3)
    assert mesh.pos.dtype == torch.float32 and mesh.corres.shape == (42,) and "y" not in mesh
    assert [pair.name for pair in everything.pairs()] == ["tr_reg_002-tr_reg_007", "tr_reg_000-tr_reg_099"]
    assert len(test.pairs()) == 20 * 19 and test.pairs().indices[:2] == [(0, 1), (0, 2)]
    batch = next(iter(DataLoader(test, batch_size=3)))
    assert batch.corres.shape == (3 * 42,) and torch.equal(batch.get_example(1).corres, test[1].corres)


def test_scape(data: Path) -> None:
    train, test = SCAPE(data, split="train"), SCAPE(data, split="test")
    assert (len(train), len(test), len(SCAPE(data))) == (51, 20, 71)
    assert (train[50].name, test[0].name, test[19].name) == ("mesh050", "mesh052", "mesh071")
    assert test[19].pose == 71


def test_shrec19(data: Path) -> None:
    shapes = SHREC19(data)
    assert shapes.names == ["1", "2", "3", "10"]  # by number, without the partial shape
    assert [pair.name for pair in shapes.pairs()] == ["1-2", "2-10", "10-3"]
    assert "corres" not in shapes[0]


def test_tosca(data: Path) -> None:
    shapes = TOSCA(data)
    assert shapes.names == ["cat0", "cat1", "cat10", "dog0", "dog2"]
    assert [mesh.category for mesh in shapes] == ["cat"] * 3 + ["dog"] * 2
    assert [pair.name for pair in shapes.pairs()] == ["cat0-cat10", "cat10-cat1", "dog0-dog2"]
    dogs = TOSCA(data, categories=["dog"])
    assert dogs.names == ["dog0", "dog2"] and [pair.name for pair in dogs.pairs()] == ["dog0-dog2"]
    with pytest.raises(ValueError, match="has no category 'cow'; it has cat, dog"):
        TOSCA(data, categories=["cow"])


def test_tosca_in_the_layout_of_the_others(tmp_path: Path) -> None:
    write_set(tmp_path / "TOSCA_r", ["cat0", "cat1", "dog0", "dog1"])
    names = [pair.name for pair in TOSCA(tmp_path).pairs()]
    assert names == ["cat0-cat1", "cat1-cat0", "dog0-dog1", "dog1-dog0"]  # without a list: within categories


def test_smal(data: Path) -> None:
    train, test = SMAL(data, split="train"), SMAL(data, split="test")
    assert train.names == ["horse_0", "horse_1", "cougar_1", "cougar_0"] and test.names == [
        "hippo_0",
        "hippo_1",
    ]
    assert train[0].species == "horse" and len(train.pairs()) == 12
    assert SMAL(data).names == SMAL_NAMES
    assert SMAL(data, split="test", by_species=False).names == ["horse_1", "cougar_1", "hippo_1"]


def test_dt4d(data: Path) -> None:
    assert DT4D(data, split="train").names == ["crypto/Idle012", "drake/Idle001"]  # without pumpkinhulk
    test = DT4D(data, split="test")
    assert [pair.name for pair in test.pairs()] == [
        "drake/Jump020-drake/Run007",
        "drake/Run007-drake/Jump020",
    ]
    assert test[0].category == "crypto"
    inter = DT4D(data, split="test", between="inter").pairs()
    assert [pair.name for pair in inter] == ["crypto/Run003-drake/Jump020", "crypto/Run003-drake/Run007"]
    for pair in inter:
        assert torch.equal(pair.source.pos[pair.source_vertices], pair.target.pos[pair.target_vertices])
    with pytest.raises(ValueError, match="between must be 'intra' or 'inter', not 'both'"):
        DT4D(data, between="both")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"drake_ortiz\.vts: no such correspondence file"):
        test.common_points(1, 3)


@pytest.mark.parametrize("name", [name for name in SETS if name not in ("SHREC19_r", "TOSCA_Isometric")])
def test_a_split_that_there_is_not(data: Path, name: str) -> None:
    with pytest.raises(ValueError, match="split must be 'train', 'test' or None, not 'validation'"):
        SETS[name][1](data, split="validation")


@pytest.mark.parametrize("name", SETS)
def test_missing_data_says_how_to_get_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"(?s)nowhere: it is no folder.*Download.*README\.md says more"
    ):
        SETS[name][1](tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"(?s)it has neither off/ and corres/ nor .*Download"):
        SETS[name][1](tmp_path)
    (tmp_path / "off").mkdir()
    (tmp_path / "corres").mkdir()
    with pytest.raises(FileNotFoundError, match=r"(?s)(lacks|has no off files).*Download"):
        SETS[name][1](tmp_path)


def scape_copy(folder: Path) -> Path:
    scape(folder)
    return folder / "corres" / "mesh002.vts"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", ValueError, r"mesh002\.vts is empty"),
        ("1\n2\nthree\n", ValueError, r"mesh002\.vts is damaged: .*three"),
        ("1\n2.5\n", ValueError, r"mesh002\.vts is damaged: line 2 is 2\.5"),
        ("1\nnan\n", ValueError, r"mesh002\.vts is damaged: line 2 is nan"),
        ("1\n0\n", IndexError, r"line 2 names vertex 0, but mesh002\.off has 42 vertices \(counted from 1\)"),
        ("42\n43\n", IndexError, r"line 2 names vertex 43, but mesh002\.off has 42 vertices"),
        ("1\n-1\n", IndexError, r"line 2 names vertex -1"),
        ("1\n2\n", ValueError, r"mesh002\.vts lists 2 vertices but mesh000\.vts lists 42"),
    ],
)
def test_damaged_correspondences(tmp_path: Path, content: str, error: type[Exception], message: str) -> None:
    scape_copy(tmp_path).write_text(content)
    shapes = SCAPE(tmp_path, split="train")
    assert shapes[0].corres.shape == (42,)
    for _ in range(2):  # what failed is not kept
        with pytest.raises(error, match=message):
            shapes[2]


def test_whole_numbers_may_be_written_as_floats(tmp_path: Path) -> None:
    path = scape_copy(tmp_path)
    before = SCAPE(tmp_path)[2].corres
    path.write_text("".join(f"{float(line):.6e}\r\n" for line in path.read_text().split()))
    assert torch.equal(SCAPE(tmp_path)[2].corres, before)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = scape_copy(tmp_path)
    mesh = tmp_path / "off" / "mesh003.off"
    mesh.write_text(mesh.read_text()[:100])
    with pytest.raises(ValueError, match=r"mesh003\.off: truncated or damaged off file"):
        SCAPE(tmp_path)[3]
    mesh.unlink()
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"lacks corres/mesh002\.vts, off/mesh003\.off\.\n(?s:.*)Download"
    ):
        SCAPE(tmp_path)
    assert len(SCAPE(tmp_path, split="test")) == 20


def test_damaged_pair_lists(tmp_path: Path) -> None:
    write_set(tmp_path, [f"tr_reg_{number:03d}" for number in range(100)])
    path = tmp_path / "test_pairs.txt"
    shapes = remeshed(tmp_path)
    path.write_text("tr_reg_000 tr_reg_001\ntr_reg_000\n")
    with pytest.raises(ValueError, match=r"line 2 should name two shapes: 'tr_reg_000'"):
        shapes.pairs()
    path.write_text("tr_reg_000 tr_reg_100\n")
    with pytest.raises(ValueError, match="line 1 names tr_reg_100, which is not in the set"):
        shapes.pairs()
    path.unlink()
    assert len(shapes.pairs()) == 9900


def test_damaged_maps(tmp_path: Path) -> None:
    shrec19(tmp_path)
    path = tmp_path / "corres" / "1_2.map"
    path.write_text("1\n2\n")
    with pytest.raises(ValueError, match=r"1_2\.map has 2 lines, but 1\.off has 42 vertices"):
        SHREC19(tmp_path).pairs()[0]
    path.write_text("99\n" * 42)
    with pytest.raises(IndexError, match=r"1_2\.map: line 1 names vertex 99, but 2\.off has 42"):
        SHREC19(tmp_path).pairs()[0]
    path.rename(path.with_name("1_77.map"))
    with pytest.raises(ValueError, match=r"1_77\.map should be named after two shapes"):
        SHREC19(tmp_path).pairs()
    for map_file in path.parent.glob("*.map"):
        map_file.unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)has no maps.*Download"):
        SHREC19(tmp_path).pairs()


def test_damaged_lists_and_templates(tmp_path: Path) -> None:
    smal(tmp_path / "SMAL_r")
    (tmp_path / "SMAL_r" / "test_cat.txt").write_text("zebra_0\n")
    with pytest.raises(FileNotFoundError, match=r"lacks off/zebra_0\.off, corres/zebra_0\.vts"):
        SMAL(tmp_path, split="test")
    (tmp_path / "SMAL_r" / "test_cat.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"test_cat\.txt is empty"):
        SMAL(tmp_path, split="test")
    (tmp_path / "SMAL_r" / "test_cat.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)lacks test_cat\.txt, the list of the split.*Download"):
        SMAL(tmp_path, split="test")
    dt4d(tmp_path / "DT4D_r")
    across = tmp_path / "DT4D_r" / "corres" / "cross_category_corres" / "crypto_drake.vts"
    across.write_text("1\n2\n")
    with pytest.raises(ValueError, match=r"crypto_drake\.vts has 2 lines, but the template of crypto has 42"):
        DT4D(tmp_path, between="inter").pairs()[0]
    across.unlink()
    with pytest.raises(FileNotFoundError, match=r"(?s)cross_category_corres has no maps.*Download"):
        DT4D(tmp_path, between="inter").pairs()


def test_shapes_of_different_templates_do_not_match(data: Path) -> None:
    shapes = TOSCA(data)
    with pytest.raises(ValueError, match="cat10 and dog0 are of different categories"):
        shapes.common_points(2, 3)


def test_transform_sees_a_copy(data: Path) -> None:
    def lift(mesh: Mesh) -> Mesh:
        mesh.pos = mesh.pos + 1
        return mesh

    lifted, plain = SCAPE(data, transform=lift), SCAPE(data)
    for _ in range(2):
        assert torch.equal(lifted[1].pos, plain[1].pos + 1)


def test_the_real_remeshed_faust(shared_data: Path) -> None:
    if not (shared_data / "FAUST_r").is_dir():
        pytest.skip("the data folder has no FAUST_r")
    test = remeshed(shared_data, split="test")
    shapes = list(test)
    assert all(4990 < mesh.pos.shape[0] < 5010 and mesh.corres.shape == (5000,) for mesh in shapes)
    assert len({mesh.pos.shape[0] for mesh in shapes}) > 1
    # One person in two poses: parts that do not bend keep the distances between near points.
    pair = test.pairs()[0]
    one, other = pair.source.pos[pair.source_vertices], pair.target.pos[pair.target_vertices]
    near = torch.randint(0, 5000, (2, 20000))
    length = torch.linalg.vector_norm(one[near[0]] - one[near[1]], dim=1)
    close = (length > 0.01) & (length < 0.05)
    ratio = torch.linalg.vector_norm(other[near[0]] - other[near[1]], dim=1)[close] / length[close]
    assert int(close.sum()) > 50 and 0.9 < float(ratio.median()) < 1.1
    assert len(remeshed(shared_data).pairs()) == 300
