"""Weights on disk: safetensors, never pickle."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from geodl.data.whole_file import whole_file


def save_weights(model: nn.Module, path: str | Path) -> Path:
    """Write a model's state dict as safetensors; an existing file is replaced only once the new one is complete."""
    path = Path(path)
    with whole_file(path) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, temporary)
    return path


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a model's state dict from safetensors, in place.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no safetensors file, or its tensors are not those of the model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not hold weights of {type(model).__name__}: {error}") from error
