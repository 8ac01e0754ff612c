"""Segmentation and classification: the measures, what a network is given, that it learns, goes on and refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.transforms import Compose
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from geodl.data import (
    FixedPoints,
    GeodesicOperators,
    Mesh,
    OperatorCache,
    RandomRotate,
    SpectralOperators,
    collate,
)
from geodl.geometry import face_areas, vertex_areas
from geodl.models import (
    DGCNN,
    GCNN,
    KPCNN,
    KPFCNN,
    DeLA,
    DeLAParts,
    DGCNNParts,
    DiffusionNet,
    PointNet,
    PointNet2,
    PointNet2Parts,
    PointNetParts,
    PointNeXt,
    PointNeXtParts,
)
from geodl.training import (
    ClassificationModule,
    LabelScores,
    SegmentationModule,
    ShapeData,
    SupervisedModule,
    confusion,
    label_scores,
    make_trainer,
    resume_point,
)

from .shapes import spheres


def halves(count: int = 6) -> list[Mesh]:
    """Spheres whose vertices in front are of one class and those behind of another."""
    shapes = spheres(count)
    for mesh in shapes:
        mesh.y = (mesh.pos[:, 0] > 0).long()
    return shapes


def positions(mesh: Mesh) -> Mesh:
    mesh.x = mesh.pos
    return mesh


def trained(module: SupervisedModule, data: ShapeData, folder: Path, epochs: int = 15) -> L.Trainer:
    trainer = make_trainer(folder, epochs, progress=False)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    return trainer


def test_scores_are_those_of_torchmetrics() -> None:
    random = torch.Generator().manual_seed(0)
    y, predicted = (torch.randint(5, (300,), generator=random) for _ in range(2))
    found = label_scores(confusion(predicted, y, 6))
    assert isinstance(found, LabelScores)
    assert found.accuracy == pytest.approx(float((y == predicted).double().mean()))
    iou = multiclass_jaccard_index(predicted, y, 6, average="none")
    torch.testing.assert_close(found.iou[:5], iou[:5].double(), rtol=1e-5, atol=1e-7)
    of_class = multiclass_accuracy(predicted, y, 6, average="none")
    torch.testing.assert_close(found.class_accuracy[:5], of_class[:5].double(), rtol=1e-5, atol=1e-7)
    # A class that neither occurs nor is predicted takes part in no mean.
    assert math.isnan(found.iou[5]) and found.mean_iou == pytest.approx(float(iou[:5].mean()))
    assert found.mean_class_accuracy == pytest.approx(float(of_class[:5].mean()))


def test_weights_count() -> None:
    y, predicted = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    table = confusion(predicted, y, 2, torch.tensor([3.0, 1.0, 2.0, 2.0]))
    assert table.tolist() == [[3, 1], [0, 4]]
    found = label_scores(table)
    assert found.accuracy == 7 / 8 and found.iou.tolist() == [3 / 4, 4 / 5]


def test_wrong_tables_are_named() -> None:
    with pytest.raises(ValueError, match=r"predicted has shape \[3\] but y \[4\]"):
        confusion(torch.zeros(3).long(), torch.zeros(4).long(), 2)
    with pytest.raises(IndexError, match=r"y holds 0..2, but there are 2 classes"):
        confusion(torch.zeros(3).long(), torch.arange(3), 2)
    with pytest.raises(ValueError, match="table is empty"):
        label_scores(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"must have shape \[C, C\]"):
        label_scores(torch.zeros(2, 3))


def test_learns_vertices_some_of_which_have_no_label(tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    shapes = halves()
    shapes[0].y[:20] = -1
    prepare = Compose([positions, SpectralOperators(OperatorCache(tmp_path / "cache"), 20)])
    data = ShapeData(shapes[:4], shapes[4:], prepare, 2)
    module = SegmentationModule(DiffusionNet(3, 2, 16, 2, dropout=0.0), 2, learning_rate=1e-2)
    trainer = trained(module, data, tmp_path / "run")
    assert module.scores.accuracy > 0.95 and module.scores.mean_iou > 0.9
    assert float(trainer.callback_metrics["mean_iou"]) == pytest.approx(module.scores.mean_iou)
    predicted = [shape for batch in trainer.predict(module, data) for shape in batch]
    right = [told == mesh.y for told, mesh in zip(predicted, shapes[4:], strict=True)]
    assert module.scores.accuracy == pytest.approx(float(torch.cat(right).double().mean()))
    # Every shape counts the same by area.
    areas = [vertex_areas(mesh) for mesh in shapes[4:]]
    share = [float(area[good].sum() / area.sum()) for area, good in zip(areas, right, strict=True)]
    assert module.scores_by_area.accuracy == pytest.approx(sum(share) / 2, abs=1e-6)


def test_faces(tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    shapes = halves()
    for mesh in shapes:
        mesh.y = (mesh.pos[mesh.face].mean(0)[:, 0] > 0).long()
    prepare = Compose([positions, SpectralOperators(OperatorCache(tmp_path / "cache"), 20)])
    data = ShapeData(shapes[:4], shapes[4:], prepare, 2)
    network = DiffusionNet(3, 2, 16, 2, "faces", dropout=0.0)
    module = SegmentationModule(network, 2, "faces", learning_rate=1e-2)
    trainer = trained(module, data, tmp_path / "run")
    predicted = [shape for batch in trainer.predict(module, data) for shape in batch]
    assert [len(told) for told in predicted] == [80, 80]
    share = []
    for told, mesh in zip(predicted, shapes[4:], strict=True):
        area = face_areas(mesh)
        share.append(float(area[told == mesh.y].sum() / area.sum()))
    assert module.scores_by_area.accuracy == pytest.approx(sum(share) / 2, abs=1e-6) and min(share) > 0.9


@pytest.mark.parametrize(
    "network",
    [
        PointNet2Parts,
        *(
            pytest.param(network, marks=pytest.mark.slow)
            for network in (PointNetParts, DGCNNParts, PointNeXtParts, DeLAParts, KPFCNN)
        ),
    ],
)
def test_networks_of_points(network: Any, tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    clouds = [Data(pos=mesh.pos, y=mesh.y) for mesh in halves()]
    data = ShapeData(clouds[:4], clouds[4:], batch_size=2)
    module = SegmentationModule(network(0, 2, categories=1), 2, "points", transform=RandomRotate("z", 5.0))
    trained(module, data, tmp_path, 1)
    assert module.scores.accuracy == pytest.approx(module.scores_by_area.accuracy)


@pytest.mark.parametrize("count", [20, 500])
def test_labels_are_those_of_the_changed_batch(count: int, tmp_path: Path) -> None:
    """FixedPoints drops points, and where there are fewer it reorders them: either way labels go with their points."""
    L.seed_everything(0, verbose=False)
    clouds = [Data(pos=mesh.pos, y=mesh.y) for mesh in halves()]

    class Point(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, pos: Tensor) -> Tensor:
            scores: Tensor = self.linear(pos)
            return scores

    module = SegmentationModule(Point(), 2, "points", learning_rate=0.5, transform=FixedPoints(count))
    trained(module, ShapeData(clouds[:4], clouds[4:], batch_size=2), tmp_path, 20)
    assert module.scores.accuracy > 0.9


def test_the_geodesic_network(tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    prepare = Compose([positions, GeodesicOperators(OperatorCache(tmp_path / "cache"), 2, 4, 10)])
    shapes = halves()
    data = ShapeData(shapes[:4], shapes[4:], prepare, 2)
    module = SegmentationModule(GCNN(3, 2, 2, 4, widths=(16,), hidden=16), 2, learning_rate=1e-2)
    trained(module, data, tmp_path / "run", 10)
    assert module.scores.accuracy > 0.9


@pytest.mark.parametrize(
    "network",
    [
        PointNet,
        *(
            pytest.param(network, marks=pytest.mark.slow)
            for network in (DGCNN, PointNet2, PointNeXt, DeLA, KPCNN)
        ),
    ],
)
def test_classification(network: Any, tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    random = torch.Generator().manual_seed(0)
    stretched = [torch.tensor([1.0, 1.0, 0.1]), torch.tensor([0.2, 0.2, 1.0])]
    clouds = [
        Data(pos=torch.randn(40, 3, generator=random) * stretched[k % 2], y=torch.tensor([k % 2]))
        for k in range(20)
    ]
    data = ShapeData(clouds[:16], clouds[16:], batch_size=8)
    module = ClassificationModule(network(0, 2), 2)
    trainer = trained(module, data, tmp_path, 1)
    assert float(trainer.callback_metrics["accuracy"]) == module.scores.accuracy
    told = torch.cat(list(trainer.predict(module, data)))
    assert module.scores.accuracy == float((told == torch.tensor([0, 1, 0, 1])).double().mean())


def test_classification_of_meshes(tmp_path: Path) -> None:
    L.seed_everything(0, verbose=False)
    shapes = spheres(4)
    for number, mesh in enumerate(shapes):
        mesh.y = torch.tensor([number % 2])
    cache = OperatorCache(tmp_path / "cache")
    prepare = Compose([positions, SpectralOperators(cache, 20), GeodesicOperators(cache, 2, 4, 10)])
    data = ShapeData(shapes, shapes, prepare, 2)
    for network in (
        DiffusionNet(3, 2, 8, 1, "global"),
        GCNN(3, 2, 2, 4, widths=(8,), hidden=8, outputs="global"),
    ):
        module = ClassificationModule(network, 2)
        trained(module, data, tmp_path / type(network).__name__, 1)
        assert int(module.table.sum()) == 4


class Linear(nn.Module):
    """Reads the batch's signal and what else it names."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(3, classes)

    def forward(self, x: Tensor, mood: Tensor | None = None) -> Tensor:
        scores: Tensor = self.layer(x if mood is None else x + mood)
        return scores


