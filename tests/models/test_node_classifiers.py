"""Networks that classify nodes: they take PyG Data, read sparse features alone, and learn."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch_geometric.data import Batch, Data, HeteroData

from geodl import models
from geodl.data import graph_neighbors
from geodl.datasets import Communities
from geodl.models import GCN, NodeClassifier
from geodl.models.node_classifier import node_features
from geodl.nn import SparseFeatures

NAMES = [
    "APPNP", "ARMA", "BernNet", "CayleyNet", "ChebNet", "FeaStNet", "GAT", "GATv2", "GCN", "GIN", "GraphSAGE", "MoNet",
]  # fmt: skip


def communities(**options: object) -> Communities:
    return Communities(
        num_nodes=400, num_communities=3, mixing=0.1, num_features=60, words=5, topicality=0.5, **options
    )


def network(name: str, data: Communities) -> NodeClassifier:
    return getattr(models, name)(data.num_features, data.num_classes)


@pytest.mark.parametrize("name", NAMES)
def test_learns_the_communities(name: str) -> None:
    data = communities()
    graph, net = data[0], network(name, data)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02, weight_decay=5e-4)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(net(graph)[graph.train_mask], graph.y[graph.train_mask]).backward()
        optimizer.step()
    hits = (net.eval()(graph).argmax(1) == graph.y)[graph.test_mask].float().mean()
    assert hits > 0.6, f"{name} is right in {hits:.2f} of the test nodes, chance is 0.33"


@pytest.mark.parametrize("name", NAMES)
def test_sparse_and_dense_features_side_by_side_and_alone(name: str) -> None:
    data = communities()
    net = network(name, data).double().eval()
    graphs = [Data(x=g.x.double(), edge_index=g.edge_index) for g in (data[0], communities(seed=1)[0])]
    batch = Batch.from_data_list(graphs)
    assert isinstance(node_features(batch), SparseFeatures)
    together = net(batch)
    torch.testing.assert_close(together, torch.cat([net(graph) for graph in graphs]))
    torch.testing.assert_close(together, net(batch.x, graph_neighbors(batch)))


def test_features_are_looked_at_again_after_a_change() -> None:
    graph = communities()[0]
    features = node_features(graph)
    assert node_features(graph) is features
    graph.x.add_(1)
    assert node_features(graph) is graph.x
    graph.x = graph.x.requires_grad_()
    assert node_features(graph) is graph.x


def test_errors_say_what_was_wrong() -> None:
    data = communities()
    net = network("GCN", data)
    with pytest.raises(ValueError, match="neighbors must be given"):
        net(data[0].x)
    with pytest.raises(ValueError, match="signal x"):
        net(Data(edge_index=data[0].edge_index, num_nodes=400))
    assert isinstance(net, nn.Module)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_that_was_first_asked_in_inference_mode_can_be_trained(name: str) -> None:
    data = communities()
    graph, net = data[0], network(name, data)
    with torch.inference_mode():
        net(graph)
        made_there = Data(x=graph.x + 0, edge_index=graph.edge_index + 0)
        net(made_there)
    net(graph).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_what_is_no_graph_is_told_what_one_is() -> None:
    net, x, edge_index = GCN(6, 3), torch.randn(4, 6), torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=r"Neighbors or an edge_index \[2, E\], not list"):
        net(x, edge_index.tolist())
    with pytest.raises(ValueError, match="sparse_coo"):
        net(x, torch.eye(4).to_sparse())
    with pytest.raises(ValueError, match="nothing may be given beside it"):
        net(Data(x=x, edge_index=edge_index), edge_index)
    with pytest.raises(ValueError, match="not HeteroData"):
        net(HeteroData())
    with pytest.raises(ValueError, match=r"edge_weight, which network\(data\) does not read"):
        net(Data(x=x, edge_index=edge_index, edge_weight=torch.rand(2)))
    with pytest.raises(ValueError, match=r"x must have shape \[N, 6\], not \[4, 7\]"):
        net(Data(x=torch.randn(4, 7), edge_index=edge_index))
