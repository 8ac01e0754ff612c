"""Many small graphs in batches, as molecules are: GIN of five layers beside PyTorch Geometric's.

    python -m benchmarks.small_graphs [--device cpu] [--threads 1] [--seed 0] [--out DIR]

180 graphs of 10 to 30 nodes (the size of MUTAG), in batches of 32: the network, a sum over the nodes of every graph, and a linear
layer. Both networks have the same parameters and are run in turn, an epoch at a time; medians count. Once over batches that were
made beforehand, whose neighbourhoods ours therefore sorts once; and once through the loader, which shuffles and packs the
graphs anew in every epoch: `geodl.data.DataLoader` beside `torch_geometric.loader.DataLoader`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader as PyGLoader
from torch_geometric.nn import GIN as PyGGIN
from torch_geometric.nn import global_add_pool

from benchmarks.operators.measure import Run, milliseconds
from benchmarks.result import command, portable, write_result
from geodl.data import DataLoader, Graph
from geodl.models import GIN

GRAPHS, NODES, FEATURES, CLASSES, BATCH = 180, (10, 30), 7, 2, 32
HIDDEN, LAYERS = 64, 5
EPOCHS = 60


def molecules(make: Callable[..., Data], seed: int) -> list[Data]:
    """Trees with a few edges more: every node has two or three neighbours."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(low: int, high: int, count: int) -> Tensor:
        return torch.randint(low, high, (count,), generator=generator)

    graphs = []
    for nodes in drawn(NODES[0], NODES[1] + 1, GRAPHS).tolist():
        child = torch.arange(1, nodes)
        parent = (child - 1 - drawn(0, 3, nodes - 1)).clamp(min=0)
        ring = torch.stack([drawn(0, nodes // 2, 2), drawn(nodes // 2, nodes, 2)])
        edges = torch.cat([torch.stack([parent, child]), ring], dim=1)
        x = functional.one_hot(drawn(0, FEATURES, nodes), FEATURES).float()
        graphs.append(make(edge_index=torch.cat([edges, edges.flip(0)], dim=1), x=x, y=drawn(0, CLASSES, 1)))
    return graphs


class Ours(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = GIN(FEATURES, HIDDEN, hidden=HIDDEN, layers=LAYERS)
        self.last = nn.Linear(HIDDEN, CLASSES)

    def forward(self, batch: Data) -> Tensor:
        out: Tensor = self.last(global_add_pool(self.nodes(batch), batch.batch, batch.num_graphs))
        return out


class Theirs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.nodes = PyGGIN(FEATURES, HIDDEN, LAYERS)
        self.last = nn.Linear(HIDDEN, CLASSES)

    def forward(self, batch: Data) -> Tensor:
        nodes = self.nodes(batch.x, batch.edge_index)
        out: Tensor = self.last(global_add_pool(nodes, batch.batch, batch.num_graphs))
        return out


def epochs(network: nn.Module, batches: Iterable[Data], loader: Iterable[Data]) -> dict[str, Run]:
    """What is timed, by its name in the table."""
    optimizer = torch.optim.Adam(network.parameters())

    def forward(source: Iterable[Data]) -> None:
        with torch.no_grad():
            for batch in source:
                network(batch)

    def gradients(source: Iterable[Data]) -> None:
        for batch in source:
            optimizer.zero_grad()
            functional.cross_entropy(network(batch), batch.y).backward()

    def training(source: Iterable[Data]) -> None:
        for batch in source:
            optimizer.zero_grad()
            functional.cross_entropy(network(batch), batch.y).backward()
            optimizer.step()

    return {
        "forward": lambda: forward(batches),
        "forward + backward": lambda: gradients(batches),
        "forward + backward + Adam": lambda: training(batches),
        "loader": lambda: [None for _ in loader],
        "loader + forward": lambda: forward(loader),
        "loader + forward + backward": lambda: gradients(loader),
        "loader + forward + backward + Adam": lambda: training(loader),
    }


def measure(device: torch.device, seed: int, count: int) -> list[dict[str, Any]]:
    """Rows of the table, an epoch each."""
    sides = []
    for network, make, loader in ((Ours(), Graph, DataLoader), (Theirs(), Data, PyGLoader)):
        packed: Iterable[Data] = loader(molecules(make, seed), BATCH, shuffle=True)
        packed = packed if device.type == "cpu" else _Moved(packed, device)
        sides.append(epochs(network.to(device), list(packed), packed))
    ours, theirs = sides
    rows = []
    for name in ours:
        for run in (ours[name], theirs[name]) * 3:
            run()
        times: list[list[float]] = [[], []]
        for _ in range(count):
            for run, taken in zip((ours[name], theirs[name]), times, strict=True):
                taken.append(milliseconds(run, device))
        mine, peer = map(statistics.median, times)
        rows.append(
            {
                "op": f"GIN-{LAYERS}x{HIDDEN}",
                "work": f"{GRAPHS} graphs, {name}",
                "peer": "torch_geometric GIN",
                "ours_ms": round(mine, 3),
                "peer_ms": round(peer, 3),
                "ratio": round(peer / mine, 2),
            }
        )
    return rows


class _Moved:
    """Batches of a loader, on a device."""

    def __init__(self, loader: Iterable[Data], device: torch.device) -> None:
        self.loader, self.device = loader, device

    def __iter__(self) -> Iterator[Data]:
        return (batch.to(self.device) for batch in self.loader)


def main(argv: Sequence[str] | None = None, count: int = EPOCHS) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder (default: benchmarks/results/small-graphs-<device>)")
    chosen = parser.parse_args(argv)
    if chosen.threads < 1:
        parser.error(f"--threads must be at least 1, not {chosen.threads}")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no CUDA device")
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    start = time.perf_counter()
    rows = measure(torch.device(chosen.device), chosen.seed, count)
    for row in rows:
        print(f"{row['work']:50} {row['ours_ms']:8.2f} {row['peer_ms']:8.2f} ms, ratio {row['ratio']:.2f}")
    path = write_result(
        chosen.out or Path(__file__).parent / "results" / f"small-graphs-{chosen.device}",
        benchmark="small-graphs",
        data=f"{GRAPHS} graphs of {NODES[0]} to {NODES[1]} nodes, batches of {BATCH}",
        model=f"GIN-{LAYERS}x{HIDDEN}",
        rows=rows,
        seconds=time.perf_counter() - start,
        parameters=sum(parameter.numel() for parameter in Ours().parameters()),
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )
    print(path)


if __name__ == "__main__":
    main()
