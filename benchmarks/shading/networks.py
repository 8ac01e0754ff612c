"""One network a domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.shading.data import CHANNELS, DIRECTED, turned_frames
from benchmarks.shading.taps import AWAY, KNOWN
from geodl.geometry import Gradient, Spectrum
from geodl.models import DiffusionNet, UNet
from geodl.ops import knn


class OnSurface(nn.Module):
    """A linear map of what is known at a vertex, which starts as the one of least squares, and what DiffusionNet adds to it, which
    starts as nothing. In training DiffusionNet reads its signal with noise."""

    def __init__(self, linear: nn.Linear, noise: float, width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.linear, self.noise = linear, noise
        self.network = DiffusionNet(linear.in_features, 1, width, blocks, dropout=0.0)
        nn.init.zeros_(self.network.last.weight)
        nn.init.zeros_(self.network.last.bias)

    def forward(self, x: Tensor, spectrum: Spectrum, gradient: Gradient) -> Tensor:
        read = x + self.noise * torch.randn_like(x) if self.training else x
        y: Tensor = self.linear(x) + self.network(read, spectrum, gradient)
        return y[:, 0]


class OnScreen(nn.Module):
    """A U-Net of the grid layers on depth and normals (Nalbach et al., "Deep shading", 2017), added to a linear map of what has no
    direction, as in :class:`OnSurface`."""

    def __init__(self, linear: nn.Linear, widths: tuple[int, ...] = (16, 32, 64, 64)) -> None:
        super().__init__()
        self.linear = linear
        self.network = UNet(CHANNELS, 1, widths)
        nn.init.zeros_(self.network.last.weight)
        assert self.network.last.bias is not None
        nn.init.zeros_(self.network.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x[:, DIRECTED:].movedim(1, 3)).movedim(3, 1) + self.network(x)
        return y[:, 0]


class OnTaps(nn.Module):
    r"""A convolution with learned windows over the log-polar taps of :mod:`benchmarks.shading.taps`,

    .. math:: y = f\bigl(\max_a h_a, \; \tfrac1A \sum_a h_a\bigr), \qquad
        h_a = g\bigl(\max_r w(u_{ar}), \; \sum_r W_r \, w(u_{ar})\bigr)

    over directions a and distances r: the highest along every direction, as a horizon is, and the mean over the directions.
    """

    def __init__(self, width: int = 24, wide: int = 48) -> None:
        super().__init__()
        self.window = nn.Sequential(nn.Linear(KNOWN, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.along = nn.Sequential(
            nn.Linear((len(AWAY) + 1) * width, wide), nn.ReLU(), nn.Linear(wide, wide), nn.ReLU()
        )
        self.head = nn.Sequential(
            nn.Linear(2 * wide, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[P, A, R, C]`` -> ``[P]``."""
        h = self.window(x)
        h = self.along(torch.cat([h.amax(dim=2), h.flatten(2)], dim=2))
        y: Tensor = self.head(torch.cat([h.amax(dim=1), h.mean(dim=1)], dim=1))
        return y[:, 0]


class OnCloud(nn.Module):
    r"""What points see, gathered from other points and their normals: a convolution with learned, continuous windows,

    .. math:: y_i = f\bigl(\max_j h(u_{ij}), \; \tfrac{1}{|N(i)|} \sum_j h(u_{ij})\bigr)

    where u is all that a point can know of another in its own frame: the direction to it, how far it is, and its normal. j runs
    over the nearest points, and once more over a sample of all, so that a point sees from its crease to the far side of the room.
    After the Monte Carlo convolutions of Hermosilla et al., "Deep-learning the latent space of light transport", EGSR 2019.
    """

    def __init__(self, width: int = 32, near: int = 32) -> None:
        super().__init__()
        self.near = near
        layers: list[nn.Module] = []
        for channels in (9, width, width):
            layers += [nn.Linear(channels, width), nn.ReLU()]
        self.window = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Linear(4 * width, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(
        self,
        pos: Tensor,
        normal: Tensor,
        ptr: Tensor,
        query_index: Tensor,
        sample_index: Tensor,
        turn: Tensor,
    ) -> Tensor:
        """``[Q]``, at the points ``query_index [Q]``, as many of every cloud.

        ``sample_index`` are the sampled points of every cloud; ``turn [Q]`` turns the frame of a query about its normal.
        """
        clouds = len(ptr) - 1
        each = len(query_index) // clouds
        at, frames = pos[query_index], turned_frames(normal[query_index], turn)
        near = knn(pos, self.near, ptr, at, torch.arange(clouds + 1) * each).col.view(len(at), -1)
        sample = sample_index.view(clouds, -1).repeat_interleave(each, dim=0)
        read = [
            self._read((pos[others] - at[:, None]) @ frames.mT, normal[others] @ frames.mT)
            for others in (near, sample)
        ]
        y: Tensor = self.head(torch.cat([part for pair in read for part in pair], dim=1))
        return y[:, 0]

    def _read(self, offset: Tensor, facing: Tensor) -> tuple[Tensor, Tensor]:
        distance = offset.norm(dim=2, keepdim=True)
        direction = offset / (distance + 1e-6)
        across = (direction * facing).sum(dim=2, keepdim=True)
        u = torch.cat([direction, facing, across, (distance + 0.01).log(), distance], dim=2)
        h: Tensor = self.window(u)
        return h.amax(dim=1), h.mean(dim=1)
