"""Networks by name, and the weights that come with the library."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from geodl.models.weights import fill

__all__ = ["create_model", "list_models", "model_card"]

# NAME.safetensors, whose metadata are the arguments of the network, and NAME.md, its card.
_FOLDER = Path(__file__).parent / "pretrained"


def list_models(pretrained: bool | None = None) -> list[str]:
    """Names of the networks of :mod:`geodl.models`, in order.

    Args:
        pretrained: True for those that come with weights, False for the others, None for all.
    """
    return sorted(
        name for name in _networks() if pretrained is None or _weights(name).is_file() == pretrained
    )


def create_model(name: str, pretrained: bool = False, **arguments: Any) -> nn.Module:
    """A network by name.

    Args:
        name: one of :func:`list_models`.
        pretrained: whether to load the weights that come with geodl, see :func:`model_card`. The network then has the arguments
            that it was trained with where none are given, and is in evaluation mode.
        **arguments: of the network.

    Raises:
        ValueError: no such network, no weights of it, or arguments that the weights do not fit.

    >>> create_model("LeNet5", pretrained=True)(torch.rand(1, 1, 32, 32)).shape
    torch.Size([1, 10])
    """
    networks = _networks()
    if name not in networks:
        near = difflib.get_close_matches(name, networks, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else "list_models() names them"
        raise ValueError(f"there is no network {name}: {hint}")
    if not pretrained:
        model: nn.Module = networks[name](**arguments)
        return model
    path = _weights(name, must=True)
    with safetensors.safe_open(path, "pt") as file:
        trained = json.loads(file.metadata()["arguments"])
    model = networks[name](**trained | arguments)
    # Halves on disk, for a small wheel.
    fill(model, {key: value.float() for key, value in safetensors.torch.load_file(path).items()}, path)
    return model.eval()


def model_card(name: str) -> str:
    """How the weights that come with geodl were trained, what they get, and under which licence; Markdown.

    Raises:
        ValueError: no weights of that name come with geodl.
    """
    return _weights(name, must=True).with_suffix(".md").read_text(encoding="utf-8")


def _weights(name: str, must: bool = False) -> Path:
    path = _FOLDER / f"{name}.safetensors"
    if must and not path.is_file():
        raise ValueError(
            f"no weights of {name} come with geodl, only of {', '.join(list_models(pretrained=True))}"
        )
    return path


def _networks() -> dict[str, Any]:
    from geodl import models

    public = {name: getattr(models, name) for name in models.__all__}
    return {name: one for name, one in public.items() if isinstance(one, type) and issubclass(one, nn.Module)}
