"""The networks that learn shading on clouds and in screen space; on surfaces it is the library's DiffusionNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.ops import knn


class GatherNet(nn.Module):
    r"""What a point sees, gathered from the other points and their normals: a convolution with learned, continuous windows,

    .. math:: y_i = \rho\Bigl(\max_{j \in N(i)} h(u_{ij}), \; \frac{1}{|N(i)|} \sum_{j \in N(i)} h(u_{ij})\Bigr)

    where :math:`u_{ij}` is all that a point can know of another in its own frame: the direction to it, how far it is, and its normal.
    N(i) holds the nearest points and a sample of all, so that it reaches from a crease to the far side of the room. After the
    Monte Carlo convolutions of Hermosilla et al., "Deep-learning the latent space of light transport", EGSR 2019.
    """

    def __init__(self, width: int = 32, near: int = 32, far: int = 192) -> None:
        super().__init__()
        self.near, self.far = near, far
        self.edge = nn.Sequential(
            nn.Linear(9, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(4 * width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, pos: Tensor, normal: Tensor, queries: Tensor, sample: Tensor, turn: Tensor) -> Tensor:
        """``[Q]`` at the points ``queries [Q]``, from all points near them and from those of ``sample [S]``; ``turn [Q]`` turns the
        frame of every query about its normal."""
        at, up = pos[queries], normal[queries]
        near = knn(pos, self.near, queries=at).col.view(len(at), -1)
        read = [self._read(pos, normal, at, up, turn, near)]
        read.append(self._read(pos, normal, at, up, turn, sample.expand(len(at), -1)))
        return self.head(torch.cat([part for pair in read for part in pair], dim=1))[:, 0]

    def _read(
        self, pos: Tensor, normal: Tensor, at: Tensor, up: Tensor, turn: Tensor, others: Tensor
    ) -> tuple[Tensor, Tensor]:
        frame = turned_frames(up, turn)  # [Q, 3, 3]
        offset = torch.einsum("qsd,qkd->qsk", pos[others] - at[:, None], frame)
        facing = torch.einsum("qsd,qkd->qsk", normal[others], frame)
        distance = offset.norm(dim=2, keepdim=True)
        direction = offset / (distance + 1e-6)
        u = torch.cat(
            [direction, (distance + 0.01).log(), distance, facing, (direction * facing).sum(2, True)], 2
        )
        h = self.edge(u)
        return h.amax(dim=1), h.mean(dim=1)


def turned_frames(up: Tensor, turn: Tensor) -> Tensor:
    """Frames ``[Q, 3, 3]`` with axes in rows, the last along ``up``, turned about it."""
    helper = F.one_hot(up.abs().argmin(dim=1), 3).to(up)
    first = F.normalize(torch.linalg.cross(up, helper), dim=1)
    second = torch.linalg.cross(up, first)
    c, s = turn.cos()[:, None], turn.sin()[:, None]
    return torch.stack([c * first + s * second, c * second - s * first, up], dim=1)
