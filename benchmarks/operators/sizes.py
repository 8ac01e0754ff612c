"""How large the inputs are: shapes of real use, and a form that the tests run in a moment."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """One field a number that a shape is made of.

    Attributes:
        nodes, degree, channels: random graph of ``aggregate``.
        crowd, crowd_edges: nodes and edges of the graph with power-law degrees.
        vertices, patch, width: mesh of the size of a FAUST registration, its neighbours and channels.
        citations: nodes, edges, features and features that are not zero of a paper, as Cora has them.
        clouds, points, nearest, features: batches of DGCNN, a number of clouds or of channels each.
        heads, powers, hidden: of attention; of the filters of a Laplacian, and their channels.
        cloud, samples: points of a large cloud, and of a sample of it.
        seconds: how long one run is repeated, if that gives enough rounds.
        copied, square: what the roofline is measured on, floats of a copy and side of a matrix product.
    """

    nodes: int = 50_000
    degree: int = 16
    channels: int = 64
    crowd: int = 1_000_000
    crowd_edges: int = 10_000_000
    crowd_channels: int = 16
    vertices: int = 6890
    patch: int = 60
    rings: int = 5
    rays: int = 8
    width: int = 32
    citations: tuple[int, int, int, int] = (2708, 10_556, 1433, 18)
    clouds: tuple[int, ...] = (8, 32)
    points: int = 1024
    nearest: int = 20
    features: tuple[int, ...] = (64, 128)
    heads: int = 8
    powers: int = 6
    hidden: int = 16
    cloud: int = 100_000
    samples: int = 4096
    seconds: float = 1.5
    copied: int = 1 << 26
    square: int = 2048


FULL = Sizes()
TINY = replace(
    FULL,
    nodes=160,
    channels=16,
    crowd=300,
    crowd_edges=2000,
    vertices=100,
    patch=12,
    rings=2,
    rays=4,
    width=3,
    citations=(50, 200, 30, 4),
    clouds=(2, 3),
    features=(4, 5),
    hidden=3,
    points=64,
    nearest=5,
    cloud=500,
    samples=40,
    seconds=0.0,
    copied=1 << 10,
    square=16,
)
