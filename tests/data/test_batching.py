"""Packed batches: the same numbers as each shape alone."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch, Data

from geodl.data import DataLoader, Mesh, collate
from geodl.ops import Neighbors


def fan(corners: int) -> Mesh:
    """A polygon around a middle vertex; the neighbours of a vertex are its ring."""
    angle = torch.arange(corners) * (2 * torch.pi / corners)
    pos = torch.cat([torch.zeros(1, 3), torch.stack([angle.cos(), angle.sin(), torch.zeros(corners)], dim=1)])
    rim = torch.arange(corners)
    face = torch.stack([torch.zeros_like(rim), 1 + rim, 1 + (rim + 1) % corners])
    edges = torch.cat([face[[0, 1]], face[[1, 2]], face[[2, 0]]], dim=1)
    mesh = Mesh(pos, face, x=torch.randn(corners + 1, 4), y=torch.arange(corners + 1), name=f"fan{corners}")
    mesh.neighbors = Neighbors.from_edge_index(torch.cat([edges, edges.flip(0)], dim=1), corners + 1)
    mesh.subject = corners
    return mesh


def ring_sum(mesh: Mesh) -> torch.Tensor:
    """What a layer does: every vertex reads its neighbours."""
    out = torch.zeros_like(mesh.x)
    return out.index_add_(0, mesh.neighbors.row, mesh.x[mesh.neighbors.col])


def test_four_ragged_shapes_equal_each_alone() -> None:
    shapes = [fan(corners) for corners in (3, 8, 5, 13)]
    batch = collate(shapes)
    packed = ring_sum(batch)
    for k, shape in enumerate(shapes):
        rows = slice(int(batch.ptr[k]), int(batch.ptr[k + 1]))
        torch.testing.assert_close(packed[rows], ring_sum(shape), rtol=0, atol=0)
        assert torch.equal(batch.y[rows], shape.y)  # labels name vertices of the reference: not counted on
        faces = batch.face[:, batch.batch[batch.face[0]] == k]
        assert torch.equal(batch.pos[faces], shape.pos[shape.face])
    assert batch.ptr.tolist() == [0, 4, 13, 19, 33]
    assert batch.neighbors.num_dst == batch.neighbors.num_src == 33
    assert batch.subject.tolist() == [3, 8, 5, 13] and batch.name[1] == "fan8"


def test_isolated_vertex_and_empty_row() -> None:
    shapes = [fan(3), fan(4)]
    for shape in shapes:
        shape.neighbors = Neighbors(
            torch.zeros(shape.num_nodes + 1, dtype=torch.int64),
            torch.zeros(0, dtype=torch.int64),
            shape.num_nodes,
        )
    batch = collate(shapes)
    assert batch.neighbors.num_edges == 0 and batch.neighbors.num_dst == 9


@pytest.mark.parametrize("workers", [0, 2])
def test_loader(workers: int) -> None:
    shapes = [fan(corners) for corners in range(3, 9)]
    loader = DataLoader(shapes, batch_size=4, num_workers=workers)
    batches = list(loader)
    assert len(loader) == 2 and [batch.num_graphs for batch in batches] == [4, 2]
    for batch, part in zip(batches, (shapes[:4], shapes[4:]), strict=True):
        assert torch.equal(ring_sum(batch), torch.cat([ring_sum(shape) for shape in part]))


def test_lightning_may_rebuild_it() -> None:
    """It passes on what it finds on the loader, so a collate function comes back to us."""
    loader = DataLoader([fan(3), fan(4)], batch_size=2)
    again = DataLoader(loader.dataset, batch_size=2, collate_fn=loader.collate_fn, sampler=loader.sampler)
    assert next(iter(again)).num_graphs == 2


def test_shuffle_is_seeded() -> None:
    shapes = [fan(corners) for corners in range(3, 19)]

    def order() -> list[int]:
        return [
            n
            for b in DataLoader(shapes, 4, shuffle=True, generator=torch.Generator().manual_seed(1))
            for n in b.subject.tolist()
        ]

    assert order() == order() != sorted(order())
    assert sorted(order()) == list(range(3, 19))


@pytest.mark.parametrize(
    "move", [lambda d: d.to("meta"), lambda d: d.to("meta", "neighbors"), lambda d: d.to("cpu")]
)
def test_operators_move_with_the_batch(move: object) -> None:
    batch = move(collate([fan(3), fan(4)]))  # type: ignore[operator]
    assert batch.neighbors.col.device == batch.neighbors.rowptr.device
    assert batch.neighbors.col.device.type in ("meta", "cpu")


def test_to_moves_operators() -> None:
    assert collate([fan(3)]).to("meta").neighbors.col.is_meta
    assert fan(3).to("meta").neighbors.col.is_meta


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_and_back() -> None:
    batch = collate([fan(3), fan(4)]).cuda()
    assert batch.neighbors.col.is_cuda and batch.pos.is_cuda
    assert not batch.cpu().neighbors.col.is_cuda


def test_errors() -> None:
    with pytest.raises(ValueError, match="at least one shape"):
        collate([])
    bare = fan(4)
    del bare.neighbors
    with pytest.raises(ValueError, match="shape 1 and shape 0 differ in having neighbors"):
        collate([fan(3), bare])


def _graphs(**more: object) -> list[Data]:
    sizes, edges = (5, 1, 0, 7), (8, 0, 0, 3)
    return [
        Data(
            x=torch.randn(n, 3),
            edge_index=torch.randint(max(n, 1), (2, e)),
            edge_attr=torch.rand(e, 2),
            y=torch.tensor([k]),
            root_index=torch.arange(min(n, 1)),
            **{name: make(k, n) for name, make in more.items()},
        )
        for k, (n, e) in enumerate(zip(sizes, edges, strict=True))
    ]


class Pairs(Data):
    """Counts one attribute on in a way of its own."""

    def __inc__(self, key: str, value: object, *args: object) -> object:
        return 10 if key == "y" else super().__inc__(key, value, *args)


@pytest.mark.parametrize(
    "shapes",
    [
        _graphs(),
        _graphs(face=lambda k, n: torch.randint(max(n, 1), (3, k))),
        _graphs(scalar=lambda k, n: torch.tensor(float(k))),
        _graphs(name=lambda k, n: f"graph {k}"),
        _graphs(number=lambda k, n: k),
        _graphs(num_nodes=lambda k, n: n),
        _graphs(atom_batch=lambda k, n: torch.arange(n + 1)),
        [Pairs(**graph.to_dict()) for graph in _graphs()],
        [Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2)] * 2,
        [Mesh(torch.rand(4, 3), torch.tensor([[0], [1], [2]])) for _ in range(3)],
    ],
    ids=[
        "tensors",
        "face",
        "scalar",
        "string",
        "number",
        "num_nodes",
        "batch",
        "own",
        "edges alone",
        "mesh",
    ],
)
def test_a_batch_is_what_pyg_makes_of_it(shapes: list[Data]) -> None:
    ours, theirs = collate(shapes), Batch.from_data_list(shapes)
    assert type(ours) is type(theirs) and ours.num_graphs == theirs.num_graphs
    assert set(ours.keys()) == set(theirs.keys())

    def same(one: object, other: object) -> None:
        if isinstance(one, torch.Tensor):
            assert one.dtype == other.dtype and torch.equal(one, other)
        else:
            assert one == other

    for name in theirs.keys():  # noqa: SIM118 - PyG's data is no mapping
        same(ours[name], theirs[name])
    for alone, again in zip(ours.to_data_list(), theirs.to_data_list(), strict=True):
        assert type(alone) is type(again) is type(shapes[0]) and set(alone.keys()) == set(again.keys())
        for name in again.keys():  # noqa: SIM118
            same(alone[name], again[name])


def test_what_is_packed_is_a_copy() -> None:
    (graph,) = _graphs()[:1]
    before = graph.clone()
    batch = collate([graph])
    for name in ("x", "edge_index", "y"):
        batch[name].add_(1)
        assert torch.equal(graph[name], before[name])
    batch.ptr.zero_()
    assert torch.equal(batch[0].edge_attr, graph.edge_attr)
