"""Bernstein filters: polynomials of the graph Laplacian whose response is nowhere negative."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geodl.nn.graph_matrix import GraphMatrix, scaled_laplacian
from geodl.ops import Neighbors, bernstein

__all__ = ["BernConv"]


class BernConv(nn.Module):
    r"""Bernstein filter: a polynomial of the normalised Laplacian L whose response is nowhere negative,

    .. math:: y = \sum_{k=0}^{K} \text{ReLU}(\theta_k) \binom{K}{k} \left(1 - \tfrac{L}{2}\right)^{K-k}
        \left(\tfrac{L}{2}\right)^k x .

    :math:`\theta_k` is about the response at the eigenvalue 2 k / K. All channels share the filter, as in the paper; it begins
    as the identity.

    Args:
        order: K.

    Shapes:
        x ``[N, C]``, neighbors of N points or L - 1 as :class:`~geodl.nn.GraphMatrix` -> ``[N, C]``.

    He, Wei, Huang and Xu, "BernNet: learning arbitrary graph spectral filters via Bernstein approximation", NeurIPS 2021.
    """

    def __init__(self, order: int = 10) -> None:
        super().__init__()
        if order < 0:
            raise ValueError(f"order must not be negative, got {order}")
        self.theta = nn.Parameter(torch.ones(order + 1))

    def forward(self, x: Tensor, neighbors: Neighbors | GraphMatrix) -> Tensor:
        matrix = scaled_laplacian(neighbors, 2.0, x.dtype)
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        filters = self.theta.relu()[:, None, None] * eye
        return bernstein(x, matrix.neighbors, matrix.values, filters, matrix.symmetric)
