"""Pictures are drawn, not blank, the same with either renderer, and tell a right match from a wrong one."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from geodl import viz
from geodl.matching import MatchedPair, evaluate
from geodl.viz import open3d_renderer, picture, renderer
from geodl.viz.scene import View, in_rows, side_by_side

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(picture, "SIZE", (24.0, 2.4))


@pytest.fixture(params=["open3d", "matplotlib"])
def drawn_by(request):
    if reason := renderer._why_not(request.param):
        pytest.skip(f"{request.param}: {reason}")
    with viz.use_renderer(request.param):
        yield request.param


def body(scale=1.0):
    """A figure with two different arms: nothing about it is symmetric."""
    trunk = trimesh.creation.capsule(height=2.0, radius=0.5, count=[16, 16])
    pos = np.array(trunk.vertices)[:, [0, 2, 1]] * [1.4, 1.0, -0.8]
    pos[:, 0] += 0.2 * pos[:, 1] ** 2
    return SimpleNamespace(pos=torch.tensor(pos * scale), face=torch.tensor(np.array(trunk.faces).T.copy()))


IDENTITY = torch.arange(body().pos.shape[0])


def pixels(path):
    from matplotlib.image import imread

    return imread(path)[..., :3]


def halves(image):
    """Left and right drawing of a picture, without the labels under them."""
    drawing = image[: int(0.78 * len(image))]
    middle = drawing.shape[1] // 2
    return drawing[:, :middle], drawing[:, middle:]


def ink(image):
    """Mean colour of what is not white."""
    drawn = image.min(2) < 0.97
    return image[drawn].mean(0), float(drawn.mean())


def test_correspondence_looks_right_only_if_it_is(drawn_by, tmp_path):
    mesh = body()
    count = mesh.pos.shape[0]
    identity, constant = torch.arange(count), torch.full((count,), int(mesh.pos[:, 1].argmax()))
    good = pixels(viz.correspondence(mesh, mesh, identity, tmp_path / "good.png"))
    bad = pixels(viz.correspondence(mesh, mesh, constant, tmp_path / "bad.png"))
    assert good.shape == bad.shape and good.shape[0] > 240 and good.std() > 0.1
    reference, prediction = halves(good)
    assert np.allclose(ink(reference)[0], ink(prediction)[0], atol=0.02)
    assert 0.1 < ink(reference)[1] < 0.95
    reference, prediction = halves(bad)
    assert np.abs(ink(reference)[0] - ink(prediction)[0]).max() > 0.1


def test_ground_truth_makes_a_third_drawing(drawn_by, tmp_path):
    mesh = body()
    identity = torch.arange(mesh.pos.shape[0])
    for count, true in ((2, None), (3, identity)):
        image = pixels(viz.correspondence(mesh, mesh, identity, tmp_path / "a.png", true=true))
        inked = (image[: int(0.78 * len(image))].min(2) < 0.97).any(0)
        assert int((np.diff(inked.astype(int)) == 1).sum()) == count  # white columns lie between the drawings


def test_error_map_is_grey_without_error_and_red_with(drawn_by, tmp_path):
    mesh = body()
    error = torch.zeros(mesh.pos.shape[0])
    none = pixels(viz.error_map(mesh, error, tmp_path / "none.png"))
    much = pixels(viz.error_map(mesh, error + 0.05, tmp_path / "much.png"))
    lost = pixels(viz.error_map(mesh, error + float("inf"), tmp_path / "lost.png"))
    left = [ink(image[:, : image.shape[1] // 3])[0] for image in (none, much, lost)]
    assert np.ptp(left[0]) < 0.03
    assert left[1][0] > left[1][1] + 0.3 and left[1][0] > left[1][2] + 0.3
    assert left[2][2] > left[2][0] + 0.2


def red_and_green(image):
    red = (image[..., 0] > image[..., 1] + 0.4) & (image[..., 0] > image[..., 2] + 0.4)
    green = (image[..., 1] > image[..., 0] + 0.25) & (image[..., 1] > image[..., 2] + 0.1)
    return int(red.sum()), int(green.sum())


def test_lines_are_green_where_right_and_red_where_wrong(drawn_by, tmp_path):
    mesh = body()
    identity = torch.arange(mesh.pos.shape[0])
    red, green = red_and_green(pixels(viz.lines(mesh, mesh, identity, tmp_path / "a.png", true=identity)))
    assert red == 0 and green > 100
    moved = identity.roll(1)
    red, green = red_and_green(pixels(viz.lines(mesh, mesh, moved, tmp_path / "b.png", true=identity)))
    assert red > 100 and green == 0
    near = pixels(viz.lines(mesh, mesh, moved, tmp_path / "c.png", true=identity, tolerance=10.0))
    assert red_and_green(near)[0] == 0
    assert pixels(viz.lines(mesh, mesh, identity, tmp_path / "d.png", count=5)).std() > 0.05


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_shapes_of_any_scale_fill_the_picture(scale, drawn_by, tmp_path):
    identity = torch.arange(body().pos.shape[0])
    left, right = halves(pixels(viz.correspondence(body(), body(scale), identity, tmp_path / "a.png")))
    assert ink(left)[1] == pytest.approx(ink(right)[1], rel=0.05)


def test_renderers_agree(tmp_path):
    if reason := renderer._why_not("open3d"):
        pytest.skip(f"open3d: {reason}")
    mesh, made = body(), []
    for name in ("open3d", "matplotlib"):
        with viz.use_renderer(name):
            path = viz.correspondence(mesh, mesh, torch.arange(mesh.pos.shape[0]), tmp_path / f"{name}.png")
            made.append(pixels(path))
    difference = np.abs(made[0] - made[1])
    assert float(difference.mean()) < 0.01


def test_the_nearer_of_two_surfaces_hides_the_other(drawn_by):
    """A red sheet before a blue one, in the order that a painter would get wrong."""
    sheet = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    face = torch.tensor([[0, 1], [1, 3], [2, 2]])
    mesh = SimpleNamespace(
        pos=torch.cat([sheet + torch.tensor([0, 0, 0.5]), sheet]), face=torch.cat([face, face + 4], dim=1)
    )
    color = torch.tensor([[1.0, 0, 0]] * 4 + [[0, 0, 1.0]] * 4, dtype=torch.float64)
    scene = side_by_side([("mesh", "", mesh, color, View.of("y", "+z"))])
    middle = renderer.render(scene, 64, 64).color[16:48, 16:48]
    assert (np.abs(middle.astype(int) - [255, 0, 0]) <= 1).all()


def test_curve_of_reports(tmp_path):
    mesh = body()
    true = torch.arange(mesh.pos.shape[0])
    reports = {
        name: evaluate([MatchedPair(mesh, p, true)]) for name, p in (("good", true), ("bad", true.flip(0)))
    }
    image = pixels(viz.curve(reports, tmp_path / "deep" / "curve.png", title="two"))
    assert image.std() > 0.05 and image.shape[1] > 600
    with pytest.raises(ValueError, match="reports is empty"):
        viz.curve({}, tmp_path / "curve.png")
    other = evaluate([MatchedPair(mesh, true, true)], protocol="dijkstra")
    with pytest.raises(ValueError, match="reports mix the protocols dijkstra, exact"):
        viz.curve({**reports, "other": other}, tmp_path / "curve.png")


def test_pictures_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    mesh = body()
    identity = torch.arange(mesh.pos.shape[0])
    with viz.use_renderer("matplotlib"):
        path = viz.correspondence(mesh, mesh, identity, tmp_path / "a.png")
        before = path.read_bytes()
        monkeypatch.setattr(picture.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            viz.correspondence(mesh, mesh, identity.flip(0), path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_open3d_that_dies_gives_way_to_matplotlib(tmp_path, monkeypatch):
    script = tmp_path / "dies.py"
    script.write_text("import os; os.abort()")
    monkeypatch.setattr(open3d_renderer, "_SCRIPT", script)
    assert "was killed by SIGABRT" in open3d_renderer.probe()
    monkeypatch.setattr(renderer, "_failed", [])
    monkeypatch.setattr(renderer, "_why_not", lambda name: "")  # the probe had passed
    mesh = body()
    identity = torch.arange(mesh.pos.shape[0])
    with pytest.warns(RuntimeWarning, match="matplotlib draws the pictures from here on.*SIGABRT"):
        path = viz.correspondence(mesh, mesh, identity, tmp_path / "a.png")
    assert pixels(path).std() > 0.1
    assert "SIGABRT" in viz.renderers()["open3d"]


def test_open3d_that_hangs_is_given_up(tmp_path, monkeypatch):
    script = tmp_path / "hangs.py"
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(open3d_renderer, "_SCRIPT", script)
    monkeypatch.setattr(open3d_renderer, "_TIMEOUT", 0.5)
    assert "did not finish in 0.5 seconds" in open3d_renderer.probe()


def test_missing_open3d_says_what_to_install(monkeypatch):
    find = renderer.importlib.util.find_spec
    monkeypatch.setattr(
        renderer.importlib.util, "find_spec", lambda name: None if name == "open3d" else find(name)
    )
    reason = renderer._why_not.__wrapped__("open3d")
    for word in ("matplotlib open3d", "libusb-1.0-0", "libvulkan1", "mesa-vulkan-drivers"):
        assert word in reason


def test_renderers_are_named():
    assert set(viz.renderers()) == {"open3d", "matplotlib"}
    with (
        pytest.raises(ValueError, match="renderer must be one of open3d, matplotlib, not 'povray'"),
        viz.use_renderer("povray"),
    ):
        pass


def test_a_window_needs_a_display(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match=r"no display.*viz\.show makes a page"):
        viz.window(body())


def test_a_window_gets_all_shapes_in_their_colours(monkeypatch):
    open3d = pytest.importorskip(
        "open3d", reason="needs Open3D and the system's libusb", exc_type=ImportError
    )
    shown = []
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(open3d.visualization, "draw_geometries", lambda things, **_: shown.extend(things))
    mesh = body()
    viz.window([mesh, mesh], map=IDENTITY.flip(0))
    one, two = (np.asarray(shape.vertex_colors) for shape in shown)
    assert np.allclose(one, viz.position_colors(mesh)) and np.allclose(two, one[::-1])
    assert np.asarray(shown[0].vertices)[:, 0].max() < np.asarray(shown[1].vertices)[:, 0].min()
    viz.window(mesh.pos, scalar=mesh.pos[:, 1])
    assert len(shown[2].points) == len(mesh.pos) and shown[2].has_colors()
    for shapes, more, message in (
        ([], {}, "shapes is empty"),
        ([mesh], {"map": IDENTITY}, "a map joins two shapes"),
        ([mesh, mesh], {"scalar": [mesh.pos[:, 0]]}, "one entry for each of the 2"),
    ):
        with pytest.raises(ValueError, match=message):
            viz.window(shapes, **more)


def test_pictures_are_as_large_and_as_fine_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "SIZE", (24.0, 9.0))
    mesh = body()
    with viz.use_renderer("matplotlib"):
        small = pixels(viz.correspondence(mesh, mesh, IDENTITY, tmp_path / "a.png", size=(3, 2), dpi=60))
        fine = pixels(viz.correspondence(mesh, mesh, IDENTITY, tmp_path / "b.png", size=(3, 2), dpi=180))
        assert np.allclose(np.array(fine.shape[:2]), 3 * np.array(small.shape[:2]), atol=6)
        assert small.shape[1] < 3.6 * 60 and small.shape[0] < 3 * 60
        for kind, start in (("pdf", b"%PDF"), ("svg", b"<?xml")):
            path = viz.error_map(mesh, IDENTITY * 0.0, tmp_path / f"a.{kind}", size=(3, 2), dpi=60)
            assert path.read_bytes().startswith(start)
        for more, message in (
            ({"size": (0, 2)}, "size must be"),
            ({"dpi": 0}, "dpi must be"),
            ({"dpi": 10**5}, "dpi must"),
        ):
            with pytest.raises(ValueError, match=message):
                viz.surface(mesh, tmp_path / "c.png", **more)


def test_curves_for_print(tmp_path):
    true = IDENTITY
    reports = {"good": evaluate([MatchedPair(body(), true, true)])}
    for kind, start in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        path = viz.curve(reports, tmp_path / f"curve.{kind}", size=(3.3, 2.5))
        assert path.read_bytes().startswith(start)
    assert pixels(viz.curve(reports, tmp_path / "c.png", size=(4, 3), dpi=50)).shape == (150, 200, 3)


def test_errors_and_colours_of_a_shape_are_seen_from_the_same_side(tmp_path):
    """A shape that is deeper than wide, which once was seen from its side where it was alone."""
    mesh = body()
    mesh.pos = mesh.pos[:, [2, 1, 0]] * torch.tensor([1.0, 1, -1])
    with viz.use_renderer("matplotlib"):
        colours = viz.correspondence(body(), mesh, IDENTITY, tmp_path / "a.png")
        errors = viz.error_map(mesh, IDENTITY * 0.0 + 0.1, tmp_path / "b.png")
    assert widths(colours)[1] == pytest.approx(widths(errors)[0], abs=2)


def widths(path):
    """Columns of every drawing of a picture."""
    image = pixels(path)
    inked = (image[: int(0.78 * len(image))].min(2) < 0.9).any(0)
    edge = np.flatnonzero(np.diff(np.pad(inked, 1).astype(int)))
    return [b - a for a, b in zip(edge[::2], edge[1::2], strict=True)]


def test_several_methods_and_shapes_in_one_figure(tmp_path):
    mesh, still = body(), IDENTITY * 0.0
    maps = {"good": [IDENTITY, IDENTITY], "bad": [IDENTITY.flip(0), IDENTITY.flip(0)]}
    errors = {"good": [still, still], "bad": [still + 0.1, still + 0.1]}
    with viz.use_renderer("matplotlib"):
        path = viz.comparison(mesh, [mesh, mesh], maps, tmp_path / "a.png", true=maps["good"], errors=errors)
    image = pixels(path)
    assert image.std() > 0.05
    more = (
        ([], maps, {}, "nothing to compare"),
        ([mesh], {"bad": []}, {}, "there are 1 shapes, but bad has 0"),
        ([mesh], {"one": [IDENTITY]}, {"errors": {"two": [still]}}, "errors are of two, but maps of one"),
        ([mesh], {"one": [IDENTITY]}, {"true": []}, "true has 0 entries"),
        ([mesh], {"one": [IDENTITY[1:]]}, {}, "map 0 of one must have shape"),
    )
    for shapes, given, options, message in more:
        with pytest.raises(ValueError, match=message):
            viz.comparison(mesh, shapes, given, tmp_path / "b.png", **options)


def test_rows_stand_below_one_another():
    mesh, color = body(), torch.ones(len(body().pos), 3, dtype=torch.float64)
    part = ("mesh", "", mesh, color, View.of("y"))
    scene = in_rows([[part, part], [part]])
    first, second, third = scene.bodies
    assert first.pos[:, 1].min() > third.pos[:, 1].max() and first.pos[:, 0].max() < second.pos[:, 0].min()
    assert np.allclose(first.pos[:, 0], third.pos[:, 0])


def test_import_is_light():
    code = (
        "import sys, geodl.viz, geodl.matching;"
        "heavy = {'open3d', 'matplotlib', 'trimesh', 'lightning'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, p: viz.correspondence(m, m, IDENTITY[:-1], p),
            ValueError,
            r"p2p must have shape \[\d+\] \(the",
        ),
        (
            lambda m, p: viz.correspondence(m, m, IDENTITY + 1, p),
            IndexError,
            r"p2p holds 1\.\.\d+, but reference has",
        ),
        (lambda m, p: viz.correspondence(m, m, IDENTITY - 2, p), IndexError, r"p2p holds -2\.\."),
        (
            lambda m, p: viz.correspondence(m, m, IDENTITY.double(), p),
            ValueError,
            "p2p must hold integers, not torch.float64",
        ),
        (
            lambda m, p: viz.correspondence(m, m, IDENTITY, p, true=IDENTITY[1:]),
            ValueError,
            "true must have shape",
        ),
        (
            lambda m, p: viz.correspondence(m, m, IDENTITY, p, up="w"),
            ValueError,
            "up must be x, y, z, one of them behind",
        ),
        (lambda m, p: viz.correspondence(m, m, IDENTITY, p, front="+y"), ValueError, "not be parallel to up"),
        (
            lambda m, p: viz.correspondence(m, m, IDENTITY, p.with_suffix(".gif")),
            ValueError,
            r"path must end in \.png, \.pdf, \.svg",
        ),
        (
            lambda m, p: viz.correspondence(m.pos, m, IDENTITY, p),
            ValueError,
            "reference must be a mesh .* a PointCloud",
        ),
        (
            lambda m, p: viz.correspondence(
                m, SimpleNamespace(**{**vars(m), "face": m.face + 1}), IDENTITY, p
            ),
            IndexError,
            r"shape: face holds 1\.\.\d+, but there are \d+ vertices",
        ),
        (lambda m, p: viz.error_map(m, IDENTITY[1:] * 0.0, p), ValueError, "error must have shape"),
        (
            lambda m, p: viz.error_map(m, IDENTITY * float("nan"), p),
            ValueError,
            "error must not be negative or NaN",
        ),
        (
            lambda m, p: viz.error_map(m, IDENTITY * 0.0, p, max_error=0),
            ValueError,
            "max_error must be positive",
        ),
        (lambda m, p: viz.lines(m, m, IDENTITY, p, count=0), ValueError, "count must be at least 1, not 0"),
        (
            lambda m, p: viz.lines(m, m, IDENTITY, p, tolerance=-1),
            ValueError,
            "tolerance must not be negative",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message, tmp_path):
    with viz.use_renderer("matplotlib"), pytest.raises(error, match=message):
        call(body(), tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"pos": body().pos * float("nan")}, r"shape: \d+ vertices are NaN or infinite, the first is 0"),
        ({"face": body().face[:, :0]}, "shape has no faces"),
        ({"pos": body().pos * 0}, "shape: there is no surface to draw, the area is 0"),
        ({"pos": body().pos[:, :2]}, r"shape must have pos \[V, 3\]"),
    ],
)
def test_shapes_that_cannot_be_drawn(damage, message, tmp_path):
    damaged = SimpleNamespace(**{**vars(body()), **damage})
    with viz.use_renderer("matplotlib"), pytest.raises(ValueError, match=message):
        viz.correspondence(body(), damaged, IDENTITY, tmp_path / "picture.png")


def test_clouds_stand_side_by_side(drawn_by, tmp_path):
    around = torch.linspace(0, 2 * torch.pi, 200)
    ring = torch.stack([around.cos(), around.sin(), 0 * around], 1)
    pole = torch.stack([0 * around, 0 * around, around], 1)
    path = viz.point_clouds([100 * ring, pole], tmp_path / "a.png", labels=["ring", "pole"])
    drawn = pixels(path)[: int(0.78 * len(pixels(path)))].min(2) < 0.97
    inked = drawn.any(0)
    columns = np.flatnonzero(np.diff(np.pad(inked, 1).astype(int)))  # where drawings begin and end
    assert columns[1] - columns[0] > 5 * (columns[-1] - columns[-2])  # the ring is wide, the pole is not
    assert drawn[:, columns[0] : columns[1]].any(1).sum() < drawn[:, columns[-2] :].any(1).sum()


def test_clouds_do_not_overlap_and_wear_labels(tmp_path):
    """Seen from aside, a square's diagonal is longer than its side."""
    draw = torch.Generator().manual_seed(0)
    square = torch.rand(400, 3, generator=draw) * torch.tensor([1.0, 1, 0.01])
    label = [(square[:, 0] > 0.5).long(), (square[:, 1] > 0.5).long() + 1]
    with viz.use_renderer("matplotlib"):
        path = viz.point_clouds([square, square], tmp_path / "a.png", label=label, front=(1, -1, 0.3))
    image = pixels(path)
    part = image[: int(0.75 * len(image)), : int(0.85 * image.shape[1])]
    assert int((np.diff((part.min(2) < 0.97).any(0).astype(int)) == 1).sum()) >= 2
    blue = (part[..., 2] > part[..., 0] + 0.2).mean(), (part[..., 0] > part[..., 2] + 0.3).mean()
    assert min(blue) > 0.02


def test_clouds_that_cannot_be_drawn_are_named():
    cloud = torch.rand(5, 3)
    for given, more, trouble in (
        ([], {}, "clouds is empty"),
        ([cloud], {"labels": ["a", "b"]}, "1 clouds but 2 labels"),
        ([cloud, cloud[:0]], {}, "cloud 1 must have shape"),
        ([cloud * torch.nan], {}, "cloud 0 has points that are NaN"),
        ([cloud], {"up": "w"}, "up must be x, y, z"),
        ([cloud], {"label": []}, "one entry for each of the 1 clouds"),
        ([cloud], {"label": [torch.zeros(4, dtype=torch.long)]}, "label of cloud 0 has shape"),
    ):
        with pytest.raises(ValueError, match=trouble):
            viz.point_clouds(given, "a.png", **more)
