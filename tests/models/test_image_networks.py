"""The networks of image recognition: parameters, state dicts, and other domains than images."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from geodl import models
from geodl.data import Grid
from geodl.models import VGG11, AlexNet, InceptionV1, InceptionV3, LeNet5, ResNet, ResNet18
from geodl.nn import Level, graph_levels, mesh_levels
from geodl.ops import use_backend
from tests.geometry.shapes import icosphere


def on_meta(make: Callable[..., nn.Module], **options: Any) -> nn.Module:
    with torch.device("meta"):
        return make(**options)


@pytest.mark.parametrize(
    "name, options, parameters",
    [
        ("LeNet5", {"variant": "1998"}, 60_000),
        ("LeNet5", {}, 61_706),
        ("AlexNet", {}, 61_100_840),
        ("AlexNet", {"variant": "2012"}, 60_965_224),
        ("VGG11", {}, 132_863_336),
        ("VGG13", {}, 133_047_848),
        ("VGG16", {}, 138_357_544),
        ("VGG19", {}, 143_667_240),
        ("VGG16", {"batch_norm": True}, 138_365_992),
        ("InceptionV1", {}, 6_624_904),
        ("InceptionV1", {"variant": "2014"}, 6_998_552),
        ("InceptionV3", {}, 27_161_264),
        ("ResNet18", {}, 11_689_512),
        ("ResNet34", {}, 21_797_672),
        ("ResNet50", {}, 25_557_032),
        ("ResNet101", {}, 44_549_160),
        ("ResNet152", {}, 60_192_808),
        ("SqueezeNet", {}, 1_248_424),
        ("SqueezeNet", {"version": "1.1"}, 1_235_496),
    ],
)
def test_parameters_are_those_of_the_papers(name: str, options: dict[str, Any], parameters: int) -> None:
    network = on_meta(getattr(models, name), **options)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("name", ["ResNet18", "ResNet50", "VGG11", "VGG19"])
def test_a_depth_takes_the_arguments_of_its_class_in_their_order(name: str) -> None:
    make = getattr(models, name)
    family = inspect.signature(models.ResNet if name.startswith("ResNet") else models.VGG)
    asked = [(one.name, one.default) for one in inspect.signature(make).parameters.values()]
    assert asked == [(one.name, one.default) for one in family.parameters.values() if one.name != "depth"]
    with torch.device("meta"):
        network = make(1, 7)
    first, *_, last = network.parameters()
    assert first.shape[1] == 1 and last.shape == (7,)


@pytest.mark.parametrize(
    "name, options, digest",
    [
        ("AlexNet", {}, "935c1ea73a7869ee"),
        ("VGG11", {}, "b11acd4f90d9643f"),
        ("VGG13", {}, "79ca8fd7a1480aa7"),
        ("VGG16", {}, "ba63c2556d912509"),
        ("VGG19", {}, "393fac8b08b63fbe"),
        ("VGG16", {"batch_norm": True}, "86bad13b66635552"),
        ("InceptionV1", {"auxiliary": True}, "de3745733576b3b1"),
        ("InceptionV3", {}, "4c9e13f64584de74"),
        ("ResNet18", {}, "5191d63ec3989592"),
        ("ResNet34", {}, "f8de2a1812ef85e4"),
        ("ResNet50", {}, "a87e91cd6bd1f939"),
        ("ResNet101", {}, "dbc3ca74fffafc72"),
        ("ResNet152", {}, "7d486dbdc941506e"),
    ],
)
def test_state_dicts_are_torchvisions(name: str, options: dict[str, Any], digest: str) -> None:
    # Of every name and shape in the state dict of torchvision 0.28's network.
    state = on_meta(getattr(models, name), **options).state_dict()
    lines = sorted(f"{key} {tuple(value.shape)}" for key, value in state.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    "make, side",
    [
        (lambda: AlexNet(1, 7), 64),
        (lambda: AlexNet(1, 7, variant="2012"), 64),
        (lambda: VGG11(out_channels=7, in_channels=1, batch_norm=True), 32),
        (lambda: InceptionV1(1, 7), 64),
        (lambda: InceptionV1(1, 7, variant="2014"), 64),
        (lambda: InceptionV3(1, 7), 80),
        (lambda: ResNet18(out_channels=7, in_channels=1), 32),
        (lambda: ResNet(50, 1, 7), 32),
    ],
)
def test_shapes_for_any_number_of_channels(make: Callable[[], nn.Module], side: int) -> None:
    network = on_meta(make).eval()
    assert network(torch.zeros(2, 1, side, side, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("make, heads", [(InceptionV1, 2), (InceptionV3, 1)])
def test_auxiliary_heads_speak_in_training(make: Any, heads: int) -> None:
    network = on_meta(make, out_channels=7, auxiliary=True)
    found = network(torch.zeros(2, 3, 299, 299, device="meta"))
    assert found.logits.shape == (2, 7) and [head.shape for head in found.auxiliary] == [(2, 7)] * heads


@pytest.mark.parametrize("variant", ["dense", "1998"])
def test_lenet_on_the_general_operator_is_lenet(variant: Any) -> None:
    network = LeNet5(variant=variant).double()
    x = torch.randn(2, 1, 32, 32, dtype=torch.float64)
    with use_backend("reference"):
        general = network(x)
    torch.testing.assert_close(general, network(x), rtol=1e-10, atol=1e-10)


def test_the_1998_network_reads_by_its_table_and_compares_with_pictures() -> None:
    network = LeNet5(variant="1998")
    reads = network.c3.reads  # type: ignore[union-attr]
    assert [len(read) for read in reads] == [3] * 6 + [4] * 9 + [6]
    assert all(sum(source in read for read in reads) == 10 for source in range(6))
    centers = network.output.centers
    assert set(centers.unique().tolist()) == {-1.0, 1.0}
    assert len({tuple(center) for center in centers.tolist()}) == 10
    assert torch.equal(network.output(centers).argmax(1), torch.arange(10))  # type: ignore[operator]
    torch.testing.assert_close(network.activation(torch.ones(1)), torch.ones(1), rtol=1e-4, atol=1e-4)


def levels_of(size: int, sizes: tuple[int, ...], kernel_size: int) -> Level:
    return mesh_levels(icosphere(size), sizes, kernel_size, torch.tensor([0.0, 0.0, 1.0]))


@pytest.mark.parametrize("variant", ["dense", "1998"])
def test_lenet_on_a_sphere_trains_every_parameter(variant: Any) -> None:
    level = levels_of(2, (40, 12), 5)
    network = LeNet5(variant=variant, points=12).double()
    y = network(torch.randn(3, 1, 162, dtype=torch.float64), level)
    assert y.shape == (3, 10)
    y.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_lenet_with_the_wrong_number_of_points_says_so() -> None:
    with pytest.raises(ValueError, match="16 points are left after both poolings"):
        LeNet5()(torch.zeros(1, 1, 28, 28))
    with pytest.raises(ValueError, match="variant must be"):
        LeNet5(variant="modern")  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_on_meshes_takes_signals_and_packed_shapes(depth: int) -> None:
    network = ResNet(depth, 3, 5).double().eval()
    for module in network.modules():  # so that evaluation shows what training would
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_var.fill_(4.0)  # type: ignore[union-attr]
    sizes = (40, 20, 10, 5, 2)
    levels = [levels_of(2, sizes, 7), levels_of(1, tuple(s - 1 for s in sizes), 7)]
    signals = [torch.randn(level.num_nodes, 3, dtype=torch.float64) for level in levels]
    alone = torch.cat([network(x, level) for x, level in zip(signals, levels, strict=True)])
    packed = network(torch.cat(signals), Level.cat(levels))
    assert alone.shape == (2, 5)
    torch.testing.assert_close(packed, alone)
    torch.testing.assert_close(network(signals[0].t()[None], levels[0]), alone[:1])
    with pytest.raises(ValueError, match="the coarsest"):
        network(signals[0], levels_of(2, sizes[:3], 7))


def test_lenet_on_the_graph_of_pixels_begins_as_on_the_grid() -> None:
    level = graph_levels(Grid(torch.zeros(1, 16, 16, dtype=torch.float64)).to_graph(1.5), (64, 16), 5)
    network, x = LeNet5(points=16).double(), torch.randn(2, 1, 16, 16, dtype=torch.float64)
    padded = nn.functional.pad(x, (2, 2, 2, 2))
    torch.testing.assert_close(network.c1(x.flatten(2), level), network.c1(padded).flatten(2))
    assert [level.num_nodes for level in (level, level.after(), level.after().after())] == [256, 64, 16]
    assert network(x.flatten(2), level).shape == (2, 10)
