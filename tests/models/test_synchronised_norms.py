"""SyncBatchNorm over two processes: scores, gradients and running statistics are those of one process with the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, distributed, nn

from geodl import models

NETWORKS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "PointNet": ((0, 3), {"dropout": 0.0}),
    "PointNet2": ((0, 3), {"dropout": 0.0}),
    "DGCNN": ((0, 3), {"k": 5, "dropout": 0.0}),
    "PointNeXt": ((0, 3), {"blocks": (1, 2), "dropout": 0.0}),
    "DeLA": ((0, 3), {"k": 5, "drop_path": 0.0, "dropout": 0.0}),
    "KPCNN": ((0, 3), {"cell": 0.2, "width": 8, "dropout": 0.0}),
    "PointNetParts": ((0, 3), {"categories": 2}),
    "PointNet2Parts": ((0, 3), {"categories": 2, "dropout": 0.0}),
    "DGCNNParts": ((0, 3), {"k": 5, "categories": 2, "dropout": 0.0}),
    "PointNeXtParts": ((0, 3), {"categories": 2, "dropout": 0.0}),
    "DeLAParts": ((0, 3), {"k": 5, "categories": 2, "drop_path": 0.0}),
    "KPFCNN": ((0, 3), {"cell": 0.2, "width": 8, "categories": 2}),
}
# Groups outlive their last sum, or gloo's destructor can stand still (see test_torch_tools.py).
GROUPS: list[Any] = []
SIZES = [30, 20, 25, 40]  # of the clouds; the first process has two of them, the second the others


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    arguments, options = NETWORKS[name]
    net: nn.Module = getattr(models, name)(*arguments, **options).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    if name.startswith("DeLA"):
        net.encoder.lift = 0.0  # type: ignore[union-attr, assignment]
    return net.train()


def clouds() -> list[Tensor]:
    torch.manual_seed(1)
    return [0.4 * torch.randn(size, 3, dtype=torch.float64) for size in SIZES]


def scores(net: nn.Module, name: str, chosen: list[int]) -> Tensor:
    parts = [clouds()[k] for k in chosen]
    ptr = torch.tensor([0, *map(len, parts)]).cumsum(0)
    known = [torch.tensor([k % 2 for k in chosen])] if name.endswith("Parts") or name == "KPFCNN" else []
    y: Tensor = net(torch.cat(parts), *known, ptr)
    return y


def learn(net: nn.Module, name: str, chosen: list[int]) -> Tensor:
    """The scores of some clouds, and gradients of a loss that is a sum over all."""
    y = scores(net, name, chosen)
    (y * y.detach().sin()).sum().backward()
    return y.detach()


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    GROUPS.append(distributed.group.WORLD)
    kernels = norms_on_the_cpu()
    found: dict[str, dict[str, Tensor]] = {}
    for name in NETWORKS:
        net = nn.SyncBatchNorm.convert_sync_batchnorm(network(name))
        y = learn(net, name, [2 * rank, 2 * rank + 1])
        gradients = {key: p.grad for key, p in net.named_parameters() if p.grad is not None}
        for (
            gradient
        ) in gradients.values():  # as DistributedDataParallel does, which wants GPUs for these norms
            distributed.all_reduce(gradient)
        found[name] = {"scores": y} | gradients | dict(net.named_buffers())
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
    del kernels


def norms_on_the_cpu() -> Any:
    """torch has the kernels of SyncBatchNorm for GPUs alone, and refuses the CPU; these are what they compute."""
    torch._C._get_privateuse1_backend_name = lambda: "cpu"
    library = torch.library.Library("aten", "IMPL")

    def stats(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        return x.mean(0), (x.var(0, unbiased=False) + eps).rsqrt()

    def gather(
        x: Tensor, mean: Tensor, invstd: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
        momentum: float, eps: float, counts: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        share, count = (counts / counts.sum())[:, None], counts.sum()
        whole = (share * mean).sum(0)
        var = (share * (invstd**-2 - eps + (mean - whole) ** 2)).sum(0)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(whole, momentum)
            running_var.lerp_(var * count / (count - 1), momentum)
        return whole, (var + eps).rsqrt()

    def elemt(x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, invstd: Tensor, eps: float) -> Tensor:
        return (x - mean) * invstd * weight + bias

    def reduce(
        g: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor, *needs: bool
    ) -> tuple[Tensor, ...]:
        by_x = (g * (x - mean)).sum(0)
        return g.sum(0), by_x, by_x * invstd, g.sum(0)

    def backward(
        g: Tensor,
        x: Tensor,
        mean: Tensor,
        invstd: Tensor,
        weight: Tensor,
        by: Tensor,
        by_x: Tensor,
        count: Tensor,
    ) -> Tensor:
        edges = count.sum()
        return (g - by / edges - (x - mean) * invstd**2 * by_x / edges) * invstd * weight

    library.impl("batch_norm_stats", stats, "CPU")
    library.impl("batch_norm_gather_stats_with_counts", gather, "CPU")
    library.impl("batch_norm_elemt", elemt, "CPU")
    library.impl("batch_norm_backward_reduce", reduce, "CPU")
    library.impl("batch_norm_backward_elemt", backward, "CPU")
    return library


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What either of two processes found."""
    folder: Path = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(process, (str(folder),), nprocs=2)
    return [cast(dict[str, dict[str, Tensor]], torch.load(folder / f"{rank}.pt")) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_two_processes_give_what_one_gives(name: str, spread: list[dict[str, dict[str, Tensor]]]) -> None:
    net = network(name)
    expected = {"scores": learn(net, name, [0, 1, 2, 3])}
    expected |= {key: p.grad for key, p in net.named_parameters() if p.grad is not None}
    expected |= dict(net.named_buffers())
    one, other = (found[name] for found in spread)
    assert one.keys() == other.keys() == expected.keys()
    torch.testing.assert_close(torch.cat([one.pop("scores"), other.pop("scores")]), expected.pop("scores"))
    largest = max(float(tensor.abs().max()) for tensor in expected.values())
    for key, tensor in expected.items():
        torch.testing.assert_close(one[key], other[key], msg=key)
        torch.testing.assert_close(one[key], tensor, rtol=1e-6, atol=1e-9 * largest, msg=key)
