"""Every script of the gallery runs as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "script", sorted((ROOT / "docs" / "gallery").glob("*.py")), ids=lambda path: path.stem
)
def test_runs(script: Path) -> None:
    code = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_operator_of_ones_own_takes_at_most_80_lines() -> None:
    assert len((ROOT / "docs" / "gallery" / "own_operator.py").read_text().splitlines()) <= 80
