"""A disk cache of computed operators, keyed by the content of what they were computed from."""

from __future__ import annotations

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

import geodl
from geodl.data.cache_folder import CacheEntry, CacheFolder, tensor_bytes
from geodl.data.shapes import as_shape
from geodl.geometry import (
    Charts,
    Gradient,
    Laplacian,
    Spectrum,
    chart_radius,
    geodesic_charts,
    gradient,
    laplacian,
    polar_template,
    spectrum,
)
from geodl.geometry.laplacian import default_kind
from geodl.geometry.shapes import ShapeLike
from geodl.ops.core.structure import Structure
from geodl.ops.polar_windows import PolarWindows

__all__ = ["OperatorCache"]

Kept = TypeVar("Kept", bound=Structure)
Value = Tensor | float | int | str | bool | None

_FORMAT = 3
# What a key holds of the algorithms themselves: raise a number when the results of its function change.
_ALGORITHMS = {
    "chart_radius": 1,
    "charts": 2,
    "polar_template": 3,
    "laplacian": 1,
    "spectrum": 2,
    "gradient": 2,
}


class OperatorCache:
    """Keeps what is slow to compute (spectra, charts, templates) in a folder, one safetensors file an entry.

    The name of an entry is the SHA-256 of everything it depends on: dtype, shape and bytes of the input
    tensors, the parameters, the versions of geodl and of the algorithm. No tolerance, no file dates: one
    changed bit is another entry. Files are written under a temporary name, flushed to the disk and renamed,
    so a process that is killed leaves no half entry and several processes may share the folder. An entry
    carries the SHA-256 of its tensors; a damaged one is computed again, with a warning.

    Args:
        folder: where the entries lie; made if missing. By default ``geodl`` in the user's cache folder
            (``$XDG_CACHE_HOME``, else ``~/.cache``).
        max_bytes: what the folder may hold; when there is more, the entries used longest ago are removed.

    Attributes:
        folder, max_bytes: as given.
        computed: number of entries that this object did not find and computed.
        unkept: number of them that could not be written.

    Raises:
        OSError: the folder cannot be made.
        ValueError: ``max_bytes`` is not positive.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, max_bytes: int = 10 * 2**30) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes must be positive, got {max_bytes}")
        self.folder = _default_folder() if folder is None else Path(folder)
        self.max_bytes = max_bytes
        self.computed = self.unkept = 0
        self._files = CacheFolder(self.folder, max_bytes)

    def entries(self) -> list[CacheEntry]:
        """What the folder holds: name, size and last use of every entry."""
        return self._files.entries()

    def verify(self) -> list[str]:
        """Reads every entry and removes those that are damaged.

        Returns:
            Their names.
        """
        return self._files.verify()

    def clear(self) -> None:
        """Removes every entry."""
        self._files.remove(entry.name for entry in self.entries())

    def get(
        self,
        name: str,
        inputs: Mapping[str, Value],
        compute: Callable[[], Mapping[str, Tensor]],
        enough: Callable[[Mapping[str, Tensor]], bool] = lambda kept: True,
    ) -> dict[str, Tensor]:
        """The tensors that ``compute`` returns, from the disk if they were computed before.

        Args:
            name: of the operator, letters, digits, "-" and "_"; the file name begins with it.
            inputs: all that the result depends on, by name: tensors (any dtype, any device) and parameters.
            compute: makes the result, a dict of tensors.
            enough: whether what is kept will do; if not, it is computed and takes its place.

        Returns:
            The tensors, on the CPU, detached and contiguous, whether they were computed or read.

        Raises:
            ValueError: a name that is no file name.
            TypeError: an input that is neither a tensor nor a number, a string, a bool or None.
        """
        if not name or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"name must consist of letters, digits, '-' and '_', not {name!r}")
        entry = f"{name}-{_key(name, inputs)}"
        kept = self._files.read(entry)
        if kept is not None and enough(kept):
            return kept
        result = {key: tensor.detach().cpu().contiguous() for key, tensor in compute().items()}
        self.computed += 1
        try:
            self._files.write(entry, result)
        except OSError as error:
            self.unkept += 1
            path = self._files.file(entry)
            warnings.warn(f"{path} cannot be kept: {error}", RuntimeWarning, stacklevel=2)
        return result

    def chart_radius(self, mesh: ShapeLike, size: int) -> float:
        """:func:`~geodl.geometry.chart_radius` of ``mesh``: of charts of about ``size`` vertices.

        Args:
            mesh: whatever :func:`~geodl.data.as_shape` takes that has faces.
            size: average number of vertices in a chart.
        """
        mesh = as_shape(mesh)

        def compute() -> dict[str, Tensor]:
            return {"radius": torch.tensor(chart_radius(mesh, size), dtype=torch.float64)}

        inputs = _surface("chart_radius", mesh) | {"charts": _ALGORITHMS["charts"], "size": int(size)}
        return float(self.get("chart_radius", inputs, compute)["radius"])

    def charts(
        self, mesh: ShapeLike, radius: float | Tensor | None = None, *, size: int | None = None
    ) -> Charts:
        """:func:`~geodl.geometry.geodesic_charts` of ``mesh``, on its device.

        Args:
            mesh: a mesh or a cloud, whatever :func:`~geodl.data.as_shape` takes.
            radius: of the charts, in the unit of ``pos``; ``[V]`` for one each.
            size: how many vertices every chart holds, instead.
        """
        mesh = as_shape(mesh)
        inputs = _surface("charts", mesh) | {
            "radius": _radius(radius),
            "size": None if size is None else int(size),
        }
        return self._structure(Charts, "charts", inputs, lambda: geodesic_charts(mesh, radius, size=size)).to(
            mesh.pos.device
        )

    def polar_template(
        self,
        mesh: ShapeLike,
        radius: float | Tensor | None = None,
        rings: int = 5,
        rays: int = 8,
        *,
        size: int | None = None,
    ) -> PolarWindows:
        """:func:`~geodl.geometry.polar_template` of :meth:`charts` of ``mesh``, on its device.

        Args:
            mesh: whatever :func:`~geodl.data.as_shape` takes that has faces.
            radius: of the charts, in the unit of ``pos``, ``[V]`` for one each; the outermost ring lies inside, at three
                quarters of it.
            rings: number of radii.
            rays: number of directions.
            size: average number of vertices in a chart, instead of the radius.

        Raises:
            ValueError: neither radius nor size is given, or both are.
        """
        if (radius is None) == (size is None):
            raise ValueError(
                f"a template needs a radius or a size, not {'neither' if size is None else 'both'}"
            )
        mesh = as_shape(mesh)
        if size is not None:
            radius = self.chart_radius(mesh, size)

        def compute() -> PolarWindows:
            return polar_template(mesh, self.charts(mesh, radius), rings, rays)

        # The template reads the charts, so it depends on their algorithm too.
        inputs = _surface("polar_template", mesh) | {"charts": _ALGORITHMS["charts"]}
        inputs |= {"radius": _radius(radius), "rings": int(rings), "rays": int(rays)}
        return self._structure(PolarWindows, "polar_template", inputs, compute).to(mesh.pos.device)

    def laplacian(self, shape: ShapeLike, kind: str | None = None) -> Laplacian:
        """:func:`~geodl.geometry.laplacian` of a shape, on the CPU.

        Args:
            shape: one shape, whatever :func:`~geodl.data.as_shape` takes.
            kind: of the Laplacian.
        """
        shape = as_shape(shape)
        kind = kind or default_kind(shape)
        inputs = _content("laplacian", shape) | {"kind": kind}
        return self._structure(Laplacian, "laplacian", inputs, lambda: laplacian(shape, kind))

    def spectrum(self, shape: ShapeLike, k: int, kind: str | None = None) -> Spectrum:
        """:func:`~geodl.geometry.spectrum` of a shape in float64, on its device.

        One entry serves every k up to its own; a larger one is computed and takes its place. Within an eigenspace, as of a sphere,
        the basis is then that of the longer spectrum.

        Args:
            shape: one shape, whatever :func:`~geodl.data.as_shape` takes.
            k: number of eigenvalues.
            kind: of the Laplacian.
        """
        shape = as_shape(shape)
        kind = kind or default_kind(shape)
        # The spectrum is that of the Laplacian, so it depends on its algorithm too.
        inputs = _content("spectrum", shape) | {"laplacian": _ALGORITHMS["laplacian"], "kind": kind}

        def compute() -> dict[str, Tensor]:
            return spectrum(self.laplacian(shape, kind), k).to_tensors()

        kept = self.get("spectrum", inputs, compute, lambda kept: len(kept["evals"]) >= k)
        return Spectrum.from_tensors(kept).truncate(k).to(_device(shape))

    def gradient(self, shape: ShapeLike) -> Gradient:
        """:func:`~geodl.geometry.gradient` of a shape in its :func:`~geodl.geometry.tangent_frames`, on its device.

        Args:
            shape: one mesh or point cloud, whatever :func:`~geodl.data.as_shape` takes.
        """
        shape = as_shape(shape)
        inputs = _surface("gradient", shape)
        return self._structure(Gradient, "gradient", inputs, lambda: gradient(shape)).to(_device(shape))

    def _structure(
        self, of: type[Kept], name: str, inputs: Mapping[str, Value], compute: Callable[[], Kept]
    ) -> Kept:
        """What ``compute`` makes, on the CPU."""
        return of.from_tensors(self.get(name, inputs, lambda: compute().to_tensors()))


def _default_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geodl"


def _radius(radius: float | Tensor | None) -> Value:
    return radius if radius is None or isinstance(radius, Tensor) else float(radius)


def _surface(name: str, shape: Any) -> dict[str, Value]:
    """All that is read of a mesh, or of a cloud, whose frames stand on its normals."""
    inputs: dict[str, Value] = {"algorithm": _ALGORITHMS[name], "pos": shape.pos}
    other = "normal" if getattr(shape, "face", None) is None else "face"
    if other == "normal" and getattr(shape, "ptr", None) is not None:
        raise ValueError("the cache keeps operators of single shapes: take a batch apart with to_data_list()")
    if (value := getattr(shape, other, None)) is not None:
        inputs[other] = value
    return inputs


def _content(name: str, shape: Any) -> dict[str, Value]:
    """All that a Laplacian may read of a shape."""
    if getattr(shape, "ptr", None) is not None:
        raise ValueError("the cache keeps operators of single shapes: take a batch apart with to_data_list()")
    read = {
        key: getattr(shape, key, None) for key in ("pos", "face", "edge_index", "edge_weight", "num_nodes")
    }
    return {"algorithm": _ALGORITHMS[name]} | {key: value for key, value in read.items() if value is not None}


def _device(shape: Any) -> torch.device:
    tensor: Tensor = next(t for key in ("pos", "edge_index") if (t := getattr(shape, key, None)) is not None)
    return tensor.device


def _key(name: str, inputs: Mapping[str, Value]) -> str:
    digest = hashlib.sha256(json.dumps([_FORMAT, geodl.__version__, name]).encode())
    for key in sorted(inputs):
        value = inputs[key]
        if isinstance(value, Tensor):
            digest.update(json.dumps([key, str(value.dtype), list(value.shape)]).encode())
            digest.update(tensor_bytes(value))
        elif value is None or isinstance(value, (bool, int, float, str)):
            told = value.hex() if isinstance(value, float) and math.isfinite(value) else str(value)
            digest.update(json.dumps([key, type(value).__name__, told]).encode())
        else:
            raise TypeError(
                f"input {key!r} must be a tensor, a number or a string, not {type(value).__name__}"
            )
    return digest.hexdigest()
