"""The kernels of `geodl/geometry/native` in Python: what they compute, to read and to run where no compiler was.

Exact as they are, and some hundred times slower. Arguments are checked by those who call.
"""

from __future__ import annotations

from typing import Any, NoReturn

from geodl.geometry.reference.charts import edge_angles, geodesic_charts, geodesic_distance, oriented
from geodl.geometry.reference.linear_algebra import ldl_solve, orthogonalize
from geodl.geometry.reference.polar_template import polar_template
from geodl.geometry.reference.rays import cast_rays, occlusion
from geodl.geometry.reference.shot import shot

__all__ = [
    "cast_rays",
    "edge_angles",
    "geodesic_charts",
    "geodesic_distance",
    "ldl_solve",
    "occlusion",
    "oriented",
    "orthogonalize",
    "polar_template",
    "remesh",
    "shot",
]


def remesh(*_: Any) -> NoReturn:
    """Has no reference: a mesh that is edited in place is no task for Python.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(
        "remesh needs the compiled extension geodl.geometry._native: `pip install .` in the checkout builds it where a C++20 "
        "compiler is (g++ 11 or newer)"
    )
