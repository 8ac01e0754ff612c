"""Every public name is named by a test."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOMS = [*sorted(path.parent.name for path in (TESTS.parent / "geodl").glob("*/__init__.py")), "testing"]


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_named_by_a_test(room: str) -> None:
    words = set()
    for path in TESTS.rglob("*.py"):
        if path != Path(__file__):
            words |= set(re.findall(r"\w+", path.read_text()))
    public = getattr(importlib.import_module(f"geodl.{room}"), "__all__", [])
    missing = sorted(set(public) - words)
    assert not missing, f"no test names {', '.join(missing)} of geodl.{room}"
