"""`.. room:: geodl.nn`: a table of a room's public names, then all that they say of themselves."""

from __future__ import annotations

import importlib
import inspect
from typing import ClassVar

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles
from torch import nn


class Room(SphinxDirective):
    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        room = self.arguments[0]
        module = importlib.import_module(room)
        lines = [f".. currentmodule:: {room}", "", ".. autosummary::", ""]
        lines += [f"   {name}" for name in module.__all__ if callable(getattr(module, name))]
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                lines += ["", f".. autoclass:: {name}", "   :members:"]
                if _inherits_forward(thing):
                    lines += ["", "   .. automethod:: forward"]
            elif callable(thing):
                lines += ["", f".. autofunction:: {name}"]
            else:
                lines += ["", f".. py:data:: {name}", f"   :value: {thing!r}"]
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList([*lines, ""], f"<{room}>"), node)
        return node.children


def _inherits_forward(thing: type) -> bool:
    """Whether a layer is called as a base class of ours says, which ``:members:`` leaves out."""
    inherited = issubclass(thing, nn.Module) and "forward" not in vars(thing)
    return inherited and thing.forward.__module__.startswith("geodl.")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("room", Room)
    return {"parallel_read_safe": True}
