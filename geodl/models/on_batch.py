"""on_batch: networks are called with a packed batch, or with what they read of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from torch import Tensor, nn
from torch_geometric.data import Data

from geodl.ops.edge_index import ptr_of

__all__ = ["arguments", "on_batch"]

Forward = TypeVar("Forward", bound=Callable[..., Any])


def on_batch(forward: Forward) -> Forward:
    """Lets a network take a shape or a packed batch of them: ``network(batch)`` is the network of its :func:`arguments`.

    Called with tensors it is what it was; ``batch=``, PyG's vector of the cloud of every point, may stand for ``ptr``.
    """

    takes_ptr = "ptr" in inspect.signature(forward).parameters

    @functools.wraps(forward)
    def called(self: nn.Module, *given: Any, batch: Tensor | None = None, **named: Any) -> Any:
        if given and isinstance(given[0], Data):
            if len(given) > 1 or named or batch is not None:
                raise ValueError(
                    f"{type(self).__name__}(batch) reads all of the batch: nothing may be given beside it"
                )
            return forward(self, **arguments(forward, self, given[0]))
        if batch is not None:
            if not takes_ptr:
                raise ValueError(
                    f"{type(self).__name__} reads no batch: its operators say where shapes begin"
                )
            if named.get("ptr") is not None:
                raise ValueError("give ptr or batch, not both")
            named["ptr"] = ptr_of(batch)
        return forward(self, *given, **named)

    return cast(Forward, called)


def arguments(function: Callable[..., Any], model: nn.Module, batch: Any) -> dict[str, Any]:
    """What a network's function reads of a packed batch, by the names of its arguments.

    ``charts`` may be the batch's ``windows``; ``x`` is left out for networks that read positions alone, as is what has a default
    and is not there.

    Raises:
        ValueError: the batch lacks an argument that the network needs.
    """
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = getattr(batch, name, None)
        if name == "charts" and value is None:
            value = getattr(batch, "windows", None)
        if name == "x" and getattr(model, "in_channels", None) == 0:
            value = None
        if value is not None:
            given[name] = value
        elif parameter.default is inspect.Parameter.empty:
            raise ValueError(f"{type(model).__name__} reads {name}, which the batch does not have")
    return given
