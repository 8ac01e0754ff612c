"""DiffusionNet's block for training on the CPU: one shape after the other, so that what a step leaves is in the cache for the next.

Diffusion ends with ``evecs E``, where ``E [K, C]`` holds a few numbers. Every linear map of the diffused signal is applied to E
instead: those of the gradient features, and the first layer's. Their derivatives are then products of small matrices as well. The
derivative is written by hand, in place where it can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from geodl.geometry import Gradient, Spectrum
from geodl.nn.diffusion_features import gradient_features
from geodl.ops import Neighbors, gradient_products, heat_diffuse
from geodl.ops.core.memory import new_empty, resolve
from geodl.ops.matrix_products import native_sum
from geodl.ops.recycled import Recycled
from geodl.ops.remembered import remembered

__all__ = ["fused_block"]


@dataclass(frozen=True, eq=False)
class Domain:
    """One shape of a batch.

    Attributes:
        rows: its vertices in the batch.
        evecs: of its spectrum.
        weighted: the eigenvectors times the mass of their vertices.
        gradient: which vertices a gradient reads, and its components ``[E, 2]``.
        transpose: which gradients read a vertex, and their components.
    """

    rows: slice
    evecs: Tensor
    weighted: Tensor
    gradient: tuple[Neighbors, Tensor]
    transpose: tuple[Neighbors, Tensor]

    @property
    def size(self) -> int:
        return self.evecs.shape[0]


Stencils = list[tuple[tuple[Neighbors, Tensor], tuple[Neighbors, Tensor]]]


def domains(spectrum: Spectrum, gradient: Gradient) -> list[Domain]:
    """The shapes of a batch."""
    bounds = [0, spectrum.evecs.shape[0]] if spectrum.ptr is None else spectrum.ptr.tolist()

    def stencils() -> Stencils:
        return [_stencil(gradient, begin, end) for begin, end in pairwise(bounds)]

    # What is made of a gradient or a spectrum lasts as long as that: for all blocks, and for all steps on one batch.
    of_shapes = remembered(gradient, ("stencils", *bounds), stencils)
    weighted = remembered(spectrum, "weighted", lambda: spectrum.evecs * spectrum.mass[:, None])
    return [
        Domain(slice(begin, end), spectrum.evecs[begin:end], weighted[begin:end], *stencil)
        for (begin, end), stencil in zip(pairwise(bounds), of_shapes, strict=True)
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
    memory: Recycled,
) -> Tensor:
    """The block with complex gradient features: ``x [V, C]`` -> ``[V, C]``. Differentiable to any order in all but the operators.

    Args:
        x, spectrum, gradient: as for :class:`~geodl.nn.DiffusionBlock`, all of one dtype.
        time: ``[C]``, positive.
        real, imag: ``[C, C]``, of the gradient features.
        layers: weight and bias of one layer of the MLP after the other, two layers at least.
        dropout: probability of dropping a hidden unit.
        memory: for what the backward pass needs.
    """
    out: Tensor = _Block.apply(x, time, real, imag, (spectrum, gradient), dropout, memory, *layers)
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
        memory: Recycled,
        *layers: Tensor,
    ) -> Tensor:
        ctx.operators, ctx.scale = operators, 1 / (1 - dropout)
        x = resolve(x, "x")
        vertices, channels = x.shape
        shapes = domains(*operators)
        weights, biases = layers[::2], layers[1::2]
        by_x, maps, by_features = _maps(weights[0], real, imag)
        # Whoever is not dropped counts for more: the next layer's weights do, instead of the many hidden units.
        later = [weight * ctx.scale for weight in weights[1:]]
        decay = _decay(operators[0], time)
        # Of the diffused signal, of the features' combinations of it, and of the first layer's share.
        spectral = x.new_empty(*decay.shape[:2], channels + maps.shape[0])
        widths = [bias.shape[0] for bias in biases[:-1]]
        kept = memory.empty(x, vertices * sum(widths)).split([vertices * width for width in widths])
        hidden = [part.view(vertices, width) for part, width in zip(kept, widths, strict=True)]
        out = new_empty(x, vertices, channels)
        largest = max((shape.size for shape in shapes), default=0)
        signals, features = new_empty(x, largest, 3 * channels), new_empty(x, largest, channels)
        ones = x.new_ones(largest, 1)
        for b, shape in enumerate(shapes):
            here, heat = x[shape.rows], spectral[b, :, :channels]
            native_sum(heat, (shape.weighted.t(), here)).mul_(decay[b])
            native_sum(spectral[b, :, channels:], (heat, maps.t()))
            along = native_sum(signals[: shape.size], (shape.evecs, spectral[b, :, : 3 * channels]))
            f = features[: shape.size]
            gradient_products.write_products(along.view(-1, 3, channels), *shape.gradient, f)
            terms = [(here, by_x.t()), (shape.evecs, spectral[b, :, 3 * channels :])]
            terms.append((f, by_features.t()))
            for units, bias, weight in zip(hidden, biases[:-1], later, strict=True):
                y = native_sum(units[shape.rows], *terms, start=bias, last="relu")
                if dropout:
                    y.mul_(torch.rand_like(y) >= dropout)  # bernoulli_ takes three times as long
                terms = [(y, weight.t())]
            native_sum(out[shape.rows], *terms, (ones[: shape.size], biases[-1][None]), start=here)
        ctx.save_for_backward(x, time, real, imag, *layers, spectral, *hidden)
        ctx.given = 4 + len(layers)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # once: under a checkpoint they can't be had again
        given, kept = saved[: ctx.given], saved[ctx.given :]
        if torch.is_grad_enabled():  # a derivative that will be differentiated
            y = _again(ctx, kept[1:], *given)
            found = iter(
                torch.autograd.grad(y, [t for t in given if t.requires_grad], grads, create_graph=True)
            )
            by_given: Sequence[Tensor | None] = [next(found) if t.requires_grad else None for t in given]
        else:
            by_given = _derivative(ctx, kept, resolve(grads[0], "grad"), *given)
        return *by_given[:4], None, None, None, *by_given[4:]


def _maps(weight: Tensor, real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first layer's share of x; all linear maps of the diffused signal; the first layer's share of the features."""
    by_x, by_diffused, by_features = weight.split(real.shape[0], dim=1)
    return by_x, torch.cat([real, imag, by_diffused]), by_features


