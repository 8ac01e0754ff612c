"""The table of operators that the conformance suite runs, and the awkward graphs that it runs them on.

To put an operator under the suite, add a module here whose ``CASES`` lists a :class:`Case` for each of its forms:
test_conformance.py then compares it in every backend and dtype with its oracle, on all awkward graphs at once, checks its
derivatives, and records and checks each custom op that it calls.
"""

from __future__ import annotations

import importlib
import pkgutil

from .case import Case, Inputs
from .graphs import EMPTY, GRAPHS, packed, ragged_parts

__all__ = ["CASES", "EMPTY", "GRAPHS", "Case", "Inputs", "packed", "ragged_parts"]

CASES: list[Case] = [
    case
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__))
    for case in getattr(importlib.import_module(f"{__name__}.{module}"), "CASES", [])
]
