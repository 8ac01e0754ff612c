"""geodl models: the networks, by name."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("models", parents=[common], help="list the networks")
    page.add_argument("name", nargs="?", help="of a network, whose arguments and paper are told")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    from torch import nn

    from geodl import models

    found = {name: getattr(models, name) for name in models.__all__}
    networks = {
        name: one for name, one in found.items() if isinstance(one, type) and issubclass(one, nn.Module)
    }
    if chosen.name is None:
        for name, network in sorted(networks.items()):
            first = (inspect.getdoc(network) or "").partition("\n")[0]
            print(f"{name:24} {first}{' [published weights]' if hasattr(network, 'from_published') else ''}")
        return
    if chosen.name not in networks:
        raise ValueError(f"there is no network {chosen.name}: `geodl models` lists them")
    network = networks[chosen.name]
    print(f"{chosen.name}{inspect.signature(network)}\n\n{inspect.getdoc(network)}")
