"""The interactive page: what is in it, and what it does under the mouse in a headless Chromium."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from geodl import viz
from geodl.data import Mesh, PointCloud
from geodl.matching import Match
from geodl.viz import Page, show
from tests.viz.chromium import Browser, chromium


def ball(subdivisions: int = 3) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions)
    return Mesh(torch.tensor(made.vertices, dtype=torch.float32), torch.tensor(made.faces).T)


def unpacked(page: Page) -> tuple[dict[str, Any], bytes]:
    """Description and data, as the page's script reads them."""
    scene = re.search(r'id="scene">(.*?)</script>', page.html, re.DOTALL)
    data = re.search(r'id="data">(.*?)</script>', page.html, re.DOTALL)
    assert scene and data
    return json.loads(scene[1]), zlib.decompress(base64.b64decode(data[1]))


def integers(data: bytes, where: dict[str, Any]) -> np.ndarray[Any, Any]:
    count, size = where["rows"] * where["width"], where["size"]
    planes = np.frombuffer(data, np.uint8, count * size, where["start"]).reshape(size, count).T
    steps = np.ascontiguousarray(planes).view(f"<u{size}").reshape(where["rows"], where["width"])
    return np.cumsum(steps, axis=0, dtype=steps.dtype)


def test_what_goes_in_is_in_the_page() -> None:
    mesh = ball()
    wave = torch.stack([mesh.pos[:, 0], mesh.pos[:, 1]], 1)
    scene, data = unpacked(show(mesh, scalar=wave, vectors=mesh.pos))
    (shape,) = scene["shapes"]
    assert (integers(data, shape["face"]) == mesh.face.T.numpy()).all()
    low, step = np.array(shape["pos"]["low"]), np.array(shape["pos"]["step"])
    pos = low + step * integers(data, shape["pos"])
    assert np.abs(pos - mesh.pos.numpy()).max() <= 2 / 131070 * 1.01
    scalar = integers(data, shape["scalar"]).reshape(2, -1).T / 65535 * 2 - 1
    assert np.abs(scalar - wave.numpy()).max() < 2e-5 and scene["limits"] == pytest.approx([-1, 1])
    assert scene["steps"] == 2 and shape["lines"]["rows"] == 2 * 642


def test_far_from_the_origin_nothing_collapses() -> None:
    mesh = ball()
    far = Mesh(mesh.pos.double() + torch.tensor([5e5, 5e6, 0]).double(), mesh.face)
    scene, _ = unpacked(show(far))
    stored = scene["shapes"][0]
    assert np.abs(stored["pos"]["low"]).max() < 1.1 and scene["shapes"][0]["centre"] == [0, 0, 0]


def test_a_shape_wears_its_own_color_if_it_can(tmp_path: Path) -> None:
    mesh = ball()
    colored = Mesh(mesh.pos, mesh.face, color=torch.full((642, 3), 200, dtype=torch.uint8))
    colored.save(tmp_path / "colored.ply")
    scene, data = unpacked(show(tmp_path / "colored.ply"))
    assert (integers(data, scene["shapes"][0]["color"]) == 200).all()
    with pytest.warns(UserWarning, match="shape is drawn without its own color"):
        scene, _ = unpacked(show(Mesh(mesh.pos, mesh.face, color=torch.zeros(642))))
    assert "color" not in scene["shapes"][0]


def test_two_bodies_and_their_map_are_small(shared_bodies: tuple[Mesh, Mesh]) -> None:
    one, two = shared_bodies
    page = show([one, two], map=two.y, names=["one", "two"])
    assert len(page.html) < 500_000
    assert not re.search(r"(src|href)=|url\(|https?:", page.html), "the page must not load anything"


@pytest.fixture
def shared_bodies() -> tuple[Mesh, Mesh]:
    from geodl.datasets import Puppets

    made = Puppets(2, 2, num_vertices=6890)
    return made[0], made[1]


