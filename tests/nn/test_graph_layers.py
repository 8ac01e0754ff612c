"""Layers on graphs: PyG's layers with the same weights, the dense formulas, and what a graph layer must not depend on."""

import math
from collections.abc import Callable

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from geodl.geometry import Charts
from geodl.nn import (
    ARMAConv,
    BernConv,
    CayleyConv,
    ChebConv,
    FeaStConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GMMConv,
    PersonalizedPageRank,
    SAGEConv,
    SparseFeatures,
    degree_charts,
    normalized_adjacency,
    normalized_laplacian,
    scaled_laplacian,
)
from geodl.ops import Neighbors
from geodl.testing import assert_invariant


def graph(nodes: int = 40, edges: int = 90, directed: bool = False, loops: int = 0) -> Tensor:
    """A random graph without double edges; the last two nodes are isolated, or have loops."""
    pairs = torch.randint(nodes - 2, (2, edges))
    pairs = pairs[:, pairs[0] != pairs[1]]
    pairs = pairs if directed else torch.cat([pairs, pairs.flip(0)], 1)
    if loops:
        node = torch.arange(nodes - loops, nodes)
        pairs = torch.cat([pairs, node.expand(2, -1)], 1)
    pairs = torch.unique(pairs, dim=1)
    return pairs[:, torch.randperm(pairs.shape[1])]


