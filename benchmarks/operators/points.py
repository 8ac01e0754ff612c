"""Neighbours and samples of point clouds, against k-d trees, torch_cluster, Open3D and what networks do in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch_geometric.utils import scatter

from benchmarks.operators.measure import Call, Comparison, Work, both, forward
from benchmarks.operators.peers import optional
from benchmarks.operators.sizes import Sizes
from geodl.ops import farthest_points, knn, radius, voxel_pool


def nearest(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    ptr, batch = _clouds(sizes, device)
    for dimensions in (3, sizes.features[0]):
        x = torch.rand(len(batch), dimensions, device=device)
        peers = {"DGCNN's knn (matrix product, topk)": Call(_dense_nearest(sizes), [x])}
        if (cluster := optional("torch_cluster")) is not None:
            peers["torch_cluster knn"] = Call(
                lambda x: cluster.knn(x, x, sizes.nearest, batch, batch)[1], [x], compiles=False
            )
        yield forward(
            "knn",
            f"{sizes.clouds[0]} x {sizes.points} points, {dimensions}-D, k = {sizes.nearest}",
            Call(lambda x: knn(x, sizes.nearest, ptr).col, [x]),
            peers,
            # Where distances fill the space, all pairs have to be looked at; in three dimensions a tree looks at few.
            Work(
                4.0 * x.numel() + 8.0 * len(x) * sizes.nearest,
                2.0 * len(x) * dimensions * (sizes.points if dimensions > 3 else 2 * sizes.nearest),
            ),
        )
    x = torch.rand(sizes.cloud, 3, device=device)
    yield forward(
        "knn",
        f"{sizes.cloud:,} points, 3-D, k = {sizes.nearest}",
        Call(lambda x: knn(x, sizes.nearest).col, [x]),
        _single_cloud_peers(x, sizes),
        Work(4.0 * x.numel() + 8.0 * len(x) * sizes.nearest, 2.0 * x.numel() * 2 * sizes.nearest),
    )


def within(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    x = torch.rand(sizes.cloud, 3, device=device)
    r = float((sizes.nearest * 3 / (4 * torch.pi * sizes.cloud)) ** (1 / 3))  # as many neighbours, on average
    peers = {}
    if device.type == "cpu":

        def tree(x: Tensor) -> Tensor:
            points = x.numpy()
            rows = cKDTree(points).query_ball_point(points, r, workers=torch.get_num_threads())
            return torch.from_numpy(np.concatenate(rows).astype(np.int64))

        peers["scipy cKDTree, build + query"] = Call(tree, [x], compiles=False)
    if (cluster := optional("torch_cluster")) is not None:
        peers["torch_cluster radius"] = Call(
            lambda x: cluster.radius(x, x, r, max_num_neighbors=8 * sizes.nearest)[1], [x], compiles=False
        )
    yield forward(
        "radius",
        f"{sizes.cloud:,} points, 3-D, about {sizes.nearest} in each ball",
        Call(lambda x: radius(x, r).col, [x]),
        peers,
        Work(4.0 * x.numel() + 8.0 * len(x) * sizes.nearest, 4.0 * x.numel() * sizes.nearest),
        unlike=peers,  # in no order
    )


def farthest(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    ptr, batch = _clouds(sizes, device)
    x = torch.rand(len(batch), 3, device=device)
    clouds, half = sizes.clouds[0], sizes.points // 2
    peers = {"PointNet++'s loop in PyTorch": Call(_loop(clouds, half), [x], compiles=False)}
    cluster = optional("torch_cluster")
    if cluster is not None:
        peers["torch_cluster fps"] = Call(
            lambda x: cluster.fps(x, batch, 0.5, random_start=False), [x], compiles=False
        )
    yield forward(
        "farthest_points",
        f"{clouds} x {sizes.points} to {half} points",
        Call(lambda x: farthest_points(x, half, ptr)[0], [x]),
        peers,
        Work(4.0 * x.numel(), 8.0 * len(x) * half),
    )

    x = torch.rand(sizes.cloud, 3, device=device)
    few = sizes.samples
    peers = {"PointNet++'s loop in PyTorch": Call(_loop(1, few), [x], compiles=False)}
    if cluster is not None:
        peers["torch_cluster fps"] = Call(
            lambda x: cluster.fps(x, ratio=few / sizes.cloud, random_start=False), [x]
        )
    unlike = []
    if (cloud := _open3d(x)) is not None:
        peers["Open3D"] = Call(lambda x: cloud.farthest_point_down_sample(few), [x], compiles=False)
        unlike.append("Open3D")  # computes in float64, and returns points
    # A full search looks at every point for every sample; ours may look at fewer, so the roofline counts one pass.
    work = Work(4.0 * x.numel(), 8.0 * len(x))
    size = f"{sizes.cloud:,} to {few:,} points"
    yield forward(
        "farthest_points", size, Call(lambda x: farthest_points(x, few)[0], [x]), peers, work, unlike
    )


def voxels(device: torch.device, sizes: Sizes) -> Iterator[Comparison]:
    pos, x = (torch.rand(sizes.cloud, 3, device=device) for _ in range(2))
    side = float((8 / sizes.cloud) ** (1 / 3))  # eight points a voxel

    def cells(x: Tensor, pos: Tensor) -> Tensor:
        cell = torch.floor(pos.detach().double() / side).long()
        found, voxel = torch.unique(cell, dim=0, return_inverse=True)
        pooled = (scatter(value, voxel, dim_size=len(found), reduce="mean") for value in (x, pos))
        return torch.cat(list(pooled), dim=1)

    def ours(x: Tensor, pos: Tensor) -> Tensor:
        pooled = voxel_pool(x, pos, side)
        return torch.cat([pooled.x, pooled.pos], dim=1)

    size = f"{sizes.cloud:,} points, 3 channels, 8 in a voxel"
    work = Work(48.0 * sizes.cloud, 0.0)
    peers = {"torch.unique + torch_geometric scatter": Call(cells, [x, pos])}
    one, two = both("voxel_pool", size, Call(ours, [x, pos]), peers, work, Work(2 * work.traffic, 0.0))
    yield one
    yield two
    if (cloud := _open3d(pos, x)) is not None:
        yield forward(
            "voxel_pool",
            size,
            Call(ours, [x, pos]),
            {"Open3D": Call(lambda *_: cloud.voxel_down_sample(side), [x, pos], compiles=False)},
            work,
            unlike=["Open3D"],  # in another order
        )


def _clouds(sizes: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Clouds side by side: where each begins, and the cloud of every point."""
    clouds, points = sizes.clouds[0], sizes.points
    ptr = torch.arange(clouds + 1, device=device) * points
    return ptr, torch.arange(clouds, device=device).repeat_interleave(points)


