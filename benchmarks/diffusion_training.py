"""DiffusionNet and its published code learn the segments of RNA for the same time: `python -m benchmarks.diffusion_training`.

Both begin with the same weights, see the same molecules in the same order, one a step, as its authors train them (Adam, dropout,
heat kernel signatures or positions turned at random), and are tested after every epoch on molecules that training never saw. Time
is that of the processor in training alone, all threads together, so that others on the machine do not matter. Beside them stands a
linear map of the signal (ridge regression). The peer is the package ``diffusion_net`` where it can be imported, otherwise its
formulas.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.diffusion import published
from benchmarks.result import command, portable, write_result
from benchmarks.segmentation.baseline import Ridge
from benchmarks.segmentation.data import SETTINGS, augmentation, prepared, turned
from geodl.data import OperatorCache
from geodl.datasets import RNA
from geodl.models import DiffusionNet

OFFICIAL = 547  # molecules of the whole training set

Forward = Callable[[nn.Module, Any], Tensor]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diffusion_training", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of RNA, whole or a part")
    parser.add_argument("--signal", choices=["hks", "xyz"], default="hks")
    parser.add_argument("--seconds", type=float, default=600, help="of processor time, for either")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate; it falls to 0 as a cosine")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--k", type=int, default=SETTINGS["rna"].eigenvalues, help="eigenvalues")
    parser.add_argument("--cache", type=Path, help="where operators are kept (the user's cache if not given)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["cpu"], default="cpu")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/diffusion-training"), help="folder of result.json"
    )
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)

    prepare = prepared("diffusion", chosen.signal, chosen.k, OperatorCache(chosen.cache))
    sets = [RNA(chosen.root, "train", part=True), RNA(chosen.root, "test", part=True)]
    train, test = ([prepare(some[number]) for number in range(len(some))] for some in sets)
    test = [
        turned(shape, name, "diffusion", chosen.signal)
        for shape, name in zip(test, sets[1].names, strict=True)
    ]
    seen = [
        turned(shape.clone(), f"seen {number}", "diffusion", chosen.signal)
        for number, shape in enumerate(train)
    ]
    ridge, _ = Ridge(seen, RNA.num_classes).scores(test)
    net, peer_name = published(RNA.num_classes, chosen.width, 4, train[0].x.shape[1], dropout=True)
    ours = DiffusionNet.from_published(net.state_dict(), dropout=0.5)
    curves = {
        "DiffusionNet": learn(ours, our_scores, train, test, chosen),
        peer_name: learn(
            net,
            peer_scores,
            [published_operators(shape) for shape in train],
            [published_operators(shape) for shape in test],
            chosen,
        ),
    }
    path = write_result(
        chosen.out,
        benchmark="diffusion-training",
        data=f"RNA, {len(train)} + {len(test)}, {chosen.signal}",
        model="DiffusionNet",
        metrics={
            "linear_accuracy": ridge.accuracy,
            **{
                name: {
                    "accuracy": curve[-1]["accuracy"],
                    "epochs": len(curve),
                    "epoch_seconds": curve[-1]["seconds"] / len(curve),
                    f"epoch_seconds_of_{OFFICIAL}": curve[-1]["seconds"] / len(curve) / len(train) * OFFICIAL,
                    "curve": curve,
                }
                for name, curve in curves.items()
            },
        },
        seconds=sum(curve[-1]["seconds"] for curve in curves.values()),
        parameters=sum(weight.numel() for weight in ours.parameters()),
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    print(f"linear {ridge.accuracy:.4f}")
    for name, curve in curves.items():
        last = curve[-1]
        print(
            f"{name}: {last['accuracy']:.4f} after {len(curve)} epochs, {last['seconds']:.0f} s; {OFFICIAL} molecules would take "
            f"{last['seconds'] / len(curve) / len(train) * OFFICIAL:.0f} s an epoch"
        )
    print(path)


def learn(
    net: nn.Module, scores: Forward, train: Sequence[Any], test: Sequence[Any], chosen: argparse.Namespace
) -> list[dict[str, float]]:
    """Trains for the seconds that are given; after every epoch the seconds so far, loss, and accuracy in training and test."""
    torch.manual_seed(chosen.seed)
    order = torch.Generator().manual_seed(chosen.seed)
    change = augmentation("diffusion", chosen.signal)
    optimizer = torch.optim.Adam(net.parameters(), lr=chosen.rate)
    spent, curve = 0.0, []
    while spent < chosen.seconds:
        net.train()
        losses, right, known = 0.0, 0, 0
        for number in torch.randperm(len(train), generator=order).tolist():
            began = time.process_time()
            for group in optimizer.param_groups:
                group["lr"] = chosen.rate * (1 + math.cos(math.pi * min(1, spent / chosen.seconds))) / 2
            shape = train[number] if change is None else change(train[number])
            optimizer.zero_grad()
            found = scores(net, shape)
            loss = nn.functional.cross_entropy(found, shape.y, ignore_index=-1)
            loss.backward()
            optimizer.step()
            spent += time.process_time() - began
            losses += float(loss.detach()) / len(train)
            hits = (found.detach().argmax(1) == shape.y)[shape.y >= 0]
            right, known = right + int(hits.sum()), known + len(hits)
        net.eval()
        with torch.no_grad():
            hits = torch.cat([(scores(net, shape).argmax(1) == shape.y)[shape.y >= 0] for shape in test])
        curve.append(
            {
                "seconds": round(spent, 1),
                "loss": losses,
                "training_accuracy": right / known,
                "accuracy": float(hits.double().mean()),
            }
        )
        print({name: round(value, 4) for name, value in curve[-1].items()}, flush=True)
    return curve


def our_scores(net: nn.Module, shape: Any) -> Tensor:
    found: Tensor = net(shape.x, shape.spectrum, shape.gradient)
    return found


def peer_scores(net: nn.Module, shape: Any) -> Tensor:
    found: Tensor = net(shape.x, shape.spectrum.mass, **shape.operators)
    return found


def published_operators(shape: Any) -> Any:
    """The shape with the operators as the published code takes them."""
    size, gradient = shape.x.shape[0], shape.gradient
    index = gradient.neighbors.to_edge_index().flip(0)
    along = [
        torch.sparse_coo_tensor(index, gradient.values[:, k].float(), (size, size)).coalesce() for k in (0, 1)
    ]
    shape = shape.clone()
    shape.spectrum = shape.spectrum.to(torch.float32)
    shape.operators = {
        "evals": shape.spectrum.evals,
        "evecs": shape.spectrum.evecs,
        "gradX": along[0],
        "gradY": along[1],
    }
    return shape


if __name__ == "__main__":
    main()
