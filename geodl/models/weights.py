"""Weights on disk: safetensors, never pickle."""

from __future__ import annotations

import os
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from geodl.data.whole_file import whole_file
from geodl.models.compiled import uncompiled


def save_weights(model: nn.Module, path: str | Path) -> Path:
    """Writes a model's state dict as safetensors; an existing file is replaced only once the new one is complete.

    A compiled model is written as what it compiles; weights that are one tensor under several names are written under each.
    """
    path = Path(path)
    # Tensors that share memory must be apart in the file.
    state = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in _state(model).items()
    }
    data = safetensors.torch.save(state)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Loads a model's state dict from safetensors, in place: all of it, or nothing if anything does not fit.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no safetensors file, or its tensors are not those of the model, by name, shape and dtype.
    """
    path, name = Path(path), type(uncompiled(model)).__name__
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}")
    try:
        found = safetensors.torch.load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(
            f"{path} does not hold weights of {name}: it is no safetensors file ({error})"
        ) from error
    fill(model, found, path)


def fill(model: nn.Module, found: dict[str, Tensor], path: Path) -> None:
    """Loads a state dict, read from ``path``, that must be that of the model."""
    if trouble := _differences(found, _state(model)):
        raise ValueError(f"{path} does not hold weights of {type(uncompiled(model)).__name__}: {trouble}")
    uncompiled(model).load_state_dict(found)


def _differences(found: dict[str, Tensor], state: dict[str, Tensor]) -> str:
    """What does not fit, in words; at most five of each kind."""

    def some(names: list[str]) -> str:
        return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

    parts = []
    if missing := sorted(state.keys() - found.keys()):
        parts.append(f"it lacks {some(missing)}")
    if unknown := sorted(found.keys() - state.keys()):
        parts.append(f"the model has no {some(unknown)}")
    both = sorted(found.keys() & state.keys())
    if shapes := [
        f"{name} has shape {list(found[name].shape)}, not {list(state[name].shape)}"
        for name in both
        if found[name].shape != state[name].shape
    ]:
        parts.append(some(shapes))
    if dtypes := [
        f"{name} is {found[name].dtype}, not {state[name].dtype}"
        for name in both
        if found[name].dtype != state[name].dtype
    ]:
        parts.append(some(dtypes))
    return "; ".join(parts)


def _state(model: nn.Module) -> dict[str, Tensor]:
    state: dict[str, Tensor] = uncompiled(model).state_dict()
    return state
