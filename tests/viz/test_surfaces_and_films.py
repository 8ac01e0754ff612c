"""Surfaces wear what they are given, grids hold every image pixel by pixel, films play what went in."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from geodl import viz
from geodl.viz import picture
from geodl.viz.colors import label_colors

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
Image = pytest.importorskip("PIL.Image", reason="films need Pillow: pip install matplotlib")


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(picture, "SIZE", (24.0, 2.0))
    with viz.use_renderer("matplotlib"):
        yield


def ball():
    made = trimesh.creation.icosphere(3)
    return SimpleNamespace(pos=torch.tensor(made.vertices), face=torch.tensor(made.faces).T.contiguous())


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(float) / 255


def parts(path):
    """The columns of a picture that belong to one drawing each, without labels."""
    image = pixels(path)[:200]
    inked = (image.min(2) < 0.97).any(0)
    edge = np.flatnonzero(np.diff(np.pad(inked, 1).astype(int)))
    return [image[:, a:b] for a, b in zip(edge[::2], edge[1::2], strict=True)]


def centre(image):
    y, x = image.shape[0] // 2, image.shape[1] // 2
    return image[y - 4 : y + 4, x - 4 : x + 4].mean((0, 1))


def test_colours_are_where_they_belong(tmp_path):
    mesh = ball()
    front = (mesh.pos[:, 2] > 0)[:, None]
    red, blue = torch.tensor([1.0, 0.1, 0.1]), torch.tensor([0.1, 0.1, 1.0])
    color = torch.where(front, red, blue)
    for given in (color, (color * 255).byte()):
        path = viz.surface(mesh, tmp_path / "color.png", color=given, front="+z")
        one, two = parts(path)
        assert centre(one)[0] > centre(one)[2] + 0.4 and centre(two)[2] > centre(two)[0] + 0.4
    grey = centre(parts(viz.surface(mesh, tmp_path / "grey.png", color=torch.full((642, 1), 0.5)))[0])
    plain = centre(parts(viz.surface(mesh, tmp_path / "plain.png"))[0])
    assert np.ptp(grey) < 0.01 and plain.mean() > grey.mean() + 0.2


def test_a_function_has_its_scale_beside_it(tmp_path):
    mesh = ball()
    height = mesh.pos[:, 1]
    front, back, *bar = parts(viz.surface(mesh, tmp_path / "a.png", scalar=height))
    assert bar and np.allclose(front.mean((0, 1)), back.mean((0, 1)), atol=0.02)
    top, bottom = front[40:60].min(2), front[-60:-40].min(2)
    light = [
        front[rows][row < 0.97].mean(0) for rows, row in ((slice(40, 60), top), (slice(-60, -40), bottom))
    ]
    assert light[0][0] > light[1][0] + 0.2  # yellow is high, blue is low
    wide = parts(viz.surface(mesh, tmp_path / "b.png", scalar=height, limits=(-1, 100)))[0]
    assert abs(wide[50, 100] - wide[150, 100]).max() < abs(front[50, 100] - front[150, 100]).max() / 2
    constant = parts(viz.surface(mesh, tmp_path / "c.png", scalar=0 * height + 3))
    assert len(constant) > 2


def test_labels_have_sharp_borders_and_a_legend(tmp_path):
    mesh = ball()
    label = (mesh.pos[:, 0] > 0.02).long() + 2 * (mesh.pos[:, 1] > 0.02).long()
    path = viz.surface(mesh, tmp_path / "a.png", label=label, front="+z")
    front = parts(path)[0]
    colors = label_colors(torch.arange(4)).numpy()
    assert len(np.unique(colors, axis=0)) == 4
    shades = front[front.min(2) < 0.97]
    shades = shades / np.linalg.norm(shades, axis=1, keepdims=True)
    near = (shades @ (colors / np.linalg.norm(colors, axis=1, keepdims=True)).T).max(1)
    assert (near > 0.985).mean() > 0.93  # hardly a pixel wears a mixture
    many = torch.arange(642)
    assert len(parts(viz.surface(mesh, tmp_path / "b.png", label=many))) == 2
    assert len(parts(path)) > 2


def test_a_label_keeps_its_colour():
    one, two = label_colors(torch.tensor([3, 700, -1])), label_colors(torch.tensor([-5, 700, 12, 3]))
    assert torch.equal(one, two[[3, 1, 0]])
    several = label_colors(torch.arange(60))
    assert float(torch.cdist(several, several).fill_diagonal_(9).min()) > 0.02
    first = several[:10]
    assert float(torch.cdist(first, first).fill_diagonal_(9).min()) > 0.2


def test_images_keep_their_pixels(tmp_path):
    x = torch.rand(5, 3, 8, 6)
    path = viz.images(x, tmp_path / "a.png", columns=3)
    made = pixels(path)
    factor = 14  # 112 / 8
    cell = made[16 : 16 + 8 * factor, 16 : 16 + 6 * factor]
    expected = x[0].permute(1, 2, 0).numpy().repeat(factor, 0).repeat(factor, 1)
    assert np.abs(cell - expected).max() <= 0.51 / 255
    assert (made[-16 - 4 * factor :, -16 - 6 * factor :] == 1).all()  # the sixth place is empty
    below = made[16 + 8 * factor + 6 :][: 8 * factor, 16 : 16 + 6 * factor]
    assert (
        np.abs(below - x[3].permute(1, 2, 0).numpy().repeat(factor, 0).repeat(factor, 1)).max() <= 0.51 / 255
    )


def test_images_of_any_kind_and_size(tmp_path):
    several = [
        torch.rand(3, 40, 60),
        torch.rand(1, 20, 20),
        torch.rand(30, 30),
        torch.randint(256, (3, 9, 9)).byte(),
    ]
    path = viz.images(
        several, tmp_path / "deep" / "a.png", titles=["one", "two", "three", "four"], title="all"
    )
    assert pixels(path).std() > 0.1
    wide = viz.images(torch.rand(8, 1, 400, 700), tmp_path / "b.png", columns=8)
    assert pixels(wide).shape[1] <= 2440


def frames(count=6, size=(24, 30)):
    """A white square that walks over a coloured ground."""
    ground = torch.stack(
        torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij")
    )
    made = torch.cat([ground, 0.5 * torch.ones(1, *size)]).repeat(count, 1, 1, 1)
    for number, frame in enumerate(made):
        frame[:, 8:16, 4 * number : 4 * number + 6] = 1
    return made


def test_a_gif_plays_the_frames(tmp_path):
    x = frames()
    path = viz.film(x, tmp_path / "deep" / "a.gif", fps=20)
    with Image.open(path) as made:
        assert made.n_frames == 6 and made.info["duration"] == 50 and made.info["loop"] == 0
        for number, frame in enumerate(x):
            made.seek(number)
            shown = np.asarray(made.convert("RGB")) / 255
            assert np.abs(shown - frame.permute(1, 2, 0).numpy()).mean() < 0.03
            assert shown[12, 4 * number + 3].min() > 0.9
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a.gif"]


def test_a_film_of_pictures_on_disk(tmp_path):
    mesh = ball()
    paths = [viz.surface(mesh, tmp_path / f"{k}.png", color=torch.full((642, 3), 0.3 * k)) for k in range(3)]
    with Image.open(viz.film(iter(paths), tmp_path / "a.gif")) as made, Image.open(paths[0]) as first:
        assert made.n_frames == 3 and made.size == first.size


def test_an_mp4_plays_the_frames(tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs pip install imageio-ffmpeg")
    x = frames(size=(47, 61))
    path = viz.film(x, tmp_path / "a.mp4", fps=10)
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (62, 48)
    shown = [np.frombuffer(frame, np.uint8).reshape(48, 62, 3)[:47, :61] / 255 for frame in reader]
    assert len(shown) == 6
    for frame, expected in zip(shown, x, strict=True):
        assert np.abs(frame - expected.permute(1, 2, 0).numpy()).mean() < 0.05
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_films_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = viz.film(frames(), tmp_path / "a.gif")
    before = path.read_bytes()
    monkeypatch.setattr(picture.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        viz.film(frames(3), path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.gif"]


def test_an_mp4_without_ffmpeg_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ImportError, match=r"pip install imageio-ffmpeg; a \.gif does without"):
        viz.film(frames(), tmp_path / "a.mp4")


X = torch.rand(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, p: viz.surface(m, p, color=m.pos), r"color must lie in 0\.\.1, it holds -1\.\.1"),
        (lambda m, p: viz.surface(m, p, color=m.pos[1:]), "mesh has 642 vertices but color has shape"),
        (lambda m, p: viz.surface(m, p, color=m.pos[:, :2]), r"color must have shape \[642, 3\]"),
        (lambda m, p: viz.surface(m, p, color=m.pos.long()), "color must hold floats in 0..1 or uint8"),
        (lambda m, p: viz.surface(m, p, scalar=m.pos), r"scalar must have shape \[642\]"),
        (lambda m, p: viz.surface(m, p, scalar=m.pos[:, 0] / 0), "scalar: 642 entries are NaN or infinite"),
        (lambda m, p: viz.surface(m, p, label=m.pos[:, 0]), "label must hold integers, not torch.float64"),
        (lambda m, p: viz.surface(m, p, label=m.face[0]), "mesh has 642 vertices but label has shape"),
        (
            lambda m, p: viz.surface(m, p, scalar=m.pos[:, 0], color=m.pos),
            "one of color, scalar and label, not color and scalar",
        ),
        (lambda m, p: viz.surface(m, p, limits=(0, 1)), "limits are those of scalar"),
        (
            lambda m, p: viz.surface(m, p, scalar=m.pos[:, 0], limits=(1, 0)),
            "limits must be finite and ascending",
        ),
        (lambda m, p: viz.surface(m.pos, p), "mesh must be a mesh with pos and face"),
        (lambda m, p: viz.images(X[:0], p), "images is empty"),
        (lambda m, p: viz.images(X * 2 - 1, p), r"image 0 must lie in 0\.\.1"),
        (lambda m, p: viz.images(X * float("nan"), p), "image 0: 192 entries are NaN"),
        (lambda m, p: viz.images(X[:, :2], p), r"image 0 must have shape \[3, H, W\]"),
        (lambda m, p: viz.images(X, p, titles=["one"]), "there are 2 images but 1 titles"),
        (lambda m, p: viz.images(X, p, columns=0), "columns must be at least 1"),
        (lambda m, p: viz.images(X, p.with_suffix(".jpg")), r"path must end in \.png"),
        (lambda m, p: viz.film(X, p), r"path must end in \.gif or \.mp4"),
        (lambda m, p: viz.film([], p.with_suffix(".gif")), "frames is empty"),
        (
            lambda m, p: viz.film([X[0], X[1, :, 1:]], p.with_suffix(".gif")),
            "frame 0 has 8 x 8 pixels but frame 1 has 8 x 7",
        ),
        (lambda m, p: viz.film(X, p.with_suffix(".gif"), fps=0), "fps must be positive"),
        (
            lambda m, p: viz.film(X, p.with_suffix(".gif"), fps=60),
            "a GIF shows at most 50 frames a second, not 60",
        ),
    ],
)
def test_errors_name_the_argument(call, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        call(ball(), tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())


def test_a_frame_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        viz.film([tmp_path / "none.png"], tmp_path / "a.gif")
