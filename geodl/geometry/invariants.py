"""Differential invariants: descriptors that tell left from right, from nothing but a spectrum and a gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from geodl.geometry.gradient import Gradient
from geodl.geometry.repeatable import total
from geodl.geometry.signatures import wave_kernel_signature
from geodl.geometry.spectrum import Spectrum
from geodl.ops.graph_filter import matmul, matmul_tn

__all__ = ["DifferentialInvariants", "differential_invariants"]


class DifferentialInvariants(NamedTuple):
    """Families of descriptors, ``[V, D]`` each, of zero mean (where even) and mean square 1 over the shape.

    Attributes:
        waves: wave kernel signatures. Even: a mirror image has the same.
        products: :math:`\\langle \\nabla f, \\nabla g \\rangle` of pairs of smoothed signatures. Even.
        brackets: :math:`\\{f, g\\} = \\langle n, \\nabla f \\times \\nabla g \\rangle`. Odd: a mirror image has them negated.
        second_products: :math:`\\langle \\nabla \\{f, g\\}, \\nabla h \\rangle`. Odd.
        second_brackets: :math:`\\{\\{f, g\\}, h\\}`. Even.
    """

    waves: Tensor
    products: Tensor
    brackets: Tensor
    second_products: Tensor
    second_brackets: Tensor


def differential_invariants(
    spectrum: Spectrum, gradient: Gradient, functions: int = 20, smooth: int = 100
) -> DifferentialInvariants:
    r"""Wave kernel signatures and what can be told of their gradients.

    Signatures are the same at the two ends of a symmetry, so no map found from them knows left from right. The bracket of two
    such functions changes its sign under the symmetry, and products and brackets of brackets tell apart what signatures alone do
    not. All are unchanged by isometries that keep the orientation, by scale and by the tangent frames.

    Args:
        spectrum: of one shape or packed.
        gradient: of the same shapes, whose normals point outward.
        functions: how many of the 100 signatures, evenly chosen, and as many of their brackets, are differentiated.
        smooth: eigenfunctions that these are projected to before; all of the spectrum if it has fewer.

    Returns:
        DifferentialInvariants in the dtype of the spectrum, with n functions of n (n + 1) / 2 products, n (n - 1) / 2 brackets and
        :math:`n^2` each of the second order.

    Raises:
        ValueError: a gradient of another number of vertices, or fewer than 2 functions.
    """
    vertices = spectrum.evecs.shape[0]
    if gradient.neighbors.num_dst != vertices:
        raise ValueError(f"spectrum has {vertices} vertices but gradient has {gradient.neighbors.num_dst}")
    if functions < 2:
        raise ValueError(f"functions must be at least 2, got {functions}")
    sizes = [vertices] if spectrum.ptr is None else spectrum.ptr.diff().tolist()
    mass = spectrum.mass
    evecs = spectrum.evecs[:, :smooth].contiguous()

    def mean(x: Tensor) -> Tensor:
        parts = zip(mass[:, None].split(sizes), x.split(sizes), strict=True)
        means = torch.stack([(m * part).sum(0) / total(m) for m, part in parts])
        if spectrum.ptr is None:
            return means
        return means.repeat_interleave(spectrum.ptr.diff(), dim=0, output_size=vertices)

    def unit(x: Tensor) -> Tensor:
        return x / mean(x.square()).sqrt().clamp(min=torch.finfo(x.dtype).tiny)

    def differentiate(x: Tensor) -> tuple[Tensor, Tensor]:
        """The two components [D, V]: pairs of functions are then pairs of rows, which lie together in memory."""
        parts = zip((x * mass[:, None]).split(sizes), evecs.split(sizes), strict=True)
        smoothed = torch.cat([matmul(basis, matmul_tn(basis, part)) for part, basis in parts])
        along = gradient(smoothed).permute(2, 1, 0)
        return along[0].contiguous(), along[1].contiguous()

    waves = wave_kernel_signature(spectrum)
    waves = unit(waves - mean(waves))
    x, y = differentiate(waves[:, _evenly(waves.shape[1], functions)])
    i, j = torch.triu_indices(functions, functions, device=x.device)
    products = (x[i] * x[j]).addcmul_(y[i], y[j]).T
    i, j = torch.triu_indices(functions, functions, 1, device=x.device)
    brackets = unit((x[i] * y[j]).addcmul_(y[i], x[j], value=-1).T)
    u, v = (part[:, None] for part in differentiate(brackets[:, _evenly(brackets.shape[1], functions)]))
    second_products = (u * x).addcmul_(v, y).flatten(0, 1).T
    second_brackets = (u * y).addcmul_(v, x, value=-1).flatten(0, 1).T
    return DifferentialInvariants(
        waves,
        unit(products - mean(products)),
        brackets,
        unit(second_products),
        unit(second_brackets - mean(second_brackets)),
    )


def _evenly(count: int, chosen: int) -> Tensor:
    """``chosen`` of the numbers 0 .. count - 1, first and last included; all of them if there are fewer."""
    return torch.linspace(0, count - 1, min(chosen, count)).long()
