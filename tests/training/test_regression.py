"""RegressionModule: the loss is that of what counts, and a run learns a linear signal."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from geodl.data import DataLoader
from geodl.training import RegressionModule


class OfPoints(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y[:, 0]


def shapes(spoiled: bool = False) -> list[Data]:
    draw = torch.Generator().manual_seed(0)
    made = []
    for _ in range(4):
        x = torch.randn(50, 3, generator=draw)
        target, valid = x @ torch.tensor([1.0, -2.0, 0.5]) + 3, torch.rand(50, generator=draw) < 0.5
        if spoiled:
            target[~valid] = 1e3
        made.append(Data(x=x, target=target, valid=valid))
    return made


def test_a_run_learns_what_counts() -> None:
    torch.manual_seed(0)
    model = OfPoints()
    module = RegressionModule(model, 0.3)
    trainer = L.Trainer(
        max_epochs=60, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = DataLoader(shapes(spoiled=True), 2)
    trainer.fit(module, data)
    weight = model.linear.weight.detach()[0]
    torch.testing.assert_close(weight, torch.tensor([1.0, -2.0, 0.5]), atol=0.02, rtol=0)
    assert float(trainer.logged_metrics["r2"]) > 0.999
    [first, _] = [module.predict_step(batch, 0) for batch in data]
    assert first.shape == (100,)


def test_shapes_that_do_not_fit() -> None:
    [batch] = DataLoader(shapes(), 4)
    batch.target = batch.target[:, None]
    with pytest.raises(ValueError, match=r"the model gives \[200\] but target is \[200, 1\]"):
        RegressionModule(OfPoints()).training_step(batch, 0)
