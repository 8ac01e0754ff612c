"""
Figures that turn
=================

:func:`geodl.viz.show` makes one HTML file that works offline. Turn the shapes with the mouse; hover over a point to see its match
on the other shape. A notebook, and this page, show what stands last in a cell.
"""

from __future__ import annotations

from pathlib import Path

from geodl.datasets import Puppets
from geodl.geometry import heat_kernel_signature, spectrum
from geodl.matching import match
from geodl.viz import show

# %%
# A correspondence
# ----------------
# Two people in two poses, matched without training. The second body wears the colours of what it was matched to.

people = Puppets(num_identities=4, num_poses=2, num_vertices=2500, variant="remeshed")
one, two = people[3], people[6]
found = match(one, two)
print(found.trust)
show([one, two], map=found.p2p_21, names=["one", "two"], title="Hover over a body")

# %%
# Functions on a surface
# ----------------------
# A slider goes through the channels: eigenfunctions of the Laplacian, from slow to fast.

modes = spectrum(one, 13)
show(one, scalar=modes.evecs[:, 1:], title="Eigenfunctions")

# %%
# A file for the browser, or to mail:

out = Path("runs/interactive")
out.mkdir(parents=True, exist_ok=True)
signature = heat_kernel_signature(modes, 16)[:, 4].log()
path = show(one, scalar=signature, title="Heat kernel signature").save(out / "signature.html")
print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")

# sphinx_gallery_thumbnail_path = "_static/interactive.png"
