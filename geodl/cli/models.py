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
    from geodl import models

    included = models.list_models(pretrained=True)
    if chosen.name is None:
        for name in models.list_models():
            network = getattr(models, name)
            first = (inspect.getdoc(network) or "").partition("\n")[0]
            weights = " [weights included]" if name in included else ""
            published = " [published weights]" if hasattr(network, "from_published") else ""
            print(f"{name:24} {first}{weights}{published}")
        return
    if chosen.name not in models.list_models():
        raise ValueError(f"there is no network {chosen.name}: `geodl models` lists them")
    network = getattr(models, chosen.name)
    print(f"{chosen.name}{inspect.signature(network)}\n\n{inspect.getdoc(network)}")
    if chosen.name in included:
        print(f"\nWeights come with geodl.\n\n{models.model_card(chosen.name)}")
