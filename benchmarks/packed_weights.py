"""Weights in the form in which geodl brings them along: halves, with the arguments of the network beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from geodl.data.whole_file import whole_file


def pack(model: nn.Module, arguments: dict[str, Any], path: Path) -> None:
    """Writes what `geodl.models.create_model(name, pretrained=True)` reads; copied to geodl/models/pretrained it is shipped."""
    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in model.state_dict().items()}
    with whole_file(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(state, {"arguments": json.dumps(arguments)}))
