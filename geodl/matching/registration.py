"""The last step of a match: one shape is bent onto the other, as stiff as its map allows, and near points are matched."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from geodl.matching.deformation_graph import DeformationGraph, with_normals
from geodl.matching.rigid_solver import RigidSolver, mean_of_rows

__all__ = ["Registration", "register"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]
Known = tuple[Indices, Indices, Indices | None, Indices | None]

_NONE = np.zeros(0, dtype=np.int64)
# How much more a landmark counts than a neighbour; how far regions lie apart in the space of neighbours.
_PINNED, _APART = 20, 10.0


@dataclass(frozen=True, eq=False)
class Registration:
    """A shape bent onto another, and what it took.

    Attributes:
        moved: ``[N, 3]``, where the nodes of shape 2 lie; turned: ``[N, 3, 3]``, how they are turned.
        image: ``[N]``, the vertices of shape 1 that are nearest to them.
        bending: mean square by which links of the graph are longer or turned otherwise than rigidly, over their mean square
            length: some hundredths where parts move as wholes, more where left and right were exchanged or parts lie elsewhere.
        gap: root mean square of the distance that is left.
    """

    one: DeformationGraph
    two: DeformationGraph
    moved: Points
    turned: Points
    image: Indices
    bending: float
    gap: float
    labels: tuple[Indices | None, Indices | None] = (None, None)

    def on(
        self, one: DeformationGraph, two: DeformationGraph, labels: tuple[Indices | None, Indices | None]
    ) -> Registration:
        """The same bending of finer surfaces with the same nodes; its image, of the coarse one, is left out."""
        return replace(self, one=one, two=two, labels=labels, image=_NONE)

    def point_maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Nearest neighbours: ``p2p_21 [V2]``, ``p2p_12 [V1]``, and where the vertices of shape 2 lie, ``[V2, 3]``."""
        here = _apart(with_normals(*self.two.carry(self.moved, self.turned)), self.labels[1])
        there = _apart(self.one.features, self.labels[0])
        tree = self.one.tree if self.labels[0] is None else KDTree(there)
        forth, back = tree.query(here)[1], KDTree(here).query(there)[1]
        return torch.from_numpy(forth), torch.from_numpy(back), torch.from_numpy(here[:, :3].copy())


def register(
    one: DeformationGraph,
    two: DeformationGraph,
    at_one: Indices,
    at_two: Indices,
    reaches: tuple[float, ...] = (0.2, 0.1, 0.05),
    turns: int = 4,
    known: Known = (_NONE, _NONE, None, None),
) -> Registration:
    r"""Bends shape 2 onto shape 1 from matches given, by as-rigid-as-possible deformation of its graph.

    .. math:: \min_{x, R} \sum_n | x_n - t_n |^2 + \mu \sum_{nm} | x_n - x_m - R_n (p_n - p_m) |^2

    Targets t are first where the matches lead, then the nearest points of shape 1 with a like normal and where the points of shape
    1 pull that are nearest to them; mu falls.

    Args:
        one, two: graphs of the shapes.
        at_one, at_two: ``[P]`` vertices of either that match; a node of shape 2 takes the mean of its own.
        reaches: lengths that the shape is stiff over, one a stage; the first stage follows the matches.
        turns: alternations of rotations and places in a stage.
        known: landmarks of either that match in every stage, and labels of all vertices of either that must agree (or None).

    Sorkine & Alexa, "As-rigid-as-possible surface modeling", SGP 2007; Li, Sumner & Pauly, "Global correspondence optimization for
    non-rigid registration of depth scans", SGP 2008.
    """
    marks_1, marks_2, labels_1, labels_2 = known
    moved, owner = two.pos[two.nodes], two.near[:, 0]
    pinned = np.repeat(owner[marks_2], _PINNED)

    def places(offset: Points) -> Points:
        """Where nodes are pulled so that the landmarks, which lie beside them, meet."""
        return np.repeat(one.pos[marks_1] + offset, _PINNED, axis=0)

    rows = np.concatenate([owner[at_two], pinned])
    beside = moved[owner[marks_2]] - two.pos[marks_2]
    moved = targets = _mean(rows, np.concatenate([one.pos[at_one], places(beside)]), moved)
    turned = np.tile(np.eye(3), (len(moved), 1, 1))
    features, sample = _apart(one.features, labels_1), two.samples
    tree = one.tree if labels_1 is None else KDTree(features)
    label_nodes, label_sample = (None if labels_2 is None else labels_2[some] for some in (two.nodes, sample))
    for stage, reach in enumerate(reaches):
        solver = RigidSolver(two.pos[two.nodes], two.links, reach)
        for _ in range(turns):
            if stage:
                at_nodes = _apart(with_normals(*two.carry(moved, turned, two.nodes)), label_nodes)
                near = one.pos[tree.query(at_nodes)[1]]
                here = _apart(with_normals(*two.carry(moved, turned, sample)), label_sample)
                found = KDTree(here).query(features[one.nodes])[1]
                rows = owner[sample[found]]
                pull = moved[rows] + one.pos[one.nodes] - here[found, :3]
                rows = np.concatenate([np.arange(len(moved)), rows, pinned])
                beside = moved[owner[marks_2]] - two.carry(moved, turned, marks_2)[0]
                values = np.concatenate([near, pull, places(beside)])
                targets = _mean(rows, values, moved)
            turned = solver.rotations(moved)
            moved = solver.solve(turned, targets)
    turned = solver.rotations(moved)
    distance, image = tree.query(_apart(with_normals(*two.carry(moved, turned, two.nodes)), label_nodes))
    gap = float(np.sqrt(np.square(distance).mean()))
    return Registration(
        one, two, moved, turned, image, solver.energy(moved, turned), gap, (labels_1, labels_2)
    )


def _apart(features: Points, labels: Indices | None) -> Points:
    """With a coordinate more, in which regions are so far from one another that no neighbour is of another one."""
    return features if labels is None else np.concatenate([features, _APART * labels[:, None]], axis=1)


def _mean(rows: Indices, values: Points, otherwise: Points) -> Points:
    """Mean of the values of each row, ``otherwise`` where there are none."""
    mean, count = mean_of_rows(rows, values, len(otherwise))
    return np.where(count[:, None] > 0, mean, otherwise)
