"""The pictures and films that a gallery example writes into a folder appear below the code that wrote them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

# What a newcomer looks for first comes first; what is not named here follows.
ORDER = (
    "carry_over",
    "interactive",
    "own_folder",
    "segmentation",
    "own_data_set",
    "export_program",
    "own_convolution",
    "own_operator",
    "published_weights",
    "texture_on_a_body",
    "walking_puppet",
    "torchrun",
)


def in_order(script: str) -> tuple[int, str]:
    name = Path(script).stem
    return ORDER.index(name) if name in ORDER else len(ORDER), name


class WrittenPictures:
    """A scraper of sphinx-gallery: looks for files under ``runs/`` beside the script that are new or changed."""

    def __init__(self) -> None:
        self.seen: dict[Path, int] = {}

    def __repr__(self) -> str:  # part of Sphinx's key for what has changed, so it may not hold an address
        return "WrittenPictures"

    def __call__(self, block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
        folder = Path(block_vars["src_file"]).parent / "runs"
        found = sorted(
            path for path in folder.rglob("*") if path.suffix in (".png", ".gif") and self._is_new(path)
        )
        names = []
        for path in found:
            target = Path(next(block_vars["image_path_iterator"])).with_suffix(path.suffix)
            shutil.copyfile(path, target)
            names.append(str(target))
        return figure_rst(names, gallery_conf["src_dir"]) if names else ""

    def _is_new(self, path: Path) -> bool:
        changed = path.stat().st_mtime_ns
        before = self.seen.get(path)
        self.seen[path] = changed
        return before != changed