def _decay(spectrum: Spectrum, time: Tensor) -> Tensor:
    """``[B, K, C]``"""
    return torch.exp(-spectrum.evals.view(-1, spectrum.evecs.shape[1], 1) * time)


def _derivative(
    ctx: Any,
    kept: Sequence[Tensor],
    grad: Tensor,
    x: Tensor,
    time: Tensor,
    real: Tensor,
    imag: Tensor,
    *layers: Tensor,
) -> list[Tensor]:
    """The gradients of everything from that of the block's result; ``kept`` is what the forward pass left."""
    channels, shapes = x.shape[1], domains(*ctx.operators)
    spectral, *hidden = kept
    by_x, maps, by_features = _maps(layers[0], real, imag)
    later = [weight * ctx.scale for weight in layers[2::2]]
    decay = _decay(ctx.operators[0], time)
    grad_x, grad_spectral = new_empty(x, *x.shape), torch.empty_like(spectral)
    grad_layers = [torch.zeros_like(tensor) for tensor in layers]
    grad_weights, grad_biases = grad_layers[::2], grad_layers[1::2]
    first_x, first_diffused, first_features = grad_weights[0].split(channels, dim=1)
    largest = max((shape.size for shape in shapes), default=0)
    signals, inner = new_empty(x, largest, 3 * channels), new_empty(x, largest, 4 * channels)
    features = new_empty(x, largest, channels)
    for b, shape in enumerate(shapes):
        here, g_y = x[shape.rows], grad[shape.rows]
        for layer in range(len(later), 0, -1):
            y = hidden[layer - 1][shape.rows]
            _add_product(grad_weights[layer], g_y.t(), y)
            grad_biases[layer] += g_y.sum(0)
            # Dropped units are 0 as well.
            g_y = native_sum(torch.empty_like(y), (g_y, later[layer - 1]), last="relu_derivative", units=y)
        _add_product(first_x, g_y.t(), here)
        grad_biases[0] += g_y.sum(0)
        # What the features were made of is made again: that takes a tenth of the time of a step, and half of its memory to keep.
        along = native_sum(signals[: shape.size], (shape.evecs, spectral[b, :, : 3 * channels]))
        f, g_inner = features[: shape.size], inner[: shape.size].view(-1, 4, channels)
        g_f = native_sum(torch.empty_like(f), (g_y, by_features))
        gradient_products.write_derivative(along.view(-1, 3, channels), *shape.gradient, g_f, g_inner, f)
        _add_product(first_features, g_y.t(), f)
        gradient_products.write_adjoint(g_inner, *shape.transpose, along.view(-1, 3, channels))
        native_sum(grad_spectral[b, :, : 3 * channels], (shape.evecs.t(), along))
        native_sum(grad_spectral[b, :, 3 * channels :], (shape.evecs.t(), g_y))
        g_heat = grad_spectral[b, :, :channels]
        _add_product(g_heat, grad_spectral[b, :, channels:], maps)
        terms = (g_y, by_x), (shape.weighted, g_heat * decay[b])
        native_sum(grad_x[shape.rows], *terms, start=grad[shape.rows])
    g_heat, g_mapped = grad_spectral.split([channels, maps.shape[0]], dim=2)
    heat = spectral[:, :, :channels]
    grad_time = -(ctx.operators[0].evals.view(*heat.shape[:2], 1) * heat * g_heat).sum((0, 1))
    grad_maps = native_sum(torch.empty_like(maps), (g_mapped.flatten(0, 1).t(), heat.flatten(0, 1)))
    grad_real, grad_imag, by_diffused = grad_maps.split([channels, channels, first_diffused.shape[0]])
    first_diffused.copy_(by_diffused)
    for weight in grad_weights[1:]:
        weight *= ctx.scale
    return [grad_x, grad_time, grad_real, grad_imag, *grad_layers]


def _add_product(out: Tensor, a: Tensor, b: Tensor) -> None:
    native_sum(out, (a, b), start=out)


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
