"""Exported networks: of one size, they give what the network itself gives for another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export
from torch.utils import _pytree as pytree

from geodl.ops import Neighbors
from geodl.ops.core.structure import Structure
from tests.models.every_network import CLOUDS, IMAGES, MESHES, NODES, PARTS, graph, inputs, network

QUICK = (*(("GCN", strict) for strict in (False, True)), ("PointNet", False))
BOTH = (False, True)


class OfEdges(nn.Module):
    """Of an edge_index, from which the neighbourhoods are made in the exported program."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        scores: Tensor = self.model(x, Neighbors.from_edge_index(edge_index, x.shape[0]))
        return scores


def each(names: tuple[str, ...]) -> list[Any]:
    return [
        pytest.param(name, strict, marks=() if (name, strict) in QUICK else pytest.mark.slow)
        for name in names
        for strict in BOTH
    ]


def agrees(model: nn.Module, given: Any, shapes: Any, other: Any, strict: bool) -> None:
    program = export(model, given, dynamic_shapes=shapes, strict=strict).module()
    for some in (given, other):
        expected = model(*some).detach()
        torch.testing.assert_close(
            program(*some), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())
        )


def dynamic(value: Any) -> Any:
    """Every size and number, as ``export`` wants them told: a list for what is no container of Python's."""
    if isinstance(value, Tensor):
        return {axis: Dim.AUTO for axis in range(value.dim())}
    if isinstance(value, Structure):
        return [*map(dynamic, pytree.tree_leaves(value, is_leaf=lambda part: part is not value))]
    return None if value is None else Dim.AUTO


@pytest.mark.parametrize("name, strict", each(NODES))
def test_of_edges(name: str, strict: bool) -> None:
    shapes = {0: Dim("nodes", min=2, max=10**6)}, {1: Dim("edges", min=2, max=10**7)}
    given, other = graph(2)[::-1], graph(5)[::-1]
    agrees(OfEdges(network(name)).eval(), given, shapes, other, strict)


@pytest.mark.parametrize("name, strict", each((*CLOUDS, *PARTS)))
def test_of_clouds(name: str, strict: bool) -> None:
    points, clouds = {0: Dim("points", min=8, max=10**6)}, {0: Dim("ends", min=2, max=10**4)}
    shapes = (points, {0: Dim("clouds", min=1, max=10**4)}, clouds) if name in PARTS else (points, clouds)
    pos, *category, ptr = inputs(name, 2)
    alone = pos[: int(ptr[1])], *(known[:1] for known in category), ptr[:2]
    model = network(name).eval()
    agrees(model, (pos, *category, ptr), shapes, inputs(name, 4), strict)
    agrees(model, (pos, *category, ptr), shapes, alone, strict)


@pytest.mark.slow
@pytest.mark.parametrize("strict", BOTH)
@pytest.mark.parametrize("name", [*NODES, *MESHES])
def test_of_structures(name: str, strict: bool) -> None:
    """Neighbours, charts, spectra and gradients are inputs of the program."""
    given, other = inputs(name, 2), inputs(name, 5)
    agrees(network(name).eval(), given, tuple(map(dynamic, given)), other, strict)


@pytest.mark.slow
@pytest.mark.parametrize("strict", BOTH)
@pytest.mark.parametrize("name", IMAGES)
def test_of_images(name: str, strict: bool) -> None:
    agrees(network(name).eval(), inputs(name, 2), ({0: Dim("images", min=1)},), inputs(name, 4), strict)
