"""Networks are called as people call them: with a batch, with PyG's batch vector, without a category where there is one kind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from geodl.data import DataLoader, Mesh, PointCloud
from geodl.data.batching import collate
from geodl.geometry import geodesic_charts, gradient, spectrum
from geodl.models import (
    DGCNN,
    GCNN,
    DeLAParts,
    DGCNNParts,
    DiffusionNet,
    FunctionalMapNet,
    PointNet,
    PointNetParts,
)
from tests.geometry.shapes import bumpy

SIZES = (30, 25)


def clouds(channels: int = 0) -> PointCloud:
    generator = torch.Generator().manual_seed(0)
    made = [PointCloud(torch.randn(size, 3, generator=generator) / 3) for size in SIZES]
    for cloud in made:
        if channels:
            cloud.x = torch.randn(cloud.pos.shape[0], channels, generator=generator)
    return next(iter(DataLoader(made, batch_size=len(made))))


def ready(model: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return model.eval()


@pytest.mark.parametrize("network", [PointNet, DGCNN])
@pytest.mark.parametrize("channels", [0, 2])
def test_classifiers(network: type[nn.Module], channels: int) -> None:
    batch, model = clouds(channels), ready(network(channels, 5))
    expected = model(batch.pos, batch.ptr, batch.x if channels else None)
    assert expected.shape == (2, 5)
    for found in (model(batch), model(batch.pos, x=batch.x, batch=batch.batch)):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("network", [PointNetParts, DGCNNParts, DeLAParts])
def test_networks_of_parts_without_categories(network: type[nn.Module]) -> None:
    batch, model = clouds(), ready(network(0, 4, categories=1))
    expected = model(batch.pos, torch.zeros(2, dtype=torch.int64), batch.ptr)
    for found in (model(batch), model(batch.pos, ptr=batch.ptr), model(batch.pos, batch=batch.batch)):
        assert torch.equal(found, expected)
    several = ready(network(0, 4, categories=3))
    with pytest.raises(ValueError, match="category must be given, as the network has 3 of them"):
        several(batch.pos, ptr=batch.ptr)
    batch.category = torch.tensor([2, 0])
    assert torch.equal(several(batch), several(batch.pos, batch.category, batch.ptr))


def test_networks_on_surfaces() -> None:
    shapes = []
    for seed in range(2):
        mesh = bumpy(1, seed)
        data = Mesh(mesh.pos.float(), mesh.face, x=mesh.pos.float())
        data.spectrum = spectrum(data, 8).to(torch.float32)
        data.gradient = gradient(data)
        data.charts = geodesic_charts(data, size=9)
        shapes.append(data)
    batch = collate(shapes)
    net = ready(DiffusionNet(3, 5, width=8, blocks=1))
    assert torch.equal(net(batch), net(batch.x, batch.spectrum, batch.gradient))
    assert torch.equal(ready(net)(shapes[0]), net(shapes[0].x, shapes[0].spectrum, shapes[0].gradient))
    features = ready(FunctionalMapNet(3))
    assert torch.equal(features(batch), features(batch.x, batch.spectrum, batch.gradient))
    charts = ready(GCNN(3, 4, 2, 4, widths=(8,), hidden=8))
    assert torch.equal(charts(batch), charts(batch.x, batch.charts))
    del batch.gradient, batch.spectrum
    with pytest.raises(ValueError, match="DiffusionNet reads spectrum, which the batch does not have"):
        net(batch)


def test_what_may_not_be_given() -> None:
    batch, model = clouds(), ready(PointNet(0, 5))
    with pytest.raises(
        ValueError, match=r"PointNet\(batch\) reads all of the batch: nothing may be given beside it"
    ):
        model(batch, batch.ptr)
    with pytest.raises(ValueError, match="give ptr or batch, not both"):
        model(batch.pos, ptr=batch.ptr, batch=batch.batch)
    bad: dict[str, Tensor] = {
        "batch must ascend": batch.batch.flip(0),
        "batch must be int64 of shape": batch.batch.float(),
        "cloud 1 has no points": 2 * batch.batch,
    }
    for trouble, vector in bad.items():
        with pytest.raises(ValueError, match=trouble):
            model(batch.pos, batch=vector)
