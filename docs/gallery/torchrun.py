"""
Two processes, one network
==========================

Data-parallel training under torchrun. Each process reads its share of a batch, gradients are averaged between them, and the step is
the one that a single process takes with the whole batch. Here two processes do it on the CPU, over gloo; on GPUs it is ``nccl``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import distributed
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from geodl.models import DGCNN

# %%
# What every process does
# -----------------------
# The same weights, by the same seed, and four clouds with classes. A process of two takes every second cloud. Normalisation
# over the batch would see half of it; either the network is converted (``torch.nn.SyncBatchNorm.convert_sync_batchnorm``)
# or, as here, it uses the statistics that it has.


def step(rank: int, world: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    network = DGCNN(0, 3, k=8).eval()
    clouds, classes = torch.rand(4, 64, 3), torch.tensor([0, 1, 2, 1])
    mine, labels = clouds[rank::world], classes[rank::world]
    ptr = 64 * torch.arange(len(mine) + 1)
    model = DistributedDataParallel(network) if world > 1 else network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    cross_entropy(model(mine.flatten(0, 1), ptr), labels).backward()
    optimizer.step()
    return network.state_dict()


# %%
# Under torchrun
# --------------
# ``torchrun --nproc-per-node 2 torchrun.py`` starts this script twice and tells each process its rank. Lightning does the same by
# itself: ``make_trainer(folder, epochs, devices=2)``.


def process() -> None:
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    weights = step(rank, world)
    torch.save(weights, Path(os.environ["OUT"]) / f"{rank}.pt")
    distributed.barrier()
    os._exit(0)  # gloo's destructor can stand still while its threads end


if "RANK" in os.environ:
    process()

folder = tempfile.mkdtemp()
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
environment = os.environ | {"OUT": folder, "OMP_NUM_THREADS": "1"}
subprocess.run([*torchrun, sys.argv[0]], env=environment, check=True, timeout=300)

# %%
# Two processes are one
# ---------------------
# Both end with the same weights, bit for bit, and these are the weights of one process that saw all four clouds.

first, second = (torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in (0, 1))
assert all(torch.equal(first[name], second[name]) for name in first)
alone = step(0, 1)
apart = max(float((first[name] - alone[name]).abs().max()) for name in first)
print(f"two processes agree bit for bit; from one process the weights differ by at most {apart:.1e}")
assert apart < 1e-6
