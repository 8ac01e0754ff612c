"""The Princeton curve: how much of a correspondence lies within which error."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from geodl.matching import CorrespondenceReport
from geodl.viz.picture import Size, save_figure

__all__ = ["curve"]


def curve(
    reports: Mapping[str, CorrespondenceReport],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    size: Size = (7.5, 5.0),
    dpi: int = 150,
) -> Path:
    """Plot the fraction of points whose geodesic error is at most a threshold, a line a report (Kim 2011).

    Args:
        reports: name of the line -> report of :func:`geodl.matching.evaluate`.
        path: of the plot to write (atomically): png, pdf or svg.
        title: written above the plot.
        size: width and height in inches.
        dpi: pixels an inch, of a png.

    Returns:
        The path written.

    Raises:
        ValueError: no reports, reports of different protocols, or a path of another kind.
        ImportError: matplotlib is not installed.
    """
    if not reports:
        raise ValueError("reports is empty: there is nothing to plot")
    protocols = {report.protocol for report in reports.values()}
    if len(protocols) > 1:
        raise ValueError(
            f"reports mix the protocols {', '.join(sorted(protocols))}; their curves do not compare"
        )
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"curves need matplotlib: pip install matplotlib ({error})") from error

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, report in reports.items():
        label = f"{name} (mean {report.mean_error:.2f}, AUC {100 * report.auc:.1f} %)"
        axes.plot(100 * report.thresholds, 100 * report.curve, label=label, linewidth=2)
    last = max(float(report.thresholds[-1]) for report in reports.values())
    axes.set(xlim=(0, 100 * last), ylim=(0, 101), title=title)
    how = "edge-path" if protocols == {"dijkstra"} else "geodesic"
    axes.set_xlabel(f"{how} error, % of sqrt(area)")
    axes.set_ylabel("points with at most this error, %")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    return save_figure(figure, Path(path))