def test_bad_input_is_named() -> None:
    mesh = ball(1)
    broken = Mesh(mesh.pos.clone(), mesh.face)
    broken.pos[5, 1] = torch.nan
    cloud = PointCloud(torch.tensor([[0.0, 0, torch.inf]]))
    for arguments, layers, message in (
        (broken, {}, "shape: 1 vertices are NaN or infinite, the first is 5"),
        ([mesh, broken], {}, "shape 1: 1 vertices are NaN"),
        (cloud, {}, "1 points are NaN or infinite"),
        ([], {}, "shapes is empty"),
        (PointCloud(torch.zeros(0, 3)), {}, "shape has no points"),
        (Mesh(mesh.pos, mesh.face[:, :0]), {}, "shape has no faces"),
        (mesh, {"color": torch.rand(41, 3)}, "mesh has 42 vertices"),
        (mesh, {"color": torch.rand(42, 3) * 255}, "must lie in 0..1"),
        (mesh, {"scalar": torch.rand(41)}, "mesh has 42 vertices but scalar has shape"),
        (mesh, {"scalar": torch.full((42,), torch.nan)}, "42 entries are NaN or infinite"),
        (mesh, {"label": torch.zeros(3, dtype=torch.long)}, "label has shape"),
        (mesh, {"label": torch.rand(42)}, "label must hold integers"),
        (mesh, {"vectors": torch.rand(42)}, "vectors must have shape"),
        (mesh, {"frames": torch.rand(3, 41, 3)}, "frames must have shape"),
        (mesh, {"texture": (torch.rand(3, 4, 4), torch.rand(41, 2))}, "the uv of texture must have shape"),
        (mesh, {"scalar": torch.rand(42), "label": torch.zeros(42, dtype=torch.long)}, "one of color"),
        (mesh, {"limits": (0, 1)}, "limits are those of scalar"),
        (mesh, {"map": torch.arange(42)}, "a map joins two shapes, but there are 1"),
        ([mesh, mesh], {"map": torch.arange(41)}, r"map must have shape \[42\]"),
        ([mesh, mesh], {"map": torch.arange(42) + 1}, "map holds 1..42"),
        ([mesh, mesh], {"scalar": [torch.rand(42)]}, "one entry for each of the 2 shapes"),
        ([mesh, mesh], {"names": ["one"]}, "2 shapes but 1 names"),
        (mesh, {"front": "y"}, "front must not be parallel to up"),
        (mesh, {"up": "w"}, "up must be x, y, z"),
    ):
        with pytest.raises((ValueError, IndexError), match=message):
            show(arguments, **layers)
    with pytest.raises(ValueError, match=r"must end in \.html"):
        show(mesh).save("picture.png")
    with pytest.raises(TypeError, match="shape 1"):
        show([mesh, object()])


def test_the_page_is_saved_and_shown_in_a_notebook(tmp_path: Path) -> None:
    page = show(ball(1), title="A <ball>")
    path = page.save(tmp_path / "ball.html")
    assert path.read_text(encoding="utf-8") == page.html and "<title>A &lt;ball&gt;</title>" in page.html
    shown = page._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "A &amp;lt;ball" in shown
    assert "kB of HTML" in repr(page)


def test_shapes_show_themselves_without_importing_the_viewer(tmp_path: Path) -> None:
    # What an installation writes of pyproject.toml, so that one that is older than the code does not matter.
    root = Path(__file__).parents[2]
    declared = re.search(
        r'entry-points."(geodl.viewer)"\]\n(html) = "(.*)"', (root / "pyproject.toml").read_text()
    )
    assert declared
    folder = tmp_path / "viewer-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: viewer\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[{}]\n{} = {}\n".format(*declared.groups()))
    program = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "import torch\nfrom geodl.data import Mesh, PointCloud\n"
        "pos = torch.rand(9, 3)\nassert 'geodl.viz' not in sys.modules\n"
        "for shape in (PointCloud(pos), Mesh(pos, torch.tensor([[0], [1], [2]]))):\n"
        "    assert shape._repr_html_().startswith('<iframe'), shape\n"
        "assert Mesh(pos, torch.zeros(3, 0, dtype=torch.long))._repr_html_() is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)


def test_a_match_shows_what_it_matched() -> None:
    one, two = ball(1), ball(1)

    class Held(Match):
        """A match with its shapes, as it has them once it can carry values over."""

        def __init__(self, shapes: Any) -> None:
            vars(self).update(p2p_21=torch.arange(42).flip(0), shapes=shapes)

    with pytest.raises(ValueError, match="the match does not hold its shapes"):
        show(Held(None))
    scene, data = unpacked(show(Held([SimpleNamespace(mesh=mesh) for mesh in (one, two)])))
    assert integers(data, scene["map"]).ravel().tolist() == list(range(41, -1, -1))
    assert scene["shapes"][1]["carried"]


# ---- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("needs Chromium: apt install chromium")
    opened = Browser(program, tmp_path_factory.mktemp("chromium"), 600, 400)
    yield opened
    opened.close()


def place_of(browser: Browser, shape: int, vertex: int) -> tuple[float, float]:
    """Where in the page a vertex is drawn, of two shapes side by side."""
    turn, centre, here, size, radius, box = browser.js(
        f"(() => {{ const b = viewer.bodies[{shape}], c = viewer.cameras[{shape}], r = viewer.gl.canvas.getBoundingClientRect();"
        f" return [[...c.turn], b.centre, [...b.here.subarray({3 * vertex}, {3 * vertex + 3})], b.size,"
        " JSON.parse(document.getElementById('scene').textContent).radius, [r.left, r.top, r.width, r.height]]; })()"
    )
    seen = np.array(turn).reshape(3, 3) @ (np.array(here) - np.array(centre))
    left, top, width, height = box
    scale = 0.86 / (radius * size) * min(width / 2, height) / 2
    return left + width * (0.25 + 0.5 * shape) + scale * seen[0], top + height / 2 - scale * seen[1]


def pixels(path: Path) -> np.ndarray[Any, Any]:
    image = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install matplotlib")
    return np.asarray(image.open(path).convert("RGB")).astype(int)