def test_a_network_of_ones_own_is_given_what_it_names(tmp_path: Path) -> None:
    batch = collate(
        [Data(x=torch.rand(5, 3), y=torch.zeros(5).long()), Data(x=torch.rand(4, 3), y=torch.ones(4).long())]
    )
    module = SegmentationModule(Linear(), 2, "points")
    assert torch.equal(module(batch), module.model(batch.x))
    batch.mood = torch.ones(9, 1)
    assert torch.equal(module(batch), module.model(batch.x + 1))
    del batch.x
    with pytest.raises(ValueError, match="Linear reads x, which the batch does not have"):
        module(batch)


def test_the_loss_is_torchs_own_over_what_is_labelled() -> None:
    weight = torch.tensor([1.0, 3.0])
    module = SegmentationModule(Linear(), 2, class_weight=weight)
    scores, y = torch.randn(6, 2), torch.tensor([0, 1, -1, 1, -1, 0])
    known = y >= 0
    expected = nn.functional.cross_entropy(scores[known], y[known], weight)
    torch.testing.assert_close(module.loss(scores, y), expected)
    # Nothing to learn from is no NaN.
    nothing = module.loss(scores.requires_grad_(), torch.full((6,), -1))
    nothing.backward()
    assert nothing == 0 and bool((scores.grad == 0).all())


