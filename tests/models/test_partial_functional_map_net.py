"""PartialFunctionalMapNet: the published network under its own names, what does not matter to it, and a few steps of training."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from geodl.geometry import Gradient, Spectrum, gradient, spectrum
from geodl.models import PartialFeatures, PartialFunctionalMapNet
from geodl.models.partial_functional_map_net import _Attention
from tests.geometry.shapes import bumpy


def published(net: PartialFunctionalMapNet) -> dict[str, Tensor]:
    """The network's weights under the names of the authors' code."""
    state = {}
    for name, tensor in net.state_dict().items():
        if name.startswith("network."):
            theirs = name.removeprefix("network.")
            for ours, other in (
                ("first.", "first_lin."), ("last.", "last_lin."), ("blocks.", "block_"),
                (".diffusion.time", ".diffusion.diffusion_time"), (".features.real", ".gradient_features.A_re.weight"),
                (".features.imag", ".gradient_features.A_im.weight"),
            ):  # fmt: skip
                theirs = theirs.replace(ours, other)
            for layer in range(3):
                theirs = theirs.replace(f".layers.{layer}.", f".mlp.miniMLP_mlp_layer_{layer:03d}.")
            state[f"feature_extractor.{theirs}"] = tensor
            continue
        theirs = name
        for ours, other in (
            ("first.", "first_lin."), ("last.", "last_lin."), ("attention.", "layers."), (".query.", ".attn.proj.0."),
            (".key.", ".attn.proj.1."), (".value.", ".attn.proj.2."), (".merge.", ".attn.merge."), (".inner.", ".mlp.0."),
            (".outer.", ".mlp.3."), ("overlap.", "overlap_predictor.overlap_score_net."),
        ):  # fmt: skip
            theirs = theirs.replace(ours, other)
        convolution = theirs.startswith("layers.") and tensor.dim() == 2
        state[f"feat_refiner.{theirs}"] = tensor[:, :, None] if convolution else tensor
    return state


class _Reference(nn.Module):
    """Attention and MLP as the paper's code has them, of torch's own layers: heads side by side in every channel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.proj = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(3))
        self.merge = nn.Conv1d(width, width, 1)
        self.mlp = nn.Sequential(
            nn.Conv1d(2 * width, 2 * width, 1), nn.InstanceNorm1d(2 * width), nn.ReLU(), nn.Conv1d(2 * width, width, 1)
        )  # fmt: skip

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        dim = x.shape[1] // self.heads
        q, k, v = (
            layer(y).view(1, dim, self.heads, -1)
            for layer, y in zip(self.proj, (x, source, source), strict=True)
        )
        score = torch.einsum("bdhn,bdhm->bhnm", q, k) / dim**0.5
        seen = torch.einsum("bhnm,bdhm->bdhn", score.softmax(-1), v)
        message = self.merge(seen.reshape(1, dim * self.heads, -1))
        out: Tensor = self.mlp(torch.cat([x, message], 1))
        return out


def test_attention_is_the_published_one() -> None:
    net = PartialFunctionalMapNet(3, 8, 8, 1, attention_width=12, heads=3).double()
    one, two = torch.randn(20, 8).double(), torch.randn(31, 8).double()
    found = net.compare(one, two)
    reference = _Reference(12, 3).double()
    state = published(net)
    reference.load_state_dict(
        {
            name.removeprefix("feat_refiner.layers.0.").removeprefix("attn."): tensor
            for name, tensor in state.items()
            if name.startswith("feat_refiner.layers.0.")
        }
    )
    a, b = net.first(one).mT[None], net.first(two).mT[None]
    a = a + reference(a, b)
    b = b + reference(b, a)
    assert torch.allclose(found.features_1, net.last(a[0].mT)) and torch.allclose(
        found.features_2, net.last(b[0].mT)
    )
    score = net.overlap(F.normalize(found.features_1, dim=1))[:, 0]
    assert isinstance(found, PartialFeatures) and torch.allclose(found.overlap_1, score)


def test_published_weights_are_taken(tmp_path: Path) -> None:
    net = PartialFunctionalMapNet(3, 8, 16, 2, attention_width=12, heads=3, layers=2)
    torch.save(published(net), tmp_path / "dpfm.pth")
    again = PartialFunctionalMapNet.from_published(tmp_path / "dpfm.pth", heads=3)
    assert again.state_dict().keys() == net.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in net.state_dict().items())
    with pytest.raises(ValueError, match="no weights of"):
        PartialFunctionalMapNet.from_published({"a": torch.zeros(1)})
    with pytest.raises(ValueError, match="heads do not divide"):
        PartialFunctionalMapNet(3, attention_width=10, heads=4)


def test_order_of_vertices_does_not_matter() -> None:
    net = PartialFunctionalMapNet(3, 8, 8, 1, attention_width=8, heads=2).eval()
    one, two = torch.randn(20, 8), torch.randn(31, 8)
    order, other = torch.randperm(20), torch.randperm(31)
    found, turned = net.compare(one, two), net.compare(one[order], two[other])
    for a, b, by in zip(turned, found, (order, other, order, other), strict=True):
        torch.testing.assert_close(a, b[by], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="features_2 must have shape"):
        net.compare(one, two[:, :3])


def test_a_shape_is_mapped_to_itself_by_the_identity() -> None:
    shape = bumpy(2)
    made = spectrum(shape, 20)
    net = PartialFunctionalMapNet(5, 32, 8, 1, eigenfunctions=12, weight=1e-3).double().eval()
    slope = gradient(shape)
    features = net(torch.randn(162, 5, dtype=torch.float64), made, Gradient(slope.neighbors, slope.values))
    c = net.functional_map(features, features, made, made)
    torch.testing.assert_close(c, torch.eye(12, dtype=torch.float64), atol=1e-5, rtol=0)
    assert torch.equal(net.point_map(features.detach(), features.detach()), torch.arange(162))
    with pytest.raises(ValueError, match="k must lie"):
        net.functional_map(features, features, Spectrum(made.evals[:3], made.evecs[:, :3], made.mass), made)


def test_attention_is_fused() -> None:
    """Scores of two whole shapes would not fit in memory."""
    layer = _Attention(32, 4)
    x, source = torch.randn(50, 32), torch.randn(40, 32)
    with sdpa_kernel(SDPBackend.MATH):
        stored = layer(x, source)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        torch.testing.assert_close(layer(x, source), stored)
