"""Differential coordinates against the definition, loop by loop."""

from types import SimpleNamespace

import torch

from geodl.geometry import laplacian_coordinates


def test_definition_on_a_fan_and_a_lonely_vertex() -> None:
    pos = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [9, 9, 9]], dtype=torch.float64)
    face = torch.tensor([[0, 1, 2], [0, 2, 3]]).T
    linked = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3], 3: [0, 2]}
    expected = torch.zeros_like(pos)
    for i, others in linked.items():
        expected[i] = pos[others].mean(0) - pos[i]
    torch.testing.assert_close(laplacian_coordinates(SimpleNamespace(pos=pos, face=face)), expected)


def test_zero_inside_a_flat_regular_mesh() -> None:
    i, j = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    pos = torch.stack([i, j, 0 * i], -1).reshape(-1, 3).double()
    corner = (i[:-1, :-1] * 5 + j[:-1, :-1]).reshape(-1)
    face = torch.cat(
        [torch.stack([corner, corner + 5, corner + 6]), torch.stack([corner, corner + 6, corner + 1])], 1
    )
    inside = ((i > 0) & (i < 4) & (j > 0) & (j < 4)).reshape(-1)
    delta = laplacian_coordinates(SimpleNamespace(pos=pos, face=face))
    torch.testing.assert_close(delta[inside], torch.zeros(9, 3, dtype=torch.float64))
    assert float(delta[~inside].norm(dim=1).min()) > 0.1
