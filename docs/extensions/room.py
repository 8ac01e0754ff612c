"""`.. room:: geodl.nn`: a table of a room's public names, then all that they say of themselves."""

from __future__ import annotations

import importlib
import inspect
import re
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
                if issubclass(thing, tuple):  # the docstring says what its fields are
                    lines.append(f"   :exclude-members: {', '.join(vars(thing)['_fields'])}")
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


def one_attribute_an_entry(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Napoleon takes ``a, b: text`` apart where it stands for arguments, but not for attributes."""
    made: list[str] = []
    names: list[str] = []
    within = False
    for line in lines:
        within = line == "Attributes:" or (within and (not line or line.startswith(" ")))
        entry = re.match(r"    (\w+(?:, \w+)*): ", line) if within else None
        if entry:
            names = entry[1].split(", ")
            text = line[entry.end() :]
            made += [f"    {one}: {text}" for one in names]
        elif within and len(names) > 1 and line.startswith("     "):
            # What goes on belongs to each of them.
            made[-len(names) :] = [f"{one} {line.strip()}" for one in made[-len(names) :]]
        else:
            made.append(line)
    lines[:] = made


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", one_attribute_an_entry, priority=400)  # before Napoleon
    app.add_directive("room", Room)
    return {"parallel_read_safe": True}
