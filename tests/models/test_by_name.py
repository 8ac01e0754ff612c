"""Networks by name, with the weights that come with the library."""

import json
from pathlib import Path

import pytest
import safetensors
import torch
from torch.nn import functional as F

from geodl import models
from geodl.datasets import Digits
from geodl.models import GCN, LeNet5, create_model, list_models, model_card

INCLUDED = list_models(pretrained=True)
FOLDER = Path(models.__file__).parent / "pretrained"


def test_names_are_those_of_the_room() -> None:
    assert list_models() == sorted(list_models(True) + list_models(False))
    assert {"DiffusionNet", "GCN", "LeNet5"} <= set(list_models()) <= set(models.__all__)
    assert INCLUDED == ["FunctionalMapNet", "LeNet5"]


def test_a_network_by_name_is_that_of_its_class() -> None:
    torch.manual_seed(0)
    made = create_model("GCN", in_channels=4, out_channels=3)
    torch.manual_seed(0)
    same = GCN(in_channels=4, out_channels=3)
    assert type(made) is GCN and made.training
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize("name", INCLUDED)
def test_included_weights_have_a_card_and_fit(name: str) -> None:
    made = create_model(name, pretrained=True)
    assert not made.training
    assert all(parameter.dtype == torch.float32 for parameter in made.parameters())
    path = FOLDER / f"{name}.safetensors"
    assert path.stat().st_size < 2_500_000
    with safetensors.safe_open(path, "pt") as file:
        assert isinstance(json.loads(file.metadata()["arguments"]), dict)
    card = model_card(name)
    assert all(word in card for word in (f"# {name}", "Trained by", "Licence"))


def test_lenet5_reads_digits() -> None:
    digits = Digits("test")
    images = F.pad(F.interpolate(digits.x, size=20, mode="bilinear"), (4, 4, 4, 4))
    images = F.pad((images - 0.1307) / 0.3081, (2, 2, 2, 2), value=-0.1307 / 0.3081)
    network = create_model("LeNet5", pretrained=True)
    assert isinstance(network, LeNet5)
    with torch.no_grad():
        right = (network(images).argmax(1) == digits.y).float().mean()
    assert right > 0.95  # the card says 0.967


def test_bad_names_and_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="there is no network DifusionNet: did you mean DiffusionNet"):
        create_model("DifusionNet")
    with pytest.raises(ValueError, match=r"there is no network xq: list_models\(\) names them"):
        create_model("xq")
    with pytest.raises(
        ValueError, match="no weights of GCN come with geodl, only of FunctionalMapNet, LeNet5"
    ):
        create_model("GCN", pretrained=True, in_channels=3, out_channels=3)
    with pytest.raises(ValueError, match="no weights of GCN come with geodl"):
        model_card("GCN")
    with pytest.raises(ValueError, match=r"does not hold weights of LeNet5: .*shape"):
        create_model("LeNet5", pretrained=True, points=42)
