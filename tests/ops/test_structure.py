"""Structures: what is done to all operator types alike, for every one of them."""

from __future__ import annotations

import copy
import dataclasses
import io
import pickle
from typing import Any

import pytest
import torch
from torch.utils import _pytree

from geodl.geometry import Gradient, Spectrum
from geodl.nn import GraphMatrix, Level, SparseFeatures, normalized_adjacency
from geodl.ops import Neighbors, aggregate
from geodl.ops.core.structure import Structure
from geodl.ops.remembered import remembered

from .structures import MAKE, difference

every = pytest.mark.parametrize("name", MAKE)


def assert_same(a: Any, b: Any) -> None:
    assert not difference(a, b)


@every
def test_layout_names_all_fields_in_their_order(name: str) -> None:
    made = MAKE[name](10)
    assert list(made.layout) == [field.name for field in dataclasses.fields(made)]  # type: ignore[arg-type]


@every
def test_packed_and_taken_apart_is_what_went_in(name: str) -> None:
    parts = [MAKE[name](points) for points in (10, 7, 12)]
    packed = type(parts[0]).cat(parts)
    assert [difference(a, b) for a, b in zip(packed.split(), parts, strict=True)] == ["", "", ""]
    assert_same(packed[-1], parts[2])
    with pytest.raises(IndexError, match="no shape 3"):
        packed[3]
    # A batch of batches gives the batches back, and these the shapes.
    nested = type(parts[0]).cat([packed, parts[1]])
    assert_same(nested[0], packed)
    assert_same(nested[0][2], parts[2])
    assert_same(nested[1], parts[1])


@every
def test_taken_apart_after_whatever_was_done_to_the_batch(name: str) -> None:
    parts = [MAKE[name](points) for points in (10, 7)]
    packed = type(parts[0]).cat(parts)
    for same in (packed.clone(), pickle.loads(pickle.dumps(packed)), copy.deepcopy(packed), _around(packed)):
        assert_same(same[1], parts[1])
    half = packed.to(torch.bfloat16)
    assert_same(half[1], parts[1].to(torch.bfloat16))


def _around(structure: Structure) -> Any:
    leaves, spec = _pytree.tree_flatten(structure)
    return _pytree.tree_unflatten(leaves, spec)


@every
def test_to(name: str) -> None:
    made = MAKE[name](10)
    assert made.to("cpu") is made and made.cpu() is made
    double = made.to(dtype=torch.float64)
    assert_same(double, made.to(torch.float64))
    for before, after in zip(made.tensors(), double.tensors(), strict=True):
        assert after.dtype == (torch.float64 if before.is_floating_point() else before.dtype)
        torch.testing.assert_close(after.to(before.dtype), before, rtol=0, atol=0)
    away = made.to("meta")
    assert type(away) is type(made) and {t.device.type for t in away.tensors()} == {"meta"}
    assert away.device.type == "meta"


@every
def test_copies_share_nothing_and_are_the_same(name: str) -> None:
    made = MAKE[name](10)
    stream = io.BytesIO()
    torch.save(made, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=True)
    for same in (made.clone(), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), loaded):
        assert_same(same, made)
        assert not {t.data_ptr() for t in same.tensors()} & {t.data_ptr() for t in made.tensors()}
    assert_same(copy.copy(made), made)


@every
def test_file(name: str) -> None:
    made = MAKE[name](10)
    assert_same(type(made).from_tensors(made.to_tensors()), made)


@every
def test_shared_memory(name: str) -> None:
    made = MAKE[name](10)
    shared = made.clone().share_memory_()
    assert all(tensor.is_shared() for tensor in shared.tensors())
    assert_same(shared, made)


@every
def test_pytree(name: str) -> None:
    made, other = MAKE[name](10), MAKE[name](10)
    assert_same(_around(made), made)
    doubled = _pytree.tree_map(lambda leaf: 2 * leaf if isinstance(leaf, torch.Tensor) else leaf, made)
    for before, after in zip(made.tensors(), doubled.tensors(), strict=True):
        assert torch.equal(after, 2 * before)
    # What no result depends on makes no other graph.
    assert _pytree.tree_structure(made) == _pytree.tree_structure(other)
    keys = [_pytree.keystr(path) for path, _ in _pytree.tree_flatten_with_path(made)[0]]
    assert len(keys) == len(set(keys)) == len(_pytree.tree_leaves(made))
    spec = _pytree.treespec_loads(_pytree.treespec_dumps(_pytree.tree_structure(made)))
    assert spec == _pytree.tree_structure(made)


