"""DiffusionNet's block for training on the CPU: one shape after the other, so that what a step leaves is in the cache for the next.

Diffusion ends with ``evecs E``, where ``E [K, C]`` holds a few numbers. Every linear map of the diffused signal is applied to E
instead: those of the gradient features, and the first layer's. Their derivatives are then products of small matrices as well. The
derivative is written by hand, in place where it can be.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from geodl.geometry import Gradient, Spectrum
from geodl.nn.diffusion_features import gradient_features
from geodl.ops import Neighbors, gradient_products, heat_diffuse

__all__ = ["fused_block"]


@dataclass(frozen=True, eq=False)
class Domain:
    """One shape of a batch.

    Attributes:
        rows: its vertices in the batch.
        evals, evecs, mass: its spectrum.
        gradient: which vertices a gradient reads, and its components ``[E, 2]``.
        transpose: which gradients read a vertex, and their components.
    """

    rows: slice
    evals: Tensor
    evecs: Tensor
    mass: Tensor
    gradient: tuple[Neighbors, Tensor]
    transpose: tuple[Neighbors, Tensor]


Stencils = list[tuple[tuple[Neighbors, Tensor], tuple[Neighbors, Tensor]]]

# What is made of a gradient lasts as long as the gradient: for all blocks, and for all steps on one batch.
_stencils: weakref.WeakKeyDictionary[Gradient, tuple[list[int], Stencils]] = weakref.WeakKeyDictionary()


def domains(spectrum: Spectrum, gradient: Gradient) -> list[Domain]:
    """The shapes of a batch."""
    bounds = [0, spectrum.evecs.shape[0]] if spectrum.ptr is None else spectrum.ptr.tolist()
    known = _stencils.get(gradient)
    if known is None or known[0] != bounds:
        known = bounds, [_stencil(gradient, begin, end) for begin, end in pairwise(bounds)]
        _stencils[gradient] = known
    evals = spectrum.evals.view(len(bounds) - 1, -1)
    return [
        Domain(
            slice(begin, end), evals[b], spectrum.evecs[begin:end], spectrum.mass[begin:end, None], *stencil
        )
        for b, ((begin, end), stencil) in enumerate(zip(pairwise(bounds), known[1], strict=True))
    ]


def _stencil(
    gradient: Gradient, begin: int, end: int
) -> tuple[tuple[Neighbors, Tensor], tuple[Neighbors, Tensor]]:
    rowptr = gradient.neighbors.rowptr[begin : end + 1]
    edges = slice(int(rowptr[0]), int(rowptr[-1]))
    neighbors = Neighbors(rowptr - rowptr[0], gradient.neighbors.col[edges] - begin, end - begin)
    values = gradient.values[edges].contiguous()
    transposed, perm = neighbors.t()
    return (neighbors, values), (transposed, values[perm])


def fused_block(
    x: Tensor,
    time: Tensor,
    real: Tensor,
    imag: Tensor,
    spectrum: Spectrum,
    gradient: Gradient,
    layers: Sequence[Tensor],
    dropout: float,
) -> Tensor:
    """The block with complex gradient features: ``x [V, C]`` -> ``[V, C]``. Differentiable to any order in all but the operators.

    Args:
        x, spectrum, gradient: as for :class:`~geodl.nn.DiffusionBlock`, all of one dtype.
        time: ``[C]``, positive.
        real, imag: ``[C, C]``, of the gradient features.
        layers: weight and bias of one layer of the MLP after the other, two layers at least.
        dropout: probability of dropping a hidden unit.
    """
    out: Tensor = _Block.apply(x, time, real, imag, (spectrum, gradient), dropout, *layers)
    return out


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        time: Tensor,
        real: Tensor,
        imag: Tensor,
        operators: tuple[Spectrum, Gradient],
        dropout: float,
        *layers: Tensor,
    ) -> Tensor:
        ctx.operators, ctx.scale = operators, 1 / (1 - dropout)
        weights, biases = layers[::2], layers[1::2]
        by_x, by_diffused, by_features = weights[0].split(x.shape[1], dim=1)
        # Whoever is not dropped counts for more: the next layer's weights do, instead of the many hidden units.
        later = [weight * ctx.scale for weight in weights[1:]]
        out = torch.empty_like(x)
        saved = []
        for shape in domains(*operators):
            here = x[shape.rows]
            heat = torch.exp(-shape.evals[:, None] * time) * (shape.evecs.t() @ (here * shape.mass))
            signals = shape.evecs @ torch.cat([heat, heat @ real.t(), heat @ imag.t()], dim=1)
            inner, features = gradient_products.products(signals.view(here.shape[0], 3, -1), *shape.gradient)
            features.tanh_()
            y = torch.addmm(biases[0], here, by_x.t())
            y.addmm_(features, by_features.t()).addmm_(shape.evecs, heat @ by_diffused.t())
            hidden = []
            for weight, bias in zip(later, biases[1:], strict=True):
                hidden.append(y.relu_())
                if dropout:
                    y.mul_(torch.empty_like(y).bernoulli_(1 - dropout))
                if weight is later[-1]:
                    torch.addmm(here, y, weight.t(), out=out[shape.rows]).add_(bias)
                else:
                    y = torch.addmm(bias, y, weight.t())
            saved += [heat, inner, features, *hidden]
        ctx.save_for_backward(x, time, real, imag, *layers, *saved)
        ctx.layers = len(layers)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        given, saved = ctx.saved_tensors[: 4 + ctx.layers], ctx.saved_tensors[4 + ctx.layers :]
        shapes = domains(*ctx.operators)
        each = len(saved) // len(shapes)
        kept = [saved[each * b : each * (b + 1)] for b in range(len(shapes))]
        if torch.is_grad_enabled():  # a derivative that will be differentiated
            hidden = [torch.cat(units) for units in list(zip(*kept, strict=True))[3:]]
            y = _again(ctx, hidden, *given)
            found = iter(
                torch.autograd.grad(y, [t for t in given if t.requires_grad], grads, create_graph=True)
            )
            by_given: Sequence[Tensor | None] = [next(found) if t.requires_grad else None for t in given]
        else:
            by_given = _derivative(ctx.scale, shapes, kept, grads[0], *given)
        return *by_given[:4], None, None, *by_given[4:]


def _derivative(
    scale: float,
    shapes: Sequence[Domain],
    kept: Sequence[Sequence[Tensor]],
    grad: Tensor,
    x: Tensor,
    time: Tensor,
    real: Tensor,
    imag: Tensor,
    *layers: Tensor,
) -> list[Tensor]:
    """The gradients of everything from that of the block's result; ``kept`` is what every shape left in the forward pass."""
    weights = [layers[0], *(weight * scale for weight in layers[2::2])]
    by_x, by_diffused, by_features = weights[0].split(x.shape[1], dim=1)
    grad_x = torch.empty_like(x)
    grad_time, grad_real, grad_imag = torch.zeros_like(time), torch.zeros_like(real), torch.zeros_like(imag)
    grad_layers = [torch.zeros_like(tensor) for tensor in layers]
    grad_weights, grad_biases = grad_layers[::2], grad_layers[1::2]
    first_x, first_diffused, first_features = grad_weights[0].split(x.shape[1], dim=1)
    for shape, (heat, inner, features, *hidden) in zip(shapes, kept, strict=True):
        here, g = x[shape.rows], grad[shape.rows]
        g_y = g
        for layer in range(len(weights) - 1, 0, -1):
            y = hidden[layer - 1]
            grad_weights[layer].addmm_(g_y.t(), y, alpha=scale)
            grad_biases[layer] += g_y.sum(0)
            g_y = g_y @ weights[layer]
            torch.ops.aten.threshold_backward.grad_input(
                g_y, y, 0, grad_input=g_y
            )  # dropped units are 0 as well
        first_x.addmm_(g_y.t(), here)
        first_features.addmm_(g_y.t(), features)
        grad_biases[0] += g_y.sum(0)
        g_coefficients = shape.evecs.t() @ g_y
        first_diffused.addmm_(g_coefficients.t(), heat)
        g_features = g_y @ by_features
        torch.ops.aten.tanh_backward.grad_input(g_features, features, grad_input=g_features)
        g_signals = gradient_products.adjoint(inner, g_features, *shape.transpose).flatten(1)
        g_plain, g_real, g_imag = (shape.evecs.t() @ g_signals).split(x.shape[1], dim=1)
        g_heat = (g_coefficients @ by_diffused).add_(g_plain).addmm_(g_real, real).addmm_(g_imag, imag)
        grad_real.addmm_(g_real.t(), heat)
        grad_imag.addmm_(g_imag.t(), heat)
        grad_time -= (shape.evals[:, None] * heat * g_heat).sum(0)
        g_heat *= torch.exp(-shape.evals[:, None] * time)
        torch.addmm(g, g_y, by_x, out=grad_x[shape.rows]).addcmul_(shape.evecs @ g_heat, shape.mass)
    return [grad_x, grad_time, grad_real, grad_imag, *grad_layers]


def _again(
    ctx: Any, hidden: Sequence[Tensor], x: Tensor, time: Tensor, real: Tensor, imag: Tensor, *layers: Tensor
) -> Tensor:
    """The block from differentiable operators, with the hidden units on that were on."""
    spectrum, gradient = ctx.operators
    ptr = torch.tensor([0, x.shape[0]]) if spectrum.ptr is None else spectrum.ptr
    diffused = heat_diffuse(x, spectrum.evals, spectrum.evecs, spectrum.mass, time, ptr)
    y = torch.cat([x, diffused, gradient_features(diffused, gradient, real, imag)], dim=1)
    for weight, bias, units in zip(layers[::2], layers[1::2], [*hidden, None], strict=True):
        y = torch.nn.functional.linear(y, weight, bias)
        if units is not None:
            y = ctx.scale * y.where(units > 0, 0)
    return x + y
