"""Graph, its neighbourhoods, and neighbour sampling through PyG's loader."""

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import NodeSamplerInput

from geodl.data import Graph, NeighborSampler, collate, graph_neighbors
from geodl.data.neighbor_sampler import _subsets

EDGES = torch.tensor([[0, 1, 2, 2, 0], [1, 0, 0, 1, 2]])


def random_graph(nodes: int = 200, edges: int = 3000) -> Graph:
    edge_index = torch.randint(nodes, (2, edges)).unique(dim=1)
    edge_index = edge_index[:, torch.randperm(edge_index.shape[1])]
    return Graph(
        edge_index,
        torch.arange(nodes).float()[:, None],
        y=torch.arange(nodes),
        edge_attr=torch.arange(edge_index.shape[1]),
    )


def test_graph_is_pyg_data_and_packs() -> None:
    graph = Graph(EDGES, torch.randn(3, 4), y=torch.arange(3))
    assert isinstance(graph, Data) and graph.num_nodes == 3 and graph.neighbors.num_edges == 5
    for batch in (Batch.from_data_list([graph, graph]), collate([graph, graph])):
        assert batch.edge_index.tolist() == torch.cat([EDGES, EDGES + 3], 1).tolist()
        assert batch.num_nodes == 6 and graph_neighbors(batch).num_src == 6
    assert torch.equal(graph.clone().edge_index, EDGES)


def test_neighbors_are_made_once_and_again_after_a_change() -> None:
    graph = Graph(EDGES.clone(), torch.randn(3, 4))
    made = graph.neighbors
    assert graph.neighbors is made and graph_neighbors(Data(edge_index=graph.edge_index, num_nodes=3)) is made
    assert graph_neighbors(Data(edge_index=graph.edge_index, num_nodes=4)).num_src == 4
    graph.edge_index[0, 0] = 2
    assert graph.neighbors.to_edge_index().tolist() != made.to_edge_index().tolist()


def test_errors_say_what_was_wrong() -> None:
    with pytest.raises(ValueError, match=r"\[2, E\].*transpose"):
        Graph(EDGES.t().contiguous())
    with pytest.raises(ValueError, match="int64"):
        Graph(EDGES.int())
    with pytest.raises(IndexError, match=r"0\.\.2, but there are 2 nodes"):
        Graph(EDGES, torch.ones(2, 1))
    with pytest.raises(ValueError, match="edge_index and a number of nodes"):
        graph_neighbors(Data(x=torch.ones(2, 1)))
    with pytest.raises(ValueError, match="positive or -1"):
        NeighborSampler(Graph(EDGES, torch.ones(3, 1)), [0])
    with pytest.raises(ValueError, match="twice"):
        NeighborSampler(Graph(EDGES, torch.ones(3, 1)), [2]).sample_from_nodes(
            NodeSamplerInput(None, torch.tensor([1, 1]))
        )


def test_subsets_are_uniform() -> None:
    sizes = torch.full((20000,), 5)
    chosen = _subsets(sizes, 2, torch.Generator().manual_seed(0))
    assert bool((chosen[:, 0] < chosen[:, 1]).all()) and int(chosen.min()) == 0 and int(chosen.max()) == 4
    counts = torch.bincount(chosen[:, 0] * 5 + chosen[:, 1], minlength=25)
    counts = counts[counts > 0]
    assert len(counts) == 10 and float((counts / 2000 - 1).abs().max()) < 0.1


@pytest.mark.parametrize("hops", [[3], [4, 3], [5, 2, -1]])
def test_sampled_subgraphs_are_subgraphs_with_the_seeds_first(hops: list[int]) -> None:
    graph = random_graph()
    loader = NodeLoader(
        graph, NeighborSampler(graph, hops), input_nodes=torch.arange(0, 200, 3), batch_size=16
    )
    seen = []
    for batch in loader:
        seeds = batch.n_id[: batch.batch_size]
        seen.append(seeds)
        assert torch.equal(batch.y, batch.n_id) and torch.equal(batch.x[:, 0].long(), batch.n_id)
        assert batch.n_id.unique().numel() == batch.num_nodes == sum(batch.num_sampled_nodes)
        # Edges are edges of the graph, and none occurs twice.
        assert torch.equal(batch.n_id[batch.edge_index], graph.edge_index[:, batch.e_id])
        assert torch.equal(batch.edge_attr, batch.e_id) and batch.e_id.unique().numel() == batch.e_id.numel()
        # Every node of a hop has as many neighbours as it may.
        degree = graph.neighbors.degree()[batch.n_id]
        reached = torch.repeat_interleave(torch.arange(len(hops) + 1), torch.tensor(batch.num_sampled_nodes))
        wanted = torch.stack([degree if most < 0 else degree.clamp(max=most) for most in hops] + [0 * degree])
        found = torch.bincount(batch.edge_index[1], minlength=batch.num_nodes)
        assert torch.equal(found, wanted.gather(0, reached[None])[0])
    assert torch.equal(torch.cat(seen), torch.arange(0, 200, 3))


def test_all_neighbors_give_the_whole_graphs_numbers() -> None:
    from geodl.models import GraphSAGE

    graph = random_graph()
    net = GraphSAGE(1, 3).eval()
    [batch] = NodeLoader(graph, NeighborSampler(graph, [-1, -1]), input_nodes=torch.arange(7), batch_size=7)
    torch.testing.assert_close(net(batch)[:7], net(graph)[:7])


def test_draws_depend_on_the_seed_alone() -> None:
    graph, index = random_graph(), NodeSamplerInput(None, torch.arange(10))

    def drawn(seed: int) -> list[int]:
        sampler = NeighborSampler(graph, [4, 4], seed)
        sampler.sample_from_nodes(index)
        return sampler.sample_from_nodes(index).edge.tolist()

    assert drawn(0) == drawn(0) != drawn(1)


def test_works_in_worker_processes() -> None:
    graph = random_graph()
    loader = NodeLoader(graph, NeighborSampler(graph, [4]), batch_size=50, num_workers=1)
    assert sum(batch.batch_size for batch in loader) == 200
