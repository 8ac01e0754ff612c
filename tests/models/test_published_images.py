"""``from_published`` of the image networks against the same networks built of plain torch layers under torchvision's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from geodl.models import VGG, AlexNet, InceptionV1, InceptionV3, ResNet, SqueezeNet
from tests.models import published_images as published

A, B = "64 M 128 M 256 256 M 512 512 M 512 512 M", "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"

NETWORKS: dict[str, tuple[Any, Callable[[], nn.Module], int]] = {
    "alexnet": (AlexNet, lambda: published.alexnet(7), 80),
    "vgg11_bn": (VGG, lambda: published.vgg(A, 7, True), 40),
    "vgg13": (VGG, lambda: published.vgg(B, 7, False), 40),
    "resnet18": (ResNet, lambda: published.resnet((2, 2, 2, 2), False, 7), 64),
    "resnet50": (ResNet, lambda: published.resnet((3, 4, 6, 3), True, 7), 64),
    "squeezenet1_0": (SqueezeNet, lambda: published.squeezenet("1.0", 7), 70),
    "squeezenet1_1": (SqueezeNet, lambda: published.squeezenet("1.1", 7), 70),
    "googlenet": (InceptionV1, lambda: published.googlenet(7), 70),
    "inception_v3": (InceptionV3, lambda: published.inception_v3(7), 80),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "vgg13" else ()) for name in NETWORKS]
)
def test_scores_are_those_of_the_published_network(name: str) -> None:
    ours, theirs, side = NETWORKS[name]
    network = published.randomised(theirs())
    # As in files from before batch norms counted, and as DataParallel names the rest.
    state = {
        f"module.{k}": v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    model = ours.from_published({"epoch": 3, "state_dict": state}).eval()
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        right = network(x)
        found = model(x)
    assert float(right.std()) > 1e-3
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    state = published.resnet((2, 2, 2, 2), False, 7).state_dict()
    torch.save(state, tmp_path / "a.pth")
    assert ResNet.from_published(tmp_path / "a.pth").fc.out_features == 7
    with pytest.raises(ValueError, match=r"(?s)no weights of a published ResNet: .*extra\.weight"):
        ResNet.from_published(state | {"extra.weight": torch.zeros(1)})
    with pytest.raises(
        ValueError, match=r"(?s)no weights of a published ResNet: .*layer4\.1\.bn2\.running_mean"
    ):
        ResNet.from_published({k: v for k, v in state.items() if k != "layer4.1.bn2.running_mean"})
    with pytest.raises(ValueError, match=r"(?s)published ResNet: .*layer1\.0\.conv1\.weight.*\[3, 3\]"):
        ResNet.from_published(state | {"layer1.0.conv1.weight": torch.zeros(3, 3)})
    with pytest.raises(ValueError, match=r"stages of 2, 2, 2, 1 blocks"):
        ResNet.from_published({k: v for k, v in state.items() if not k.startswith("layer4.1")})
    for other in (AlexNet, VGG, SqueezeNet, InceptionV1, InceptionV3):
        with pytest.raises(ValueError, match=f"no weights of a published {other.__name__}: there is no"):
            other.from_published(state)
    with pytest.raises(FileNotFoundError, match="no weights at"):
        ResNet.from_published(tmp_path / "none.pth")


@pytest.mark.parametrize("heads", [True, False])
def test_auxiliary_heads_come_where_they_are(heads: bool) -> None:
    state = InceptionV1(out_channels=5, auxiliary=heads).state_dict()
    assert (InceptionV1.from_published(state).aux1 is not None) == heads
