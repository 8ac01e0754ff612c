"""Training of deep functional maps, with correspondences or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.matching import bijectivity_loss, coupling_loss, orthogonality_loss, soft_p2p_to_fmap
from geodl.matching.point_map import fit
from geodl.models import FunctionalMapNet
from geodl.training.labelling import CorrespondenceModule
from geodl.training.training_steps import training_steps

# Share of the steps in which maps grow.
_GROWTH = 2 / 3


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of shapes of a batch, by number, with their features and functional maps both ways."""

    batch: Any
    features: Tensor
    forth: Tensor
    back: Tensor
    numbers: list[tuple[int, int]]
    random: torch.Generator

    @property
    def evecs(self) -> Tensor:
        """As many eigenvectors as the maps have columns."""
        evecs: Tensor = self.batch.spectrum.evecs[:, : self.forth.shape[-1]]
        return evecs.to(self.features.dtype)


class FunctionalMapModule(CorrespondenceModule):
    r"""Trains a :class:`~geodl.models.FunctionalMapNet` on batches of at least two shapes, each matched to the next of its batch.

    With ``supervision="points"`` (shapes carry ``corres``, their vertices at common points):

    .. math:: L = \|C_{12} - \Phi_2^\dagger \Pi_{21} \Phi_1\|^2 / K + w \, \mathrm{CE}(F_2 F_1^\top / \tau)

    with the true map :math:`\Pi`, and the cross entropy of finding a point among a sample of the common points, both ways. With
    ``supervision=None``:

    .. math:: L = \bigl( \|C_{12} C_{21} - I\|^2 + \|C_{21} C_{12} - I\|^2 + \|C^\top C - I\|^2 +
              \|C_{12} - \Phi_2^\dagger \mathrm{softmax}(F_2 F_1^\top / \tau) \Phi_1\|^2 \bigr) / K

    with both directions of the last two. Correspondences are not read. Low frequencies tell where a point is about, high ones
    where exactly: with ``first`` the maps begin with so many eigenfunctions, and grow to the network's K over two thirds of the
    steps.

    Args:
        model: the network.
        supervision: "points" or None.
        learning_rate: of Adam; it falls to a hundredth along half a cosine.
        sample: points that soft maps and cross entropies look at in every step, new random ones each time; all if not given.
        temperature: tau.
        contrast: ``w``.
        first: eigenfunctions of the maps in the first step; the network's K in all of them if not given.

    Raises:
        ValueError: ``first`` is not between 1 and K.

    Cao, Roetzer & Bernard, "Unsupervised learning of robust spectral shape matching", ACM TOG 2023; Donati et al., CVPR 2020.
    """

    model: FunctionalMapNet

    def __init__(
        self,
        model: FunctionalMapNet,
        supervision: Literal["points"] | None = None,
        learning_rate: float = 2e-3,
        sample: int | None = 1024,
        temperature: float = 0.07,
        contrast: float = 1.0,
        first: int | None = None,
    ) -> None:
        super().__init__(model, learning_rate)
        if first is not None and not 1 <= first <= model.eigenfunctions:
            raise ValueError(
                f"first must lie in 1..{model.eigenfunctions}, the size of the maps, got {first}"
            )
        self.first = first
        self.supervision = supervision
        self.sample = sample
        self.temperature, self.contrast = temperature, contrast

    def forward(self, batch: Any) -> Tensor:
        """Features of the shapes of a packed batch."""
        features: Tensor = self.model(batch.x, batch.spectrum, batch.gradient)
        return features

    def training_step(self, batch: Any, _: int) -> Tensor:
        shapes = batch.num_graphs
        if shapes < 2:
            raise ValueError("a batch of functional maps needs at least two shapes, it has one")
        features = self(batch)
        one = torch.arange(shapes, device=features.device)
        # Of two shapes, the second's next is the first, and that pair is the first one backwards.
        one = one[: shapes if shapes > 2 else 1]
        two = (one + 1) % shapes
        size = self.map_size()
        forth = self.model.functional_maps(features, batch.spectrum, torch.stack([one, two], 1), size)
        back = self.model.functional_maps(features, batch.spectrum, torch.stack([two, one], 1), size)
        numbers = list(zip(one.tolist(), two.tolist(), strict=True))
        pairs = _Pairs(batch, features, forth, back, numbers, self.step_generator())
        parts = self._of_points(pairs) if self.supervision == "points" else self._without_points(pairs)
        loss = torch.stack(list(parts.values())).sum()
        self.log_dict({"loss": loss, **parts}, prog_bar=True, batch_size=shapes)
        return loss

    def map_size(self) -> int:
        """Eigenfunctions of the maps in this step."""
        last = self.model.eigenfunctions
        if self.first is None:
            return last
        done = float(self.global_step / (_GROWTH * self.trainer.estimated_stepping_batches))
        return round(self.first + (last - self.first) * min(1.0, done))

    def _of_points(self, pairs: _Pairs) -> dict[str, Tensor]:
        features, evecs, ptr = pairs.features, pairs.evecs, pairs.batch.ptr.tolist()
        common = pairs.batch.corres.view(len(ptr) - 1, -1)
        maps, contrast = features.new_zeros(()), features.new_zeros(())
        for (a, b), forth, back in zip(pairs.numbers, pairs.forth, pairs.back, strict=True):
            at = self._draw(common.shape[1], pairs)
            at_a, at_b = common[a][at] + ptr[a], common[b][at] + ptr[b]
            for c, x, y in ((forth, at_a, at_b), (back, at_b, at_a)):
                maps = maps + coupling_loss(c, fit(evecs[y], evecs[x])) / c.shape[-1]
            score = features[at_b] @ features[at_a].mT / self.temperature
            # Several common points may share a vertex: any of its columns is right, and the first stands for all.
            contrast = contrast + find_loss(score, at_a) + find_loss(score.mT, at_b)
        count = len(pairs.numbers)
        return {"map": maps / count, "contrast": self.contrast * contrast / (2 * count)}

    def _without_points(self, pairs: _Pairs) -> dict[str, Tensor]:
        features, evecs, ptr = pairs.features, pairs.evecs, pairs.batch.ptr.tolist()
        coupling = features.new_zeros(())
        for (a, b), forth, back in zip(pairs.numbers, pairs.forth, pairs.back, strict=True):
            at_a, at_b = (self._draw(ptr[s + 1] - ptr[s], pairs) + ptr[s] for s in (a, b))
            for c, x, y in ((forth, at_a, at_b), (back, at_b, at_a)):
                seen = soft_p2p_to_fmap(features[x], features[y], evecs[x], self.temperature)
                coupling = coupling + coupling_loss(c, fit(evecs[y], seen)) / c.shape[-1]
        k = pairs.forth.shape[-1]
        return {
            "bijectivity": bijectivity_loss(pairs.forth, pairs.back) / k,
            "orthogonality": (orthogonality_loss(pairs.forth) + orthogonality_loss(pairs.back)) / k,
            "coupling": coupling / len(pairs.numbers),
        }

    def _draw(self, count: int, pairs: _Pairs) -> Tensor:
        return torch.randperm(count, generator=pairs.random)[: self.sample].to(pairs.features.device)

    def predict_step(self, batch: Any, _: int) -> list[Tensor]:
        """The features of every shape of the batch."""
        return list(self(batch).split(batch.ptr.diff().tolist()))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), self.learning_rate)
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, training_steps(self), self.learning_rate / 100
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": fall, "interval": "step"}}


def find_loss(score: Tensor, vertex: Tensor) -> Tensor:
    """Cross entropy of finding column i in row i, columns of one vertex counted once."""
    order = torch.arange(vertex.shape[0], device=vertex.device)
    _, which = vertex.unique(return_inverse=True)
    first = torch.full_like(vertex, vertex.shape[0]).scatter_reduce(0, which, order, "amin")
    repeated = first[which] != order
    return F.cross_entropy(score.masked_fill(repeated, -torch.inf), first[which])