def randomised(layer: nn.Module) -> nn.Module:
    """Biases too."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer.eval()


def set_(layer: nn.Module, **values: Tensor) -> None:
    with torch.no_grad():
        for name, value in values.items():
            target = layer.get_parameter(name.replace("__", "."))
            assert target.shape == value.shape, name
            target.copy_(value)


def gcn(c: int, d: int) -> tuple[nn.Module, nn.Module]:
    ours, theirs = randomised(GCNConv(c, d)), pyg.GCNConv(c, d)
    set_(theirs, lin__weight=ours.weight.t(), bias=ours.bias)
    return ours, theirs


def sage(reduce: str) -> Callable[[int, int], tuple[nn.Module, nn.Module]]:
    def make(c: int, d: int) -> tuple[nn.Module, nn.Module]:
        ours, theirs = randomised(SAGEConv(c, d, reduce)), pyg.SAGEConv(c, d, reduce)
        set_(theirs, lin_l__weight=ours.weight.t(), lin_l__bias=ours.bias, lin_r__weight=ours.root.t())
        return ours, theirs

    return make


def gin(c: int, d: int) -> tuple[nn.Module, nn.Module]:
    mlp = nn.Sequential(nn.Linear(c, d), nn.ReLU(), nn.Linear(d, d))
    return randomised(GINConv(mlp, 0.3)), pyg.GINConv(mlp, 0.3)


def gat(heads: int, concat: bool) -> Callable[[int, int], tuple[nn.Module, nn.Module]]:
    def make(c: int, d: int) -> tuple[nn.Module, nn.Module]:
        ours, theirs = randomised(GATConv(c, d, heads, concat)), pyg.GATConv(c, d, heads, concat)
        set_(
            theirs,
            lin__weight=ours.weight.t(),
            att_src=ours.source[None],
            att_dst=ours.target[None],
            bias=ours.bias,
        )
        return ours, theirs

    return make


def gatv2(c: int, d: int) -> tuple[nn.Module, nn.Module]:
    ours, theirs = randomised(GATv2Conv(c, d, 3)), pyg.GATv2Conv(c, d, 3)
    shift = ours.shift.chunk(2)
    set_(theirs, lin_l__weight=ours.weight.t(), lin_l__bias=shift[0], lin_r__weight=ours.target.t(),
         lin_r__bias=shift[1], att=ours.vector[None], bias=ours.bias)  # fmt: skip
    return ours, theirs


def cheb(order: int) -> Callable[[int, int], tuple[nn.Module, nn.Module]]:
    def make(c: int, d: int) -> tuple[nn.Module, nn.Module]:
        ours, theirs = randomised(ChebConv(c, d, order)), pyg.ChebConv(c, d, order)
        weights = {f"lins__{k}__weight": ours.filters[k].t() for k in range(order)}
        set_(theirs, bias=ours.bias, **weights)
        return ours, theirs

    return make


def arma(stacks: int, steps: int) -> Callable[[int, int], tuple[nn.Module, nn.Module]]:
    def make(c: int, d: int) -> tuple[nn.Module, nn.Module]:
        ours = randomised(ARMAConv(c, d, stacks, steps, torch.tanh))
        theirs = pyg.ARMAConv(c, d, stacks, steps, True, torch.tanh)
        if steps > 1:
            set_(theirs, weight=ours.recurrent[None])
        set_(theirs, init_weight=ours.initial, root_weight=ours.skip[None],
             bias=ours.bias.view(1, stacks, 1, d))  # fmt: skip
        return ours, theirs

    return make


def appnp(c: int, d: int) -> tuple[nn.Module, nn.Module]:
    return PersonalizedPageRank(7, 0.15), pyg.APPNP(7, 0.15)


def feast(c: int, d: int) -> tuple[nn.Module, nn.Module]:
    ours, theirs = randomised(FeaStConv(c, d, 3)), pyg.FeaStConv(c, d, 3)
    set_(theirs, lin__weight=ours.filters.transpose(1, 2).flatten(0, 1), u__weight=ours.steer.t(), c=ours.shift,
         bias=ours.bias)  # fmt: skip
    return ours, theirs


PAIRS = {
    "GCN": gcn,
    "SAGE mean": sage("mean"),
    "SAGE max": sage("max"),
    "GIN": gin,
    "GAT": gat(3, True),
    "GAT mean": gat(4, False),
    "GATv2": gatv2,
    "Cheb 1": cheb(1),
    "Cheb 4": cheb(4),
    "ARMA 3 1": arma(3, 1),
    "ARMA 2 3": arma(2, 3),
    "APPNP": appnp,
    "FeaSt": feast,
}


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("channels", [(9, 5), (4, 11)])
@pytest.mark.parametrize("name", PAIRS)
def test_equals_pyg_with_the_same_weights(name: str, channels: tuple[int, int], directed: bool) -> None:
    if directed and name.startswith("Cheb"):
        pytest.skip("a Laplacian is that of an undirected graph: PyG takes the degrees of the other end")
    ours, theirs = PAIRS[name](*channels)
    edge_index = graph(directed=directed, loops=0 if name.startswith(("GIN", "SAGE")) else 1)
    if name.startswith(("ARMA", "Cheb")):
        edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    neighbors = Neighbors.from_edge_index(edge_index, 40)
    x, g = torch.randn(40, channels[0]), None
    gradients = []
    for run in (lambda x: ours(x, neighbors), lambda x: theirs.eval()(x, edge_index)):
        leaf = x.clone().requires_grad_()
        y = run(leaf)
        g = torch.randn_like(y) if g is None else g
        gradients.append((y, torch.autograd.grad((y * g).sum(), leaf)[0]))
    for one, two in zip(*gradients, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


def test_mixture_equals_pyg_with_the_same_weights() -> None:
    ours, theirs = randomised(GMMConv(6, 5, 4, 3)), pyg.GMMConv(6, 5, 3, 4, aggr="add", root_weight=False)
    set_(theirs, g=ours.filters.transpose(0, 1).flatten(1), mu=ours.mean, sigma=ours.scale, bias=ours.bias)
    edge_index = graph()
    neighbors = Neighbors.from_edge_index(edge_index, 40)
    u, x = torch.rand(edge_index.shape[1], 3), torch.randn(40, 6)
    theirs.root = None
    charts = Charts(neighbors, u[neighbors.order], "cartesian")
    torch.testing.assert_close(ours(x, charts), theirs(x, edge_index, u), atol=1e-5, rtol=1e-5)


def dense(neighbors: Neighbors) -> Tensor:
    adjacency = torch.zeros(neighbors.num_dst, neighbors.num_src, dtype=torch.float64)
    adjacency[neighbors.row, neighbors.col] = 1
    return adjacency


def dense_laplacian(neighbors: Neighbors) -> Tensor:
    adjacency = dense(neighbors)
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    return torch.eye(neighbors.num_dst, dtype=torch.float64) - scale[:, None] * adjacency * scale


@pytest.mark.parametrize("lambda_max", [2.0, 1.7])
def test_matrices_are_the_dense_formulas(lambda_max: float) -> None:
    neighbors = Neighbors.from_edge_index(graph(), 40)
    eye = torch.eye(40, dtype=torch.float64)
    laplacian = dense_laplacian(neighbors)
    scaled = scaled_laplacian(neighbors, lambda_max, torch.float64)
    # An isolated node has the eigenvalue 0 or, as in PyG, 1; the row is that of the identity.
    torch.testing.assert_close(scaled @ eye, 2 * laplacian / lambda_max - eye)
    torch.testing.assert_close(normalized_laplacian(neighbors, torch.float64) @ eye, laplacian)
    looped = dense(neighbors) + eye
    scale = looped.sum(1).rsqrt()
    adjacency = normalized_adjacency(neighbors, dtype=torch.float64)
    torch.testing.assert_close(adjacency @ eye, scale[:, None] * looped * scale)
    assert adjacency.symmetric and scaled.symmetric


@pytest.mark.parametrize("loops", [0, 2])
@pytest.mark.parametrize("directed", [False, True])
def test_weighted_adjacency_is_the_dense_formula(directed: bool, loops: int) -> None:
    edge_index = graph(directed=directed, loops=loops)
    neighbors = Neighbors.from_edge_index(edge_index, 40)
    weight = torch.rand(neighbors.num_edges, dtype=torch.float64)
    weight = (weight + weight) if directed else (neighbors.row + neighbors.col).double()
    adjacency = dense(neighbors)
    adjacency[neighbors.row, neighbors.col] = weight
    adjacency.fill_diagonal_(1)
    scale = adjacency.sum(1).rsqrt()
    matrix = normalized_adjacency(neighbors, weight)
    eye = torch.eye(40, dtype=torch.float64)
    torch.testing.assert_close(matrix @ eye, scale[:, None] * adjacency * scale)
    assert matrix.symmetric != directed


def test_cayley_is_the_dense_formula() -> None:
    neighbors = Neighbors.from_edge_index(graph(), 40)
    layer = CayleyConv(6, 5, 2, iterations=200, zoom=0.8).double()
    randomised(layer)
    x = torch.randn(40, 6, dtype=torch.float64)
    scaled = layer.log_zoom.exp() * dense_laplacian(neighbors)
    eye = torch.eye(40, dtype=torch.complex128)
    transform = torch.linalg.solve(scaled + 1j * eye, scaled - 1j * eye)
    filters = layer.filters
    wanted = x @ filters[0] + layer.bias
    for j in (1, 2):
        complex_filter = torch.complex(filters[2 * j - 1], filters[2 * j])
        wanted = wanted + 2 * (torch.matrix_power(transform, j) @ (x.to(eye.dtype) @ complex_filter)).real
    torch.testing.assert_close(layer(x, neighbors), wanted, atol=1e-9, rtol=1e-9)


def test_bernstein_is_the_dense_formula_and_begins_as_a_linear_map() -> None:
    neighbors = Neighbors.from_edge_index(graph(), 40)
    layer, x = BernConv(6, 4, 5).double(), torch.randn(40, 6, dtype=torch.float64)
    with torch.no_grad():
        layer.bias.normal_()
    mapped = x @ layer.weight + layer.bias
    torch.testing.assert_close(layer(x, neighbors), mapped)
    with torch.no_grad():
        layer.theta.copy_(torch.randn(6))
    laplacian, eye = dense_laplacian(neighbors), torch.eye(40, dtype=torch.float64)
    wanted = sum(
        layer.theta[k].relu() * math.comb(5, k)
        * torch.matrix_power(eye - laplacian / 2, 5 - k) @ torch.matrix_power(laplacian / 2, k) @ mapped
        for k in range(6)
    )  # fmt: skip
    torch.testing.assert_close(layer(x, neighbors), wanted)


def mixture(c: int, d: int) -> nn.Module:
    conv = GMMConv(c, d, 3)

    class OnDegrees(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv

        def forward(self, x: Tensor, neighbors: Neighbors) -> Tensor:
            return self.conv(x, degree_charts(neighbors, torch.float64))

    return OnDegrees()


LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    **{name: lambda c, d, make=make: make(c, d)[0] for name, make in PAIRS.items()},
    "Cayley": lambda c, d: CayleyConv(c, d, 2),
    "Bern": lambda c, d: BernConv(c, d, 4),
    "Mixture": mixture,
}


@pytest.mark.parametrize("name", LAYERS)
def test_permuted_nodes_permute_the_result(name: str) -> None:
    layer = randomised(LAYERS[name](6, 5)).double()
    x = torch.randn(40, 6, dtype=torch.float64)
    assert_invariant(layer, (x, Neighbors.from_edge_index(graph(), 40)), under="order")


@pytest.mark.parametrize("name", LAYERS)
def test_graphs_side_by_side_get_the_numbers_of_each_alone(name: str) -> None:
    layer = randomised(LAYERS[name](6, 5)).double()
    sizes = (40, 7, 1, 23)
    parts = [
        Neighbors.from_edge_index(graph(size, 2 * size) if size > 3 else torch.empty(2, 0).long(), size)
        for size in sizes
    ]
    calls = [(torch.randn(part.num_src, 6, dtype=torch.float64), part) for part in parts]
    assert_invariant(layer, *calls, under="batch")


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("SAGE max", "APPNP")])
@pytest.mark.parametrize("channels", [(30, 4), (4, 6)])
def test_sparse_features_give_the_numbers_and_gradients_of_dense_ones(
    name: str, channels: tuple[int, int]
) -> None:
    layer = randomised(LAYERS[name](*channels)).double()
    neighbors = Neighbors.from_edge_index(graph(), 40)
    x = torch.randn(40, channels[0], dtype=torch.float64) * (torch.rand(40, channels[0]) < 0.2)
    results = []
    for signal in (x, SparseFeatures.from_dense(x)):
        y = layer(signal, neighbors)
        results.append(
            (y, *torch.autograd.grad(y.square().sum(), list(layer.parameters()), allow_unused=True))
        )
    for one, two in zip(*results, strict=True):
        if one is not None:
            torch.testing.assert_close(one, two)


def test_sparse_features_are_the_matrix() -> None:
    x = torch.randn(5, 7) * (torch.rand(5, 7) < 0.3)
    features = SparseFeatures.from_dense(x)
    assert torch.equal(features.to_dense(), x) and features.shape == (5, 7)
    with pytest.raises(ValueError, match="nonzeros but values"):
        SparseFeatures(features.places, features.values[1:])
    with pytest.raises(ValueError, match=r"\[N, C\]"):
        SparseFeatures.from_dense(torch.ones(3))


def test_dropout_of_attention_is_one_for_every_head_and_keeps_the_mean() -> None:
    neighbors = Neighbors.from_edge_index(graph(), 40)
    layer, x = GATConv(6, 5, 2, dropout=0.5), torch.randn(40, 6)
    wanted = layer.eval()(x, neighbors)
    mean = sum(layer.train()(x, neighbors) for _ in range(3000)) / 3000
    assert (mean - wanted).abs().max() < 0.2 * wanted.abs().max()


@pytest.mark.parametrize("sparse", [False, True])
def test_arma_drops_out_either_term(sparse: bool) -> None:
    neighbors, x = Neighbors.from_edge_index(graph(), 40), torch.randn(40, 6)
    given = SparseFeatures.from_dense(x) if sparse else x

    def layer(**dropout: float) -> ARMAConv:
        torch.manual_seed(0)
        return randomised(ARMAConv(6, 5, 3, activation=None, **dropout)).train()

    no_skip, no_recursion, both = layer(dropout=1.0), layer(recursion_dropout=1.0), layer()
    shift = both.bias.view(3, 5).mean(0)
    torch.testing.assert_close(no_recursion(given, neighbors), x @ both.skip.mean(0) + shift)
    recursion = normalized_adjacency(neighbors, self_loops=False) @ (x @ both.initial.mean(0))
    torch.testing.assert_close(no_skip(given, neighbors), recursion + shift)
    half = layer(dropout=0.5, recursion_dropout=0.5)
    mean = torch.stack([half(given, neighbors) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, both(given, neighbors), atol=0.15, rtol=0)
    torch.testing.assert_close(half.eval()(given, neighbors), both(given, neighbors))


def test_matrices_are_made_once() -> None:
    neighbors = Neighbors.from_edge_index(graph(), 40)
    assert normalized_adjacency(neighbors) is normalized_adjacency(neighbors)
    assert normalized_adjacency(neighbors) is not normalized_adjacency(neighbors, self_loops=False)
    weight = torch.rand(neighbors.num_edges)
    weighted = normalized_adjacency(neighbors, weight)
    assert normalized_adjacency(neighbors, weight) is weighted
    weight.mul_(2)
    assert normalized_adjacency(neighbors, weight) is not weighted
    learned = weight.clone().requires_grad_()
    assert normalized_adjacency(neighbors, learned) is not normalized_adjacency(neighbors, learned)


def test_errors_say_what_was_wrong() -> None:
    bipartite = Neighbors.from_edge_index(torch.tensor([[0], [1]]), 2, 3)
    with pytest.raises(ValueError, match="3 and 2"):
        GCNConv(3, 2)(torch.ones(3, 3), bipartite)
    with pytest.raises(ValueError, match="max"):
        SAGEConv(3, 2, "sum")
    with pytest.raises(ValueError, match="dimension 2"):
        neighbors = Neighbors.from_edge_index(graph(), 40)
        GMMConv(3, 2, 4, dim=3)(torch.ones(40, 3), degree_charts(neighbors))
    with pytest.raises(ValueError, match=r"shape \[39"):
        GCNConv(3, 2)(torch.ones(39, 3), neighbors)
