"""MeshFiles: files as a set of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["MeshFiles"]


class MeshFiles:
    """Mesh files as a set of shapes of unit area, as matching and training read them.

    The files of folders are those whose ending is that of a mesh.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        from geodl.data.formats import MESHES

        self.paths = [file for path in paths for file in (_inside(path) if path.is_dir() else [path])]
        if not self.paths:
            raise ValueError(f"no mesh files in {', '.join(map(str, paths))}: expected {', '.join(MESHES)}")
        self.names = [path.name for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        from geodl.data import Mesh, UnitArea

        return UnitArea()(Mesh.load(self.paths[index]))


def _inside(folder: Path) -> list[Path]:
    from geodl.data.formats import MESHES, is_hidden

    return sorted(p for p in folder.iterdir() if p.suffix.lower() in MESHES and not is_hidden(p))
