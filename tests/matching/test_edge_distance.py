"""Dijkstra along edges: blocked and bounded, against scipy's plain search from every vertex."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from geodl.matching import edge_distance as module
from geodl.matching.edge_distance import edge_distance


def as_mesh(shape):
    return SimpleNamespace(
        pos=torch.tensor(np.array(shape.vertices)), face=torch.tensor(np.array(shape.faces).T.copy())
    )


def all_pairs(shape):
    edges, length = shape.edges_unique, shape.edges_unique_length
    count = len(shape.vertices)
    return dijkstra(coo_array((length, edges.T), shape=(count, count)).tocsr(), directed=False)


@pytest.mark.parametrize("block", [1, 700, 1 << 22])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_equals_plain_dijkstra(block, scale, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    shape = trimesh.creation.capsule(height=2.0, radius=0.5, count=[12, 12])
    shape.apply_scale(scale)
    count = len(shape.vertices)
    generator = torch.Generator().manual_seed(1)
    source, target = torch.randint(count, (2, 400), generator=generator)
    truth = torch.from_numpy(all_pairs(shape))[source, target]
    torch.testing.assert_close(edge_distance(as_mesh(shape), source, target), truth, rtol=1e-12, atol=0)


def test_winding_path_far_longer_than_the_straight_line():
    """A long ribbon rolled up: its ends are near in space, so the bound has to be doubled several times."""
    steps = np.linspace(0, 12 * np.pi, 600)
    roll = np.stack([np.cos(steps) * (1 + steps / 100), np.sin(steps) * (1 + steps / 100)], axis=1)
    pos = np.concatenate([np.c_[roll, np.zeros(600)], np.c_[roll, np.full(600, 0.05)]])
    low = np.arange(599)
    face = np.concatenate(
        [np.stack([low, low + 1, low + 600]), np.stack([low + 1, low + 601, low + 600])], axis=1
    )
    mesh = SimpleNamespace(pos=torch.tensor(pos), face=torch.tensor(face))
    along = np.linalg.norm(np.diff(roll, axis=0), axis=1).sum()
    distance = edge_distance(mesh, torch.tensor([0, 0]), torch.tensor([599, 1]))
    assert distance.tolist() == pytest.approx([along, np.linalg.norm(roll[1] - roll[0])], rel=1e-12)


def test_zero_length_edges_are_edges_and_other_components_are_infinitely_far():
    pos = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [5, 0, 0], [6, 0, 0], [5, 1, 0], [9, 9, 9]])
    mesh = SimpleNamespace(pos=pos, face=torch.tensor([[0, 3], [1, 4], [2, 5]]))
    distance = edge_distance(mesh, torch.tensor([0, 0, 0, 0]), torch.tensor([1, 2, 3, 6]))
    assert distance.tolist() == [0.0, 1.0, float("inf"), float("inf")]