def test_hovering_marks_the_match_and_dragging_turns_both(browser: Browser, tmp_path: Path) -> None:
    mesh = ball()
    order = torch.randperm(642, generator=torch.Generator().manual_seed(1))
    other = Mesh(mesh.pos[order], order.argsort()[mesh.face])
    path = show([mesh, other], map=order, names=["left", "right"]).save(tmp_path / "two.html")
    browser.visit(path)
    front = int(mesh.pos[:, 2].argmax())
    browser.mouse("mouseMoved", *place_of(browser, 0, front))
    partner = int(order.argsort()[front])
    assert browser.js("[...viewer.marked]") == [front, partner]
    said = browser.js("document.getElementById('info').textContent")
    assert said == f"left: vertex {front}  ↔  right: vertex {partner}"
    browser.mouse("mouseMoved", *place_of(browser, 1, partner))
    assert browser.js("[...viewer.marked]") == [front, partner]
    browser.js("viewer.draw()")
    marked = pixels(browser.screenshot(tmp_path / "marked.png"))
    red = (marked[..., 0] > 200) & (marked[..., 1] < 60) & (marked[..., 2] < 60)
    assert red[:, :300].sum() > 40 and red[:, 300:].sum() > 40
    # Linked: the drag over one shape turns the other as well, as a rotation.
    browser.drag((150, 200), (300, 200))
    one, two = (np.array(browser.js(f"[...viewer.cameras[{i}].turn]")).reshape(3, 3) for i in (0, 1))
    assert (one == two).all() and np.abs(one @ one.T - np.eye(3)).max() < 1e-6
    assert one[0] == pytest.approx([np.cos(1), 0, np.sin(1)], abs=1e-6)
    browser.mouse("mouseWheel", 150, 200, deltaX=0, deltaY=-300)
    assert browser.js("viewer.cameras[1].zoom") == pytest.approx(np.exp(0.5))
    browser.key("r")
    assert browser.js("viewer.cameras[0].zoom") == 1 and browser.js("viewer.cameras[0].turn[0]") == 1
    browser.mouse("mouseMoved", 5, 200)
    assert browser.js("viewer.marked.length") == 0
    assert browser.faults() == []


def test_pictures_have_the_colours_that_were_given(browser: Browser, tmp_path: Path) -> None:
    mesh = ball()
    upper = mesh.pos[:, 1] > 0
    color = torch.where(upper[:, None], torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0]))
    cloud = PointCloud(mesh.pos)
    # The image's upper half is green; uv (0, 0) is its lower left.
    image = torch.tensor([[[0.0, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 0], [1, 1]]]).repeat_interleave(8, 1)
    cases = (
        ({"color": color}, mesh, 0, 2),
        ({"color": color}, cloud, 0, 2),
        ({"label": torch.where(upper, 3, 0)}, mesh, 0, 2),
        ({"texture": (image, (mesh.pos[:, :2] + 1) / 2)}, mesh, 1, 2),
    )
    for layers, shape, above, below in cases:
        browser.visit(show(shape, **layers).save(tmp_path / "colour.html"))
        seen = pixels(browser.screenshot(tmp_path / "colour.png"))
        top, bottom = seen[110:130, 290:310].mean((0, 1)), seen[250:270, 290:310].mean((0, 1))
        assert top.argmax() == above and bottom.argmax() == below, (layers.keys(), top, bottom)
        assert seen[200, 20].min() > 240, "light paper around the shape"
    assert browser.faults() == []


def test_the_slider_goes_through_channels_and_frames(browser: Browser, tmp_path: Path) -> None:
    mesh = ball(2)
    path = show(mesh, scalar=torch.stack([mesh.pos[:, 1], -mesh.pos[:, 1]], 1), title="Two").save(
        tmp_path / "c.html"
    )
    browser.visit(path)
    assert browser.js("[document.getElementById('high').textContent, document.title]") == ["1", "Two"]
    first = browser.js("[...viewer.bodies[0].shown]")
    slide = "const s = document.getElementById('slider'); s.value = 1; s.dispatchEvent(new Event('input'));"
    browser.js(f"(() => {{ {slide} }})()")
    assert browser.js("[...viewer.bodies[0].shown]") != first
    assert browser.js("document.getElementById('step').textContent") == "1 of 1"
    frames = torch.stack([mesh.pos, 2 * mesh.pos])
    browser.visit(show(mesh, frames=frames).save(tmp_path / "f.html"))
    browser.js(f"(() => {{ {slide} }})()")
    here = np.array(browser.js("[...viewer.bodies[0].here]")).reshape(-1, 3)
    assert np.abs(here - 2 * mesh.pos.numpy()).max() < 1e-4
    browser.key("b")
    browser.js("viewer.draw()")
    assert pixels(browser.screenshot(tmp_path / "dark.png"))[200, 20].max() < 60
    assert browser.faults() == []


def test_unlinked_shapes_turn_alone(browser: Browser, tmp_path: Path) -> None:
    browser.visit(viz.show([ball(1), ball(2)], linked=False).save(tmp_path / "alone.html"))
    browser.drag((150, 200), (225, 200))
    assert browser.js("viewer.cameras[0].turn[0]") < 0.9 and browser.js("viewer.cameras[1].turn[0]") == 1
