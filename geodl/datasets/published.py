"""Sets of shapes as they are passed round: meshes in ``off/``, and for each the vertices of a common template in ``corres/``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geodl.data import Mesh
from geodl.data.formats import is_hidden
from geodl.datasets.correspondence import CorrespondenceSet


class PublishedSet(CorrespondenceSet):
    """What the sets of the shape-matching literature share: ``off/NAME.off`` with ``corres/NAME.vts``.

    Line t of a vts file is the vertex, counted from 1, that lies at point t of a template which all shapes (of a category) have
    in common. ``pos`` is float32, in the unit of the file.

    Args:
        folder: that holds ``off`` and ``corres``.
        names: of the shapes, in their order.
        instructions: how to get the data, for error messages.
        transform: applied to a shallow copy of the mesh at every access.

    Raises:
        FileNotFoundError: files are missing; the message says which, and how to get them.
        ValueError: on access: a damaged file, or one whose number of points is not that of the others.
        IndexError: on access: a vts file names a vertex that the mesh does not have.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        instructions: str,
        transform: Callable[[Mesh], Mesh] | None = None,
    ) -> None:
        super().__init__(names, transform)
        self.folder = folder
        self._templates: dict[str, tuple[int, str]] = {}
        missing = missing_files(folder, [path for name in self.names for path in self.files(name)])
        if missing:
            raise FileNotFoundError(f"{folder} lacks {missing}.\n{instructions}")

    def describe(self, name: str) -> dict[str, object]:
        """Attributes of a shape beside its geometry."""
        return {"name": name}

    def files(self, name: str) -> list[Path]:
        """That a shape needs."""
        return [self.folder / "off" / f"{name}.off", self.folder / "corres" / f"{name}.vts"]

    def _read(self, name: str) -> Mesh:
        mesh_file, *rest = self.files(name)
        file = Mesh.load(mesh_file)
        mesh = Mesh(file.pos.float(), file.face, **self.describe(name))
        for path in rest:
            mesh.corres = read_vertices(path, file.pos.shape[0], mesh_file)
            self._check_template(name, path, mesh.corres.shape[0])
        return mesh

    def _check_template(self, name: str, path: Path, points: int) -> None:
        size, first = self._templates.setdefault(self.category(name), (points, path.name))
        if points != size:
            raise ValueError(
                f"{path} lists {points} vertices but {first} lists {size}: one is cut short or of another template"
            )


def read_vertices(path: Path, num_vertices: int, mesh_file: Path) -> Tensor:
    """Vertices ``[T]`` int64, counted from 0, of a file that lists them line by line, counted from 1.

    Args:
        path: a vts or map file.
        num_vertices: of the mesh that they are vertices of.
        mesh_file: its name, for messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is empty, or holds something else than whole numbers.
        IndexError: a number that is no vertex.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such correspondence file")
    words = path.read_text(encoding="utf-8", errors="replace").split()
    if not words:
        raise ValueError(f"{path} is empty: it should list a vertex on every line")
    try:
        # Some tools write whole numbers as 1.0000e+00.
        numbers = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    whole = np.isfinite(numbers) & (numbers == np.rint(numbers))
    if not whole.all():
        raise ValueError(f"{path} is damaged: line {whole.argmin() + 1} is {words[int(whole.argmin())]}")
    outside = (numbers < 1) | (numbers > num_vertices)
    if outside.any():
        line = int(outside.argmax())
        raise IndexError(
            f"{path}: line {line + 1} names vertex {words[line]}, but {mesh_file.name} has {num_vertices} vertices "
            "(counted from 1)"
        )
    return torch.from_numpy(numbers.astype(np.int64) - 1)


def read_pairs(path: Path, names: Sequence[str]) -> list[tuple[int, int]]:
    """Index pairs of a file with the names of two shapes on every line.

    Raises:
        ValueError: a line without two names, or with one that is not among the shapes.
    """
    number = {name: k for k, name in enumerate(names)}
    found = []
    for k, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        couple = line.split()
        if len(couple) != 2:
            raise ValueError(f"{path}: line {k} should name two shapes: {line.strip()!r}")
        unknown = [name for name in couple if name not in number]
        if unknown:
            raise ValueError(f"{path}: line {k} names {unknown[0]}, which is not in the set")
        found.append((number[couple[0]], number[couple[1]]))
    return found


def read_names(path: Path, instructions: str) -> list[str]:
    """Names of shapes, one a line.

    Raises:
        FileNotFoundError: no such file; the message says how to get the data.
        ValueError: the file is empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} lacks {path.name}, the list of the split.\n{instructions}")
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{path} is empty: it should name a shape on every line")
    return names


def find_folder(
    root: str | os.PathLike[str], inside: Sequence[str], needs: Sequence[str], instructions: str
) -> Path:
    """``root``, or the first of its folders named in ``inside``, that has all the folders of ``needs``.

    Raises:
        FileNotFoundError: none has; the message says how to get the data.
    """
    for folder in (Path(root), *(Path(root) / name for name in inside)):
        if all((folder / name).is_dir() for name in needs):
            return folder
    if not Path(root).is_dir():
        here = "is no folder"
    else:
        here = f"has neither {' and '.join(f'{name}/' for name in needs)} nor {' or '.join(inside)}"
    raise FileNotFoundError(f"No {inside[0]} at {root}: it {here}.\n{instructions}")


def names_in(folder: Path, instructions: str) -> list[str]:
    """Names of the off files of a folder, numbers in them in numerical order.

    Raises:
        FileNotFoundError: there are none; the message says how to get the data.
    """
    names = [path.stem for path in folder.glob("*.off") if not is_hidden(path)]
    if not names:
        raise FileNotFoundError(f"{folder} has no off files.\n{instructions}")
    parts = {name: re.findall(r"(\D*)(\d*)", name) for name in names}
    return sorted(names, key=lambda name: [(text, int(number or 0)) for text, number in parts[name]])


def check_split(split: str | None) -> None:
    if split not in ("train", "test", None):
        raise ValueError(f"split must be 'train', 'test' or None, not {split!r}")


def missing_files(folder: Path, files: Sequence[Path]) -> str:
    """The first few files that are not there, and how many more; "" if all are."""
    names = [str(path.relative_to(folder)) for path in files if not path.is_file()]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more files" if len(names) > 5 else "")
