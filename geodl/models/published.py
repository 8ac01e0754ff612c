"""State dicts of published implementations under the names that the parameters have here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor


def rename(weights: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """The same tensors under our names; 1 x 1 convolutions become matrices.

    Args:
        weights: a published state dict; names may begin with ``module.``, as ``DataParallel`` writes them.
        names: of a layer, by what it is called there.

    Raises:
        KeyError: a layer that ``names`` does not know.
    """
    found = {}
    for name, tensor in unwrapped(weights).items():
        layer, _, parameter = name.rpartition(".")
        if layer not in names:
            raise KeyError(f"unknown layer {layer}")
        found[f"{names[layer]}.{parameter}"] = tensor.flatten(1) if tensor.dim() > 2 else tensor
    return found


def unwrapped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the ``module.`` that ``DataParallel`` puts before every name."""
    return {name.removeprefix("module."): tensor for name, tensor in weights.items()}


@contextmanager
def named(model: str) -> Iterator[None]:
    """Says which network the weights are not of."""
    try:
        yield
    except (KeyError, IndexError, RuntimeError) as error:
        raise ValueError(f"these are no weights of a published {model}: {error}") from error
