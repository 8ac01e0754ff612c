"""PartialMapModule: a few steps on two parts of a body, and what its batches must be."""

import pytest
import torch

from geodl.data import CutByPlane, DataLoader, Mesh
from geodl.datasets import Puppets
from geodl.matching import PartialShape
from geodl.models import PartialFunctionalMapNet
from geodl.training import PartialMapModule


@pytest.fixture(scope="module")
def pair() -> list[Mesh]:
    body = Puppets(1, 1, num_vertices=1500)[0]
    ready = []
    for mesh in (body, CutByPlane(0.6, 0.6, torch.Generator().manual_seed(0))(body.clone())):
        shape = PartialShape.of(mesh, 1.0, 24)
        assert shape.signal().shape == (mesh.pos.shape[0], 16)
        ready.append(
            Mesh(
                mesh.pos, mesh.face, x=shape.signal(), spectrum=shape.spectrum, gradient=shape.gradient, y=mesh.y,
                corres=mesh.corres,
            )
        )  # fmt: skip
    return ready


def test_the_loss_falls_and_the_overlap_has_a_gradient(
    pair: list[Mesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    net = PartialFunctionalMapNet(16, 16, 16, 2, dropout=0.0, attention_width=16, eigenfunctions=16)
    module = PartialMapModule(net, sample=128)
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    (batch,) = DataLoader(pair, batch_size=2)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for step in range(15):
        loss = module.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]
    with torch.no_grad():
        (found,) = module.predict_step(batch, 0)
    assert found.overlap_1.shape == (pair[0].pos.shape[0],) and found.features_2.shape[1] == 16
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
    with pytest.raises(ValueError, match="even number of shapes"):
        module.training_step(next(iter(DataLoader(pair[:1], batch_size=1))), 0)
