"""Pictures of filters have the weights' signs and sizes, those of classifiers their areas."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from geodl import viz
from geodl.models import MultilayerPerceptron, Perceptron
from geodl.nn import GeodesicConv, GridConv

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")

MARGIN, GAP = 16, 6  # of a grid of images


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def cells(path, rows, columns, side):
    """The pictures of a grid, ``[rows, columns, side, side, 3]``."""
    made = pixels(path)
    step = side + GAP
    return np.stack(
        [
            [made[MARGIN + r * step :, MARGIN + c * step :][:side, :side] for c in range(columns)]
            for r in range(rows)
        ]
    )


def test_filters_of_three_channels_are_their_weights(tmp_path):
    weight = torch.randn(4, 3, 7, 7)
    found = cells(viz.filters(weight, tmp_path / "a.png"), 2, 2, 112).reshape(4, 112, 112, 3)
    largest = weight.abs().amax((1, 2, 3), keepdim=True)
    expected = (0.5 + weight / (2 * largest)).permute(0, 2, 3, 1).numpy().repeat(16, 1).repeat(16, 2)
    assert np.abs(found - expected).max() <= 0.51 / 255


def test_filters_of_a_layer_have_a_row_for_every_output(tmp_path):
    conv = GridConv(2, 3, 4)
    one = viz.filters(conv, tmp_path / "a.png")
    found = cells(one, 3, 2, 112)
    red, blue = found[..., 0].astype(float), found[..., 2].astype(float)
    sign = np.sign(np.round(red - blue, 3))
    weight = conv.weight.detach()
    assert weight.abs().min() > 1e-3
    assert (sign == weight.sign().numpy().repeat(28, 2).repeat(28, 3)).all()
    # The larger, the more colour; each filter has its own scale.
    strength = np.abs(red - blue)[:, :, ::28, ::28]
    order = weight.abs().flatten(1).argsort(1).numpy()
    assert (np.diff(np.take_along_axis(strength.reshape(3, -1), order, 1)) >= -0.35).all()
    scaled = weight * torch.tensor([1.0, 100.0, 0.01]).view(3, 1, 1, 1)
    assert (pixels(viz.filters(scaled, tmp_path / "b.png")) == pixels(one)).all()


def test_filters_of_a_geodesic_convolution_are_discs(tmp_path):
    conv = GeodesicConv(1, 1, rings=2, rays=4)
    nn.init.zeros_(conv.filters)
    with torch.no_grad():
        conv.filters[1, 1] = 1  # the outer ring, upwards
    made = pixels(viz.filters(conv, tmp_path / "a.png"))
    red = (made[..., 0] > made[..., 2] + 0.1).nonzero()
    rows, columns = red[0] - len(made) / 2, red[1] - made.shape[1] / 2
    angle, radius = np.arctan2(-rows, columns), np.hypot(rows, columns)
    side = made.shape[0] - 2 * MARGIN
    assert np.abs(angle - math.pi / 2).max() < math.pi / 4 + 0.1
    assert radius.min() > side / 4 - 3 and radius.max() < side / 2 + 3
    assert len(red[0]) == pytest.approx(math.pi * side**2 / 4 * 3 / 4 / 4, rel=0.05)


def test_a_filter_of_zeros_is_pale(tmp_path):
    made = cells(viz.filters(torch.zeros(1, 1, 3, 3), tmp_path / "a.png"), 1, 1, 114)
    assert (made == made[0, 0, 0, 0]).all() and made.min() > 0.95


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.ReLU(), "ReLU has no weight"),
        (nn.Linear(2, 3), r"Linear has a tensor \[3, 2\]"),
        (torch.ones(1, 1, 3, 3).long(), "int64"),
        (torch.full((1, 1, 3, 3), math.nan), "9 weights are NaN"),
        (torch.zeros(100, 100, 3, 3), "10000 pictures"),
        (torch.zeros(0, 1, 3, 3), "0 pictures"),
    ],
)
def test_filters_that_cannot_be_drawn(layer, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        viz.filters(layer, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def share_of_tint(path, label):
    """Where the plane has the light colour of a class."""
    from geodl.viz.colors import label_colors

    made = pixels(path)
    tint = 1 - 0.3 * (1 - label_colors(torch.tensor([label]))[0].numpy())
    of = np.abs(made - tint).max(2) < 0.01
    return of


def square():
    """Points in the corners of a square, of which the plane that is drawn is ``[-1.3, 1.3]``."""
    return torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])


def test_boundary_of_a_perceptron_divides_the_plane_where_it_should(tmp_path):
    model = Perceptron(2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([1.0, 0.0]))
        model.bias.fill_(0.65)  # the line x = -0.65, a quarter of the plane from the left
    y = torch.tensor([-1, -1, 1, 1])
    path = viz.decision_boundary(model, square(), y, tmp_path / "a.png")
    left, right = share_of_tint(path, 0), share_of_tint(path, 1)
    assert left.sum() / (left.sum() + right.sum()) == pytest.approx(0.25, abs=0.01)
    columns = [np.quantile(part.nonzero()[1], at) for part, at in ((left, 0.99), (right, 0.01))]
    assert columns[0] <= columns[1]  # but for the examples' rims


def test_regions_of_several_classes_have_their_areas(tmp_path):
    def scores(p):
        return torch.stack([0 * p[:, 0], p[:, 0], p[:, 1]], 1)

    path = viz.decision_boundary(scores, square(), torch.tensor([0, 2, 1, 2]), tmp_path / "a.png")
    area = np.array([share_of_tint(path, label).sum() for label in range(3)])
    # Where both coordinates are negative; the rest is halved by the diagonal.
    assert area / area.sum() == pytest.approx([2 / 8, 3 / 8, 3 / 8], abs=0.01)


def test_a_module_is_asked_in_evaluation_and_left_as_it_was(tmp_path):
    model = nn.Sequential(MultilayerPerceptron([2, 8, 2], nn.Tanh), nn.Dropout(0.9))
    y = torch.tensor([0, 1, 0, 1])
    one = pixels(viz.decision_boundary(model, square(), y, tmp_path / "a.png"))
    two = pixels(viz.decision_boundary(model, square(), y, tmp_path / "b.png"))
    assert model.training and (one == two).all()
    path = viz.decision_boundary(model.double(), square().double(), y, tmp_path / "c.svg", title="two")
    assert path.read_text().lstrip().startswith("<?xml")


def test_wrong_examples_are_crosses(tmp_path):
    def right_half(p):
        return p[:, 0]

    good = pixels(viz.decision_boundary(right_half, square(), torch.tensor([0, 0, 1, 1]), tmp_path / "a.png"))
    bad = pixels(viz.decision_boundary(right_half, square(), torch.tensor([0, 1, 1, 1]), tmp_path / "b.png"))
    changed = (np.abs(good - bad).max(2) > 0.1).nonzero()
    assert changed[0].max() < len(good) / 2 and changed[1].max() < good.shape[1] / 2  # the upper left corner


@pytest.mark.parametrize(
    ("model", "x", "y", "message"),
    [
        (lambda p: p, square()[:, :1], [0, 1, 0, 1], r"x must have shape \[N, 2\]"),
        (lambda p: p, square() * math.inf, [0, 1, 0, 1], "8 entries are NaN or infinite"),
        (lambda p: p, square(), [0, 1, 0], r"4 points, but y has shape \[3\]"),
        (lambda p: p, square(), [0, 1, 2, 1], r"y holds 0\.\.2, but the model has 2 classes"),
        (lambda p: p[:, 0], square(), [0, 1, 2, 1], "one output, but y holds 3 classes"),
        (lambda p: p[:3], square(), [0, 1, 0, 1], r"not \[3, 2\]"),
        (lambda p: p * math.nan, square(), [0, 1, 0, 1], "scores are NaN or infinite"),
    ],
)
def test_classifiers_that_cannot_be_drawn(model, x, y, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        viz.decision_boundary(model, x, torch.tensor(y), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_one_example_and_one_class(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        viz.decision_boundary(lambda p: p[:, 0], square()[:1], torch.tensor([1]), tmp_path / "a.png")
