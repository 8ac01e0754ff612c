"""`.. cheat-sheet:: layers` and `:: networks`: tables made from the classes and from the lists of the conformance suite."""

from __future__ import annotations

import inspect
import re
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from torch import nn

import geodl.models
import geodl.nn
from tests.models.every_network import CLOUDS, IMAGES, MESHES, NETWORKS, NODES, PARTS

# What the type of an argument says of the domain.
DOMAINS = {
    "Neighbors": "graph",
    "GraphMatrix": "graph",
    "Charts": "mesh, cloud: charts",
    "PolarWindows": "mesh: charts",
    "Spectrum": "mesh, cloud, graph: spectrum",
    "Gradient": "mesh, cloud: gradient",
    "Level": "grid, mesh: level",
    "GridWindows": "grid, graph: windows",
    "Coarsening": "any: cells",
}
FAMILIES = {
    "graphs": NODES,
    "clouds": CLOUDS,
    "parts of clouds": PARTS,
    "meshes": MESHES,
    "images, surfaces": IMAGES,
}


def paper(thing: type) -> str:
    """The last sentence of the docstring that quotes a title and a year."""
    text = " ".join((inspect.getdoc(thing) or "").split())
    found = re.findall(r"([A-Z][^\".:]*(?:et al\.)?[^\".:]*\"[^\"]+\"[^.;]*?(?:19|20)\d\d)", text)
    return str(found[-1]) if found else ""


def layers() -> list[list[str]]:
    rows = [["layer", "call", "domain", "edge features", "paper"]]
    for name in geodl.nn.__all__:
        layer = getattr(geodl.nn, name)
        if not (inspect.isclass(layer) and issubclass(layer, nn.Module)):
            continue
        arguments = list(inspect.signature(layer.forward).parameters.values())[1:]
        types = re.findall(r"\w+", " ".join(str(argument.annotation) for argument in arguments))
        names = [argument.name for argument in arguments]
        domains = (
            ["cloud"] if "ptr" in names else dict.fromkeys(DOMAINS[one] for one in types if one in DOMAINS)
        )
        edges = "yes" if {"edge_weight", "edge_attr"} & {*names} or "Charts" in types else ""
        rows.append(
            [
                f":class:`~geodl.nn.{name}`",
                f"``({', '.join(names)})``",
                "; ".join(domains) or "any",
                edges,
                paper(layer),
            ]
        )
    return rows


def networks() -> list[list[str]]:
    rows = [["network", "reads", "conformance suite", "published weights", "paper"]]
    for name in geodl.models.__all__:
        network = getattr(geodl.models, name)
        if not (inspect.isclass(network) and issubclass(network, nn.Module)):
            continue
        reads = next((family for family, names in FAMILIES.items() if name in names), "")
        rows.append(
            [
                f":class:`~geodl.models.{name}`",
                reads,
                "yes" if name in NETWORKS else "",
                "yes" if hasattr(network, "from_published") else "",
                paper(network),
            ]
        )
    return rows


class CheatSheet(SphinxDirective):
    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        rows = {"layers": layers, "networks": networks}[self.arguments[0]]()
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in rows:
            lines += [f"   {'*' if number == 0 else ' '} - {cell}" for number, cell in enumerate(row)]
        container = nodes.container()
        self.state.nested_parse(StringList([*lines, ""], "<cheat sheet>"), 0, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("cheat-sheet", CheatSheet)
    return {"parallel_read_safe": True}
