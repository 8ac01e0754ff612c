"""The forms of a graph that layers and networks take as PyG's do: edge_index, weights, coordinates, masks of explainers."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import clear_masks, set_masks

import geodl.nn
from geodl import models
from geodl.geometry import Charts
from geodl.models import NodeClassifier
from geodl.nn import (
    ARMAConv,
    BernConv,
    CayleyConv,
    ChebConv,
    EdgeConv,
    EdgeMask,
    FeaStConv,
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GlobalMeanPool,
    GMMConv,
    GraphLayer,
    MaxPool,
    MeanPool,
    PersonalizedPageRank,
    SAGEConv,
    SplineConv,
)
from geodl.ops import Neighbors, farthest_points, knn, radius, voxel_pool
from geodl.ops import neighbors as structure
from geodl.ops.edge_index import neighbors_of
from geodl.ops.remembered import Remembers, remembered_beside

NODES, C, D = 30, 6, 5


def graph(loops: bool = False) -> Tensor:
    """Both directions of random pairs, without double edges, in any order; the last node is isolated."""
    pairs = torch.randint(NODES - 1, (2, 70))
    pairs = pairs[:, pairs[0] != pairs[1]]
    pairs = torch.cat([pairs, pairs.flip(0)], 1)
    if loops:
        pairs = torch.cat([pairs, torch.arange(0, NODES - 1, 4).expand(2, -1)], 1)
    pairs = pairs.unique(dim=1)
    return pairs[:, torch.randperm(pairs.shape[1])]


def symmetric(edge_index: Tensor, table: Tensor | None = None) -> Tensor:
    """Weights that are the same in both directions."""
    low, high = edge_index.min(0).values, edge_index.max(0).values
    table = torch.rand(NODES * NODES, dtype=torch.float64) + 0.1 if table is None else table
    return table[low * NODES + high]


class OnCoordinates(nn.Module):
    """A layer with coordinates, which depend on both ends of an edge."""

    def __init__(self, conv: GMMConv | SplineConv) -> None:
        super().__init__()
        self.conv = conv
        self.table = torch.rand(NODES, NODES, 2, dtype=torch.float64)

    def forward(self, x: Tensor, edge_index: Tensor | Neighbors, edge_weight: Tensor | None = None) -> Tensor:
        ends = edge_index.to_edge_index() if isinstance(edge_index, Neighbors) else edge_index
        return self.conv(x, edge_index, self.table[ends[0], ends[1]], edge_weight)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "GCN": lambda: GCNConv(C, D),
    "ARMA": lambda: ARMAConv(C, D, 2, 2),
    "Cheb": lambda: ChebConv(C, D, 3),
    "Cheb 1.7": lambda: ChebConv(C, D, 3, lambda_max=1.7),
    "Bern": lambda: BernConv(C, D, 3),
    "Cayley": lambda: CayleyConv(C, D, 2),
    "PageRank": lambda: PersonalizedPageRank(3),
    "GAT": lambda: GATConv(C, D, 2),
    "GAT bare": lambda: GATConv(C, D, 2, self_loops=False),
    "GATv2": lambda: GATv2Conv(C, D, 3),
    "GIN": lambda: GINConv(nn.Sequential(nn.Linear(C, 8), nn.ReLU(), nn.Linear(8, D)), 0.3),
    "SAGE": lambda: SAGEConv(C, D),
    "SAGE max": lambda: SAGEConv(C, D, "max"),
    "FeaSt": lambda: FeaStConv(C, D, 3),
    "GMM": lambda: OnCoordinates(GMMConv(C, D, 3)),
    "Spline": lambda: OnCoordinates(SplineConv(C, D, (4, 4))),
    "Spline sum": lambda: OnCoordinates(SplineConv(C, D, (4, 4), mean=False)),
}


def made(name: str) -> nn.Module:
    layer = LAYERS[name]().double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def signal() -> Tensor:
    return torch.randn(NODES, C, dtype=torch.float64)


@pytest.mark.parametrize("name", LAYERS)
def test_edge_index_stands_for_neighbors(name: str) -> None:
    layer, edge_index, x = made(name), graph(), signal()
    neighbors = Neighbors.from_edge_index(edge_index, NODES)
    weight = symmetric(edge_index)
    assert torch.equal(layer(x, edge_index), layer(x, neighbors))
    assert torch.equal(layer(x, edge_index, weight), layer(x, neighbors, weight[neighbors.order]))
    assert torch.equal(layer(x, EdgeIndex(edge_index)), layer(x, neighbors))


@pytest.mark.parametrize("name", LAYERS)
def test_an_edge_of_weight_w_counts_as_w_edges(name: str) -> None:
    layer, edge_index, x = made(name), graph(), signal()
    times = (symmetric(edge_index) * 3.5).long()  # none to three
    repeated = edge_index.repeat_interleave(times, 1)
    weight = times.double()
    torch.testing.assert_close(layer(x, edge_index, weight), layer(x, repeated))
    torch.testing.assert_close(layer(x, edge_index, torch.ones_like(weight)), layer(x, edge_index))


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "SAGE max"])
def test_weights_are_learned(name: str) -> None:
    layer, edge_index, x = made(name), graph(loops=True), signal()
    weight = symmetric(edge_index).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: layer(x, edge_index, w)[:3], weight)


WEIGHTED: dict[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
    "GCN": lambda: (GCNConv(C, D), pyg.GCNConv(C, D)),
    "Cheb": lambda: (ChebConv(C, D, 3), pyg.ChebConv(C, D, 3)),
    "ARMA": lambda: (ARMAConv(C, D), pyg.ARMAConv(C, D)),
    "APPNP": lambda: (PersonalizedPageRank(4), pyg.APPNP(4, 0.1)),
}


def copy_weights(name: str, ours: nn.Module, theirs: nn.Module) -> None:
    """PyG's layer gets the weights of ours."""
    with torch.no_grad():
        if name == "GCN":
            theirs.lin.weight.copy_(ours.weight.t())
        if name == "Cheb":
            for linear, filters in zip(theirs.lins, ours.filters, strict=True):
                linear.weight.copy_(filters.t())
        if name == "ARMA":
            theirs.init_weight.copy_(ours.initial)
            theirs.root_weight.copy_(ours.skip[None])
        if name == "GAT":
            theirs.lin.weight.copy_(ours.weight.t())
            theirs.att_src.copy_(ours.source[None])
            theirs.att_dst.copy_(ours.target[None])
        if name == "SAGE":
            theirs.lin_l.weight.copy_(ours.weight.t())
            theirs.lin_l.bias.copy_(ours.bias)
            theirs.lin_r.weight.copy_(ours.root.t())
        if name == "FeaSt":
            theirs.lin.weight.copy_(ours.filters.transpose(1, 2).flatten(0, 1))
            theirs.u.weight.copy_(ours.steer.t())
            theirs.c.copy_(ours.shift)
            theirs.bias.copy_(ours.bias)


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_are_those_of_pyg(name: str) -> None:
    ours, theirs = (layer.double().eval() for layer in WEIGHTED[name]())
    copy_weights(name, ours, theirs)
    edge_index, x = graph(loops=name != "ARMA"), signal()
    table = torch.rand(NODES * NODES, dtype=torch.float64) + 0.1
    results = []
    for layer in (ours, theirs):
        given = table.clone().requires_grad_()
        y = layer(x, edge_index, symmetric(edge_index, given))
        results.append((y, torch.autograd.grad(y.square().sum(), given)[0]))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)


