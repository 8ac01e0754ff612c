"""Page: an interactive figure as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import os
import tempfile
import webbrowser
import zlib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geodl.data.whole_file import whole_file

__all__ = ["Packed", "Page"]

_NOTEBOOK_HEIGHT = 480  # pixels


@dataclass(frozen=True, repr=False)
class Page:
    """A figure that turns under the mouse: in a notebook where a cell ends with it, else as a file or in the browser.

    Attributes:
        html: the whole page; scripts and data are in it, and nothing is loaded from anywhere.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page (atomically) and gives its path back.

        Raises:
            ValueError: the path does not end in .html.
            OSError: it cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"path must end in .html, it is {str(path)!r}")
        with whole_file(path) as part:
            part.write_text(self.html, encoding="utf-8")
        return path

    def open(self) -> Path:
        """Shows the page in the browser, from a temporary file whose path is given back."""
        handle, name = tempfile.mkstemp(prefix="geodl-", suffix=".html")
        os.close(handle)
        path = self.save(name)
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" style="width: 100%; height: {_NOTEBOOK_HEIGHT}px; border: 0" '
            'sandbox="allow-scripts"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Page({len(self.html) / 1e3:.0f} kB of HTML; .save(path), .open())"

    @staticmethod
    def of(scene: dict[str, Any], data: Packed, title: str, slider: str) -> Page:
        """The page of what viewer.js draws: its description, and the arrays that this names."""
        folder = resources.files("geodl.viz")
        names = [shape["name"] for shape in scene["shapes"] if shape["name"]]
        described = title or "geodl"
        return Page(
            Template(folder.joinpath("viewer.html").read_text(encoding="utf-8")).substitute(
                title=html.escape(described),
                heading=html.escape(title),
                label=html.escape(f"{described}: {', '.join(names)}" if names else described),
                steps=html.escape(slider),
                # A < could end the script.
                scene=json.dumps(scene, allow_nan=False).replace("<", "\\u003c"),
                data=data.text(),
                script=folder.joinpath("viewer.js").read_text(encoding="utf-8"),
            )
        )


@dataclass
class Packed:
    """Arrays side by side, as small as deflate makes them: differences of rows, plane by plane of bytes."""

    parts: list[bytes] = field(default_factory=list)
    length: int = 0

    def integers(self, values: NDArray[Any]) -> dict[str, Any]:
        """Stores unsigned integers ``[rows, width]`` exactly, and says where they are."""
        width, size = values.shape[1], values.dtype.itemsize
        step = values.astype(values.dtype.newbyteorder("<"))
        step[1:] -= values[:-1]  # wraps round, and so back
        made = np.ascontiguousarray(step).reshape(-1).view(np.uint8).reshape(-1, size).T.tobytes()
        where = {"start": self.length, "rows": len(values), "width": width, "size": size}
        self.parts.append(made)
        self.length += len(made)
        return where

    def floats(self, values: NDArray[Any]) -> dict[str, Any]:
        """Stores ``[rows, width]`` within a 131070th of what every column extends over."""
        low, high = values.min(0), values.max(0)
        step = (high - low) / 65535
        whole = np.rint((values - low) / np.where(step > 0, step, 1)).astype(np.uint16)
        return {**self.integers(whole), "low": low.tolist(), "step": step.tolist()}

    def text(self) -> str:
        """All of it in base64."""
        return base64.b64encode(zlib.compress(b"".join(self.parts), 9)).decode("ascii")
