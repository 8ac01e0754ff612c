"""Upsample, and a decoder with the same code on grids, meshes and graphs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.geometry import coarsen
from geodl.nn import GridConv, GridConvTranspose, Level, MaxPool, Upsample, graph_levels, mesh_levels
from tests.geometry.shapes import bumpy
from tests.nn.pixels import pixel_levels


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_on_grids_it_is_torchs(dim: int) -> None:
    x = torch.randn(2, 3, *[4, 5, 3][:dim])
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[dim]
    assert torch.equal(Upsample()(x), F.interpolate(x, scale_factor=2, mode="nearest"))
    assert torch.equal(Upsample(3, "bilinear")(x), F.interpolate(x, scale_factor=3, mode=linear))


def test_on_levels_it_is_the_prolongation() -> None:
    cells = coarsen(bumpy(2), 30)
    level, x = mesh_levels(bumpy(2), (30,)), torch.randn(2, 3, 30, dtype=torch.float64)
    assert torch.equal(Upsample()(x, level), cells.prolong(x))
    assert torch.equal(Upsample(mode="bilinear")(x, level), cells.prolong(x, smooth=True))
    assert torch.equal(Upsample(mode="bilinear")(x, cells), cells.prolong(x, smooth=True))
    levels = [level, mesh_levels(bumpy(1), (9,))]
    parts = [torch.randn(at.cells().num_nodes, 4) for at in levels]
    alone = torch.cat([Upsample(mode="bilinear")(y, at) for y, at in zip(parts, levels, strict=True)])
    torch.testing.assert_close(Upsample(mode="bilinear")(torch.cat(parts), Level.cat(levels)), alone)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match='mode must be "nearest" or "bilinear"'):
        Upsample(2, "cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 to 3 axes"):
        Upsample()(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="162 points is the coarsest"):
        Upsample()(torch.zeros(3, 4), mesh_levels(bumpy(2)))


class UNet(nn.Module):
    """Two levels down and up again."""

    def __init__(self, up: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.down = nn.ModuleList([GridConv(2, 4, 3, padding=1), GridConv(4, 6, 3, padding=1)])
        self.pool = MaxPool(2)
        self.middle = GridConv(6, 8, 3, padding=1)
        self.up = nn.ModuleList([up(8, 6), up(6, 4)])
        self.after = nn.ModuleList([GridConv(12, 6, 3, padding=1), GridConv(8, 2, 3, padding=1)])

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        left: list[tuple[Tensor, Level | None]] = []
        for conv in self.down:
            x = conv(x, level).relu()
            left.append((x, level))
            x = self.pool(x, level)
            level = None if level is None else level.after()
        x = self.middle(x, level).relu()
        for up, conv in zip(self.up, self.after, strict=True):
            beside, level = left.pop()
            x = conv(torch.cat([up(x, level), beside], 1), level)
        return x


class UpsampleConv(nn.Module):
    def __init__(self, read: int, width: int, mode: str) -> None:
        super().__init__()
        self.up = Upsample(2, mode)  # type: ignore[arg-type]
        self.conv = GridConv(read, width, 3, padding=1)

    def forward(self, x: Tensor, level: Level | None = None) -> Tensor:
        y: Tensor = self.conv(self.up(x, level), level)
        return y


UPS: dict[str, Callable[[int, int], nn.Module]] = {
    "nearest": lambda read, width: UpsampleConv(read, width, "nearest"),
    "bilinear": lambda read, width: UpsampleConv(read, width, "bilinear"),
    "transposed": lambda read, width: GridConvTranspose(read, width, 3, 2, padding=1, output_padding=1),
}


@pytest.mark.parametrize("name", ["nearest", "transposed"])
def test_a_network_that_goes_down_and_up_is_the_same_on_pixels(name: str) -> None:
    network, x = UNet(UPS[name]).double(), torch.randn(2, 2, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(network(x.flatten(2), pixel_levels(16, 2)), network(x).flatten(2))


@pytest.mark.parametrize("name", UPS)
def test_and_runs_on_meshes_and_graphs(name: str) -> None:
    network = UNet(UPS[name]).double()
    assert network(torch.randn(1, 2, 16, 16).double()).shape == (1, 2, 16, 16)
    mesh = mesh_levels(bumpy(2), (50, 15))
    graph = graph_levels(pixel_graph(), (64, 16))
    for level in (mesh, graph):
        x = torch.randn(2, 2, level.num_nodes, dtype=torch.float64, requires_grad=True)
        y = network(x, level)
        torch.testing.assert_close(network(x[0].t(), level), y[0].t())
        network.zero_grad()
        y.square().sum().backward()
        assert all(bool((p.grad != 0).any()) for p in (x, *network.parameters()) if p.grad is not None)
        assert [at.num_nodes for at in reversed(level.pyramid())] == [
            level.after().after().num_nodes, level.after().num_nodes, level.num_nodes,
        ]  # fmt: skip


def pixel_graph() -> object:
    from geodl.data import Grid

    return Grid(torch.zeros(1, 16, 16, dtype=torch.float64)).to_graph(radius=1.5)


@pytest.mark.slow
def test_it_compiles_without_a_break() -> None:
    network, level = UNet(UPS["transposed"]), mesh_levels(bumpy(2), (50, 15)).to(torch.float32)
    x = torch.randn(2, 2, 162)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, level), network(x, level))