def test_coordinates_are_in_the_order_of_edge_index() -> None:
    edge_index, x = graph(), signal()
    u = torch.rand(edge_index.shape[1], 2, dtype=torch.float64)
    ours, theirs = GMMConv(C, D, 4).double(), pyg.GMMConv(C, D, 2, 4, aggr="add", root_weight=False).double()
    with torch.no_grad():
        theirs.g.copy_(ours.filters.transpose(0, 1).flatten(1))
        theirs.mu.copy_(ours.mean)
        theirs.sigma.copy_(ours.scale)
    theirs.root = None
    torch.testing.assert_close(ours(x, edge_index, u), theirs(x, edge_index, u))
    spline = SplineConv(C, D, (4, 5), radius=2.0).double()
    neighbors = Neighbors.from_edge_index(edge_index, NODES)
    charts = Charts(neighbors, (2 * u - 1)[neighbors.order] * 2.0, "cartesian")
    torch.testing.assert_close(spline(x, edge_index, u), spline(x, charts))
    one = SplineConv(C, D, (5,)).double()
    torch.testing.assert_close(one(x, edge_index, u[:, 0]), one(x, edge_index, u[:, :1]))


def test_edge_conv_is_that_of_pyg_also_between_two_sets() -> None:
    ours = EdgeConv(C, D)
    linear = nn.Linear(2 * C, D, bias=False)
    theirs = pyg.EdgeConv(nn.Sequential(linear, ours.norm, nn.LeakyReLU(0.2))).eval()
    ours.norm.running_mean.normal_()
    ours.eval()
    with torch.no_grad():
        linear.weight.copy_(ours.weight.t())
    edge_index, x = graph(), torch.randn(NODES, C)
    torch.testing.assert_close(ours(x, edge_index), theirs(x, edge_index), atol=1e-5, rtol=1e-5)
    between = torch.stack([torch.randint(NODES, (40,)), torch.randint(7, (40,))])
    pair = x, torch.randn(7, C)
    torch.testing.assert_close(ours(pair, between), theirs(pair, between), atol=1e-5, rtol=1e-5)


