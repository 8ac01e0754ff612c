"""geodl cache: what is kept of shapes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

__all__ = ["add"]


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    page = commands.add_parser("cache", parents=[common], help="show, verify or clear what is kept of shapes")
    page.add_argument("action", choices=["show", "verify", "clear"], nargs="?", default="show")
    page.add_argument("--cache", type=Path, help="folder of the cache (the user's cache folder if not given)")
    page.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> None:
    """Tells what the cache holds, removes what is damaged, or everything."""
    from geodl.data import OperatorCache

    cache = OperatorCache(chosen.cache)
    entries = cache.entries()
    if chosen.action == "clear":
        cache.clear()
        print(f"removed {len(entries)} entries from {cache.folder}")
        return
    if chosen.action == "verify":
        damaged = cache.verify()
        print(f"{len(entries) - len(damaged)} of {len(entries)} entries of {cache.folder} are whole")
        for name in damaged:
            print(f"  removed {name}: it was damaged")
        return
    size = sum(entry.bytes for entry in entries)
    print(
        f"{len(entries)} entries of {size / 2**20:.1f} MB in {cache.folder}, at most {cache.max_bytes / 2**20:.0f} MB"
    )
    for kind in sorted({entry.name.rpartition("-")[0] for entry in entries}):
        of = [entry for entry in entries if entry.name.rpartition("-")[0] == kind]
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(max(entry.used for entry in of)))
        print(f"  {kind}: {len(of)}, {sum(entry.bytes for entry in of) / 2**20:.1f} MB, last used {last}")