@pytest.mark.parametrize(
    ("y", "error", "trouble"),
    [
        (
            torch.zeros(4).long(),
            ValueError,
            r"y must be int64 of shape \[5\], a label for every row of scores",
        ),
        (torch.zeros(5), ValueError, "not torch.float32"),
        (torch.full((5,), 7), IndexError, "y holds 7..7, but there are 2 classes"),
        (torch.full((5,), -2), IndexError, r"y holds -2..-2, but there are 2 classes \(and -1 for none\)"),
    ],
)
def test_labels_that_do_not_fit_are_named(y: Tensor, error: type[Exception], trouble: str) -> None:
    batch = Data(x=torch.rand(5, 3), pos=torch.rand(5, 3), y=y, ptr=torch.tensor([0, 5]))
    with pytest.raises(error, match=trouble):
        SegmentationModule(Linear(), 2, "points").validation_step(batch, 0)


def test_nothing_labelled_and_nothing_large(tmp_path: Path) -> None:
    flat, unlabelled = halves(2)
    flat.pos = flat.pos * torch.tensor([1.0, 0.0, 0.0])  # no area
    unlabelled.y = torch.full_like(unlabelled.y, -1)
    trainer = make_trainer(tmp_path, 1, progress=False)
    for shape in (flat, unlabelled):
        module = SegmentationModule(Linear(), 2)
        trainer.test(module, ShapeData([], [positions(shape)]), verbose=False)
        if shape is flat:
            assert module.scores_by_area.accuracy == pytest.approx(module.scores.accuracy)
            continue
        with pytest.raises(ValueError, match="table is empty: nothing that is labelled was predicted"):
            _ = module.scores_by_area


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match="elements must be one of vertices, faces, points, not 'edges'"):
        SegmentationModule(Linear(), 2, "edges")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"class_weight must have shape \[2\], not \[3\]"):
        SegmentationModule(Linear(), 2, class_weight=torch.ones(3))
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        ClassificationModule(Linear(), 2, learning_rate=0.0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        ShapeData([], [], batch_size=0)
    data = ShapeData(spheres(1), [])
    data.setup()
    with pytest.raises(ValueError, match="a batch has 8 shapes, but there are 1 to train on"):
        data.train_dataloader()


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    class Interrupt(L.Callback):
        def on_train_epoch_start(self, trainer: L.Trainer, _: L.LightningModule) -> None:
            if trainer.current_epoch == 2:
                raise RuntimeError("power cut")

    def made() -> tuple[SegmentationModule, ShapeData]:
        L.seed_everything(0, verbose=False)
        clouds = [Data(pos=mesh.pos, y=mesh.y) for mesh in halves()]
        network = PointNet2Parts(0, 2, categories=1)
        module = SegmentationModule(network, 2, "points", transform=RandomRotate("any"))
        return module, ShapeData(clouds[:4], clouds[4:], batch_size=2)

    module, data = made()
    make_trainer(tmp_path / "whole", 4, progress=False).fit(module, data)
    whole = module.state_dict()
    module, data = made()
    trainer = make_trainer(tmp_path / "parts", 4, progress=False)
    trainer.callbacks.append(Interrupt())
    with pytest.raises(RuntimeError, match="power cut"):
        trainer.fit(module, data)
    module, data = made()
    torch.manual_seed(7)  # whatever the new process has drawn since
    trainer = make_trainer(tmp_path / "parts", 4, progress=False)
    trainer.fit(module, data, ckpt_path=resume_point(tmp_path / "parts"), weights_only=True)
    assert all(torch.equal(value, whole[name]) for name, value in module.state_dict().items())
