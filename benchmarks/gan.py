"""Digits made up by generative adversarial networks, on images and on a sphere.

    python -m benchmarks.gan                          scikit-learn's digits, scaled to 28 x 28; no download
    python -m benchmarks.gan --root PATH              MNIST
    python -m benchmarks.gan --domain sphere          the same networks on digits projected onto a sphere
    python -m benchmarks.gan --model dc               DCGAN in the place of StyleGAN
    python -m benchmarks.gan --seeds 3                three generators, one after the other

Every seed trains a generator from nothing; what its average gives after the last step is measured, never a better one from
before. Features are those of a LeNet-5 that this script trains first. Precision and recall (k = 3) and the Frechet distance are
of as many generated samples as there are real ones. Beside them: white noise, a Gaussian of the pixels, and real images that the
network has not seen.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from benchmarks import mnist
from benchmarks.result import command, portable, write_result
from geodl.models import (
    DCDiscriminator,
    DCGenerator,
    LeNet5,
    StyleGenerator,
    frechet_distance,
    lenet_features,
    load_weights,
    precision_recall,
    save_weights,
)
from geodl.nn import Level
from geodl.training import AdversarialModule, ImageData, make_trainer, resume_point, training_seconds
from geodl.viz import film, images, surface

LATENT = 64
WIDTHS = (64, 32, 16)
# Small batches, because on a CPU more steps are worth more than less noise.
BATCH = 8
LEARNING_RATE = 5e-3
R1 = 0.5
STEPS_AN_EPOCH = 200  # after which there is a checkpoint
STEPS = {"grid": 6000, "sphere": 3000}
FRAMES = 48  # of a film
SAMPLES = 2000  # that are compared, at most
# A class is there if this part of the samples is of it.
PRESENT = 0.01
# Beside samples as they come (truncation 1): of less variety, but closer to real digits.
TRUNCATIONS = (0.7, 0.5)
Generator = StyleGenerator | DCGenerator
FIGURES = ("precision", "recall", "lenet_frechet_distance", "classes")


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gan", description="Make up digits.")
    parser.add_argument("--root", type=Path, help="folder of MNIST; scikit-learn's digits if not given")
    parser.add_argument("--domain", choices=["grid", "sphere"], default="grid", help="where images live")
    parser.add_argument("--model", choices=["style", "dc"], default="style", help="the generator")
    parser.add_argument("--steps", type=int, help="of training")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many there are")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="run folder (runs/gan-DOMAIN-MODEL if not given); resumes")
    chosen = parser.parse_args(argv)
    if chosen.seeds < 1:
        parser.error(f"--seeds must be at least 1, not {chosen.seeds}")
    chosen.steps = chosen.steps or STEPS[chosen.domain]
    if chosen.steps < 1:
        parser.error(f"--steps must be at least 1, not {chosen.steps}")
    chosen.out = chosen.out or Path("runs") / f"gan-{chosen.domain}-{chosen.model}"
    return chosen


@dataclass
class World:
    """The digits where they live, and what measures samples there."""

    level: Level | None
    train: Tensor  # [N, 1, *size], from -1 (paper) to 1 (ink)
    unseen: Tensor
    lenet: LeNet5
    accuracy: float
    features: Tensor  # of the training images that samples are compared with

    def features_of(self, samples: Tensor) -> Tensor:
        return lenet_features(self.lenet, seen_by_lenet(samples), self.level)

    def measure(self, samples: Tensor) -> dict[str, Any]:
        """Of at most ``SAMPLES`` samples and as many training images; "unseen": of samples and test images."""
        found = self.features_of(samples[:SAMPLES])
        real = self.features[: len(found)]
        precision, recall = precision_recall(real, found)
        unseen = self.features_of(self.unseen)
        few = min(len(unseen), len(found))
        beside_unseen = precision_recall(unseen[:few], found[:few])
        digits = self.lenet.output(found).argmax(1).bincount(minlength=10) / len(found)
        return {
            "precision": precision,
            "recall": recall,
            "precision_unseen": beside_unseen.precision,
            "recall_unseen": beside_unseen.recall,
            "lenet_frechet_distance": frechet_distance(real, found),
            "classes": int((digits >= PRESENT).sum()),
            "shares": [round(float(share), 4) for share in digits],
        }


def seen_by_lenet(x: Tensor) -> Tensor:
    """Images from -1 to 1 as the network that measures them was trained: normalised, images with a margin of 2."""
    x = ((x + 1) / 2 - 0.1307) / 0.3081
    return F.pad(x, (2, 2, 2, 2), value=-0.1307 / 0.3081) if x.dim() == 4 else x


def world(chosen: argparse.Namespace, console: Console) -> World:
    """The domain, the images on it, and the LeNet-5, trained or from the run folder."""
    level, project, points = mnist.domain("grid" if chosen.domain == "grid" else "sphere")
    level = None if level is None else level.to(chosen.device)
    on_domain: Callable[[Tensor], Tensor] = (lambda x: x) if level is None else project
    (x, y), (x_test, y_test) = (
        [tensor.to(chosen.device) for tensor in mnist.images(chosen.root, split)]
        for split in ("train", "test")
    )
    torch.manual_seed(0)
    lenet, path = LeNet5(points=points).to(chosen.device), chosen.out / "lenet5.safetensors"
    if path.exists():
        load_weights(lenet, path)
    else:
        epochs = mnist.EPOCHS["MNIST" if chosen.root else "digits"]
        mnist.train(lenet, level, project, x, y, epochs, lambda *_: None)
        save_weights(lenet, path)
    accuracy = mnist.accuracy(lenet, level, project, x_test, y_test)
    console.print(f"LeNet-5 recognises {100 * accuracy:.2f} % of {len(y_test)} test images")
    train, unseen = ((2 * (0.3081 * on_domain(images) + 0.1307) - 1).clamp(-1, 1) for images in (x, x_test))
    made = World(level, train, unseen, lenet, accuracy, torch.empty(0))
    chosen_ones = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:SAMPLES]
    made.features = made.features_of(train[chosen_ones.to(train.device)])
    return made


def noise(train: Tensor, count: int) -> Tensor:
    """Every point independent, with its own mean and deviation."""
    return train.mean(0) + train.std(0) * torch.randn(count, *train.shape[1:], device=train.device)


def gaussian(train: Tensor, count: int) -> Tensor:
    """The normal distribution with the mean and the covariance of the images: PCA, all components."""
    flat = train.flatten(1)
    mean = flat.mean(0)
    _, deviations, components = torch.linalg.svd((flat - mean) / (len(flat) - 1) ** 0.5, full_matrices=False)
    drawn = torch.randn(count, len(deviations), device=train.device) * deviations
    samples: Tensor = (mean + drawn @ components).clamp(-1, 1)
    return samples.view(count, *train.shape[1:])


def networks(model: str, level: Level | None) -> tuple[Generator, DCDiscriminator]:
    """A generator and a discriminator of three resolutions."""
    size: tuple[int, ...] | int = (7, 7) if level is None else level.after().after().num_nodes
    if model == "style":
        return StyleGenerator(LATENT, WIDTHS, 1, size), DCDiscriminator(1, WIDTHS[::-1], size)
    return DCGenerator(LATENT, WIDTHS, 1, size), DCDiscriminator(1, WIDTHS[::-1], size)


def train(
    chosen: argparse.Namespace, there: World, seed: int, folder: Path
) -> tuple[AdversarialModule, float]:
    """A trained pair, and the seconds that it took; goes on with what the folder holds."""
    L.seed_everything(seed, verbose=False)
    module = AdversarialModule(
        *networks(chosen.model, there.level), there.level, learning_rate=LEARNING_RATE, r1=R1, path_length=0
    )
    epochs = -(-chosen.steps // STEPS_AN_EPOCH)
    data = ImageData(there.train, BATCH, seed, STEPS_AN_EPOCH)
    trainer = make_trainer(folder, epochs, chosen.device, precision="32-true")
    trainer.fit(module, data, ckpt_path=resume_point(folder), weights_only=True)
    return module.to(chosen.device), training_seconds(trainer)


@torch.no_grad()
def images_of(generator: Generator, level: Level | None, z: Tensor, **options: Any) -> Tensor:
    """Images of z, always with the same noise."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.cat([generator(some, level, **options) for some in z.split(200)]).clamp(-1, 1)


