"""What Lightning says at the start of every run and that is not ours to mend: which devices there are, advertisements, old uses."""

from __future__ import annotations

import logging
import warnings

__all__ = ["quiet"]

_SAID = (
    "GPU available",
    "TPU available",
    "HPU available",
    "\U0001f4a1 Tip",
    "`Trainer.fit` stopped",
    "Loading `train_dataloader`",
)
_WARNED = (
    r".*does not have many workers.*",  # shapes are in memory, and packing them needs no processes
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*treespec, LeafSpec.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r".*Total length of `list` across ranks is zero.*",  # there is no validation set
)


class _Heard(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(_SAID)


def quiet() -> None:
    """Leaves these out from here on; whatever else Lightning says is heard."""
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.rank_zero",
        "lightning.fabric.utilities.seed",
    ):
        logger = logging.getLogger(name)
        if not any(isinstance(found, _Heard) for found in logger.filters):
            logger.addFilter(_Heard())
    for text in _WARNED:
        warnings.filterwarnings("ignore", message=text)
