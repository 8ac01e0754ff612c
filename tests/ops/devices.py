"""Where the tests of a backend put their tensors."""

from __future__ import annotations

import torch

from geodl.ops import backends

BACKENDS = [name for name, state in backends().items() if state == "available"]

# Without a GPU, Triton's kernels run in its interpreter, which takes milliseconds a block.
INTERPRETED = not torch.cuda.is_available()
FAST = [name for name in BACKENDS if name != "triton" or not INTERPRETED]


def device_of(backend: str) -> torch.device:
    """The GPU for Triton's kernels where there is one, else the CPU."""
    return torch.device("cuda" if backend == "triton" and not INTERPRETED else "cpu")
