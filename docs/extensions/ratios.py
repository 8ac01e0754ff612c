"""`.. ratios:: NAME ...`: how many times as fast as its peers every operator is, drawn from files of `benchmarks/results`."""

from __future__ import annotations

import html
import math
import statistics
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmarks.tables import ROOT, read_result


class Ratios(SphinxDirective):
    """A line an operator and peer, from the smallest ratio of its rows to the largest, with a dot at the median; log scale."""

    required_arguments: ClassVar[int] = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        rows = []
        for name in self.arguments[0].split():
            rows += [row for row in read_result(name)["rows"] if row["ratio"]]  # a row may have no peer
            self.env.note_dependency(str(ROOT / "benchmarks" / "results" / name / "result.json"))
        return [nodes.raw("", chart(rows), format="html")]


def chart(rows: list[dict[str, Any]]) -> str:
    families: dict[str, dict[tuple[str, str], list[float]]] = {}
    for row in rows:
        groups = families.setdefault(row.get("family", ""), {})
        groups.setdefault((row["op"], row["peer"]), []).append(row["ratio"])
    ratios = [row["ratio"] for row in rows]
    low, high = math.log10(min(0.5, *ratios)), math.log10(max(2.0, *ratios))

    def at(ratio: float) -> float:
        return 100 * (math.log10(ratio) - low) / (high - low)

    marks = [value for value in (0.1, 1, 10, 100, 1000) if 10**low <= value <= 10**high]
    lines = "".join(f'<i style="left: {at(value):.1f}%"></i>' for value in marks)
    scale = "".join(f'<span style="left: {at(value):.1f}%">{value:g}</span>' for value in marks)
    parts = ['<div class="ratios" role="group" aria-label="Times as fast as peers">']
    for family, groups in families.items():
        if family:
            parts.append(f"<p>{html.escape(family)}</p>")
        for (operator, peer), found in groups.items():
            least, most, middle = min(found), max(found), statistics.median(found)
            text = f"{least:.2g}" if len(found) == 1 else f"{least:.2g} to {most:.2g}"
            parts.append(
                f"<div><b>{html.escape(operator)}</b><small>{html.escape(peer)}</small>"
                f'<div class="{"won" if middle >= 1 else "lost"}">{lines}'
                f'<u style="left: {at(least):.1f}%; width: {at(most) - at(least):.1f}%"></u>'
                f'<s style="left: {at(middle):.1f}%"></s></div><small>{text}</small></div>'
            )
    return "".join([*parts, f'<div><b></b><small></small><div class="scale">{scale}</div></div></div>'])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("ratios", Ratios)
    return {"parallel_read_safe": True}
