"""A match on disk: one safetensors file, whole or not at all, without pickle."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from geodl.data import Mesh, PointCloud
from geodl.data.whole_file import whole_file
from geodl.geometry import Gradient, Spectrum
from geodl.matching.trust import Trust

if TYPE_CHECKING:
    from geodl.matching.match import Match, SpectralShape

_VERSION = 1
_MESH = ("pos", "face", "normal")


def save(found: Match, path: Path, shapes: bool) -> Path:
    """Tensors under the names of their fields, everything else as JSON in the header."""
    tensors: dict[str, Tensor] = {}
    told: dict[str, Any] = {}
    for holder, prefix in ((found, ""), (found.trust, "trust.")):
        for name in (field.name for field in fields(holder)):
            value = getattr(holder, name)
            if isinstance(value, Tensor):
                tensors[prefix + name] = value
            elif name not in ("trust", "shapes"):
                told[prefix + name] = value
    if shapes and found.shapes is not None:
        for number, shape in enumerate(found.shapes, 1):
            tensors |= {f"shape_{number}.{name}": tensor for name, tensor in _taken_apart(shape).items()}
            told[f"shape_{number}.inverted"] = shape.inverted
            told[f"shape_{number}.area"] = shape.area
    # Tensors that share memory must be apart in the file.
    apart = {
        name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()
    }
    data = safetensors.torch.save(apart, {"geodl_match": str(_VERSION), "told": json.dumps(told)})
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def load(path: Path) -> Match:
    from geodl.matching.match import Match

    if not path.is_file():
        raise FileNotFoundError(f"there is no match at {path}")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} cannot be read as a match: {error}") from error
    version = header.get("geodl_match", "")
    if not version.isdigit():
        raise ValueError(f"{path} is a safetensors file but holds no match")
    if int(version) > _VERSION:
        raise ValueError(
            f"{path} was written by a later version of geodl (format {version}, this one reads up to {_VERSION})"
        )
    try:
        told: dict[str, Any] = json.loads(header["told"])
        trust = Trust(**_of("trust.", tensors), **_of("trust.", told))
        shapes = tuple(
            _put_together(tensors, told, f"shape_{number}.")
            for number in (1, 2)
            if f"shape_{number}.inverted" in told
        )
        own = {name: value for name, value in (tensors | told).items() if "." not in name}
        own |= {name: tuple(value) for name, value in own.items() if isinstance(value, list)}
        return Match(**own, trust=trust, shapes=shapes or None)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a match: {error!r}") from error


def _of(prefix: str, held: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in held.items() if name.startswith(prefix)}


def _taken_apart(shape: SpectralShape) -> dict[str, Tensor]:
    held = {f"mesh.{name}": shape.mesh[name] for name in _MESH if name in shape.mesh}
    held |= {f"spectrum.{name}": tensor for name, tensor in shape.spectrum.to_tensors().items()}
    held |= {f"gradient.{name}": tensor for name, tensor in shape.gradient.to_tensors().items()}
    return held | {"used": shape.used}


def _put_together(tensors: dict[str, Tensor], told: dict[str, Any], prefix: str) -> SpectralShape:
    from geodl.matching.match import SpectralShape

    held = _of(prefix, tensors)
    mesh = _of("mesh.", held)
    return SpectralShape(
        Mesh(**mesh) if "face" in mesh else PointCloud(**mesh),
        Spectrum.from_tensors(_of("spectrum.", held)),
        Gradient.from_tensors(_of("gradient.", held)),
        held["used"],
        told[prefix + "inverted"],
        told.get(prefix + "area", 1.0),
    )
