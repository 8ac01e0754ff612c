"""DiffusionNet, on shapes of any size and any resolution."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from geodl.geometry import Gradient, Laplacian, Spectrum
from geodl.models.on_batch import on_batch
from geodl.models.published import Published, state_dict
from geodl.nn import DiffusionBlock
from geodl.nn.diffusion import Method
from geodl.nn.diffusion_features import Variant
from geodl.nn.dtype_of import dtype_of
from geodl.ops import Neighbors, aggregate, to_basis

__all__ = ["DiffusionNet"]

Outputs = Literal["vertices", "faces", "global"]
OUTPUTS = ("vertices", "faces", "global")


class DiffusionNet(nn.Module):
    r"""DiffusionNet: a linear layer, blocks of diffusion, gradient features and a network at every vertex, a linear layer.

    It knows of a shape only its Laplacian and its gradient, so it works the same on any meshing, and on point clouds and graphs
    that have them. Neither the vertices' order nor the tangent frames matter (nor, with an intrinsic signal as ``x``, the pose).

    Training on a packed batch takes, on the CPU, the time of its shapes one by one and the memory of all. One shape at a time, with
    gradients summed (Lightning's ``accumulate_grad_batches``), the same step takes the memory of one.

    Args:
        in_channels: channels of the input signal, such as 3 (positions) or 16 (heat kernel signatures).
        out_channels: channels of the result.
        width: channels of the blocks.
        blocks: number of blocks.
        outputs: "vertices"; "faces", the mean of a face's three vertices; or "global", the mean over the shape, weighted by mass.
        method: of diffusion, "spectral" (needs the spectrum) or "direct" (needs Laplacians, see
            :func:`~geodl.nn.implicit_diffuse`).
        hidden: widths of the hidden layers in every block; twice the width if not given.
        dropout: probability of dropping a hidden unit in training.
        features: the gradient features, see :class:`~geodl.nn.SpatialGradientFeatures`; None for a network that needs no gradient.

    Raises:
        ValueError: no such outputs, method or features.

    Sharp, Attaiki, Crane, Ovsjanikov, "DiffusionNet: discretization agnostic learning on surfaces", ACM TOG 2022.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 128,
        blocks: int = 4,
        outputs: Outputs = "vertices",
        method: Method = "spectral",
        hidden: Sequence[int] | None = None,
        dropout: float = 0.5,
        features: Variant | None = "complex",
    ) -> None:
        super().__init__()
        if outputs not in OUTPUTS:
            raise ValueError(f"outputs must be one of {', '.join(OUTPUTS)}, not {outputs!r}")
        self.in_channels, self.outputs = in_channels, outputs
        self.first = nn.Linear(in_channels, width)
        self.blocks = nn.ModuleList(
            DiffusionBlock(width, hidden, dropout, features, method) for _ in range(blocks)
        )
        self.last = nn.Linear(width, out_channels)

    @on_batch
    def forward(
        self,
        x: Tensor,
        spectrum: Spectrum | Laplacian | Sequence[Laplacian],
        gradient: Gradient | None = None,
        face: Tensor | None = None,
    ) -> Tensor:
        """Features of the vertices, faces or shapes of a packed batch.

        Operators are taken in the network's dtype; give them in it to spare a conversion in every call.

        Args:
            x: ``[V, in_channels]``, the vertices of all shapes.
            spectrum: of one shape or packed; with direct diffusion the Laplacians of the shapes in a list, or the only one.
            gradient: block-diagonal for a batch; not read by a network without gradient features.
            face: ``[3, F]``, with vertices counted through the batch; for ``outputs="faces"`` alone.

        Returns:
            ``[V, out_channels]``, ``[F, out_channels]`` or ``[B, out_channels]``.

        Raises:
            ValueError: rows or channels that do not fit, or a gradient or faces that are needed but missing.
            IndexError: a face refers to a vertex that does not exist.
            TypeError: a spectrum where Laplacians are needed, or the other way round.
        """
        if x.dim() != 2 or x.shape[1] != self.in_channels:
            raise ValueError(f"x must have shape [V, {self.in_channels}], not {list(x.shape)}")
        vertices = x.shape[0]
        if isinstance(spectrum, Laplacian):
            spectrum = [spectrum]
        mass, ptr = _measure(spectrum)
        if mass.shape[0] != vertices:
            raise ValueError(f"spectrum has {mass.shape[0]} vertices but x has {vertices} rows")
        corners = self._corners(face, vertices)
        dtype = dtype_of(self)
        if isinstance(spectrum, Spectrum) and spectrum.evecs.dtype != dtype:
            spectrum = spectrum.to(dtype)
        if gradient is not None and gradient.values.dtype != dtype:
            gradient = Gradient(gradient.neighbors, gradient.values.to(dtype))
        x = self.first(x)
        for block in self.blocks:
            x = block(x, spectrum, gradient)
        if self.outputs == "global":
            # The mean is the coefficient of the constant function.
            weight, ptr, ones = mass.to(x), ptr.to(x.device), x.new_ones(vertices, 1)
            x = to_basis(x, ones, weight, ptr)[:, 0] / to_basis(ones, ones, weight, ptr)[:, 0]
        y: Tensor = self.last(x)
        return y if corners is None else aggregate(y, corners, reduce="mean")

    def _corners(self, face: Tensor | None, vertices: int) -> Neighbors | None:
        """The vertices of every face, where faces are asked for."""
        if self.outputs != "faces":
            return None
        if face is None:
            raise ValueError('outputs="faces" needs face [3, F]')
        if face.dim() != 2 or face.shape[0] != 3:
            raise ValueError(f"face must have shape [3, F], not {list(face.shape)}")
        if face.numel() and not 0 <= int(face.min()) <= int(face.max()) < vertices:
            raise IndexError(f"face holds {int(face.min())}..{int(face.max())}, but x has {vertices} rows")
        rowptr = torch.arange(0, face.numel() + 1, 3, device=face.device)
        return Neighbors(rowptr, face.t().reshape(-1), vertices)

    @classmethod
    def from_published(
        cls,
        weights: Published,
        features: Variant | None = "complex",
        outputs: Outputs = "vertices",
        method: Method = "spectral",
        dropout: float = 0.5,
    ) -> DiffusionNet:
        """A network with the weights of the authors' implementation (github.com/nmwsharp/diffusion-net).

        Sizes are read off the weights; what they cannot tell is asked for.

        Args:
            weights: a state dict, what a training script has wrapped around one, or the path of either.
            features: "frame-dependent" for weights from before the authors' correction of the gradient features. Networks without
                rotations ("real") or features (None) are recognised whatever this says.
            outputs, method, dropout: as for the network. The authors' edges have no counterpart here.

        Raises:
            ValueError: these are no weights of a DiffusionNet.
            FileNotFoundError: there is no such file.
        """
        state = {_translate(name): tensor for name, tensor in state_dict(weights).items()}
        try:
            width, in_channels = state["first.weight"].shape
            layers = sum(re.fullmatch(r"blocks\.0\.layers\.\d+\.bias", name) is not None for name in state)
            hidden = [state[f"blocks.0.layers.{layer}.bias"].shape[0] for layer in range(layers - 1)]
            blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
            if "blocks.0.features.real" not in state:
                features = None
            elif "blocks.0.features.imag" not in state:
                features = "real"
            network = cls(
                in_channels, state["last.weight"].shape[0], width, blocks, outputs, method, hidden, dropout, features
            )  # fmt: skip
            network.load_state_dict(state)
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(f"these are no weights of a published DiffusionNet: {error}") from error
        return network


def _measure(spectrum: Spectrum | Sequence[Laplacian]) -> tuple[Tensor, Tensor]:
    """Mass of every vertex, and where shapes begin."""
    if isinstance(spectrum, Spectrum):
        mass = spectrum.mass
        return mass, spectrum.ptr if spectrum.ptr is not None else torch.tensor([0, mass.shape[0]])
    mass = torch.cat([part.mass for part in spectrum])
    return mass, torch.tensor([0, *(part.mass.shape[0] for part in spectrum)]).cumsum(0)


def _translate(name: str) -> str:
    """The name that a published parameter has here."""
    for theirs, ours in (
        (r"^first_lin\.", "first."),
        (r"^last_lin\.", "last."),
        (r"^block_(\d+)\.", r"blocks.\1."),
        (r"\.diffusion\.diffusion_time$", ".diffusion.time"),
        (r"\.gradient_features\.(?:A_re|A)\.weight$", ".features.real"),
        (r"\.gradient_features\.A_im\.weight$", ".features.imag"),
        (r"\.mlp\.miniMLP_mlp_layer_0*(\d+)\.", r".layers.\1."),
    ):
        name = re.sub(theirs, ours, name)
    return name