@every
def test_made_under_inference_mode(name: str) -> None:
    with torch.inference_mode():
        parts = [MAKE[name](10).clone(), MAKE[name](7)]
        packed = type(parts[0]).cat(parts)
        moved = packed.to(torch.float64)
    for made in (*parts, packed, moved, moved[1]):
        assert not any(tensor.is_inference() for tensor in made.tensors())


@every
def test_what_does_not_go_together_is_refused(name: str) -> None:
    made = MAKE[name](10)
    with pytest.raises(ValueError, match="at least one part"):
        type(made).cat([])
    with pytest.raises(ValueError, match=r"one (device|form)"):
        type(made).cat([made, made.to("meta")])
    if (double := made.to(torch.float64)) is not made:
        with pytest.raises(ValueError, match=r"needs parts of one"):
            type(made).cat([made, double])


def test_cat_counts_order_on() -> None:
    """Edge attributes of a batch are found by the order of its neighbours."""
    edge_index = [torch.randint(n, (2, 4 * n)) for n in (5, 9)]
    attributes = torch.arange(56.0)
    whole = torch.cat([edge_index[0], edge_index[1] + 5], dim=1)
    packed = Neighbors.cat([Neighbors.from_edge_index(e, n) for e, n in zip(edge_index, (5, 9), strict=True)])
    expected = Neighbors.from_edge_index(whole, 14)
    assert torch.equal(attributes[packed.order], attributes[expected.order])
    with pytest.raises(ValueError, match="needs parts of one order"):
        Neighbors.cat([expected, Neighbors(expected.rowptr, expected.col, 14)])


def test_sparse_features_of_a_batch_share_their_channels() -> None:
    dense = [torch.rand(n, 5) * (torch.rand(n, 5) > 0.5) for n in (3, 6)]
    packed = SparseFeatures.cat([SparseFeatures.from_dense(x) for x in dense])
    assert torch.equal(packed.to_dense(), torch.cat(dense))
    with pytest.raises(ValueError, match="one num_src, not 4 and 5"):
        SparseFeatures.cat([SparseFeatures.from_dense(torch.rand(3, channels)) for channels in (5, 4)])


def test_edges() -> None:
    neighbors = Neighbors.from_edge_index(torch.randint(20, (2, 60)), 25)
    own = neighbors.edges()
    values = torch.randn(60, 3)
    assert own.num_dst == 25 and own.num_src == own.num_edges == 60
    assert torch.allclose(aggregate(values, own), torch.zeros(25, 3).index_add(0, neighbors.row, values))
    transposed, perm = own.t()
    sorted_out, sorted_perm = Neighbors(own.rowptr, own.col, 60).t()
    assert_same(transposed, sorted_out)
    assert torch.equal(perm, sorted_perm)
    assert_same(transposed.t()[0], own)
    assert neighbors.edges() is own


def test_select() -> None:
    neighbors = Neighbors.from_edge_index(torch.randint(20, (2, 60)), 25)
    mask = torch.rand(60) > 0.4
    kept = neighbors.select(mask)
    kept.check()
    assert torch.equal(kept.to_edge_index(), neighbors.to_edge_index()[:, mask])
    assert kept.num_dst == 25 and kept.num_src == 25
    assert neighbors.select(torch.zeros(60, dtype=torch.bool)).num_edges == 0
    with pytest.raises(ValueError, match=r"mask must be bool of shape \[60\]"):
        neighbors.select(mask[1:])


def test_is_symmetric() -> None:
    edge_index = torch.randint(20, (2, 60))
    both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    both = both[:, torch.randperm(120)]
    assert Neighbors.from_edge_index(both, 20).is_symmetric()
    dense = torch.zeros(20, 20).index_put((edge_index[1], edge_index[0]), torch.ones(60), accumulate=True)
    assert Neighbors.from_edge_index(edge_index, 20).is_symmetric() == torch.equal(dense, dense.T)
    assert not Neighbors.from_edge_index(both, 20, 21).is_symmetric()
    # Two edges one way and one the other.
    assert not Neighbors.from_edge_index(torch.tensor([[0, 0, 1, 2], [1, 1, 0, 2]]), 3).is_symmetric()


# --- changes after construction


