"""Bodies that the network which geodl brings along is trained on."""

import numpy as np
import pytest
import torch

from benchmarks import varied_bodies
from benchmarks.varied_people import draw_person
from geodl.datasets.body import BODY
from geodl.geometry import surface_area


def test_people_differ_and_follow_from_the_seed() -> None:
    one, again, other = (draw_person(np.random.default_rng([0, number])) for number in (0, 0, 1))
    for part in (0, 1):
        np.testing.assert_array_equal(one[part], again[part])
        assert np.abs(one[part] - other[part]).max() > 0.1
    scales, turns = one
    assert scales.shape == (len(BODY.bones), 3, 3) and turns.shape == (len(BODY.bones), 3)
    assert (np.linalg.det(scales) > 0).all() and np.linalg.norm(turns, axis=1).max() < np.pi


@pytest.mark.slow
def test_people_are_spheres_of_area_1_and_know_their_points() -> None:
    (body,) = varied_bodies.people(1, 0)
    vertices, faces = body.pos.shape[0], body.face.shape[1]
    assert faces == 2 * vertices - 4  # genus 0
    torch.testing.assert_close(surface_area(body), torch.tensor(1.0))
    assert int(body.corres.min()) >= 0 and int(body.corres.max()) < vertices
    assert body.corres.unique().numel() > 0.5 * vertices
    assert body.spectrum.evecs.shape == (vertices, varied_bodies.EIGENFUNCTIONS)