def sampled(generator: Generator, level: Level | None, count: int, device: str, **options: Any) -> Tensor:
    """Images of standard normal z, always the same ones."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(count, generator.latent_channels, generator=random).to(device)
    return images_of(generator, level, z, **options)


def pictures(x: Tensor) -> Tensor:
    """Samples as images from 0 to 1 ``[N, 1, H, W]``: those on the sphere as they were projected, each pixel from the nearest
    vertex."""
    x = (x.clamp(-1, 1) + 1) / 2
    if x.dim() == 4:
        return x.cpu()
    where = mnist.projection(mnist.icosphere(3).pos)[0]  # [V, 2]
    line = (torch.arange(2 * mnist.SIDE) + 0.5) / mnist.SIDE - 1
    pixels = torch.stack(torch.meshgrid(line, line, indexing="xy"), 2).view(-1, 2)
    nearest = torch.cdist(pixels, where).argmin(1)
    seen: Tensor = x.cpu()[:, :, nearest].unflatten(2, (2 * mnist.SIDE, -1))
    return seen


def walk(generator: Generator, level: Level | None, device: str, path: Path) -> None:
    """A film of eight walks through latent space: round an ellipse, on which z stays standard normal, and back to the start."""
    random = torch.Generator().manual_seed(2)
    one, other = torch.randn(2, 8, generator.latent_channels, generator=random).to(device)
    frames = []
    for angle in torch.arange(FRAMES) * 2 * math.pi / FRAMES:
        seen = pictures(images_of(generator, level, one * angle.cos() + other * angle.sin()))
        sheet = seen.unflatten(0, (2, 4)).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)
        frames.append(F.interpolate(sheet[None], size=(6 * mnist.SIDE, 12 * mnist.SIDE))[0])
    film(frames, path)


@torch.no_grad()
def draw(generator: Generator, there: World, device: str, out: Path) -> None:
    """Samples beside real ones; a walk; truncation; two styles mixed; on the sphere also the sphere itself."""
    walk(generator, there.level, device, out / "walk.gif")
    samples = sampled(generator, there.level, 80, device)
    images(pictures(samples), out / "samples.png", columns=16)
    images(pictures(there.train[:80]), out / "real.png", columns=16)
    if there.level is not None:
        shown = (samples[0, 0].cpu().clamp(-1, 1) + 1) / 2
        surface(mnist.icosphere(3), out / "sphere.png", color=shown[:, None], up="z", front="+x")
    if not isinstance(generator, StyleGenerator):
        return
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
    rows = torch.cat([sampled(generator, there.level, 16, device, truncation=psi) for psi in strengths])
    images(pictures(rows), out / "truncation.png", columns=16, title=f"truncation {strengths}")
    drawn = torch.Generator().manual_seed(1)
    w = generator.mapping(torch.randn(16, generator.latent_channels, generator=drawn).to(device))
    coarse, fine = w[:8], w[8:]

    def mixed(styles: Tensor) -> Tensor:
        noise = torch.Generator(device).manual_seed(0)
        return generator.synthesis(styles, there.level, noise)

    # The first row and column are the images whose styles are mixed: the coarsest layer from the left, all others from above.
    grid = [torch.full_like(there.train[:1], -1), mixed(generator.styles(fine))]
    for row in coarse[:, None]:
        grid += [mixed(generator.styles(row)), mixed(generator.styles(row.expand(8, -1), fine, 1))]
    images(pictures(torch.cat(grid)), out / "mixing.png", columns=9)


def baselines(there: World) -> dict[str, dict[str, Any]]:
    """What the figures of samples are to be compared with."""
    torch.manual_seed(0)
    count = len(there.features)
    order = torch.randperm(len(there.train), device=there.train.device)
    one, other = there.train[order].tensor_split(2)
    halves = World(
        there.level, one, there.unseen, there.lenet, there.accuracy, there.features_of(one[:SAMPLES])
    )
    return {
        "white noise": there.measure(noise(there.train, count)),
        "Gaussian of the pixels (PCA)": there.measure(gaussian(there.train, count)),
        "half of the training images beside the other half": halves.measure(other),
        "test images, by other writers": there.measure(there.unseen),
    }


def table(rows: dict[str, dict[str, Any]]) -> Table:
    made = Table("samples", "precision", "recall", "Frechet distance (LeNet-5)", "classes")
    for name, row in rows.items():
        numbers = (f"{row[key]:.3f}" for key in ("precision", "recall"))
        made.add_row(name, *numbers, f"{row['lenet_frechet_distance']:.1f}", str(row["classes"]))
    return made


def main(argv: list[str] | None = None) -> None:
    chosen = arguments(argv)
    torch.set_num_threads(chosen.threads)
    console = Console()
    began = time.perf_counter()
    there = world(chosen, console)
    rows = baselines(there)
    console.print(table(rows))
    seeds = list(range(chosen.seed, chosen.seed + chosen.seeds))
    name = {"style": "StyleGAN", "dc": "DCGAN"}[chosen.model]
    found: list[dict[str, Any]] = []
    spent = []
    for number, seed in enumerate(seeds, start=1):
        folder = chosen.out / f"seed{seed}"
        module, seconds = train(chosen, there, seed, folder)
        spent.append(seconds)
        generator = module.average
        assert isinstance(generator, StyleGenerator | DCGenerator)
        samples = sampled(generator, there.level, len(there.features), chosen.device)
        found.append(there.measure(samples) | {"seconds": round(seconds, 1)})
        rows[f"{name}, seed {seed}"] = found[-1]
        if chosen.model == "style":
            found[-1]["truncated"] = {}
            for psi in TRUNCATIONS:
                closer = sampled(generator, there.level, len(samples), chosen.device, truncation=psi)
                rows[f"{name}, seed {seed}, truncation {psi}"] = there.measure(closer)
                found[-1]["truncated"][str(psi)] = rows[f"{name}, seed {seed}, truncation {psi}"]
        draw(generator, there, chosen.device, folder)
        save_weights(generator, folder / "generator.safetensors")
        console.print(table(rows))
        # After every seed, so that a run that is cut short keeps what it has.
        write_result(
            chosen.out,
            benchmark="gan",
            data="MNIST" if chosen.root else "digits",
            model=f"{name} on the {chosen.domain}",
            metrics={
                **{key: statistics.mean(one[key] for one in found) for key in FIGURES},
                "seeds": found,
                "baselines": {key: row for key, row in rows.items() if not key.startswith(name)},
                "steps": chosen.steps,
                "batch": BATCH,
                "images": len(there.train),
                "points": there.train[0, 0].numel(),
                "lenet_accuracy": there.accuracy,
                "training_seconds": round(sum(spent), 1),
            },
            seconds=time.perf_counter() - began,
            parameters=sum(p.numel() for p in module.generator.parameters()),
            seeds=seeds[:number],
            command=portable(command(), chosen),
        )
    console.print(f"pictures, weights and result.json are in {chosen.out}")


if __name__ == "__main__":
    main()
