"""Run by torchrun: trains data-parallel over gloo and writes what every process ended with."""

import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import lightning as L
from shapes import spheres

from geodl.models import GCNN
from geodl.training import CorrespondenceData, LabellingModule, make_trainer

# Groups outlive their last sum, or gloo's destructor can stand still (see test_torch_tools.py).
GROUPS: list[object] = []


class Count(L.Callback):
    shapes = 0

    def on_train_start(self, *_: object) -> None:
        GROUPS.append(torch.distributed.group.WORLD)

    def on_train_batch_end(self, *_: object) -> None:
        self.shapes += 1


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    L.seed_everything(0, verbose=False)
    shapes = spheres(6)
    data = CorrespondenceData(shapes, shapes[:1], shapes[0], 2, 4, patch_size=12, cache=folder / "cache")
    module = LabellingModule(GCNN(9, 42, 2, 4, widths=(16,), hidden=32), 1e-2)

    def weights() -> torch.Tensor:
        return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])

    start, count = weights(), Count()
    trainer = make_trainer(folder / "run", 1, devices=2, progress=False)
    trainer.callbacks.append(count)
    trainer.fit(module, data)
    assert torch.distributed.get_backend() == "gloo"
    rank = os.environ["RANK"]
    torch.save({"start": start, "weights": weights(), "shapes": count.shapes}, folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
