"""Communities: a procedural social network with known communities, and nothing to download."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from geodl.data import Graph

__all__ = ["Communities"]

Indices = NDArray[np.int64]

_LABELLED = 20  # training nodes of a community, as in the public split of Planetoid


class Communities:
    r"""A degree-corrected stochastic block model, whose nodes carry words that hint at their community.

    The expected number of edges between nodes i and j is proportional to :math:`\theta_i \theta_j B_{y_i y_j}`: popular nodes
    (power-law :math:`\theta`) have many, and a fraction ``mixing`` of all edges goes to other communities. Every node uses
    about ``words`` of ``num_features`` words, most of them common to all, some of its community's own. The graph is
    undirected (both ways are listed), without loops or double edges; some nodes have no neighbours.

    It is a sequence of one :class:`~geodl.data.Graph` with ``x [N, num_features]`` (float32; rows sum to 1, or are 0),
    ``edge_index``, ``y [N]`` and, as the public split of Planetoid, ``train_mask`` (20 nodes a community), ``val_mask`` and
    ``test_mask`` (a sixth and a third of the nodes, at most 500 and 1000, unless told otherwise). The same arguments give the
    same graph.

    Args:
        num_nodes: ``N``.
        num_communities: number of labels.
        mean_degree: of a node; edges that were drawn twice are missing from it.
        mixing: fraction of the edges that leave their community, in [0, 1].
        exponent: of the power law of the degrees, above 2; ``inf`` for equal degrees.
        num_features: size of the vocabulary.
        words: mean number of words of a node.
        topicality: fraction of the words that are drawn from the community's own, in [0, 1].
        train_fraction: of the nodes to train on, drawn at random, instead of 20 a community.
        seed: of everything.

    Raises:
        ValueError: a number that is too small or out of its range.

    Karrer and Newman, "Stochastic blockmodels and community structure in networks", Phys. Rev. E 2011.
    """

    def __init__(
        self,
        num_nodes: int = 2500,
        num_communities: int = 7,
        mean_degree: float = 4.0,
        mixing: float = 0.2,
        exponent: float = 2.5,
        num_features: int = 1000,
        words: float = 18.0,
        topicality: float = 0.15,
        train_fraction: float | None = None,
        seed: int = 0,
    ) -> None:
        if num_communities < 1 or num_nodes < 2 * _LABELLED * num_communities:
            raise ValueError(
                f"num_nodes must be at least {2 * _LABELLED} a community, got {num_nodes} for {num_communities}"
            )
        for name, value in (
            ("mixing", mixing),
            ("topicality", topicality),
            ("train_fraction", train_fraction),
        ):
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")
        if not mean_degree >= 0 or not exponent > 2 or not words > 0 or num_features < num_communities:
            raise ValueError(
                "mean_degree must not be negative, exponent exceed 2, words be positive and num_features at least"
                f" {num_communities}; got {mean_degree}, {exponent}, {words} and {num_features}"
            )
        self.num_classes, self.num_features = num_communities, num_features
        edges, topics, marks = (
            np.random.default_rng([seed, part]) for part in range(3)
        )  # so that other words leave the edges alone
        community = edges.integers(num_communities, size=num_nodes)
        popularity = (1 - edges.random(num_nodes)) ** (-1 / (exponent - 1))
        edge_index = _edges(
            edges, community, popularity, num_communities, round(num_nodes * mean_degree / 2), mixing
        )
        x = _words(topics, community, num_communities, num_features, words, topicality)
        self._graph = Graph(
            torch.from_numpy(edge_index), torch.from_numpy(x), y=torch.from_numpy(community),
            **_split(marks, community, num_communities, train_fraction),
        )  # fmt: skip

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Graph:
        if index not in (0, -1):
            raise IndexError(f"there is one graph, not a graph {index}")
        graph: Graph = self._graph.clone()
        return graph

    def __iter__(self) -> Iterator[Graph]:
        yield self[0]


def _edges(
    random: Generator,
    community: Indices,
    popularity: NDArray[np.float64],
    blocks: int,
    number: int,
    mixing: float,
) -> Indices:
    """``[2, E]`` both ways, sorted by destination and source, without loops and double edges."""
    nodes = len(community)
    order = np.argsort(community, kind="stable")  # members of a community lie side by side
    total = np.concatenate([[0.0], np.cumsum(popularity[order])])
    bounds = total[np.searchsorted(community[order], np.arange(blocks + 1))]

    def draw(low: NDArray[np.float64], high: NDArray[np.float64]) -> Indices:
        at = np.searchsorted(total, low + random.random(len(low)) * (high - low), side="right") - 1
        return order[np.clip(at, 0, nodes - 1)]

    ends = np.zeros(number), np.full(number, total[-1])
    one = draw(*ends)
    # An edge that leaves goes to any community but its own: it is drawn anew from what is left and right of that.
    home = community[one]
    own = bounds[home + 1] - bounds[home]
    leaves = random.random(number) < (mixing if blocks > 1 else 0.0)
    inside = draw(bounds[home], bounds[home + 1])
    position = random.random(number) * (total[-1] - own)
    position += np.where(position >= bounds[home], own, 0)
    outside = order[np.clip(np.searchsorted(total, position, side="right") - 1, 0, nodes - 1)]
    two = np.where(leaves, outside, inside)
    low, high = np.minimum(one, two), np.maximum(one, two)
    pairs = np.unique((low * nodes + high)[low != high])
    low, high = pairs // nodes, pairs % nodes
    both = np.sort(np.concatenate([high * nodes + low, pairs]))
    return np.stack([both % nodes, both // nodes])


def _words(
    random: Generator, community: Indices, blocks: int, vocabulary: int, words: float, topicality: float
) -> NDArray[np.float32]:
    """Bags of words, by Zipf's law within the vocabulary of all and within that of a community; rows sum to 1."""
    own = vocabulary // blocks
    count = random.poisson(words, len(community))
    node = np.repeat(np.arange(len(community)), count)
    topical = random.random(len(node)) < topicality
    word = _zipf(random, vocabulary, len(node))
    # The vocabulary of a community is every blocks-th word, common ones and rare ones.
    word = np.where(topical, _zipf(random, own, len(node)) * blocks + community[node], word)
    x = np.zeros((len(community), vocabulary), np.float32)
    x[node, word] = 1
    x /= np.maximum(x.sum(1, keepdims=True), 1)
    return x


def _zipf(random: Generator, size: int, number: int) -> Indices:
    share = np.cumsum(1 / np.sqrt(1 + np.arange(size)))
    drawn: Indices = np.searchsorted(share, random.random(number) * share[-1], side="right")
    return drawn.clip(max=size - 1)


def _split(
    random: Generator, community: Indices, blocks: int, train_fraction: float | None
) -> dict[str, torch.Tensor]:
    nodes = len(community)
    shuffled = random.permutation(nodes)
    if train_fraction is None:
        members = [shuffled[community[shuffled] == block][:_LABELLED] for block in range(blocks)]
        train = np.concatenate(members)
    else:
        train = shuffled[: round(train_fraction * nodes)]
    rest = shuffled[~np.isin(shuffled, train)]
    val, test = min(500, len(rest) // 6), min(1000, len(rest) // 3)
    masks = {"train_mask": train, "val_mask": rest[:val], "test_mask": rest[val : val + test]}
    return {name: torch.from_numpy(np.isin(np.arange(nodes), chosen)) for name, chosen in masks.items()}
