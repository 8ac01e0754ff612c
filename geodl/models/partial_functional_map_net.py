"""Deep functional maps of shapes that have only a part in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.geometry import Gradient, Spectrum
from geodl.matching import functional_map, match_descriptors
from geodl.models.diffusionnet import DiffusionNet
from geodl.models.on_batch import on_batch
from geodl.models.published import Published, named, state_dict

__all__ = ["PartialFeatures", "PartialFunctionalMapNet"]


class PartialFeatures(NamedTuple):
    """What :meth:`PartialFunctionalMapNet.compare` finds of two shapes.

    Attributes:
        features_1, features_2: ``[V1, D]`` and ``[V2, D]``, each having looked at the other shape.
        overlap_1, overlap_2: ``[V1]`` and ``[V2]``: logits of being on the other shape as well.
    """

    features_1: Tensor
    features_2: Tensor
    overlap_1: Tensor
    overlap_2: Tensor


class PartialFunctionalMapNet(nn.Module):
    r"""Features by DiffusionNet, refined by attention of the two shapes to one another, which also predicts where they overlap.

    .. math:: F_1 \leftarrow F_1 + \mathrm{MLP}\bigl[F_1, \mathrm{attention}(F_1, F_2, F_2)\bigr], \quad \text{then } F_2
              \text{ with } F_1, \qquad o = \mathrm{MLP}(F / \|F\|)

    The functional map is the regularised one of the features, :func:`~geodl.matching.functional_map`. Every vertex attends to all
    of the other shape (the published code to a sample); scores are never stored where torch's fused attention runs.

    Args:
        in_channels: channels of the input signal.
        features: D.
        width, blocks, dropout: of the DiffusionNet.
        attention_width: channels of the attention.
        heads: of the attention; they divide ``attention_width``.
        layers: of attention.
        eigenfunctions: K, size of the functional maps.
        weight: of their regularisation.

    Shapes:
        x ``[V, in_channels]``, spectrum and gradient of the shapes, V vertices together -> ``[V, features]``, before the shapes see
        one another; :meth:`compare` does the rest for a pair.

    Raises:
        ValueError: heads do not divide the attention's width.

    Attaiki, Pai & Ovsjanikov, "DPFM: deep partial functional maps", 3DV 2021.
    """

    def __init__(
        self,
        in_channels: int,
        features: int = 128,
        width: int = 128,
        blocks: int = 4,
        dropout: float = 0.5,
        attention_width: int = 128,
        heads: int = 4,
        layers: int = 1,
        eigenfunctions: int = 50,
        weight: float = 100.0,
    ) -> None:
        super().__init__()
        if attention_width % heads:
            raise ValueError(f"{heads} heads do not divide attention_width {attention_width}")
        self.network = DiffusionNet(in_channels, features, width, blocks, dropout=dropout)
        self.first = nn.Linear(features, attention_width)
        self.attention = nn.ModuleList(_Attention(attention_width, heads) for _ in range(layers))
        self.last = nn.Linear(attention_width, features)
        self.overlap = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 1))
        self.eigenfunctions, self.weight = eigenfunctions, weight

    @on_batch
    def forward(self, x: Tensor, spectrum: Spectrum, gradient: Gradient) -> Tensor:
        """Features ``[V, features]`` before the shapes see one another, of ``x [V, in_channels]`` and their operators."""
        made: Tensor = self.network(x, spectrum, gradient)
        return made

    def compare(self, features_1: Tensor, features_2: Tensor) -> PartialFeatures:
        """Features of a pair of shapes, of :meth:`forward`, as each sees the other.

        Raises:
            ValueError: features that do not fit.
        """
        for name, given in (("features_1", features_1), ("features_2", features_2)):
            if given.dim() != 2 or given.shape[1] != self.first.in_features or not given.shape[0]:
                raise ValueError(
                    f"{name} must have shape [V, {self.first.in_features}], not {list(given.shape)}"
                )
        one, two = self.first(features_1), self.first(features_2)
        for layer in self.attention:
            one = one + layer(one, two)
            two = two + layer(two, one)
        one, two = self.last(one), self.last(two)
        logits = [self.overlap(F.normalize(part, dim=1))[:, 0] for part in (one, two)]
        return PartialFeatures(one, two, logits[0], logits[1])

    def functional_map(
        self, features_1: Tensor, features_2: Tensor, spectrum_1: Spectrum, spectrum_2: Spectrum
    ) -> Tensor:
        """The map :math:`C_{12}` ``[K, K]`` of the features of one pair.

        Raises:
            ValueError: a spectrum with fewer than K eigenfunctions.
        """
        one, two = (s.truncate(self.eigenfunctions).to(features_1.dtype) for s in (spectrum_1, spectrum_2))
        a = (one.evecs * one.mass[:, None]).mT @ features_1
        b = (two.evecs * two.mass[:, None]).mT @ features_2
        return functional_map(a, b, one.evals.flatten(), two.evals.flatten(), self.weight)

    @staticmethod
    def point_map(features_1: Tensor, features_2: Tensor) -> Tensor:
        """p2p_21 ``[V2]``: for every vertex of shape 2 the vertex of shape 1 of nearest direction of feature."""
        return match_descriptors(F.normalize(features_1, dim=1), F.normalize(features_2, dim=1))

    @classmethod
    def from_published(
        cls,
        weights: Published,
        heads: int = 4,
        eigenfunctions: int = 50,
        weight: float = 100.0,
        dropout: float = 0.5,
    ) -> PartialFunctionalMapNet:
        """A network with the weights of the authors' implementation (github.com/pvnieo/DPFM, attention type "normal").

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            heads, eigenfunctions, weight, dropout: what the weights cannot tell.

        Raises:
            ValueError: these are no weights of DPFM.
            FileNotFoundError: there is no such file.
        """
        state = state_dict(weights)
        with named("DPFM"):
            body = {
                name.removeprefix("feature_extractor."): tensor
                for name, tensor in state.items()
                if name.startswith("feature_extractor.")
            }
            extractor = DiffusionNet.from_published(body, dropout=dropout)
            head = _translated(
                {
                    name.removeprefix("feat_refiner."): t
                    for name, t in state.items()
                    if name.startswith("feat_refiner.")
                }
            )
            attention_width, features = head["first.weight"].shape
            layers = 1 + max(int(name.split(".")[1]) for name in head if name.startswith("attention."))
            network = cls(
                extractor.in_channels, features, extractor.first.out_features, len(extractor.blocks), dropout,
                attention_width, heads, layers, eigenfunctions, weight,
            )  # fmt: skip
            network.network = extractor
            missing, unknown = network.load_state_dict(head, strict=False)
            if unknown or any(not name.startswith("network.") for name in missing):
                raise ValueError(f"missing {missing}, unknown {unknown}")
        return network


class _Attention(nn.Module):
    """What the vertices of a shape take from another shape: multi-head attention, then an MLP with instance norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.merge = (nn.Linear(width, width) for _ in range(4))
        self.inner, self.outer = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:
            # As the published code: channel c of head h is h + heads c. Fused attention takes a batch only.
            return y.view(y.shape[0], -1, self.heads).permute(2, 0, 1)[None].contiguous()

        seen = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(source)), split(self.value(source))
        )
        message = self.merge(seen[0].permute(1, 2, 0).flatten(1))
        hidden = self.inner(torch.cat([x, message], 1))
        spread, mean = torch.var_mean(hidden, 0, correction=0)
        out: Tensor = self.outer(F.relu((hidden - mean) * torch.rsqrt(spread + 1e-5)))
        return out


def _translated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in state.items():
        for theirs, ours in (
            (r"^first_lin\.", "first."),
            (r"^last_lin\.", "last."),
            (r"^layers\.(\d+)\.", r"attention.\1."),
            (r"\.attn\.proj\.0\.", ".query."),
            (r"\.attn\.proj\.1\.", ".key."),
            (r"\.attn\.proj\.2\.", ".value."),
            (r"\.attn\.merge\.", ".merge."),
            (r"\.mlp\.0\.", ".inner."),
            (r"\.mlp\.3\.", ".outer."),
            (r"^overlap_predictor\.overlap_score_net\.", "overlap."),
        ):
            name = re.sub(theirs, ours, name)
        found[name] = tensor.flatten(1) if tensor.dim() == 3 else tensor
    return found
