"""Training of functional maps between shapes that have only a part in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geodl.geometry import Spectrum
from geodl.matching import p2p_to_fmap
from geodl.models import PartialFunctionalMapNet
from geodl.training.functional_maps import find_loss
from geodl.training.labelling import CorrespondenceModule


class PartialMapModule(CorrespondenceModule):
    r"""Trains a :class:`~geodl.models.PartialFunctionalMapNet` on batches of pairs: shapes 0 and 1, 2 and 3, and so on.

    Shapes carry ``x``, ``spectrum``, ``gradient``, ``y`` (the common point that each vertex is nearest to) and ``corres`` (their
    vertices at the common points, -1 where the shape does not have it).

    .. math:: L = w_C \|C_{12} - \Phi_2^\top M_2 \Pi_{21} \Phi_1\|^2 / K + w_o \, \mathrm{BCE}(o_1, o_2) +
              w_n \, \mathrm{CE}(F_2 F_1^\top / \tau)

    with the true map :math:`\Pi` on the overlap; the binary cross entropy of the predicted overlap, either class weighted by the
    share of the other; and the cross entropy of finding a common point among a sample of them, both ways.

    Args:
        model: the network.
        learning_rate: of Adam; one cycle over the run.
        sample: common points that the last term looks at.
        temperature: tau.
        map_weight, overlap_weight, contrast: :math:`w_C, w_o, w_n`.

    Attaiki, Pai & Ovsjanikov, "DPFM: deep partial functional maps", 3DV 2021.
    """

    model: PartialFunctionalMapNet

    def __init__(
        self,
        model: PartialFunctionalMapNet,
        learning_rate: float = 2e-3,
        sample: int = 512,
        temperature: float = 0.07,
        map_weight: float = 1.0,
        overlap_weight: float = 1.0,
        contrast: float = 1.0,
    ) -> None:
        super().__init__(model, learning_rate)
        self.sample, self.temperature = sample, temperature
        self.map_weight, self.overlap_weight, self.contrast = map_weight, overlap_weight, contrast

    def forward(self, batch: Any) -> Tensor:
        """Features of the shapes of a packed batch, before they see one another."""
        features: Tensor = self.model(batch.x, batch.spectrum, batch.gradient)
        return features

    def training_step(self, batch: Any, _: int) -> Tensor:
        shapes = batch.num_graphs
        if shapes % 2:
            raise ValueError(f"a batch of pairs needs an even number of shapes, it has {shapes}")
        sizes = batch.ptr.diff().tolist()
        features, labels = self(batch).split(sizes), batch.y.split(sizes)
        common, spectra = batch.corres.view(shapes, -1), _single(batch.spectrum)
        random = self.step_generator()
        sums = {name: features[0].new_zeros(()) for name in ("map", "overlap", "contrast")}
        for a in range(0, shapes, 2):
            b = a + 1
            found = self.model.compare(features[a], features[b])
            c = self.model.functional_map(found.features_1, found.features_2, spectra[a], spectra[b])
            k = c.shape[0]
            true = p2p_to_fmap(
                common[a][labels[b]], spectra[a].evecs[:, :k], spectra[b].evecs[:, :k], spectra[b].mass
            )
            sums["map"] = sums["map"] + (c - true.to(c)).square().sum() / k
            for logit, here, other in (
                (found.overlap_1, labels[a], common[b]),
                (found.overlap_2, labels[b], common[a]),
            ):
                sums["overlap"] = sums["overlap"] + _balanced(logit, (other[here] >= 0).to(logit))
            both = ((common[a] >= 0) & (common[b] >= 0)).nonzero().flatten()
            at = both[torch.randperm(both.numel(), generator=random)[: self.sample].to(both.device)]
            if at.numel():
                one = F.normalize(found.features_1[common[a][at]], dim=1)
                two = F.normalize(found.features_2[common[b][at]], dim=1)
                score = two @ one.mT / self.temperature
                sums["contrast"] = sums["contrast"] + (
                    find_loss(score, common[a][at]) + find_loss(score.mT, common[b][at])
                )
        weights = {"map": self.map_weight, "overlap": self.overlap_weight, "contrast": self.contrast / 2}
        parts = {name: 2 / shapes * weights[name] * value for name, value in sums.items()}
        loss = torch.stack(list(parts.values())).sum()
        self.log_dict({"loss": loss, **parts}, prog_bar=True, batch_size=shapes)
        return loss

    def predict_step(self, batch: Any, _: int) -> Any:
        """What the network finds of every pair of the batch: a list of :class:`~geodl.models.PartialFeatures`."""
        features = self(batch).split(batch.ptr.diff().tolist())
        return [self.model.compare(one, two) for one, two in zip(features[::2], features[1::2], strict=True)]


def _single(packed: Spectrum) -> list[Spectrum]:
    assert packed.ptr is not None
    sizes = packed.ptr.diff().tolist()
    parts = zip(packed.evals, packed.evecs.split(sizes), packed.mass.split(sizes), strict=True)
    return [Spectrum(evals, evecs, mass) for evals, evecs, mass in parts]


def _balanced(logit: Tensor, true: Tensor) -> Tensor:
    """Binary cross entropy in which either class counts as much as the other; the plain one where there is one class alone."""
    share = true.mean()
    if not 0 < float(share) < 1:
        return F.binary_cross_entropy_with_logits(logit, true)
    weight = torch.where(true > 0.5, 0.5 / share, 0.5 / (1 - share))
    return F.binary_cross_entropy_with_logits(logit, true, weight)