def _dense_nearest(sizes: Sizes) -> Any:
    """As DGCNN's authors wrote it: all distances by a matrix product, then the least."""
    points = sizes.points

    def nearest(x: Tensor) -> Tensor:
        cloud = x.view(-1, points, x.shape[1])
        square = cloud.square().sum(-1, keepdim=True)
        closeness = 2 * cloud @ cloud.transpose(1, 2) - square - square.transpose(1, 2)
        near = closeness.topk(sizes.nearest)[1]
        return (near + torch.arange(len(cloud), device=x.device).view(-1, 1, 1) * points).flatten()

    return nearest


def _single_cloud_peers(x: Tensor, sizes: Sizes) -> dict[str, Call]:
    peers = {}
    if x.device.type == "cpu":

        def tree(x: Tensor) -> Tensor:
            points = x.numpy()
            near = cKDTree(points).query(points, sizes.nearest, workers=torch.get_num_threads())[1]
            return torch.from_numpy(near).flatten()

        peers["scipy cKDTree, build + query"] = Call(tree, [x], compiles=False)
    if (cluster := optional("torch_cluster")) is not None:
        peers["torch_cluster knn"] = Call(lambda x: cluster.knn(x, x, sizes.nearest)[1], [x], compiles=False)
    return peers


def _loop(clouds: int, count: int) -> Any:
    """Farthest points as PointNet++ in PyTorch has them, starting at the first point of each cloud."""

    def farthest(x: Tensor) -> Tensor:
        cloud = x.view(clouds, -1, x.shape[1])
        batch = torch.arange(clouds, device=x.device)
        chosen = torch.zeros(clouds, count, dtype=torch.int64, device=x.device)
        distance = torch.full(cloud.shape[:2], float("inf"), device=x.device)
        last = chosen[:, 0]
        for i in range(count):
            chosen[:, i] = last
            distance = torch.minimum(distance, (cloud - cloud[batch, last][:, None]).square().sum(-1))
            last = distance.argmax(-1)
        return (chosen + batch[:, None] * cloud.shape[1]).flatten()

    return farthest


def _open3d(points: Tensor, colors: Tensor | None = None) -> Any:
    """The cloud as Open3D holds it; None where it is not installed, or the points are on a GPU."""
    if points.device.type != "cpu" or (open3d := optional("open3d")) is None:
        return None
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.double().numpy()))
    if colors is not None:
        cloud.colors = open3d.utility.Vector3dVector(colors.double().numpy())
    return cloud