CHANGES = {
    "col in place": lambda n: n.col.copy_(n.col.flip(0)),
    "col by another": lambda n: setattr(n, "col", n.col.flip(0)),
    "col.data": lambda n: setattr(n.col, "data", n.col.flip(0)),
    "col under inference mode": lambda n: torch.inference_mode()(lambda: n.col.copy_(n.col.flip(0)))(),
    "rowptr in place": lambda n: n.rowptr.copy_(n.num_edges - n.rowptr.flip(0)),
    "rowptr by another": lambda n: setattr(n, "rowptr", n.num_edges - n.rowptr.flip(0)),
    "num_src": lambda n: setattr(n, "num_src", 40),
    "row in place": lambda n: n.row.zero_(),
    "transpose in place": lambda n: n.t()[0].col.zero_(),
    "perm in place": lambda n: n.t()[1].zero_(),
    "edges in place": lambda n: n.edges().t()[0].col.zero_(),
    "matrix in place": lambda n: normalized_adjacency(n).values.zero_(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_neighbors_give_the_new_answers(change: str) -> None:
    neighbors = Neighbors.from_edge_index(torch.randint(30, (2, 90)), 30)
    neighbors.order = None
    answers = [
        lambda n: n.row,
        lambda n: n.t()[0],
        lambda n: n.t()[1],
        lambda n: n.edges(),
        lambda n: n.edges().t()[0],
        lambda n: n.is_symmetric(),
    ]
    if change != "num_src":
        answers.append(normalized_adjacency)
    for answer in answers:
        answer(neighbors)
    CHANGES[change](neighbors)
    fresh = Neighbors(neighbors.rowptr.clone(), neighbors.col.clone(), neighbors.num_src)
    for answer in answers:
        assert_same(answer(neighbors), answer(fresh))


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda n: n.col.fill_(30), IndexError, r"col holds 30\.\.30, but there are 30 sources"),
        (lambda n: n.rowptr.zero_(), ValueError, "rowptr must ascend from 0 to the 90 edges"),
        (lambda n: setattr(n, "col", n.col[1:]), ValueError, "rowptr must ascend from 0 to the 89 edges"),
        (lambda n: setattr(n, "col", n.col.float()), ValueError, "col must be int64"),
        (lambda n: setattr(n, "num_src", 3), IndexError, "but there are 3 sources"),
        (lambda n: n.col.resize_(3), ValueError, "rowptr must ascend from 0 to the 3 edges"),
        (lambda n: n.rowptr.set_(), ValueError, r"rowptr must have shape \[N\+1\], not \[0\]"),
    ],
)
def test_neighbors_that_are_wrong_after_a_change_are_refused(change: Any, error: Any, told: str) -> None:
    made = Neighbors.from_edge_index(torch.stack([torch.arange(90) % 30, torch.arange(90) % 30]), 30)
    neighbors = Neighbors(made.rowptr, made.col, 30)
    change(neighbors)
    for use in (neighbors.t, neighbors.edges, lambda: neighbors.row, lambda: Neighbors.cat([neighbors])):
        with pytest.raises(error, match=told):
            use()


def test_what_was_packed_is_not_taken_apart_wrongly_after_a_change() -> None:
    parts = [MAKE["Neighbors"](points) for points in (10, 7)]
    packed = Neighbors.cat(parts)  # type: ignore[arg-type]
    packed.col.copy_(packed.col.flip(0))  # edges from one shape to the other
    with pytest.raises(IndexError, match="col holds"):
        packed[1].t()
    packed = Neighbors.cat(parts)  # type: ignore[arg-type]
    packed.col = packed.col[1:]
    with pytest.raises(ValueError, match="what was packed has"):
        packed.split()


def test_a_matrix_that_was_changed_is_not_taken_for_symmetric() -> None:
    edge_index = torch.randint(20, (2, 60))
    both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    known = normalized_adjacency(Neighbors.from_edge_index(both, 20))
    assert known.symmetric
    matrix = GraphMatrix(known.neighbors, known.values.clone(), True)
    matrix.values.copy_(torch.rand_like(matrix.values))
    x = torch.randn(20, 3, requires_grad=True)
    upstream = torch.randn(20, 3)
    (grad,) = torch.autograd.grad(matrix @ x, x, upstream)
    dense = torch.zeros(20, 20).index_put(
        (matrix.neighbors.row, matrix.neighbors.col), matrix.values, accumulate=True
    )
    torch.testing.assert_close(grad, dense.T @ upstream)


def test_windows_of_a_level_that_was_changed() -> None:
    level = MAKE["Level"](10)
    assert isinstance(level, Level)
    before = level.windows((3, 3))
    assert level.windows((3, 3)) is before
    level.charts.coords.mul_(0.5)
    assert_same(level.windows((3, 3)), dataclasses.replace(level).windows((3, 3)))
    assert difference(level.windows((3, 3)), before)


