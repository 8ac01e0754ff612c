"""A training's folder: run.json says what was trained and how its shapes are read, weights.safetensors holds the network."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

__all__ = ["CLOUD_NETWORKS", "WEIGHTS", "Run"]

WEIGHTS = "weights.safetensors"
CLOUD_NETWORKS = ("DGCNN", "PointNet", "PointNet2")
_SIGNATURES = 16


@dataclass(frozen=True)
class Run:
    """What a network was trained for.

    Attributes:
        task: "classify", "segment" or "correspond".
        network: its name in ``geodl.models``.
        classes: names, by number; of parts their numbers; none for correspondences.
        elements: of a segmentation, what is labelled: "vertices", "faces" or "points".
        num_points: of the clouds that a classifier reads.
        k: eigenpairs of spectral networks.
        folder, seed, batch_size: of the training, which goes on only where they are the same.
    """

    task: str
    network: str
    classes: list[str]
    elements: str = ""
    num_points: int = 0
    k: int = 0
    folder: str = ""
    seed: int = 0
    batch_size: int = 0

    @staticmethod
    def load(folder: Path) -> Run:
        """Of a training's folder.

        Raises:
            FileNotFoundError: it is none, or its training has not ended.
            ValueError: its run.json is damaged.
        """
        file = folder / "run.json"
        if not file.is_file():
            raise FileNotFoundError(f"{folder} is no folder of `geodl train`: it has no run.json")
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(
                f"the training in {folder} has not ended: `geodl train` with the same arguments goes on"
            )
        try:
            return Run(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file} is damaged: {error}") from error

    def dumps(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def build(self) -> nn.Module:
        """The network, with random weights."""
        from geodl import models
        from geodl.data import InvariantSignal

        if self.task == "classify":
            made: nn.Module = getattr(models, self.network)(0, len(self.classes))
            return made
        if self.task == "segment":
            outputs: Any = "faces" if self.elements == "faces" else "vertices"
            return models.DiffusionNet(_SIGNATURES, len(self.classes), width=64, outputs=outputs, dropout=0.0)
        return models.FunctionalMapNet(InvariantSignal.channels)

    def trained(self, folder: Path) -> nn.Module:
        """The network with the weights of its folder."""
        from geodl.models import load_weights

        model = self.build()
        load_weights(model, folder / WEIGHTS)
        return model.eval()

    def prepare(self, cache: Any) -> Any:
        """What makes of a shape what the network reads; None where that is the shape itself."""
        if self.task != "segment":
            return None
        from torch_geometric.transforms import Compose

        from geodl.data import SpectralOperators, UnitArea
        from geodl.geometry import heat_kernel_signature

        def signature(shape: Any) -> Any:
            shape.x = heat_kernel_signature(shape.spectrum, _SIGNATURES).log1p().to(shape.pos.dtype)
            return shape

        return Compose([UnitArea(), SpectralOperators(cache, self.k), signature])
