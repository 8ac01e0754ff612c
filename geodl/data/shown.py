"""Shown: what shows itself in a notebook. The viewer stands in a room above and is found by its entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

__all__ = ["Shown"]


class Shown:
    """Shapes and results that appear as an interactive figure at the end of a cell.

    The entry point ``html`` of the group ``geodl.viewer`` (in pyproject.toml: :func:`geodl.viz.show`) makes the figure. Where there
    is none, as for what is empty, they appear as text.
    """

    def _repr_html_(self) -> str | None:
        viewers = entry_points(group="geodl.viewer", name="html")
        try:
            return next((str(viewer.load()(self)._repr_html_()) for viewer in viewers), None)
        except (ValueError, IndexError):  # no shape that can be drawn: its text still helps
            return None
