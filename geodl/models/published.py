"""State dicts of published implementations under the names that the parameters have here."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

# A state dict, one inside what a training script has saved, or the path of either.
Published: TypeAlias = str | Path | Mapping[str, Any]
# Before every name, by DataParallel and torch.compile.
_WRAPPED = re.compile(r"^(module\.|_orig_mod\.)+")
# Under which training scripts keep the state dict, beside the epoch and the optimiser.
_WRAPPERS = ("model_state_dict", "state_dict", "model", "net", "network", "weights")


def state_dict(weights: Published) -> dict[str, Tensor]:
    """The tensors by the names that they were published under.

    Args:
        weights: a state dict, a dict that holds one, or the path of either, as ``torch.save`` or safetensors wrote it; nothing
            but tensors is ever unpickled. A ``module.`` that ``DataParallel`` puts before every name, and an ``_orig_mod.`` that
            ``torch.compile`` does, are taken off.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file that cannot be read, or that holds no state dict.
    """
    where = str(weights) if isinstance(weights, str | Path) else "what was given"
    found: Any = _read(Path(weights)) if isinstance(weights, str | Path) else weights
    while isinstance(found, Mapping) and not all(isinstance(value, Tensor) for value in found.values()):
        inner = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{where} holds no state dict")
    return {_WRAPPED.sub("", name): tensor for name, tensor in found.items()}


def _read(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a state dict: {error}") from error


def rename(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The same tensors under our names; 1 x 1 convolutions become matrices.

    Args:
        weights: a published state dict.
        names: of a layer, by what it is called there.

    Raises:
        ValueError: layers that ``names`` does not know.
    """
    layers = {name.rpartition(".")[0] for name in weights}
    if unknown := sorted(layers - names.keys()):
        raise ValueError(f"unknown layers {', '.join(unknown)}")
    found = {}
    for name, tensor in weights.items():
        layer, _, parameter = name.rpartition(".")
        found[f"{names[layer]}.{parameter}"] = tensor.flatten(1) if tensor.dim() > 2 else tensor
    return found


@contextmanager
def named(model: str) -> Iterator[None]:
    """Says which network the weights are not of."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"these are no weights of a published {model}: there is no {error}") from error
    except (IndexError, RuntimeError, ValueError) as error:
        raise ValueError(f"these are no weights of a published {model}: {error}") from error
