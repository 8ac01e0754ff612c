"""Networks on images as backbones: what is between their layers, and the same layers on levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geodl.models import VGG11, AlexNet, InceptionV1, InceptionV3, ResNet18, SqueezeNet
from geodl.nn import Level, mesh_levels
from tests.geometry.shapes import bumpy
from tests.nn.pixels import pixel_levels

MAKE: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "VGG11": (lambda: VGG11(out_channels=5), ("features.0", "features.4", "features.5", "features.12")),
    "VGG11_bn": (lambda: VGG11(out_channels=5, batch_norm=True), ("features.0", "features.1", "features.8")),
    "AlexNet": (lambda: AlexNet(3, 5), ("features.0", "features.7")),
    "AlexNet 2012": (lambda: AlexNet(3, 5, variant="2012"), ("features.2", "features.8")),
    "SqueezeNet": (lambda: SqueezeNet(3, 5), ("features.0", "features.3", "features.12")),
    "SqueezeNet 1.1": (lambda: SqueezeNet(3, 5, version="1.1"), ("features.3", "features.9")),
    "ResNet18": (lambda: ResNet18(out_channels=5), ("conv1", "bn1", "layer1.0", "layer2", "layer4.1")),
}


@pytest.mark.parametrize("name", MAKE)
def test_features_are_what_the_layers_of_these_names_give(name: str) -> None:
    make, names = MAKE[name]
    network = make().eval()
    seen: dict[str, Tensor] = {}
    for layer, module in network.named_modules():
        if layer not in ("", "features"):
            module.register_forward_hook(lambda m, i, y, layer=layer: seen.update({layer: y.clone()}))
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        network(x)
        expected = {layer: seen[{"layer2": "layer2.1"}.get(layer, layer)] for layer in names}
        seen.clear()
        found = network.features(x, names[::-1])  # type: ignore[operator]
    assert list(found) == list(names[::-1])
    for layer in names:
        assert torch.equal(found[layer], expected[layer]), layer
    assert not {"avgpool", "classifier", "fc"} & seen.keys()


def test_nothing_is_run_beyond_the_last_name() -> None:
    found = VGG11().features(torch.randn(1, 3, 5, 5), ["features.1"])
    assert isinstance(found, dict) and found["features.1"].shape == (1, 64, 5, 5)
    with pytest.raises(ValueError, match=r"no layer 'relu1_1': choose among features\.0, features\.1"):
        VGG11().features(torch.randn(1, 3, 5, 5), ["relu1_1"])
    with pytest.raises(ValueError, match="no layer 'layer5': choose among conv1, bn1"):
        ResNet18().features(torch.randn(1, 3, 32, 32), ["layer5"])
    assert ResNet18().features(torch.randn(1, 3, 32, 32), []) == {}


def test_gradients_flow_to_the_image() -> None:
    x = torch.randn(1, 3, 48, 48, requires_grad=True)
    found = SqueezeNet().features(x, ["features.0", "features.1", "features.4"])
    assert isinstance(found, dict)
    sum(y.square().sum() for y in found.values()).backward()  # type: ignore[union-attr]
    assert x.grad is not None and float(x.grad.abs().max()) > 0


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg_on_levels_of_pixels_is_vgg_on_the_image(batch_norm: bool) -> None:
    network = VGG11(out_channels=5, batch_norm=batch_norm).double().eval()
    level, x = pixel_levels(32, 5), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    names = ["features.0", "features.2", "features.7"]
    with torch.no_grad():
        torch.testing.assert_close(network(x.flatten(2), level), network(x))
        grid, general = network.features(x, names), network.features(x.flatten(2), names, level)
        assert isinstance(grid, dict) and isinstance(general, dict)
        for name in names:
            torch.testing.assert_close(general[name], grid[name].flatten(2))


@pytest.mark.parametrize(
    "make, kernel_size",
    [
        (lambda: VGG11(out_channels=5, batch_norm=True), 3),
        (lambda: AlexNet(3, 5), 11),
        (lambda: AlexNet(3, 5, variant="2012"), 11),
        (lambda: SqueezeNet(3, 5), 7),
        (lambda: SqueezeNet(3, 5, version="1.1"), 3),
        (lambda: InceptionV1(3, 5), 7),
        (lambda: InceptionV1(3, 5, variant="2014"), 7),
        (lambda: InceptionV3(3, 5), 7),
    ],
)
def test_on_meshes_packed_shapes_are_each_alone(make: Callable[[], nn.Module], kernel_size: int) -> None:
    network = make().eval()
    sizes = (30, 16, 8, 5, 2)
    levels = [
        mesh_levels(bumpy(1), tuple(s - k for s in sizes), kernel_size).to(torch.float32) for k in (0, 1)
    ]
    signals = [torch.randn(level.num_nodes, 3) for level in levels]
    with torch.no_grad():
        alone = torch.cat([network(x, level) for x, level in zip(signals, levels, strict=True)])
        packed = network(torch.cat(signals), Level.cat(levels))
        torch.testing.assert_close(packed, alone, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(network(signals[0].t()[None], levels[0]), alone[:1], rtol=1e-3, atol=1e-4)
    assert alone.shape == (2, 5) and not torch.equal(alone[0], alone[1])


@pytest.mark.parametrize("make", [InceptionV1, InceptionV3])
def test_auxiliary_heads_speak_on_levels_too(make: Any) -> None:
    network = make(3, 5, auxiliary=True)
    level = mesh_levels(bumpy(1), (30, 16, 8, 5, 2), 7).to(torch.float32)
    found = network(torch.randn(3, 3, 42), level)
    assert found.logits.shape == (3, 5) and all(head.shape == (3, 5) for head in found.auxiliary)
    sum(y.sum() for y in (found.logits, *found.auxiliary)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


def test_squeezenet_with_published_weights_is_squeezenet(shared_data: Path) -> None:
    weights = np.load(shared_data / "SqueezeNet" / "squeezenet1_0_deepcompressed.npz")
    squeezed = {"conv1x1_1": "squeeze", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}
    fires = dict(zip(range(2, 10), (3, 4, 5, 7, 8, 9, 10, 12), strict=True))
    state = {}
    for name, array in weights.items():
        layer, *inner, what = name.split(".")
        torchvisions = {"conv1": "features.0", "conv_final": "classifier.1"}.get(layer)
        torchvisions = torchvisions or f"features.{fires[int(layer[4:])]}.{squeezed[inner[0]]}"
        state[f"{torchvisions}.{what}"] = torch.from_numpy(array)
    network = SqueezeNet().eval()
    network.load_state_dict(state)

    def conv(x: Tensor, name: str, **options: Any) -> Tensor:
        return F.conv2d(
            x, *(torch.from_numpy(weights[f"{name}.{what}"]) for what in ("weight", "bias")), **options
        ).relu()

    # Table 1 of the paper.
    x = 50 * torch.randn(2, 3, 99, 120)
    y = F.max_pool2d(conv(x, "conv1", stride=2), 3, 2, ceil_mode=True)
    for number in range(2, 10):
        y = conv(y, f"fire{number}.conv1x1_1")
        wide = conv(y, f"fire{number}.conv3x3_2", padding=1)
        y = torch.cat([conv(y, f"fire{number}.conv1x1_2"), wide], 1)
        y = F.max_pool2d(y, 3, 2, ceil_mode=True) if number in (4, 8) else y
    with torch.no_grad():
        torch.testing.assert_close(network(x), conv(y, "conv_final").mean((2, 3)), rtol=1e-4, atol=1e-4)


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r'version must be "1\.0" or "1\.1"'):
        SqueezeNet(version="2.0")  # type: ignore[arg-type]
