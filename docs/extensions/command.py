"""`.. command::`: what `geodl --help` says, and the help of each of its parts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from geodl import cli


def parts(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers of the subcommands, and of theirs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for part in action.choices.values():
                yield part
                yield from parts(part)


class Command(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        with mock.patch.dict(os.environ, COLUMNS="110", NO_COLOR="1"):
            for part in parts(cli.parser()):
                section = nodes.section(ids=[part.prog.replace(" ", "-")])
                section += nodes.title(text=part.prog)
                section += nodes.literal_block(text=part.format_help(), language="text")
                self.state.document.note_explicit_target(section)
                found.append(section)
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command", Command)
    return {"parallel_read_safe": True}
