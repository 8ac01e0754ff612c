"""The lecture's labs: `notebooks/*.py`, text that jupytext reads, become notebooks of the site, which myst-nb runs."""

from __future__ import annotations

from pathlib import Path

import jupytext
from sphinx.application import Sphinx


def convert(app: Sphinx) -> None:
    made = Path(app.srcdir) / "notebooks"
    made.mkdir(exist_ok=True)
    sources = {path.stem: path for path in (Path(app.srcdir).parent / "notebooks").glob("*.py")}
    for stale in made.glob("*.ipynb"):
        if stale.stem not in sources:
            stale.unlink()
    for name, path in sources.items():
        jupytext.write(jupytext.read(path), made / f"{name}.ipynb")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", convert)
    return {"parallel_read_safe": True}