# --- what is remembered ---


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by one for every CSR that is made of edges."""
    made_of: list[int] = []
    group = structure.group_edges

    def counted(*arguments: Any) -> Any:
        made_of.append(1)
        return group(*arguments)

    monkeypatch.setattr(structure, "group_edges", counted)
    return made_of


@pytest.mark.parametrize("weighted", [False, True])
def test_an_edge_index_is_read_once_and_again_after_a_change(built: list[int], weighted: bool) -> None:
    edge_index, x, net = graph(), signal(), models.GCN(C, D).double()
    weight = symmetric(edge_index) if weighted else None
    for _ in range(3):
        net(x, edge_index, weight).square().sum().backward()
    assert len(built) == 1
    before = net(x, edge_index, weight)
    edge_index[0, :9] = 3
    after = net(x, edge_index, weight)
    assert len(built) == 2 and not torch.equal(before, after)
    assert torch.equal(after, net(x, edge_index.clone(), None if weight is None else weight.clone()))
    if weight is not None:
        weight[:4] = 2.0
        assert torch.equal(net(x, edge_index, weight), net(x, edge_index.clone(), weight.clone()))
    edge_index.set_(graph())
    assert torch.equal(net(x, edge_index), net(x, edge_index.clone()))


def test_a_new_tensor_in_the_same_place_has_its_own_neighbours() -> None:
    net, x = GCNConv(C, D).double(), signal()
    memory = torch.empty(2, 80, dtype=torch.int64)
    for seed in range(20):
        torch.manual_seed(seed)
        memory.copy_(torch.randint(NODES, (2, 80)))
        weight = torch.rand(80, dtype=torch.float64)
        here, there = (
            memory.view(2, 80),
            memory.clone(),
        )  # another object, the same address as in the last round
        assert torch.equal(net(x, here, weight), net(x, there, weight.clone()))
        del here, there, weight


def test_weights_with_two_graphs_in_turn_are_those_of_each() -> None:
    net, x, one = GCNConv(C, D).double(), signal(), graph()
    two, weight = one.flip(1), symmetric(one)
    for _ in range(2):
        for edge_index in (one, two):
            assert torch.equal(net(x, edge_index, weight), net(x, edge_index.clone(), weight.clone()))


# --- compiled, exported, mixed precision ---


class Whole(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        y: Tensor = self.net(x, edge_index, edge_weight)
        return y


@pytest.mark.slow
@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN"])
def test_compiled_and_exported(name: str) -> None:
    net = Whole(getattr(models, name)(C, D).double().eval())
    edge_index, x = graph(), signal()
    weight = symmetric(edge_index)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, edge_index), net(x, edge_index))
    torch.testing.assert_close(compiled(x, edge_index, weight), net(x, edge_index, weight))
    edge_index[0, :9] = 3
    torch.testing.assert_close(compiled(x, edge_index), net(x, edge_index))
    exported = torch.export.export(net, (x, edge_index)).module()
    other = graph()[:, torch.randint(90, (edge_index.shape[1],))]
    torch.testing.assert_close(exported(x, other), net(x, other))


@pytest.mark.parametrize("name", LAYERS)
def test_autocast(name: str) -> None:
    layer, edge_index, x = made(name).float(), graph(), signal().float()
    if isinstance(layer, OnCoordinates):
        layer.table = layer.table.float()
    weight = symmetric(edge_index)  # float64: weights follow the layer
    wanted = layer(x, edge_index, weight)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x, edge_index, weight)
    assert (y.float() - wanted).abs().max() < 0.05 * wanted.abs().max()


# --- explained ---


@pytest.mark.parametrize("name", LAYERS)
def test_an_edge_of_mask_0_is_as_one_that_is_not_there(name: str) -> None:
    layer, edge_index, x = made(name), graph(), signal()
    mask = (torch.rand(edge_index.shape[1]) < 0.6).double()
    set_masks(layer, nn.Parameter(mask.float()), edge_index, apply_sigmoid=False)  # of a dtype of its own
    masked = layer(x, edge_index)
    clear_masks(layer)
    torch.testing.assert_close(masked, layer(x, edge_index[:, mask > 0]))
    assert torch.equal(layer(x, edge_index), layer(x, edge_index.clone()))


PARAMETERS: dict[str, Callable[[], tuple[nn.Module, nn.Module]]] = {
    **{name: WEIGHTED[name] for name in ("GCN", "Cheb", "ARMA", "APPNP")},
    "GAT": lambda: (GATConv(C, D, 2), pyg.GATConv(C, D, 2)),
    "GIN": lambda: ((ours := LAYERS["GIN"]()), pyg.GINConv(ours.mlp, 0.3)),
    "SAGE": lambda: (SAGEConv(C, D), pyg.SAGEConv(C, D)),
    "FeaSt": lambda: (FeaStConv(C, D, 3), pyg.FeaStConv(C, D, 3)),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_masks_weigh_messages_as_in_pyg(name: str) -> None:
    ours, theirs = (layer.double().eval() for layer in PARAMETERS[name]())
    copy_weights(name, ours, theirs)
    edge_index, x = graph(), signal()
    results = []
    for layer in (ours, theirs):
        mask = torch.linspace(-2, 2, edge_index.shape[1], dtype=torch.float64).requires_grad_()
        set_masks(layer, nn.Parameter(mask), edge_index, apply_sigmoid=True)
        y = layer(x, edge_index)
        mask = next(module._edge_mask for module in layer.modules() if isinstance(module, pyg.MessagePassing))
        results.append((y, *torch.autograd.grad(y.square().sum(), mask)))
        clear_masks(layer)
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)
    assert (results[0][1] != 0).float().mean() > 0.9


CLASSES = dict(mode="multiclass_classification", task_level="node", return_type="raw")


@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN", "ChebNet"])
def test_gnn_explainer_finds_the_edges_of_a_motif(name: str) -> None:
    torch.manual_seed(0)
    count = 120
    pairs = torch.randint(count, (2, 300))
    pairs = pairs[:, pairs[0] != pairs[1]]
    edge_index = torch.cat([pairs, pairs.flip(0)], 1).unique(dim=1)
    edge_index = edge_index[:, torch.randperm(edge_index.shape[1])]
    marked = torch.zeros(count).bool()
    marked[torch.randperm(count)[:12]] = True
    x = torch.stack([torch.ones(count), marked.float()], 1)
    beside = torch.zeros(count).index_add_(0, edge_index[1], marked[edge_index[0]].float())
    y = (beside > 0).long()  # whether a node reads a marked one
    net: NodeClassifier = getattr(models, name)(2, 2)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(net(x, edge_index), y).backward()
        optimizer.step()
    algorithm = GNNExplainer(epochs=60, lr=0.05, edge_size=0.05, edge_ent=0.1)
    explain = Explainer(net, algorithm, "model", CLASSES, edge_mask_type="object")
    shares = []
    for node in ((beside == 1) & ~marked).nonzero()[:6, 0].tolist():
        own = edge_index[1] == node
        mask, true = explain(x, edge_index, index=node).edge_mask[own], marked[edge_index[0][own]]
        shares.append((mask[true][:, None] > mask[~true]).float().mean())
    found = float(torch.stack(shares).mean())
    assert found > 0.6, f"the marked neighbour is above another in {found:.2f} of the pairs, chance is 0.5"


def test_explainer_of_nodes_and_edges_of_every_network() -> None:
    edge_index, x = graph(), signal().float()
    for name in ("APPNP", "ARMA", "BernNet", "CayleyNet", "FeaStNet", "GATv2", "MoNet"):
        net = getattr(models, name)(C, D)
        if name == "BernNet":
            nn.init.uniform_(net.conv.theta)  # it begins as the identity, which reads no neighbour
        explain = Explainer(
            net,
            GNNExplainer(epochs=2),
            "model",
            CLASSES,
            node_mask_type="attributes",
            edge_mask_type="object",
        )
        explanation = explain(x, edge_index, index=4)
        assert explanation.edge_mask.max() > 0 and explanation.node_mask.shape == x.shape
        assert all(module._edge_mask is None for module in net.modules() if isinstance(module, EdgeMask))


def test_layers_with_a_place_for_masks_are_copied_and_pickled() -> None:
    edge_index, x, layer = graph(), signal(), made("GCN")
    assert isinstance(layer, GraphLayer) and list(layer.state_dict()) == ["weight", "bias"]
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x, edge_index), layer(x, edge_index))
    with pytest.raises(ValueError, match="in another order"):
        set_masks(layer, torch.ones(3), edge_index)
        layer(x, Neighbors(torch.zeros(NODES + 1).long(), torch.zeros(0).long(), NODES))


# --- batches and errors ---


@pytest.mark.parametrize("order", ["ascending", "any"])
def test_pooling_by_batch_is_that_of_pyg(order: str) -> None:
    x, batch = torch.randn(20, 3), torch.randint(4, (20,))
    batch[0] = 4
    batch = batch.sort().values if order == "ascending" else batch
    torch.testing.assert_close(GlobalMeanPool()(x, batch=batch), pyg.global_mean_pool(x, batch))
    torch.testing.assert_close(MeanPool()(x, batch=batch), pyg.global_mean_pool(x, batch))
    torch.testing.assert_close(MaxPool()(x, batch=batch), pyg.global_max_pool(x, batch))
    with pytest.raises(ValueError, match="one a point"):
        MaxPool()(x[1:], batch=batch)
    with pytest.raises(ValueError, match="int64"):
        MaxPool()(x, batch=batch.int())


def test_operators_on_clouds_take_batch_for_ptr() -> None:
    x, batch = torch.randn(30, 3), torch.arange(5).repeat_interleave(6)
    ptr, queries, asked = torch.arange(6) * 6, torch.randn(8, 3), torch.arange(4).repeat_interleave(2)
    query_ptr = torch.tensor([0, 2, 4, 6, 8, 8])
    for search in (lambda **of: knn(x, 3, **of), lambda **of: radius(x, 0.8, **of)):
        assert torch.equal(search(batch=batch).col, search(ptr=ptr).col)
        found = search(queries=queries, batch=batch, query_batch=asked)
        assert torch.equal(found.col, search(queries=queries, ptr=ptr, query_ptr=query_ptr).col)
    assert torch.equal(farthest_points(x, 2, batch=batch)[0], farthest_points(x, 2, ptr)[0])
    assert torch.equal(voxel_pool(x, x, 0.5, batch=batch).x, voxel_pool(x, x, 0.5, ptr).x)
    with pytest.raises(ValueError, match="must ascend"):
        knn(x, 3, batch=batch.flip(0))
    with pytest.raises(ValueError, match="not both"):
        farthest_points(x, 2, ptr, batch=batch)
    with pytest.raises(ValueError, match="batch is of 29 points, but there are 30"):
        knn(x, 3, batch=batch[1:])
    with pytest.raises(ValueError, match="query_batch is of 7 points, but there are 8"):
        radius(x, 0.8, queries=queries, batch=batch, query_batch=asked[1:])
    for search in (lambda **of: knn(x[:0], 3, **of), lambda **of: radius(x[:0], 0.8, **of)):
        assert search(batch=batch[:0]).num_edges == 0
    assert farthest_points(x[:0], 2, batch=batch[:0])[0].shape == (0,)
    assert MaxPool()(x[:0], batch=batch[:0]).shape == (0, 3)


@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize("kind", ["GATConv", "GATv2Conv"])
def test_an_edge_of_weight_0_with_the_largest_score_leaves_the_others(kind: str, self_loops: bool) -> None:
    conv = getattr(geodl.nn, kind)(1, 1, self_loops=self_loops, bias=False)
    for parameter in conv.parameters():
        nn.init.ones_(parameter)
    x = torch.tensor([[1.0], [2.0], [200.0]])
    edge_index, weight = torch.tensor([[0, 1, 2], [0, 0, 0]]), torch.tensor([1.0, 1.0, 0.0])
    expected = conv(x, edge_index[:, :2]).detach()
    for _ in range(2):
        assert torch.allclose(conv(x, edge_index, weight), expected)
    assert 1 < float(expected[0]) < 2


def test_weights_of_an_edge_index_and_of_neighbors_each_have_their_order() -> None:
    edge_index = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    weight, x = torch.arange(1.0, 5, dtype=torch.float64), torch.randn(4, 2)
    conv = GCNConv(2, 2)
    neighbors = neighbors_of(edge_index, 4)
    conv(x, edge_index, weight)
    assert torch.equal(conv(x, neighbors, weight), conv(x, neighbors, weight.clone()))


class Interrupted(Remembers):
    """An answer, before the keeping of which somebody else asks, as another thread may."""

    def __init__(self, others: Callable[[], object]) -> None:
        self.others = others

    def tensors(self) -> list[Tensor]:
        return []

    def mark(self) -> tuple[()]:
        others, self.others = self.others, lambda: None
        others()
        return ()


def test_who_asks_in_between_leaves_no_answer_of_another_graph() -> None:
    weight = torch.ones(2)
    one, two = (Neighbors.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 2) for _ in range(2))
    answer = Interrupted(lambda: remembered_beside(weight, two, "key", lambda: "of two"))
    for _ in range(2):
        assert remembered_beside(weight, one, "key", lambda: answer) is answer
    assert remembered_beside(weight, two, "key", lambda: "of two") == "of two"


def test_errors_say_what_was_wrong() -> None:
    layer, edge_index, x = GCNConv(C, D), graph(), torch.randn(NODES, C)
    edges = edge_index.shape[1]
    with pytest.raises(ValueError, match="not negative"):
        layer(x, edge_index, -torch.ones(edges))
    with pytest.raises(ValueError, match="not negative"):
        layer(x, edge_index, torch.full((edges,), torch.nan))
    with pytest.raises(ValueError, match=rf"shape \[{edges}\]"):
        layer(x, edge_index, torch.ones(edges + 1))
    with pytest.raises(ValueError, match="floating point"):
        layer(x, edge_index, torch.ones(edges).long())
    with pytest.raises(IndexError, match="30 destinations"):
        layer(x, edge_index + 5)
    with pytest.raises(ValueError, match="transpose it"):
        layer(x, edge_index.t())
    with pytest.raises(ValueError, match="not tuple"):
        layer((x, x), edge_index)
    mixture = GMMConv(C, D, 3)
    with pytest.raises(ValueError, match="one of them"):
        mixture(x, edge_index)
    with pytest.raises(ValueError, match="one row an edge"):
        mixture(x, edge_index, torch.rand(3, 2))
    with pytest.raises(ValueError, match=r"network\(data\.x, data\.edge_index, data\.edge_weight\)"):
        models.GCN(C, D)(Data(x=x, edge_index=edge_index, edge_weight=torch.ones(edges)))
