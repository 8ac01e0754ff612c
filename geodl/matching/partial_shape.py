"""A mesh that may have a border, at the scale of what it is matched to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from geodl.data import Mesh
from geodl.data.shapes import as_shape
from geodl.geometry import Gradient, Spectrum, mean_edge_length, shot, surface_area
from geodl.matching.geodesic_graph import border_vertices, distance_to, geodesic_graph
from geodl.matching.heat_signs import heat_signs
from geodl.matching.spectral_shape import SpectralShape

__all__ = ["NEIGHBOURHOOD", "SCALES", "PartialShape"]

# Radius of the histograms of normals, in units.
NEIGHBOURHOOD = 0.12
# How far the sizes of a part and of where it belongs may differ.
SCALES = (0.8, 1.25)


@dataclass(frozen=True, eq=False)
class PartialShape:
    """A mesh in a given unit of length, with what matching of parts reads of it, in float32.

    Unlike a :class:`SpectralShape` it is not scaled to area 1, which would make a part larger than it is.

    Attributes:
        mesh: ``pos`` in units, and ``face``, outward.
        spectrum, gradient: in units.
        used: ``[V]`` bool, the vertices that have a mass.
        graph: sparse matrix of lengths.
        border: ``[V]``, distance to the border; inf if there is none.
        edge: mean length of an edge.
        area: in square units.
    """

    mesh: Any
    spectrum: Spectrum
    gradient: Gradient
    used: Tensor
    graph: Any
    border: Tensor
    edge: float
    area: float

    @staticmethod
    def of(mesh: Any, unit: float, k: int = 100) -> PartialShape:
        """Prepares a mesh.

        Args:
            mesh: whatever :func:`geodl.data.as_shape` takes that has faces.
            unit: of length: the square root of the area of the whole.
            k: eigenpairs.

        Raises:
            ValueError, IndexError: a cloud, or what :meth:`SpectralShape.of` raises.
        """
        mesh = as_shape(mesh)
        if getattr(mesh, "face", None) is None:
            raise ValueError("this is a point cloud: partial shapes must be meshes, whose border is known")
        made = SpectralShape.of(mesh, k)
        size = float(surface_area(mesh)) ** 0.5 / unit
        basis = made.spectrum
        scaled = Mesh(made.mesh.pos * size, made.mesh.face)
        graph = geodesic_graph(scaled)
        return PartialShape(
            scaled,
            Spectrum(basis.evals / size**2, basis.evecs / size, basis.mass * size**2),
            Gradient(made.gradient.neighbors, made.gradient.values / size),
            made.used,
            graph,
            distance_to(graph, border_vertices(scaled)),
            float(mean_edge_length(scaled)),
            size**2,
        )

    @cached_property
    def diffusion(self) -> tuple[Tensor, Tensor]:
        """What :func:`heat_signs` gives, ``[V, 8]`` and ``[V, 7]``."""
        return heat_signs(self.spectrum, self.gradient)

    @cached_property
    def histograms(self) -> Tensor:
        """``[V, 352]``, :func:`~geodl.geometry.shot` near enough for few of them to see a border."""
        with warnings.catch_warnings():
            # Points that have no neighbours have zeros: they tell nothing.
            warnings.simplefilter("ignore", RuntimeWarning)
            made = shot(self.mesh, NEIGHBOURHOOD)
        assert isinstance(made, Tensor)
        return made

    def signal(self) -> Tensor:
        """``[V, 16]``, what a network reads: :meth:`diffusion`, and how near the border is."""
        return torch.cat([*self.diffusion, (-self.border / 0.1).exp()[:, None]], 1)
