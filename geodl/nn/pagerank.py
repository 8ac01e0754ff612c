"""Personalised PageRank, which spreads predictions over a graph."""

from __future__ import annotations

from torch import Tensor

from geodl.nn.graph_layer import GraphLayer
from geodl.nn.graph_matrix import GraphMatrix, normalized_adjacency
from geodl.nn.sparse_features import Features
from geodl.ops import Neighbors

__all__ = ["PersonalizedPageRank"]


class PersonalizedPageRank(GraphLayer):
    r"""Personalised PageRank of predictions, by power iteration,

    .. math:: z^{(0)} = x, \qquad z^{(k+1)} = (1 - \alpha) \, \hat A z^{(k)} + \alpha x,
        \qquad \hat A = \tilde D^{-1/2} (A + I) \tilde D^{-1/2} .

    Nothing is learned. Step and restart are one pass over the edges.

    Args:
        K: number of steps.
        alpha: probability of the restart, in [0, 1].

    Shapes:
        x ``[N, C]``, a graph of N points (:class:`~geodl.nn.GraphLayer`) or a :class:`~geodl.nn.GraphMatrix` -> ``[N, C]``.

    Gasteiger, Bojchevski and Günnemann, "Predict then propagate: graph neural networks meet personalized PageRank", ICLR 2019.
    """

    reads_matrices = True

    def __init__(self, K: int = 10, alpha: float = 0.1) -> None:
        super().__init__()
        if K < 0 or not 0 <= alpha <= 1:
            raise ValueError(f"K must not be negative and alpha lie in [0, 1], got {K} and {alpha}")
        self.K, self.alpha = K, alpha

    def convolve(
        self,
        x: Features,
        neighbors: Neighbors | GraphMatrix,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        assert isinstance(x, Tensor)
        matrix = normalized_adjacency(neighbors, weight, dtype=x.dtype, mask=mask)
        restart, z = self.alpha * x, x
        for _ in range(self.K):
            z = matrix.step(z, 1 - self.alpha, restart)
        return z

    def extra_repr(self) -> str:
        return f"K={self.K}, alpha={self.alpha}"
