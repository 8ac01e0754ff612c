"""As-rigid-as-possible places and rotations of nodes in turn, whichever of them are pulled."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import splu

__all__ = ["RigidSolver", "mean_of_rows"]

Points = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

# What holds nodes that nothing pulls, against a singular system.
_HELD = 1e-6


class RigidSolver:
    """Alternating solver of as-rigid-as-possible deformation.

    Args:
        base: ``[N, 3]``, where the nodes lie at rest.
        links: ``[2, L]``, nodes that are joined.
        reach: length that the shape is stiff over.
    """

    def __init__(self, base: Points, links: Indices, reach: float) -> None:
        count = len(base)
        one, other = np.concatenate([links, links[::-1]], axis=1)
        self.one, self.other, self.weight = one, other, 1 / count
        self.edge = base[one] - base[other]
        stiffness = self.stiffness = (
            reach**2 / count / (12 * max(float(np.square(self.edge).sum(1).sum()) / max(1, len(one)), 1e-12))
        )
        # Links of all lengths count alike: a membrane of even stiffness.
        self.table = csr_array((np.ones(len(one)), (one, np.arange(len(one)))), shape=(count, len(one)))
        adjacency = csr_array((np.ones(len(one)), (one, other)), shape=(count, count))
        self.matrix = 2 * stiffness * (diags_array(adjacency.sum(axis=1)) - adjacency)

    @cached_property
    def _factor(self) -> Any:
        """Of the system in which all nodes are pulled."""
        count = self.matrix.shape[0]
        return splu((self.matrix + diags_array(np.full(count, self.weight))).tocsc())

    def rotations(self, moved: Points) -> Points:
        """``[N, 3, 3]``, what fits the links of nodes at ``[N, 3]`` best."""
        now = moved[self.one] - moved[self.other]
        outer = (now[:, :, None] * self.edge[:, None, :]).reshape(-1, 9)
        u, _, vh = np.linalg.svd((self.table @ outer).reshape(-1, 3, 3))
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vh))[:, None]
        found: Points = u @ vh
        return found

    def solve(self, turned: Points, targets: Points, pulled: Mask | None = None) -> Points:
        """Places ``[N, 3]`` of nodes that are pulled to their targets: all of them, or some, which others follow."""
        mean = (turned[self.one] + turned[self.other]) / 2
        pull = 2 * self.stiffness * (self.table @ np.einsum("eij,ej->ei", mean, self.edge))
        if pulled is None:
            found: Points = self._factor.solve(pull + self.weight * targets)
            return found
        weight = self.weight * np.where(pulled, 1, _HELD)
        found = splu((self.matrix + diags_array(weight)).tocsc()).solve(pull + weight[:, None] * targets)
        return found

    def energy(self, moved: Points, turned: Points) -> float:
        """Mean square by which links are longer or turned otherwise than rigidly, over their mean square length."""
        now = moved[self.one] - moved[self.other]
        off = now - np.einsum("eij,ej->ei", turned[self.one], self.edge)
        return float(np.square(off).sum() / max(float(np.square(self.edge).sum()), 1e-12))


def mean_of_rows(rows: Indices, values: Points, length: int) -> tuple[Points, Indices]:
    """Mean of the values of each row ``[length, D]``, 0 where there are none, and how many there are ``[length]``."""
    count = np.bincount(rows, minlength=length)
    total = np.stack([np.bincount(rows, v, length) for v in values.T], axis=1)
    return total / np.maximum(count, 1)[:, None], count
