"""Grid: its shape, batches, and its graph."""

from __future__ import annotations

import pytest
import torch

from geodl.data import Grid, collate


@pytest.mark.parametrize("size", [(5,), (4, 6), (2, 3, 4)])
def test_grids_of_one_size_are_batched_as_images(size: tuple[int, ...]) -> None:
    grids = [Grid(torch.randn(3, *size), y=torch.tensor([k])) for k in range(4)]
    batch = collate(grids)
    assert torch.equal(batch.x, torch.stack([grid.x for grid in grids])) and batch.y.tolist() == [0, 1, 2, 3]
    assert grids[0].grid_size == size and grids[0].num_nodes == batch.ptr[1]
    assert torch.equal(batch[2].x, grids[2].x)


def test_the_graph_of_a_grid_has_its_neighbours() -> None:
    grid = Grid(torch.randn(2, 4, 5), y=torch.tensor([3]))
    for radius, inside, total in ((1.0, 4, 2 * (4 * 4 + 3 * 5)), (1.5, 8, 2 * (4 * 4 + 3 * 5 + 2 * 3 * 4))):
        graph = grid.to_graph(radius)
        assert graph.num_nodes == 20 and graph.edge_index.shape[1] == total and graph.y.tolist() == [3]
        distance = (graph.pos[graph.edge_index[0]] - graph.pos[graph.edge_index[1]]).norm(dim=1)
        assert float(distance.min()) > 0 and float(distance.max()) <= radius
        assert int((graph.edge_index[1] == 7).sum()) == inside  # an inner pixel
    assert torch.equal(graph.x[7], grid.x[:, 1, 2]) and graph.pos[7].tolist() == [1, 2]


def test_what_is_no_grid_is_named() -> None:
    for x, message in (
        (torch.zeros(3), "1 to 3 axes"),
        (torch.zeros(1, 2, dtype=torch.int64), "floating point"),
    ):
        with pytest.raises(ValueError, match=message):
            Grid(x)
    with pytest.raises(ValueError, match="radius must be positive"):
        Grid(torch.zeros(1, 2)).to_graph(0)
