"""Planetoid: the citation networks Cora, CiteSeer and PubMed with the public split."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from torch_geometric.io import read_planetoid_data

from geodl.data import Graph

__all__ = ["Planetoid"]

_NAMES = {"cora": ("Cora", 7), "citeseer": ("CiteSeer", 6), "pubmed": ("PubMed", 3)}
_PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph")

_INSTRUCTIONS = """The citation networks lie in a repository:
  1. git clone https://github.com/kimiyoung/planetoid
  2. Copy the files ind.cora.* of its folder data to Cora/raw (ind.citeseer.* to CiteSeer/raw, ind.pubmed.* to PubMed/raw).
  3. Pass the folder that holds them: Planetoid(root=..., name="cora").
datasets/planetoid/README.md says more. Communities needs no download."""

# What the files are made of: arrays, sparse matrices and a dictionary. A pickle can name anything that runs.
_HARMLESS = {
    ("__builtin__", "list"),
    ("collections", "defaultdict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("scipy.sparse.csr", "csr_matrix"),
}


class Planetoid:
    """A citation network: papers, the words they use, and who cites whom (both ways are listed).

    A sequence of one :class:`~geodl.data.Graph` with ``x [N, C]`` (float32, rows sum to 1 or are 0), ``edge_index``, ``y [N]``
    int64 and the masks of the public split: ``train_mask`` (20 nodes a class), ``val_mask`` (500), ``test_mask`` (1000). It is
    read by PyG's reader, and nothing is written. The files are pickles; before that they are searched for names of anything
    but arrays, sparse matrices and lists, and refused if there is one.

    Args:
        root: folder with ``Cora/raw/ind.cora.x`` and so on, the root of PyG's ``Planetoid``.
        name: "cora", "citeseer" or "pubmed".
        normalize: divide the rows of x by their sums, as the papers do; else words are 0 or 1 (in PubMed tf-idf).

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: no such set, or a file that holds something else.

    Yang, Cohen and Salakhutdinov, "Revisiting semi-supervised learning with graph embeddings", ICML 2016.
    """

    def __init__(
        self, root: str | Path, name: Literal["cora", "citeseer", "pubmed"] = "cora", normalize: bool = True
    ) -> None:
        if name.lower() not in _NAMES:
            raise ValueError(f"name must be one of {', '.join(map(repr, _NAMES))}, not {name!r}")
        folder, self.num_classes = _NAMES[name.lower()]
        raw = Path(root) / folder / "raw"
        for part in (*_PARTS, "test.index"):
            path = raw / f"ind.{name.lower()}.{part}"
            if not path.is_file():
                raise FileNotFoundError(f"{path} is missing.\n{_INSTRUCTIONS}")
            if part != "test.index":
                _check_pickle(path)
        data = read_planetoid_data(str(raw), name.lower())
        total = data.x.sum(1, keepdim=True)
        x = data.x / total.where(total > 0, 1) if normalize else data.x
        masks = {split: data[split] for split in ("train_mask", "val_mask", "test_mask")}
        self._graph = Graph(data.edge_index, x, y=data.y, **masks)
        self.num_features = x.shape[1]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Graph:
        if index not in (0, -1):
            raise IndexError(f"there is one graph, not a graph {index}")
        graph: Graph = self._graph.clone()
        return graph

    def __iter__(self) -> Iterator[Graph]:
        yield self[0]


def _check_pickle(path: Path) -> None:
    """Reads the opcodes of a pickle, runs none of them, and refuses names that are not harmless."""
    try:
        opcodes = list(pickletools.genops(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path} is no pickle, or damaged: {error}") from error
    for opcode, argument, _ in opcodes:
        if opcode.name in ("GLOBAL", "INST") and tuple(str(argument).split(" ")) not in _HARMLESS:
            raise ValueError(f"{path} names {argument}, which no file of Planetoid does: it is not read")
        if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"):
            raise ValueError(f"{path} holds {opcode.name}, which no file of Planetoid does: it is not read")
