"""Functional maps on the remeshed FAUST: `python -m benchmarks.faust --data remeshed --method zoomout|fmaps-...`."""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmarks.matched_pairs import errors, judged
from benchmarks.result import command, portable, write_result
from geodl import viz
from geodl.data import InvariantSignal
from geodl.datasets import FAUST
from geodl.matching import (
    MatchedPair,
    SpectralShape,
    evaluate,
    match,
    match_both_ways,
    smooth_both_ways,
)
from geodl.models import FunctionalMapNet, save_weights
from geodl.training import (
    FunctionalMapData,
    FunctionalMapModule,
    make_trainer,
    resume_point,
    training_seconds,
)

# Passes over the training shapes, shapes a step.
EPOCHS = {"fmaps-supervised": 20, "fmaps-unsupervised": 14}
BATCH_SIZE = 2
# Of the shapes, and of the maps in the last third of training and in its first step.
EIGENFUNCTIONS, FIRST = 160, 50
# The curve over time: so many epochs apart, so many pairs and points of them.
CURVE_EVERY, CURVE_POINTS = 4, 200
# Pairs that pyfmaps is timed on beside ours.
PEER_PAIRS = 12


class TestCurve(Callback):
    """Mean geodesic error on a ring of the test shapes while training goes on, in ``curve.json``. Nothing is chosen by it."""

    def __init__(self, folder: Path, data: FunctionalMapData) -> None:
        self.path, self.data = folder / "curve.json", data
        self.points: list[dict[str, float]] = []
        self.spent = 0.0

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (trainer.current_epoch + 1) % CURVE_EVERY or not trainer.is_global_zero:
            return
        began = time.perf_counter()
        features = all_features(pl_module, self.data)
        shapes = self.data.ready["test"]
        random = torch.Generator().manual_seed(0)
        pairs = []
        for k, target in enumerate(shapes):
            source = (k + 1) % len(shapes)
            chosen = torch.randperm(target.corres.shape[0], generator=random)[:CURVE_POINTS]
            at = shapes[source].corres[chosen]
            found = FunctionalMapNet.point_map(features[k], features[source][at])
            pairs.append(MatchedPair(target, found, target.corres[chosen]))
        error = evaluate(pairs).mean_error
        self.spent += time.perf_counter() - began
        seconds = training_seconds(trainer) - self.spent
        self.points.append(
            {"epoch": trainer.current_epoch + 1, "seconds": round(seconds, 1), "mean_error_x100": error}
        )
        self.path.write_text(json.dumps(self.points, indent=2) + "\n")
        pl_module.train()

    def state_dict(self) -> dict[str, Any]:
        return {"points": self.points, "spent": self.spent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.points, self.spent = state_dict["points"], state_dict["spent"]


def all_features(module: L.LightningModule, data: FunctionalMapData) -> list[Tensor]:
    """Of every test shape, on the CPU."""
    module.eval()
    with torch.inference_mode():
        return [
            features.cpu().clone()
            for number, batch in enumerate(data.predict_dataloader())
            for features in module.predict_step(batch.to(module.device), number)
        ]


def train(
    chosen: argparse.Namespace, console: Console
) -> tuple[FunctionalMapModule, FunctionalMapData, dict[str, float]]:
    began = time.perf_counter()
    training: Any = FAUST(chosen.root, "remeshed", "train")
    test: Any = FAUST(chosen.root, "remeshed", "test")
    data = FunctionalMapData(training, test, EIGENFUNCTIONS, BATCH_SIZE, chosen.seed, chosen.cache)
    data.setup()
    supervision: Literal["points"] | None = "points" if chosen.method == "fmaps-supervised" else None
    network = FunctionalMapNet(InvariantSignal.channels, eigenfunctions=EIGENFUNCTIONS)
    module = FunctionalMapModule(network, supervision, first=min(FIRST, EIGENFUNCTIONS))
    seconds = {"preparation": time.perf_counter() - began}
    trainer = make_trainer(
        chosen.out,
        chosen.epochs or EPOCHS[chosen.method],
        chosen.device,
        chosen.devices,
    )
    curve = TestCurve(chosen.out, data)
    trainer.callbacks.append(curve)
    resumed = resume_point(chosen.out)
    console.print(f"Resuming from {resumed}." if resumed else f"Run folder: {chosen.out}")
    trainer.fit(module, data, ckpt_path=resumed, weights_only=True if resumed else None)
    seconds["training"] = training_seconds(trainer) - curve.spent
    return module, data, seconds


def run(chosen: argparse.Namespace) -> None:
    """One method on the remeshed bodies: trains if it learns, matches all pairs, and evaluates under every protocol."""
    console = Console()
    began = time.perf_counter()
    torch.set_num_threads(chosen.threads)
    L.seed_everything(chosen.seed, workers=True, verbose=False)
    if chosen.method == "zoomout":
        finish(chosen, console, began, *without_training(chosen, console))
        return
    module, data, seconds = train(chosen, console)
    if module.global_rank == 0:
        finish(chosen, console, began, *with_features(chosen, module, data, seconds))


def without_training(
    chosen: argparse.Namespace, console: Console
) -> tuple[dict[str, list[MatchedPair]], dict[str, Any], int]:
    """`geodl match` on the 300 pairs that are passed round, and pyfmaps beside it on some of them."""
    pairs = FAUST(chosen.root, "remeshed").pairs()
    shapes: dict[str, SpectralShape] = {}
    matched, spent, verdicts = [], {"preparation": 0.0, "matching": 0.0}, Counter[str]()
    peer: dict[str, list[float]] = {"ours": [], "pyfmaps": []}
    every = max(1, len(pairs) // PEER_PAIRS)
    for number, pair in enumerate(track(pairs, "matching", console=console)):
        for mesh in (pair.target, pair.source):
            if mesh.name not in shapes:
                began = time.perf_counter()
                shapes[mesh.name] = SpectralShape.of(mesh)
                spent["preparation"] += time.perf_counter() - began
        found = match(shapes[pair.target.name], shapes[pair.source.name])
        spent["matching"] += found.seconds[1]
        verdicts[found.trust.verdict] += 1
        matched.append(judged(pair, found.p2p_21))
        if number % every == 0 and importlib.util.find_spec("pyFM"):
            peer["ours"].append(found.seconds[1])
            peer["pyfmaps"].append(_pyfmaps(pair))
    more: dict[str, Any] = {
        "preparation_seconds_a_shape": spent["preparation"] / len(shapes),
        "seconds_a_pair": spent["matching"] / len(pairs),
        "verdicts": dict(verdicts),
    }
    if peer["pyfmaps"]:
        ours, theirs = (median(peer[name]) for name in ("ours", "pyfmaps"))
        more["pyfmaps"] = {
            "pairs": len(peer["ours"]),
            "ours_seconds": ours,
            "peer_seconds": theirs,
            "ratio": theirs / ours,
        }
    return {"ZoomOut": matched}, more, 0


def _pyfmaps(pair: Any) -> float:
    """Seconds that pyfmaps takes for descriptors, functional map, ZoomOut to 120 and point map; spectra are made before."""
    from pyFM.functional import FunctionalMapping
    from pyFM.mesh import TriMesh

    meshes = [
        TriMesh(mesh.pos.double().numpy(), mesh.face.T.numpy(), area_normalize=True).process(k=150)
        for mesh in (pair.target, pair.source)
    ]
    began = time.perf_counter()
    model = FunctionalMapping(*meshes)
    model.preprocess(n_descr=100, descr_type="WKS", k_process=150)
    model.fit(K=(30, 30), w_descr=1, w_lap=1e-2, w_dcomm=1e-1, w_orient=0)
    model.zoomout_refine(nit=18, step=5)
    model.get_p2p()
    return time.perf_counter() - began


def with_features(
    chosen: argparse.Namespace,
    module: FunctionalMapModule,
    data: FunctionalMapData,
    seconds: dict[str, float],
) -> tuple[dict[str, list[MatchedPair]], dict[str, Any], int]:
    """Nearest neighbours of the network's features, alone and as functional maps, on all ordered pairs of the test shapes."""
    features = all_features(module, data)
    shapes = data.ready["test"]
    pairs = FAUST(chosen.root, "remeshed", "test").pairs()
    found: dict[str, dict[tuple[int, int], Tensor]] = {"none": {}, "none, as a map": {}}
    spent = 0.0
    for one, two in combinations(range(len(shapes)), 2):
        began = time.perf_counter()
        both = match_both_ways(features[one], features[two])
        spectra = shapes[one].spectrum, shapes[two].spectrum
        smooth = smooth_both_ways(*both, *spectra, module.model.eigenfunctions)
        spent += time.perf_counter() - began
        for name, (p2p_21, p2p_12) in zip(found, (both, smooth), strict=True):
            found[name] |= {(two, one): p2p_21, (one, two): p2p_12}
    matched = {
        name: [judged(pair, maps[way]) for way, pair in zip(pairs.indices, pairs, strict=True)]
        for name, maps in found.items()
    }
    save_weights(module.model, chosen.out / "weights.safetensors")
    curve = (
        json.loads((chosen.out / "curve.json").read_text()) if (chosen.out / "curve.json").exists() else []
    )
    more = {
        **{f"{stage}_seconds": round(taken, 1) for stage, taken in seconds.items()},
        "seconds_a_pair": spent / len(pairs),
        "curve": curve,
    }
    count = sum(parameter.numel() for parameter in module.model.parameters())
    return matched, more, count


def finish(
    chosen: argparse.Namespace,
    console: Console,
    began: float,
    matched: dict[str, list[MatchedPair]],
    more: dict[str, Any],
    parameters: int,
) -> None:
    """Evaluates, draws and writes the result."""
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows, reports = errors(matched)
    first = next(iter(reports.values()))
    (chosen.out / "report.txt").write_text(
        "\n\n".join(f"Refinement: {n}\n{r}" for n, r in reports.items()) + "\n"
    )
    viz.curve({f"{chosen.method}, refinement: {n}": r for n, r in reports.items()}, chosen.out / "curve.png")
    write_result(
        chosen.out,
        benchmark="faust",
        data="FAUST remeshed",
        model=chosen.method,
        metrics={
            "pairs": len(first.names),
            "points": first.points,
            "mean_error_x100": first.mean_error,
            "errors": rows,
            "princeton": {"thresholds": first.thresholds.tolist(), "curve": first.curve.tolist()},
            **more,
        },
        seconds=time.perf_counter() - began,
        parameters=parameters,
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    for row in rows:
        console.print(row)
    console.print(f"wrote {chosen.out}")
