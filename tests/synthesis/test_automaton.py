"""NeuralAutomaton: one rule on every domain."""

from __future__ import annotations

import pytest
import torch

from geodl.synthesis import NeuralAutomaton, surface_levels
from tests.synthesis.shapes import blobs, sheet, sphere


def restless(**options: object) -> NeuralAutomaton:
    """One whose rule does something."""
    made = NeuralAutomaton(**options)  # type: ignore[arg-type]
    torch.nn.init.normal_(made.rule[2].weight, std=0.1)
    return made


def test_a_sheet_of_pixels_does_what_the_grid_does() -> None:
    net = restless(channels=6, hidden=16, fire_rate=1.0)
    mesh = sheet(24)
    # Taps are as far apart as pixels if every vertex stands for a pixel.
    level = surface_levels(mesh, 1, kernel_size=5, direction=torch.tensor([0.0, 1.0, 0.0]))
    state = torch.zeros(1, 6, 24, 24)
    state[:, :, 8:16, 8:16] = torch.randn(1, 6, 1, 1)
    with torch.no_grad():
        on_grid = net(state)
        on_mesh = net(state[0].flatten(1).t().contiguous(), level)
    apart = (on_mesh.t().view(6, 24, 24) - on_grid[0])[:, 2:-2, 2:-2].abs().mean()
    assert float(apart) < 0.1 * float((on_grid - state).abs().mean())


def test_a_seed_draws_the_same_run() -> None:
    net, level = restless(), surface_levels(sphere(3), 1)
    one, two, other = (
        net.run(net.seed(level) + 0.1, 5, level, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert net.colors(one).shape == (642, 3) and one.shape == (642, 12)


def test_it_learns_and_the_pool_is_damaged() -> None:
    told: list[int] = []
    image = blobs(32)
    net = NeuralAutomaton()
    state = torch.random.get_rng_state()
    errors = net.fit(image, iterations=16, size=24, progress=lambda step, error: told.append(step))
    assert torch.equal(state, torch.random.get_rng_state())
    assert told == list(range(16)) and len(errors) == 16 and float(net.rule[2].weight.abs().max()) > 0
    again = NeuralAutomaton()
    again.load_state_dict(net.state_dict())
    picture = again.colors(again.run(again.seed((24, 24)), 3))
    assert picture.shape == (1, 3, 24, 24) and bool(picture.isfinite().all())


def test_colours_stay_among_those_of_the_exemplar() -> None:
    image = blobs(32, channels=1).expand(3, -1, -1)
    net = NeuralAutomaton()
    net.fit(image, iterations=1, size=24)
    shown = net.colors(torch.randn(50, 12))
    torch.testing.assert_close(shown, shown[:, :1].expand(-1, 3))
    assert float(shown.std(0)[0]) > float(image.std())


def test_states_stay_within_their_bounds_and_gradients_pass() -> None:
    """A rule that doubles the state at every step."""
    net = NeuralAutomaton(channels=3, hidden=6, fire_rate=1)
    eye = torch.eye(3)
    with torch.no_grad():
        net.rule[0].weight.zero_()[:, :3] = torch.cat([eye, -eye])  # type: ignore[index, operator]
        net.rule[0].bias.zero_()  # type: ignore[operator]
        net.rule[2].weight.copy_(torch.cat([eye, -eye], 1))  # type: ignore[operator, arg-type]
    start = torch.randn(1, 3, 8, 8, requires_grad=True)
    state = start
    for _ in range(12):
        state = net(state)
    assert float(state.detach().abs().max()) == 1.5 and torch.equal(
        state.detach().sign(), start.detach().sign()
    )
    state.sum().backward()
    assert start.grad is not None and torch.allclose(start.grad, torch.tensor(2.0**12))


def test_bad_states_and_exemplars() -> None:
    net = NeuralAutomaton()
    with pytest.raises(ValueError, match=r"\[B, 12, H, W\]"):
        net(torch.zeros(12, 8, 8))
    with pytest.raises(ValueError, match=r"\[V, 12\]"):
        net(torch.zeros(642, 3), surface_levels(sphere(3), 1))
    with pytest.raises(ValueError, match="1 channels, the automaton 3"):
        net.fit(blobs(channels=1))
    with pytest.raises(ValueError, match="too small"):
        net.fit(blobs(7))
    with pytest.raises(ValueError, match="constant"):
        net.fit(torch.zeros(3, 20, 20))
    with pytest.raises(ValueError, match="holds no"):
        NeuralAutomaton(13)
    with pytest.raises(ValueError, match="fire_rate"):
        NeuralAutomaton(fire_rate=0)
