"""Bending one shape onto another: rigid motions cost nothing, the carried vertices follow, wrong maps bend more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from geodl.datasets import Puppets
from geodl.geometry import vertex_normals
from geodl.matching.deformation_graph import DeformationGraph, surface_links
from geodl.matching.registration import register


@pytest.fixture(scope="module")
def graphs() -> tuple[DeformationGraph, DeformationGraph]:
    bodies = Puppets(1, 2, num_vertices=1500)
    return tuple(  # type: ignore[return-value]
        DeformationGraph.of(mesh.pos, vertex_normals(mesh), surface_links(mesh), 300)
        for mesh in (bodies[0], bodies[1])
    )


def test_vertices_follow_their_nodes(graphs: tuple[DeformationGraph, DeformationGraph]) -> None:
    graph = graphs[0]
    np.testing.assert_allclose(graph.share.sum(1), 1)
    assert (graph.near[graph.nodes, 0] == np.arange(len(graph.nodes))).all()
    turn = Rotation.from_rotvec([0.3, 1.0, -0.4]).as_matrix()
    moved = graph.pos[graph.nodes] @ turn.T + [1, 2, 3]
    pos, normal = graph.carry(moved, np.tile(turn, (300, 1, 1)))
    np.testing.assert_allclose(pos, graph.pos @ turn.T + [1, 2, 3], atol=1e-9)
    np.testing.assert_allclose(normal, graph.normal @ turn.T, atol=1e-6)


def test_a_moved_shape_is_not_bent(graphs: tuple[DeformationGraph, DeformationGraph]) -> None:
    one = graphs[0]
    turn = Rotation.from_rotvec([0.2, -2.0, 0.4]).as_matrix()
    edges = torch.from_numpy(one.links)
    assert edges.shape[0] == 2
    moved = DeformationGraph(
        one.pos @ turn.T, one.normal @ turn.T, one.nodes, one.links, one.near, one.share, one.edges
    )
    every = np.arange(len(one.pos))
    found = register(one, moved, every[one.nodes], every[one.nodes])
    assert found.bending < 1e-3 and found.gap < 2e-2
    forth, back, here = found.point_maps()
    assert float((forth == torch.arange(len(every))).float().mean()) > 0.95
    assert float((back == torch.arange(len(every))).float().mean()) > 0.95
    assert here.shape == (len(every), 3)


def test_true_landmarks_leave_a_perfect_map_as_it_is(
    graphs: tuple[DeformationGraph, DeformationGraph],
) -> None:
    """Landmarks beside their nodes: these must not be drawn to where the landmarks lie."""
    one = graphs[0]
    every, marks = np.arange(len(one.pos)), np.arange(5, len(one.pos), len(one.pos) // 6)
    assert not np.isin(marks, one.nodes).all()
    plain = register(one, one, every, every)
    marked = register(one, one, every, every, known=(marks, marks, None, None))
    off = [
        np.linalg.norm(one.carry(made.moved, made.turned)[0] - one.pos, axis=1).max()
        for made in (plain, marked)
    ]
    assert off[1] < off[0] + 1e-4


def test_wrong_maps_bend_more(graphs: tuple[DeformationGraph, DeformationGraph]) -> None:
    one, two = graphs
    every = np.arange(len(one.pos))
    right = register(one, two, every, every)
    wrong = register(one, two, np.random.default_rng(0).permutation(every), every)
    assert right.bending < 0.05 < wrong.bending
    mirrored = one.pos * [-1, 1, 1]
    swapped = np.linalg.norm(one.pos[:, None] - mirrored, axis=2).argmin(0)
    assert register(one, two, swapped, every).bending > 2 * right.bending
