"""Training on a graph of a million nodes and ten million edges: all at once, and by neighbour sampling.

    python -m benchmarks.large_graph [--nodes 1000000] [--edges 10000000] [--channels 64] [--epochs 5] [--threads 2] [--out DIR]

A procedural social network (``Communities``) whose nodes carry as many channels as the network is wide. Each way runs in a
process of its own, all of whose resident memory counts (VmHWM). Writes result.json: seconds and peak memory, and the accuracy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch_geometric.loader import NodeLoader

from benchmarks.operators.measure import peak_resident
from benchmarks.result import command, portable, write_result
from geodl.data import Graph, NeighborSampler
from geodl.datasets import Communities
from geodl.models import GCN, GraphSAGE, NodeClassifier

COMMUNITIES, BATCH, FANOUT = 10, 1024, (10, 10)


def social_network(chosen: argparse.Namespace) -> Graph:
    drawn = 1.03 * chosen.edges / chosen.nodes  # edges that are drawn twice are dropped
    return Communities(
        chosen.nodes, COMMUNITIES, drawn, num_features=chosen.channels, words=5.0,
        exponent=3.0, train_fraction=0.1, seed=chosen.seed,
    )[0]  # fmt: skip


def full_batch(graph: Graph, chosen: argparse.Namespace) -> dict[str, Any]:
    """GCN: every epoch is one step over the whole graph."""
    network = GCN(chosen.channels, COMMUNITIES, chosen.channels, dropout=0.5)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    times = []
    for _ in range(chosen.epochs):
        began = time.perf_counter()
        optimizer.zero_grad()
        scores = network(graph)[graph.train_mask]
        functional.cross_entropy(scores, graph.y[graph.train_mask]).backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return {
        "first_epoch_seconds": times[0],
        "epoch_seconds": statistics.median(times[1:] or times),
    } | _tested(network, graph, chosen)


def sampled(graph: Graph, chosen: argparse.Namespace) -> dict[str, Any]:
    """GraphSAGE on batches of 1024 training nodes, with ten neighbours of each and ten of each of those."""
    network = GraphSAGE(chosen.channels, COMMUNITIES, chosen.channels, dropout=0.5)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    sampler = NeighborSampler(graph, FANOUT, chosen.seed)
    loader = NodeLoader(graph, sampler, input_nodes=graph.train_mask, batch_size=BATCH, shuffle=True)
    began = time.perf_counter()
    for batch in loader:
        optimizer.zero_grad()
        scores = network(batch)[: batch.batch_size]
        functional.cross_entropy(scores, batch.y[: batch.batch_size]).backward()
        optimizer.step()
    seconds = time.perf_counter() - began
    return {"epoch_seconds": seconds, "batch_ms": 1000 * seconds / len(loader)} | _tested(
        network, graph, chosen
    )


WAYS = {"full batch": full_batch, "sampled": sampled}


def _tested(network: NodeClassifier, graph: Graph, chosen: argparse.Namespace) -> dict[str, Any]:
    """Memory first: testing is no part of training, though it takes no more."""
    peak = peak_resident() / 1e6
    network.eval()
    with torch.inference_mode():
        hits = (network(graph).argmax(1) == graph.y)[graph.test_mask]
    return {"peak_mb": peak, "test_accuracy": 100 * float(hits.float().mean()), "edges": graph.num_edges}


def in_a_process(way: str, chosen: argparse.Namespace) -> dict[str, Any]:
    options = [
        f"--{name}={getattr(chosen, name)}"
        for name in ("nodes", "edges", "channels", "epochs", "threads", "seed")
    ]
    line = [sys.executable, "-m", "benchmarks.large_graph", "--way", way, *options]
    done = subprocess.run(line, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way} failed: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: round(value, 3) for name, value in found.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_graph", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--edges", type=int, default=10_000_000, help="both ways counted")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5, help="of the whole graph; one is sampled")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="folder of the result (runs/large-graph if not given)")
    parser.add_argument("--way", choices=WAYS, help="train this way alone, in this process")
    chosen = parser.parse_args(argv)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    if chosen.way:
        print(json.dumps(WAYS[chosen.way](social_network(chosen), chosen)))
        return
    began = time.perf_counter()
    ways = {way: in_a_process(way, chosen) for way in WAYS}
    for way, found in ways.items():
        print(way, found, flush=True)
    path = write_result(
        chosen.out or Path("runs") / "large-graph",
        benchmark="large-graph",
        data=f"communities, {chosen.nodes:,} nodes",
        model=f"GCN (full batch) and GraphSAGE (sampled), {chosen.channels} channels",
        metrics={"ways": ways},
        seconds=time.perf_counter() - began,
        parameters={
            "nodes": chosen.nodes, "edges": chosen.edges, "channels": chosen.channels, "batch": BATCH, "fanout": FANOUT,
        },
        seeds=[chosen.seed],
        command=portable(command(), chosen),
    )  # fmt: skip
    print(path)


if __name__ == "__main__":
    main()