@pytest.mark.parametrize("mode", ["inference", "autocast", "func"])
def test_what_was_made_in_another_mode_serves_the_next(mode: str) -> None:
    def ask(neighbors: Neighbors, x: torch.Tensor) -> list[Any]:
        sums = aggregate(x, neighbors), aggregate(x, neighbors.edges().t()[0].t()[0].t()[0])
        return [sums, neighbors.row, neighbors.t(), neighbors.edges(), normalized_adjacency(neighbors)]

    edge_index, x = torch.randint(20, (2, 60)), torch.randn(20, 3)
    neighbors, fresh = (Neighbors.from_edge_index(edge_index, 20) for _ in range(2))
    if mode == "inference":
        with torch.inference_mode():
            ask(neighbors, x)
    elif mode == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            ask(neighbors, x)
    else:
        torch.func.grad(lambda x: ask(neighbors, x)[0][0].sum())(x)
    results = []
    for asked in (neighbors, fresh):
        read = x.clone().requires_grad_()
        ((made, _), *others) = ask(asked, read)
        (made + normalized_adjacency(asked) @ made).square().sum().backward()
        results.append([read.grad, *others])
    for one, other in zip(*results, strict=True):
        assert all(not difference(a, b) for a, b in zip(_tuple(one), _tuple(other), strict=True))


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def test_remembered_of_a_tensor() -> None:
    made = []

    def make() -> int:
        made.append(1)
        return len(made)

    tensor = torch.zeros(3)
    assert [remembered(tensor, "count", make) for _ in range(2)] == [1, 1]
    assert remembered(tensor, "other", make) == 2
    tensor[0] = 1
    assert remembered(tensor, "count", make) == 3
    with torch.inference_mode():
        uncounted = torch.zeros(3)
    assert [remembered(uncounted, "count", make) for _ in range(2)] == [4, 5]


def test_structures_are_traced() -> None:
    """Made, asked and taken as inputs by a compiled function; two graphs serve all sizes."""

    def call(x: torch.Tensor, edge_index: torch.Tensor, given: Neighbors) -> torch.Tensor:
        made = Neighbors.from_edge_index(edge_index, x.shape[0])
        per_edge = x[made.row] - x[made.col]
        return aggregate(per_edge, made.edges()) + aggregate(aggregate(x, given), given.t()[0])

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for points in (20, 30, 40, 50):
        edge_index = torch.randint(points, (2, 4 * points))
        x = torch.randn(points, 3, requires_grad=True)
        given = Neighbors.from_edge_index(edge_index.flip(0), points)
        if points == 40:
            given.t()
        expected = call(x, edge_index, Neighbors.from_edge_index(edge_index.flip(0), points))
        out = compiled(x, edge_index, given)
        torch.testing.assert_close(out, expected)
        grads = [torch.autograd.grad(y.square().sum(), x)[0] for y in (out, expected)]
        torch.testing.assert_close(*grads)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2


class _Smooth(torch.nn.Module):
    """Diffusion in a basis and the size of the gradient: what reads a spectrum, a gradient and its neighbours."""

    def forward(self, x: torch.Tensor, spectrum: Spectrum, gradient: Gradient) -> torch.Tensor:
        heat = torch.exp(-spectrum.evals)[:, None] * (spectrum.evecs.T @ (x * spectrum.mass[:, None]))
        y = spectrum.evecs @ heat
        return gradient(y).square().sum(-1) + aggregate(y, gradient.neighbors.t()[0])


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
def test_structures_are_inputs_of_exported_networks(strict: bool) -> None:
    def inputs(points: int) -> tuple[Any, ...]:
        return torch.randn(points, 3), MAKE["Spectrum"](points), MAKE["Gradient"](points)

    any_size = torch.export.Dim.AUTO
    rows = {0: any_size}
    sizes = (rows, [{}, rows, rows, None], [[rows, rows, any_size, rows], rows])
    program = torch.export.export(_Smooth(), inputs(12), dynamic_shapes=sizes, strict=strict)
    stream = io.BytesIO()
    torch.export.save(program, stream)
    stream.seek(0)
    for network in (program.module(), torch.export.load(stream).module()):
        for points in (12, 25):
            given = inputs(points)
            torch.testing.assert_close(network(*given), _Smooth()(*given))
